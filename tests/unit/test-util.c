/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Tests of the base helpers. May touch: temporary files of its own.
 */

#include "unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/hash.h"

static void utf8_is_checked_strictly(void) {
        static const struct {
                const char *text;
                size_t length;
                bool valid;
        } cases[] = {
                { "", 0, true },
                { "plain", 5, true },
                { "a\0b", 3, false },
                { "\xc3\xa9", 2, true },
                { "\xc3", 1, false },               /* cut */
                { "\xe2\x80\xa6", 3, true },
                { "\xe2\x80", 2, false },
                { "\xf0\x9f\x98\x80", 4, true },
                { "\xf0\x9f\x98", 3, false },
                { "\xc0\xaf", 2, false },           /* overlong */
                { "\xc1\xbf", 2, false },
                { "\xe0\x9f\xbf", 3, false },
                { "\xf0\x8f\xbf\xbf", 4, false },
                { "\xed\xa0\x80", 3, false },       /* surrogate */
                { "\xed\x9f\xbf", 3, true },
                { "\xf4\x8f\xbf\xbf", 4, true },    /* U+10FFFF */
                { "\xf4\x90\x80\x80", 4, false },
                { "\xf8\x88\x80\x80\x80", 5, false },
                { "\x80", 1, false },
                { "\xff", 1, false },
                { "a\xc3\x28", 3, false },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert(utf8_valid(cases[i].text, cases[i].length) == cases[i].valid);
}

static void excerpts_are_short_and_harmless(void) {
        static const struct {
                const char *text;
                size_t limit;
                const char *wanted;
        } cases[] = {
                { "", 8, "" },
                { "eight888", 8, "eight888" },
                { "nine99999", 8, "nine999…" },
                { "é\xff", 8, "é\\xff" },
                { "\x1b[31m", 16, "\\x1b[31m" },
                { "\n", 2, "…" },
                { "ab\ncdefgh", 7, "ab\\x0a…" },
                { "\xe2\x80\xae", 20, "\\xe2\\x80\\xae" },  /* right-to-left override */
                { "\xc2\x9b", 20, "\\xc2\\x9b" },           /* a control sequence introducer */
                { "ééééé", 4, "ééé…" },
                { "éééé", 4, "éééé" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(freep) char *got = string_excerpt(cases[i].text, strlen(cases[i].text),
                                                            cases[i].limit);
                assert_text(got, cases[i].wanted);
        }
}

static void invisible_characters_are_shown_as_bytes(void) {
        static const struct {
                const char *text;
                bool harmless;
        } cases[] = {
                { " ", true },               { "~", true },                { "\x1f", false },
                { "\x7f", false },           { "\xc2\x80", false },        { "\xc2\x9f", false },
                { "\xc2\xa0", true },        { "\xc2\xad", false },        { "\xd8\x9c", false },
                { "\xe1\xa0\x8e", false },   { "\xe2\x80\x8a", true },     { "\xe2\x80\x8b", false },
                { "\xe2\x80\x8f", false },   { "\xe2\x80\x90", true },     { "\xe2\x80\xa7", true },
                { "\xe2\x80\xa8", false },   { "\xe2\x80\xae", false },    { "\xe2\x80\xaf", true },
                { "\xe2\x81\xa0", false },   { "\xe2\x81\xaf", false },    { "\xef\xbb\xbf", false },
                { "\xef\xbf\xb8", true },    { "\xef\xbf\xb9", false },    { "\xef\xbf\xbb", false },
                { "\xef\xbf\xbc", true },    { "\xf3\xa0\x80\x81", false }, { "\xf3\xa0\x81\xbf", false },
                { "\xf3\xa0\x82\x80", true },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(freep) char *got = string_excerpt(cases[i].text, strlen(cases[i].text), 64);
                assert(streq(got, cases[i].text) == cases[i].harmless);
        }
}

static void excerpts_of_all_bytes_are_utf8(void) {
        char bytes[512];

        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (char) (i * 7 + i / 256);
        for (size_t limit = 1; limit < sizeof(bytes); limit++) {
                _cleanup_(freep) char *got = string_excerpt(bytes, sizeof(bytes), limit);
                assert(utf8_valid(got, strlen(got)));
                assert(!strpbrk(got, "\n\x1b\x7f"));
        }
}

/* What a shell makes of the word is the text. */
static void assert_shell(const char *word, const char *wanted) {
        _cleanup_(freep) char *command = string_format("printf %%s %s", word);
        char got[64] = {};
        FILE *shell;

        assert(command);
        shell = popen(command, "r");
        assert(shell);
        assert(fread(got, 1, sizeof(got) - 1, shell) == strlen(wanted));
        assert(pclose(shell) == 0);
        assert_text(got, wanted);
}

static void shell_words_are_the_text(void) {
        static const struct {
                const char *text, *word;
        } cases[] = {
                { "LTE", "LTE" },
                { "user@host:1.2_3-4", "user@host:1.2_3-4" },
                { "", "''" },
                { "My LTE", "'My LTE'" },
                { "a\"$(b)'c", "'a\"$(b)'\\''c'" },
                { "`id`; $HOME\\", "'`id`; $HOME\\'" },
                { "é", "'é'" },
                { "‘;id;’", "''\\‘';id;'\\’''" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(freep) char *word = string_shell_word(cases[i].text);

                assert_text(word, cases[i].word);
                assert_shell(word, cases[i].text);
        }
}

/* On a screen without UTF-8 a typographic quote becomes a plain one, and ends nothing there. */
static void shell_words_survive_ascii(void) {
        _cleanup_(freep) char *word = string_shell_word("a‘;echo b;’");
        char ascii[64], *end = ascii;

        for (const char *p = word; *p; p++) {
                const bool quote = strncmp(p, "‘", 3) == 0 || strncmp(p, "’", 3) == 0;

                *end++ = quote ? '\'' : *p;
                p += quote ? 2 : 0;
        }
        *end = '\0';
        assert_shell(ascii, "a';echo b;'");
}

/* Nor are they taken for messages, whose translation may have quotes. */
static void shell_words_control_nothing(void) {
        _cleanup_(freep) char *word = string_shell_word("\1No such file\2x\3 \n \x1b \x7f");

        assert_text(word, "'?No such file?x? ? ? ?'");
}

/* No interface and no profile is taken for an option. */
static void shell_operands_are_no_options(void) {
        static const struct {
                const char *text, *operand;
        } cases[] = {
                { "eth0", "eth0" },      { "-x", "-- -x" }, { "--all", "-- --all" },
                { "-a b", "-- '-a b'" }, { "", "''" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(freep) char *operand = string_shell_operand(cases[i].text);

                assert_text(operand, cases[i].operand);
        }
}

static void lists_grow_and_compare(void) {
        _cleanup_(strings_freep) char **one = NULL, **other = NULL;

        assert(strings_count(NULL) == 0);
        assert(strings_equal(NULL, NULL));
        assert(strings_add(&one, "first") == 0);
        assert(strings_addf(&one, "%d…%s", 2, "x") == 0);
        assert(strings_count(one) == 2);
        assert_text(one[1], "2…x");
        assert(!strings_equal(one, NULL));
        assert(!strings_equal(NULL, one));
        assert(strings_add(&other, "first") == 0);
        assert(!strings_equal(one, other));
        assert(strings_add(&other, "2…x") == 0);
        assert(strings_equal(one, other));
        one[1][0] = '3';
        assert(!strings_equal(one, other));
}

static void ownership_moves(void) {
        char *text = strdup("x");
        char *taken = TAKE_PTR(text);
        int fd = 7, taken_fd = TAKE_FD(fd);

        assert(!text);
        assert_text(taken, "x");
        assert(string_replace(&taken, "y") == 0);
        assert_text(taken, "y");
        assert(string_replace(&taken, NULL) == 0);
        assert(!taken);
        assert(fd == -EBADF);
        assert(taken_fd == 7);
        errno = 42;
        assert(close_fd(-1) == -EBADF);
        assert(errno == 42);
}

static void files_are_read_up_to_a_limit(void) {
        char path[] = "/tmp/underpass-test-util.XXXXXX";
        _cleanup_(close_fdp) int fd = mkostemp(path, O_CLOEXEC);
        _cleanup_(freep) char *text = NULL, *untouched = NULL;
        size_t length = 99;

        assert(fd >= 0);
        assert(file_read(path, 0, &text, &length) == 0);
        assert_text(text, "");
        assert(length == 0);
        free(TAKE_PTR(text));

        assert(file_write(path, "hello\n") == 0);
        assert(file_read(path, 6, &text, &length) == 0);
        assert_text(text, "hello\n");
        assert(length == 6);
        assert(file_read(path, 5, &untouched, NULL) == -EFBIG);
        assert(!untouched);

        /* More than one step of the buffer. */
        for (size_t i = 0; i < 10000; i++)
                assert(write(fd, "0123456789", 10) == 10);
        free(TAKE_PTR(text));
        assert(file_read(path, 1000000, &text, &length) == 0);
        assert(length == 100000);
        assert(text[length] == 0);
        assert(file_read(path, 99999, &untouched, NULL) == -EFBIG);
        assert(unlink(path) == 0);

        assert(file_read(path, 10, &untouched, NULL) == -ENOENT);
        assert(file_write(path, "x") == -ENOENT);
        assert(file_read("/", 10, &untouched, NULL) == -EISDIR);
        assert(!untouched);
}

/* Opening a FIFO for reading waits for a writer; opening a device can do anything. */
static void only_regular_files_are_opened(void) {
        char folder[] = "/tmp/underpass-test-util-XXXXXX";
        _cleanup_(freep) char *path = NULL, *untouched = NULL;
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        assert(mkdtemp(folder));
        path = string_format("%s/x", folder);
        assert(path);

        assert(mkfifo(path, 0600) == 0);
        assert(file_read(path, 10, &untouched, NULL) == -EBADFD);
        assert(unlink(path) == 0);

        _cleanup_(close_fdp) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        assert(bind(fd, (struct sockaddr *) &address, sizeof(address)) == 0);
        assert(file_read(path, 10, &untouched, NULL) == -EBADFD);
        assert(unlink(path) == 0);

        assert(symlink("/dev/zero", path) == 0);
        assert(file_read(path, 10, &untouched, NULL) == -EBADFD);
        assert(unlink(path) == 0);

        assert(symlink("x", path) == 0);
        assert(file_read(path, 10, &untouched, NULL) == -ELOOP);
        assert(file_open(path, NULL) == -ELOOP);
        assert(unlink(path) == 0);
        assert(rmdir(folder) == 0);
        assert(!untouched);
}

static void hashes_are_those_of_fnv_1a(void) {
        assert(hash_bytes(HASH_EMPTY, "", 0) == HASH_EMPTY);
        assert(hash_bytes(HASH_EMPTY, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
        assert(hash_bytes(HASH_EMPTY, "foobar", 6) == UINT64_C(0x85944171f73967e8));
        assert(hash_bytes(hash_bytes(HASH_EMPTY, "foo", 3), "bar", 3) == UINT64_C(0x85944171f73967e8));
}

static void arrays_grow_by_one(void) {
        _cleanup_(freep) uint32_t *numbers = NULL;
        size_t count = 0, room = 0;

        while (count < 1000) {
                assert(ROOM_FOR_ONE(numbers, count, room) == 0);
                assert(room > count);
                numbers[count] = (uint32_t) count;
                count++;
        }
        for (size_t i = 0; i < count; i++)
                assert(numbers[i] == i);

        /* What cannot be had leaves all as it is. */
        uint32_t *before = numbers;
        room = SIZE_MAX / 4;
        assert(ROOM_FOR_ONE(numbers, room, room) == -ENOMEM);
        assert(numbers == before && room == SIZE_MAX / 4 && numbers[999] == 999);
}

int main(void) {
        static const Test tests[] = {
                { "UTF-8 is checked strictly", utf8_is_checked_strictly },
                { "excerpts are short and harmless", excerpts_are_short_and_harmless },
                { "invisible characters are shown as bytes", invisible_characters_are_shown_as_bytes },
                { "excerpts of all bytes are UTF-8", excerpts_of_all_bytes_are_utf8 },
                { "shell words are the text", shell_words_are_the_text },
                { "shell words survive ASCII", shell_words_survive_ascii },
                { "shell words control nothing", shell_words_control_nothing },
                { "shell operands are no options", shell_operands_are_no_options },
                { "lists grow and compare", lists_grow_and_compare },
                { "arrays grow by one", arrays_grow_by_one },
                { "ownership moves", ownership_moves },
                { "files are read up to a limit", files_are_read_up_to_a_limit },
                { "only regular files are opened", only_regular_files_are_opened },
                { "hashes are those of FNV-1a", hashes_are_those_of_fnv_1a },
        };

        return run_tests(tests, ELEMENTS(tests));
}
