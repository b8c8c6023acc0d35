/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Helpers that every room may use.
 */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/util.h"

enum {
        READ_STEP = 4096,
        ROOM_FIRST = 16, /* elements of an array that grows */
        ESCAPE_CHARACTERS = 4,   /* \xNN */
        UTF8_BYTES_MAX = 4,
};

int room_for_one(void *array, size_t count, size_t *room, size_t size) {
        const size_t wanted = MAX_OF(2 * *room, (size_t) ROOM_FIRST);
        void *elements;

        if (count < *room)
                return 0;
        memcpy(&elements, array, sizeof(elements)); /* whatever they are */
        elements = reallocarray(elements, wanted, size);
        if (!elements)
                return -ENOMEM;
        memcpy(array, &elements, sizeof(elements));
        *room = wanted;
        return 0;
}

int close_fd(int fd) {
        if (fd >= 0) {
                int saved = errno;
                (void) close(fd);
                errno = saved;
        }
        return -EBADF;
}

char *string_format(const char *format, ...) {
        va_list arguments;
        char *text = NULL;

        va_start(arguments, format);
        int r = vasprintf(&text, format, arguments);
        va_end(arguments);
        return r < 0 ? NULL : text;
}

int string_replace(char **target, const char *value) {
        char *copy = NULL;

        if (value) {
                copy = strdup(value);
                if (!copy)
                        return -ENOMEM;
        }
        free(*target);
        *target = copy;
        return 0;
}

/* Length of the UTF-8 sequence at the beginning and the character it stands for; 0 when there is no valid
 * one. */
static size_t utf8_decode(const uint8_t *bytes, size_t available, uint32_t *ret_character) {
        static const struct {
                uint8_t mask, lead;
                uint32_t smallest;
        } forms[] = {
                { 0x80, 0x00, 0x1 },
                { 0xe0, 0xc0, 0x80 },
                { 0xf0, 0xe0, 0x800 },
                { 0xf8, 0xf0, 0x10000 },
        };

        for (size_t i = 0; i < ELEMENTS(forms); i++) {
                if ((bytes[0] & forms[i].mask) != forms[i].lead)
                        continue;
                if (i >= available)
                        return 0;

                uint32_t character = bytes[0] & (uint8_t) ~forms[i].mask;
                for (size_t k = 1; k <= i; k++) {
                        if ((bytes[k] & 0xc0) != 0x80)
                                return 0;
                        character = character << 6 | (bytes[k] & 0x3f);
                }

                if (character < forms[i].smallest || character > 0x10ffff ||
                    (character >= 0xd800 && character <= 0xdfff))
                        return 0;
                *ret_character = character;
                return i + 1;
        }
        return 0;
}

bool utf8_valid(const char *text, size_t length) {
        const uint8_t *bytes = (const uint8_t *) text;
        uint32_t character;

        for (size_t i = 0; i < length;) {
                size_t step = utf8_decode(bytes + i, length - i, &character);
                if (step == 0)
                        return false;
                i += step;
        }
        return true;
}

/* Characters that move the cursor, hide themselves or turn the direction of writing must not reach a
 * terminal. */
static bool character_harmless(uint32_t character) {
        static const struct {
                uint32_t first, last;
        } harmful[] = {
                { 0x0, 0x1f },       { 0x7f, 0x9f },     { 0xad, 0xad },     { 0x61c, 0x61c },
                { 0x180e, 0x180e },  { 0x200b, 0x200f }, { 0x2028, 0x202e }, { 0x2060, 0x206f },
                { 0xfeff, 0xfeff },  { 0xfff9, 0xfffb }, { 0xe0000, 0xe007f },
        };

        for (size_t i = 0; i < ELEMENTS(harmful); i++)
                if (character >= harmful[i].first && character <= harmful[i].last)
                        return false;
        return true;
}

char *string_excerpt(const char *text, size_t length, size_t limit) {
        static const char ellipsis[] = "…";
        const uint8_t *bytes = (const uint8_t *) text;
        char *excerpt = malloc((limit + 1) * UTF8_BYTES_MAX + sizeof(ellipsis));
        size_t used = 0, characters = 0, cut = 0;

        if (!excerpt)
                return NULL;

        for (size_t i = 0; i < length;) {
                uint32_t character = 0;
                size_t step = utf8_decode(bytes + i, length - i, &character);
                bool harmless = step > 0 && character_harmless(character);

                if (!harmless)
                        step = 1;
                characters += harmless ? 1 : ESCAPE_CHARACTERS;
                if (characters > limit) {
                        memcpy(excerpt + cut, ellipsis, sizeof(ellipsis));
                        return excerpt;
                }

                if (harmless) {
                        memcpy(excerpt + used, bytes + i, step);
                        used += step;
                } else
                        used += (size_t) sprintf(excerpt + used, "\\x%02x", bytes[i]);
                if (characters < limit)
                        cut = used;
                i += step;
        }
        excerpt[used] = 0;
        return excerpt;
}

/* Length of the quote that begins here: the one that ends quoting, or one that a screen without UTF-8 shows
 * as that one. */
