/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Tests of measurements: the connection in the UDP form against a peer and a path that are played here, and
 * what follows from what has moved. May touch: nothing.
 */

#include "unit.h"

#include "plan/form-stream.h"
#include "plan/probe-form.h"
#include "plan/rate.h"

enum {
        FLAG_FIN = 0x01,
        FLAG_SYN = 0x02,
        FLAG_RST = 0x04,
        FLAG_ACK = 0x10,
        OURS = 0xfffff000,   /* both numbers wrap soon */
        THEIRS = 0xffffff00,
        MSS = 1000,
        DELAY_US = 10000,    /* each way */
        PIECES_MAX = 64,
        WIRE_MAX = 4096,     /* datagrams on their way */
};

typedef struct Datagram {
        uint64_t at_us;
        size_t length;
        uint8_t data[MSS + 100];
} Datagram;

/* The other end and the path to it. */
typedef struct World {
        FormStream *stream;
        uint64_t now_us;
        unsigned drop_each;   /* of those to the peer one in so many is lost; 0: none */
        unsigned carried;
        uint64_t take;        /* bytes that the peer takes before its window is full; 0: any number */
        bool stamps;
        unsigned deaf;        /* so many resets get lost */
        bool mute;            /* the peer says nothing once the connection is over */

        bool over;            /* a reset has ended it at the peer */
        unsigned resets;      /* that were sent */
        unsigned questions;   /* segments without data that the peer has already */
        uint64_t expected;    /* by the peer */
        struct { uint64_t begin, end; } pieces[PIECES_MAX]; /* that it has behind a gap */
        size_t pieces_count;
        char first[32];       /* what it got first */
        uint32_t stamp;       /* that it got last */
        uint32_t echoed;      /* in what it got last */
        uint32_t acknowledged; /* likewise */
        ProbeFormOptions said; /* likewise: options */

        Datagram wire[WIRE_MAX]; /* to the stream */
        size_t begin, end;
} World;

static World world;

static void world_begin(uint64_t length, const char *request) {
        if (world.stream)
                world.stream = form_stream_free(world.stream);
        memset(&world, 0, sizeof(world));
        world.now_us = 1000000;
        assert(form_stream_new(&world.stream, OURS, MSS, request, length) == 0);
}

static void give(const ProbeFormSegment *segment, const ProbeFormBlock *blocks, size_t count, size_t data) {
        Datagram *datagram = &world.wire[world.end++ % WIRE_MAX];
        size_t header;

        assert(world.end - world.begin < WIRE_MAX && data <= MSS);
        header = probe_form_write(datagram->data, segment, blocks, count);
        memset(datagram->data + header, 'x', data);
        datagram->length = header + data;
        datagram->at_us = world.now_us + DELAY_US;
}

static void acknowledge(uint8_t flags) {
        const uint64_t window = world.take == 0 ? 60000 : world.take - MIN_OF(world.take, world.expected);
        const ProbeFormSegment segment = {
                .flags = flags | FLAG_ACK,
                .window = (uint16_t) MIN_OF(window, UINT64_C(60000)),
                .sequence = THEIRS + (flags & FLAG_SYN ? 0 : 1),
                .acknowledgment = OURS + 1 + (uint32_t) world.expected,
                .stamped = world.stamps,
                .stamp = (uint32_t) world.now_us,
                .echo = world.stamp,
        };
        ProbeFormBlock blocks[3];
        const size_t count = MIN_OF(world.pieces_count, ELEMENTS(blocks));

        for (size_t i = 0; i < count; i++) {
                blocks[i].begin = OURS + 1 + (uint32_t) world.pieces[i].begin;
                blocks[i].end = OURS + 1 + (uint32_t) world.pieces[i].end;
        }
        give(&segment, blocks, count, 0);
}

