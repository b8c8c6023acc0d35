/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What the programs ask the sockets of this host: whether a datagram belongs to a connection that was
 * forgotten, and whether one of a flow long silent is for a UDP socket by now.
 *
 * Room: bench.h, place.h. Real connections, on lo of the tests' own network namespace.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

#include "place.h"
#include "programs.h"
#include "story.h"

#define CLAIMED UNDERPASS_FLOW_CLAIMED
#define TUNNELLED UNDERPASS_FLOW_TUNNELLED

enum {
        FAR = 1 << 20, /* how far a sequence number may lie from what is expected */
        OTHER_PORT = 45000,
        LISTENING_PORT = 443,
        HANDSHAKE_PORT = 46000, /* each its own: the kernel keeps the server's half for a while */
        FRAGMENT_HEADER = 44, /* of IPv6 */
        NEXT = 700000, /* what the flow sends next, with so much in flight */
        FLIGHT = 3000,
};

/* A connection of this host, seen from its client or from its server. */
struct connection {
        int listener;
        int client;
        bool ipv6;
        uint32_t expected; /* by the client: sequence number */
        uint32_t next;     /* of the client */
};

static bool open_connection(bool ipv6, uint16_t from, struct connection *ret) {
        struct connection connection = { .listener = -1, .client = -1, .ipv6 = ipv6 };

        connection.listener = place_listen(FRAME_REMOTE, ipv6, LISTENING_PORT);
        EXPECT(connection.listener >= 0);
        EXPECT_EQUAL((unsigned) -place_connect(ipv6, from, LISTENING_PORT, NULL, &connection.client), 0);
        EXPECT_EQUAL((unsigned) -place_numbers(connection.client, &connection.expected, &connection.next),
                     0);
        *ret = connection;
        return true;
}

/* The server's end is in the queue of the socket that listens, and goes with it. */
static void close_connection(struct connection *connection) {
        place_abort(connection->client);
        place_abort(connection->listener);
}

/* One datagram for the client or, turned round, for the server of the connection. */
struct learn_case {
        const char *name;
        int sequence;         /* from what is expected */
        int acknowledgment;   /* from what has been sent */
        uint8_t flags;
        uint16_t our_port;    /* 0: that of the connection */
        void (*tweak)(struct underpass_link *link);
        void (*mangle)(uint8_t *layer4);
        bool watched;         /* a record of a plain SYN is in the way */
        bool merged;
        bool learnt;
};

static void other_ports(struct underpass_link *link) {
        link->remote_ports[0] = link->local_ports[0] = (struct underpass_port_range) { 80, 80 };
}

static void local_only(struct underpass_link *link) {
        link->remote_ports[0] = (struct underpass_port_range) { 80, 80 };
        link->local_ports[1] = (struct underpass_port_range) { FRAME_PORT_LOCAL, FRAME_PORT_LOCAL };
}

static void no_check(uint8_t *layer4) {
        frame_put16(layer4 + 6, 0);
}

static void longer(uint8_t *layer4) {
        frame_put16(layer4 + 4, (uint16_t) (frame_get16(layer4 + 4) + 1));
}

static const struct learn_case cases[] = {
        { "what is expected", 0, 0, FRAME_ACK, .learnt = true },
        { "a local port of the profile", 0, 0, FRAME_ACK, .tweak = local_only, .learnt = true },
        { "data", 0, 0, FRAME_ACK | FRAME_PSH, .learnt = true },
        { "FIN", 0, 0, FRAME_ACK | FRAME_FIN, .learnt = true },
        { "a reset that acknowledges", 0, 0, FRAME_ACK | FRAME_RST, .learnt = true },
        { "a reset that does not", 0, 0, FRAME_RST },
        { "nothing acknowledged", 0, 0, FRAME_PSH },
        { "SYN-ACK", 0, 0, FRAME_SYN | FRAME_ACK },
        { "sent long ago", -FAR, 0, FRAME_ACK, .learnt = true },
        { "sent too long ago", -FAR - 1, 0, FRAME_ACK },
        { "far ahead", FAR, 0, FRAME_ACK, .learnt = true },
        { "too far ahead", FAR + 1, 0, FRAME_ACK },
        { "half the world away", INT32_MIN, 0, FRAME_ACK },
        { "acknowledges what was acknowledged", 0, -1, FRAME_ACK },
        { "acknowledges what was never sent", 0, 1, FRAME_ACK },
        { "no such connection", 0, 0, FRAME_ACK, .our_port = OTHER_PORT },
        { "no such port in the profile", 0, 0, FRAME_ACK, .tweak = other_ports },
        { "no checksum", 0, 0, FRAME_ACK, .mangle = no_check },
        { "lengths contradict each other", 0, 0, FRAME_ACK, .mangle = longer },
        { "merged by GRO", 0, 0, FRAME_ACK, .merged = true, .learnt = true },
        { "merged by GRO, acknowledges what was never sent", 0, 1, FRAME_ACK, .merged = true },
        { "a record of a plain SYN", 0, 0, FRAME_ACK, .watched = true, .learnt = true },
};

