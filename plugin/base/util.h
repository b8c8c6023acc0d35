/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Small helpers that every room may use: ownership macros, strings, files.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))
#define _printf_(text, arguments) __attribute__((format(printf, text, arguments)))
#define _unused_ __attribute__((unused))

#define ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))
#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))

/*
 * Fails the build when a table that is indexed by an enum has too few or too many entries. The table has to
 * be declared without a length, as in `static const char *const names[] = { [MODE_TC] = "tc", … };`, so that
 * its length is that of the highest entry. Gaps below it are for a unit test to find: assert_all_named().
 */
#define ASSERT_TABLE_COMPLETE(table, max)                        \
        _Static_assert(ELEMENTS(table) == (size_t) (max),        \
                       #table " needs exactly one entry for each value below " #max)

/* Hands a pointer over: the variable is NULL afterwards, so its cleanup frees nothing. */
#define TAKE_PTR(pointer)                               \
        ({                                              \
                __typeof__(pointer) *_from = &(pointer);\
                __typeof__(pointer) _taken = *_from;    \
                *_from = NULL;                          \
                _taken;                                 \
        })

/* The same for file descriptors: the variable is -EBADF afterwards. */
#define TAKE_FD(fd)                                     \
        ({                                              \
                int *_from = &(fd);                     \
                int _taken = *_from;                    \
                *_from = -EBADF;                        \
                _taken;                                 \
        })

/* Defines name##p() for _cleanup_: calls the destructor unless the pointer is NULL. */
#define DEFINE_CLEANUP(type, name)                      \
        static inline _unused_ void name##p(type *pointer) { \
                if (*pointer)                           \
                        name(*pointer);                 \
        }

static inline void freep(void *pointer) {
        free(*(void **) pointer);
}

/*
 * Room for one more element behind the count that there are; room: for how many there is space, 0 at first.
 * The array may move. 0 or -ENOMEM, and nothing has changed.
 */
int room_for_one(void *array, size_t count, size_t *room, size_t size);

/* The same for an array, a pointer to its elements, and a variable of type size_t. */
#define ROOM_FOR_ONE(array, count, room) room_for_one(&(array), (count), &(room), sizeof(*(array)))

/* Closes a descriptor and keeps errno; a negative one is ignored. Returns -EBADF, to be assigned to the
 * variable. */
int close_fd(int fd);

static inline void close_fdp(int *fd) {
        close_fd(*fd);
}

static inline bool streq(const char *a, const char *b) {
        return strcmp(a, b) == 0;
}

/* Whether a text ends so, with something before it. */
static inline bool has_suffix(const char *text, const char *suffix) {
        const size_t length = strlen(text), suffix_length = strlen(suffix);

        return length > suffix_length && streq(text + length - suffix_length, suffix);
}

/* Allocates "format …" as printf does; NULL when out of memory. */
char *string_format(const char *format, ...) _printf_(1, 2);

/* Replaces *target by a copy of value (NULL allowed). 0, or -ENOMEM with the target untouched. */
int string_replace(char **target, const char *value);

/* True for valid UTF-8 without NUL up to length (RFC 3629: no surrogates, no overlong forms, at most
 * U+10FFFF). */
bool utf8_valid(const char *text, size_t length);

/*
 * A safe excerpt of hostile text for messages: at most limit characters, "…" where it was cut, bytes that
 * are not UTF-8 and characters that would steer a terminal as \xNN. Caller frees; NULL when out of memory.
 */
char *string_excerpt(const char *text, size_t length, size_t limit);

/* Writes text to an existing file such as a sysctl. Negative errno. */
int file_write(const char *path, const char *text);

/*
 * The word as a shell takes it, in single quotes if need be: it stays one word whatever is in it, also where
 * the screen has typographic quotes as ASCII. Control characters become "?". Caller frees; NULL when out of
 * memory.
 */
char *string_shell_word(const char *word);

/* The same as an argument of a command that would take it for an option where it begins with "-": there "--"
 * stands before it. */
char *string_shell_operand(const char *word);

struct stat;

/*
 * Opens a regular file for reading and never waits, whatever stands there. The descriptor, which the caller
 * closes, or a negative errno: -EISDIR for a directory, -EBADFD for a FIFO, a device or a socket. ret_status
 * may be NULL.
 */
int file_open(const char *path, struct stat *ret_status);

/* Reads at most limit bytes of a regular file into a NUL-terminated string. -EFBIG when there is more, and
 * the errors of file_open(). ret_length may be NULL. */
int file_read(const char *path, size_t limit, char **ret_text, size_t *ret_length);

/* The same for a descriptor, from where it stands. It stays open. */
int file_read_fd(int fd, size_t limit, char **ret_text, size_t *ret_length);

/* An array of strings that ends in NULL and grows by one. All functions accept NULL as the empty list. */
int strings_add(char ***list, const char *text);
int strings_addf(char ***list, const char *format, ...) _printf_(2, 3);
char **strings_free(char **list);
size_t strings_count(char *const *list);
bool strings_contain(char *const *list, const char *text);
bool strings_equal(char *const *a, char *const *b);
static inline void strings_freep(char ***list) {
        strings_free(*list);
}
