/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The keepalive program: which sockets speak often enough for a NAT without their application's help, and
 * how long their SYNs wait. It cannot be run on a packet, so it is attached to a cgroup of the test's own,
 * in which a child makes connections.
 *
 * Room: bench.h, place.h, one folder in the tree of cgroups.
 */

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "place.h"
#include "programs.h"

enum {
        SECONDS = 25,
        UNTOUCHED = 0,
        PATH_LENGTH = 512,
        WAIT_MS = 10000,
        WAITS_MAX = 30000, /* of a millisecond: a SYN goes again after a second */
};

/* How the connection is made, and what is known of it. */
enum family { FAMILY_IPV4, FAMILY_IPV6, FAMILY_MAPPED, FAMILY_COUNT };

struct keepalive_case {
        const char *name;
        uint8_t state;       /* of the flow; 0: there is none */
        uint16_t seconds;    /* of the link */
        bool no_link;
        bool elsewhere;      /* the programs were loaded in another network namespace */
        void (*prepare)(int socket);
        int idle;            /* of the client's socket afterwards; UNTOUCHED: no keepalive */
        int interval;
};

static void speaks_often(int socket) {
        int on = 1, seconds = 7;

        setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
        setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
        setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof(seconds));
}

static void speaks_seldom(int socket) {
        int on = 1, seconds = 600;

        setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
        setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
}

static void could_speak(int socket) {
        int seconds = 7;

        setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
}

static void speaks_as_often(int socket) {
        int on = 1, seconds = SECONDS, interval = 7;

        setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
        setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
        setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
}

static const struct keepalive_case cases[] = {
        { "tunnelled", UNDERPASS_FLOW_TUNNELLED, SECONDS, .idle = SECONDS, .interval = SECONDS },
        { "half-open", UNDERPASS_FLOW_HALF_OPEN, SECONDS, .idle = SECONDS, .interval = SECONDS },
        { "watched", UNDERPASS_FLOW_WATCHED, SECONDS, .idle = UNTOUCHED },
        { "none of ours", 0, SECONDS, .idle = UNTOUCHED },
        { "switched off", UNDERPASS_FLOW_TUNNELLED, 0, .idle = UNTOUCHED },
        { "its link is gone", UNDERPASS_FLOW_TUNNELLED, SECONDS, .no_link = true, .idle = UNTOUCHED },
        { "of another network namespace", UNDERPASS_FLOW_TUNNELLED, SECONDS, .elsewhere = true,
          .idle = UNTOUCHED },
        { "the application speaks more often", UNDERPASS_FLOW_TUNNELLED, SECONDS, .prepare = speaks_often,
          .idle = 7, .interval = 7 },
        { "the application speaks as often", UNDERPASS_FLOW_TUNNELLED, SECONDS, .prepare = speaks_as_often,
          .idle = SECONDS, .interval = 7 },
        { "the application speaks too seldom", UNDERPASS_FLOW_TUNNELLED, SECONDS, .prepare = speaks_seldom,
          .idle = SECONDS, .interval = SECONDS },
        { "it has set times, but not switched them on", UNDERPASS_FLOW_TUNNELLED, SECONDS,
          .prepare = could_speak, .idle = SECONDS, .interval = SECONDS },
};

static int option(int socket, int level, int name) {
        socklen_t length = sizeof(int);
        int value = -1;

        return getsockopt(socket, level, name, &value, &length) == 0 ? value : -errno;
}

static bool speaks(int socket, int idle, int interval) {
        EXPECT_EQUAL((unsigned) option(socket, SOL_SOCKET, SO_KEEPALIVE), idle != UNTOUCHED);
        if (idle == UNTOUCHED)
                return true;
        EXPECT_EQUAL((unsigned) option(socket, IPPROTO_TCP, TCP_KEEPIDLE), (unsigned) idle);
        EXPECT_EQUAL((unsigned) option(socket, IPPROTO_TCP, TCP_KEEPINTVL), (unsigned) interval);
        return true;
}

