/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See form-stream.h. */

#include "bpf/rewrite.h"
#include "plan/form-stream.h"
#include "plan/probe-form.h"

enum {
        SEGMENTS = 4096,         /* on their way at most */
        GAPS = 64,               /* parts behind a gap that are remembered */
        WINDOW_FIRST = 10,       /* segments */
        WINDOW_LEAST = 2,
        WINDOW_FIELD = 0x7fff,   /* shifted by PROBE_FORM_SCALE: 4 MiB */
        SCALE_MAX = 14,
        SYN_AGAIN_US = 300000,   /* twice as long each time */
        SYNS_MAX = 4,
        TIMEOUT_US = 200000,     /* at least; as Linux has it */
        TIMEOUT_MAX_US = 1000000,
        REORDER_US = 1000,       /* at least */
        ENDINGS_MAX = 3,         /* times that the peer is told that it is over */
        ENDING_US = 100000,      /* at least, for an answer to that */
        ENDING_MAX_US = 500000,
        ROOM = 100,              /* for headers in a datagram */
};

typedef struct Segment {
        uint64_t sent_us;
        bool again;
        bool lost;
        bool there;              /* the peer has it */
} Segment;

/* A part of what comes that has a gap before it. */
typedef struct Part {
        uint64_t begin;
        uint64_t end;
} Part;

struct FormStream {
        FormStreamFacts facts;
        uint32_t sequence;       /* of our SYN; our first byte has the next one */
        uint32_t peer_sequence;
        uint16_t mss;
        char *request;
        size_t request_length;
        uint64_t length;         /* bytes to send */

        /* Opening. */
        unsigned syns;
        uint64_t syn_us;

        /* Sending; segments are counted from 0. */
        Segment segments[SEGMENTS];
        uint64_t first;          /* that the peer does not have for certain */
        uint64_t next;           /* that was never sent */
        uint64_t flying;         /* neither there nor lost */
        uint64_t losses;         /* lost and not sent again yet */
        uint64_t allowed;        /* by the window of the peer: bytes */
        unsigned scale;
        double window;           /* of congestion, segments */
        double threshold;
        uint64_t recovery;       /* a loss below it has been answered */
        uint64_t newest_us;      /* when the latest of those that are there was sent */
        uint64_t moved_us;       /* when something was acknowledged last, or the timer was begun */
        uint64_t rtt_us;         /* smoothed; 0: not known */
        uint64_t sampled_us;     /* when the latest of those was sent that are acknowledged now; 0: none */
        unsigned timeouts;       /* in a row */

        /* Receiving; bytes are counted from 0. */
        uint64_t expected;
        uint64_t finished;       /* behind the last byte; UINT64_MAX: not known */
        Part parts[GAPS];        /* apart, in their order */
        size_t parts_count;
        uint64_t latest;         /* a byte of the part that has grown last */
        bool owes;               /* an acknowledgment */

        /* Ending. */
        bool ending;
        unsigned endings;        /* times that the peer was told */
        uint64_t ending_us;      /* when that was last */
        uint64_t told;           /* place of the latest reset; UINT64_MAX: none since the question */
        bool resets_behind;      /* a reset for a peer that has everything goes next */
        bool asks;               /* the question goes next */
        bool corrects;           /* a reset with the number that the peer has named goes next */

        /* Timestamps: without them a sender that timed out once waits ever longer. */
        bool stamped;
        uint32_t echo;           /* what the peer has stamped last */
};

static uint64_t segments_total(const FormStream *stream) {
        return (stream->length + stream->mss - 1) / stream->mss;
}

/* Bytes before this segment. */
static uint64_t offset_of(const FormStream *stream, uint64_t number) {
        return MIN_OF(number * stream->mss, stream->length);
}

static Segment *segment_at(FormStream *stream, uint64_t number) {
        return &stream->segments[number % SEGMENTS];
}

