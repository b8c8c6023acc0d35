/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * underpassctl: the command line. One table of verbs drives parsing, help and the check of arguments; what a
 * verb does is in the file named after it.
 */

#include <locale.h>
#include <stdio.h>

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/check.h"
#include "ctl/complete.h"
#include "ctl/error.h"
#include "ctl/explain.h"
#include "ctl/flows.h"
#include "ctl/forget.h"
#include "ctl/keys.h"
#include "ctl/links.h"
#include "ctl/metrics.h"
#include "ctl/monitor.h"
#include "ctl/probe.h"
#include "ctl/profile-list.h"
#include "ctl/profile.h"
#include "ctl/status.h"
#include "ctl/text.h"
#include "ctl/verify.h"
#include "profile/values.h"

/* Options of single verbs. */
enum {
        OPTION_ALL = 1U << 0,
        OPTION_NAMES = 1U << 1,
        OPTION_REAPPLY = 1U << 2,
        OPTION_VALUES = 1U << 3,
        OPTION_VERBOSE = 1U << 4,
        OPTION_WATCH = 1U << 5,
        OPTION_OUTPUT = 1U << 6,
        OPTION_RATE = 1U << 7,
};

/* For tests: the catalogues of this folder instead of the installed ones. */
#define LOCALE_VARIABLE "UNDERPASS_LOCALE"

enum { ARGUMENTS_ANY = G_MAXUINT };

typedef struct Verb {
        const char *name;    /* one word or two */
        const char *arguments;
        const char *help;    /* for the list of verbs */
        const char *details; /* for --help of the verb, after help; or NULL */
        unsigned options;    /* OPTION_* */
        unsigned arguments_min;
        unsigned arguments_max;
        bool (*run)(Ctl *ctl, char **arguments, GError **error);
} Verb;

static const char profile_details[] =
        N_("PROFILE is a name, UUID, D-Bus path or file name. If that is ambiguous, put the\n"
           "SELECTOR id, uuid, path or filename before it.");

