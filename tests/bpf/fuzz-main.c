/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Stands in for libFuzzer where that is not at hand: replays the files it is given, or makes a fixed number
 * of random inputs.
 *
 * Room: libc only, reads the files named on the command line.
 */

#include <string.h>

#include "fuzz.h"

enum {
        INPUT_MAX = 2048,
        ROUNDS = 200000,
        LONG_INPUT = 1490,
        SHORT_INPUT = 64,
};

static bool replay(const char *path) {
        uint8_t input[INPUT_MAX];
        FILE *file = fopen(path, "rbe");
        size_t length;

        if (!file) {
                perror(path);
                return false;
        }
        length = fread(input, 1, sizeof(input), file);
        fclose(file);
        LLVMFuzzerTestOneInput(input, length);
        return true;
}

/* Mostly short ones: headers are where it matters. Runs of 00 and ff make checksums carry. */
static void make_inputs(void) {
        uint64_t random = 0x5eed0006;
        uint8_t input[INPUT_MAX];

        for (int i = 0; i < ROUNDS; i++) {
                size_t length = expect_random(&random) % (i % 16 == 0 ? LONG_INPUT : SHORT_INPUT);

                expect_random_bytes(&random, input, length);
                if (i % 4 == 0 && length > 0) {
                        size_t from = expect_random(&random) % length;

                        memset(input + from, i % 8 == 0 ? 0xff : 0,
                               expect_random(&random) % (length - from + 1));
                }
                LLVMFuzzerTestOneInput(input, length);
        }
}

int main(int count, char **arguments) {
        if (count == 1)
                make_inputs();
        for (int i = 1; i < count; i++)
                if (!replay(arguments[i]))
                        return EXIT_FAILED;
        printf("ok    %s\n", arguments[0]);
        return EXIT_PASSED;
}
