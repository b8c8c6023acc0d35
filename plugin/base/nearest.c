/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See nearest.h. */

#include <ctype.h>
#include <string.h>

#include "base/nearest.h"
#include "base/util.h"

static int fold(char c) {
        return c == '_' ? '-' : tolower((unsigned char) c);
}

/* Optimal string alignment distance. */
size_t nearest_distance(const char *a, const char *b) {
        size_t rows[3][NEAREST_LENGTH_MAX + 1];
        const size_t length_a = strnlen(a, NEAREST_LENGTH_MAX + 1);
        const size_t length_b = strnlen(b, NEAREST_LENGTH_MAX + 1);

        if (MAX_OF(length_a, length_b) > NEAREST_LENGTH_MAX)
                return NEAREST_LENGTH_MAX;
        for (size_t k = 0; k <= length_b; k++)
                rows[0][k] = k;

        for (size_t i = 1; i <= length_a; i++) {
                size_t *row = rows[i % 3];
                const size_t *above = rows[(i + 2) % 3], *twice_above = rows[(i + 1) % 3];

                row[0] = i;
                for (size_t k = 1; k <= length_b; k++) {
                        const size_t wrong = fold(a[i - 1]) != fold(b[k - 1]);
                        size_t best = above[k - 1] + wrong;

                        best = MIN_OF(best, above[k] + 1);
                        best = MIN_OF(best, row[k - 1] + 1);
                        if (i > 1 && k > 1 && fold(a[i - 1]) == fold(b[k - 2]) &&
                            fold(a[i - 2]) == fold(b[k - 1]))
                                best = MIN_OF(best, twice_above[k - 2] + 1);
                        row[k] = best;
                }
        }
        return rows[length_a % 3][length_b];
}

/* With a third of its characters wrong a name is misspelt; with more it is another word. */
size_t nearest_limit(const char *name) {
        const size_t length = strnlen(name, NEAREST_LENGTH_MAX + 1);

        return length < 2 || length > NEAREST_LENGTH_MAX ? 0 : length / 3;
}
