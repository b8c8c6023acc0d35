/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Datagrams of connections that this host does not know: a reset in the form of the tunnel, where
 * nothing else can want them.
 *
 * Room: bench.h, place.h. Real sockets, on lo of the tests' own network namespace.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "place.h"
#include "programs.h"

enum {
        LISTENING_PORT = 443,
        OTHER_PORT = 4443,
        SERVED_PORT = 5000,   /* in local-ports alone, … */
        TUNNELLED_PORT = 8000, /* … and in remote-ports alone */
        EXTENSION_DESTINATION = 60,
        HOPS = 64,
        SEQUENCE = 5000,
        ACKNOWLEDGMENT = 0xabcdef01,
        BULK_OFFER = 0x08, /* beside the data offset: the sender takes the bulk form */
        BULK_ARRIVED = 0x04,
};

/* One datagram that belongs to no flow, and who is there to take it. */
struct forgotten_case {
        const char *name;
        uint8_t flags;
        uint8_t reserved;
        bool listening;      /* a TCP socket is at the port */
        bool udp;            /* a UDP socket is */
        bool ours;           /* it is a tunnel socket that the service has made */
        bool connection;     /* so is the connection, which expects other numbers */
        uint16_t port;       /* 0: that of the server */
        bool headers;        /* IPv4 options, or an IPv6 extension header */
        bool merged;
        bool elsewhere;      /* the frame is for another host */
        void (*mangle)(uint8_t *udp);
        bool answered;
};

static void no_check(uint8_t *udp) {
        frame_put16(udp + 6, 0);
}

static void longer(uint8_t *udp) {
        frame_put16(udp + 4, (uint16_t) (frame_get16(udp + 4) + 1));
}

static const struct forgotten_case cases[] = {
        { "a segment", FRAME_ACK, 0, true, .answered = true },
        { "data", FRAME_ACK | FRAME_PSH, 0, true, .answered = true },
        { "accurate ECN", FRAME_ACK | FRAME_ECE, FRAME_AE, true, .answered = true },
        { "the end", FRAME_ACK | FRAME_FIN, 0, true, .answered = true },
        { "a reset", FRAME_RST, 0, true },
        { "a reset that acknowledges", FRAME_RST | FRAME_ACK, 0, true },
        { "a SYN-ACK", FRAME_SYN | FRAME_ACK, 0, true },
        { "nothing acknowledged", FRAME_PSH, 0, true },
        { "it takes the bulk form", FRAME_ACK, BULK_OFFER, true, .answered = true },
        { "bulk has arrived", FRAME_ACK, BULK_OFFER | BULK_ARRIVED, true, .answered = true },
        { "bulk, accurate ECN", FRAME_ACK | FRAME_ECE, BULK_OFFER | FRAME_AE, true, .answered = true },
        { "a reserved bit", FRAME_ACK, 2, true },
        { "a server of UDP, too", FRAME_ACK, 0, true, .udp = true },
        { "a tunnel socket of ours", FRAME_ACK, 0, true, .udp = true, .ours = true, .answered = true },
        { "a server of UDP only", FRAME_ACK, 0, false, .udp = true },
        { "nothing listens: the stack refuses it", FRAME_ACK, 0, false },
        { "a connection is there", FRAME_ACK, 0, true, .connection = true },
        { "another port", FRAME_ACK, 0, true, .port = OTHER_PORT },
        { "a port that is only served", FRAME_ACK, 0, true, .port = SERVED_PORT, .answered = true },
        { "a port that is only tunnelled to", FRAME_ACK, 0, true, .port = TUNNELLED_PORT },
        { "more headers than usual", FRAME_ACK, 0, true, .headers = true },
        { "merged", FRAME_ACK, 0, true, .merged = true },
        { "for another host", FRAME_ACK, 0, true, .elsewhere = true },
        { "no checksum", FRAME_ACK, 0, true, .mangle = no_check },
        { "lengths contradict each other", FRAME_ACK, 0, true, .mangle = longer },
};

