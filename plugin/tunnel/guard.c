/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which tunnel sockets of the kernel the programs guard. See tunnel.h. */

#include <arpa/inet.h>
#include <bpf/bpf.h>

#include "tunnel/state.h"

enum { WORD_BITS = 64 };

static int set_word(const Tunnel *tunnel, uint32_t index, uint64_t value) {
        return bpf_map_update_elem(tunnel->maps[MAP_SOCKET_PORTS], &index, &value, BPF_ANY);
}

/* Brings the word of a port, and the last one, in line with what is guarded. */
static int settle_port(const Tunnel *tunnel, uint16_t port) {
        struct underpass_socket_key key = {};
        uint64_t word = 0, any = 0;
        int map = tunnel->maps[MAP_SOCKETS], r;

        r = bpf_map_get_next_key(map, NULL, &key);
        for (size_t i = 0; r == 0 && i < UNDERPASS_SOCKETS_MAX; i++) {
                const uint16_t other = ntohs(key.flow.local_port);

                any = 1;
                if (other / WORD_BITS == port / WORD_BITS)
                        word |= UINT64_C(1) << other % WORD_BITS;
                r = bpf_map_get_next_key(map, &key, &key);
        }
        r = set_word(tunnel, port / WORD_BITS, word);
        return r < 0 ? r : set_word(tunnel, UNDERPASS_SOCKET_WORDS, any);
}

int tunnel_guard(Tunnel *tunnel, const struct underpass_socket_key *key) {
        const uint32_t value = 0;
        int r;

        if (!tunnel->loaded)
                return -ENOENT;
        r = bpf_map_update_elem(tunnel->maps[MAP_SOCKETS], key, &value, BPF_ANY);
        if (r == 0)
                r = settle_port(tunnel, ntohs(key->flow.local_port));
        if (r < 0)
                (void) tunnel_unguard(tunnel, key);
        return r == -E2BIG ? -ENOSPC : r;
}

int tunnel_unguard(Tunnel *tunnel, const struct underpass_socket_key *key) {
        int r;

        if (!tunnel->loaded)
                return 0;
        r = bpf_map_delete_elem(tunnel->maps[MAP_SOCKETS], key);
        if (r < 0 && r != -ENOENT)
                return r;
        return settle_port(tunnel, ntohs(key->flow.local_port));
}

int tunnel_unguard_all(Tunnel *tunnel) {
        struct underpass_socket_key key = {};
        int r = 0;

        while (tunnel->loaded && r == 0 &&
               bpf_map_get_next_key(tunnel->maps[MAP_SOCKETS], NULL, &key) == 0)
                r = tunnel_unguard(tunnel, &key);
        return r;
}