static bool set_up(struct bench *bench, void (*tweak)(struct underpass_link *link)) {
        struct underpass_link link;

        EXPECT(bench_reset(bench) == 0);
        bench_default_link(&link);
        if (tweak)
                tweak(&link);
        EXPECT(bench_set_link(bench, &link) == 0);
        return true;
}

static bool put_watched(struct bench *bench, const struct underpass_flow_key *key) {
        struct underpass_flow flow;

        bench_tunnelled(&flow);
        flow.state = UNDERPASS_FLOW_WATCHED;
        flow.flags = UNDERPASS_FLOW_OPENED_HERE;
        EXPECT(bench_put_flow(bench->half_open, key, &flow) == 0);
        return true;
}

static void build(const struct connection *connection, const struct learn_case *test, bool to_server,
                  struct frame *ret) {
        uint32_t expected = to_server ? connection->next : connection->expected;
        uint32_t next = to_server ? connection->expected : connection->next;
        uint16_t here = test->our_port ? test->our_port : FRAME_PORT_LOCAL;
        struct frame_spec spec = {
                .ipv6 = connection->ipv6,
                .udp = true,
                .from = to_server ? FRAME_LOCAL : FRAME_REMOTE,
                .source_port = to_server ? here : LISTENING_PORT,
                .dest_port = to_server ? LISTENING_PORT : here,
                .flags = test->flags,
                .sequence = expected + (uint32_t) test->sequence,
                .acknowledgment = next + (uint32_t) test->acknowledgment,
                .payload = 32,
        };

        frame_build(&spec, ret);
        if (test->mangle)
                test->mangle(ret->data + ret->layer4);
}

static bool run_case(struct bench *bench, const struct connection *connection, const struct learn_case *test,
                     bool to_server) {
        bool cut = test->learnt && test->merged;
        struct bench_count counts[BENCH_COUNTS_MAX] = {
                { UNDERPASS_COUNTER_RELEARNT, test->learnt },
                { UNDERPASS_COUNTER_RECEIVED, test->learnt && !cut },
                { UNDERPASS_COUNTER_CUT, cut },
        };
        struct __sk_buff context = { .gso_size = test->merged ? 20 : 0, .gso_segs = test->merged ? 2 : 0 };
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame, before;
        __u32 verdict;

        EXPECT(set_up(bench, test->tweak));
        build(connection, test, to_server, &frame);
        bench_flow_key(&frame, false, &key);
        if (test->watched)
                EXPECT(put_watched(bench, &key));
        before = frame;
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, &context, &verdict) == 0);
        EXPECT_EQUAL(verdict, cut ? BENCH_REDIRECT : BENCH_NEXT);
        EXPECT(bench_counted(bench, counts));
        EXPECT_EQUAL(bench_flows_count(bench->flows), test->learnt);
        EXPECT_EQUAL(bench_flows_count(bench->half_open), test->watched && !test->learnt);
        if (!test->learnt || cut) {
                EXPECT(frame_equal(&frame, &before));
                return true;
        }
        frame_to_tcp(&before);
        EXPECT(frame_equal(&frame, &before));
        EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
        EXPECT_EQUAL(flow.state, UNDERPASS_FLOW_TUNNELLED);
        EXPECT_EQUAL(flow.slot, BENCH_SLOT);
        EXPECT_EQUAL(flow.ifindex, BENCH_IFINDEX);
        EXPECT_EQUAL(flow.received, 1);
        return true;
}