/* What the peer has, now that this has come. */
static void keep(uint64_t begin, uint64_t end) {
        bool found = true;

        if (begin > world.expected) {
                if (world.pieces_count < PIECES_MAX) {
                        world.pieces[world.pieces_count].begin = begin;
                        world.pieces[world.pieces_count++].end = end;
                }
                return;
        }
        world.expected = MAX_OF(world.expected, end);
        while (found) {
                found = false;
                for (size_t i = 0; i < world.pieces_count; i++)
                        if (world.pieces[i].begin <= world.expected) {
                                world.expected = MAX_OF(world.expected, world.pieces[i].end);
                                world.pieces[i] = world.pieces[--world.pieces_count];
                                found = true;
                                break;
                        }
        }
}

/* The peer knows nothing of a connection. */
static void refuse(uint32_t sequence) {
        const ProbeFormSegment segment = { .flags = FLAG_RST, .sequence = sequence };

        if (!world.mute)
                give(&segment, NULL, 0, 0);
}

/* A datagram of the stream is at the peer. */
static void arrive(const uint8_t *data, size_t length) {
        ProbeFormSegment segment;

        assert(probe_form_parse(data, length, &segment));
        if (segment.flags == FLAG_SYN) {
                const ProbeFormOptions options = probe_form_options(&segment);

                assert(options.mptcp && options.stamped && options.mss == MSS && segment.data_length == 0);
                world.stamp = options.stamp;
                acknowledge(FLAG_SYN);
                return;
        }
        if (segment.flags == FLAG_RST) {
                world.resets++;
                if (world.deaf > 0)
                        world.deaf--;
                else if (segment.sequence == OURS + 1 + (uint32_t) world.expected)
                        world.over = true;
                return;
        }
        assert(segment.flags == FLAG_ACK);
        if (world.over) {
                refuse(segment.acknowledgment);
                return;
        }
        world.said = probe_form_options(&segment);
        assert(world.said.stamped == world.stamps);
        world.stamp = world.said.stamp;
        world.acknowledged = segment.acknowledgment;
        if (segment.data_length > 0) {
                const uint64_t begin = (uint32_t) (segment.sequence - (OURS + 1));

                assert(segment.data_length <= MSS);
                if (begin == 0)
                        memcpy(world.first, segment.data,
                               MIN_OF(segment.data_length, sizeof(world.first) - 1));
                keep(begin, begin + segment.data_length);
                acknowledge(0);
        } else if ((int32_t) (segment.sequence - (OURS + 1 + (uint32_t) world.expected)) < 0) {
                world.questions++;
                acknowledge(0);
        }
}

/* Lets so much time pass, a quarter of a millisecond at a time. */
static void pass(uint64_t us) {
        uint8_t buffer[FORM_STREAM_DATAGRAM];
        const uint64_t end = world.now_us + us;
        size_t length;

        for (; world.now_us < end; world.now_us += 250) {
                for (; world.begin < world.end && world.wire[world.begin % WIRE_MAX].at_us <= world.now_us;
                     world.begin++) {
                        const Datagram *datagram = &world.wire[world.begin % WIRE_MAX];

                        form_stream_take(world.stream, datagram->data, datagram->length, world.now_us);
                }
                while ((length = form_stream_next(world.stream, buffer, world.now_us)) > 0)
                        if (world.drop_each == 0 || ++world.carried % world.drop_each != 0)
                                arrive(buffer, length);
        }
}

static const FormStreamFacts *facts(void) {
        return form_stream_facts(world.stream);
}

static void everything_gets_there(void) {
        for (unsigned stamps = 0; stamps < 2; stamps++) {
                world_begin(300500, "GET / HTTP/1.1\r\n\r\n");
                world.stamps = stamps;
                pass(1000000);
                assert(facts()->open && !facts()->closed && facts()->acknowledged == 300500);
                assert(world.expected == 300500 && facts()->resent == 0 && facts()->volume == 300500);
                assert(strcmp(world.first, "GET / HTTP/1.1\r\n\r\n") == 0);
                assert(form_stream_due(world.stream) == UINT64_MAX && form_stream_stop(world.stream));
        }
}

