/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See rate.h. */

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include <linux/sock_diag.h>
#include <linux/tcp.h>

#include "base/clock.h"
#include "kernel/rate.h"
#include "plan/form-stream.h"
#include "plan/probe-form.h"

#define NS_PER_US 1000
#define NS_PER_MS 1000000
#define US_PER_MS UINT64_C(1000)

enum {
        TICK_MS = 10,            /* looks at the clock */
        READS_AT_A_TIME = 32,    /* datagrams before they are acknowledged */
        UNSENT_MAX = 128 * 1024, /* bytes that wait in the socket; what is there is no use */
        BUFFER_WANTED = 4 << 20,
        PIECE = 64 * 1024,
        DRAIN_MS = 300,          /* for what is on its way when the time is over */
        MTU_UNKNOWN = 1280,
        HEADERS_IPV4 = 40,       /* of IP and TCP */
        HEADERS_IPV6 = 60,
        OPTIONS_ROOM = 40,       /* timestamps, and blocks of SACK, may stand beside data */
        MSS_MAX = FORM_STREAM_DATAGRAM - 200,
};

struct Rate {
        RateTarget target;
        char *request;
        RateReport report;
        RateMeter meter;
        RateForm form;           /* that is measured now; _RATE_FORM_MAX: all are done */
        int poll_fd;
        int timer_fd;
        int fd;                  /* of the form */
        uint64_t begun_us;
        uint64_t over_us;        /* no new data since then; 0: not yet */
        uint64_t queued;         /* RATE_PLAIN: bytes given to the socket */
        char head[FORM_STREAM_HEAD]; /* RATE_PLAIN: first bytes that came */
        size_t head_length;
        FormStream *stream;      /* RATE_UDP */
        size_t pending;          /* RATE_UDP: bytes in buffer that the socket did not take */
        uint8_t buffer[FORM_STREAM_DATAGRAM];
        uint8_t piece[PIECE];
};

static uint64_t now_us(void) {
        return clock_monotonic_ns() / NS_PER_US;
}

static RateFigure *figure_of(Rate *rate) {
        return &rate->report.figures[rate->form];
}

/* Bytes of data in a segment that needs no fragments. */
static uint16_t segment_size(const RateTarget *target) {
        const uint32_t headers = (address_is_ipv4(&target->probe.remote) ? HEADERS_IPV4 : HEADERS_IPV6) +
                                 OPTIONS_ROOM;
        const uint32_t mtu = target->mtu > headers ? target->mtu : MTU_UNKNOWN;

        return (uint16_t) MIN_OF(mtu - headers, (uint32_t) MSS_MAX);
}

/* As large as this user may have it: what does not fit is lost. */
static void enlarge_buffer(int fd) {
        const int size = BUFFER_WANTED;

        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
                (void) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

static int open_plain(Rate *rate) {
        _cleanup_(close_fdp) int udp = -EBADF, fd = -EBADF;
        const int unsent = UNSENT_MAX;
        Address local;

        udp = probe_socket_udp(&rate->target.probe, &local);
        if (udp < 0)
                return udp;
        fd = probe_socket_connect(&rate->target.probe, &local, false);
        if (fd >= 0)
                (void) setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
        return TAKE_FD(fd);
}

static int open_udp(Rate *rate) {
        _cleanup_(close_fdp) int fd = probe_socket_udp(&rate->target.probe, NULL);
        uint32_t sequence;
        int r;

        if (fd < 0)
                return fd;
        if (getrandom(&sequence, sizeof(sequence), 0) < 0)
                return -errno;
        enlarge_buffer(fd);
        r = form_stream_new(&rate->stream, sequence, segment_size(&rate->target), rate->request,
                            rate->target.download ? strlen(rate->request) : RATE_BYTES_MAX);
        return r < 0 ? r : TAKE_FD(fd);
}

static void begin(Rate *rate) {
        struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET };

        for (; rate->form < _RATE_FORM_MAX; rate->form++) {
                if (!rate->target.asked[rate->form])
                        continue;
                rate->meter = (RateMeter) {};
                rate->over_us = rate->queued = 0;
                rate->pending = 0;
                rate->begun_us = now_us();
                rate->fd = rate->form == RATE_PLAIN ? open_plain(rate) : open_udp(rate);
                if (rate->fd >= 0 && epoll_ctl(rate->poll_fd, EPOLL_CTL_ADD, rate->fd, &event) == 0)
                        return;
                figure_of(rate)->outcome = RATE_NO_CONNECTION;
                rate->fd = close_fd(rate->fd);
        }
}

