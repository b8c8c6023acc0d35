/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See state.h. */

#include <bpf/bpf.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/message.h"
#include "tunnel/state.h"

const char *tunnel_map_name(TunnelMap map) {
        static const char *const names[] = {
                [MAP_LINKS] = "links",
                [MAP_SLOTS] = "slots",
                [MAP_LOADER] = "loader",
                [MAP_FLOWS] = "flows",
                [MAP_HALF_OPEN] = "half_open",
                [MAP_COUNTERS] = "counters",
                [MAP_SAVED] = "saved",
                [MAP_DESTINATIONS] = "destinations",
                [MAP_SOURCES] = "sources",
                [MAP_UNCERTAIN] = "uncertain",
                [MAP_SOCKETS] = "sockets",
                [MAP_SOCKET_PORTS] = "socket_ports",
                [MAP_UNANSWERED] = "unanswered",
                [MAP_UNMERGED] = "unmerged",
        };
        ASSERT_TABLE_COMPLETE(names, _TUNNEL_MAP_MAX);

        return names[map];
}

const char *tunnel_program_name(TunnelProgram program) {
        static const char *const names[] = {
                [PROGRAM_EGRESS_ETHERNET] = "underpass_egress_ethernet",
                [PROGRAM_EGRESS_RAW] = "underpass_egress_raw",
                [PROGRAM_INGRESS_ETHERNET] = "underpass_ingress_ethernet",
                [PROGRAM_INGRESS_RAW] = "underpass_ingress_raw",
                [PROGRAM_SEGMENT] = "underpass_segment",
                [PROGRAM_MERGED] = "underpass_merged",
                [PROGRAM_XDP] = "underpass_xdp",
                [PROGRAM_KEEPALIVE] = "underpass_keepalive",
        };
        ASSERT_TABLE_COMPLETE(names, _TUNNEL_PROGRAM_MAX);

        return names[program];
}

const char *tunnel_pin_name(TunnelPin pin) {
        static const char *const names[] = {
                [PIN_SEGMENT_INGRESS] = "segment-ingress",
                [PIN_SEGMENT_EGRESS] = "segment-egress",
                [PIN_SEGMENT_NETKIT] = "segment-netkit",
                [PIN_MERGED] = "merged-ingress",
                [PIN_KEEPALIVE] = "keepalive",
                [PIN_CONSTANTS] = "constants",
                [PIN_SCTP] = "sctp",
        };
        ASSERT_TABLE_COMPLETE(names, _TUNNEL_PIN_MAX);

        return names[pin];
}

char *tunnel_pin_path(const Tunnel *tunnel, const char *name) {
        return string_format("%s/%s", tunnel->folder, name);
}

char *tunnel_link_pin_path(const Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction) {
        static const char *const suffixes[] = {
                [DIRECTION_INGRESS] = "ingress",
                [DIRECTION_EGRESS] = "egress",
        };
        ASSERT_TABLE_COMPLETE(suffixes, _TUNNEL_DIRECTION_MAX);

        return string_format("%s/%u-%s", tunnel->folder, ifindex, suffixes[direction]);
}

int tunnel_make_folder(const Tunnel *tunnel) {
        if ((mkdir(tunnel->root, 0700) < 0 && errno != EEXIST) ||
            (mkdir(tunnel->folder, 0700) < 0 && errno != EEXIST))
                return -errno;
        return 0;
}

int tunnel_remove_folder(const Tunnel *tunnel) {
        if (rmdir(tunnel->folder) < 0 && errno != ENOENT && errno != ENOTEMPTY)
                return -errno;
        /* Stays while another network namespace has pins, and where a sandbox has mounted it. */
        (void) rmdir(tunnel->root);
        return 0;
}

int tunnel_pin_again(const Tunnel *tunnel, const char *name, int fd) {
        _cleanup_(freep) char *path = tunnel_pin_path(tunnel, name);
        _cleanup_(freep) char *next = path ? string_format("%s-next", path) : NULL;
        int r;

        if (!next)
                return -ENOMEM;
        if (unlink(next) < 0 && errno != ENOENT)
                return -errno;
        r = bpf_obj_pin(fd, next);
        if (r < 0)
                return r;
        return rename(next, path) < 0 ? -errno : 0;
}

void tunnel_set_error(Tunnel *tunnel, const char *msgid, ...) {
        va_list arguments;

        va_start(arguments, msgid);
        char *error = message_vformat(msgid, arguments);
        va_end(arguments);
        free(tunnel->error);
        tunnel->error = error;
}

void tunnel_clear_error(Tunnel *tunnel) {
        free(TAKE_PTR(tunnel->error));
}