static bool is_answer(const struct frame *answer, const struct frame *asked, bool ipv6) {
        const size_t addresses = ipv6 ? 16 : 4, at = asked->layer3 + (ipv6 ? 8 : 12);
        const uint8_t *udp = answer->data + asked->layer4, *came = asked->data + asked->layer4;

        EXPECT_EQUAL(answer->length, asked->layer4 + FRAME_HEADER_LENGTH);
        EXPECT_EQUAL(answer->data[asked->protocol], FRAME_UDP);
        EXPECT(memcmp(answer->data, asked->data + 6, 6) == 0);
        EXPECT(memcmp(answer->data + 6, asked->data, 6) == 0);
        EXPECT(memcmp(answer->data + at, asked->data + at + addresses, addresses) == 0);
        EXPECT(memcmp(answer->data + at + addresses, asked->data + at, addresses) == 0);
        EXPECT(memcmp(udp, came + 2, 2) == 0 && memcmp(udp + 2, came, 2) == 0);
        EXPECT_EQUAL(frame_get16(udp + 4), FRAME_HEADER_LENGTH);
        EXPECT_EQUAL(frame_get16(udp + 6) == 0, 0); /* that would say that there is no checksum */
        EXPECT_EQUAL(answer->data[asked->layer3 + (ipv6 ? 7 : 8)], HOPS);
        EXPECT(ipv6 || frame_get16(answer->data + asked->layer3 + 6) == FRAME_DONT_FRAGMENT);
        EXPECT_EQUAL(udp[8], 0x50);
        EXPECT_EQUAL(udp[9], FRAME_RST);
        EXPECT(memcmp(udp + 12, came + 16, 4) == 0);
        EXPECT_EQUAL(frame_layer3_sum(answer), 0xffff);
        EXPECT_EQUAL(frame_layer4_sum(answer), 0xffff);
        return true;
}

static void build(const struct forgotten_case *test, bool ipv6, struct frame *ret) {
        const struct frame_spec spec = {
                .ipv6 = ipv6, .udp = true, .from = FRAME_LOCAL, .source_port = FRAME_PORT_LOCAL,
                .dest_port = test->port ? test->port : LISTENING_PORT, .flags = test->flags,
                .reserved = test->reserved, .sequence = SEQUENCE, .acknowledgment = ACKNOWLEDGMENT,
                .payload = 32, .ipv4_options = test->headers && !ipv6 ? 8 : 0,
                .extensions = { EXTENSION_DESTINATION }, .extensions_count = test->headers && ipv6,
        };

        frame_build(&spec, ret);
        memset(ret->data, 0, 6); /* lo has no other address */
        ret->data[0] = test->elsewhere ? 2 : 0;
        if (test->mangle)
                test->mangle(ret->data + ret->layer4);
}

static bool run_case(struct bench *bench, const struct forgotten_case *test, bool ipv6) {
        const struct bench_count counts[BENCH_COUNTS_MAX] = { { UNDERPASS_COUNTER_RESETS_SENT,
                                                                test->answered } };
        struct __sk_buff context = { .gso_size = test->merged ? 500 : 0 };
        struct frame asked, answer;
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        if (test->ours)
                EXPECT(bench_serve(bench, BENCH_IFINDEX, ipv6, LISTENING_PORT) == 0);
        build(test, ipv6, &asked);
        answer = asked;
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &answer, test->merged ? &context : NULL, &verdict) ==
               0);
        EXPECT_EQUAL(verdict, test->answered ? BENCH_REDIRECT : BENCH_NEXT);
        EXPECT_EQUAL(bench_flows_count(bench->flows) + bench_flows_count(bench->half_open), 0);
        EXPECT(bench_counted(bench, counts));
        return test->answered ? is_answer(&answer, &asked, ipv6) : frame_equal(&answer, &asked);
}

static bool run_with_sockets(struct bench *bench, const struct forgotten_case *test, bool ipv6) {
        uint16_t port = test->port ? test->port : LISTENING_PORT;
        int listener = test->listening ? place_listen(FRAME_REMOTE, ipv6, port) : -1;
        int udp = test->udp ? place_udp(FRAME_REMOTE, ipv6, port) : -1, client = -1;
        bool passed;

        EXPECT(!test->listening || listener >= 0);
        EXPECT(!test->udp || udp >= 0);
        if (test->connection)
                EXPECT(place_connect(ipv6, FRAME_PORT_LOCAL, port, NULL, &client) == 0);
        passed = run_case(bench, test, ipv6);
        if (client >= 0)
                place_abort(client);
        if (listener >= 0)
                place_abort(listener);
        if (udp >= 0)
                close(udp);
        return passed;
}