int form_stream_new(FormStream **ret, uint32_t sequence, uint16_t mss, const char *request,
                    uint64_t length) {
        _cleanup_(form_stream_freep) FormStream *stream = NULL;

        if (mss == 0 || mss > FORM_STREAM_DATAGRAM - ROOM || strlen(request) > length)
                return -EINVAL;
        stream = calloc(1, sizeof(*stream));
        if (!stream)
                return -ENOMEM;
        stream->sequence = sequence;
        stream->mss = mss;
        stream->request = strdup(request);
        if (!stream->request)
                return -ENOMEM;
        stream->request_length = strlen(request);
        stream->length = length;
        stream->window = WINDOW_FIRST;
        stream->threshold = SEGMENTS;
        stream->finished = UINT64_MAX;
        *ret = TAKE_PTR(stream);
        return 0;
}

FormStream *form_stream_free(FormStream *stream) {
        if (stream)
                free(stream->request);
        free(stream);
        return NULL;
}

static void open_by(FormStream *stream, const ProbeFormSegment *segment, const ProbeFormOptions *options) {
        if (segment->acknowledgment != stream->sequence + 1)
                return;
        if (segment->flags & UNDERPASS_TCP_RST) {
                stream->facts.closed = stream->facts.gone = true;
                return;
        }
        if (!(segment->flags & UNDERPASS_TCP_SYN))
                return;
        stream->facts.open = true;
        stream->peer_sequence = segment->sequence;
        stream->scale = MIN_OF(options->scale, (unsigned) SCALE_MAX);
        if (options->mss != 0)
                stream->mss = MIN_OF(stream->mss, options->mss);
        stream->allowed = segment->window; /* never scaled in a SYN */
        stream->owes = true;
        stream->stamped = options->stamped;
        stream->echo = options->stamp;
}

/* What we tell the peer that we have. */
static uint32_t acknowledgment_of(const FormStream *stream) {
        return stream->peer_sequence + 1 + (uint32_t) stream->expected +
               (stream->expected >= stream->finished);
}

/* How far a number of the peer is from where the connection is, as a place in 64 bits. */
static uint64_t place_of(uint32_t number, uint32_t begin, uint64_t about) {
        const int32_t distance = (int32_t) (number - (begin + 1 + (uint32_t) about));

        if (distance < 0 && (uint64_t) -(int64_t) distance > about)
                return 0;
        return about + (uint64_t) (int64_t) distance;
}

/* From the latest of what was acknowledged: others may have waited for a gap to be closed. */
static void learn_round_trip(FormStream *stream, uint64_t now_us) {
        const uint64_t sample_us = now_us - stream->sampled_us;

        if (stream->sampled_us == 0)
                return;
        stream->sampled_us = 0;
        stream->rtt_us = stream->rtt_us == 0 ? MAX_OF(sample_us, UINT64_C(1)) :
                                               (stream->rtt_us * 7 + sample_us) / 8;
}

/* The peer has this segment. */
static void note_there(FormStream *stream, uint64_t number, uint64_t now_us) {
        Segment *segment = segment_at(stream, number);

        if (segment->there)
                return;
        segment->there = true;
        if (segment->lost)
                stream->losses--;
        else
                stream->flying--;
        if (!segment->again)
                stream->sampled_us = MAX_OF(stream->sampled_us, segment->sent_us);
        /* Of one that was sent twice nobody knows which copy has arrived. */
        if (!segment->again || now_us - segment->sent_us >= stream->rtt_us / 2)
                stream->newest_us = MAX_OF(stream->newest_us, segment->sent_us);
        stream->moved_us = now_us;
        stream->timeouts = 0;
        if (stream->window < stream->threshold)
                stream->window += 1;
        else
                stream->window += 1 / stream->window;
        stream->window = MIN_OF(stream->window, (double) SEGMENTS);
}

static void note_lost(FormStream *stream, uint64_t number) {
        Segment *segment = segment_at(stream, number);

        segment->lost = true;
        stream->flying--;
        stream->losses++;
        if (number >= stream->recovery) {
                stream->recovery = stream->next;
                stream->window = stream->threshold = MAX_OF(stream->window * 0.7, (double) WINDOW_LEAST);
        }
}