static bool test_forgotten(void *context) {
        for (int ipv6 = 0; ipv6 < 1 + place_has_ipv6(); ipv6++) {
                struct connection connection;
                bool passed = true;

                EXPECT(open_connection(ipv6, FRAME_PORT_LOCAL, &connection));
                for (size_t i = 0; passed && i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
                        passed = run_case(context, &connection, &cases[i / 2], i & 1);
                        if (!passed)
                                fprintf(stderr, "learn, IPv%d, to the %s: %s\n", ipv6 ? 6 : 4,
                                        i & 1 ? "server" : "client", cases[i / 2].name);
                }
                close_connection(&connection);
                EXPECT(passed);
        }
        return true;
}

/* What leaves before the peer has spoken goes plain; from its next datagram on it is tunnelled again. */
static bool test_both_ways(void *context) {
        static const struct learn_case expected = { .flags = FRAME_ACK };
        struct frame_spec ours = { .flags = FRAME_ACK, .payload = 10 };
        struct bench *bench = context;
        struct connection connection;
        struct frame frame, sent;
        __u32 verdicts[3];

        EXPECT(bench_reset(bench) == 0);
        EXPECT(open_connection(false, FRAME_PORT_LOCAL, &connection));
        build(&connection, &expected, false, &frame);
        close_connection(&connection);
        EXPECT(open_connection(false, FRAME_PORT_LOCAL, &connection));
        /* The one before has been closed: its numbers fit no more. */
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, NULL, &verdicts[0]) == 0);
        EXPECT_EQUAL(bench_flows_count(bench->flows), 0);
        build(&connection, &expected, false, &frame);
        frame_build(&ours, &sent);
        EXPECT(bench_run(bench, BENCH_EGRESS, false, &sent, NULL, &verdicts[0]) == 0);
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, NULL, &verdicts[1]) == 0);
        EXPECT(bench_run(bench, BENCH_EGRESS, false, &sent, NULL, &verdicts[2]) == 0);
        close_connection(&connection);
        EXPECT_EQUAL(verdicts[0], BENCH_NEXT);
        EXPECT_EQUAL(verdicts[1], BENCH_NEXT);
        EXPECT_EQUAL(frame.data[frame.protocol], FRAME_TCP);
        EXPECT_EQUAL(verdicts[2], BENCH_REDIRECT);
        return true;
}

/* A socket that listens is no connection. */
static bool test_listening(void *context) {
        struct bench *bench = context;

        for (int ipv6 = 0; ipv6 < 1 + place_has_ipv6(); ipv6++) {
                int listener = place_listen(FRAME_LOCAL, ipv6, LISTENING_PORT);
                struct frame_spec spec = {
                        .ipv6 = ipv6, .udp = true, .from = FRAME_REMOTE, .source_port = OTHER_PORT,
                        .dest_port = LISTENING_PORT, .flags = FRAME_ACK,
                };
                struct frame frame, before;
                __u32 verdict;
                int r;

                EXPECT(listener >= 0);
                EXPECT(bench_reset(bench) == 0);
                frame_build(&spec, &frame);
                before = frame;
                r = bench_run(bench, BENCH_INGRESS, false, &frame, NULL, &verdict);
                close(listener);
                EXPECT_EQUAL((unsigned) -r, 0);
                EXPECT(frame_equal(&frame, &before));
                EXPECT_EQUAL(bench_flows_count(bench->flows), 0);
        }
        return true;
}

/* One datagram for the server or, with SYN, for the client of a handshake that stands still. */
struct handshake_case {
        const char *name;
        bool cookie;         /* the server keeps nothing of it */
        uint8_t flags;
        int sequence;        /* from what is right */
        int acknowledgment;
        void (*tweak)(struct underpass_link *link);
        bool watched;
        uint8_t state;       /* of the flow afterwards, STORY_NOWHERE: no more is known than before */
        bool wrong;          /* our next packet does not confirm it */
        bool early;          /* for the client, which knows no number of the server yet */
};