static bool test_sockets(void *context) {
        for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
                bool ipv6 = (i & 1) && place_has_ipv6();

                if (run_with_sockets(context, &cases[i / 2], ipv6))
                        continue;
                fprintf(stderr, "forgotten, IPv%d: %s\n", ipv6 ? 6 : 4, cases[i / 2].name);
                return false;
        }
        return true;
}

/* Who makes up segments makes us send so many resets a second and no more. */
static bool test_seldom(void *context) {
        const unsigned sent = 3 * UNDERPASS_RESETS_MAX;
        int listener = place_listen(FRAME_REMOTE, false, LISTENING_PORT);
        struct underpass_counters counted;
        struct bench *bench = context;
        struct frame asked, answer;
        __u64 begin, seconds, resets;
        __u32 verdict;

        EXPECT(listener >= 0);
        EXPECT(bench_reset(bench) == 0);
        build(&cases[0], false, &asked);
        begin = bench_now();
        for (unsigned i = 0; i < sent; i++) {
                answer = asked;
                EXPECT(bench_run(bench, BENCH_INGRESS, false, &answer, NULL, &verdict) == 0);
        }
        seconds = 2 + (bench_now() - begin) / 1000000000; /* begun */
        place_abort(listener);
        EXPECT(bench_counters(bench, BENCH_SLOT, &counted) == 0);
        resets = counted.value[UNDERPASS_COUNTER_RESETS_SENT];
        EXPECT(resets >= UNDERPASS_RESETS_MAX && resets <= UNDERPASS_RESETS_MAX * seconds);
        EXPECT_EQUAL(counted.value[UNDERPASS_COUNTER_PASS_FORGOTTEN], sent - resets);
        return true;
}

/* How many have been sent in a second of late, and whether there is room for one more. */
struct room_case {
        const char *name;
        uint32_t ago; /* seconds */
        uint32_t resets;
        uint32_t then;
        bool answered;
};

static const struct room_case rooms[] = {
        { "one less than enough", 0, UNDERPASS_RESETS_MAX - 1, UNDERPASS_RESETS_MAX, true },
        { "enough", 0, UNDERPASS_RESETS_MAX, UNDERPASS_RESETS_MAX, false },
        { "enough, but a second ago", 1, UNDERPASS_RESETS_MAX, 1, true },
};

static bool run_room(struct bench *bench, const struct room_case *test) {
        const __u32 index = BENCH_SLOT;
        struct underpass_slot slot = {
                .ifindex = BENCH_IFINDEX,
                .resets = test->resets,
                .resets_second = (__u32) (bench_now() / 1000000000) - test->ago,
        };
        struct frame frame;
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        EXPECT(bench_set_slot(bench, &slot) == 0);
        build(&cases[0], false, &frame);
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, test->answered ? BENCH_REDIRECT : BENCH_NEXT);
        EXPECT(bench_map_lookup(bench->slots, &index, &slot) == 0);
        EXPECT_EQUAL(slot.resets, test->then);
        return true;
}

static bool test_room(void *context) {
        int listener = place_listen(FRAME_REMOTE, false, LISTENING_PORT);
        bool passed = true;

        EXPECT(listener >= 0);
        for (size_t i = 0; passed && i < sizeof(rooms) / sizeof(rooms[0]); i++) {
                __u64 second;

                do {
                        second = bench_now() / 1000000000;
                        passed = run_room(context, &rooms[i]);
                } while (!passed && bench_now() / 1000000000 != second); /* that was another case */
                if (!passed)
                        fprintf(stderr, "forgotten: %s\n", rooms[i].name);
        }
        place_abort(listener);
        return passed;
}

/* A server at all addresses. */
static int listen_anywhere(void) {
        const struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(LISTENING_PORT) };
        int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, off = 0;

        if (fd < 0)
                return -errno;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
        if (bind(fd, (const struct sockaddr *) &any, sizeof(any)) == 0 && listen(fd, 1) == 0)
                return fd;
        close(fd);
        return -EADDRINUSE;
}