/* What was sent well before something that has arrived is lost. */
static void find_losses(FormStream *stream) {
        const uint64_t patience_us = MAX_OF(stream->rtt_us / 4, (uint64_t) REORDER_US);

        for (uint64_t number = stream->first; number < stream->next; number++) {
                const Segment *segment = segment_at(stream, number);

                if (!segment->there && !segment->lost && segment->sent_us + patience_us < stream->newest_us)
                        note_lost(stream, number);
        }
}

static void take_blocks(FormStream *stream, const ProbeFormOptions *options, uint64_t now_us) {
        for (size_t i = 0; i < options->blocks_count; i++) {
                const uint64_t about = offset_of(stream, stream->first);
                const uint64_t begin = place_of(options->blocks[i].begin, stream->sequence, about);
                const uint64_t end = place_of(options->blocks[i].end, stream->sequence, about);
                uint64_t number = MAX_OF((begin + stream->mss - 1) / stream->mss, stream->first);

                for (; number < stream->next && offset_of(stream, number + 1) <= end; number++)
                        note_there(stream, number, now_us);
        }
}

static void take_acknowledgment(FormStream *stream, const ProbeFormSegment *segment,
                                const ProbeFormOptions *options, uint64_t now_us) {
        const uint64_t about = offset_of(stream, stream->first);
        const uint64_t place = place_of(segment->acknowledgment, stream->sequence, about);

        if (place > offset_of(stream, stream->next))
                return;
        while (stream->first < stream->next && offset_of(stream, stream->first + 1) <= place)
                note_there(stream, stream->first++, now_us);
        stream->facts.acknowledged = MAX_OF(stream->facts.acknowledged, place);
        stream->allowed = place + ((uint64_t) segment->window << stream->scale);
        if (options->blocks_count > 0) {
                take_blocks(stream, options, now_us);
        }
        learn_round_trip(stream, now_us);
        if (options->blocks_count > 0 || stream->losses > 0 || stream->first < stream->recovery)
                find_losses(stream);
}

static void remove_part(FormStream *stream, size_t i) {
        stream->parts_count--;
        memmove(&stream->parts[i], &stream->parts[i + 1], (stream->parts_count - i) * sizeof(Part));
}

/* Remembers a part that has come, together with those that it touches. */
static void add_part(FormStream *stream, Part part) {
        size_t i = 0;

        while (i < stream->parts_count && stream->parts[i].end < part.begin)
                i++;
        while (i < stream->parts_count && stream->parts[i].begin <= part.end) {
                part.begin = MIN_OF(part.begin, stream->parts[i].begin);
                part.end = MAX_OF(part.end, stream->parts[i].end);
                stream->facts.received -= stream->parts[i].end - stream->parts[i].begin;
                remove_part(stream, i);
        }
        if (part.begin <= stream->expected) {
                stream->facts.received += part.end - stream->expected;
                stream->expected = part.end;
                return;
        }
        if (stream->parts_count == GAPS)
                return; /* it comes again */
        stream->facts.received += part.end - part.begin;
        memmove(&stream->parts[i + 1], &stream->parts[i], (stream->parts_count - i) * sizeof(Part));
        stream->parts[i] = part;
        stream->parts_count++;
        stream->latest = part.begin;
}

