/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See probe.h. */

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "base/clock.h"
#include "kernel/probe.h"
#include "plan/probe-form.h"

#define MS UINT64_C(1000000) /* in nanoseconds */

enum {
        ASK_MS = 1900,           /* for answers to the questions: until then the kernel sends two SYNs */
        WAIT_MIN_MS = 200,       /* for each packet whose size is what counts, … */
        WAIT_MAX_MS = 1000,
        WAIT_ROUND_TRIPS = 3,    /* … or so many round trips */
        SYNS_MAX = 3,
        SIZES_MAX = 3,           /* sizes that are tried on the way there */
        ECHOES_MAX = 2,
        READS_MAX = 64,          /* datagrams of others at a time, or they would keep us busy */
        SIZE_MAX_TRIED = 9000,   /* a jumbo frame; what loopback devices take says nothing */
        HEADER_IPV4 = 20,
        HEADER_IPV6 = 40,
        HEADER_TCP = 20,
        HEADER_ECHO = 8,
        PACKETS_HANDSHAKE = 2,   /* that end a TCP handshake: ACK and RST */
};

/* When the SYN over UDP goes again, milliseconds after the first. */
static const unsigned again_ms[SYNS_MAX] = { 0, 600, 1200 };

/* Sizes that are usual on the way, for where a larger packet got lost without a word. */
static const uint16_t usual_sizes[] = { 1492, 1400, 1280, 576 };

typedef enum Stage {
        STAGE_ASK,
        STAGE_SIZE,
        STAGE_ECHO,
        STAGE_DONE,
} Stage;

struct Probe {
        ProbeTarget target;
        ProbeReport report;
        Address local;
        int poll_fd;
        int timer_fd;
        int streams[PROBE_UDP]; /* of TCP and MPTCP; negative: it is settled */
        int datagrams;       /* of what is asked by datagrams now; negative: nothing is */
        Stage stage;
        uint64_t begun_ns;   /* the stage, or its latest attempt */
        uint64_t asked_ns;   /* the first SYN over UDP, CLOCK_REALTIME */
        unsigned attempts;   /* of the stage */
        uint32_t sequence;   /* of the latest SYN over UDP */
        uint32_t size;       /* of the latest packet whose size counts */
        uint8_t buffer[SIZE_MAX_TRIED];
};

static uint32_t header_length(const Probe *probe) {
        return address_is_ipv4(&probe->target.remote) ? HEADER_IPV4 : HEADER_IPV6;
}

static bool is_past(const Probe *probe, uint64_t ms) {
        return clock_monotonic_ns() >= probe->begun_ns + ms * MS;
}