static bool run_routed(struct bench *bench, bool ipv6, bool ours) {
        const struct bench_count counts[BENCH_COUNTS_MAX] = { { UNDERPASS_COUNTER_RESETS_SENT, ours } };
        struct frame asked, answer;
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        build(&cases[0], ipv6, &asked);
        if (!ours) {
                asked.data[asked.layer3 + 16] ^= 2; /* to 10.0.2.2 */
                frame_put_checks(&asked);
        }
        answer = asked;
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &answer, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, ours ? BENCH_REDIRECT : BENCH_NEXT);
        EXPECT(bench_counted(bench, counts));
        return ours ? is_answer(&answer, &asked, ipv6) : frame_equal(&answer, &asked);
}

/* A router with a server at all its addresses: what is for a host behind it, it does not answer. Over IPv6 a
 * route by lo leads nowhere. */
static bool test_router(void *context) {
        bool passed = true;
        int listener;

        if (!place_has_ipv6())
                return true;
        EXPECT_EQUAL((unsigned) -place_set_forwarding(true), 0);
        listener = listen_anywhere();
        for (int i = 0; passed && i < 3; i++) {
                passed = listener >= 0 && run_routed(context, i == 1, i < 2);
                if (!passed)
                        fprintf(stderr, "forgotten, IPv%d, for %s\n", i == 1 ? 6 : 4,
                                i < 2 ? "a router" : "a host behind it");
        }
        place_abort(listener);
        EXPECT_EQUAL((unsigned) -place_set_forwarding(false), 0);
        return passed;
}

/* The peer chooses the number of the reset, and so its sum: none looks like no checksum at all. */
static bool run_sum(struct bench *bench, bool ipv6) {
        struct frame asked, answer;
        uint8_t *acknowledgment;
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        build(&cases[0], ipv6, &asked);
        answer = asked;
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &answer, NULL, &verdict) == 0);
        acknowledgment = asked.data + asked.layer4 + 16;
        frame_put16(acknowledgment, frame_fold((uint32_t) frame_get16(acknowledgment) +
                                               frame_get16(answer.data + answer.layer4 + 6)));
        frame_put_checks(&asked);
        answer = asked;
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &answer, NULL, &verdict) == 0);
        EXPECT_EQUAL(frame_get16(answer.data + answer.layer4 + 6), 0xffff);
        return is_answer(&answer, &asked, ipv6);
}

/* A card has summed the whole datagram, which is as long as the reset. */
static bool run_summed(struct bench *bench, bool ipv6) {
        struct frame asked, answer;
        __u32 verdict;
        int r;

        EXPECT(bench_reset(bench) == 0);
        build(&cases[0], ipv6, &asked);
        asked.length = asked.layer4 + FRAME_HEADER_LENGTH;
        frame_put16(asked.data + asked.layer3 + (ipv6 ? 4 : 2),
                    (uint16_t) (asked.length - (ipv6 ? asked.layer4 : asked.layer3)));
        frame_put16(asked.data + asked.layer4 + 4, FRAME_HEADER_LENGTH);
        frame_put_checks(&asked);
        answer = asked;
        r = bench_run(bench, BENCH_INGRESS, true, &answer, NULL, &verdict);
        if (r == -EINVAL)
                return true; /* this kernel cannot tell */
        EXPECT_EQUAL((unsigned) -r, 0);
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        return is_answer(&answer, &asked, ipv6);
}

static bool test_sums(void *context) {
        for (int ipv6 = 0; ipv6 < 1 + place_has_ipv6(); ipv6++) {
                int listener = place_listen(FRAME_REMOTE, ipv6, LISTENING_PORT);
                bool passed;

                EXPECT(listener >= 0);
                passed = run_sum(context, ipv6) && run_summed(context, ipv6);
                place_abort(listener);
                EXPECT(passed);
        }
        return true;
}

int programs_forgotten(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "forgotten: who else may want it", test_sockets },
                { "forgotten: few in a second", test_seldom },
                { "forgotten: how many more in this one", test_room },
                { "forgotten: hosts behind a router", test_router },
                { "forgotten: checksums", test_sums },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