static void take_data(FormStream *stream, const ProbeFormSegment *segment,
                      const ProbeFormOptions *options) {
        const uint64_t begin = place_of(segment->sequence, stream->peer_sequence, stream->expected);
        const uint64_t end = begin + segment->data_length;
        FormStreamFacts *facts = &stream->facts;

        if (options->stamped && begin <= stream->expected)
                stream->echo = options->stamp;
        if (segment->data_length == 0 && !(segment->flags & UNDERPASS_TCP_FIN)) {
                stream->owes |= begin < stream->expected; /* a keepalive asks whether we are there */
                return;
        }
        stream->owes = true;
        facts->volume += segment->data_length;
        if (segment->flags & UNDERPASS_TCP_FIN)
                stream->finished = end;
        if (begin < FORM_STREAM_HEAD && begin == facts->head_length) {
                const size_t kept = MIN_OF(segment->data_length, FORM_STREAM_HEAD - facts->head_length);

                memcpy(facts->head + facts->head_length, segment->data, kept);
                facts->head_length += kept;
        }
        if (end > stream->expected)
                add_part(stream, (Part) { .begin = MAX_OF(begin, stream->expected), .end = end });
        if (stream->expected >= stream->finished)
                facts->closed = true;
}

/* Its number must be one that nobody could have guessed: the next one, or what we have acknowledged, which
 * a FIN makes one more. */
static void take_reset(FormStream *stream, const ProbeFormSegment *segment) {
        const uint32_t next = stream->peer_sequence + 1 + (uint32_t) stream->expected;

        /* No place_of(), which takes all that is before the first byte for that one. */
        if (segment->sequence == next || segment->sequence == acknowledgment_of(stream))
                stream->facts.closed = stream->facts.gone = true;
}

/* There is a connection still: the number that it expects is known now. */
static void take_answer(FormStream *stream, const ProbeFormSegment *segment) {
        stream->facts.volume += segment->data_length;
        stream->corrects = stream->facts.acknowledged != stream->told;
}

void form_stream_take(FormStream *stream, const uint8_t *data, size_t length, uint64_t now_us) {
        ProbeFormOptions options;
        ProbeFormSegment segment;

        if (!probe_form_parse(data, length, &segment))
                return;
        options = probe_form_options(&segment);
        if (!stream->facts.open) {
                if (segment.flags & UNDERPASS_TCP_ACK)
                        open_by(stream, &segment, &options);
                stream->moved_us = now_us;
                return;
        }
        if (segment.flags & UNDERPASS_TCP_RST) {
                take_reset(stream, &segment);
                return;
        }
        if (segment.flags & UNDERPASS_TCP_SYN) {
                stream->owes = true; /* our acknowledgment got lost */
                return;
        }
        if (!(segment.flags & UNDERPASS_TCP_ACK))
                return;
        take_acknowledgment(stream, &segment, &options, now_us);
        if (stream->ending)
                take_answer(stream, &segment);
        else
                take_data(stream, &segment, &options);
}

static uint64_t timeout_us(const FormStream *stream) {
        const uint64_t once = MAX_OF(stream->rtt_us * 2, (uint64_t) TIMEOUT_US);

        return MIN_OF(once << MIN_OF(stream->timeouts, 8U), (uint64_t) TIMEOUT_MAX_US);
}

static uint64_t ending_due_us(const FormStream *stream) {
        const uint64_t patience_us = MIN_OF(MAX_OF(stream->rtt_us * 2, (uint64_t) ENDING_US),
                                            (uint64_t) ENDING_MAX_US);

        return stream->endings == 0 ? 0 : stream->ending_us + patience_us;
}

/* When nothing was acknowledged for long, all that is on its way is taken for lost. */
static void look_at_clock(FormStream *stream, uint64_t now_us) {
        if (stream->first == stream->next || now_us < stream->moved_us + timeout_us(stream))
                return;
        for (uint64_t number = stream->first; number < stream->next; number++)
                if (!segment_at(stream, number)->there && !segment_at(stream, number)->lost)
                        note_lost(stream, number);
        stream->window = WINDOW_LEAST;
        stream->recovery = stream->next;
        stream->moved_us = now_us;
        stream->timeouts++;
}

/* In milliseconds, from a number that nobody can guess. */
static uint32_t stamp_at(const FormStream *stream, uint64_t now_us) {
        return stream->sequence + (uint32_t) (now_us / 1000);
}

static ProbeFormBlock block_of(const FormStream *stream, const Part *part) {
        return (ProbeFormBlock) {
                .begin = stream->peer_sequence + 1 + (uint32_t) part->begin,
                .end = stream->peer_sequence + 1 + (uint32_t) part->end,
        };
}

