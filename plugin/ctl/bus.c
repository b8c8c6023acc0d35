/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Client of org.underpass1. */

#include <signal.h>

#include "base/i18n.h"
#include "base/message.h"
#include "base/util.h"
#include "ctl/bus.h"
#include "ctl/error.h"
#include "ctl/messages.h"
#include "ctl/properties.h"

#define SERVICE_NAME "Underpass"
#define BUS_NAME "org.underpass1"
#define ROOT_PATH "/org/underpass1"
#define MANAGER_INTERFACE "org.underpass1.Manager"
#define LINK_INTERFACE "org.underpass1.Link"

enum { LIMITS_WAIT_US = 200 * 1000, PASSWORD_MS = 2 * 60 * 1000 };

static gpointer connect_to_bus(gpointer error) {
        return g_bus_get_sync(G_BUS_TYPE_SYSTEM, NULL, error);
}

/*
 * Threads that GIO starts for a bus stay, and inherit which signals are blocked. All are, or a signal that
 * the main thread blocks and waits for would go to one of them, and end the command. The main thread blocks
 * none meanwhile, for a bus may let us wait without end.
 */
static GDBusConnection *connect_without_signals(GError **error) {
        sigset_t all, before;
        GThread *thread;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        thread = g_thread_try_new("connect", connect_to_bus, error, error);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return thread ? g_thread_join(thread) : NULL;
}

bool bus_connect(Ctl *ctl, GError **error) {
        if (ctl->bus)
                return true;

        GError *local = NULL;
        ctl->bus = connect_without_signals(&local);
        if (!ctl->bus) {
                ctl_error_add(error, CTL_UNREACHABLE,
                              _("Cannot connect to the system bus: %s. Check that the D-Bus service is "
                                "running."),
                              local->message);
                g_error_free(local);
                return false;
        }

        /* When the bus goes away, the command ends with a message and an exit status, not by a signal. */
        g_dbus_connection_set_exit_on_close(ctl->bus, FALSE);
        return true;
}

/* Users other than root may be asked for a password first, by an agent of their session. */
static int patience_ms(int timeout_ms) {
        return timeout_ms > BUS_READ_TIMEOUT_MS && geteuid() != 0 ? timeout_ms + PASSWORD_MS : timeout_ms;
}

/* The service bounds what lists may cost; who is turned down asks again in a moment, until the time is
 * over. */
static GVariant *call_patiently(Ctl *ctl, const char *path, const char *interface, const char *method,
                                GVariant *arguments, const char *reply_type, int timeout_ms,
                                GError **error) {
        const gint64 end_us = g_get_monotonic_time() + timeout_ms * (gint64) 1000;

        for (;;) {
                GVariant *reply = g_dbus_connection_call_sync(
                                ctl->bus, BUS_NAME, path, interface, method, arguments,
                                G_VARIANT_TYPE(reply_type),
                                G_DBUS_CALL_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION, timeout_ms, NULL, error);

                if (reply || !g_error_matches(*error, G_DBUS_ERROR, G_DBUS_ERROR_LIMITS_EXCEEDED) ||
                    g_get_monotonic_time() > end_us)
                        return reply;
                g_clear_error(error);
                g_usleep(LIMITS_WAIT_US);
        }
}

/* The properties as the service sent them; NULL when it did not. */
static GVariant *link_properties(Ctl *ctl, const char *interface) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GVariant) found =
                call_patiently(ctl, ROOT_PATH, MANAGER_INTERFACE, "GetLink", g_variant_new("(s)", interface),
                               "(o)", BUS_READ_TIMEOUT_MS, &error);
        if (!found)
                return NULL;

        const char *path;
        g_variant_get(found, "(&o)", &path);
        g_autoptr(GVariant) reply = call_patiently(ctl, path, "org.freedesktop.DBus.Properties", "GetAll",
                                                   g_variant_new("(s)", LINK_INTERFACE), "(a{sv})",
                                                   BUS_READ_TIMEOUT_MS, &error);

        return reply ? g_variant_get_child_value(reply, 0) : NULL;
}

/* What the service remembers of the errors that it has told us; NULL when it does not. Without starting it:
 * an error may come from the bus. */
static GVariant *told_messages(const Ctl *ctl) {
        g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
                        ctl->bus, BUS_NAME, ROOT_PATH, "org.freedesktop.DBus.Properties", "Get",
                        g_variant_new("(ss)", MANAGER_INTERFACE, "Messages"), G_VARIANT_TYPE("(v)"),
                        G_DBUS_CALL_FLAGS_NO_AUTO_START, BUS_READ_TIMEOUT_MS, NULL, NULL);
        if (!reply)
                return NULL;

        g_auto(GVariantDict) properties = G_VARIANT_DICT_INIT(NULL);
        g_autoptr(GVariant) value = NULL;
        g_variant_get(reply, "(v)", &value);
        g_variant_dict_insert_value(&properties, "Messages", value);
        return g_variant_ref_sink(g_variant_dict_end(&properties));
}

/* Errors whose sentences may have arguments. Others come from the bus, or from a service that is busy. */
static bool may_be_told(const char *name) {
        static const char *const names[] = {
                "org.freedesktop.DBus.Error.AccessDenied",
                "org.freedesktop.DBus.Error.Failed",
                "org.freedesktop.DBus.Error.InvalidArgs",
                "org.freedesktop.DBus.Error.LimitsExceeded",
                "org.underpass1.Error.Failed",
        };

        for (size_t i = 0; i < ELEMENTS(names); i++)
                if (streq(names[i], name))
                        return true;
        return false;
}

/* An error of the service is a sentence without arguments, one of those that its link has as well, or one
 * that the service remembers. */