/* Losses are found and mended, those of what was sent again, too. */
static void losses_are_mended(void) {
        static const unsigned rates[] = { 5, 10, 100 };

        for (size_t i = 0; i < ELEMENTS(rates); i++) {
                world_begin(500000, "");
                world.stamps = true;
                world.drop_each = rates[i];
                pass(30000000);
                assert(facts()->acknowledged == 500000 && world.expected == 500000);
                assert(facts()->resent > 0 && facts()->volume >= 500000);
        }
}

static void nothing_gets_there(void) {
        world_begin(100000, "");
        world.drop_each = 1;
        pass(10000000);
        assert(!facts()->open && world.carried == 4); /* so many SYNs */
}

/* Everything after the handshake gets lost: little is sent, ever less often. */
static void a_path_that_dies(void) {
        world_begin(10000000, "");
        pass(100000);
        assert(facts()->open);
        world.drop_each = 1;
        world.carried = 0;
        pass(500000);
        world.carried = 0;
        pass(5000000);
        assert(world.carried <= 20 && !facts()->window_full);
        assert(!form_stream_stop(world.stream));
}

static void a_full_window_is_kept_to(void) {
        world_begin(1000000, "");
        world.take = 30000;
        pass(3000000);
        assert(facts()->acknowledged == 30000 && world.expected == 30000 && facts()->window_full);
        assert(form_stream_stop(world.stream));
}

/* Nobody tells that the window is open again: it has to be asked for, now and then. */
static void what_opens_the_window_gets_lost(void) {
        world_begin(1000000, "");
        world.take = 30000;
        pass(10000000);
        assert(facts()->window_full && world.questions >= 5 && world.questions <= 15);
        assert(form_stream_due(world.stream) != UINT64_MAX);
        world.take = 0;
        pass(3000000);
        assert(facts()->acknowledged == 1000000 && !facts()->window_full);
}

static void peer_sends(uint64_t offset, size_t length, uint8_t flags) {
        const ProbeFormSegment segment = {
                .flags = flags | FLAG_ACK,
                .window = 60000,
                .sequence = THEIRS + 1 + (uint32_t) offset,
                .acknowledgment = OURS + 1 + (uint32_t) world.expected,
                .stamped = world.stamps,
                .stamp = (uint32_t) world.now_us,
        };

        give(&segment, NULL, 0, length);
        pass(2 * DELAY_US);
}

static void what_comes_is_acknowledged(void) {
        world_begin(3, "GET");
        world.stamps = true;
        pass(100000);
        peer_sends(0, 1000, 0);
        assert(facts()->received == 1000 && world.acknowledged == THEIRS + 1001U);
        assert(facts()->head_length == FORM_STREAM_HEAD && facts()->head[0] == 'x');
        peer_sends(3000, 1000, 0);
        assert(facts()->received == 2000 && world.acknowledged == THEIRS + 1001U);
        assert(world.said.blocks_count == 1 && world.said.blocks[0].begin == THEIRS + 3001U);
        peer_sends(5000, 1000, FLAG_FIN);
        assert(world.said.blocks_count == 2 && world.said.blocks[0].begin == THEIRS + 5001U);
        peer_sends(3500, 1000, 0); /* a part of it again */
        assert(facts()->received == 3500 && facts()->volume == 4003);
        peer_sends(1000, 1000, 0);
        peer_sends(1000, 1000, 0); /* all of it */
        assert(facts()->received == 4500 && !facts()->closed);
        peer_sends(2000, 1000, 0);
        assert(world.acknowledged == THEIRS + 4501U && !facts()->closed);
        peer_sends(4500, 500, 0);
        assert(facts()->received == 6000 && facts()->closed);
        assert(world.acknowledged == THEIRS + 6002U); /* the FIN is one more */
}

static void a_keepalive_is_answered(void) {
        world_begin(3, "GET");
        pass(100000);
        peer_sends(0, 1000, 0);
        world.acknowledged = 0;
        peer_sends(999, 0, 0);
        assert(world.acknowledged == THEIRS + 1001U);
        world.acknowledged = 0;
        peer_sends(1000, 0, 0);
        assert(world.acknowledged == 0);
}

