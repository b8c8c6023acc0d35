/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Flows over several packets: when a handshake counts as answered, what a new SYN does to the memory of an
 * old flow, and that a flood of SYNs pushes no established flow out.
 *
 * Room: bench.h, story.h.
 */

#include <errno.h>
#include <string.h>

#include "programs.h"
#include "story.h"

enum {
        BOTH_PORT = 5000, /* of ours, to which peers may connect from a port that is tunnelled to */
        FORGOTTEN_SECONDS = 2 * 60 * 60 + 4 * 60, /* RFC 5382, REQ-5 */
};

#define OPENED(number) { UNDERPASS_COUNTER_FLOWS_OPENED, (number) }
#define NOT_MPTCP(number) { UNDERPASS_COUNTER_PLAIN_NOT_MPTCP, (number) }
#define ACCEPTED(number) { UNDERPASS_COUNTER_FLOWS_ACCEPTED, (number) }
#define ESTABLISHED(number) { UNDERPASS_COUNTER_FLOWS_ESTABLISHED, (number) }
#define RECEIVED(number) { UNDERPASS_COUNTER_RECEIVED, (number) }
#define SYN_ACK STORY_SYN_ACK
#define OUR_SEQUENCE STORY_OUR_SEQUENCE
#define NEXT_SEQUENCE STORY_NEXT_SEQUENCE
#define NOWHERE STORY_NOWHERE
#define HALF_OPEN UNDERPASS_FLOW_HALF_OPEN
#define TUNNELLED UNDERPASS_FLOW_TUNNELLED
#define OUR_SYN STORY_OUR_SYN(HALF_OPEN)
#define SYN_WITH_DATA STORY_SYN(FRAME_OPTIONS_MPTCP, HALF_OPEN, .payload = 100)
#define OUR_SYN_ACK STORY_OUR_SYN_ACK(HALF_OPEN)
#define PEER_SYN STORY_PEER_SYN
#define PEER STORY_PEER
#define SYN_ACK_WITH(with, after)                                                                           \
        {                                                                                                   \
                .incoming = true, .flags = SYN_ACK, .sequence = STORY_PEER_SEQUENCE,                        \
                .acknowledgment = NEXT_SEQUENCE, .options = (with), .state = (after)                        \
        }
#define PLAIN(kind, after) STORY_PLAIN(kind, 0, FRAME_OPTIONS_MPTCP, after)

/* Another connection of the same addresses and ports; what the first one says beside its SYN. */
#define WATCHED UNDERPASS_FLOW_WATCHED
#define ANOTHER 0x9000U
#define HANDSHAKE OUR_SYN, PEER(SYN_ACK, NEXT_SEQUENCE, TUNNELLED)
#define OURS(kind, number)                                                                                  \
        {                                                                                                   \
                .flags = (kind), .sequence = (number), .acknowledgment = STORY_PEER_SEQUENCE + 1,           \
                .state = TUNNELLED                                                                          \
        }
#define BOTH_END                                                                                            \
        HANDSHAKE, OURS(FRAME_FIN | FRAME_ACK, NEXT_SEQUENCE),                                              \
                PEER(FRAME_FIN | FRAME_ACK, NEXT_SEQUENCE + 1, TUNNELLED)
#define ANOTHER_SYN(with, after)                                                                            \
        { .flags = FRAME_SYN, .sequence = ANOTHER, .options = (with), .state = (after) }
#define AMID_SYN_AFTER(seconds)                                                                             \
        {                                                                                                   \
                .flags = FRAME_SYN, .sequence = ANOTHER, .options = FRAME_OPTIONS_MPTCP,                    \
                .state = TUNNELLED, .beside = HALF_OPEN, .silent_seconds = (seconds)                        \
        }
#define AMID_SYN AMID_SYN_AFTER(0)
#define AMID_PLAIN(with)                                                                                    \
        {                                                                                                   \
                .flags = FRAME_SYN, .sequence = ANOTHER, .options = (with), .state = TUNNELLED,             \
                .beside = WATCHED, .fate = STORY_UNTOUCHED                                                  \
        }
#define OURS_BESIDE(kind, note)                                                                             \
        { .flags = (kind), .sequence = NEXT_SEQUENCE, .state = TUNNELLED, .beside = (note) }
#define PEER_BESIDE(kind, note)                                                                             \
        {                                                                                                   \
                .incoming = true, .flags = (kind), .acknowledgment = NEXT_SEQUENCE, .state = TUNNELLED,     \
                .beside = (note)                                                                            \
        }
