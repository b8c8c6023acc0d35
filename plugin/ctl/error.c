/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Errors of underpassctl. What the bus reports becomes an exit code and a sentence that names the object,
 * the reason and what to do.
 */

#include <stdio.h>

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/error.h"
#include "ctl/json.h"
#include "ctl/text.h"
#include "profile/keys.h"

G_DEFINE_QUARK(underpassctl-error, ctl_error)

/* Adds complete lines. */
static void append(GError **error, CtlExit code, const char *text) {
        if (!*error) {
                *error = g_error_new_literal(CTL_ERROR, code, text);
                return;
        }

        char *joined = g_strconcat((*error)->message, "\n", text, NULL);
        g_free((*error)->message);
        (*error)->message = joined;
}

void ctl_error_add(GError **error, CtlExit code, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        g_autofree char *text = g_strdup_vprintf(format, arguments);
        va_end(arguments);

        /* Names come from anywhere: none of them makes a line that looks like one of ours. */
        g_auto(GStrv) parts = g_strsplit(text, "\n", -1);
        g_autofree char *line = g_strjoinv("\\x0a", parts);
        append(error, code, line);
}

void ctl_error_unknown_key(GError **error, const char *name) {
        const Key *meant = key_suggest(name);
        _cleanup_(freep) char *excerpt = value_excerpt(name);

        if (meant)
                ctl_error_add(error, CTL_BAD_VALUE, _("There is no key “%s”; did you mean “%s”?"), excerpt,
                              meant->name);
        else
                ctl_error_add(error, CTL_BAD_VALUE,
                              _("There is no key “%s”; `underpassctl keys` lists the keys."), excerpt);
}

void ctl_error_unknown_link(GError **error, const char *interface) {
        _cleanup_(freep) char *excerpt = value_excerpt(interface);

        ctl_error_add(error, CTL_NOT_FOUND,
                      _("There is no link “%s”; `underpassctl status --all` lists the links."), excerpt);
}

void ctl_error_take(GError **error, GError *more) {
        if (!*error) {
                *error = more;
                return;
        }

        append(error, (CtlExit) more->code, more->message);
        g_error_free(more);
}

/*
 * What a D-Bus error name means. A sentence has at most three %s: the service, the message of the
 * error, and the unit of the service.
 */
typedef struct BusError {
        const char *name;
        CtlExit code;
        const char *sentence;
} BusError;

static const BusError bus_errors[] = {
        { "org.freedesktop.DBus.Error.ServiceUnknown", CTL_UNREACHABLE,
          N_("%s is not running and the bus cannot start it; check that its package is fully "
             "installed.") },
        { "org.freedesktop.DBus.Error.NameHasNoOwner", CTL_UNREACHABLE,
          N_("%s is not running; start its service and try again.") },
        { "org.freedesktop.DBus.Error.NoReply", CTL_UNREACHABLE,
          N_("%s did not answer (%s); see its journal for the reason.") },
        { "org.freedesktop.DBus.Error.Timeout", CTL_UNREACHABLE,
          N_("%s did not answer in time (%s); see its journal for the reason.") },
        { "org.freedesktop.DBus.Error.TimedOut", CTL_UNREACHABLE,
          N_("%s did not start in time (%s); see its journal for the reason.") },
        { "org.freedesktop.DBus.Error.Disconnected", CTL_UNREACHABLE,
          N_("The bus closed the connection before %s answered (%s); try again.") },
        { "org.freedesktop.systemd1.NoSuchUnit", CTL_UNREACHABLE,
          N_("%1$s is not enabled as a service (%2$s); as root, `systemctl enable --now %3$s` starts it, "
             "now and at every boot.") },
        { "org.freedesktop.systemd1.UnitMasked", CTL_UNREACHABLE,
          N_("The service %1$s is masked (%2$s); `systemctl unmask %3$s` allows it to start.") },
        { "org.freedesktop.DBus.Error.AccessDenied", CTL_FAILED,
          N_("%s allows only root, and users whom polkit authorizes, to do that (%s); run the command as "
             "root, for example with sudo.") },
        { "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", CTL_FAILED,
          N_("%s asks for a password before this user may do that, and no polkit agent is there to "
             "ask (%s); run the command in a desktop session, or as root, for example with sudo.") },
        { "org.freedesktop.DBus.Error.UnknownMethod", CTL_FAILED,
          N_("%s does not support this request (%s); restart the service if it was upgraded.") },
        { "org.freedesktop.NetworkManager.Settings.PermissionDenied", CTL_FAILED,
          N_("%s allows only root or authorized users to do that (%s); run the command as root.") },
};

static const BusError *bus_error_find(const char *name) {
        for (size_t i = 0; name && i < ELEMENTS(bus_errors); i++)
                if (streq(bus_errors[i].name, name))
                        return &bus_errors[i];

        return NULL;
}

/* Errors of GDBus itself, which have no D-Bus name. */
static const char *local_error_name(const GError *error) {
        if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
                return "org.freedesktop.DBus.Error.Timeout";
        if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CLOSED))
                return "org.freedesktop.DBus.Error.Disconnected";
        return NULL;
}

void ctl_error_take_bus(GError **error, GError *more, const char *service, const char *subject) {
        g_autofree char *name = g_dbus_error_get_remote_error(more);
        if (!name)
                name = g_strdup(local_error_name(more));
        g_dbus_error_strip_remote_error(more);

        const BusError *known = bus_error_find(name);
        if (known) {
                bool ours = streq(service, "Underpass");

                ctl_error_add(error, known->code, _(known->sentence), service, more->message,
                              ours ? "underpass.service" : "NetworkManager.service");
        } else if (name && streq(name, "org.underpass1.Error.NoSuchLink")) {
                ctl_error_unknown_link(error, subject ?: "");
        } else if (name && g_str_has_prefix(name, "org.freedesktop.DBus.Error.Spawn")) {
                ctl_error_add(error, CTL_UNREACHABLE,
                              _("The bus cannot start %s (%s); see its journal for the reason."), service,
                              more->message);
        } else if (subject) {
                ctl_error_add(error, CTL_FAILED, "%s: %s", subject, more->message);
        } else {
                ctl_error_add(error, CTL_FAILED, "%s", more->message);
        }

        g_error_free(more);
}

int ctl_error_print(const Ctl *ctl, const GError *error) {
        /* Errors of other domains come from the command line only: GOption. */
        int code = error->domain == CTL_ERROR ? error->code : CTL_USAGE;

        if (ctl->json) {
                g_autoptr(JsonBuilder) builder = json_builder_new();
                json_builder_begin_object(builder);
                json_member_string(builder, "error", error->message);
                json_member_number(builder, "exit_status", (uint64_t) code);
                json_builder_end_object(builder);

                g_autofree char *line = json_line(builder);
                fprintf(stderr, "%s\n", line);
                return code;
        }

        g_auto(GStrv) lines = g_strsplit(error->message, "\n", error->domain == CTL_ERROR ? -1 : 1);
        for (char **line = lines; *line; line++) {
                g_autofree char *clean = text_clean(*line);
                g_printerr("%s%s\n", clean[0] == ' ' ? "" : "underpassctl: ", clean);
        }

        return code;
}