static void local_others(struct underpass_link *link) {
        link->local_ports[0] = (struct underpass_port_range) { 80, 80 };
        link->remote_ports[1] = (struct underpass_port_range) { HANDSHAKE_PORT, HANDSHAKE_PORT + 999 };
}

static void local_client(struct underpass_link *link) {
        link->remote_ports[0] = (struct underpass_port_range) { 80, 80 };
        link->local_ports[1] = (struct underpass_port_range) { HANDSHAKE_PORT, HANDSHAKE_PORT + 999 };
}

static const struct handshake_case handshakes[] = {
        { "the ACK", .flags = FRAME_ACK, .state = CLAIMED },
        { "data", .flags = FRAME_ACK | FRAME_PSH, .state = CLAIMED },
        { "FIN", .flags = FRAME_ACK | FRAME_FIN, .state = CLAIMED },
        { "too high a number", .flags = FRAME_ACK, .acknowledgment = 1, .state = CLAIMED, .wrong = true },
        { "too low a number", .flags = FRAME_ACK, .acknowledgment = -1, .state = CLAIMED, .wrong = true },
        { "a reset", .flags = FRAME_ACK | FRAME_RST },
        { "nothing acknowledged", .flags = FRAME_PSH },
        { "no such port in the profile", .flags = FRAME_ACK, .tweak = other_ports },
        { "a port that is only tunnelled to", .flags = FRAME_ACK, .tweak = local_others },
        { "cookie", true, .flags = FRAME_ACK, .state = TUNNELLED },
        { "cookie, data", true, .flags = FRAME_ACK | FRAME_PSH, .state = TUNNELLED },
        { "cookie, wrong", true, .flags = FRAME_ACK, .acknowledgment = 0x01000000 },
        { "cookie, wrong at its end", true, .flags = FRAME_ACK, .acknowledgment = 0x00abcdef },
        { "cookie, of another SYN", true, .flags = FRAME_ACK, .sequence = 12345 },
        { "cookie, a reset", true, .flags = FRAME_ACK | FRAME_RST },
        { "cookie, no such port in the profile", true, .flags = FRAME_ACK, .tweak = other_ports },
        { "cookie, a port that is only tunnelled to", true, .flags = FRAME_ACK, .tweak = local_others },
        { "the SYN-ACK", .flags = FRAME_SYN | FRAME_ACK, .state = TUNNELLED },
        { "the SYN-ACK of another SYN", .flags = FRAME_SYN | FRAME_ACK, .acknowledgment = 1 },
        { "the SYN-ACK of a SYN before", .flags = FRAME_SYN | FRAME_ACK, .acknowledgment = -1 },
        { "a SYN-ACK that resets", .flags = FRAME_SYN | FRAME_ACK | FRAME_RST },
        { "the SYN-ACK, but the SYN was plain", .flags = FRAME_SYN | FRAME_ACK, .watched = true },
        { "the SYN-ACK, no such port", .flags = FRAME_SYN | FRAME_ACK, .tweak = other_ports },
        { "the SYN-ACK, a port that is only served", .flags = FRAME_SYN | FRAME_ACK, .tweak = local_client },
        { "an ACK in place of the SYN-ACK", .flags = FRAME_ACK, .early = true },
};

static void build_handshake(const struct place_handshake *handshake, const struct handshake_case *test,
                            bool ipv6, uint16_t port, struct frame *ret) {
        bool to_client = (test->flags & FRAME_SYN) || test->early;
        uint32_t from = test->early ? 0 :
                        to_client   ? handshake->server_number :
                                      handshake->client_number + 1;
        uint32_t to = to_client ? handshake->client_number : handshake->server_number;
        struct frame_spec spec = {
                .ipv6 = ipv6,
                .udp = true,
                .from = to_client ? FRAME_REMOTE : FRAME_LOCAL,
                .source_port = to_client ? LISTENING_PORT : port,
                .dest_port = to_client ? port : LISTENING_PORT,
                .flags = test->flags,
                .sequence = from + (uint32_t) test->sequence,
                .acknowledgment = to + 1 + (uint32_t) test->acknowledgment,
                .options = to_client ? FRAME_OPTIONS_MPTCP : FRAME_OPTIONS_NONE,
        };

        frame_build(&spec, ret);
}

