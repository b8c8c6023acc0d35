/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Tunnel sockets of the kernel (receive=socket): what would reach them and belongs to no flow is dropped, in
 * whatever shape it comes; all else is as without.
 *
 * Room: bench.h.
 */

#include <arpa/inet.h>
#include <string.h>

#include "programs.h"

enum {
        PEER_PORT = 50000,
        SERVED = 443,      /* the port of the socket */
        OTHER_LINK = 77,
        VLAN_TAGGED = 0x8100,
        IPV6_LENGTH = 40,
};

enum guard_socket {
        SERVES,           /* all peers at the port */
        SERVES_OTHERS,    /* the same on another link */
        CONNECTED,        /* to the peer of the packet */
        CONNECTED_ELSE,   /* to another port of it */
        GONE,             /* the port is noted yet */
        UNNOTED,          /* all peers, but its port is not noted */
        NONE,
};

struct guard_case {
        const char *name;
        enum guard_socket socket;
        bool stopped;
        uint16_t dest_port;      /* 0: that of the socket */
        uint16_t payload;
        uint16_t cut;            /* bytes that are left behind the IP header; 0: all */
        uint16_t extension_cut;  /* the same of the first extension header */
        uint8_t extensions[6];   /* IPv6; the case is of IPv6 alone then */
        uint8_t extensions_count;
        uint16_t fragment;
        uint8_t ipv4_options;
        uint8_t first;           /* the byte behind the UDP header; 0: as it is */
        uint8_t flags;           /* of TCP; 0: ACK */
        bool tcp;
        bool flow;               /* there is one, tunnelled */
        bool tagged;             /* the frame has a tag of a VLAN inside */
        bool unchecked;          /* no UDP checksum */
};

#define EXTENSIONS(...) \
        .extensions = { __VA_ARGS__ }, .extensions_count = sizeof((uint8_t[]){ __VA_ARGS__ })

static const struct guard_case cases[] = {
        { "no socket", NONE },
        { "a datagram that looks like ours", SERVES, true },
        { "another link", SERVES_OTHERS },
        { "another port", SERVES, .dest_port = 444 },
        { "another port in the same word", SERVES, .dest_port = 442 },
        { "QUIC", SERVES, true, .first = 0xc3 },
        { "GUE, version 0", SERVES, true, .first = 0x01 },
        { "IPv4 inside", SERVES, true, .first = 0x45, .payload = 40 },
        { "IPv6 inside", SERVES, true, .first = 0x60, .payload = 60 },
        { "nothing inside", SERVES, true, .cut = 8 },
        { "four bytes inside", SERVES, true, .cut = 12 },
        { "no whole UDP header", SERVES, true, .cut = 4 },
        { "no port", SERVES, .cut = 3 },
        { "no UDP checksum", SERVES, true, .unchecked = true },
        { "RST", SERVES, true, .flags = FRAME_RST },
        { "SYN to another port", SERVES, .dest_port = 444, .flags = FRAME_SYN },
        { "first fragment", SERVES, true, .fragment = FRAME_MORE_FRAGMENTS },
        { "later fragment", SERVES, .fragment = 5 },
        { "TCP", SERVES, .tcp = true },
        { "options", SERVES, true, .ipv4_options = 8 },
        { "an extension header", SERVES, true, EXTENSIONS(60) },
        { "four of them", SERVES, true, EXTENSIONS(0, 60, 43, 60) },
        { "five of them", SERVES, true, EXTENSIONS(0, 60, 43, 60, 60) },
        { "five of them, to another port", SERVES, true, EXTENSIONS(0, 60, 43, 60, 60), .dest_port = 444 },
        { "an extension header that is not there", SERVES, true, EXTENSIONS(60), .extension_cut = 3 },
        { "fragment, no whole header of it", SERVES, true, EXTENSIONS(44), .extension_cut = 3 },
        { "an extension header, and no port behind it", SERVES, EXTENSIONS(60), .extension_cut = 8 },
        { "a socket that is gone", GONE },
        { "a socket whose port is not noted", UNNOTED },
        { "a flow", SERVES, .flow = true },
        { "a flow, but GUE", SERVES, true, .flow = true, .first = 0x01 },
        { "tags below a tag", SERVES, true, .tagged = true },
        { "the peer of a socket", CONNECTED, true },
        { "the peer of a socket, GUE", CONNECTED, true, .first = 0x01 },
        { "the peer of a socket, a flow", CONNECTED, .flow = true },
        { "another one than the peer", CONNECTED_ELSE },
};

/* How a packet comes. */
enum guard_arrival {
        ETHERNET,
        BARE,
        FRAMED, /* at a link without Ethernet, with a header of the one below */
        _ARRIVAL_MAX,
};

static const char *const arrivals[_ARRIVAL_MAX] = {
        [ETHERNET] = "",
        [BARE] = ", raw",
        [FRAMED] = ", raw but framed",
};

