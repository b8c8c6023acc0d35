/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the files of underpassctl share: the options of the command line, exit codes, and the small tools for
 * talking to the service, printing tables and printing JSON.
 *
 * libnm is spoken by ctl-profile.c alone.
 *
 * Functions that can fail take a GError of the domain CTL_ERROR: its code is the exit status of the command,
 * its message one or more complete sentences, one a line.
 */

#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>

#include "base/util.h"

/* Exit status, as "underpassctl --help" lists it. */
typedef enum CtlExit {
        CTL_OK = 0,
        CTL_FAILED = 1,      /* the operation failed */
        CTL_USAGE = 2,       /* the command line makes no sense */
        CTL_UNREACHABLE = 3, /* the service or NetworkManager cannot be reached */
        CTL_NOT_FOUND = 4,   /* no such link or profile, or several profiles of that name */
        CTL_BAD_VALUE = 5,   /* bad key or value */
        _CTL_EXIT_MAX,
} CtlExit;

/*
 * The command line, and the connection to the bus once somebody needed it. gboolean because GOption writes
 * to it.
 */
typedef struct Ctl {
        gboolean json;
        gboolean no_legend;
        gboolean version;
        gboolean all;
        gboolean names;
        gboolean values;
        gboolean reapply;
        bool color; /* standard output is a terminal that wants colour */
        GDBusConnection *bus;
} Ctl;

/* ---- errors: ctl-error.c ---- */

#define CTL_ERROR (ctl_error_quark())
GQuark ctl_error_quark(void);

/*
 * Adds one more sentence to *error as a line of its own; the code of the first one stays. Lines that begin
 * with a blank belong to the sentence before.
 */