static const Verb verbs[] = {
        {
                .name = "status",
                .arguments = N_("[INTERFACE|PROFILE...]"),
                .help = N_("Show links that have a tunnel, with their warnings and errors"),
                .options = OPTION_ALL | OPTION_VERBOSE,
                .arguments_max = ARGUMENTS_ANY,
                .run = ctl_status,
        },
        {
                .name = "explain",
                .arguments = N_("INTERFACE|PROFILE"),
                .help = N_("Explain the state of one link and suggest what to do next"),
                .options = OPTION_VERBOSE,
                .arguments_min = 1,
                .arguments_max = 1,
                .run = ctl_explain,
        },
        {
                .name = "check",
                .arguments = N_("[INTERFACE|PROFILE]"),
                .help = N_("Check what is good and what is wrong, and how to repair it"),
                .details = N_("The exit status is 1 when something is wrong. Works for every user, and\n"
                              "while the service does not run."),
                .arguments_max = 1,
                .run = ctl_check,
        },
        {
                .name = "flows",
                .arguments = N_("[INTERFACE|PROFILE]"),
                .help = N_("List tunnelled connections and remembered destinations"),
                .options = OPTION_WATCH,
                .arguments_max = 1,
                .run = ctl_flows,
        },
        {
                .name = "monitor",
                .arguments = "",
                .help = N_("Show links and connections as they are now, until q or Ctrl-C"),
                .options = OPTION_WATCH,
                .run = ctl_monitor,
        },
        {
                .name = "metrics",
                .arguments = "",
                .help = N_("Print numbers for monitoring systems, as OpenMetrics text"),
                .options = OPTION_OUTPUT,
                .run = ctl_metrics,
        },
        {
                .name = "forget",
                .arguments = N_("[INTERFACE|PROFILE [ADDRESS[:PORT]]]"),
                .help = N_("Forget what was learnt about destinations"),
                .details = N_("Without ADDRESS all destinations of the link are forgotten, without\n"
                              "INTERFACE those of all links. Write an IPv6 address with a port as\n"
                              "[ADDRESS]:PORT."),
                .arguments_max = 2,
                .run = ctl_forget,
        },
        {
                .name = "probe",
                .arguments = N_("HOST[:PORT] [LINK...]"),
                .help = N_("Find out what passes to a host, plain and in the tunnel"),
                .details = N_("HOST is a name or an address; PORT is 443 unless it is given. Without LINK\n"
                              "every link is asked that may lead there, by at most 20 packets.\n"
                              "--rate uses up to 25 MB of data for each of the two forms on each link."),
                .options = OPTION_RATE,
                .arguments_min = 1,
                .arguments_max = ARGUMENTS_ANY,
                .run = ctl_probe,
        },
        {
                .name = "keys",
                .arguments = N_("[KEY]"),
                .help = N_("List the keys of a profile: allowed values, default, meaning"),
                .options = OPTION_NAMES | OPTION_VALUES,
                .arguments_max = 1,
                .run = ctl_keys,
        },
        {
                .name = "activate",
                .arguments = N_("INTERFACE|PROFILE..."),
                .help = N_("Read the profile again and attach the tunnel to the link"),
                .arguments_min = 1,
                .arguments_max = ARGUMENTS_ANY,
                .run = ctl_activate,
        },
        {
                .name = "deactivate",
                .arguments = N_("INTERFACE|PROFILE...|--all"),
                .help = N_("Detach the tunnel until the link is activated again"),
                .options = OPTION_ALL,
                .arguments_max = ARGUMENTS_ANY,
                .run = ctl_deactivate,
        },
        {
                .name = "reload",
                .arguments = "",
                .help = N_("Read all profiles again and update every link"),
                .details = N_("Tells what is wrong in files with settings, and which of them match\n"
                              "no link."),
                .run = ctl_reload,
        },
        {
                .name = "verify",
                .arguments = N_("FILE..."),
                .help = N_("Report everything that is wrong in files with settings"),
                .details = N_("FILE is a profile as in underpass.conf(5), or a .network file or drop-in of\n"
                              "systemd-networkd. Asks no service; works for every user."),
                .arguments_min = 1,
                .arguments_max = ARGUMENTS_ANY,
                .run = ctl_verify,
        },
        {
                .name = "profile list",
                .arguments = "",
                .help = N_("List the profiles that have keys of Underpass, with their links"),
                .run = ctl_profile_list,
        },
        {
                .name = "profile show",
                .arguments = N_("[SELECTOR] PROFILE"),
                .help = N_("Show the keys of a NetworkManager profile"),
                .details = profile_details,
                .arguments_min = 1,
                .arguments_max = 2,
                .run = ctl_profile_show,
        },
        {
                .name = "profile set",
                .arguments = N_("[SELECTOR] PROFILE KEY=VALUE..."),
                .help = N_("Set keys of a NetworkManager profile"),
                .details = profile_details,
                .options = OPTION_REAPPLY,
                .arguments_min = 2,
                .arguments_max = ARGUMENTS_ANY,
                .run = ctl_profile_set,
        },
        {
                .name = "profile unset",
                .arguments = N_("[SELECTOR] PROFILE KEY..."),
                .help = N_("Remove keys from a NetworkManager profile"),
                .details = profile_details,
                .options = OPTION_REAPPLY,
                .arguments_min = 2,
                .arguments_max = ARGUMENTS_ANY,
                .run = ctl_profile_unset,
        },
        {
                .name = "help",
                .arguments = N_("[VERB]"),
                .help = N_("Show this list, or what --help says of a verb"),
                .arguments_max = 2,
        },
        {
                .name = "version",
                .arguments = "",
                .help = N_("Print the version"),
        },
};

/* Words that people know from other programs. */
static const struct {
        const char *typed;
        const char *verb;
} other_words[] = {
        { "profile modify", "profile set" }, { "profile edit", "profile set" },
        { "profile add", "profile set" },    { "profile delete", "profile unset" },
        { "profile remove", "profile unset" }, { "profiles", "profile list" },
        { "modify", "profile set" },         { "set", "profile set" },
        { "unset", "profile unset" },        { "connection", "profile" },
        { "show", "status" },                { "list", "status" },
        { "info", "explain" },               { "why", "explain" },
        { "up", "activate" },                { "start", "activate" },
        { "enable", "activate" },            { "down", "deactivate" },
        { "stop", "deactivate" },            { "disable", "deactivate" },
        { "doctor", "check" },               { "diagnose", "check" },
        { "test", "probe" },                 { "ping", "probe" },
        { "watch", "monitor" },              { "top", "monitor" },
        { "restart", "reload" },             { "refresh", "reload" },
        { "flush", "forget" },               { "connections", "flows" },
        { "lint", "verify" },                { "validate", "verify" },
};