#define PLAIN_ANSWER(kind, number, after, note)                                                             \
        {                                                                                                   \
                .incoming = true, .plain = true, .flags = (kind), .acknowledgment = (number),               \
                .options = FRAME_OPTIONS_PLAIN, .state = (after), .beside = (note)                          \
        }

static void no_ports(struct underpass_link *link) {
        memset(link->remote_ports, 0, sizeof(link->remote_ports));
}

static void with_fallback(struct underpass_link *link) {
        link->flags |= UNDERPASS_LINK_FALLBACK;
        link->fallback_after = 9;
}

static void any_tcp(struct underpass_link *link) {
        link->flags &= ~(uint32_t) UNDERPASS_LINK_MPTCP_ONLY;
}

static const struct story stories[] = {
        { "client: the SYN-ACK answers",
          false,
          { OUR_SYN, PEER(SYN_ACK, NEXT_SEQUENCE, TUNNELLED), PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED) },
          { OPENED(1), ESTABLISHED(1), RECEIVED(2) } },
        { "client: the SYN-ACK of a server without MPTCP",
          false,
          { OUR_SYN, SYN_ACK_WITH(FRAME_OPTIONS_PLAIN, TUNNELLED) },
          { OPENED(1), ESTABLISHED(1), RECEIVED(1), { UNDERPASS_COUNTER_SERVER_NOT_MPTCP, 1 } } },
        { "client: the same, mptcp-only=no: the SYN may have had none either",
          false,
          { OUR_SYN, SYN_ACK_WITH(FRAME_OPTIONS_NONE, TUNNELLED) },
          { OPENED(1), ESTABLISHED(1), RECEIVED(1) },
          any_tcp },
        { "client: data of the SYN acknowledged too",
          false,
          { SYN_WITH_DATA, PEER(SYN_ACK, NEXT_SEQUENCE + 100, TUNNELLED) },
          { OPENED(1), ESTABLISHED(1), RECEIVED(1) } },
        { "client: some data of the SYN acknowledged",
          false,
          { SYN_WITH_DATA, PEER(SYN_ACK, NEXT_SEQUENCE + 50, TUNNELLED) },
          { OPENED(1), ESTABLISHED(1), RECEIVED(1) } },
        { "client: the SYN goes again without its data",
          false,
          { SYN_WITH_DATA, OUR_SYN, PEER(SYN_ACK, NEXT_SEQUENCE + 100, TUNNELLED) },
          { OPENED(2), ESTABLISHED(1), RECEIVED(1) } },
        { "client: both sides at once, data of the SYN acknowledged too",
          false,
          { SYN_WITH_DATA, PEER(FRAME_SYN, 0, HALF_OPEN), OUR_SYN_ACK,
            PEER(SYN_ACK, NEXT_SEQUENCE + 100, TUNNELLED) },
          { OPENED(1), ESTABLISHED(1), RECEIVED(2) } },
        { "client: more acknowledged than the SYN had",
          false,
          { SYN_WITH_DATA, PEER(SYN_ACK, NEXT_SEQUENCE + 101, HALF_OPEN) },
          { OPENED(1), RECEIVED(1) } },
        { "client: data acknowledged that the SYN did not have",
          false,
          { OUR_SYN, PEER(SYN_ACK, NEXT_SEQUENCE + 1, HALF_OPEN) },
          { OPENED(1), RECEIVED(1) } },
        { "client: acknowledgments beside it",
          false,
          { OUR_SYN, PEER(SYN_ACK, OUR_SEQUENCE, HALF_OPEN),
            PEER(SYN_ACK, NEXT_SEQUENCE + 0x10000, HALF_OPEN), PEER(FRAME_ACK, 0x80000000, HALF_OPEN),
            PEER(SYN_ACK, NEXT_SEQUENCE, TUNNELLED) },
          { OPENED(1), ESTABLISHED(1), RECEIVED(4) } },
        { "client: RST proves nothing",
          false,
          { OUR_SYN, PEER(FRAME_RST | FRAME_ACK, NEXT_SEQUENCE, HALF_OPEN),
            PEER(FRAME_RST, NEXT_SEQUENCE, HALF_OPEN) },
          { OPENED(1), RECEIVED(2) } },
        { "client: a SYN without ACK proves nothing",
          false,
          { OUR_SYN, PEER(FRAME_SYN, NEXT_SEQUENCE, HALF_OPEN) },
          { OPENED(1), RECEIVED(1) } },
        { "client: our own ACK proves nothing",
          false,
          { OUR_SYN, { .flags = FRAME_ACK, .acknowledgment = NEXT_SEQUENCE, .state = HALF_OPEN } },
          { OPENED(1) } },
        { "client: SYN repeated",
          false,
          { OUR_SYN, OUR_SYN, OUR_SYN, PEER(SYN_ACK, NEXT_SEQUENCE, TUNNELLED) },
          { OPENED(3), ESTABLISHED(1), RECEIVED(1) } },
        { "client: plain SYN-ACK changes nothing",
          false,
          { OUR_SYN, PLAIN(SYN_ACK, HALF_OPEN) },
          { OPENED(1) } },
        { "client: nor does one that answers the SYN",
          false,
          { OUR_SYN, STORY_PLAIN(SYN_ACK, NEXT_SEQUENCE, FRAME_OPTIONS_MPTCP, HALF_OPEN),
            PEER(SYN_ACK, NEXT_SEQUENCE, TUNNELLED) },
          { OPENED(1), ESTABLISHED(1), RECEIVED(1) } },
        { "client: the SYN goes again after its answer",
          false,
          { OUR_SYN, PEER(SYN_ACK, NEXT_SEQUENCE, TUNNELLED),
            STORY_SYN(FRAME_OPTIONS_MPTCP, TUNNELLED, .beside = HALF_OPEN),
            PEER(SYN_ACK, NEXT_SEQUENCE, TUNNELLED) },
          { OPENED(2), ESTABLISHED(2), RECEIVED(2) } },
        { "client: ports used again, tunnelled",
          false,
          { BOTH_END, ANOTHER_SYN(FRAME_OPTIONS_MPTCP, HALF_OPEN), PEER(SYN_ACK, ANOTHER + 1, TUNNELLED) },
          { OPENED(2), ESTABLISHED(2), RECEIVED(3) },
          .socket = true },
        { "client: ports used again, plain",
          false,
          { BOTH_END, ANOTHER_SYN(FRAME_OPTIONS_PLAIN, NOWHERE), PEER(SYN_ACK, ANOTHER + 1, NOWHERE) },
          { OPENED(1), ESTABLISHED(1), RECEIVED(2), NOT_MPTCP(1) },
          .socket = true },
        { "forwarded: ports used again, tunnelled",
          false,
          { BOTH_END, AMID_SYN, PEER(SYN_ACK, ANOTHER + 1, TUNNELLED) },
          { OPENED(2), ESTABLISHED(2), RECEIVED(3) } },
        { "forwarded: ports used again, plain",
          false,
          { BOTH_END, AMID_PLAIN(FRAME_OPTIONS_PLAIN), PLAIN_ANSWER(SYN_ACK, ANOTHER + 1, NOWHERE, NOWHERE),
            { .flags = FRAME_ACK, .sequence = ANOTHER + 1, .state = NOWHERE } },
          { OPENED(1), ESTABLISHED(1), RECEIVED(2), NOT_MPTCP(1) } },
        { "forwarded: a neighbour sends data and a reset behind it in the connection's name",
          false,
          { HANDSHAKE,
            { .flags = FRAME_ACK, .sequence = ANOTHER, .payload = 1, .state = TUNNELLED },
            OURS(FRAME_RST, ANOTHER + 1), AMID_PLAIN(FRAME_OPTIONS_PLAIN),
            OURS_BESIDE(FRAME_ACK, WATCHED) },
          { OPENED(1), ESTABLISHED(1), RECEIVED(1), NOT_MPTCP(1) } },
        { "client: somebody answers a plain SYN in its name",
          false,
          { HANDSHAKE,
            { .incoming = true, .plain = true, .flags = FRAME_SYN, .sequence = ANOTHER,
              .options = FRAME_OPTIONS_PLAIN, .state = TUNNELLED },
            { .flags = SYN_ACK, .sequence = NEXT_SEQUENCE, .acknowledgment = ANOTHER + 1,
              .state = TUNNELLED },
            { .flags = FRAME_RST | FRAME_ACK, .sequence = NEXT_SEQUENCE, .acknowledgment = ANOTHER + 1,
              .state = TUNNELLED } },
          { OPENED(1), ESTABLISHED(1), RECEIVED(1) } },
        { "client: a SYN amid a connection is refused",
          false,
          { HANDSHAKE, STORY_SYN(FRAME_OPTIONS_MPTCP, TUNNELLED, .beside = HALF_OPEN),
            { .incoming = true, .flags = FRAME_SYN, .error = STORY_REFUSED_THERE, .fate = STORY_DROPPED,
              .state = TUNNELLED, .beside = HALF_OPEN },
            STORY_SYN(FRAME_OPTIONS_MPTCP, TUNNELLED, .beside = WATCHED, .fate = STORY_UNTOUCHED) },
          { OPENED(2), ESTABLISHED(1), RECEIVED(1), { UNDERPASS_COUNTER_FALLBACK_REFUSED, 1 },
            { UNDERPASS_COUNTER_DROP_ICMP, 1 } },
          with_fallback },
        { "client: ports used again after a reset of the peer",
          false,
          { HANDSHAKE, OURS(FRAME_ACK, NEXT_SEQUENCE),
            { .incoming = true, .flags = FRAME_RST | FRAME_ACK, .sequence = STORY_PEER_SEQUENCE + 1,
              .acknowledgment = NEXT_SEQUENCE, .state = TUNNELLED },
            ANOTHER_SYN(FRAME_OPTIONS_PLAIN, NOWHERE) },
          { OPENED(1), ESTABLISHED(1), RECEIVED(2), NOT_MPTCP(1) },
          .socket = true },
        { "client: ports used again after a reset of ours",
          false,
          { HANDSHAKE, OURS(FRAME_RST | FRAME_ACK, NEXT_SEQUENCE),
            ANOTHER_SYN(FRAME_OPTIONS_PLAIN, NOWHERE) },
          { OPENED(1), ESTABLISHED(1), RECEIVED(1), NOT_MPTCP(1) },
          .socket = true },
        { "client: a SYN amid a connection goes along with it",
          false,
          { HANDSHAKE, AMID_SYN, OURS_BESIDE(FRAME_ACK, HALF_OPEN), PEER_BESIDE(FRAME_ACK, HALF_OPEN),
            AMID_SYN, OURS_BESIDE(FRAME_ACK | FRAME_PSH, HALF_OPEN) },
          { OPENED(3), ESTABLISHED(1), RECEIVED(2) } },
        { "client: a SYN amid a connection that the peer does not know any more",
          false,
          { HANDSHAKE, AMID_SYN,
            { .incoming = true, .flags = SYN_ACK, .acknowledgment = ANOTHER, .state = TUNNELLED,
              .beside = HALF_OPEN, .options = FRAME_OPTIONS_MPTCP },
            PEER(SYN_ACK, ANOTHER + 1, TUNNELLED) },
          { OPENED(2), ESTABLISHED(2), RECEIVED(3) } },
        { "client: a SYN without MPTCP amid a connection",
          false,
          { HANDSHAKE, AMID_PLAIN(FRAME_OPTIONS_PLAIN), OURS_BESIDE(FRAME_ACK, WATCHED),
            PEER_BESIDE(FRAME_ACK, WATCHED), PLAIN_ANSWER(FRAME_ACK, ANOTHER + 1, TUNNELLED, WATCHED),
            AMID_PLAIN(FRAME_OPTIONS_PLAIN), PLAIN_ANSWER(SYN_ACK, ANOTHER, TUNNELLED, WATCHED),
            PLAIN_ANSWER(SYN_ACK, ANOTHER + 1, NOWHERE, NOWHERE),
            { .flags = FRAME_ACK, .sequence = ANOTHER + 1, .state = NOWHERE } },
          { OPENED(1), ESTABLISHED(1), RECEIVED(2), NOT_MPTCP(1) } },
        { "client: a SYN without MPTCP amid a connection is refused, which ends nothing",
          false,
          { HANDSHAKE, AMID_PLAIN(FRAME_OPTIONS_PLAIN),
            PLAIN_ANSWER(FRAME_RST | FRAME_ACK, ANOTHER + 1, TUNNELLED, NOWHERE),
            OURS(FRAME_ACK, NEXT_SEQUENCE) },
          { OPENED(1), ESTABLISHED(1), RECEIVED(1), NOT_MPTCP(1) } },
        { "client: a signed SYN amid a connection",
          false,
          { HANDSHAKE, AMID_PLAIN(FRAME_OPTIONS_AO), OURS_BESIDE(FRAME_ACK, WATCHED) },
          { OPENED(1), ESTABLISHED(1), RECEIVED(1), { UNDERPASS_COUNTER_PASS_SIGNED, 1 } } },
        { "client: a SYN that no profile wants amid a connection",
          false,
          { HANDSHAKE,
            { .flags = FRAME_SYN, .sequence = ANOTHER, .options = FRAME_OPTIONS_MPTCP, .state = TUNNELLED,
              .beside = WATCHED, .fate = STORY_UNTOUCHED, .tweak = no_ports },
            OURS_BESIDE(FRAME_ACK, WATCHED) },
          { OPENED(1), ESTABLISHED(1), RECEIVED(1) } },
        { "client: a FIN of one side is no end",
          false,
          { HANDSHAKE, OURS(FRAME_FIN | FRAME_ACK, NEXT_SEQUENCE), AMID_SYN },
          { OPENED(2), ESTABLISHED(1), RECEIVED(1) },
          .socket = true },
        { "client: a reset with a made-up number is no end",
          false,
          { HANDSHAKE, OURS(FRAME_RST, NEXT_SEQUENCE + 1), OURS(FRAME_RST, NEXT_SEQUENCE - 2),
            OURS(FRAME_RST | FRAME_ACK, 0x12345678), AMID_SYN },
          { OPENED(2), ESTABLISHED(1), RECEIVED(1) },
          .socket = true },
        { "client: nor is one of the peer that our side does not believe",
          false,
          { HANDSHAKE, OURS(FRAME_ACK, NEXT_SEQUENCE),
            { .incoming = true, .flags = FRAME_RST, .sequence = STORY_PEER_SEQUENCE + 9,
              .state = TUNNELLED },
            OURS(FRAME_ACK, NEXT_SEQUENCE), AMID_SYN },
          { OPENED(2), ESTABLISHED(1), RECEIVED(2) },
          .socket = true },
        { "forwarded: silent for nearly as long as a NAT remembers is no end",
          false,
          { HANDSHAKE, AMID_SYN_AFTER(FORGOTTEN_SECONDS - 60) },
          { OPENED(2), ESTABLISHED(1), RECEIVED(1) } },
        { "forwarded: silent for longer is one",
          false,
          { HANDSHAKE,
            { .flags = FRAME_SYN, .sequence = ANOTHER, .options = FRAME_OPTIONS_MPTCP, .state = HALF_OPEN,
              .silent_seconds = FORGOTTEN_SECONDS + 1 } },
          { OPENED(2), ESTABLISHED(1), RECEIVED(1) } },
        { "client: an answer over UDP to a SYN that left as plain TCP",
          false,
          { HANDSHAKE, AMID_PLAIN(FRAME_OPTIONS_PLAIN),
            { .incoming = true, .flags = SYN_ACK, .acknowledgment = ANOTHER + 1, .state = TUNNELLED,
              .beside = WATCHED, .options = FRAME_OPTIONS_MPTCP } },
          { OPENED(1), ESTABLISHED(1), RECEIVED(2), NOT_MPTCP(1) } },
        { "server: a plain SYN to its client is answered, which says nothing of UDP",
          true,
          { PEER_SYN, OUR_SYN_ACK, PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED),
            AMID_PLAIN(FRAME_OPTIONS_PLAIN), PLAIN_ANSWER(SYN_ACK, ANOTHER + 1, NOWHERE, NOWHERE) },
          { ACCEPTED(1), ESTABLISHED(1), RECEIVED(2) },
          .failed_ms = -2000 },
        { "server: a plain SYN to its client, which sends one, too, and that is answered",
          true,
          { PEER_SYN, OUR_SYN_ACK, PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED),
            AMID_PLAIN(FRAME_OPTIONS_PLAIN),
            { .incoming = true, .plain = true, .flags = FRAME_SYN, .sequence = STORY_PEER_SEQUENCE,
              .options = FRAME_OPTIONS_MPTCP, .state = TUNNELLED, .beside = WATCHED },
            STORY_OUR_SYN_ACK(NOWHERE) },
          { ACCEPTED(1), ESTABLISHED(1), RECEIVED(2) } },
        { "client: half-open, then plain",
          false,
          { OUR_SYN, { .flags = FRAME_SYN, .options = FRAME_OPTIONS_PLAIN, .state = NOWHERE } },
          { OPENED(1), NOT_MPTCP(1) } },
        { "client: another SYN than that of the peer, whose answer would have its number",
          false,
          { { .incoming = true, .flags = FRAME_SYN, .sequence = STORY_PEER_SEQUENCE,
              .options = FRAME_OPTIONS_MPTCP, .our_port = BOTH_PORT, .state = HALF_OPEN },
            { .flags = FRAME_SYN, .sequence = 0xffffffff, .options = FRAME_OPTIONS_MPTCP,
              .our_port = BOTH_PORT, .state = HALF_OPEN },
            { .incoming = true, .flags = SYN_ACK, .acknowledgment = 0, .options = FRAME_OPTIONS_MPTCP,
              .our_port = BOTH_PORT, .state = TUNNELLED } },
          { ACCEPTED(1), OPENED(1), ESTABLISHED(1), RECEIVED(2) } },
        { "server: the ACK of our SYN-ACK answers",
          true,
          { PEER_SYN, OUR_SYN_ACK, PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED),
            PEER(FRAME_ACK | FRAME_FIN, 9, TUNNELLED) },
          { ACCEPTED(1), ESTABLISHED(1), RECEIVED(3) } },
        { "server: ACK before our SYN-ACK",
          true,
          { PEER_SYN, PEER(FRAME_ACK, NEXT_SEQUENCE, HALF_OPEN), PEER(FRAME_ACK, 0, HALF_OPEN),
            PEER(FRAME_ACK, 1, HALF_OPEN) },
          { ACCEPTED(1), RECEIVED(4) } },
        { "server: wrong ACK, then the right one",
          true,
          { PEER_SYN, OUR_SYN_ACK, PEER(FRAME_ACK, OUR_SEQUENCE, HALF_OPEN),
            PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED) },
          { ACCEPTED(1), ESTABLISHED(1), RECEIVED(3) } },
        { "server: RST proves nothing",
          true,
          { PEER_SYN, OUR_SYN_ACK, PEER(FRAME_RST | FRAME_ACK, NEXT_SEQUENCE, HALF_OPEN) },
          { ACCEPTED(1), RECEIVED(2) } },
        { "server: our RST is no SYN-ACK",
          true,
          { PEER_SYN,
            { .flags = FRAME_RST | FRAME_ACK, .state = HALF_OPEN },
            PEER(FRAME_ACK, NEXT_SEQUENCE, HALF_OPEN) },
          { ACCEPTED(1), RECEIVED(2) } },
        { "server: plain SYN, and our answer to it, end a half-open flow",
          true,
          { PEER_SYN, PLAIN(FRAME_SYN, HALF_OPEN), STORY_OUR_SYN_ACK(NOWHERE) },
          { ACCEPTED(1), RECEIVED(1) } },
        { "server: half-open, plain ACK and RST",
          true,
          { PEER_SYN, OUR_SYN_ACK, PLAIN(FRAME_ACK, HALF_OPEN), PLAIN(FRAME_RST, HALF_OPEN),
            PLAIN(SYN_ACK, HALF_OPEN) },
          { ACCEPTED(1), RECEIVED(1) } },
        { "server: plain SYN leaves an established flow",
          true,
          { PEER_SYN, OUR_SYN_ACK, PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED), PLAIN(FRAME_SYN, TUNNELLED) },
          { ACCEPTED(1), ESTABLISHED(1), RECEIVED(2) } },
        { "server: SYN over UDP again",
          true,
          {
                  PEER_SYN,
                  OUR_SYN_ACK,
                  PEER_SYN,
                  OUR_SYN_ACK,
                  PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED),
          },
          { ACCEPTED(1), ESTABLISHED(1), RECEIVED(3) } },
};

