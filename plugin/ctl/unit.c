/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What systemd says of the service. */

#include "ctl/unit.h"
#include "base/util.h"

enum { SYSTEMD_TIMEOUT_MS = 1000 };

static const struct {
        const char *word;
        CheckUnit unit;
} file_states[] = {
        { "enabled", CHECK_UNIT_ENABLED },       { "enabled-runtime", CHECK_UNIT_ENABLED },
        { "disabled", CHECK_UNIT_DISABLED },     { "masked", CHECK_UNIT_MASKED },
        { "masked-runtime", CHECK_UNIT_MASKED },
};

CheckUnit unit_state(GDBusConnection *bus) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
                bus, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                "org.freedesktop.systemd1.Manager", "GetUnitFileState", g_variant_new("(s)", UNIT_NAME),
                G_VARIANT_TYPE("(s)"), G_DBUS_CALL_FLAGS_NO_AUTO_START, SYSTEMD_TIMEOUT_MS, NULL, &error);
        const char *word;

        if (!reply) {
                g_autofree char *name = g_dbus_error_get_remote_error(error);

                return name && (streq(name, "org.freedesktop.systemd1.NoSuchUnit") ||
                                streq(name, "org.freedesktop.DBus.Error.FileNotFound")) ?
                               CHECK_UNIT_MISSING :
                               CHECK_UNIT_UNKNOWN;
        }
        g_variant_get(reply, "(&s)", &word);
        for (size_t i = 0; i < ELEMENTS(file_states); i++)
                if (streq(file_states[i].word, word))
                        return file_states[i].unit;
        return CHECK_UNIT_ENABLED; /* linked, generated …: somebody has arranged for it */
}

char *unit_last_words(void) {
        static const char *const command[] = { "journalctl",         "--unit=" UNIT_NAME,
                                               "--priority=warning", "--lines=1",
                                               "--output=cat",       "--quiet",
                                               "--no-pager",         NULL };
        g_autofree char *text = NULL;
        int status;

        if (!g_spawn_sync(NULL, (char **) command, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL,
                          NULL, NULL, &text, NULL, &status, NULL) ||
            status != 0 || !text)
                return g_strdup("");
        return g_strdup(g_strstrip(text));
}