static size_t single_quote_length(const char *text) {
        static const char *const quotes[] = { "'", "‘", "’" };

        for (size_t i = 0; i < ELEMENTS(quotes); i++)
                if (strncmp(text, quotes[i], strlen(quotes[i])) == 0)
                        return strlen(quotes[i]);
        return 0;
}

char *string_shell_word(const char *word) {
        static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:@";
        char *quoted, *end;

        if (*word && word[strspn(word, plain)] == '\0')
                return strdup(word);
        quoted = malloc(strlen(word) * strlen("'\\''") + sizeof("''"));
        if (!quoted)
                return NULL;
        end = stpcpy(quoted, "'");
        while (*word) {
                const size_t quote = single_quote_length(word);

                if (quote > 0)
                        end += sprintf(end, "'\\%.*s'", (int) quote, word);
                else
                        *end++ = (unsigned char) *word < ' ' || *word == '\x7f' ? '?' : *word;
                word += quote > 0 ? quote : 1;
        }
        strcpy(end, "'");
        return quoted;
}

char *string_shell_operand(const char *word) {
        _cleanup_(freep) char *quoted = string_shell_word(word);

        if (!quoted || *word != '-')
                return TAKE_PTR(quoted);
        return string_format("-- %s", quoted);
}

int file_write(const char *path, const char *text) {
        _cleanup_(close_fdp) int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        size_t length = strlen(text);

        if (fd < 0)
                return -errno;

        /* One write only: a sysctl takes every write for a whole value. */
        ssize_t written = write(fd, text, length);
        if (written < 0)
                return -errno;
        return (size_t) written == length ? 0 : -EIO;
}

static int file_check_type(const struct stat *status) {
        if (S_ISREG(status->st_mode))
                return 0;
        return S_ISDIR(status->st_mode) ? -EISDIR : -EBADFD;
}

int file_open(const char *path, struct stat *ret_status) {
        _cleanup_(close_fdp) int fd = -EBADF;
        struct stat status;
        int r;

        /* Looked at first, because to open a device can do something, and then once more, because the name
         * may have got another file meanwhile. */
        if (stat(path, &status) < 0)
                return -errno;
        r = file_check_type(&status);
        if (r < 0)
                return r;
        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (fd < 0 || fstat(fd, &status) < 0)
                return -errno;
        r = file_check_type(&status);
        if (r < 0)
                return r;
        if (ret_status)
                *ret_status = status;
        return TAKE_FD(fd);
}

int file_read(const char *path, size_t limit, char **ret_text, size_t *ret_length) {
        _cleanup_(close_fdp) int fd = file_open(path, NULL);

        return fd < 0 ? fd : file_read_fd(fd, limit, ret_text, ret_length);
}

int file_read_fd(int fd, size_t limit, char **ret_text, size_t *ret_length) {
        _cleanup_(freep) char *text = NULL;
        size_t length = 0, room = 0;

        for (;;) {
                if (length == room) {
                        room = room == 0 ? READ_STEP : room * 2;
                        char *grown = realloc(text, room + 1);
                        if (!grown)
                                return -ENOMEM;
                        text = grown;
                }

                ssize_t n = read(fd, text + length, room - length);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                length += (size_t) n;
                if (length > limit)
                        return -EFBIG;
        }

        text[length] = 0;
        *ret_text = TAKE_PTR(text);
        if (ret_length)
                *ret_length = length;
        return 0;
}

size_t strings_count(char *const *list) {
        size_t count = 0;

        while (list && list[count])
                count++;
        return count;
}

/* Appends text itself, not a copy; the caller keeps it on failure. */
static int strings_consume(char ***list, char *text) {
        size_t count = strings_count(*list);
        char **grown = reallocarray(*list, count + 2, sizeof(char *));

        if (!grown)
                return -ENOMEM;
        grown[count] = text;
        grown[count + 1] = NULL;
        *list = grown;
        return 0;
}

int strings_add(char ***list, const char *text) {
        _cleanup_(freep) char *copy = strdup(text);

        if (!copy)
                return -ENOMEM;
        int r = strings_consume(list, copy);
        if (r < 0)
                return r;
        copy = NULL;
        return 0;
}

int strings_addf(char ***list, const char *format, ...) {
        _cleanup_(freep) char *text = NULL;
        va_list arguments;

        va_start(arguments, format);
        int r = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (r < 0) {
                text = NULL;
                return -ENOMEM;
        }

        r = strings_consume(list, text);
        if (r < 0)
                return r;
        text = NULL;
        return 0;
}

char **strings_free(char **list) {
        for (char **item = list; item && *item; item++)
                free(*item);
        free(list);
        return NULL;
}

bool strings_contain(char *const *list, const char *text) {
        for (size_t i = 0; list && list[i]; i++)
                if (streq(list[i], text))
                        return true;
        return false;
}

bool strings_equal(char *const *a, char *const *b) {
        size_t count = strings_count(a);

        if (count != strings_count(b))
                return false;
        for (size_t i = 0; i < count; i++)
                if (!streq(a[i], b[i]))
                        return false;
        return true;
}
