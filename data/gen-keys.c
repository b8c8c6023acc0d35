/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Puts the table of keys into the manual pages and the D-Bus interface, and into pages the folders of this
 * build. Lists the names of the keys for checks.
 *
 * The text stays in English, as the manual is.
 */

#include <stdio.h>

#include "base/util.h"
#include "config.h"
#include "profile/keys.h"

static void print_keys(void) {
        for (KeyId id = 0; id < _KEY_ID_MAX; id++) {
                const Key *key = key_get(id);

                printf("``%s=`` (NetworkManager: ``" KEY_USER_DATA_PREFIX "%s``)\n"
                       "    %s\n\n"
                       "    Allowed: %s. Default: %s.\n\n",
                       key->section_name, key->name, key->help, key->range_text,
                       key->default_text[0] ? key->default_text : "empty");
        }
}

static void print_properties(void) {
        for (KeyId id = 0; id < _KEY_ID_MAX; id++) {
                const Key *key = key_get(id);

                printf("``%s %s``\n    Value of the key ``%s``.", key->section_name, key_signature(key),
                       key->name);
                if (key->type == KEY_NUMBER && key->zero_word)
                        printf(" 0 stands for *%s*.", key->zero_word);
                printf("\n\n");
        }
}

static void print_members(void) {
        for (KeyId id = 0; id < _KEY_ID_MAX; id++)
                printf("  <property name=\"%s\" type=\"%s\" access=\"read\"/>\n", key_get(id)->section_name,
                       key_signature(key_get(id)));
}

/* A line of a page, and what takes its place. */
static const struct {
        const char *marker;
        void (*print)(void);
} sections[] = {
        { ".. keys\n", print_keys },
        { ".. key-properties\n", print_properties },
        { "  <!-- made from the table of keys -->\n", print_members },
};

/* Folders as the sources of the pages call them, and where they are in this build. */
static const struct {
        const char *usual, *configured;
} folders[] = {
        { "/etc/underpass", PROFILES_FOLDER },
        { "/usr/lib/NetworkManager", NETWORKMANAGER_FOLDER },
        { "/usr/share/doc/underpass", DOC_FOLDER },
        { "/usr/share/polkit-1/actions", POLKIT_FOLDER },
        { "/usr/share/underpass", WIRESHARK_FOLDER },
};

static bool begins_with(const char *text, const char *prefix) {
        return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Prints part of a page, with the folders of this build. */
static void print_part(const char *text, size_t length) {
        const char *end = text + length;

        while (text < end) {
                size_t i = 0;

                while (i < ELEMENTS(folders) && !begins_with(text, folders[i].usual))
                        i++;
                if (i == ELEMENTS(folders)) {
                        putchar(*text++);
                        continue;
                }
                fputs(folders[i].configured, stdout);
                text += strlen(folders[i].usual);
        }
}

/* Copies the page and puts the keys where its marker stands, if there has to be one. */
static int manual(const char *path, bool marked) {
        _cleanup_(freep) char *page = NULL;
        size_t length;
        int r;

        r = file_read(path, 1024 * 1024, &page, &length);
        if (r < 0)
                return r;

        for (size_t i = 0; i < ELEMENTS(sections); i++) {
                const char *marker = strstr(page, sections[i].marker);

                if (!marker)
                        continue;
                print_part(page, marker - page);
                sections[i].print();
                marker += strlen(sections[i].marker);
                print_part(marker, strlen(marker));
                return marked ? 0 : -EINVAL;
        }
        if (!marked)
                print_part(page, length);
        return marked ? -EINVAL : 0;
}

/* One per line: "remote-ports RemotePorts". */
static void names(void) {
        for (KeyId id = 0; id < _KEY_ID_MAX; id++)
                printf("%s %s\n", key_get(id)->name, key_get(id)->section_name);
}

int main(int argc, char *argv[]) {
        int r = -EINVAL;

        if (argc == 3 && (streq(argv[1], "manual") || streq(argv[1], "page")))
                r = manual(argv[2], streq(argv[1], "manual"));
        else if (argc == 2 && streq(argv[1], "names")) {
                names();
                r = 0;
        }
        if (r < 0 || fflush(stdout) != 0) {
                fprintf(stderr, "gen-keys: %s\n", strerror(r < 0 ? -r : errno));
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}