/* A packet of the server, which is what the sockets are here: in which form does it leave? */
static bool answer(struct bench *bench, const struct frame *claim, uint8_t flags, uint32_t sequence,
                   bool tunnelled) {
        struct frame_spec spec = {
                .ipv6 = claim->data[claim->layer3] >> 4 == 6, .from = FRAME_REMOTE,
                .source_port = LISTENING_PORT, .dest_port = frame_get16(claim->data + claim->layer4),
                .flags = flags, .sequence = sequence, .payload = 10,
        };
        struct frame frame;
        __u32 verdict;

        frame_build(&spec, &frame);
        EXPECT(bench_run(bench, BENCH_EGRESS, false, &frame, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, tunnelled ? BENCH_REDIRECT : BENCH_NEXT);
        return true;
}

/* Only our own stack confirms a claim: by a packet that begins where the peer said. */
static bool run_claim(struct bench *bench, const struct handshake_case *test, const struct frame *claim,
                      const struct underpass_flow_key *key) {
        uint32_t claimed = frame_get32(claim->data + claim->layer4 + 16);
        uint32_t number = claimed - (uint32_t) test->acknowledgment; /* of our stack's first byte */
        struct frame frame = *claim;
        struct underpass_flow flow;
        __u32 verdict;

        /* A SYN-ACK of another connection decides nothing. */
        EXPECT(answer(bench, claim, FRAME_SYN | FRAME_ACK, claimed + 4, false));
        EXPECT(answer(bench, claim, FRAME_SYN | FRAME_ACK, number - 1, !test->wrong));
        EXPECT(answer(bench, claim, FRAME_ACK, number, !test->wrong));
        if (test->wrong) {
                EXPECT(answer(bench, claim, FRAME_ACK, claimed, false)); /* there by chance */
                EXPECT(story_state(bench, key, &flow) == CLAIMED);
                /* It is made again, and refused; then the right one is heard. */
                EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, NULL, &verdict) == 0);
                EXPECT(answer(bench, claim, FRAME_RST, claimed, true));
                EXPECT(answer(bench, claim, FRAME_ACK, claimed, false));
                frame = *claim;
                frame_put32(frame.data + frame.layer4 + 16, number);
                frame_put_checks(&frame);
                EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, NULL, &verdict) == 0);
                return answer(bench, claim, FRAME_ACK, number, true);
        }
        EXPECT(story_state(bench, key, &flow) == UNDERPASS_FLOW_HALF_OPEN);
        EXPECT(answer(bench, claim, FRAME_ACK, number + 10, true));
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, NULL, &verdict) == 0);
        EXPECT_EQUAL(frame.data[frame.protocol], FRAME_TCP);
        EXPECT(story_state(bench, key, &flow) == TUNNELLED);
        EXPECT_EQUAL(bench_flows_count(bench->half_open), 0);
        return true;
}

static bool run_handshake(struct bench *bench, const struct handshake_case *test,
                          const struct place_handshake *handshake, bool ipv6, uint16_t port) {
        bool known = test->state != STORY_NOWHERE, claimed = test->state == CLAIMED;
        struct bench_count counts[BENCH_COUNTS_MAX] = {
                { UNDERPASS_COUNTER_RELEARNT, test->state == TUNNELLED },
                { UNDERPASS_COUNTER_RECEIVED, known },
        };
        struct underpass_destination server;
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame, before;
        __u32 verdict;

        EXPECT(set_up(bench, test->tweak));
        build_handshake(handshake, test, ipv6, port, &frame);
        bench_flow_key(&frame, false, &key);
        if (test->watched)
                EXPECT(put_watched(bench, &key));
        before = frame;
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        EXPECT(bench_counted(bench, counts));
        EXPECT_EQUAL(bench_flows_count(bench->flows), known && !claimed);
        EXPECT_EQUAL(bench_flows_count(bench->half_open), claimed || test->watched);
        /* Only a client has been there. */
        bench_get_destination(bench, &key, BENCH_IFINDEX, &server);
        EXPECT_EQUAL(server.opened != 0, known && (test->flags & FRAME_SYN));
        if (!known) {
                EXPECT(frame_equal(&frame, &before));
                return true;
        }
        EXPECT_EQUAL(story_state(bench, &key, &flow), test->state);
        EXPECT_EQUAL(flow.flags, test->flags & FRAME_SYN ? UNDERPASS_FLOW_OPENED_HERE : 0);
        if (claimed)
                EXPECT(run_claim(bench, test, &before, &key));
        frame_to_tcp(&before);
        EXPECT(frame_equal(&frame, &before));
        return true;
}

