/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * /proc/net/netstat has two lines for each protocol: the names of its counters, and their values.
 */

#include "base/util.h"
#include "kernel/netstat.h"

#define PREFIX "MPTcpExt:"

enum { NETSTAT_LIMIT = 64 * 1024 };

/* The words of one line, one at a time; NULL behind the last one. */
static char *next_word(char **position) {
        char *word;

        do
                word = strsep(position, " ");
        while (word && !*word);
        return word;
}

/* The next line with our prefix, behind it; NULL: there is none. */
static char *next_line(char **position) {
        char *line;

        do
                line = strsep(position, "\n");
        while (line && strncmp(line, PREFIX, strlen(PREFIX)) != 0);
        return line ? line + strlen(PREFIX) : NULL;
}

int netstat_parse_mptcp(const char *text, NetstatMptcp *ret) {
        _cleanup_(freep) char *copy = strdup(text);
        char *position = copy, *names, *values;
        NetstatMptcp found = {};

        if (!copy)
                return -ENOMEM;
        names = next_line(&position);
        values = names ? next_line(&position) : NULL;
        if (!values)
                return -EOPNOTSUPP;
        for (;;) {
                const char *name = next_word(&names), *value = next_word(&values);

                if (!name || !value)
                        break;
                if (streq(name, "MPCapableSYNTX"))
                        found.asked = strtoull(value, NULL, 10);
                else if (streq(name, "MPCapableFallbackSYNACK"))
                        found.fallen_back = strtoull(value, NULL, 10);
        }
        *ret = found;
        return 0;
}

int netstat_mptcp(NetstatMptcp *ret) {
        _cleanup_(freep) char *text = NULL;
        int r;

        r = file_read("/proc/net/netstat", NETSTAT_LIMIT, &text, NULL);
        return r < 0 ? r : netstat_parse_mptcp(text, ret);
}
