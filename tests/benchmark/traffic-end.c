/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One side of a connection, the same for client and server. Room: see traffic.h. */

#include <errno.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "traffic.h"

static char chunk[CHUNK_SIZE];

uint64_t clock_ns(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * 1000000000ULL + (uint64_t) now.tv_nsec;
}

uint64_t cpu_ns(void) {
        struct rusage usage;

        (void) getrusage(RUSAGE_SELF, &usage);
        return ((uint64_t) usage.ru_utime.tv_sec + (uint64_t) usage.ru_stime.tv_sec) * 1000000000ULL +
               ((uint64_t) usage.ru_utime.tv_usec + (uint64_t) usage.ru_stime.tv_usec) * 1000ULL;
}

static int end_receive(End *end) {
        ssize_t size = read(end->fd, chunk, sizeof(chunk));

        if (size < 0)
                return errno == EAGAIN ? 0 : -errno;
        if (size == 0) {
                end->receiving = false;
                return 0;
        }
        end->bytes_received += (uint64_t) size;
        if (!end->echoing)
                return 0;
        /* Single bytes always fit into the buffer of a socket that is answered byte by byte. */
        size = write(end->fd, chunk, (size_t) size);
        return size < 0 ? -errno : 0;
}

static int end_send(End *end) {
        ssize_t size;

        if (clock_ns() >= end->deadline_ns) {
                end->sending = false;
                return shutdown(end->fd, SHUT_WR) < 0 ? -errno : 0;
        }
        size = write(end->fd, chunk, sizeof(chunk));
        if (size < 0)
                return errno == EAGAIN ? 0 : -errno;
        end->bytes_sent += (uint64_t) size;
        return 0;
}

int end_step(End *end, uint32_t events) {
        int r = 0;

        if (end->receiving && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
                r = end_receive(end);
        if (r >= 0 && end->sending && (events & EPOLLOUT))
                r = end_send(end);
        if (r < 0)
                return r;
        return end->sending || end->receiving;
}

int end_watch(int epoll, End *end, int operation) {
        struct epoll_event event = {
                .events = (end->receiving ? (uint32_t) EPOLLIN : 0) |
                          (end->sending ? (uint32_t) EPOLLOUT : 0),
                .data.ptr = end,
        };

        return epoll_ctl(epoll, operation, end->fd, &event) < 0 ? -errno : 0;
}
