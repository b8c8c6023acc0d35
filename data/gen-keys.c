/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Prints the table of keys for people who read: as a section of the manual page, and as the table of
 * README.md.
 * The text stays in English, as the manual is.
 */

#include <stdio.h>

#include "base/util.h"
#include "profile/keys.h"

#define MARKER ".. keys\n"

static void print_manual(void) {
        for (KeyId id = 0; id < _KEY_ID_MAX; id++) {
                const Key *key = key_get(id);

                printf("``%s=`` (NetworkManager: ``underpass.%s``)\n"
                       "    %s\n\n"
                       "    Allowed: %s. Default: %s.\n\n",
                       key->section_name, key->name, key->help, key->range_text,
                       key->default_text[0] ? key->default_text : "empty");
        }
}

/* Copies the page and puts the keys where its marker stands. */
static int manual(const char *path) {
        _cleanup_(freep) char *page = NULL;
        size_t length;
        char *marker;
        int r;

        r = file_read(path, 1024 * 1024, &page, &length);
        if (r < 0)
                return r;

        marker = strstr(page, MARKER);
        if (!marker)
                return -EINVAL;

        printf("%.*s", (int) (marker - page), page);
        print_manual();
        fputs(marker + strlen(MARKER), stdout);
        return 0;
}

static int markdown(void) {
        puts("| key | in files | allowed | default | meaning |\n"
             "|---|---|---|---|---|");
        for (KeyId id = 0; id < _KEY_ID_MAX; id++) {
                const Key *key = key_get(id);

                printf("| `%s` | `%s=` | %s | %s | %s |\n", key->name, key->section_name, key->range_text,
                       key->default_text[0] ? key->default_text : "empty", key->help);
        }
        return 0;
}

int main(int argc, char *argv[]) {
        int r = -EINVAL;

        if (argc == 3 && streq(argv[1], "manual"))
                r = manual(argv[2]);
        else if (argc == 2 && streq(argv[1], "markdown"))
                r = markdown();
        if (r < 0 || fflush(stdout) != 0) {
                fprintf(stderr, "gen-keys: %s\n", strerror(r < 0 ? -r : errno));
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}
