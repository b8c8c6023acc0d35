/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Files and folders that root alone can change. See config.h. */

#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/message.h"
#include "base/config.h"
#include "config.h"

enum {
        ENTRIES_MAX = 4096,    /* of a folder; it is read again each time */
        PATH_SHOWN_MAX = 512,
};

const char *const config_profile_folders[] = { "/usr/lib/underpass", PROFILES_FOLDER, NULL };

/* The last one counts where /lib is a folder of its own. */
const char *const config_network_folders[] = {
        "/etc/systemd/network",     "/run/systemd/network", "/usr/local/lib/systemd/network",
        "/usr/lib/systemd/network", "/lib/systemd/network", NULL,
};

/* Where the name begins that counts, a drop-in's with its folder. */
static size_t name_begin(const char *path, size_t length) {
        size_t begin = length, end;

        while (begin > 0 && path[begin - 1] != '/')
                begin--;
        end = begin > 0 ? begin - 1 : 0;
        if (end < 2 || strncmp(path + end - 2, ".d", 2) != 0)
                return begin;
        while (end > 0 && path[end - 1] != '/')
                end--;
        return end;
}

bool config_same_name(const char *path, const char *other, size_t length) {
        const char *a = path + name_begin(path, strlen(path));
        const size_t begin = name_begin(other, length);

        return strlen(a) == length - begin && strncmp(a, other + begin, length - begin) == 0;
}

char *config_path_shown(const char *path) {
        return string_excerpt(path, strlen(path), PATH_SHOWN_MAX);
}

/* Sets the reason when somebody else than root and this user could have written this. 0 or -ENOMEM. */
static int check_owner(const char *path, const struct stat *status, uid_t user, char **ret_reason) {
        _cleanup_(freep) char *shown = NULL;

        const bool owned = status->st_uid == 0 || status->st_uid == user;
        if (owned && !(status->st_mode & (S_IWGRP | S_IWOTH)))
                return 0;
        shown = config_path_shown(path);
        if (!shown)
                return -ENOMEM;
        if (!owned)
                *ret_reason = message_format(N_("%s belongs to user %u, not to root, and is ignored. Check "
                                                "its contents, then run `chown root:root` on it."),
                                             shown, (unsigned) status->st_uid);
        else
                *ret_reason = message_format(N_("%s can be changed by its group or by everybody and is "
                                                "ignored. Check its contents, then run `chmod go-w` on it."),
                                             shown);
        return *ret_reason ? 0 : -ENOMEM;
}

static int check_folder_of(const char *path, uid_t user, char **ret_reason) {
        const char *slash = strrchr(path, '/');
        _cleanup_(freep) char *folder = slash ? strndup(path, (size_t) (slash - path) + 1) : strdup(".");
        struct stat status;

        if (!folder)
                return -ENOMEM;
        return stat(folder, &status) == 0 ? check_owner(folder, &status, user, ret_reason) : 0;
}

static int reason_of_error(const char *path, int error, char **ret_reason) {
        _cleanup_(freep) char *shown = config_path_shown(path);

        if (!shown || error == -ENOMEM)
                return -ENOMEM;
        if (error == -EISDIR || error == -EBADFD)
                *ret_reason = message_format(N_("%s is not a regular file and is ignored; remove it."),
                                             shown);
        else
                *ret_reason = message_format(N_("%s cannot be read and is ignored: %s."), shown,
                                             MESSAGE_ERRNO(error));
        return *ret_reason ? 0 : -ENOMEM;
}

/* A link to /dev/null masks a file of another folder. */
static bool is_dev_null(const char *path) {
        struct stat status;

        return stat(path, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
}

int config_read(const char *path, size_t limit, char **ret_text, size_t *ret_length, char **ret_reason) {
        _cleanup_(freep) char *text = NULL, *reason = NULL;
        struct stat status;
        size_t length = 0;
        int r;

        _cleanup_(close_fdp) int fd = file_open(path, &status);
        if (fd == -ENOENT || (fd == -EBADFD && is_dev_null(path))) {
                text = strdup("");
                r = text ? 0 : -ENOMEM;
        } else if (fd < 0)
                r = reason_of_error(path, fd, &reason);
        else {
                r = file_read_fd(fd, limit, &text, &length);
                if (r < 0)
                        r = reason_of_error(path, r, &reason);
                else
                        r = check_owner(path, &status, geteuid(), &reason);
        }
        if (r == 0 && !reason)
                r = check_folder_of(path, geteuid(), &reason);
        if (r < 0)
                return r;
        *ret_text = TAKE_PTR(text);
        *ret_length = length;
        *ret_reason = TAKE_PTR(reason);
        return 0;
}

int config_refusal(const char *path, bool in_place, char **ret_reason) {
        const uid_t user = in_place ? 0 : geteuid();
        _cleanup_(freep) char *reason = NULL;
        struct stat status;
        int r;

        if (stat(path, &status) < 0)
                return -errno;
        r = check_owner(path, &status, user, &reason);
        if (r == 0 && !reason && in_place)
                r = check_folder_of(path, user, &reason);
        if (r < 0)
                return r;
        *ret_reason = TAKE_PTR(reason);
        return 0;
}

static void closedirp(DIR **folder) {
        if (*folder)
                (void) closedir(*folder);
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* -E2BIG when there are too many entries. */
static int read_names(DIR *folder, bool (*chosen)(const char *name), char ***names) {
        unsigned count = 0;

        for (;;) {
                errno = 0;
                const struct dirent *entry = readdir(folder);

                if (!entry)
                        return -errno;
                if (++count > ENTRIES_MAX)
                        return -E2BIG;
                if (!chosen(entry->d_name))
                        continue;
                int r = strings_add(names, entry->d_name);
                if (r < 0)
                        return r;
        }
}

static int reason_of_folder(const char *path, int error, char **ret_reason) {
        _cleanup_(freep) char *shown = NULL;

        if (error != -E2BIG)
                return reason_of_error(path, error, ret_reason);
        shown = config_path_shown(path);
        if (!shown)
                return -ENOMEM;
        *ret_reason = message_format(N_("%s has more than %d entries and is ignored; remove some."), shown,
                                     ENTRIES_MAX);
        return *ret_reason ? 0 : -ENOMEM;
}

int config_list(const char *folder, bool (*chosen)(const char *name), char ***ret_names, char **ret_reason) {
        _cleanup_(closedirp) DIR *open_folder = opendir(folder);
        _cleanup_(strings_freep) char **names = NULL;
        _cleanup_(freep) char *reason = NULL;
        struct stat status;
        int r = 0, error = 0;

        if (!open_folder)
                error = errno == ENOENT ? 0 : -errno;
        else if (fstat(dirfd(open_folder), &status) < 0)
                error = -errno;
        else
                r = check_owner(folder, &status, geteuid(), &reason);
        if (r == 0 && !reason && open_folder && error == 0)
                error = read_names(open_folder, chosen, &names);
        if (r == 0 && error < 0)
                r = reason_of_folder(folder, error, &reason);
        if (r < 0)
                return r;
        if (names && !reason)
                qsort(names, strings_count(names), sizeof(*names), compare_names);
        *ret_names = reason ? NULL : TAKE_PTR(names);
        *ret_reason = TAKE_PTR(reason);
        return 0;
}

bool config_folder_usable(const char *folder) {
        _cleanup_(freep) char *reason = NULL;
        struct stat status;

        if (stat(folder, &status) < 0)
                return errno == ENOENT;
        return check_owner(folder, &status, geteuid(), &reason) == 0 && !reason;
}
