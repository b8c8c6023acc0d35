/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See complete.h. */

#include <net/if.h>
#include <stdio.h>

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/complete.h"
#include "ctl/nm-device.h"
#include "ctl/text.h"
#include "profile/keys.h"

enum { SLOTS_MAX = 8 };

/* One word of the usage. */
typedef struct Slot {
        char **alternatives;   /* "INTERFACE", "PROFILE" */
        bool repeated;
} Slot;

typedef struct Completion {
        Ctl *ctl;
        const char *word;
        const char *selector;  /* how profiles are named; NULL: by id */
} Completion;

void complete_offer(const char *word, const char *candidate, const char *description) {
        g_autofree char *clean = text_clean(candidate);

        if (g_str_has_prefix(candidate, word) && streq(clean, candidate))
                printf("%s\t%s\n", candidate, description ?: "");
}

/* The helper devices of Underpass itself never have a tunnel. */
static void offer_links(const Completion *completion) {
        struct if_nameindex *links = if_nameindex();

        for (const struct if_nameindex *link = links; link && link->if_index != 0; link++)
                if (!streq(link->if_name, "lo") && !g_str_has_prefix(link->if_name, "underpass-"))
                        complete_offer(completion->word, link->if_name, "");
        if_freenameindex(links);
}

static void offer_profile(const Completion *completion, GDBusConnection *bus, const NmProfile *profile) {
        const char *selector = completion->selector ?: "id";

        if (streq(selector, "uuid"))
                complete_offer(completion->word, profile->uuid, profile->id);
        else if (streq(selector, "path"))
                complete_offer(completion->word, profile->path, profile->id);
        else if (streq(selector, "filename")) {
                g_autofree char *file = nm_profile_file(bus, profile);

                complete_offer(completion->word, file, profile->id);
        } else
                complete_offer(completion->word, profile->id, "");
}

static void offer_profiles(const Completion *completion) {
        g_autoptr(GDBusConnection) bus = g_bus_get_sync(G_BUS_TYPE_SYSTEM, NULL, NULL);

        if (!bus)
                return;
        g_dbus_connection_set_exit_on_close(bus, FALSE);

        g_autoptr(GPtrArray) profiles = nm_profiles_read(bus);
        for (guint i = 0; i < profiles->len; i++)
                offer_profile(completion, bus, g_ptr_array_index(profiles, i));
}

static void offer_keys(const Completion *completion) {
        for (int id = 0; id < _KEY_ID_MAX; id++)
                complete_offer(completion->word, key_get((KeyId) id)->name, _(key_get((KeyId) id)->help));
}

/* "KEY=", and behind it the words that the key takes. */
static void offer_assignments(const Completion *completion) {
        const char *equals = strchr(completion->word, '=');
        g_autofree char *name =
                equals ? g_strndup(completion->word, (gsize) (equals - completion->word)) : NULL;
        const Key *key = name ? key_find(name) : NULL;

        for (int id = 0; id < _KEY_ID_MAX && !equals; id++) {
                g_autofree char *candidate = g_strconcat(key_get((KeyId) id)->name, "=", NULL);

                complete_offer(completion->word, candidate, _(key_get((KeyId) id)->help));
        }
        for (size_t number = 0; key && key_word(key, number); number++) {
                g_autofree char *candidate = g_strconcat(name, "=", key_word(key, number), NULL);

                complete_offer(completion->word, candidate, "");
        }
}

static void ask_for_files(const Completion *completion) {
        printf("\tfiles\n");
}

static void ask_for_hosts(const Completion *completion) {
        printf("\thosts\n");
}

static void offer_nothing(const Completion *completion) {
}

/* The words that usages are made of. */
static const struct {
        const char *word;
        void (*offer)(const Completion *completion);
} kinds[] = {
        { "INTERFACE", offer_links },
        { "LINK", offer_links },
        { "PROFILE", offer_profiles },
        { "KEY", offer_keys },
        { "KEY=VALUE", offer_assignments },
        { "FILE", ask_for_files },
        { "HOST", ask_for_hosts },
        { "ADDRESS", offer_nothing },
        { "PORT", offer_nothing },
        { "VERB", offer_nothing },
};

static bool offer_kind(const Completion *completion, const char *kind) {
        if (g_str_has_prefix(kind, "--"))
                return true;
        for (size_t i = 0; i < ELEMENTS(kinds); i++)
                if (streq(kinds[i].word, kind)) {
                        kinds[i].offer(completion);
                        return true;
                }
        return false;
}

/* "[INTERFACE|PROFILE]..." is two alternatives, repeated; "HOST[:PORT]" is a HOST. */
static Slot read_slot(const char *text) {
        g_autofree char *plain = g_strdup(text);
        char *end = plain;

        for (const char *p = text; *p; p++)
                if (!strchr("[]", *p))
                        *end++ = *p;
        *end = '\0';

        Slot slot = { .repeated = strstr(plain, "...") };
        g_auto(GStrv) pieces = g_strsplit(plain, "...", -1);
        g_autofree char *joined = g_strjoinv("", pieces);

        slot.alternatives = g_strsplit(joined, "|", -1);
        for (char **alternative = slot.alternatives; *alternative; alternative++)
                if (!g_str_has_prefix(*alternative, "--"))
                        (*alternative)[strcspn(*alternative, ":")] = '\0';
        return slot;
}

static bool is_selector(const char *word) {
        static const char *const selectors[] = { "id", "uuid", "path", "filename", NULL };

        return word && g_strv_contains(selectors, word);
}

bool complete_argument(Ctl *ctl, const char *usage, char **before, const char *word) {
        g_auto(GStrv) texts = g_strsplit(usage, " ", SLOTS_MAX);
        Completion completion = { .ctl = ctl, .word = word };
        char **texts_left = texts;
        bool known = true;

        if (usage[0] == '\0')
                return true;
        if (streq(texts[0], "[SELECTOR]")) {
                texts_left++;
                if (is_selector(before[0]))
                        completion.selector = *before++;
        }

        const size_t count = g_strv_length(texts_left), position = g_strv_length(before);
        const Slot slot = read_slot(texts_left[MIN_OF(position, count - 1)]);

        for (char **kind = slot.alternatives; *kind && (position < count || slot.repeated); kind++)
                known = offer_kind(&completion, *kind) && known;
        g_strfreev(slot.alternatives);
        return known;
}