static bool put_sockets(struct bench *bench, enum guard_socket kind, const struct frame *frame) {
        const bool ipv6 = frame->data[frame->layer3] >> 4 == 6;
        struct underpass_socket_key key = { .ifindex = BENCH_IFINDEX };
        const __u32 word = SERVED / 64;
        const __u64 nothing = 0;

        switch (kind) {
        case NONE:
                return true;
        case GONE:
                key.flow.local_port = htons(SERVED);
                if (!ipv6)
                        key.flow.local[2] = key.flow.remote[2] = htonl(0xffff);
                return bench_guard(bench, &key) == 0 && bench_map_delete(bench->sockets, &key) == 0;
        case UNNOTED:
                return bench_serve(bench, BENCH_IFINDEX, ipv6, SERVED) == 0 &&
                       bench_map_update(bench->socket_ports, &word, &nothing) == 0;
        case SERVES:
        case SERVES_OTHERS:
                return bench_serve(bench, kind == SERVES ? BENCH_IFINDEX : OTHER_LINK, ipv6, SERVED) == 0;
        case CONNECTED:
        case CONNECTED_ELSE:
                break;
        }
        bench_flow_key(frame, false, &key.flow);
        key.flow.local_port = htons(SERVED);
        if (kind == CONNECTED_ELSE)
                key.flow.remote_port = htons(PEER_PORT + 1);
        return bench_guard(bench, &key) == 0;
}

static void mangle(const struct guard_case *test, struct frame *frame) {
        const size_t layer4 = frame->layer4;

        if (test->first)
                frame->data[layer4 + 8] = test->first;
        if (test->unchecked)
                frame_put16(frame->data + layer4 + 6, 0);
        if (test->cut) {
                frame->length = layer4 + test->cut;
                frame_put16(frame->data + layer4 + 4, test->cut);
                if (frame->data[frame->layer3] >> 4 == 6)
                        frame_put16(frame->data + frame->layer3 + 4, test->cut);
                else
                        frame_put16(frame->data + frame->layer3 + 2, (uint16_t) (20 + test->cut));
        }
        if (test->extension_cut) {
                frame->length = frame->layer3 + IPV6_LENGTH + test->extension_cut;
                frame_put16(frame->data + frame->layer3 + 4, test->extension_cut);
        }
        if (test->tagged)
                frame_put16(frame->data + 12, VLAN_TAGGED);
}

static bool prepare(struct bench *bench, const struct guard_case *test, const struct frame *frame) {
        struct underpass_flow_key key;
        struct underpass_flow flow;

        EXPECT(bench_reset(bench) == 0);
        EXPECT(put_sockets(bench, test->socket, frame));
        if (!test->flow)
                return true;
        bench_tunnelled(&flow);
        bench_flow_key(frame, false, &key);
        EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
        return true;
}

static bool run_case(struct bench *bench, const struct guard_case *test, bool ipv6,
                     enum guard_arrival arrival) {
        struct frame_spec spec = {
                .from = FRAME_REMOTE, .udp = !test->tcp, .raw = arrival == BARE, .ipv6 = ipv6,
                .source_port = PEER_PORT, .dest_port = test->dest_port ? test->dest_port : SERVED,
                .flags = test->flags ? test->flags : FRAME_ACK, .payload = test->payload,
                .ipv4_options = test->ipv4_options, .fragment = test->fragment,
                .extensions_count = test->extensions_count,
        };
        const struct bench_count none[BENCH_COUNTS_MAX] = {};
        const struct bench_count dropped[BENCH_COUNTS_MAX] = { { UNDERPASS_COUNTER_DROP_STRANGER, 1 } };
        const struct bench_count received[BENCH_COUNTS_MAX] = { { UNDERPASS_COUNTER_RECEIVED, 1 } };
        const struct bench_count other_port[BENCH_COUNTS_MAX] = { { UNDERPASS_COUNTER_PASS_PORT, 1 } };
        struct frame frame;
        __u32 verdict;

        memcpy(spec.extensions, test->extensions, sizeof(spec.extensions));
        if (ipv6 && test->fragment) {
                spec.extensions[0] = 44;
                spec.extensions_count = 1;
                spec.fragment = test->fragment == FRAME_MORE_FRAGMENTS ? 1 : test->fragment * 8;
        }
        frame_build(&spec, &frame);
        EXPECT(prepare(bench, test, &frame));
        mangle(test, &frame);
        EXPECT(bench_run(bench, arrival == ETHERNET ? BENCH_INGRESS : BENCH_INGRESS_RAW, false, &frame, NULL,
                         &verdict) == 0);
        EXPECT_EQUAL(verdict, test->stopped ? BENCH_DROP : BENCH_NEXT);
        return bench_counted(bench, test->stopped              ? dropped :
                                    test->flow                 ? received :
                                    test->flags == FRAME_SYN   ? other_port :
                                                                 none);
}

static bool applies(const struct guard_case *test, bool ipv6, enum guard_arrival arrival) {
        if (arrival != ETHERNET && test->tagged)
                return false;
        /* Test runs of the kernel take no packets that are shorter than the headers of Ethernet and IPv4. */
        if (arrival == BARE && (test->cut || test->extension_cut))
                return false;
        return ipv6 ? test->ipv4_options == 0 : test->extensions_count == 0;
}

static bool test_guard(void *context) {
        for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
                const struct guard_case *test = &cases[i / 2];
                const bool ipv6 = i & 1;

                for (enum guard_arrival each = 0; each < _ARRIVAL_MAX; each++) {
                        if (!applies(test, ipv6, each) || run_case(context, test, ipv6, each))
                                continue;
                        fprintf(stderr, "guard: %s, IPv%d%s\n", test->name, ipv6 ? 6 : 4, arrivals[each]);
                        return false;
                }
        }
        return true;
}

int programs_guard(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "guard: strangers at tunnel sockets", test_guard },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