/* Both ends of the connection are sockets of this host, so both have a record. */
static bool put_flows(struct bench *bench, const struct keepalive_case *test, bool ipv6) {
        for (enum frame_side side = FRAME_LOCAL; test->state && side <= FRAME_REMOTE; side++) {
                struct frame_spec spec = { .ipv6 = ipv6, .from = side };
                struct underpass_flow_key key;
                struct underpass_flow flow;
                struct frame frame;

                frame_build(&spec, &frame);
                bench_flow_key(&frame, true, &key);
                bench_tunnelled(&flow);
                flow.state = test->state;
                EXPECT(bench_put_flow(test->state == UNDERPASS_FLOW_TUNNELLED ? bench->flows :
                                                                                bench->half_open,
                                      &key, &flow) == 0);
        }
        return true;
}

/* Whether the records of both ends know that they are those of sockets. */
static bool of_sockets(const struct bench *bench, const struct keepalive_case *test, bool ipv6) {
        for (enum frame_side side = FRAME_LOCAL; side <= FRAME_REMOTE; side++) {
                struct frame_spec spec = { .ipv6 = ipv6, .from = side };
                struct underpass_flow_key key;
                struct underpass_flow flow;
                struct frame frame;

                if (test->state != UNDERPASS_FLOW_TUNNELLED)
                        continue;
                frame_build(&spec, &frame);
                bench_flow_key(&frame, true, &key);
                EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
                EXPECT_EQUAL(flow.socket, test->elsewhere ? 0 : 1);
        }
        return true;
}

static bool prepare(struct bench *bench, const struct keepalive_case *test, bool ipv6) {
        struct underpass_loader loader = {};
        struct underpass_link link;
        __u32 zero = 0;

        EXPECT(bench_reset(bench) == 0);
        bench_default_link(&link);
        link.keepalive = test->seconds;
        EXPECT((test->no_link ? bench_remove_link(bench) : bench_set_link(bench, &link)) == 0);
        EXPECT_EQUAL((unsigned) -place_cookie(&loader.namespace_cookie), 0);
        loader.namespace_cookie += test->elsewhere;
        EXPECT(bpf_map_update_elem(bench->loader, &zero, &loader, BPF_ANY) == 0);
        return put_flows(bench, test, ipv6);
}

static bool run_case(struct bench *bench, const struct keepalive_case *test, enum family family) {
        bool ipv6 = family == FAMILY_IPV6, passed;
        int listener, client, server;
        struct pollfd waiting;

        EXPECT(prepare(bench, test, ipv6));
        listener = family == FAMILY_MAPPED ? place_listen_mapped(FRAME_REMOTE, FRAME_PORT_REMOTE) :
                                             place_listen(FRAME_REMOTE, ipv6, FRAME_PORT_REMOTE);
        EXPECT(listener >= 0);
        if (test->prepare)
                test->prepare(listener); /* what it accepts inherits that */
        EXPECT_EQUAL((unsigned) -place_connect(ipv6, FRAME_PORT_LOCAL, FRAME_PORT_REMOTE, test->prepare,
                                               &client), 0);
        waiting = (struct pollfd) { .fd = listener, .events = POLLIN };
        EXPECT_EQUAL((unsigned) poll(&waiting, 1, WAIT_MS), 1);
        server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        EXPECT(server >= 0);
        passed = speaks(client, test->idle, test->interval) && speaks(server, test->idle, test->interval) &&
                 of_sockets(bench, test, ipv6);
        place_abort(client);
        place_abort(server);
        close(listener);
        return passed;
}

static bool run_cases(struct bench *bench) {
        for (enum family family = 0; family < FAMILY_COUNT; family++) {
                if (family != FAMILY_IPV4 && !place_has_ipv6())
                        continue;
                for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                        if (run_case(bench, &cases[i], family))
                                continue;
                        fprintf(stderr, "keepalive, family %d: %s\n", (int) family, cases[i].name);
                        return false;
                }
        }
        return true;
}

/* Where the tree of cgroups is; -ENOENT when it is not mounted. */
static int find_tree(char *ret, size_t size) {
        FILE *mounts = setmntent("/proc/self/mounts", "re");
        struct mntent *mount;
        int r = -ENOENT;

        if (!mounts)
                return -errno;
        while (r < 0 && (mount = getmntent(mounts)))
                if (strcmp(mount->mnt_type, "cgroup2") == 0 &&
                    snprintf(ret, size, "%s/underpass-test-%d", mount->mnt_dir, (int) getpid()) < (int) size)
                        r = 0;
        endmntent(mounts);
        return r;
}

