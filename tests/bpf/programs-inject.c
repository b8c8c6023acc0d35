/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What UDP sockets of this host send: it leaves, unless it would pass for a segment of a tunnelled flow.
 *
 * Room: bench.h, place.h. A test run has no UDP socket, so the program is attached to lo of the tests' own
 * network namespace, and real sockets send.
 */

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "place.h"
#include "programs.h"

enum {
        TCX_EGRESS = 47,    /* BPF_TCX_EGRESS, which older headers do not have */
        SEGMENT_SIZE = 103, /* UDP_SEGMENT, likewise */
        OTHER_PORT = 45000,
        SERVER_PORT = 443,
        PAYLOAD = 40,
        LARGE = 3000,
        SMALL_MTU = 1500,
        USUAL_MTU = 65536,
        PATIENCE_MS = 2000,
        NEXT = 0x10000000, /* what the flow sends next */
        FAR = 1 << 20,     /* so far from it a segment of the flow may lie */
};

struct inject_case {
        const char *name;
        uint8_t state;    /* of the flow; 0: there is none */
        uint8_t flags;
        uint16_t port;    /* of the sender; 0: that of the flow */
        bool silent;
        bool connection;  /* the TCP connection is there */
        bool options;     /* IPv4 options, or an IPv6 extension header */
        bool fragments;
        bool super_packet;
        bool other_link;  /* the flow is on another link than the one it leaves by */
        bool over;        /* both sides have said so */
        bool near;        /* what it sends could be the next segment of the flow, … */
        int32_t apart;    /* … as it lies so far from what the flow sends next */
        bool nobody;      /* has a socket at the server's port */
        bool earlier;     /* the record is of an earlier release, which does not know that */
        bool dropped;
};

#define SILENT UNDERPASS_FLOW_TUNNELLED, .silent = true

static const struct inject_case cases[] = {
        { "no flow" },
        { "a tunnelled flow", UNDERPASS_FLOW_TUNNELLED, .dropped = true },
        { "with options", UNDERPASS_FLOW_TUNNELLED, .options = true, .dropped = true },
        { "in fragments", UNDERPASS_FLOW_TUNNELLED, .fragments = true, .dropped = true },
        { "in fragments, no flow", .fragments = true },
        { "as a super-packet", UNDERPASS_FLOW_TUNNELLED, .super_packet = true, .dropped = true },
        { "as a super-packet, no flow", .super_packet = true },
        { "from another port", UNDERPASS_FLOW_TUNNELLED, .port = OTHER_PORT },
        { "half-open, opened here", UNDERPASS_FLOW_HALF_OPEN, UNDERPASS_FLOW_OPENED_HERE, .dropped = true },
        { "half-open, answered", UNDERPASS_FLOW_HALF_OPEN, UNDERPASS_FLOW_ANSWERED, .dropped = true },
        { "half-open, by a SYN alone", UNDERPASS_FLOW_HALF_OPEN },
        { "a plain SYN is watched", UNDERPASS_FLOW_WATCHED, UNDERPASS_FLOW_OPENED_HERE },
        { "silent, and its connection has gone", UNDERPASS_FLOW_TUNNELLED, .silent = true },
        { "the same, and nobody is there to receive it", UNDERPASS_FLOW_TUNNELLED, .silent = true,
          .nobody = true },
        { "silent, by another link than the flow's", UNDERPASS_FLOW_TUNNELLED, .silent = true,
          .other_link = true, .dropped = true },
        { "the same, and its connection is over", UNDERPASS_FLOW_TUNNELLED, .silent = true,
          .other_link = true, .over = true },
        { "silent", UNDERPASS_FLOW_TUNNELLED, .silent = true, .connection = true, .dropped = true },
        { "silent and forwarded, a guess",
          UNDERPASS_FLOW_TUNNELLED,
          .silent = true,
          .near = true,
          .apart = 1000,
          .dropped = true },
        { "far ahead", SILENT, .near = true, .apart = FAR, .dropped = true },
        { "too far ahead", SILENT, .near = true, .apart = FAR + 1 },
        { "far behind", SILENT, .near = true, .apart = -FAR, .dropped = true },
        { "too far behind", SILENT, .near = true, .apart = -FAR - 1 },
        { "silent, of an earlier release", SILENT, .earlier = true },
};

/* The record of a flow from the client to the server. */
static bool put_flow(struct bench *bench, const struct inject_case *test, bool ipv6) {
        struct frame_spec spec = { .ipv6 = ipv6, .source_port = FRAME_PORT_LOCAL, .dest_port = SERVER_PORT };
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame;

        EXPECT(bench_reset(bench) == 0);
        if (test->state == 0)
                return true;
        frame_build(&spec, &frame);
        bench_flow_key(&frame, true, &key);
        if (test->silent)
                bench_silent(&flow);
        else
                bench_tunnelled(&flow);
        flow.next = flow.expected = test->earlier ? 0 : NEXT;
        if (test->other_link) {
                flow.ifindex = BENCH_IFINDEX + 1;
                flow.slot = BENCH_SLOT + 1;
        }
        if (test->over) {
                flow.socket = 1;
                flow.ends = UNDERPASS_FLOW_OUR_FIN | UNDERPASS_FLOW_PEER_FIN;
        }
        flow.state = test->state;
        flow.flags = test->flags;
        return bench_put_flow(test->state == UNDERPASS_FLOW_TUNNELLED ? bench->flows : bench->half_open,
                              &key, &flow) == 0;
}

