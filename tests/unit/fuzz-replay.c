/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Feeds every file of a folder to a fuzz target: whole, cut at every length, and with each byte damaged. An
 * input that ever broke something stays in the folder. May touch: reads the folder named on the command
 * line.
 */

#include "unit.h"

#include <dirent.h>

#include "fuzz.h"

enum {
        INPUT_BYTES_MAX = 64 * 1024,
        DAMAGED_MAX = 512,   /* longer inputs are replayed as they are */
};

static void feed(const char *bytes, size_t length) {
        /* A copy of exactly this size, so that a sanitizer sees a read beyond it. */
        uint8_t *exact = malloc(length > 0 ? length : 1);

        assert(exact);
        memcpy(exact, bytes, length);
        assert(LLVMFuzzerTestOneInput(exact, length) == 0);
        free(exact);
}

static void replay(const char *path) {
        _cleanup_(freep) char *bytes = NULL;
        size_t length;

        printf("# %s\n", path);
        fflush(stdout);
        assert(file_read(path, INPUT_BYTES_MAX, &bytes, &length) == 0);
        feed(bytes, length);
        for (size_t i = 0; length <= DAMAGED_MAX && i < length; i++) {
                static const char damages[] = { '\0', '\xff', '\n', '=', '-', '9', '\\' };
                const char before = bytes[i];

                feed(bytes, i);
                for (size_t k = 0; k < ELEMENTS(damages); k++) {
                        bytes[i] = damages[k];
                        feed(bytes, length);
                }
                bytes[i] = before;
        }
}

int main(int argc, char *argv[]) {
        struct dirent **entries = NULL;
        size_t replayed = 0;

        assert(argc == 2);
        int count = scandir(argv[1], &entries, NULL, alphasort);
        assert(count >= 0);
        for (int i = 0; i < count; i++) {
                if (entries[i]->d_name[0] != '.') {
                        _cleanup_(freep) char *path = string_format("%s/%s", argv[1], entries[i]->d_name);

                        replay(path);
                        replayed++;
                }
                free(entries[i]);
        }
        free(entries);
        assert(replayed > 0);
        printf("1..1\nok 1 - %zu inputs and their neighbours break nothing\n", replayed);
        return 0;
}