static bool test_stories(void *context) {
        return story_run_all(context, stories, sizeof(stories) / sizeof(stories[0]));
}

/* What a record says of a flow, packet by packet. */
static bool test_record(void *context) {
        static const struct story story = { .server = true };
        static const struct story_step steps[] = {
                PEER_SYN,
                OUR_SYN_ACK,
                PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED),
                PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED),
                { .flags = FRAME_ACK, .state = TUNNELLED },
        };
        struct bench *bench = context;
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame;

        EXPECT(bench_reset(bench) == 0);
        story_build(&story, &steps[0], false, false, &frame);
        bench_flow_key(&frame, false, &key);
        EXPECT(story_run_step(bench, &story, &steps[0], false, false));
        EXPECT(story_state(bench, &key, &flow) == HALF_OPEN);
        EXPECT_EQUAL(flow.flags, 0);
        EXPECT_EQUAL(flow.slot, BENCH_SLOT);
        EXPECT_EQUAL(flow.ifindex, BENCH_IFINDEX);
        EXPECT_EQUAL(flow.received, 1);
        EXPECT(flow.opened_ns > 0 && flow.seen_ns >= flow.opened_ns);
        EXPECT(story_run_step(bench, &story, &steps[1], false, false));
        EXPECT(story_state(bench, &key, &flow) == HALF_OPEN);
        EXPECT_EQUAL(flow.flags, UNDERPASS_FLOW_ANSWERED);
        EXPECT_EQUAL(flow.expected, NEXT_SEQUENCE);
        EXPECT_EQUAL(flow.sent, 1);
        for (size_t i = 2; i < sizeof(steps) / sizeof(steps[0]); i++)
                EXPECT(story_run_step(bench, &story, &steps[i], false, false));
        EXPECT(story_state(bench, &key, &flow) == TUNNELLED);
        EXPECT_EQUAL(flow.received, 3);
        EXPECT_EQUAL(flow.sent, 2);
        return true;
}

