/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What the programs cost for one packet, as the kernel itself measures it (BPF_PROG_TEST_RUN), with as many
 * flows in the table as the arguments say. Prints one JSON line for each, in nanoseconds.
 *
 * Room: the programs and maps of tests/bpf/bench.h; nothing is attached.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "bench.h"

enum {
        REPEAT = 200000,
        SPREAD_RUNS = 20000, /* packets of different flows */
        RECENT_MAX = 50000,  /* fewer than the table holds */
        PAYLOAD = 1400,
};

/* The flow with this number. Without data, or it would be the same data again and again, which is looked
 * at more closely. */
static void flow_frame(uint32_t number, struct frame *ret) {
        const struct frame_spec spec = {
                .flags = FRAME_ACK,
                .options = FRAME_OPTIONS_TIMESTAMP,
                .source_port = (uint16_t) (1024 + number % 50000),
        };

        frame_build(&spec, ret);
        /* Another host for each block of ports; the checksums do not matter to the egress program. */
        frame_put32(ret->data + ret->layer3 + 16, 0x0a000000 + number / 50000);
}

static int put_flow(const struct bench *bench, const struct frame *frame) {
        struct underpass_flow_key key;
        struct underpass_flow flow;

        bench_tunnelled(&flow);
        bench_flow_key(frame, true, &key);
        return bench_put_flow(bench->flows, &key, &flow);
}

/* Nanoseconds of one run; what the program returns has to be what is expected. */
static int run_program(int program, const struct frame *frame, unsigned repeat, __u32 expected,
                       double *ret) {
        struct frame out;
        struct __sk_buff context = {};
        LIBBPF_OPTS(bpf_test_run_opts, options,
                    .data_in = frame->data,
                    .data_size_in = (__u32) frame->length,
                    .data_out = out.data,
                    .data_size_out = sizeof(out.data),
                    .ctx_in = &context,
                    .ctx_size_in = sizeof(context),
                    .repeat = (int) repeat);
        int r = bpf_prog_test_run_opts(program, &options);

        if (r < 0)
                return r;
        if (options.retval != expected)
                return -EPROTO;
        *ret = options.duration;
        return 0;
}

/*
 * Packets of flows in no order, one run each: neither cache nor branch prediction know the next one. Where
 * the table is smaller than what was asked for, older flows have gone; only packets of the others count.
 */
static int run_spread(const struct bench *bench, unsigned flows, double *ret) {
        unsigned recent = flows < RECENT_MAX ? flows : RECENT_MAX, done = 0;
        uint32_t state = 12345;
        double sum = 0, each;

        for (unsigned i = 0; i < SPREAD_RUNS; i++) {
                struct frame frame;
                int r;

                state = state * 1664525 + 1013904223;
                flow_frame(flows - recent + (uint32_t) ((uint64_t) state * recent >> 32), &frame);
                r = run_program(bench->programs[BENCH_EGRESS], &frame, 1, BENCH_REDIRECT, &each);
                if (r == -EPROTO)
                        continue;
                if (r < 0)
                        return r;
                sum += each;
                done++;
        }
        if (done < SPREAD_RUNS / 2)
                return -ENODATA;
        *ret = sum / done;
        return 0;
}

/* Packets that are none of ours: what all other traffic of the interface pays. */
static int run_others(const struct bench *bench, double *ret_out, double *ret_in, double *ret_udp) {
        struct frame_spec spec = { .flags = FRAME_ACK, .payload = PAYLOAD, .dest_port = 8080 };
        struct frame frame;
        int r;

        frame_build(&spec, &frame);
        r = run_program(bench->programs[BENCH_EGRESS], &frame, REPEAT, BENCH_NEXT, ret_out);
        if (r < 0)
                return r;
        spec = (struct frame_spec) {
                .from = FRAME_REMOTE, .flags = FRAME_ACK, .payload = PAYLOAD, .source_port = 8080,
        };
        frame_build(&spec, &frame);
        r = run_program(bench->programs[BENCH_INGRESS], &frame, REPEAT, BENCH_NEXT, ret_in);
        if (r < 0)
                return r;
        spec.udp = true;
        frame_build(&spec, &frame);
        frame.data[frame.layer4 + 8] = 0x10; /* where TCP has its data offset: no form of ours */
        return run_program(bench->programs[BENCH_INGRESS], &frame, REPEAT, BENCH_NEXT, ret_udp);
}

static int measure(const struct bench *bench, unsigned flows) {
        double same, spread, out, in, udp;
        struct frame frame;
        int r;

        r = bench_reset(bench);
        for (unsigned i = 0; i < flows && r >= 0; i++) {
                flow_frame(i, &frame);
                r = put_flow(bench, &frame);
        }
        flow_frame(0, &frame);
        if (r >= 0)
                r = put_flow(bench, &frame);
        if (r >= 0)
                r = run_program(bench->programs[BENCH_EGRESS], &frame, REPEAT, BENCH_REDIRECT, &same);
        if (r >= 0)
                r = run_spread(bench, flows, &spread);
        if (r >= 0)
                r = run_others(bench, &out, &in, &udp);
        if (r < 0)
                return r;
        printf("{\"asked\": %u, \"flows\": %u, \"same\": %.1f, \"spread\": %.1f, \"other_tcp_out\": %.1f, "
               "\"other_tcp_in\": %.1f, \"other_udp_in\": %.1f}\n",
               flows, bench_flows_count(bench->flows), same, spread, out, in, udp);
        return 0;
}

int main(int argc, char **argv) {
        struct bench bench;
        int r;

        if (argc < 2) {
                fprintf(stderr, "usage: bench-cost FLOWS…\n");
                return 2;
        }
        r = bench_open(&bench, 0);
        if (r < 0) {
                fprintf(stderr, "bench-cost: the programs cannot be loaded: %s\n", strerror(-r));
                return EXIT_FAILURE;
        }
        for (int i = 1; i < argc && r >= 0; i++)
                r = measure(&bench, (unsigned) strtoul(argv[i], NULL, 10));
        bench_close(&bench);
        if (r < 0)
                fprintf(stderr, "bench-cost: %s\n", strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