static const char *const exit_texts[] = {
        [CTL_OK] = N_("success"),
        [CTL_FAILED] = N_("the operation failed"),
        [CTL_USAGE] = N_("invalid command line"),
        [CTL_UNREACHABLE] = N_("the service or NetworkManager is unreachable"),
        [CTL_NOT_FOUND] = N_("no such link or profile, or several profiles match"),
        [CTL_BAD_VALUE] = N_("invalid key or value"),
};
_Static_assert(ELEMENTS(exit_texts) == _CTL_EXIT_MAX, "a text for each exit status");

enum { GLOBAL_OPTIONS = 3, VERB_OPTIONS = 8 };

/* Entries of the options that the verb takes; ends with an empty entry. */
static void option_entries(Ctl *ctl, const Verb *verb,
                           GOptionEntry entries[GLOBAL_OPTIONS + VERB_OPTIONS + 1]) {
        const struct {
                unsigned option;
                const char *name;
                void *target;
                const char *help;
                GOptionArg type;
                const char *value;
        } options[GLOBAL_OPTIONS + VERB_OPTIONS] = {
                { 0, "json", &ctl->json, N_("Print one JSON document instead of text") },
                { 0, "no-legend", &ctl->no_legend, N_("Omit headings and hints") },
                { 0, "version", &ctl->version, N_("Print the version") },
                { OPTION_ALL, "all", &ctl->all, N_("All links, for status also those without a tunnel") },
                { OPTION_NAMES, "names", &ctl->names, N_("Print only the names, one per line") },
                { OPTION_VALUES, "values", &ctl->values,
                  N_("Print only the keywords for values of KEY, one per line") },
                { OPTION_VERBOSE, "verbose", &ctl->verbose,
                  N_("Show programs, helper devices and attach points, too") },
                { OPTION_REAPPLY, "reapply", &ctl->reapply,
                  N_("Apply the change to active connections immediately") },
                { OPTION_WATCH, "watch", &ctl->watch,
                  N_("Look again every SECONDS (or 2), show rates"), G_OPTION_ARG_DOUBLE,
                  N_("[SECONDS]") },
                { OPTION_OUTPUT, "output", &ctl->output, N_("Write to FILE, replacing it in one step"),
                  G_OPTION_ARG_FILENAME, N_("FILE") },
                { OPTION_RATE, "rate", &ctl->rate,
                  N_("Measure how fast both forms are (PATH: by HTTP)"),
                  G_OPTION_ARG_STRING, N_("[/PATH]") },
        };
        size_t count = 0;

        for (size_t i = 0; i < ELEMENTS(options); i++)
                if (options[i].option == 0 || (verb && (verb->options & options[i].option)))
                        entries[count++] = (GOptionEntry){
                                .long_name = options[i].name,
                                .arg = options[i].type,
                                .arg_data = options[i].target,
                                .description = _(options[i].help),
                                .arg_description = options[i].value ? _(options[i].value) : NULL,
                        };

        entries[count] = (GOptionEntry){};
}

static void add_verb_list(GString *text, const char *prefix) {
        size_t width = 0;

        for (size_t i = 0; i < ELEMENTS(verbs); i++)
                width = MAX_OF(width, text_width(verbs[i].name));

        g_string_append_printf(text, "%s\n", _("Verbs:"));
        for (size_t i = 0; i < ELEMENTS(verbs); i++)
                if (!prefix || g_str_has_prefix(verbs[i].name, prefix))
                        g_string_append_printf(text, "  %-*s  %s\n", (int) width, verbs[i].name,
                                               _(verbs[i].help));
        g_string_append_printf(
                        text, "\n%s",
                        _("Run `underpassctl VERB --help` for details of a verb. The default is status."));
}