static void no_check(uint8_t *udp) {
        frame_put16(udp + 6, 0);
}

static void longer(uint8_t *udp) {
        frame_put16(udp + 4, (uint16_t) (frame_get16(udp + 4) + 1));
}

/* Our side has sent another SYN amid a connection, and a SYN-ACK over UDP comes whose numbers answer it,
 * mangled: as nothing else speaks for it, the connection lives on. */
static bool run_mangled_answer(struct bench *bench, void (*mangle)(uint8_t *udp), bool ipv6, bool raw) {
        static const struct story story = { .server = false };
        static const struct story_step steps[] = { HANDSHAKE, AMID_SYN };
        static const struct story_step answer = PEER(SYN_ACK, ANOTHER + 1, TUNNELLED);
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame, before;
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
                EXPECT(story_run_step(bench, &story, &steps[i], ipv6, raw));
        story_build(&story, &answer, ipv6, raw, &frame);
        bench_flow_key(&frame, false, &key);
        mangle(frame.data + frame.layer4);
        before = frame;
        EXPECT(bench_run(bench, raw ? BENCH_INGRESS_RAW : BENCH_INGRESS, false, &frame, NULL, &verdict) ==
               0);
        EXPECT_EQUAL(verdict, BENCH_DROP);
        EXPECT(frame_equal(&frame, &before));
        EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
        EXPECT(bench_get_flow(bench->half_open, &key, &flow) == 0);
        EXPECT_EQUAL(flow.state, HALF_OPEN);
        EXPECT(bench_counted(bench, (struct bench_count[BENCH_COUNTS_MAX]) {
                                            OPENED(2), ESTABLISHED(1), RECEIVED(1),
                                            { UNDERPASS_COUNTER_DROP_MALFORMED, 1 } }));
        /* As it should be, it is the answer. */
        return story_run_step(bench, &story, &answer, ipv6, raw);
}