/* An early look costs nothing but another one. */
static void wake_at(Probe *probe, uint64_t ms) {
        const uint64_t at = probe->begun_ns + ms * MS;
        const struct itimerspec when = {
                .it_value = { .tv_sec = (time_t) (at / 1000 / MS), .tv_nsec = (long) (at % (1000 * MS)) },
        };

        (void) timerfd_settime(probe->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static int watch(Probe *probe, int fd, uint32_t events) {
        struct epoll_event event = { .events = events };

        return epoll_ctl(probe->poll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* How long a packet whose size counts is waited for. */
static uint64_t patience_ms(const Probe *probe) {
        const uint64_t rtt_us = MAX_OF(probe->report.answers[PROBE_UDP].rtt_us,
                                       probe->report.answers[PROBE_TCP].rtt_us);

        return MIN_OF(MAX_OF(rtt_us * WAIT_ROUND_TRIPS / 1000, (uint64_t) WAIT_MIN_MS),
                      (uint64_t) WAIT_MAX_MS);
}

/* A SYN over UDP in a packet of this size; 0: as small as it can be. Returns a negative errno. */
static int send_syn(Probe *probe, uint32_t size) {
        const uint32_t least = header_length(probe) + PROBE_FORM_UDP + PROBE_FORM_SYN;
        const uint32_t padding = size > least ? size - least : 0;

        memset(probe->buffer + PROBE_FORM_SYN, 0, padding);
        probe_form_syn(probe->buffer, probe->sequence,
                       (uint16_t) (MIN_OF(probe->report.mtu, (uint32_t) SIZE_MAX_TRIED) -
                                   header_length(probe) - HEADER_TCP));
        if (send(probe->datagrams, probe->buffer, PROBE_FORM_SYN + padding, MSG_NOSIGNAL) < 0)
                return -errno;
        probe->report.packets++;
        return 0;
}

/* A socket of its own for each SYN that differs: another port, another connection. */
static int open_datagrams(Probe *probe, Address *ret_local) {
        _cleanup_(close_fdp) int fd = probe_socket_udp(&probe->target, ret_local);
        int r;

        if (fd < 0)
                return fd;
        if (getrandom(&probe->sequence, sizeof(probe->sequence), 0) < 0)
                return -errno;
        r = watch(probe, fd, EPOLLIN);
        if (r < 0)
                return r;
        probe->datagrams = TAKE_FD(fd);
        return 0;
}

static void close_datagrams(Probe *probe) {
        probe->datagrams = close_fd(probe->datagrams);
}

/* The destination holds a half-open connection: that one is over. */
static void reset_datagrams(Probe *probe) {
        probe_form_reset(probe->buffer, probe->sequence + 1);
        if (send(probe->datagrams, probe->buffer, PROBE_FORM_HEADER, MSG_NOSIGNAL) >= 0)
                probe->report.packets++;
        close_datagrams(probe);
}

static void connect_stream(Probe *probe, ProbeForm form) {
        ProbeAnswer *answer = &probe->report.answers[form];
        int fd = probe_socket_connect(&probe->target, &probe->local, form == PROBE_MPTCP);

        *answer = (ProbeAnswer) { .outcome = PROBE_NOT_SENT, .error = fd < 0 ? -fd : 0 };
        if (fd < 0)
                return;
        answer->outcome = PROBE_SILENCE;
        probe->report.packets++;
        probe->streams[form] = fd;
        (void) watch(probe, fd, EPOLLOUT);
}

/* The first SYN over UDP. A firewall of this host that lets none out says nothing of the way, and nothing of
 * the tunnel, whose packets it sees as TCP. */
static void ask_by_datagram(Probe *probe) {
        ProbeAnswer *answer = &probe->report.answers[PROBE_UDP];

        answer->outcome = PROBE_SILENCE;
        if (send_syn(probe, 0) == -EPERM) {
                *answer = (ProbeAnswer) { .outcome = PROBE_NOT_SENT, .error = EPERM };
                close_datagrams(probe);
        }
        probe->attempts = 1;
}

/* Begins with the three questions, all at once. */
static void ask(Probe *probe) {
        int r = open_datagrams(probe, &probe->local);
        struct timespec now;

        probe->stage = STAGE_ASK;
        probe->begun_ns = clock_monotonic_ns();
        if (r < 0) {
                for (ProbeForm form = 0; form < _PROBE_FORM_MAX; form++)
                        probe->report.answers[form] = (ProbeAnswer) { .error = -r };
                return;
        }
        probe->report.mtu = probe_socket_link_mtu(probe->datagrams, probe->target.link);
        (void) clock_gettime(CLOCK_REALTIME, &now);
        probe->asked_ns = (uint64_t) now.tv_sec * 1000 * MS + (uint64_t) now.tv_nsec;
        ask_by_datagram(probe);
        for (ProbeForm form = PROBE_TCP; form < PROBE_UDP && !probe->target.only_udp; form++)
                connect_stream(probe, form);
        wake_at(probe, again_ms[1]);
}

static void look_at_stream(Probe *probe, ProbeForm form) {
        ProbeAnswer *answer = &probe->report.answers[form];
        ProbeStream stream = {};

        if (probe->streams[form] < 0)
                return;
        if (!probe_socket_connected(probe->streams[form], &probe->target, form == PROBE_MPTCP, answer,
                                    &stream)) {
                if (!is_past(probe, ASK_MS))
                        return;
                probe->report.packets++; /* the SYN went again */
        }
        if (answer->outcome != PROBE_OPTION && answer->outcome != PROBE_ANSWERED) {
                /* Nobody holds a connection. MPTCP sends a reset after a refusal even so. */
                probe->report.packets += form == PROBE_MPTCP && answer->outcome != PROBE_SILENCE;
                probe->streams[form] = close_fd(probe->streams[form]);
                return;
        }
        probe->report.packets += PACKETS_HANDSHAKE + stream.resent;
        if (answer->rtt_us == 0)
                answer->rtt_us = (uint32_t) ((clock_monotonic_ns() - probe->begun_ns) / 1000);
        if (form == PROBE_TCP)
                probe->report.mss = stream.mss;
        probe->streams[form] = probe_socket_abort(probe->streams[form]);
}

/* The round trip of the first SYN over UDP; later ones only ask how large packets may be. arrived_ns: as the
 * kernel says, for this process may have been late. */
static void note_round_trip(Probe *probe, uint64_t arrived_ns) {
        uint32_t *rtt_us = &probe->report.answers[PROBE_UDP].rtt_us;

        if (probe->stage == STAGE_ASK && arrived_ns > probe->asked_ns)
                *rtt_us = (uint32_t) ((arrived_ns - probe->asked_ns) / 1000);
}

/* Takes what has come in answer to a SYN over UDP. true: it is settled. ret_answer says how, ret_error which
 * ICMP error did. */
static bool receive_form(Probe *probe, uint32_t carried, ProbeFormAnswer *ret_answer,
                         ProbeError *ret_error) {
        ProbeNote note;

        *ret_error = (ProbeError) { .outcome = PROBE_SILENCE };
        for (unsigned i = 0; i < READS_MAX; i++) {
                const ssize_t length = probe_socket_receive(probe->datagrams, probe->buffer,
                                                            sizeof(probe->buffer), &note);

                if (length == -EAGAIN)
                        break;
                if (length < 0)
                        continue; /* the error that is read below */
                *ret_answer = probe_form_read(probe->buffer, (size_t) length, probe->sequence, carried);
                if (ret_answer->kind != PROBE_FORM_OTHER) {
                        note_round_trip(probe, note.arrived_ns);
                        return true;
                }
        }
        *ret_answer = (ProbeFormAnswer) {};
        while (probe_socket_error(probe->datagrams, &probe->target, ret_error))
                if (ret_error->outcome != PROBE_SILENCE || ret_error->mtu != 0)
                        return true;
        return false;
}

static void look_at_datagrams(Probe *probe) {
        ProbeAnswer *udp = &probe->report.answers[PROBE_UDP];
        ProbeFormAnswer answer;
        ProbeError error;

        if (probe->datagrams < 0)
                return;
        if (receive_form(probe, 0, &answer, &error) && error.mtu == 0) {
                probe->report.speaks = answer.kind != PROBE_FORM_OTHER;
                udp->outcome = answer.kind == PROBE_FORM_REFUSE ? PROBE_REFUSED :
                               answer.kind == PROBE_FORM_OTHER  ? error.outcome :
                               answer.mptcp                     ? PROBE_OPTION :
                                                                  PROBE_ANSWERED;
                udp->from = answer.kind == PROBE_FORM_REFUSE ? probe->target.remote : error.from;
                if (answer.kind == PROBE_FORM_ACCEPT)
                        reset_datagrams(probe);
                else
                        close_datagrams(probe);
        } else if (is_past(probe, ASK_MS)) {
                close_datagrams(probe);
        } else if (probe->attempts < SYNS_MAX && is_past(probe, again_ms[probe->attempts])) {
                probe->attempts++;
                (void) send_syn(probe, 0);
        }
}

/* The next smaller usual size. */
static uint32_t smaller_size(uint32_t size) {
        for (size_t i = 0; i < ELEMENTS(usual_sizes); i++)
                if (usual_sizes[i] < size)
                        return usual_sizes[i];
        return 0;
}

static void try_echo(Probe *probe, uint32_t size);

/* The way there is known as well as it will be; the way back is next. */
static void begin_echo(Probe *probe) {
        const ProbeReport *report = &probe->report;
        const uint32_t lost = report->mtu_lost ? smaller_size(report->mtu_lost) : 0;

        close_datagrams(probe);
        probe->stage = STAGE_ECHO;
        probe->attempts = 0;
        try_echo(probe, report->mtu_there ? report->mtu_there :
                        lost              ? lost :
                                            MIN_OF(report->mtu, (uint32_t) SIZE_MAX_TRIED));
}

/* Does a packet of this size get there? */
static void try_size(Probe *probe, uint32_t size) {
        if (size == 0 || probe->attempts >= SIZES_MAX || open_datagrams(probe, NULL) < 0) {
                begin_echo(probe);
                return;
        }
        probe->attempts++;
        probe->size = size;
        probe->begun_ns = clock_monotonic_ns();
        (void) send_syn(probe, size);
        wake_at(probe, patience_ms(probe));
}

static void look_at_size(Probe *probe) {
        const uint32_t least = header_length(probe) + PROBE_FORM_UDP + PROBE_FORM_SYN;
        ProbeReport *report = &probe->report;
        ProbeFormAnswer answer;
        ProbeError error;

        if (!receive_form(probe, probe->size - least, &answer, &error)) {
                if (!is_past(probe, patience_ms(probe)))
                        return;
                report->mtu_lost = probe->size;
                close_datagrams(probe);
                try_size(probe, smaller_size(probe->size));
                return;
        }
        if (answer.kind == PROBE_FORM_ACCEPT) {
                report->mtu_there = probe->size;
                reset_datagrams(probe);
                begin_echo(probe);
                return;
        }
        if (error.mtu != 0)
                report->mtu_lost = probe->size;
        close_datagrams(probe);
        try_size(probe, error.mtu < probe->size && error.mtu > least ? error.mtu : 0);
}

/* Does a packet of this size come back? */
static void try_echo(Probe *probe, uint32_t size) {
        const bool ipv4 = address_is_ipv4(&probe->target.remote);
        const uint32_t length = size - header_length(probe);
        const struct icmphdr echo = {
                .type = ipv4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST,
                .un.echo.sequence = htons((uint16_t) (probe->attempts + 1)),
        };
        _cleanup_(close_fdp) int fd = -EBADF;

        if (size > header_length(probe) + HEADER_ECHO && probe->attempts < ECHOES_MAX)
                fd = probe_socket_echo(&probe->target);
        if (fd < 0 || watch(probe, fd, EPOLLIN) < 0) {
                probe->stage = STAGE_DONE;
                return;
        }
        probe->datagrams = TAKE_FD(fd);
        probe->attempts++;
        probe->size = size;
        probe->begun_ns = clock_monotonic_ns();
        memset(probe->buffer, 0, length);
        memcpy(probe->buffer, &echo, sizeof(echo));
        if (send(probe->datagrams, probe->buffer, length, MSG_NOSIGNAL) >= 0)
                probe->report.packets++;
        wake_at(probe, patience_ms(probe));
}

/* Whether this is the answer to the latest echo, byte for byte as long. */
static bool is_echo(const Probe *probe, size_t length) {
        struct icmphdr header;

        if (length != probe->size - header_length(probe))
                return false;
        memcpy(&header, probe->buffer, sizeof(header));
        return header.type == (address_is_ipv4(&probe->target.remote) ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY) &&
               header.un.echo.sequence == htons((uint16_t) probe->attempts);
}

static void look_at_echo(Probe *probe) {
        ProbeReport *report = &probe->report;
        ProbeError error = {};
        uint32_t smaller = 0;
        unsigned reads = 0;
        ProbeNote note = {};
        ssize_t length;

        do
                length = probe_socket_receive(probe->datagrams, probe->buffer, sizeof(probe->buffer), &note);
        while (length >= 0 && !is_echo(probe, (size_t) length) && ++reads < READS_MAX);
        if (length >= 0 && reads < READS_MAX) {
                report->mtu_there = MAX_OF(report->mtu_there, probe->size);
                report->mtu_back = note.part ? note.part : probe->size;
        } else {
                while (smaller == 0 && probe_socket_error(probe->datagrams, &probe->target, &error))
                        smaller = error.mtu < probe->size ? error.mtu : 0;
                if (smaller == 0 && !is_past(probe, patience_ms(probe)))
                        return;
        }
        close_datagrams(probe);
        if (smaller != 0)
                report->mtu_lost = probe->size;
        try_echo(probe, smaller);
}

int probe_new(Probe **ret, const ProbeTarget *target) {
        _cleanup_(probe_freep) Probe *probe = calloc(1, sizeof(*probe));
        int r;

        if (!probe)
                return -ENOMEM;
        probe->target = *target;
        probe->datagrams = probe->streams[PROBE_TCP] = probe->streams[PROBE_MPTCP] = -EBADF;
        probe->poll_fd = epoll_create1(EPOLL_CLOEXEC);
        probe->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (probe->poll_fd < 0 || probe->timer_fd < 0)
                return -errno;
        r = watch(probe, probe->timer_fd, EPOLLIN);
        if (r < 0)
                return r;
        ask(probe);
        if (probe->datagrams < 0)
                wake_at(probe, 0);
        *ret = TAKE_PTR(probe);
        return 0;
}

Probe *probe_free(Probe *probe) {
        if (!probe)
                return NULL;
        for (ProbeForm form = PROBE_TCP; form < PROBE_UDP; form++)
                close_fd(probe->streams[form]);
        if (probe->datagrams >= 0 && probe->stage != STAGE_ECHO)
                reset_datagrams(probe);
        close_fd(probe->datagrams);
        close_fd(probe->timer_fd);
        close_fd(probe->poll_fd);
        free(probe);
        return NULL;
}

int probe_fd(const Probe *probe) {
        return probe->poll_fd;
}

static void look_at_answers(Probe *probe) {
        const ProbeOutcome *udp = &probe->report.answers[PROBE_UDP].outcome;

        look_at_datagrams(probe);
        for (ProbeForm form = PROBE_TCP; form < PROBE_UDP; form++)
                look_at_stream(probe, form);
        if (probe->datagrams >= 0 || probe->streams[PROBE_TCP] >= 0 || probe->streams[PROBE_MPTCP] >= 0) {
                const bool more = probe->datagrams >= 0 && probe->attempts < SYNS_MAX;

                wake_at(probe, more ? again_ms[probe->attempts] : ASK_MS);
                return;
        }
        if (*udp == PROBE_NOT_SENT || probe->target.only_udp) {
                probe->stage = STAGE_DONE;
                return;
        }
        probe->stage = STAGE_SIZE;
        probe->attempts = 0;
        if (*udp == PROBE_OPTION || *udp == PROBE_ANSWERED)
                try_size(probe, MIN_OF(probe->report.mtu, (uint32_t) SIZE_MAX_TRIED));
        else
                begin_echo(probe);
}

int probe_process(Probe *probe) {
        uint64_t expired;

        while (read(probe->timer_fd, &expired, sizeof(expired)) > 0)
                ;
        switch (probe->stage) {
        case STAGE_ASK:
                look_at_answers(probe);
                break;
        case STAGE_SIZE:
                look_at_size(probe);
                break;
        case STAGE_ECHO:
                look_at_echo(probe);
                break;
        case STAGE_DONE:
                break;
        }
        return probe->stage == STAGE_DONE;
}

const ProbeReport *probe_report(const Probe *probe) {
        return &probe->report;
}
