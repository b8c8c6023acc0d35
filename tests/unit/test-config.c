/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Tests of reading configuration: only what root alone can change counts, and nothing that stands in a
 * folder holds the reader up. May touch: one scratch folder in /tmp, which it removes.
 */

#include "unit.h"

#include <ftw.h>
#include <sys/stat.h>

#include "base/config.h"

enum {
        LIMIT = 1000,
        STRANGER = 12345,
        ENTRIES_TOO_MANY = 4097,
};

static char root[32];

static char *path_of(const char *name) {
        char *path = string_format("%s/%s", root, name);

        assert(path);
        return path;
}

static void folder_make(void) {
        strcpy(root, "/tmp/test-config-XXXXXX");
        assert(mkdtemp(root));
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk) {
        return remove(path);
}

static void folder_done(void) {
        assert(nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

static void file_make(const char *name, const char *text, mode_t mode) {
        _cleanup_(freep) char *path = path_of(name);
        FILE *file;

        (void) unlink(path);
        file = fopen(path, "w");
        assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
        assert(chmod(path, mode) == 0);
}

/* text NULL: nothing could be read; reason NULL: there is none, otherwise a part of it. */
static void assert_read(const char *name, const char *text, const char *reason) {
        _cleanup_(freep) char *path = path_of(name), *got_text = NULL, *got_reason = NULL;
        size_t length = 99;

        assert(config_read(path, LIMIT, &got_text, &length, &got_reason) == 0);
        assert((text != NULL) == (got_text != NULL));
        if (text) {
                assert_text(got_text, text);
                assert(length == strlen(text));
        }
        assert((reason != NULL) == (got_reason != NULL));
        if (reason) {
                assert_contains(got_reason, reason);
                assert(utf8_valid(got_reason, strlen(got_reason)));
        }
}

static void files_of_root_alone_are_read(void) {
        folder_make();
        file_make("a", "text\n", 0644);
        assert_read("a", "text\n", NULL);
        file_make("a", "text\n", 0400);
        assert_read("a", "text\n", NULL);
        file_make("a", "", 0755);
        assert_read("a", "", NULL);
        folder_done();
}

static void missing_files_and_dev_null_are_empty(void) {
        _cleanup_(freep) char *dangling = NULL, *null = NULL;

        folder_make();
        assert_read("missing", "", NULL);
        dangling = path_of("dangling");
        assert(symlink("missing", dangling) == 0);
        assert_read("dangling", "", NULL);
        null = path_of("null");
        assert(symlink("/dev/null", null) == 0);
        assert_read("null", "", NULL);
        folder_done();
}

static void files_that_others_can_change_have_a_reason(void) {
        folder_make();
        file_make("a", "text\n", 0664);
        assert_read("a", "text\n", "a can be changed by its group or by everybody");
        file_make("a", "text\n", 0646);
        assert_read("a", "text\n", "chmod go-w");
        file_make("a", "text\n", 0644);
        assert(chmod(root, 0777) == 0);
        assert_read("a", "text\n", "can be changed by its group or by everybody");
        assert(chmod(root, 0700) == 0);
        assert_read("a", "text\n", NULL);
        folder_done();
}

/* A link counts as what it leads to: a file of somebody else behind one of root's is no file of root's. */
static void links_are_followed_to_their_owner(void) {
        _cleanup_(freep) char *link = NULL, *loop = NULL;

        folder_make();
        file_make("target", "text\n", 0644);
        link = path_of("link");
        assert(symlink("target", link) == 0);
        assert_read("link", "text\n", NULL);
        file_make("target", "text\n", 0666);
        assert_read("link", "text\n", "link can be changed by");
        loop = path_of("loop");
        assert(symlink("loop", loop) == 0);
        assert_read("loop", NULL, "loop cannot be read");
        folder_done();
}

static void files_of_somebody_else_have_a_reason(void) {
        _cleanup_(freep) char *path = NULL;

        folder_make();
        file_make("a", "text\n", 0644);
        path = path_of("a");
        if (chown(path, STRANGER, STRANGER) == 0)
                assert_read("a", "text\n", "a belongs to user 12345, not to root");
        else
                printf("# not root: nothing can be given away\n");
        folder_done();
}

static void what_is_no_file_is_not_opened(void) {
        _cleanup_(freep) char *fifo = NULL, *zero = NULL, *folder = NULL;

        folder_make();
        fifo = path_of("fifo");
        assert(mkfifo(fifo, 0600) == 0);
        assert_read("fifo", NULL, "fifo is not a regular file");
        zero = path_of("zero");
        assert(symlink("/dev/zero", zero) == 0);
        assert_read("zero", NULL, "zero is not a regular file");
        folder = path_of("folder");
        assert(mkdir(folder, 0700) == 0);
        assert_read("folder", NULL, "folder is not a regular file");
        folder_done();
}

static void huge_files_are_not_read_to_the_end(void) {
        _cleanup_(freep) char *path = NULL;

        folder_make();
        file_make("a", "", 0600);
        path = path_of("a");
        assert(truncate(path, LIMIT) == 0);
        _cleanup_(freep) char *text = NULL, *reason = NULL;
        size_t length = 0;
        assert(config_read(path, LIMIT, &text, &length, &reason) == 0 && !reason && length == LIMIT);
        assert(truncate(path, (off_t) 1 << 40) == 0);
        assert_read("a", NULL, "a cannot be read");
        folder_done();
}

static void odd_names_are_shown_harmlessly(void) {
        folder_make();
        file_make("\x1b[31m\xff\n.conf", "text\n", 0666);
        assert_read("\x1b[31m\xff\n.conf", "text\n", "\\x1b[31m\\xff\\x0a.conf can be changed");
        folder_done();
}

static bool chosen(const char *name) {
        return name[0] != '.' && strstr(name, ".conf");
}

/* Names in one line; reason as above. */
static void assert_list(const char *name, const char *wanted, const char *reason) {
        _cleanup_(freep) char *path = path_of(name), *got = NULL;
        _cleanup_(strings_freep) char **names = NULL;
        char text[256] = "";

        assert(config_list(path, chosen, &names, &got) == 0);
        for (size_t i = 0; i < strings_count(names); i++)
                strcat(strcat(text, names[i]), " ");
        assert_text(text, wanted);
        assert((reason != NULL) == (got != NULL));
        if (reason)
                assert_contains(got, reason);
}

static void folders_are_listed_in_order(void) {
        _cleanup_(freep) char *link = NULL, *fifo = NULL;

        folder_make();
        assert_list("missing", "", NULL);
        assert_list(".", "", NULL);
        file_make("b.conf", "", 0644);
        file_make("B.conf", "", 0644);
        file_make("a.conf", "", 0644);
        file_make(".hidden.conf", "", 0644);
        file_make("readme", "", 0644);
        assert_list(".", "B.conf a.conf b.conf ", NULL);
        link = path_of("link");
        assert(symlink(".", link) == 0);
        assert_list("link", "B.conf a.conf b.conf ", NULL);
        assert_list("readme", "", "readme cannot be read");
        fifo = path_of("fifo");
        assert(mkfifo(fifo, 0600) == 0);
        assert_list("fifo", "", "fifo cannot be read");
        folder_done();
}

static void folders_that_others_can_change_are_not_listed(void) {
        _cleanup_(freep) char *folder = NULL, *missing = NULL;

        folder_make();
        folder = path_of("folder");
        missing = path_of("missing");
        assert(mkdir(folder, 0700) == 0);
        file_make("folder/a.conf", "", 0644);
        assert_list("folder", "a.conf ", NULL);
        assert(config_folder_usable(folder) && config_folder_usable(missing));
        assert(chmod(folder, 01777) == 0);
        assert_list("folder", "", "folder can be changed by its group or by everybody");
        assert(!config_folder_usable(folder));
        folder_done();
}

static void folders_with_too_many_entries_are_not_listed(void) {
        folder_make();
        for (unsigned i = 0; i < ENTRIES_TOO_MANY - 2; i++) { /* with . and .. */
                char name[16];

                snprintf(name, sizeof(name), "%u", i);
                file_make(name, "", 0600);
        }
        assert_list(".", "", "has more than 4096 entries");
        folder_done();
}

int main(void) {
        static const Test tests[] = {
                { "files of root alone are read", files_of_root_alone_are_read },
                { "missing files and /dev/null are empty", missing_files_and_dev_null_are_empty },
                { "files that others can change have a reason", files_that_others_can_change_have_a_reason },
                { "links are followed to their owner", links_are_followed_to_their_owner },
                { "files of somebody else have a reason", files_of_somebody_else_have_a_reason },
                { "what is no file is not opened", what_is_no_file_is_not_opened },
                { "huge files are not read to the end", huge_files_are_not_read_to_the_end },
                { "odd names are shown harmlessly", odd_names_are_shown_harmlessly },
                { "folders are listed in order", folders_are_listed_in_order },
                { "folders that others can change are not listed",
                  folders_that_others_can_change_are_not_listed },
                { "folders with too many entries are not listed",
                  folders_with_too_many_entries_are_not_listed },
        };

        umask(022);
        return run_tests(tests, ELEMENTS(tests));
}