static bool test_mangled_answers(void *context) {
        for (int i = 0; i < 4; i++) {
                EXPECT(run_mangled_answer(context, no_check, i & 1, i & 2));
                EXPECT(run_mangled_answer(context, longer, i & 1, i & 2));
        }
        return true;
}

static bool slot_is_answered(const struct bench *bench, bool *ret) {
        struct underpass_slot slot;
        __u32 index = BENCH_SLOT;

        EXPECT(bench_map_lookup(bench->slots, &index, &slot) == 0);
        *ret = slot.answered;
        return true;
}

/* A link knows whether the last SYN that it has accepted was answered where programs are, so that the
 * service looks for the others alone. */
static bool test_answered(void *context) {
        static const struct story story = { .server = true };
        static const struct {
                struct story_step step;
                bool answered; /* afterwards */
        } steps[] = {
                { PEER_SYN, false },
                { OUR_SYN_ACK, true },
                { PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED), true },
                { { .incoming = true, .flags = FRAME_SYN, .options = FRAME_OPTIONS_MPTCP, .state = HALF_OPEN,
                    .their_port = STORY_PEER_PORT + 1 }, false },
                { { .flags = FRAME_ACK, .sequence = NEXT_SEQUENCE, .state = TUNNELLED }, false },
        };
        struct bench *bench = context;

        EXPECT(bench_reset(bench) == 0);
        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
                bool answered;

                EXPECT(story_run_step(bench, &story, &steps[i].step, false, false));
                EXPECT(slot_is_answered(bench, &answered));
                EXPECT_EQUAL(answered, steps[i].answered);
        }
        return true;
}