/* Negative: the kernel has no tcx. */
static int attach(const struct bench *bench) {
        const int attach_point = TCX_EGRESS;

        return bpf_link_create(bench->programs[BENCH_EGRESS], BENCH_IFINDEX,
                               (enum bpf_attach_type) attach_point, NULL);
}

static bool set_mtu(int mtu) {
        struct ifreq request = { .ifr_name = "lo", .ifr_mtu = mtu };
        int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

        EXPECT(control >= 0);
        r = ioctl(control, SIOCSIFMTU, &request);
        close(control);
        return r == 0;
}

static bool prepare_sender(const struct inject_case *test, bool ipv6, int fd) {
        const uint8_t nothing[4] = { 1, 1, 1, 1 }, padding[8] = { 0, 0, 1, 4 };
        const int segment = 500, fragment = IP_PMTUDISC_DONT;

        if (test->options && ipv6)
                EXPECT(setsockopt(fd, IPPROTO_IPV6, IPV6_DSTOPTS, padding, sizeof(padding)) == 0);
        if (test->options && !ipv6)
                EXPECT(setsockopt(fd, IPPROTO_IP, IP_OPTIONS, nothing, sizeof(nothing)) == 0);
        if (test->super_packet)
                EXPECT(setsockopt(fd, IPPROTO_UDP, SEGMENT_SIZE, &segment, sizeof(segment)) == 0);
        if (test->fragments && !ipv6)
                EXPECT(setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &fragment, sizeof(fragment)) == 0);
        return true;
}

static bool send_one(const struct inject_case *test, bool ipv6) {
        uint8_t data[LARGE] = {};
        int fd = place_udp(FRAME_LOCAL, ipv6, test->port ? test->port : FRAME_PORT_LOCAL);
        size_t length = test->fragments || test->super_packet ? LARGE : PAYLOAD;
        struct sockaddr_storage to;
        bool prepared;
        ssize_t sent;

        EXPECT(fd >= 0);
        if (test->near)
                /* Behind the UDP header, where the sequence number is. */
                frame_put32(data + 4, NEXT + (uint32_t) test->apart);
        prepared = prepare_sender(test, ipv6, fd);
        sent = sendto(fd, data, length, 0, (struct sockaddr *) &to,
                      place_address(FRAME_REMOTE, ipv6, SERVER_PORT, &to));
        close(fd);
        EXPECT(prepared);
        EXPECT_EQUAL((unsigned) sent, length);
        return true;
}

/* What is sent on lo has arrived when sendto() returns, or nearly so; what was dropped has been counted. */
static bool arrives(struct bench *bench, const struct inject_case *test, int receiver) {
        struct bench_count counts[BENCH_COUNTS_MAX] = { { UNDERPASS_COUNTER_DROP_INJECTED, test->dropped } };
        struct pollfd readable = { .fd = receiver, .events = POLLIN };

        EXPECT(bench_counted(bench, counts));
        if (test->nobody)
                return true;
        EXPECT_EQUAL((unsigned) poll(&readable, 1, test->dropped ? 0 : PATIENCE_MS), !test->dropped);
        return true;
}

/* The program is attached while the packet is sent, so that a connection that is opened before and closed
 * afterwards does not meet it. */
static bool run_attached(struct bench *bench, const struct inject_case *test, bool ipv6, int receiver) {
        int link = attach(bench);
        bool passed;

        EXPECT(link >= 0);
        passed = send_one(test, ipv6) && arrives(bench, test, receiver);
        close(link);
        return passed;
}

static bool run_case(struct bench *bench, const struct inject_case *test, bool ipv6) {
        int receiver = test->nobody ? -1 : place_udp(FRAME_REMOTE, ipv6, SERVER_PORT), listener = -1;
        int client = -1;
        bool passed;

        EXPECT(test->nobody || receiver >= 0);
        if (test->connection) {
                listener = place_listen(FRAME_REMOTE, ipv6, SERVER_PORT);
                EXPECT(place_connect(ipv6, FRAME_PORT_LOCAL, SERVER_PORT, NULL, &client) == 0);
        }
        if (test->fragments)
                EXPECT(set_mtu(SMALL_MTU));
        passed = put_flow(bench, test, ipv6) && run_attached(bench, test, ipv6, receiver);
        if (test->fragments)
                EXPECT(set_mtu(USUAL_MTU));
        place_abort(client);
        place_abort(listener);
        if (receiver >= 0)
                close(receiver);
        return passed;
}

static bool test_cases(void *context) {
        for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
                bool ipv6 = i & 1;

                if ((ipv6 && !place_has_ipv6()) || run_case(context, &cases[i / 2], ipv6))
                        continue;
                fprintf(stderr, "inject, IPv%d: %s\n", ipv6 ? 6 : 4, cases[i / 2].name);
                return false;
        }
        return true;
}

int programs_inject(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "inject: datagrams of UDP sockets", test_cases },
        };
        int link = attach(bench);

        if (link < 0) {
                printf("skip  inject: this kernel has no tcx\n");
                return 0;
        }
        close(link);
        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