/* Of the kernel's connection: how much the peer has, and what it took for that. */
static void look_at_plain(Rate *rate) {
        struct tcp_info info = {};
        socklen_t length = sizeof(info);

        if (getsockopt(rate->fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
                return;
        figure_of(rate)->volume = info.tcpi_bytes_sent + info.tcpi_bytes_received;
        figure_of(rate)->window_full = info.tcpi_unacked == 0 && info.tcpi_notsent_bytes > 0;
        /* The kernel counts our SYN as an acknowledged byte. */
        rate_meter(&rate->meter,
                   rate->target.download       ? info.tcpi_bytes_received :
                   info.tcpi_bytes_acked > 0 ? info.tcpi_bytes_acked - 1 :
                                                 0,
                   now_us());
}

/* Reads and forgets; the first bytes are kept. False: the peer has ended it. */
static bool receive_plain(Rate *rate) {
        const bool first = rate->head_length < sizeof(rate->head);
        ssize_t length = recv(rate->fd, first ? (void *) (rate->head + rate->head_length) : rate->piece,
                              first ? sizeof(rate->head) - rate->head_length : sizeof(rate->piece),
                              MSG_DONTWAIT | (first ? 0 : MSG_TRUNC));

        if (length > 0 && first)
                rate->head_length += (size_t) length;
        if (length > 0)
                return true;
        figure_of(rate)->ended = length == 0 || errno != EAGAIN;
        return false;
}

/* False: the socket takes no more now, or everything is sent. */
static bool send_plain(Rate *rate) {
        const size_t request = strlen(rate->request);
        const uint64_t total = rate->target.download ? request : RATE_BYTES_MAX;
        const bool first = rate->queued < request;
        ssize_t length;

        if (rate->queued >= total)
                return false;
        length = send(rate->fd, first ? (const void *) (rate->request + rate->queued) : rate->piece,
                      first ? request - rate->queued : MIN_OF(sizeof(rate->piece), total - rate->queued),
                      MSG_DONTWAIT | MSG_NOSIGNAL);
        if (length < 0) {
                figure_of(rate)->ended = errno != EAGAIN;
                return false;
        }
        rate->queued += (uint64_t) length;
        return true;
}

/* True: it has ended. */
static bool work_plain(Rate *rate) {
        RateFigure *figure = figure_of(rate);
        ProbeAnswer answer = {};
        ProbeStream stream;

        if (rate->meter.begin_us == 0) {
                if (!probe_socket_connected(rate->fd, &rate->target.probe, false, &answer, &stream))
                        return now_us() >= rate->begun_us + RATE_CONNECT_MS * US_PER_MS;
                if (answer.outcome != PROBE_ANSWERED)
                        return true;
                rate_meter(&rate->meter, 0, now_us());
        }
        while (!rate_is_over(&rate->meter, figure->volume, now_us())) {
                const bool sent = send_plain(rate), received = receive_plain(rate);

                look_at_plain(rate);
                if (figure->ended || (!sent && !received))
                        break;
        }
        return figure->ended || rate_is_over(&rate->meter, figure->volume, now_us());
}

/* Datagrams of which the socket had too many. */
static uint32_t count_lost(int fd) {
        uint32_t info[SK_MEMINFO_VARS] = {};
        socklen_t length = sizeof(info);

        return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &length) < 0 ? 0 : info[SK_MEMINFO_DROPS];
}

/* Takes some of what has come; false: there is no more. */
static bool receive_udp(Rate *rate) {
        for (unsigned i = 0; i < READS_AT_A_TIME; i++) {
                const ssize_t length = recv(rate->fd, rate->piece, sizeof(rate->piece), MSG_DONTWAIT);

                if (length < 0 && errno == EAGAIN)
                        return false;
                if (length < 0 && errno == ECONNREFUSED)
                        form_stream_refused(rate->stream);
                if (length > 0)
                        form_stream_take(rate->stream, rate->piece, (size_t) length, now_us());
        }
        return true;
}

static void send_udp(Rate *rate) {
        for (;;) {
                if (rate->pending == 0)
                        rate->pending = form_stream_next(rate->stream, rate->buffer, now_us());
                if (rate->pending == 0)
                        return;
                if (send(rate->fd, rate->buffer, rate->pending, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
                        if (errno == EAGAIN || errno == ENOBUFS)
                                return;
                        if (errno == ECONNREFUSED) /* the answer to something before */
                                form_stream_refused(rate->stream);
                }
                rate->pending = 0;
        }
}

static void look_at_udp(Rate *rate) {
        const FormStreamFacts *facts = form_stream_facts(rate->stream);
        RateFigure *figure = figure_of(rate);

        figure->volume = facts->volume;
        figure->window_full = facts->window_full;
        figure->ended = facts->closed && facts->open;
        if (facts->open)
                rate_meter(&rate->meter, rate->target.download ? facts->received : facts->acknowledged,
                           now_us());
        if (facts->closed || rate_is_over(&rate->meter, figure->volume, now_us()) ||
            (!facts->open && now_us() >= rate->begun_us + RATE_CONNECT_MS * US_PER_MS))
                rate->over_us = now_us();
}

/* True: it has ended. What is on its way gets some time, and then the peer is told. */
static bool work_udp(Rate *rate) {
        const FormStreamFacts *facts = form_stream_facts(rate->stream);
        bool more = true;

        while (more && !facts->gone) {
                more = receive_udp(rate);
                send_udp(rate);
                if (rate->over_us == 0)
                        look_at_udp(rate);
                if (rate->over_us == 0)
                        continue;
                if (facts->closed || !facts->open || form_stream_stop(rate->stream) ||
                    now_us() >= rate->over_us + DRAIN_MS * US_PER_MS)
                        form_stream_end(rate->stream);
        }
        return facts->gone;
}

/* Ends the connection of the form, if there is one. */
static void end(Rate *rate) {
        if (rate->form == RATE_PLAIN)
                rate->fd = probe_socket_abort(rate->fd);
        if (rate->stream && rate->fd >= 0) {
                form_stream_end(rate->stream);
                send_udp(rate);
        }
        rate->fd = close_fd(rate->fd);
        rate->stream = form_stream_free(rate->stream);
}

static void conclude(Rate *rate) {
        RateFigure *figure = figure_of(rate);

        rate_conclude(figure, &rate->meter, rate->over_us ? rate->over_us : now_us());
        if (rate->form == RATE_UDP) {
                const FormStreamFacts *facts = form_stream_facts(rate->stream);

                figure->lost_here = count_lost(rate->fd);
                figure->status = rate_http_status(facts->head, facts->head_length);
        } else {
                figure->status = rate_http_status(rate->head, rate->head_length);
        }
}

int rate_new(Rate **ret, const RateTarget *target) {
        const struct itimerspec tick = {
                .it_value.tv_nsec = TICK_MS * NS_PER_MS,
                .it_interval.tv_nsec = TICK_MS * NS_PER_MS,
        };
        _cleanup_(rate_freep) Rate *rate = calloc(1, sizeof(*rate));
        struct epoll_event event = { .events = EPOLLIN };

        if (!rate)
                return -ENOMEM;
        rate->target = *target;
        rate->fd = -EBADF;
        rate->request = strdup(target->request);
        rate->poll_fd = epoll_create1(EPOLL_CLOEXEC);
        rate->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (!rate->request)
                return -ENOMEM;
        if (rate->poll_fd < 0 || rate->timer_fd < 0 ||
            epoll_ctl(rate->poll_fd, EPOLL_CTL_ADD, rate->timer_fd, &event) < 0 ||
            timerfd_settime(rate->timer_fd, 0, &tick, NULL) < 0)
                return -errno;
        begin(rate);
        *ret = TAKE_PTR(rate);
        return 0;
}

Rate *rate_free(Rate *rate) {
        if (!rate)
                return NULL;
        end(rate);
        close_fd(rate->timer_fd);
        close_fd(rate->poll_fd);
        free(rate->request);
        free(rate);
        return NULL;
}

void rate_stop(Rate *rate) {
        if (rate->form == RATE_UDP) {
                rate->over_us = rate->over_us ? rate->over_us : now_us();
                form_stream_end(rate->stream);
                return;
        }
        end(rate);
        rate->form = _RATE_FORM_MAX;
}

int rate_fd(const Rate *rate) {
        return rate->poll_fd;
}

bool rate_process(Rate *rate) {
        uint64_t expired;

        while (read(rate->timer_fd, &expired, sizeof(expired)) > 0)
                ;
        if (rate->form == _RATE_FORM_MAX)
                return true;
        if (!(rate->form == RATE_PLAIN ? work_plain(rate) : work_udp(rate)))
                return false;
        conclude(rate);
        end(rate);
        rate->form++;
        begin(rate);
        return rate->form == _RATE_FORM_MAX;
}

const RateReport *rate_report(const Rate *rate) {
        return &rate->report;
}