static char *exit_code_list(void) {
        GString *text = g_string_new(_("Exit status:"));

        for (int code = 0; code < _CTL_EXIT_MAX; code++)
                g_string_append_printf(text, "\n  %d  %s", code, _(exit_texts[code]));

        return g_string_free(text, FALSE);
}

/* All that --help prints. prefix: the first word of verbs of two words, or NULL. */
static GOptionContext *option_context(Ctl *ctl, const Verb *verb, const char *prefix) {
        g_autofree char *usage = verb ? g_strdup_printf("%s %s", verb->name,
                                                        verb->arguments[0] ? _(verb->arguments) : "")
                                      : g_strdup_printf("%s %s", prefix ?: "", _("VERB [ARGUMENT...]"));
        GOptionEntry entries[GLOBAL_OPTIONS + VERB_OPTIONS + 1];
        GOptionContext *context = g_option_context_new(g_strstrip(usage));
        GString *summary = g_string_new(NULL);

        if (verb)
                g_string_append_printf(summary, "%s.%s%s", _(verb->help), verb->details ? "\n" : "",
                                       verb->details ? _(verb->details) : "");
        else
                add_verb_list(summary, prefix);

        option_entries(ctl, verb, entries);
        g_option_context_add_main_entries(context, entries, NULL);
        g_option_context_set_summary(context, summary->str);
        g_string_free(summary, TRUE);

        g_autofree char *codes = exit_code_list();
        g_option_context_set_description(context, codes);
        return context;
}

/* The verb that the first one or two words name, or NULL; *ret_words is how many. */
static const Verb *verb_find(const char *first, const char *second, unsigned *ret_words) {
        g_autofree char *both = g_strdup_printf("%s %s", first, second ?: "");

        for (size_t i = 0; i < ELEMENTS(verbs); i++) {
                bool two_words = strchr(verbs[i].name, ' ');

                if (streq(verbs[i].name, two_words ? both : first)) {
                        *ret_words = two_words ? 2 : 1;
                        return &verbs[i];
                }
        }

        return NULL;
}

/* The first word when it begins verbs of two words, or NULL. */
static const char *verb_prefix(const char *first) {
        g_autofree char *prefix = g_strdup_printf("%s ", first);

        for (size_t i = 0; i < ELEMENTS(verbs); i++)
                if (g_str_has_prefix(verbs[i].name, prefix))
                        return first;

        return NULL;
}

static bool arguments_fit(const Verb *verb, char **arguments, GError **error) {
        unsigned count = g_strv_length(arguments);

        if (count < verb->arguments_min)
                ctl_error_add(error, CTL_USAGE, _("Too few arguments; usage: underpassctl %s %s"),
                              verb->name, _(verb->arguments));
        else if (count > verb->arguments_max)
                ctl_error_add(error, CTL_USAGE, _("Too many arguments; usage: underpassctl %s %s"),
                              verb->name, verb->arguments[0] ? _(verb->arguments) : "");
        else
                return true;

        return false;
}

/* Whether a word can be the value of --watch: an interface may be named "5", but hardly is. */
static bool is_number(const char *word) {
        return word && word[0] && strspn(word, "0123456789.") == strlen(word);
}

/* Joins a word and the one behind it. */
static void join(char **word) {
        char *joined = g_strdup_printf("%s=%s", word[0], word[1]);

        g_free(word[0]);
        g_free(word[1]);
        word[0] = joined;
        for (char **next = word + 1; next[0]; next++)
                next[0] = next[1];
}

/* "--watch 5" becomes "--watch=5", and "--watch" alone gets its default; likewise "--output FILE" and
 * "--rate /PATH". So no word is a value. */
static void join_values(char **arguments) {
        for (char **word = arguments; word[0] && !streq(word[0], "--"); word++) {
                if ((streq(word[0], "--watch") && is_number(word[1])) ||
                    (streq(word[0], "--output") && word[1]) ||
                    (streq(word[0], "--rate") && word[1] && word[1][0] == '/')) {
                        join(word);
                } else if (streq(word[0], "--rate")) {
                        g_free(word[0]);
                        word[0] = g_strdup("--rate=");
                } else if (streq(word[0], "--watch")) {
                        g_free(word[0]);
                        word[0] = g_strdup("--watch=2");
                }
        }
}