/* More gaps than are remembered: what does not fit comes again. */
static void many_gaps(void) {
        world_begin(3, "GET");
        pass(100000);
        for (uint64_t i = 1; i < 200; i += 2)
                peer_sends(i * 100, 100, 0);
        for (uint64_t i = 0; i < 200; i++)
                peer_sends(i * 100, 100, 0);
        assert(facts()->received == 20000 && world.acknowledged == THEIRS + 20001U);
}

static void only_a_fitting_reset_counts(void) {
        ProbeFormSegment reset = { .flags = FLAG_RST, .sequence = THEIRS + 2 };

        world_begin(3, "GET");
        pass(100000);
        give(&reset, NULL, 0, 0);
        pass(100000);
        assert(!facts()->closed);
        for (uint32_t before = 0; before < 0x80000000; before += 0x10000000) {
                reset.sequence = THEIRS - before;
                give(&reset, NULL, 0, 0);
                pass(100000);
                assert(!facts()->closed && !facts()->gone);
        }
        reset.sequence = THEIRS + 1;
        give(&reset, NULL, 0, 0);
        pass(100000);
        assert(facts()->closed && facts()->gone && form_stream_due(world.stream) == UINT64_MAX);
        form_stream_end(world.stream);
        pass(100000);
        assert(world.resets == 0); /* it is the peer who has ended it */
}

static void refused_at_once(void) {
        const ProbeFormSegment other = { .flags = FLAG_RST | FLAG_ACK, .acknowledgment = OURS + 2U };
        const ProbeFormSegment refusal = { .flags = FLAG_RST | FLAG_ACK, .acknowledgment = OURS + 1U };

        world_begin(3, "GET");
        world.drop_each = 1;
        give(&other, NULL, 0, 0);
        pass(100000);
        assert(!facts()->closed);
        give(&refusal, NULL, 0, 0);
        pass(100000);
        assert(facts()->closed && !facts()->open);
        form_stream_end(world.stream);
        pass(100000);
        assert(facts()->gone && world.resets == 0);
}

/* What says so may have to be asked for once more. */
static void end_within(uint64_t us) {
        form_stream_end(world.stream);
        assert(!facts()->gone);
        pass(us);
        assert(world.over);
        pass(150000);
        assert(facts()->gone && form_stream_due(world.stream) == UINT64_MAX);
}

static void the_peer_is_told(void) {
        for (unsigned stamps = 0; stamps < 2; stamps++) {
                world_begin(30000, "GET");
                world.stamps = stamps;
                pass(1000000);
                form_stream_end(world.stream);
                pass(DELAY_US + 1000);
                assert(world.over && facts()->gone && world.resets == 1);
                form_stream_end(world.stream);
                pass(1000000);
                assert(world.resets == 1 && world.questions == 0);
        }
}

/* Each question is followed by another one, if there is a connection still. */
static void resets_get_lost(void) {
        for (unsigned deaf = 1; deaf < 6; deaf++) {
                world_begin(30000, "GET");
                pass(1000000);
                world.deaf = deaf;
                form_stream_end(world.stream);
                pass((deaf / 2) * 100000 + (deaf % 2) * 2 * DELAY_US + 500);
                assert(world.over && world.resets == deaf + 1 && !facts()->gone);
                pass(100000 + 2 * DELAY_US);
                assert(facts()->gone && world.resets <= 6);
        }
}

/* The peer expects what was lost, or has more than we know. */
static void ends_in_the_middle_of_losses(void) {
        for (unsigned each = 1; each < 8; each++) {
                world_begin(10000000, "");
                pass(200000);
                world.drop_each = each;
                pass(DELAY_US);
                world.drop_each = 0;
                world.begin = world.end; /* all that was on its way to us */
                assert(world.expected < 9000000);
                end_within(DELAY_US + 1000);
                assert(world.resets <= 4);
        }
}

