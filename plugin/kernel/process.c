/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See process.h. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernel/process.h"

enum { LINK_SIZE = 32 };

static void close_folder(DIR **folder) {
        if (*folder)
                closedir(*folder);
}

/* A folder below another one; NULL: it cannot be read. */
static DIR *open_folder(int parent, const char *path) {
        int fd = openat(parent, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *folder = fd < 0 ? NULL : fdopendir(fd);

        if (!folder && fd >= 0)
                close(fd);
        return folder;
}

/* link: what the descriptors of a socket point to. */
static bool has_open(int proc, const char *pid, const char *link) {
        _cleanup_(close_folder) DIR *folder = NULL;
        char path[LINK_SIZE], target[LINK_SIZE];
        const struct dirent *entry;

        (void) snprintf(path, sizeof(path), "%.15s/fd", pid);
        folder = open_folder(proc, path);
        while (folder && (entry = readdir(folder))) {
                ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);

                if (length < 0)
                        continue;
                target[length] = '\0';
                if (streq(target, link))
                        return true;
        }
        return false;
}

/* Its user chooses it, any bytes. */
static void read_name(int proc, const char *pid, Process *process) {
        _cleanup_(close_fdp) int fd = -EBADF;
        char path[LINK_SIZE];
        ssize_t length = -1;

        (void) snprintf(path, sizeof(path), "%.15s/comm", pid);
        fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
                length = read(fd, process->name, sizeof(process->name) - 1);
        if (length > 0 && process->name[length - 1] == '\n')
                length--;
        if (length <= 0)
                process->name[length = 0] = '?';
        for (ssize_t i = 0; i < length; i++)
                if (process->name[i] < ' ' || process->name[i] > '~')
                        process->name[i] = '?';
        process->name[MAX_OF(length, (ssize_t) 1)] = '\0';
}

int process_find_socket(uint32_t inode, Process *ret) {
        _cleanup_(close_folder) DIR *proc = open_folder(AT_FDCWD, "/proc");
        const struct dirent *entry;
        char link[LINK_SIZE];

        (void) snprintf(link, sizeof(link), "socket:[%u]", inode);
        while (proc && (entry = readdir(proc))) {
                Process found = { .pid = (pid_t) strtol(entry->d_name, NULL, 10) };

                if (found.pid <= 0 || !has_open(dirfd(proc), entry->d_name, link))
                        continue;
                read_name(dirfd(proc), entry->d_name, &found);
                *ret = found;
                return 0;
        }
        return -ENOENT;
}