static bool enter(const char *folder) {
        char path[PATH_LENGTH + 16];
        int fd;
        bool entered;

        snprintf(path, sizeof(path), "%s/cgroup.procs", folder);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        EXPECT(fd >= 0);
        entered = write(fd, "0", 1) == 1;
        close(fd);
        EXPECT(entered);
        return true;
}

/* What is known of a path, and how long a SYN by it waits. */
struct patience_case {
        const char *name;
        unsigned link_us;        /* round trip of the link; 0: not measured */
        unsigned destination_us;
        unsigned opened_ago;     /* seconds since a handshake over UDP; 0: there was none */
        bool failed;             /* since then a connection has failed */
        uint16_t pause;          /* since then it was blocked for so many seconds, which are over */
        enum underpass_block_reason reason; /* of one or the other */
        bool blocked;
        bool stripped;           /* MPTCP options get lost there */
        bool unknown;            /* no socket has sent from this address yet */
        uint16_t port;           /* of the destination */
        bool mark;               /* the socket has 0x107 */
        bool no_tick;            /* a service of an earlier release does not say how long it is */
        void (*tweak)(struct underpass_link *link);
        unsigned wait_us;
        int more;                /* SYNs */
};

static void fallback(struct underpass_link *link) {
        link->flags |= UNDERPASS_LINK_FALLBACK;
}

static void no_fallback(struct underpass_link *link) {
        link->flags &= ~(__u32) UNDERPASS_LINK_FALLBACK;
}

static void on_demand(struct underpass_link *link) {
        link->flags |= UNDERPASS_LINK_FALLBACK | UNDERPASS_LINK_ON_DEMAND;
}

static void marked(struct underpass_link *link) {
        link->flags |= UNDERPASS_LINK_FALLBACK | UNDERPASS_LINK_FWMARK;
        link->mark = link->mark_mask = 7;
}

static void elsewhere(struct underpass_link *link) {
        link->flags |= UNDERPASS_LINK_FALLBACK;
        link->remote_addresses_count = 1;
        link->remote_addresses[0] = (struct underpass_prefix) { .address = { 1 }, .mask = { ~0U } };
}

static const struct patience_case patience_cases[] = {
        { "nothing is known", 0, 0, .tweak = fallback, .wait_us = 1000000 },
        { "of the link either", 5000, 0, .unknown = true, .tweak = fallback, .wait_us = 1000000 },
        { "a short link", 5000, 0, .tweak = fallback, .wait_us = 450000, .more = 2 },
        { "a long link", 200000, 0, .tweak = fallback, .wait_us = 600000, .more = 1 },
        { "a satellite", 600000, 0, .tweak = fallback, .wait_us = 1000000 },
        { "a near destination", 200000, 5000, .tweak = fallback, .wait_us = 250000, .more = 2 },
        { "a far destination", 5000, 150000, .tweak = fallback, .wait_us = 450000, .more = 2 },
        { "behind a satellite", 5000, 700000, .tweak = fallback, .wait_us = 1000000 },
        { "one that has a tunnel", 5000, 5000, .opened_ago = 60, .tweak = fallback, .wait_us = 1000000 },
        { "but it has failed since", 5000, 5000, .opened_ago = 60, .failed = true, .tweak = fallback,
          .wait_us = 250000, .more = 2 },
        { "one that has only been silent", 5000, 5000, .failed = true, .tweak = fallback,
          .wait_us = 200000, .more = 2 },
        { "a distant one that has only been silent", 5000, 80000, .failed = true, .tweak = fallback,
          .wait_us = 240000, .more = 2 },
        { "but somebody was refused", 5000, 5000, .opened_ago = 60, .failed = true,
          .reason = UNDERPASS_BLOCK_REFUSED, .tweak = fallback, .wait_us = 250000, .more = 2 },
        { "but a firewall has refused somebody", 5000, 5000, .opened_ago = 60, .failed = true,
          .reason = UNDERPASS_BLOCK_FILTERED, .tweak = fallback, .wait_us = 250000, .more = 2 },
        { "but it was blocked", 5000, 5000, .opened_ago = 60, .pause = 10, .tweak = fallback,
          .wait_us = 250000, .more = 2 },
        { "but it was blocked for refusals", 5000, 5000, .opened_ago = 60, .pause = 10,
          .reason = UNDERPASS_BLOCK_REFUSED, .tweak = fallback, .wait_us = 250000, .more = 2 },
        { "but it was blocked for a firewall", 5000, 5000, .opened_ago = 60, .pause = 10,
          .reason = UNDERPASS_BLOCK_FILTERED, .tweak = fallback, .wait_us = 250000, .more = 2 },
        { "one that was blocked, and has never had one", 5000, 5000, .pause = 10, .tweak = fallback,
          .wait_us = 200000, .more = 2 },
        { "one that has failed before it was measured", 5000, 0, .failed = true, .tweak = fallback,
          .wait_us = 450000, .more = 2 },
        { "it had one long ago", 5000, 5000, .opened_ago = 4000, .tweak = fallback, .wait_us = 250000,
          .more = 2 },
        { "plain from the first SYN", 5000, 5000, .blocked = true, .tweak = fallback, .wait_us = 1000000 },
        { "another port", 5000, 5000, .port = 444, .tweak = fallback, .wait_us = 1000000 },
        { "never plain", 5000, 5000, .tweak = no_fallback, .wait_us = 1000000 },
        { "on demand", 5000, 5000, .tweak = on_demand, .wait_us = 1000000 },
        { "on demand, where options get lost", 5000, 5000, .stripped = true, .tweak = on_demand,
          .wait_us = 250000, .more = 2 },
        { "another mark", 5000, 5000, .tweak = marked, .wait_us = 1000000 },
        { "its mark, among others", 5000, 5000, .mark = true, .tweak = marked, .wait_us = 250000,
          .more = 2 },
        { "another address", 5000, 5000, .tweak = elsewhere, .wait_us = 1000000 },
        { "nobody says how long a tick is", 5000, 5000, .no_tick = true, .tweak = fallback,
          .wait_us = 1000000 },
};