static void translate_error(Ctl *ctl, const char *subject, GError *error) {
        g_autofree char *name = g_dbus_error_get_remote_error(error);
        g_autofree char *prefix = g_strdup_printf("GDBus.Error:%s: ", name ?: "");
        if (!name || !g_str_has_prefix(error->message, prefix))
                return;

        const bool of_link = subject && (streq(name, "org.underpass1.Error.Failed") ||
                                         streq(name, "org.underpass1.Error.NothingToDo"));
        const char *sentence = error->message + strlen(prefix);
        g_autoptr(GVariant) properties = NULL;
        if (of_link)
                properties = link_properties(ctl, subject);
        else if (may_be_told(name) && streq(message_lookup(sentence), sentence))
                properties = told_messages(ctl);
        g_autofree char *text = messages_translate_text(properties, sentence);
        char *message = g_strconcat(prefix, text, NULL);

        g_free(error->message);
        error->message = message;
}

static GVariant *call_object(Ctl *ctl, const char *path, const char *interface, const char *method,
                             GVariant *arguments, const char *reply_type, int timeout_ms,
                             const char *subject, GError **error) {

        g_autoptr(GVariant) owned = arguments ? g_variant_ref_sink(arguments) : NULL;
        if (!bus_connect(ctl, error))
                return NULL;

        GError *local = NULL;
        GVariant *reply =
                call_patiently(ctl, path, interface, method, owned, reply_type, timeout_ms, &local);
        if (!reply) {
                translate_error(ctl, subject, local);
                ctl_error_take_bus(error, local, SERVICE_NAME, subject);
        }

        return reply;
}

GVariant *bus_call(Ctl *ctl, const char *method, GVariant *arguments, const char *reply_type, int timeout_ms,
                   const char *subject, GError **error) {

        return call_object(ctl, ROOT_PATH, MANAGER_INTERFACE, method, arguments, reply_type,
                           patience_ms(timeout_ms), subject, error);
}

static int read_timeout_ms(const Ctl *ctl) {
        return ctl->patience_ms > 0 ? ctl->patience_ms : BUS_READ_TIMEOUT_MS;
}

static GVariant *get_properties(Ctl *ctl, const char *path, const char *interface, const char *subject,
                                GError **error) {
        g_autoptr(GVariant) reply = call_object(ctl, path, "org.freedesktop.DBus.Properties", "GetAll",
                                                g_variant_new("(s)", interface), "(a{sv})",
                                                read_timeout_ms(ctl), subject, error);

        if (!reply)
                return NULL;

        g_autoptr(GVariant) properties = g_variant_get_child_value(reply, 0);
        return messages_translate(properties);
}

GVariant *bus_manager(Ctl *ctl, GError **error) {
        return get_properties(ctl, ROOT_PATH, MANAGER_INTERFACE, NULL, error);
}

/* D-Bus cannot carry a name that is not UTF-8. */
static bool interface_name_known(const char *interface, GError **error) {
        if (g_utf8_validate(interface, -1, NULL))
                return true;

        g_autofree char *valid = g_utf8_make_valid(interface, -1);
        ctl_error_add(error, CTL_NOT_FOUND, _("There is no link “%s”: the name is not valid UTF-8."), valid);
        return false;
}

GVariant *bus_link(Ctl *ctl, const char *interface, GError **error) {
        if (!interface_name_known(interface, error))
                return NULL;

        g_autoptr(GVariant) reply = bus_call(ctl, "GetLink", g_variant_new("(s)", interface), "(o)",
                                             BUS_READ_TIMEOUT_MS, interface, error);
        if (!reply)
                return NULL;

        const char *path;
        g_variant_get(reply, "(&o)", &path);
        return get_properties(ctl, path, LINK_INTERFACE, interface, error);
}

GVariant *bus_link_property(Ctl *ctl, const char *path, const char *name, const char *type, int timeout_ms) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GVariant) value = NULL;
        g_autoptr(GVariant) reply = call_object(ctl, path, "org.freedesktop.DBus.Properties", "Get",
                                                g_variant_new("(ss)", LINK_INTERFACE, name), "(v)",
                                                timeout_ms, NULL, &error);

        if (!reply)
                return NULL;
        g_variant_get(reply, "(v)", &value);
        return g_variant_is_of_type(value, G_VARIANT_TYPE(type)) ? g_steal_pointer(&value) : NULL;
}

static int compare_links(gconstpointer a, gconstpointer b) {
        uint32_t index_a = property_number(*(GVariant *const *) a, "InterfaceIndex");
        uint32_t index_b = property_number(*(GVariant *const *) b, "InterfaceIndex");

        return index_a < index_b ? -1 : index_a > index_b;
}

GPtrArray *bus_links(Ctl *ctl, GError **error) {
        g_autoptr(GVariant) reply = call_object(ctl, ROOT_PATH, "org.freedesktop.DBus.ObjectManager",
                                                "GetManagedObjects", NULL, "(a{oa{sa{sv}}})",
                                                read_timeout_ms(ctl), NULL, error);
        if (!reply)
                return NULL;

        GPtrArray *links = g_ptr_array_new_with_free_func((GDestroyNotify) g_variant_unref);
        g_autoptr(GVariant) objects = g_variant_get_child_value(reply, 0);
        GVariantIter iterator;
        GVariant *interfaces;

        g_variant_iter_init(&iterator, objects);
        while (g_variant_iter_loop(&iterator, "{&o@a{sa{sv}}}", NULL, &interfaces)) {
                g_autoptr(GVariant) link =
                        g_variant_lookup_value(interfaces, LINK_INTERFACE, G_VARIANT_TYPE_VARDICT);
                if (link)
                        g_ptr_array_add(links, messages_translate(link));
        }

        g_ptr_array_sort(links, compare_links);
        return links;
}
