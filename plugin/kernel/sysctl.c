/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The files below /proc/sys/net that are read as they are. */

#include <net/if.h>
#include <stdio.h>

#include "kernel/sysctl.h"

enum {
        SYSCTL_LIMIT = 64,
        IPV6_PATH_SIZE = sizeof("/proc/sys/net/ipv6/conf//disable_ipv6") + IF_NAMESIZE,
        SOURCE_PATH_SIZE = sizeof("/proc/sys/net/ipv4/conf//rp_filter") + IF_NAMESIZE,
        SOURCE_STRICT = 1, /* 2 is loose */
};

/* Reads the decimal number at *text and sets *text to what follows it. */
static int read_number(const char **text, long minimum, long maximum, long *ret) {
        long number;
        char *end;

        errno = 0;
        number = strtol(*text, &end, 10);
        if (errno > 0)
                return -errno;
        if (end == *text)
                return -EBADMSG;
        if (number < minimum || number > maximum)
                return -ERANGE;

        *text = end;
        *ret = number;
        return 0;
}

/* Reads a sysctl that is one number. missing: the value if there is no such file, because the kernel or the
 * link does not have what it belongs to. */
static int read_value(const char *path, long missing, long *ret) {
        _cleanup_(freep) char *text = NULL;
        const char *position;
        size_t length;
        int r;

        r = file_read(path, SYSCTL_LIMIT, &text, &length);
        if (r == -ENOENT) {
                *ret = missing;
                return 0;
        }
        if (r < 0)
                return r;

        position = text;
        return read_number(&position, INT32_MIN, INT32_MAX, ret);
}

/* The same of one that is 0 or not. */
static int read_switch(const char *path, bool missing, bool *ret) {
        long number = 0;
        int r;

        r = read_value(path, missing, &number);
        if (r < 0)
                return r;

        *ret = number != 0;
        return 0;
}

/* Of disable_ipv6 of a link. */
static int ipv6_path(const char *name, char path[static IPV6_PATH_SIZE]) {
        int length = snprintf(path, IPV6_PATH_SIZE, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);

        return length < 0 || length >= IPV6_PATH_SIZE ? -ENAMETOOLONG : 0;
}

int sysctl_ipv6_enabled(const char *name, bool *ret) {
        char path[IPV6_PATH_SIZE];
        bool disabled;
        int r;

        r = ipv6_path(name, path);
        if (r < 0)
                return r;
        r = read_switch(path, true, &disabled);
        if (r < 0)
                return r;

        *ret = !disabled;
        return 0;
}

int sysctl_disable_ipv6(const char *name) {
        char path[IPV6_PATH_SIZE];
        int r;

        r = ipv6_path(name, path);
        return r < 0 ? r : file_write(path, "1");
}

int sysctl_strict_source(const char *name, bool *ret) {
        char path[SOURCE_PATH_SIZE];
        const int length = snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/rp_filter", name);
        long all = 0, own = 0;
        int r;

        if (length < 0 || (size_t) length >= sizeof(path))
                return -ENAMETOOLONG;
        r = read_value("/proc/sys/net/ipv4/conf/all/rp_filter", 0, &all);
        if (r >= 0)
                r = read_value(path, 0, &own);
        if (r < 0)
                return r;

        *ret = MAX_OF(all, own) == SOURCE_STRICT;
        return 0;
}

int sysctl_ephemeral_ports(struct underpass_port_range *ret) {
        _cleanup_(freep) char *text = NULL;
        const char *position;
        size_t length;
        long first = 0, last = 0;
        int r;

        r = file_read("/proc/sys/net/ipv4/ip_local_port_range", SYSCTL_LIMIT, &text, &length);
        if (r < 0)
                return r;

        position = text;
        r = read_number(&position, 1, UINT16_MAX, &first);
        if (r < 0)
                return r;
        r = read_number(&position, first, UINT16_MAX, &last);
        if (r < 0)
                return r;

        *ret = (struct underpass_port_range) { .first = (uint16_t) first, .last = (uint16_t) last };
        return 0;
}

int sysctl_mptcp_by_program(bool *ret) {
        return read_switch("/proc/sys/net/mptcp/pm_type", false, ret);
}

int sysctl_mptcp_enabled(bool *ret) {
        return read_switch("/proc/sys/net/mptcp/enabled", false, ret);
}