/* Each on a handshake of its own: what is sent to a server stays in its memory. */
static bool test_handshakes(void *context) {
        for (size_t i = 0; i < 2 * sizeof(handshakes) / sizeof(handshakes[0]); i++) {
                const struct handshake_case *test = &handshakes[i / 2];
                bool ipv6 = (i & 1) && place_has_ipv6(), passed;
                const uint16_t port = (uint16_t) (HANDSHAKE_PORT + i);
                struct place_handshake handshake;
                int listener;

                EXPECT_EQUAL((unsigned) -place_set_cookies(test->cookie ? 2 : 0), 0);
                listener = place_listen(FRAME_REMOTE, ipv6, LISTENING_PORT);
                EXPECT(listener >= 0);
                EXPECT_EQUAL((unsigned) -place_begin(ipv6, port, LISTENING_PORT, &handshake), 0);
                passed = run_handshake(context, test, &handshake, ipv6, port);
                place_abort(handshake.client);
                place_abort(listener);
                EXPECT_EQUAL((unsigned) -place_set_cookies(1), 0);
                if (passed)
                        continue;
                fprintf(stderr, "handshakes, IPv%d: %s\n", ipv6 ? 6 : 4, test->name);
                return false;
        }
        return true;
}

/* A flow, how long it has been silent, and what sockets there are. */
struct silent_case {
        const char *name;
        bool silent;
        bool udp;        /* there is a UDP socket at its addresses and ports */
        bool connection; /* there is its TCP connection */
        bool listening;  /* there is a TCP socket that listens */
        uint8_t flags;
        bool converted;
        bool accepted;   /* as a new flow */
        bool goes_on;    /* the datagram acknowledges what the flow has sent */
        bool earlier;    /* the record is of an earlier release, which does not know what that is */
};

static const struct silent_case silent_cases[] = {
        { "silent, and somebody else has the port", true, true, false, false, FRAME_ACK, false, false },
        { "silent, but its connection is there", true, true, true, false, FRAME_ACK, true, false },
        { "silent, no socket at all: forwarded", true, false, false, false, FRAME_ACK, true, false },
        { "not silent", false, true, false, false, FRAME_ACK, true, false },
        { "silent, a server of both", true, true, false, true, FRAME_ACK, false, false },
        { "silent, a server of both, asked anew", true, true, false, true, FRAME_SYN, true, true },
        { "silent, a server of TCP, asked anew", true, false, false, true, FRAME_SYN, true, false },
        { "silent, somebody has the port, but it goes on", true, true, false, false, FRAME_ACK, true, false,
          .goes_on = true },
        { "silent, somebody has the port, numbers without ACK", true, true, false, false, FRAME_RST, false,
          false, .goes_on = true },
        { "silent, of an earlier release, and somebody else has the port", true, true, false, false,
          FRAME_ACK, false, false, .earlier = true },
};

static bool run_silent(struct bench *bench, const struct silent_case *test, bool ipv6) {
        struct frame_spec spec = {
                .ipv6 = ipv6, .udp = true, .from = FRAME_LOCAL, .source_port = FRAME_PORT_LOCAL,
                .dest_port = LISTENING_PORT, .flags = test->flags, .options = FRAME_OPTIONS_MPTCP,
                .acknowledgment = test->goes_on ? NEXT - FLIGHT : 0,
        };
        struct bench_count counts[BENCH_COUNTS_MAX] = {
                { UNDERPASS_COUNTER_RECEIVED, test->converted },
                { UNDERPASS_COUNTER_FLOWS_ACCEPTED, test->accepted },
        };
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame, before;
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        frame_build(&spec, &frame);
        bench_flow_key(&frame, false, &key);
        if (test->silent)
                bench_silent(&flow);
        else
                bench_tunnelled(&flow);
        flow.expected = test->earlier ? 0 : NEXT - FLIGHT;
        flow.next = test->earlier ? 0 : NEXT;
        EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
        before = frame;
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        EXPECT_EQUAL(frame.data[frame.protocol], test->converted ? FRAME_TCP : FRAME_UDP);
        if (!test->converted)
                EXPECT(frame_equal(&frame, &before));
        EXPECT_EQUAL(bench_flows_count(bench->half_open), test->accepted);
        EXPECT_EQUAL(bench_flows_count(bench->flows), !test->accepted);
        return bench_counted(bench, counts);
}