static bool know(struct bench *bench, const struct patience_case *test, bool ipv6) {
        const __u32 now = (__u32) (bench_now() / 1000000000);
        struct underpass_source source = { .via = BENCH_IFINDEX, .rtt_us = test->link_us };
        struct underpass_destination destination = {
                .rtt_us = test->destination_us,
                .opened = test->opened_ago ? bench_seconds_ago(test->opened_ago) : 0,
                .stripped_until_ns = test->stripped ? bench_now() + 60000000000ULL : 0,
        };
        struct frame_spec spec = { .ipv6 = ipv6, .source_port = FRAME_PORT_LOCAL, .dest_port = 443 };
        struct underpass_source_key here = {};
        struct underpass_flow_key key;
        struct frame frame;

        destination.blocks[test->reason] = (struct underpass_block) {
                .failed_ns = test->failed, .pause = test->pause, .until = test->blocked ? now + 60 : 0,
        };
        frame_build(&spec, &frame);
        bench_flow_key(&frame, true, &key);
        memcpy(here.local, key.local, sizeof(here.local));
        if (!test->unknown)
                EXPECT(bench_map_update(bench->sources, &here, &source) == 0);
        if (test->destination_us || test->failed)
                EXPECT(bench_put_destination(bench, &key, BENCH_IFINDEX, &destination) == 0);
        return true;
}

/* The flow of its SYN. */
static struct underpass_flow_key key_of_case(const struct patience_case *test, bool ipv6) {
        struct frame_spec spec = { .ipv6 = ipv6, .source_port = FRAME_PORT_LOCAL,
                                   .dest_port = test->port ? test->port : 443 };
        struct underpass_flow_key key;
        struct frame frame;

        frame_build(&spec, &frame);
        bench_flow_key(&frame, true, &key);
        return key;
}

/* The first SYN has left in the tunnel. */
static bool put_half_open(struct bench *bench, const struct patience_case *test, bool ipv6) {
        const struct underpass_flow_key key = key_of_case(test, ipv6);
        struct underpass_flow flow;

        bench_tunnelled(&flow);
        flow.state = UNDERPASS_FLOW_HALF_OPEN;
        return bench_put_flow(bench->half_open, &key, &flow) == 0;
}