/* The part that has grown last goes first (RFC 2018), then the lowest ones. How many. */
static size_t choose_blocks(const FormStream *stream, ProbeFormBlock blocks[static PROBE_FORM_BLOCKS]) {
        const size_t most = PROBE_FORM_BLOCKS - stream->stamped;
        size_t count = 0;

        for (size_t i = 0; i < stream->parts_count && count == 0; i++)
                if (stream->parts[i].begin == stream->latest)
                        blocks[count++] = block_of(stream, &stream->parts[i]);
        for (size_t i = 0; i < stream->parts_count && count < most; i++)
                if (stream->parts[i].begin != stream->latest)
                        blocks[count++] = block_of(stream, &stream->parts[i]);
        return count;
}

/* Writes the header of a segment that is not a SYN. */
static size_t write_header(FormStream *stream, uint8_t *buffer, uint64_t offset, uint64_t now_us) {
        ProbeFormSegment segment = {
                .flags = UNDERPASS_TCP_ACK,
                .window = WINDOW_FIELD,
                .sequence = stream->sequence + 1 + (uint32_t) offset,
                .acknowledgment = acknowledgment_of(stream),
                .stamped = stream->stamped,
                .stamp = stamp_at(stream, now_us),
                .echo = stream->echo,
        };
        ProbeFormBlock blocks[PROBE_FORM_BLOCKS];
        const size_t count = choose_blocks(stream, blocks);

        stream->owes = false;
        return probe_form_write(buffer, &segment, blocks, count);
}

static size_t write_segment(FormStream *stream, uint8_t *buffer, uint64_t number, uint64_t now_us) {
        const uint64_t offset = offset_of(stream, number);
        const size_t length = (size_t) (offset_of(stream, number + 1) - offset);
        const size_t header = write_header(stream, buffer, offset, now_us);
        Segment *segment = segment_at(stream, number);

        memset(buffer + header, 0, length);
        if (offset < stream->request_length)
                memcpy(buffer + header, stream->request + offset,
                       MIN_OF(length, stream->request_length - (size_t) offset));
        if (stream->flying == 0)
                stream->moved_us = now_us;
        segment->sent_us = now_us;
        stream->flying++;
        stream->facts.volume += length;
        return header + length;
}

/* The first segment that is lost; there is one. */
static uint64_t first_lost(FormStream *stream) {
        uint64_t number = stream->first;

        while (!segment_at(stream, number)->lost || segment_at(stream, number)->there)
                number++;
        return number;
}

static size_t next_syn(FormStream *stream, uint8_t *buffer, uint64_t now_us) {
        if (stream->syns == SYNS_MAX || now_us < form_stream_due(stream))
                return 0;
        probe_form_syn_stamped(buffer, stream->sequence, stream->mss, stamp_at(stream, now_us));
        stream->syn_us = now_us;
        stream->syns++;
        return PROBE_FORM_SYN + PROBE_FORM_STAMP;
}

/* A segment that the peer has already: it answers what it expects, and how much it takes. */
static size_t write_question(FormStream *stream, uint8_t *buffer, uint64_t now_us) {
        return write_header(stream, buffer, stream->facts.acknowledged - 1, now_us);
}

static size_t write_reset(FormStream *stream, uint8_t *buffer, uint64_t offset) {
        probe_form_reset(buffer, stream->sequence + 1 + (uint32_t) offset);
        stream->told = offset;
        return PROBE_FORM_HEADER;
}