/* The sockets are those of the server's side here: the test plays the host that listens. */
static bool test_silent(void *context) {
        for (size_t i = 0; i < 2 * sizeof(silent_cases) / sizeof(silent_cases[0]); i++) {
                const struct silent_case *test = &silent_cases[i / 2];
                struct connection connection = { .listener = -1, .client = -1 };
                bool ipv6 = (i & 1) && place_has_ipv6(), passed;
                int udp = test->udp ? place_udp(FRAME_REMOTE, ipv6, LISTENING_PORT) : -1;

                EXPECT(!test->udp || udp >= 0);
                if (test->connection)
                        EXPECT(open_connection(ipv6, FRAME_PORT_LOCAL, &connection));
                if (test->listening)
                        connection.listener = place_listen(FRAME_REMOTE, ipv6, LISTENING_PORT);
                passed = run_silent(context, test, ipv6);
                close_connection(&connection);
                if (udp >= 0)
                        close(udp);
                if (passed)
                        continue;
                fprintf(stderr, "IPv%d: %s\n", ipv6 ? 6 : 4, test->name);
                return false;
        }
        return true;
}

/* A datagram that begins like bulk, in the addresses of a flow that takes it and is long silent. */
struct silent_bulk_case {
        const char *name;
        bool udp;        /* there is a UDP socket at its addresses and ports */
        bool connection; /* there is its TCP connection */
        bool bulk;       /* it is bulk: a segment that acknowledges this */
        uint32_t acknowledgment;
        uint16_t merged; /* bytes of each, if the stack has merged some */
        __u32 verdict;
};

static const struct silent_bulk_case silent_bulk_cases[] = {
        { "somebody else has the port", true, .verdict = BENCH_NEXT },
        { "somebody else has the port, merged", true, .merged = 200, .verdict = BENCH_NEXT },
        { "somebody else has the port, bulk of long ago", true, .bulk = true,
          .acknowledgment = NEXT - FLIGHT - 1, .verdict = BENCH_NEXT },
        { "somebody has the port, but it goes on", true, .bulk = true, .acknowledgment = NEXT - FLIGHT,
          .verdict = BENCH_REDIRECT },
        { "its connection is there", true, true, .verdict = BENCH_DROP },
        { "no socket at all: forwarded", .verdict = BENCH_DROP },
        { "no socket at all, merged", .merged = 200, .verdict = BENCH_REDIRECT },
};

static bool run_silent_bulk(struct bench *bench, const struct silent_bulk_case *test) {
        struct underpass_slot slot = {
                .ifindex = BENCH_IFINDEX, .device_ifindex = BENCH_SEGMENT_IFINDEX,
                .gro_ifindex = BENCH_GRO_IFINDEX, .flags = UNDERPASS_SLOT_BULK,
        };
        struct frame_spec spec = {
                .udp = !test->bulk, .from = FRAME_LOCAL, .source_port = FRAME_PORT_LOCAL,
                .dest_port = LISTENING_PORT, .flags = FRAME_ACK, .payload = 1000,
                .acknowledgment = test->acknowledgment,
        };
        struct __sk_buff context = { .gso_size = test->merged, .gso_segs = test->merged ? 5 : 0 };
        const bool left = test->verdict == BENCH_NEXT;
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame, before;
        uint64_t seen_ns;
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        EXPECT(bench_set_slot(bench, &slot) == 0);
        frame_build(&spec, &frame);
        bench_flow_key(&frame, false, &key);
        if (test->bulk)
                frame_wrap(&frame, &frame);
        else
                frame.data[frame.layer4 + 8] = 0x45;
        bench_silent(&flow);
        flow.expected = NEXT - FLIGHT;
        flow.next = NEXT;
        seen_ns = flow.seen_ns;
        EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
        before = frame;
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, &context, &verdict) == 0);
        EXPECT_EQUAL(verdict, test->verdict);
        if (left)
                EXPECT(frame_equal(&frame, &before));
        EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
        return !left || flow.seen_ns == seen_ns;
}

