/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The traffic generator of the benchmark: what client and server share. A connection begins with a request
 * of the client; then both sides send or echo until its time is over. Who has read everything closes, so a
 * client that has seen the end knows that every byte has arrived.
 *
 * Room: sockets and clocks. All functions return negative errno.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        CHUNK_SIZE = 128 * 1024,
        CONNECTIONS_MAX = 1024,
        PATIENCE_MS = 10000, /* nothing happens for so long: given up */
};

typedef enum Task {
        TASK_UP,   /* the client sends */
        TASK_DOWN, /* the server sends */
        TASK_BOTH,
        TASK_ECHO, /* one byte there, one byte back, and so on */
        _TASK_MAX,
} Task;

/* The first bytes of each connection; both sides run on one machine. */
typedef struct Request {
        uint32_t task;
        uint32_t alone; /* no other connection in this run: the server may block */
        uint64_t duration_ns;
} Request;

typedef struct Options {
        Task task;
        bool server;
        bool mptcp;
        const char *address;
        const char *interface;
        const char *congestion;
        unsigned connections;
        uint16_t port;
        uint64_t duration_ns;
} Options;

/* One side of a connection. */
typedef struct End {
        int fd;
        bool sending;
        bool receiving;
        bool echoing;
        size_t request_bytes; /* server: how much of the request has come */
        Request request;
        uint64_t deadline_ns;
        uint64_t bytes_sent;
        uint64_t bytes_received;
        uint64_t asked_ns; /* client that echoes: when the byte was sent */
} End;

typedef struct Times {
        uint32_t *values; /* nanoseconds */
        size_t count;
        size_t allocated;
} Times;

typedef struct Result {
        uint64_t bytes;
        uint64_t transactions;
        uint64_t duration_ns;
        uint64_t cpu_ns;
        uint32_t rtt_us;     /* smoothed, at the end of sending */
        uint32_t rtt_min_us;
        uint32_t retransmits;
        uint32_t subflows;   /* 0: no MPTCP */
        Times times;
} Result;

uint64_t clock_ns(void);

/* CPU time of this process. */
uint64_t cpu_ns(void);

/* A socket as the options want it. */
int traffic_socket(const Options *options);

/* Does what can be done now; 0 when both directions are over, 1 when not. */
int end_step(End *end, uint32_t events);

/* Waits for the same events from now on as the end needs. */
int end_watch(int epoll, End *end, int operation);

/* Serves until standard input is closed, then says how much CPU time that took. */
int serve(const Options *options);

/* Runs the client's side of a measurement. */
int run(const Options *options, Result *ret);