void ctl_error_add(GError **error, CtlExit code, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Adds that there is no such key, and which one was perhaps meant. */
void ctl_error_unknown_key(GError **error, const char *name);

/* Adds all of more, which is freed. */
void ctl_error_take(GError **error, GError *more);

/*
 * Turns what GDBus says into a sentence and an exit code. subject is what was asked for (an interface name),
 * or NULL; service is who did not answer ("Underpass", "NetworkManager"). more is freed.
 */
void ctl_error_take_bus(GError **error, GError *more, const char *service, const char *subject);

/* Prints the error to standard error, as text or as {"error": …}; returns its exit code. */
int ctl_error_print(const Ctl *ctl, const GError *error);

/* ---- bus: ctl-bus.c ---- */

#define CTL_READ_TIMEOUT_MS (10 * 1000) /* includes starting the service */
#define CTL_CHANGE_TIMEOUT_MS (60 * 1000)

/*
 * Calls a method of the manager; subject as in ctl_error_take_bus(). arguments may be floating. NULL on
 * failure.
 */
GVariant *bus_call(Ctl *ctl, const char *method, GVariant *arguments, const char *reply_type, int timeout_ms,
                   const char *subject, GError **error);

/*
 * All properties (a{sv}) of the manager; of the link with this object path; of the link of this interface.
 */
GVariant *bus_manager(Ctl *ctl, GError **error);
GVariant *bus_link_at(Ctl *ctl, const char *path, GError **error);
GVariant *bus_link(Ctl *ctl, const char *interface, GError **error);

/* The properties (GVariant a{sv}) of all links, sorted by interface index. */
GPtrArray *bus_links(Ctl *ctl, GError **error);

/* Values out of a{sv}. "", 0 and an empty array stand for what is missing or of another type. */
const char *value_string(GVariant *properties, const char *name);
uint32_t value_number(GVariant *properties, const char *name);
GVariant *value_array(GVariant *properties, const char *name, const char *type);

/*
 * The second string of the row of a(s…s) whose first one is key, "" without one. The array belongs to
 * properties.
 */
const char *value_row(GVariant *properties, const char *name, const char *type, const char *key);

/* Member of an a{st} property, 0 without one. */
uint64_t value_counter(GVariant *properties, const char *name);

/* ---- text: ctl-table.c ---- */

/*
 * A copy that is safe on a terminal: control characters, also those that change the direction of text, as
 * \xNN or \u{NN}.
 */
char *text_clean(const char *text);

/* Prints one line to standard output, cleaned as a whole. */
void text_line(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* Columns that the text takes on a terminal. */
size_t text_width(const char *text);

/* "192.0.2.1:443" or "[2001:db8::1]:443". Caller frees. */
char *text_endpoint(const char *address, uint16_t port);

/* "850 ms", "12 s", "3 min", "5 h": precise enough to see what is going on. Caller frees. */
char *text_duration(uint64_t milliseconds);

typedef struct Table Table;

/*
 * headings ends in NULL and is not translated yet (N_()). flush_right: TABLE_COLUMN() of every column that
 * is set flush right.
 */
#define TABLE_COLUMN(number) (1U << (number))
Table *table_new(const char *const *headings, unsigned flush_right);
void table_free(Table *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Table, table_free)

/* One string a column. */
void table_add(Table *table, ...);

/* Shows the states in this column in their colours. */
void table_color_states(Table *table, size_t column);

/* Nothing at all without rows. */
void table_print(const Table *table, const Ctl *ctl, unsigned indent, bool headings);

/* ---- destinations: ctl-destinations.c ---- */

/* One row of ListDestinations; the strings belong to the reply. */
typedef struct Destination {
        uint32_t ifindex;
        const char *remote;
        uint16_t remote_port;
        const char *state;   /* "blocked", "stripped" */
        uint32_t seconds_left; /* until it is found out anew */
} Destination;

/* All rows, or NULL with an error. */
GVariant *destinations_get(Ctl *ctl, GError **error);

/* Row number row, which has to be there. */
void destination_read(GVariant *destinations, size_t row, Destination *ret);

/* How many destinations of a link have this verdict. */
unsigned destinations_count(GVariant *destinations, uint32_t ifindex, const char *state);

/* "UDP blocked, plain TCP for 9 min". Caller frees. */
char *destination_sentence(const Destination *destination);

/* One object; link is the name of the interface. */
void json_destination(JsonBuilder *builder, const Destination *destination, const char *link);

/* ---- JSON: ctl-json.c ---- */

/* One member of an object. The text may be anything; bytes that are no UTF-8 are replaced. */
void json_member_string(JsonBuilder *builder, const char *name, const char *value);
void json_member_number(JsonBuilder *builder, const char *name, uint64_t value);
void json_member_boolean(JsonBuilder *builder, const char *name, bool value);
void json_member_strings(JsonBuilder *builder, const char *name, char *const *values);
void json_member_variant(JsonBuilder *builder, const char *name, GVariant *value);

/* An array of objects out of a(ss…): one object a row, its members named by names (ends in NULL). */
void json_member_rows(JsonBuilder *builder, const char *name, GVariant *rows, const char *const *names);

/* The members of the open object: everything about a link, everything about the manager. */
void json_link(JsonBuilder *builder, GVariant *link);
void json_manager(JsonBuilder *builder, GVariant *manager);

/* The member "links" of the open object: the links, each with everything about it. */
void json_links(JsonBuilder *builder, GPtrArray *links);

/* Prints the finished document. */
void json_print(JsonBuilder *builder);

/* The same as one line of text without line feed. Caller frees. */
char *json_line(JsonBuilder *builder);

/* ---- verbs: one function a verb, in the files named after them ---- */

bool verb_status(Ctl *ctl, char **arguments, GError **error);
bool verb_explain(Ctl *ctl, char **arguments, GError **error);
bool verb_flows(Ctl *ctl, char **arguments, GError **error);
bool verb_keys(Ctl *ctl, char **arguments, GError **error);
bool verb_activate(Ctl *ctl, char **arguments, GError **error);
bool verb_deactivate(Ctl *ctl, char **arguments, GError **error);
bool verb_reload(Ctl *ctl, char **arguments, GError **error);
bool verb_profile_show(Ctl *ctl, char **arguments, GError **error);
bool verb_profile_set(Ctl *ctl, char **arguments, GError **error);
bool verb_profile_unset(Ctl *ctl, char **arguments, GError **error);
