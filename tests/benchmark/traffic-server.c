/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The server: answers each connection as its request says. Room: see traffic.h. */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "traffic.h"

enum {
        EVENTS_MAX = 64,
};

static int listen_at(const Options *options) {
        struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(options->port) };
        int fd = traffic_socket(options), one = 1;

        if (fd < 0)
                return fd;
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
            bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, CONNECTIONS_MAX) < 0) {
                int r = -errno;

                close(fd);
                return r;
        }
        return fd;
}

static int accept_end(int epoll, int listener) {
        End *end = calloc(1, sizeof(*end));
        int r;

        if (!end)
                return -ENOMEM;
        end->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        end->receiving = true;
        r = end->fd < 0 ? -errno : end_watch(epoll, end, EPOLL_CTL_ADD);
        if (r < 0) {
                if (end->fd >= 0)
                        close(end->fd);
                free(end);
        }
        return r;
}

/* A single partner to echo with: nothing but read and write stands between its bytes. */
static int echo_alone(End *end) {
        char byte;
        ssize_t size;

        if (fcntl(end->fd, F_SETFL, 0) < 0)
                return -errno;
        while ((size = read(end->fd, &byte, 1)) > 0)
                if (write(end->fd, &byte, 1) < 0)
                        return -errno;
        return size < 0 ? -errno : 0;
}

/* Returns 1 while bytes of the request are missing. */
static int read_request(int epoll, End *end) {
        ssize_t size = read(end->fd, (char *) &end->request + end->request_bytes,
                            sizeof(end->request) - end->request_bytes);

        if (size <= 0)
                return size < 0 && errno == EAGAIN ? 1 : size < 0 ? -errno : -ECONNRESET;
        end->request_bytes += (size_t) size;
        if (end->request_bytes < sizeof(end->request))
                return 1;
        end->deadline_ns = clock_ns() + end->request.duration_ns;
        end->sending = end->request.task == TASK_DOWN || end->request.task == TASK_BOTH;
        end->echoing = end->request.task == TASK_ECHO;
        if (end->echoing && end->request.alone)
                return echo_alone(end);
        return end->sending ? end_watch(epoll, end, EPOLL_CTL_MOD) < 0 ? -errno : 1 : 1;
}

static void on_event(int epoll, End *end, uint32_t events) {
        bool was_receiving = end->receiving, was_sending = end->sending;
        int r;

        if (end->request_bytes < sizeof(end->request))
                r = read_request(epoll, end);
        else {
                r = end_step(end, events);
                if (r > 0 && (was_receiving != end->receiving || was_sending != end->sending))
                        r = end_watch(epoll, end, EPOLL_CTL_MOD) < 0 ? -errno : 1;
        }
        if (r > 0)
                return;
        /* A client that gave up says so itself. */
        if (r < 0)
                fprintf(stderr, "connection: %s\n", strerror(-r));
        close(end->fd);
        free(end);
}

static int watch_fixed(int epoll, int *fd) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = fd };

        return epoll_ctl(epoll, EPOLL_CTL_ADD, *fd, &event) < 0 ? -errno : 0;
}

int serve(const Options *options) {
        int epoll = epoll_create1(EPOLL_CLOEXEC), listener, input = STDIN_FILENO, r;
        uint64_t begin;

        if (epoll < 0)
                return -errno;
        listener = listen_at(options);
        if (listener < 0)
                return listener;
        r = watch_fixed(epoll, &listener);
        if (r >= 0)
                r = watch_fixed(epoll, &input);
        if (r < 0)
                return r;
        puts("ready");
        fflush(stdout);
        begin = cpu_ns();
        for (;;) {
                struct epoll_event events[EVENTS_MAX];
                int count = epoll_wait(epoll, events, EVENTS_MAX, -1);

                if (count < 0 && errno != EINTR)
                        return -errno;
                for (int i = 0; i < count; i++)
                        if (events[i].data.ptr == &input) {
                                printf("{\"cpu\": %.9f}\n", (double) (cpu_ns() - begin) / 1e9);
                                return 0;
                        } else if (events[i].data.ptr == &listener) {
                                r = accept_end(epoll, listener);
                                if (r < 0)
                                        return r;
                        } else
                                on_event(epoll, events[i].data.ptr, events[i].events);
        }
}