/* The peer has dropped what it had no room for, and its window is closed: no number behind it is heard. */
static void ends_before_a_closed_window(void) {
        world_begin(1000000, "");
        world.take = 30000;
        pass(50000);
        world.drop_each = 1;
        world.take = 60000;
        peer_sends(0, 0, 0);
        world.drop_each = 0;
        end_within(DELAY_US + 1000);
}

/* The peer has closed: its numbers are one further. */
static void ends_after_a_fin(void) {
        for (unsigned deaf = 0; deaf < 4; deaf++) {
                world_begin(3, "GET");
                world.stamps = true;
                pass(100000);
                peer_sends(0, 500, FLAG_FIN);
                assert(facts()->closed && !facts()->gone && world.acknowledged == THEIRS + 502U);
                world.deaf = deaf;
                end_within(350000);
                assert(world.resets >= deaf + 1 && world.resets <= deaf + 2);
        }
}

/* More of what the peer had sent does not make us send a reset for each. */
static void ends_while_the_peer_sends(void) {
        world_begin(3, "GET");
        pass(100000);
        world.deaf = 2;
        for (uint64_t i = 0; i < 50; i++) {
                const ProbeFormSegment segment = {
                        .flags = FLAG_ACK,
                        .window = 60000,
                        .sequence = THEIRS + 1 + (uint32_t) i * MSS,
                        .acknowledgment = OURS + 4,
                };

                give(&segment, NULL, 0, MSS);
        }
        form_stream_end(world.stream);
        pass(50000);
        assert(facts()->volume == 3 + 50 * MSS && facts()->received == 0);
        assert(world.resets == 2 && !facts()->gone);
        pass(100000);
        assert(world.resets == 3 && world.over && facts()->gone);
}

/* Nobody answers: it is told three times, and there is an end. */
static void nobody_hears_it(void) {
        world_begin(30000, "GET");
        pass(1000000);
        world.mute = true;
        form_stream_end(world.stream);
        pass(290000);
        assert(world.over && world.resets == 3 && !facts()->gone);
        pass(20000);
        assert(world.resets == 3 && facts()->gone);
}

static void icmp_says_that_it_is_over(void) {
        world_begin(30000, "GET");
        pass(1000000);
        form_stream_refused(world.stream);
        assert(!facts()->gone && !facts()->closed); /* anybody can say so */
        world.mute = true;
        form_stream_end(world.stream);
        pass(1000);
        assert(!facts()->gone);
        form_stream_refused(world.stream);
        assert(facts()->gone);
}

/* Before the peer has answered there may be half a connection, or none. */
static void ends_before_it_begins(void) {
        world_begin(30000, "GET");
        form_stream_end(world.stream);
        assert(facts()->gone);
        pass(10000);
        assert(world.resets == 0);

        world_begin(30000, "GET");
        pass(1000);
        form_stream_end(world.stream);
        pass(1000);
        assert(world.resets == 1 && world.over && !facts()->gone);
        pass(500000);
        assert(facts()->gone);

        world_begin(30000, "GET");
        world.drop_each = 1;
        pass(2000000);
        form_stream_end(world.stream);
        pass(150000);
        assert(!facts()->open && facts()->gone);
}

static void nonsense_is_refused(void) {
        FormStream *stream = NULL;

        assert(form_stream_new(&stream, 1, 0, "", 1) == -EINVAL);
        assert(form_stream_new(&stream, 1, FORM_STREAM_DATAGRAM, "", 1) == -EINVAL);
        assert(form_stream_new(&stream, 1, MSS, "long", 3) == -EINVAL);
        assert(!stream);
}

#define MS UINT64_C(1000)

/* So many bytes after half the time and at the end; how it ended. */
static RateFigure conclude(uint64_t half, uint64_t all, uint64_t ms, bool ended) {
        RateFigure figure = { .ended = ended };
        RateMeter meter = {};

        rate_meter(&meter, 0, 5 * MS);
        rate_meter(&meter, half, (5 + MIN_OF(ms, UINT64_C(1000))) * MS);
        rate_meter(&meter, all, (5 + ms) * MS);
        rate_conclude(&figure, &meter, (5 + ms) * MS);
        return figure;
}