/* The service looks for the answers of a link that did not see the last one, and to SYNs that come again. */
static bool run_told(struct bench *bench, bool ipv6) {
        static const struct story story = { .server = true };
        static const struct story_step other = { .incoming = true, .flags = FRAME_SYN, .state = HALF_OPEN,
                                                 .options = FRAME_OPTIONS_MPTCP,
                                                 .their_port = STORY_PEER_PORT + 1 };
        static const struct story_step syn = PEER_SYN, syn_ack = OUR_SYN_ACK;
        static const struct {
                const struct story_step *step;
                bool told;
        } steps[] = {
                { &syn, true },      { &syn, true },   { &syn_ack, false },
                { &syn, false },     { &other, false }, { &other, true },
        };
        struct underpass_flow_key key, heard;

        EXPECT(bench_reset(bench) == 0);
        bench_told(bench, BENCH_UNANSWERED, &heard); /* of tests before */
        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
                struct frame frame;

                EXPECT(story_run_step(bench, &story, steps[i].step, ipv6, false));
                EXPECT_EQUAL(bench_told(bench, BENCH_UNANSWERED, &heard), steps[i].told ? 0 : -ENOENT);
                story_build(&story, steps[i].step, ipv6, false, &frame);
                bench_flow_key(&frame, !steps[i].step->incoming, &key);
                EXPECT(!steps[i].told || memcmp(&heard, &key, sizeof(key)) == 0);
        }
        return true;
}