static bool test_silent_bulk(void *context) {
        for (size_t i = 0; i < sizeof(silent_bulk_cases) / sizeof(silent_bulk_cases[0]); i++) {
                const struct silent_bulk_case *test = &silent_bulk_cases[i];
                struct connection connection = { .listener = -1, .client = -1 };
                int udp = test->udp ? place_udp(FRAME_REMOTE, false, LISTENING_PORT) : -1;
                bool passed;

                EXPECT(!test->udp || udp >= 0);
                if (test->connection)
                        EXPECT(open_connection(false, FRAME_PORT_LOCAL, &connection));
                passed = run_silent_bulk(context, test);
                close_connection(&connection);
                if (udp >= 0)
                        close(udp);
                if (passed)
                        continue;
                fprintf(stderr, "%s\n", test->name);
                return false;
        }
        return true;
}

/* A first fragment of a flow that is long silent, while somebody has a UDP socket at its port. */
static bool run_silent_fragment(struct bench *bench, bool ipv6, bool bulk, bool goes_on) {
        struct frame_spec spec = {
                .ipv6 = ipv6, .udp = !bulk, .from = FRAME_LOCAL, .source_port = FRAME_PORT_LOCAL,
                .dest_port = LISTENING_PORT, .flags = FRAME_ACK, .payload = 1300,
                .acknowledgment = NEXT + !goes_on,
        };
        const __u32 expected = !goes_on ? BENCH_NEXT : ipv6 ? BENCH_DROP : BENCH_REDIRECT;
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame;
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        if (!bulk && ipv6) {
                spec.extensions[0] = FRAGMENT_HEADER;
                spec.extensions_count = 1;
                spec.fragment = 1; /* more of them */
        } else if (!bulk)
                spec.fragment = FRAME_MORE_FRAGMENTS;
        frame_build(&spec, &frame);
        bench_flow_key(&frame, false, &key);
        if (bulk) {
                frame_wrap(&frame, &frame);
                frame_put16(frame.data + frame.layer3 + 6, FRAME_MORE_FRAGMENTS);
                frame_put_checks(&frame);
        }
        bench_silent(&flow);
        flow.expected = flow.next = NEXT;
        EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, expected);
        return bench_counted(bench, (struct bench_count[BENCH_COUNTS_MAX]) {
                                            { UNDERPASS_COUNTER_DROP_FRAGMENT, goes_on }, {} });
}

/* A server that thinks for a while is silent. What goes on then is no other program's. */
static bool test_silent_fragments(void *context) {
        for (int i = 0; i < 6; i++) {
                const bool goes_on = i & 1, bulk = i / 2 == 1, ipv6 = i / 2 == 2;
                int udp;
                bool passed;

                if (ipv6 && !place_has_ipv6())
                        continue;
                udp = place_udp(FRAME_REMOTE, ipv6, LISTENING_PORT);
                EXPECT(udp >= 0);
                passed = run_silent_fragment(context, ipv6, bulk, goes_on);
                close(udp);
                if (passed)
                        continue;
                fprintf(stderr, "IPv%d%s%s\n", ipv6 ? 6 : 4, bulk ? ", bulk" : "",
                        goes_on ? ", goes on" : "");
                return false;
        }
        return true;
}

int programs_learn(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "learn: forgotten connections", test_forgotten },
                { "learn: both ways again", test_both_ways },
                { "learn: a socket that listens", test_listening },
                { "learn: forgotten handshakes", test_handshakes },
                { "learn: flows that are long silent", test_silent },
                { "learn: what begins like bulk, long silent", test_silent_bulk },
                { "learn: fragments of flows that are long silent", test_silent_fragments },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