static void figures_follow(void) {
        RateFigure figure = conclude(900000, 1100000, 2000, false);
        const RateMeter never = {};

        assert(figure.outcome == RATE_MEASURED && figure.bytes_per_second == 200000);
        assert(figure.bytes == 1100000 && figure.ms == 2000);
        assert(conclude(900000, 900000, 2000, false).outcome == RATE_STALLED);
        assert(conclude(1000, 9000, 2000, true).outcome == RATE_CLOSED);
        figure = conclude(500000, 500000, 250, true);
        assert(figure.outcome == RATE_MEASURED && figure.bytes_per_second == 2000000);
        /* Too short a second half: the whole counts. */
        figure = conclude(900000, 1000000, 1100, false);
        assert(figure.outcome == RATE_MEASURED && figure.bytes_per_second == 1000000 * 10 / 11);
        rate_conclude(&figure, &never, 7 * MS);
        assert(figure.outcome == RATE_NO_CONNECTION && figure.bytes == 0 && figure.bytes_per_second == 0);
        assert(!rate_is_over(&never, RATE_BYTES_MAX, 7 * MS));
}

static void it_ends(void) {
        RateMeter meter = {};

        rate_meter(&meter, 0, 5 * MS);
        assert(!rate_is_over(&meter, RATE_BYTES_MAX - 1, (5 + RATE_MS) * MS - 1));
        assert(rate_is_over(&meter, RATE_BYTES_MAX - 1, (5 + RATE_MS) * MS));
        assert(rate_is_over(&meter, RATE_BYTES_MAX, 5 * MS));
}

static void verdicts_follow(void) {
        const struct {
                RateFigure plain, udp;
                RateVerdict verdict;
                RateReason reason;
        } cases[] = {
                { { RATE_MEASURED, 300 }, { RATE_MEASURED, 100 }, RATE_UDP_THROTTLED, RATE_REASON_NONE },
                { { RATE_MEASURED, 299 }, { RATE_MEASURED, 100 }, RATE_ALIKE, RATE_REASON_NONE },
                { { RATE_MEASURED, 100 }, { RATE_MEASURED, 299 }, RATE_ALIKE, RATE_REASON_NONE },
                { { RATE_MEASURED, 100 }, { RATE_MEASURED, 300 }, RATE_PLAIN_THROTTLED, RATE_REASON_NONE },
                { { RATE_MEASURED, 100 }, { RATE_STALLED }, RATE_UDP_THROTTLED, RATE_REASON_NONE },
                { { RATE_MEASURED, 100 },
                  { RATE_STALLED, .window_full = true },
                  RATE_UNKNOWN,
                  RATE_REASON_NO_FIGURE },
                { { RATE_STALLED }, { RATE_MEASURED, 100 }, RATE_PLAIN_THROTTLED, RATE_REASON_NONE },
                { { RATE_STALLED }, { RATE_STALLED }, RATE_UNKNOWN, RATE_REASON_NO_FIGURE },
                { { RATE_CLOSED }, { RATE_MEASURED, 100 }, RATE_UNKNOWN, RATE_REASON_NO_FIGURE },
                { { RATE_MEASURED, 100 }, { RATE_NO_CONNECTION }, RATE_UNKNOWN, RATE_REASON_NO_FIGURE },
                { { RATE_NOT_ASKED }, { RATE_MEASURED, 100 }, RATE_UNKNOWN, RATE_REASON_NO_FIGURE },
                { { RATE_MEASURED, 300 },
                  { RATE_MEASURED, 100, .lost_here = 1 },
                  RATE_UNKNOWN,
                  RATE_REASON_LOST_HERE },
                { { RATE_MEASURED, 100 },
                  { RATE_MEASURED, 300, .lost_here = 1 },
                  RATE_PLAIN_THROTTLED,
                  RATE_REASON_NONE },
                { { RATE_CLOSED },
                  { RATE_MEASURED, 100, .lost_here = 1 },
                  RATE_UNKNOWN,
                  RATE_REASON_NO_FIGURE },
                { { RATE_MEASURED, 37500000 },
                  { RATE_MEASURED, 12500000 },
                  RATE_UNKNOWN,
                  RATE_REASON_FAST },
                { { RATE_MEASURED, 37500000 },
                  { RATE_MEASURED, 12500000, .lost_here = 1 },
                  RATE_UNKNOWN,
                  RATE_REASON_LOST_HERE },
                { { RATE_MEASURED, 37500000 },
                  { RATE_MEASURED, 12499999 },
                  RATE_UDP_THROTTLED,
                  RATE_REASON_NONE },
                { { RATE_MEASURED, 37499999 }, { RATE_MEASURED, 12500000 }, RATE_ALIKE, RATE_REASON_NONE },
                { { RATE_CLOSED }, { RATE_MEASURED, 12500000 }, RATE_UNKNOWN, RATE_REASON_NO_FIGURE },
                { { RATE_STALLED, .window_full = true },
                  { RATE_MEASURED, 12500000 },
                  RATE_UNKNOWN,
                  RATE_REASON_NO_FIGURE },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const RateReport report = { { [RATE_PLAIN] = cases[i].plain, [RATE_UDP] = cases[i].udp } };

                assert(rate_judge(&report) == cases[i].verdict);
                assert(rate_reason(&report) == cases[i].reason);
        }
}