static bool test_told(void *context) {
        return run_told(context, false) && run_told(context, true);
}

/* SYNs of so many senders, the first one by its number. The server answers them. */
static bool send_syns(struct bench *bench, unsigned first, unsigned count) {
        for (unsigned i = first; i < first + count; i++) {
                struct frame_spec syn = {
                        .from = FRAME_REMOTE,
                        .udp = true,
                        .flags = FRAME_SYN,
                        .options = FRAME_OPTIONS_JOIN,
                        .ipv6 = i & 1,
                        .source_port = (uint16_t) (1024 + i),
                        .dest_port = 443,
                        .sequence = i,
                };
                struct frame_spec answer = {
                        .ipv6 = i & 1,
                        .flags = SYN_ACK,
                        .source_port = 443,
                        .dest_port = (uint16_t) (1024 + i),
                        .acknowledgment = i + 1,
                };
                struct frame frame;
                __u32 verdict;

                frame_build(&syn, &frame);
                EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, NULL, &verdict) == 0);
                EXPECT_EQUAL(frame.data[frame.protocol], FRAME_TCP);
                frame_build(&answer, &frame);
                EXPECT(bench_run(bench, BENCH_EGRESS, false, &frame, NULL, &verdict) == 0);
                EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        }
        return true;
}

/*
 * Twice as many SYNs as "half_open" holds: the established flow is still there, and the tunnel still takes
 * new ones.
 */