/* Resets with the numbers that the peer may expect, and then the question whether it is over. */
static size_t next_ending(FormStream *stream, uint8_t *buffer, uint64_t now_us) {
        const uint64_t behind = offset_of(stream, stream->next);
        FormStreamFacts *facts = &stream->facts;

        if (stream->resets_behind) {
                stream->resets_behind = false;
                return write_reset(stream, buffer, behind);
        }
        if (stream->corrects) {
                stream->corrects = false;
                return write_reset(stream, buffer, facts->acknowledged);
        }
        if (stream->asks) {
                stream->asks = false;
                stream->told = UINT64_MAX;
                return write_question(stream, buffer, now_us);
        }
        if (now_us < ending_due_us(stream))
                return 0;
        if (stream->endings == (facts->open ? ENDINGS_MAX : 1)) {
                facts->gone = true;
                return 0;
        }
        stream->resets_behind = stream->endings == 0 && facts->acknowledged != behind;
        stream->endings++;
        stream->ending_us = now_us;
        stream->asks = facts->open;
        return write_reset(stream, buffer, facts->acknowledged);
}

/* Data, for the first time or again; 0: nothing of it may go now. */
static size_t next_data(FormStream *stream, uint8_t *buffer, uint64_t now_us) {
        FormStreamFacts *facts = &stream->facts;
        bool fits, more;

        look_at_clock(stream, now_us);
        more = stream->next < segments_total(stream) &&
               offset_of(stream, stream->next + 1) <= stream->allowed;
        facts->window_full = !more && stream->next < segments_total(stream) && stream->first == stream->next;
        fits = (double) stream->flying < stream->window;
        if (fits && stream->losses > 0) {
                const uint64_t number = first_lost(stream);

                segment_at(stream, number)->lost = false;
                segment_at(stream, number)->again = true;
                stream->losses--;
                facts->resent++;
                return write_segment(stream, buffer, number, now_us);
        }
        if (fits && more && stream->next - stream->first < SEGMENTS) {
                *segment_at(stream, stream->next) = (Segment) {};
                stream->next++;
                return write_segment(stream, buffer, stream->next - 1, now_us);
        }
        if (!facts->window_full || now_us < stream->moved_us + timeout_us(stream))
                return 0;
        /* What has opened the window may have got lost (RFC 9293, 3.8.6.1). */
        stream->moved_us = now_us;
        stream->timeouts++;
        return write_question(stream, buffer, now_us);
}

size_t form_stream_next(FormStream *stream, uint8_t buffer[static FORM_STREAM_DATAGRAM], uint64_t now_us) {
        const FormStreamFacts *facts = &stream->facts;
        size_t length;

        if (facts->gone)
                return 0;
        if (stream->ending)
                return next_ending(stream, buffer, now_us);
        if (facts->closed && !(facts->open && stream->owes))
                return 0;
        if (!facts->open)
                return next_syn(stream, buffer, now_us);
        length = facts->closed ? 0 : next_data(stream, buffer, now_us);
        if (length > 0)
                return length;
        return stream->owes ? write_header(stream, buffer, offset_of(stream, stream->next), now_us) : 0;
}

uint64_t form_stream_due(const FormStream *stream) {
        const FormStreamFacts *facts = &stream->facts;

        if (facts->gone)
                return UINT64_MAX;
        if (stream->ending)
                return stream->resets_behind || stream->corrects || stream->asks ? 0 : ending_due_us(stream);
        if (facts->closed)
                return UINT64_MAX;
        if (!facts->open && stream->syns > 0)
                return stream->syn_us + ((uint64_t) SYN_AGAIN_US << (stream->syns - 1));
        if (!facts->open)
                return 0;
        return stream->first == stream->next && !facts->window_full ? UINT64_MAX :
                                                                      stream->moved_us + timeout_us(stream);
}

bool form_stream_stop(FormStream *stream) {
        stream->length = offset_of(stream, stream->next);
        return stream->first == stream->next;
}

void form_stream_end(FormStream *stream) {
        if (stream->ending)
                return;
        (void) form_stream_stop(stream);
        stream->ending = true;
        if (stream->syns == 0)
                stream->facts.gone = true;
}

void form_stream_refused(FormStream *stream) {
        if (stream->ending)
                stream->facts.gone = true;
}

const FormStreamFacts *form_stream_facts(const FormStream *stream) {
        return &stream->facts;
}
