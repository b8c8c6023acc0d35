/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Two things that the benchmark needs from BPF and that no command line offers everywhere: an XDP program
 * that does nothing, to compare with, and a table of flows filled with strangers.
 *
 * Room: libbpf; the interfaces and the pinned map that it is told.
 */

#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/abi.h"

enum {
        STRANGERS_NETWORK = 0x64400000, /* 100.64.0.0/10 */
        PORTS = 50000,
        PORT_FIRST = 1024,
        VERDICT_PASS = 2, /* XDP_PASS */
};

static const char usage[] =
        "usage: bench-helper xdp-pass INTERFACE…\n"
        "       bench-helper fill PINNED-MAP COUNT    prints how many flows there are then\n"
        "       bench-helper clear PINNED-MAP         takes those of fill out\n";

/* Native XDP that passes every packet, as the programs of a driver's fast path would be attached. */
static int attach_pass(const char *interface) {
        const struct bpf_insn instructions[] = {
                { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = VERDICT_PASS },
                { .code = BPF_JMP | BPF_EXIT },
        };
        LIBBPF_OPTS(bpf_prog_load_opts, options, .prog_flags = BPF_F_XDP_HAS_FRAGS);
        int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "pass", "GPL", instructions,
                               sizeof(instructions) / sizeof(instructions[0]), &options);

        if (fd < 0)
                return fd;
        return bpf_xdp_attach((int) if_nametoindex(interface), fd, XDP_FLAGS_DRV_MODE, NULL);
}

static void put16(__u16 *field, unsigned value) {
        const unsigned char bytes[] = { (unsigned char) (value >> 8), (unsigned char) value };

        memcpy(field, bytes, sizeof(bytes));
}

static void stranger(unsigned number, struct underpass_flow_key *ret) {
        const unsigned remote = STRANGERS_NETWORK + number / PORTS;
        unsigned char mapped[16] = {
                [10] = 0xff, 0xff, (unsigned char) (remote >> 24), (unsigned char) (remote >> 16),
                (unsigned char) (remote >> 8), (unsigned char) remote,
        };

        *ret = (struct underpass_flow_key) {};
        memcpy(ret->remote, mapped, sizeof(mapped));
        mapped[15] ^= 1;
        memcpy(ret->local, mapped, sizeof(mapped));
        put16(&ret->local_port, PORT_FIRST + number % PORTS);
        put16(&ret->remote_port, 443);
}

static bool is_stranger(const struct underpass_flow_key *key) {
        const unsigned first = STRANGERS_NETWORK >> 24 & 0xff, second = STRANGERS_NETWORK >> 16 & 0xff;
        unsigned char bytes[16];

        memcpy(bytes, key->remote, sizeof(bytes));
        return bytes[12] == first && bytes[13] == second;
}

static unsigned count_flows(int map) {
        struct underpass_flow_key key;
        unsigned count = 0;

        for (int r = bpf_map_get_next_key(map, NULL, &key); r == 0;
             r = bpf_map_get_next_key(map, &key, &key))
                count++;
        return count;
}

static int fill(int map, unsigned count) {
        struct timespec now;
        struct underpass_flow flow = { .state = UNDERPASS_FLOW_TUNNELLED };

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        flow.opened_ns = flow.seen_ns = (__u64) now.tv_sec * 1000000000ULL + (__u64) now.tv_nsec;
        for (unsigned i = 0; i < count; i++) {
                struct underpass_flow_key key;
                int r;

                stranger(i, &key);
                r = bpf_map_update_elem(map, &key, &flow, BPF_ANY);
                if (r < 0)
                        return r;
        }
        printf("%u\n", count_flows(map));
        return 0;
}

/* The key after a deleted one is unknown, so the walk begins again when something was found. */
static int clear(int map) {
        for (bool found = true; found;) {
                struct underpass_flow_key key, next;
                int r = bpf_map_get_next_key(map, NULL, &key);

                for (found = false; r == 0; key = next) {
                        r = bpf_map_get_next_key(map, &key, &next);
                        if (is_stranger(&key) && bpf_map_delete_elem(map, &key) == 0)
                                found = true;
                }
        }
        return 0;
}

int main(int argc, char **argv) {
        int r = 0;

        if (argc >= 3 && strcmp(argv[1], "xdp-pass") == 0) {
                for (int i = 2; i < argc && r >= 0; i++)
                        r = attach_pass(argv[i]);
        } else if ((argc == 4 && strcmp(argv[1], "fill") == 0) ||
                   (argc == 3 && strcmp(argv[1], "clear") == 0)) {
                int map = bpf_obj_get(argv[2]);

                r = map < 0 ? map :
                    argc == 4 ? fill(map, (unsigned) strtoul(argv[3], NULL, 10)) : clear(map);
        } else {
                fputs(usage, stderr);
                return 2;
        }
        if (r < 0)
                fprintf(stderr, "bench-helper: %s\n", strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