static bool test_flood(void *context) {
        static const struct story *established = &stories[0];
        struct bench *bench = context;
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame;

        EXPECT(story_run(bench, established, false, false));
        story_build(established, &established->steps[0], false, false, &frame);
        bench_flow_key(&frame, true, &key);
        EXPECT(send_syns(bench, 0, 2 * UNDERPASS_HALF_OPEN_MAX));
        EXPECT(bench_flows_count(bench->half_open) <= UNDERPASS_HALF_OPEN_MAX);
        EXPECT_EQUAL(bench_flows_count(bench->flows), 1);
        EXPECT_EQUAL(story_state(bench, &key, &flow), TUNNELLED);
        return true;
}

/* A handshake outlives the SYNs that a flood of 20 000 a second sends in 600 ms, which satellites need. */
static bool test_flood_beside_handshake(void *context) {
        static const struct story server = { .server = true };
        static const struct story_step syn = PEER_SYN, syn_ack = OUR_SYN_ACK,
                                       ack = PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED);
        enum { MEANWHILE = 12000 };
        struct bench *bench = context;

        EXPECT(bench_reset(bench) == 0);
        EXPECT(send_syns(bench, 0, UNDERPASS_HALF_OPEN_MAX + 4000));
        EXPECT(story_run_step(bench, &server, &syn, false, false));
        EXPECT(story_run_step(bench, &server, &syn_ack, false, false));
        EXPECT(send_syns(bench, UNDERPASS_HALF_OPEN_MAX + 4000, MEANWHILE));
        return story_run_step(bench, &server, &ack, false, false);
}

int programs_flows(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "flows: handshakes and their ends", test_stories },
                { "flows: what a record says", test_record },
                { "flows: what a link knows of answers", test_answered },
                { "flows: what the service is told of answers", test_told },
                { "flows: a mangled answer beside an established flow", test_mangled_answers },
                { "flows: a flood of SYNs", test_flood },
                { "flows: a handshake beside a flood", test_flood_beside_handshake },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