/* No value of --watch: 0 is one, and a wrong one. */
#define WATCH_NOT_GIVEN (-G_MAXDOUBLE)

/* Whether the values of options make sense. */
static bool values_fit(Ctl *ctl, GError **error) {
        if (ctl->output && !ctl->output[0]) {
                ctl_error_add(error, CTL_USAGE, _("--output needs the name of a file."));
                return false;
        }
        if (ctl->watch == WATCH_NOT_GIVEN) {
                ctl->watch = 0;
        } else if (!(ctl->watch >= 0.1 && ctl->watch <= 86400)) {
                ctl_error_add(error, CTL_USAGE, _("--watch takes between 0.1 and 86400 seconds."));
                return false;
        }
        return true;
}

/*
 * The first one or two words that are not options: they name the verb. No option takes a word as its value.
 */
static void leading_words(char **arguments, const char *ret_words[2]) {
        size_t count = 0;

        ret_words[0] = ret_words[1] = NULL;
        for (char **word = arguments + 1; arguments[0] && *word && count < 2; word++)
                if ((*word)[0] != '-')
                        ret_words[count++] = *word;
}

/* The verb for a word of other programs; NULL: there is none. */
static const char *known_elsewhere(const char *first, const char *second) {
        g_autofree char *both = g_strdup_printf("%s %s", first, second ?: "");

        for (size_t i = 0; i < ELEMENTS(other_words); i++)
                if (streq(other_words[i].typed, strchr(other_words[i].typed, ' ') ? both : first))
                        return other_words[i].verb;
        return NULL;
}

static void unknown_verb(const char *const words[2], const char *prefix, GError **error) {
        const char *meant = known_elsewhere(words[0], words[1]);
        _cleanup_(freep) char *first = value_excerpt(words[0]);
        _cleanup_(freep) char *second = value_excerpt(words[1] ?: "");

        if (meant)
                ctl_error_add(error, CTL_USAGE, _("There is no verb “%s%s%s”; did you mean “%s”?"), first,
                              prefix ? " " : "", prefix ? second : "", meant);
        else if (prefix && words[1])
                ctl_error_add(error, CTL_USAGE,
                              _("There is no verb “%s %s”; `underpassctl %s --help` lists the verbs."),
                              first, second, first);
        else if (prefix)
                ctl_error_add(error, CTL_USAGE,
                              _("“%s” needs a second word; `underpassctl %s --help` lists the verbs."),
                              words[0], words[0]);
        else
                ctl_error_add(error, CTL_USAGE,
                              _("There is no verb “%s”; `underpassctl --help` lists the verbs."), first);
}

/* The first words of verbs, or the second ones behind the first. Verbs with the same first word stand
 * together. */
static void complete_verb(const char *first, const char *word) {
        g_autofree char *last = g_strdup("");

        for (size_t i = 0; i < ELEMENTS(verbs); i++) {
                g_auto(GStrv) words = g_strsplit(verbs[i].name, " ", 2);

                if (first && words[1] && streq(words[0], first))
                        complete_offer(word, words[1], _(verbs[i].help));
                if (!first && !streq(words[0], last))
                        complete_offer(word, words[0], words[1] ? "" : _(verbs[i].help));
                g_free(last);
                last = g_strdup(words[0]);
        }
}

/* --complete WORD...: the last one is to be completed. */
static bool complete(Ctl *ctl, char **words, GError **error) {
        g_autoptr(GPtrArray) before = g_ptr_array_new();
        const char *word = "", *leading[2];
        const Verb *verb;
        unsigned count;

        for (char **each = words; *each; word = *each++)
                if (each[1] && (*each)[0] != '-')
                        g_ptr_array_add(before, *each);
        g_ptr_array_add(before, NULL);
        leading[0] = g_ptr_array_index(before, 0);
        leading[1] = leading[0] ? g_ptr_array_index(before, 1) : NULL;
        verb = leading[0] ? verb_find(leading[0], leading[1], &count) : NULL;
        if (word[0] == '-') {
                GOptionEntry entries[GLOBAL_OPTIONS + VERB_OPTIONS + 1];

                option_entries(ctl, verb, entries);
                for (const GOptionEntry *entry = entries; entry->long_name; entry++) {
                        g_autofree char *name = g_strconcat("--", entry->long_name, NULL);

                        complete_offer(word, name, entry->description);
                }
                complete_offer(word, "--help", "");
        } else if (!verb && !leading[1])
                complete_verb(leading[0], word);
        else if (verb && !complete_argument(ctl, verb->arguments, (char **) before->pdata + count, word)) {
                ctl_error_add(error, CTL_FAILED, "Nothing is known of the arguments of %s.", verb->name);
                return false;
        }
        return true;
}

