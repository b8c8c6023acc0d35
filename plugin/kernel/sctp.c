/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See sctp.h. */

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "kernel/sctp.h"

enum { SYSCTL_LIMIT = 64 };

static char *sysctl_path(const char *folder, SctpPort port) {
        return string_format("%s/%s", folder, sctp_sysctl(port));
}

/* The kernel loads the module when a program asks for such a socket; a sandbox may forbid that. */
static void load_module(void) {
        close_fd(socket(AF_INET, SOCK_SEQPACKET | SOCK_CLOEXEC, IPPROTO_SCTP));
}

int sctp_get(const char *folder, SctpPort port, uint16_t *ret) {
        _cleanup_(freep) char *path = sysctl_path(folder, port), *text = NULL;
        unsigned long number;
        size_t length = 0;
        char *end;
        int r;

        if (!path)
                return -ENOMEM;
        if (access(path, F_OK) < 0)
                load_module();
        r = file_read(path, SYSCTL_LIMIT, &text, &length);
        if (r < 0)
                return r;

        errno = 0;
        number = strtoul(text, &end, 10);
        if (errno > 0 || end == text)
                return -EBADMSG;
        if (number > UINT16_MAX)
                return -ERANGE;
        *ret = (uint16_t) number;
        return 0;
}

int sctp_set(const char *folder, SctpPort port, uint16_t number) {
        _cleanup_(freep) char *path = sysctl_path(folder, port);
        char text[8];

        if (!path)
                return -ENOMEM;
        snprintf(text, sizeof(text), "%u\n", number);
        return file_write(path, text);
}
