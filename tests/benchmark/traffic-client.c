/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The client: opens the connections, keeps them busy and measures. Room: see traffic.h. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mptcp.h>
#include <linux/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "traffic.h"

enum {
        LAYER_TCP = 6,
        LAYER_MPTCP = 284, /* SOL_MPTCP, which older headers of libc do not have */
        EVENTS_MAX = 64,
};

static int connect_end(const Options *options, End *end) {
        struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(options->port) };
        char mapped[INET6_ADDRSTRLEN + 8] = "::ffff:";
        size_t at = sizeof("::ffff:") - 1;

        /* IPv4 by way of an IPv6 socket: the same code for both. */
        for (size_t i = 0; options->address[i] && at < sizeof(mapped) - 1; i++)
                mapped[at++] = options->address[i];
        if (inet_pton(AF_INET6, options->address, &six.sin6_addr) != 1 &&
            inet_pton(AF_INET6, mapped, &six.sin6_addr) != 1)
                return -EINVAL;
        end->fd = traffic_socket(options);
        if (end->fd < 0)
                return end->fd;
        return connect(end->fd, (struct sockaddr *) &six, sizeof(six)) < 0 ? -errno : 0;
}

static int add_time(Times *times, uint64_t duration_ns) {
        if (times->count == times->allocated) {
                size_t wanted = times->allocated ? times->allocated * 2 : 65536;
                uint32_t *values = realloc(times->values, wanted * sizeof(*values));

                if (!values)
                        return -ENOMEM;
                times->values = values;
                times->allocated = wanted;
        }
        times->values[times->count++] = (uint32_t) (duration_ns > UINT32_MAX ? UINT32_MAX : duration_ns);
        return 0;
}

/* One answer has come, or is waited for on a blocking socket: notes the time and asks again. */
static int echo_step(End *end, Result *result) {
        char byte = 'u';
        ssize_t size = 0;
        int r;

        if (end->asked_ns > 0) {
                uint64_t now;

                size = read(end->fd, &byte, 1);
                if (size <= 0)
                        return size < 0 && errno == EAGAIN ? 1 : size < 0 ? -errno : -ECONNRESET;
                now = clock_ns();
                r = add_time(&result->times, now - end->asked_ns);
                if (r < 0)
                        return r;
                result->transactions++;
                if (now >= end->deadline_ns)
                        return 0;
        }
        end->asked_ns = clock_ns();
        size = write(end->fd, &byte, 1);
        return size < 0 ? -errno : 1;
}

/* What the kernel knows of the first connection. */
static void ask_kernel(int fd, Result *result) {
        struct tcp_info tcp = {};
        struct mptcp_info mptcp = {};
        socklen_t size = sizeof(tcp);

        if (getsockopt(fd, LAYER_TCP, TCP_INFO, &tcp, &size) >= 0) {
                result->rtt_us = tcp.tcpi_rtt;
                result->rtt_min_us = tcp.tcpi_min_rtt;
                result->retransmits = tcp.tcpi_total_retrans;
        }
        size = sizeof(mptcp);
        if (getsockopt(fd, LAYER_MPTCP, MPTCP_INFO, &mptcp, &size) >= 0)
                result->subflows = mptcp.mptcpi_subflows + 1U;
}

static int step(const Options *options, int epoll, End *end, uint32_t events, Result *result) {
        bool was_sending = end->sending;
        int r;

        if (options->task == TASK_ECHO)
                return echo_step(end, result);
        r = end_step(end, events);
        if (was_sending && !end->sending) {
                if (result->rtt_us == 0)
                        ask_kernel(end->fd, result);
                if (r > 0 && end_watch(epoll, end, EPOLL_CTL_MOD) < 0)
                        return -EIO;
        }
        return r;
}

/* Until every end is done. */
static int keep_busy(const Options *options, int epoll, Result *result) {
        for (unsigned left = options->connections; left > 0;) {
                struct epoll_event events[EVENTS_MAX];
                int count = epoll_wait(epoll, events, EVENTS_MAX, PATIENCE_MS);

                if (count <= 0)
                        return count < 0 ? -errno : -ETIMEDOUT;
                for (int i = 0; i < count; i++) {
                        End *end = events[i].data.ptr;
                        int r = step(options, epoll, end, events[i].events, result);

                        if (r < 0)
                                return r;
                        if (r > 0)
                                continue;
                        if (result->subflows == 0)
                                ask_kernel(end->fd, result);
                        result->bytes += end->bytes_sent + end->bytes_received;
                        close(end->fd);
                        left--;
                }
        }
        return 0;
}

static int begin(const Options *options, int epoll, End *end, Result *result) {
        Request request = {
                .task = options->task,
                .alone = options->connections == 1,
                .duration_ns = options->duration_ns,
        };
        int r;

        if (write(end->fd, &request, sizeof(request)) != sizeof(request))
                return -EIO;
        end->deadline_ns = clock_ns() + options->duration_ns;
        end->receiving = true;
        end->sending = options->task == TASK_UP || options->task == TASK_BOTH;
        if (options->task == TASK_ECHO) {
                r = echo_step(end, result);
                if (r < 0)
                        return r;
                if (request.alone)
                        return 0;
        }
        if (fcntl(end->fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        return end_watch(epoll, end, EPOLL_CTL_ADD);
}

static int transfer(const Options *options, End *ends, Result *result) {
        int epoll = epoll_create1(EPOLL_CLOEXEC), r = 0;
        uint64_t began, cpu_began;

        if (epoll < 0)
                return -errno;
        for (unsigned i = 0; i < options->connections && r >= 0; i++)
                r = connect_end(options, &ends[i]);
        began = clock_ns();
        cpu_began = cpu_ns();
        for (unsigned i = 0; i < options->connections && r >= 0; i++)
                r = begin(options, epoll, &ends[i], result);
        if (r >= 0 && options->task == TASK_ECHO && options->connections == 1)
                do
                        r = echo_step(&ends[0], result);
                while (r > 0);
        else if (r >= 0)
                r = keep_busy(options, epoll, result);
        result->duration_ns = clock_ns() - began;
        result->cpu_ns = cpu_ns() - cpu_began;
        close(epoll);
        return r;
}

int run(const Options *options, Result *ret) {
        End *ends = calloc(options->connections, sizeof(*ends));
        Result result = {};
        int r;

        if (!ends)
                return -ENOMEM;
        r = transfer(options, ends, &result);
        free(ends);
        if (r < 0) {
                free(result.times.values);
                return r;
        }
        *ret = result;
        return 0;
}