static void status_is_read(void) {
        static const char *const others[] = {
                "", "HTTP/1.1 20", "HTTP/2.0 200", "HTTP/1.1 2x0", "SSH-2.0-OpenSSH",
        };

        assert(rate_http_status("HTTP/1.1 404 Not Found", 22) == 404);
        assert(rate_http_status("HTTP/1.0 200", 12) == 200);
        for (size_t i = 0; i < ELEMENTS(others); i++)
                assert(rate_http_status(others[i], strlen(others[i])) == 0);
}

static void names_are_there(void) {
        assert_all_named(_RATE_FORM_MAX, rate_form_name);
        assert_all_named(_RATE_OUTCOME_MAX, rate_outcome_name);
        assert_all_named(_RATE_VERDICT_MAX, rate_verdict_name);
}

int main(void) {
        static const Test tests[] = {
                { "everything gets there", everything_gets_there },
                { "losses are mended", losses_are_mended },
                { "nothing gets there", nothing_gets_there },
                { "a path dies", a_path_that_dies },
                { "a full window is kept to", a_full_window_is_kept_to },
                { "what opens the window gets lost", what_opens_the_window_gets_lost },
                { "what comes is acknowledged", what_comes_is_acknowledged },
                { "a keepalive is answered", a_keepalive_is_answered },
                { "there are many gaps", many_gaps },
                { "only a fitting reset counts", only_a_fitting_reset_counts },
                { "a refusal ends it at once", refused_at_once },
                { "the peer is told that it is over", the_peer_is_told },
                { "resets get lost", resets_get_lost },
                { "it ends in the middle of losses", ends_in_the_middle_of_losses },
                { "it ends before a closed window", ends_before_a_closed_window },
                { "it ends after a FIN", ends_after_a_fin },
                { "it ends while the peer sends", ends_while_the_peer_sends },
                { "nobody hears that it is over", nobody_hears_it },
                { "ICMP says that it is over", icmp_says_that_it_is_over },
                { "it ends before it begins", ends_before_it_begins },
                { "nonsense is refused", nonsense_is_refused },
                { "figures follow from what has moved", figures_follow },
                { "a measurement ends", it_ends },
                { "verdicts follow from figures", verdicts_follow },
                { "the status of HTTP is read", status_is_read },
                { "every value has a name", names_are_there },
        };
        const int result = run_tests(tests, ELEMENTS(tests));

        form_stream_free(world.stream);
        return result;
}