static bool prepare_patience(struct bench *bench, const struct patience_case *test, bool ipv6) {
        struct underpass_loader loader = {};
        struct underpass_link link;
        struct timespec tick;
        __u32 zero = 0;

        EXPECT(bench_reset(bench) == 0);
        bench_default_link(&link);
        test->tweak(&link);
        EXPECT(bench_set_link(bench, &link) == 0);
        EXPECT(clock_getres(CLOCK_MONOTONIC_COARSE, &tick) == 0);
        loader.tick_us = test->no_tick ? 0 : (__u32) (tick.tv_nsec / 1000);
        EXPECT_EQUAL((unsigned) -place_cookie(&loader.namespace_cookie), 0);
        EXPECT(bpf_map_update_elem(bench->loader, &zero, &loader, BPF_ANY) == 0);
        return know(bench, test, ipv6) && put_half_open(bench, test, ipv6);
}

static void at_once(int socket) {
        fcntl(socket, F_SETFL, O_NONBLOCK);
}

static void at_once_marked(int socket) {
        const int mark = 0x107;

        at_once(socket);
        setsockopt(socket, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
}

static bool look_at(int socket, bool sent_again, struct tcp_info *ret) {
        for (unsigned waits = 0; waits < WAITS_MAX; waits++) {
                socklen_t length = sizeof(*ret);

                EXPECT(getsockopt(socket, IPPROTO_TCP, TCP_INFO, ret, &length) == 0);
                if (!sent_again || ret->tcpi_retransmits != 0)
                        return true;
                poll(NULL, 0, 1);
        }
        return false;
}

/* A listener whose queue is full does not answer, so the socket is found waiting, for the first time or for
 * the second. *ret_more: how many SYNs more than usual it is to send. */
static bool find_waiting(struct bench *bench, const struct patience_case *test, bool ipv6, bool sent_again,
                         struct tcp_info *ret_info, int *ret_more) {
        const uint16_t port = test->port ? test->port : 443;
        int listener = place_listen(FRAME_REMOTE, ipv6, port), waits, queued, client, before;

        EXPECT(listener >= 0);
        before = option(listener, IPPROTO_TCP, TCP_SYNCNT);
        EXPECT(listen(listener, 0) == 0);
        EXPECT(bench_reset(bench) == 0);
        EXPECT_EQUAL((unsigned) -place_connect(ipv6, FRAME_PORT_LOCAL + 1, port, NULL, &queued), 0);
        EXPECT(prepare_patience(bench, test, ipv6));
        client = place_open(ipv6, FRAME_PORT_LOCAL, port, test->mark ? at_once_marked : at_once, &waits);
        EXPECT_EQUAL((unsigned) client, (unsigned) -EINPROGRESS);
        EXPECT(look_at(waits, sent_again, ret_info));
        *ret_more = option(waits, IPPROTO_TCP, TCP_SYNCNT) - before;
        place_abort(waits);
        place_abort(queued);
        close(listener);
        return true;
}

/* A SYN that waits is known to be of a socket. */
static bool is_of_socket(const struct bench *bench, const struct patience_case *test, bool ipv6) {
        const struct underpass_flow_key key = key_of_case(test, ipv6);
        struct underpass_flow flow;

        EXPECT(bench_get_flow(bench->half_open, &key, &flow) == 0);
        EXPECT_EQUAL(flow.socket, 1);
        return true;
}

/* On a busy machine the socket may have waited before it is looked at: then another one is made. */
static bool run_patience(struct bench *bench, const struct patience_case *test, bool ipv6) {
        struct tcp_info info = {};
        __u64 begin;
        int more;

        do {
                begin = bench_now();
                EXPECT(find_waiting(bench, test, ipv6, false, &info, &more));
        } while (bench_now() - begin > test->wait_us * 1000ULL);
        EXPECT_EQUAL(info.tcpi_state, TCP_SYN_SENT);
        EXPECT(info.tcpi_rto <= test->wait_us && info.tcpi_rto + 20000 > test->wait_us);
        EXPECT_EQUAL((unsigned) more, (unsigned) test->more);
        return is_of_socket(bench, test, ipv6);
}

/* The kernel asks for the wait again with each SYN: those that come on top are added once. */
static bool run_second_wait(struct bench *bench) {
        const struct patience_case test = { .link_us = 5000, .destination_us = 5000, .tweak = fallback };
        struct tcp_info info = {};
        int more;

        EXPECT(find_waiting(bench, &test, false, true, &info, &more));
        EXPECT_EQUAL(info.tcpi_state, TCP_SYN_SENT);
        EXPECT_EQUAL((unsigned) more, 2);
        return true;
}

static bool run_patience_cases(struct bench *bench) {
        for (size_t i = 0; i < 2 * sizeof(patience_cases) / sizeof(patience_cases[0]); i++) {
                const struct patience_case *test = &patience_cases[i / 2];

                if (((i & 1) && !place_has_ipv6()) || run_patience(bench, test, i & 1))
                        continue;
                fprintf(stderr, "patience, IPv%d: %s\n", i & 1 ? 6 : 4, test->name);
                return false;
        }
        return true;
}

/* What a connection teaches: the longest round trip stays, and shorter ones bring it down slowly. */
static bool run_lessons(struct bench *bench) {
        const struct patience_case nothing = { .tweak = fallback, .destination_us = 800000 };
        struct underpass_source_key here = {}, there = {};
        struct underpass_destination known;
        struct underpass_source source = { .via = BENCH_IFINDEX };
        struct underpass_flow_key key;
        struct frame_spec spec = { .source_port = FRAME_PORT_LOCAL, .dest_port = 443 };
        struct frame frame;
        int listener = place_listen(FRAME_REMOTE, false, 443), client;
        struct pollfd waiting = { .fd = listener, .events = POLLIN };
        struct tcp_info info;
        __u64 begin, took_us;

        EXPECT(listener >= 0);
        EXPECT(prepare_patience(bench, &nothing, false));
        frame_build(&spec, &frame);
        bench_flow_key(&frame, true, &key);
        memcpy(there.local, key.remote, sizeof(there.local));
        EXPECT(bench_map_update(bench->sources, &there, &source) == 0);
        begin = bench_now();
        EXPECT_EQUAL((unsigned) -place_connect(false, FRAME_PORT_LOCAL, 443, NULL, &client), 0);
        took_us = (bench_now() - begin) / 1000;
        bench_get_destination(bench, &key, BENCH_IFINDEX, &known);
        EXPECT(known.rtt_us >= 700000 && known.rtt_us < 702000 + took_us / 8);
        memcpy(here.local, key.local, sizeof(here.local));
        EXPECT(bench_map_lookup(bench->sources, &here, &source) == 0);
        EXPECT(source.rtt_us > 0 && source.rtt_us < 16000 + took_us);
        EXPECT(look_at(client, false, &info));
        EXPECT_EQUAL(source.rtt_us, info.tcpi_rtt);
        /* The server's end knows nothing of how long a SYN of its own would take. */
        EXPECT_EQUAL((unsigned) poll(&waiting, 1, WAIT_MS), 1);
        EXPECT(bench_map_lookup(bench->sources, &there, &source) == 0);
        EXPECT_EQUAL(source.rtt_us, 0);
        place_abort(client);
        close(listener);
        return true;
}

static bool run_child(struct bench *bench, const char *folder) {
        int status;
        pid_t child = fork();

        EXPECT(child >= 0);
        if (child == 0)
                _exit(enter(folder) && run_cases(bench) && run_patience_cases(bench) &&
                                      run_second_wait(bench) && run_lessons(bench) ?
                              EXIT_PASSED :
                              EXIT_FAILED);
        EXPECT(waitpid(child, &status, 0) == child);
        EXPECT(WIFEXITED(status));
        EXPECT_EQUAL(WEXITSTATUS(status), EXIT_PASSED);
        return true;
}

static bool test_sockets(void *context) {
        struct bench *bench = context;
        char folder[PATH_LENGTH];
        bool passed;
        int fd, r;

        EXPECT(find_tree(folder, sizeof(folder)) == 0);
        EXPECT(mkdir(folder, 0700) == 0);
        fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = fd < 0 ? -errno : bpf_prog_attach(bench->keepalive, fd, BPF_CGROUP_SOCK_OPS, 0);
        passed = r == 0 && run_child(bench, folder);
        close(fd);
        rmdir(folder); /* takes the program along */
        EXPECT_EQUAL((unsigned) -r, 0);
        return passed;
}

int programs_keepalive(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "keepalive and patience: which sockets speak, and how long a SYN waits", test_sockets },
        };
        char folder[PATH_LENGTH];

        if (find_tree(folder, sizeof(folder)) < 0) {
                printf("skip  keepalive: the tree of cgroups is not mounted\n");
                return 0;
        }
        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