/* "help VERB" and "version" are other ways to write "VERB --help" and "--version". */
static void take_words_for_options(char **arguments) {
        const char *leading[2];
        char **word = arguments;

        leading_words(arguments, leading);
        if (!leading[0] || (!streq(leading[0], "help") && !streq(leading[0], "version")))
                return;
        while (*word != leading[0])
                word++;
        char *option = g_strconcat("--", *word, NULL);
        g_free(*word);
        /* An option may stand behind the words of its verb. */
        for (; word[1]; word++)
                word[0] = word[1];
        *word = option;
}

static bool run(Ctl *ctl, char ***arguments, GError **error) {
        const char *leading[2];
        take_words_for_options(*arguments);
        join_values(*arguments);
        leading_words(*arguments, leading);

        unsigned words = 0;
        const Verb *verb = leading[0] ? verb_find(leading[0], leading[1], &words)
                                      : verb_find("status", NULL, &words);
        const char *prefix = verb || !leading[0] ? NULL : verb_prefix(leading[0]);

        /* Without a verb, --help is about all verbs and not about "status", which is the default. */
        g_autoptr(GOptionContext) context = option_context(ctl, leading[0] ? verb : NULL, prefix);
        if (!leading[0])
                words = 0;

        if (!g_option_context_parse_strv(context, arguments, error))
                return false;

        if (ctl->version) {
                g_print("underpassctl %s\n", PACKAGE_VERSION);
                return true;
        }

        if (!verb) {
                unknown_verb(leading, prefix, error);
                return false;
        }

        char **rest = *arguments + 1 + words;
        if (rest[0] && streq(rest[0], "--"))
                rest++;

        return values_fit(ctl, error) && arguments_fit(verb, rest, error) && verb->run(ctl, rest, error);
}

static bool wants_color(void) {
        const char *terminal = g_getenv("TERM");

        const char *no_color = g_getenv("NO_COLOR");

        /* no-color.org: an empty value is none. */
        return isatty(STDOUT_FILENO) && (!no_color || !*no_color) && terminal && !streq(terminal, "dumb");
}

int main(int argc, char **argv) {
        setlocale(LC_ALL, "");
        /* Programs read JSON, and bug reports have it. */
        if (g_strv_contains((const char *const *) argv, "--json"))
                setlocale(LC_MESSAGES, "C");
        bindtextdomain(GETTEXT_PACKAGE, g_getenv(LOCALE_VARIABLE) ?: LOCALEDIR);
        bind_textdomain_codeset(GETTEXT_PACKAGE, "UTF-8");
        textdomain(GETTEXT_PACKAGE);
        g_set_prgname("underpassctl");
        text_adapt_to_charset();

        g_auto(GStrv) arguments = g_strdupv(argv);
        g_autoptr(GError) error = NULL;
        Ctl ctl = { .color = wants_color(), .watch = WATCH_NOT_GIVEN };
        bool good = argc > 1 && streq(argv[1], "--complete") ? complete(&ctl, arguments + 2, &error)
                                                             : run(&ctl, &arguments, &error);

        if (good && (fflush(stdout) != 0 || ferror(stdout))) {
                ctl_error_add(&error, CTL_FAILED, _("Cannot write the output: %s."),
                              g_strerror(errno));
                good = false;
        }

        /* GOption resets the options that it has read when the command line is wrong. */
        if (!good)
                ctl.json = ctl.json || g_strv_contains((const char *const *) argv, "--json");

        g_clear_pointer(&ctl.profiles, g_ptr_array_unref);
        g_clear_object(&ctl.bus);
        g_free(ctl.output);
        g_free(ctl.rate);
        return good ? CTL_OK : ctl_error_print(&ctl, error);
}
