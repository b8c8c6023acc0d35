/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The keepalive program: which sockets speak often enough for a NAT without their application's help. It
 * cannot be run on a packet, so it is attached to a cgroup of the test's own, in which a child makes
 * connections.
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "place.h"
#include "programs.h"

enum {
        SECONDS = 25,
        UNTOUCHED = 0,
        PATH_LENGTH = 512,
        WAIT_MS = 10000,
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
        passed = speaks(client, test->idle, test->interval) && speaks(server, test->idle, test->interval);
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

static bool run_child(struct bench *bench, const char *folder) {
        int status;
        pid_t child = fork();

        EXPECT(child >= 0);
        if (child == 0)
                _exit(enter(folder) && run_cases(bench) ? EXIT_PASSED : EXIT_FAILED);
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
                { "keepalive: which sockets speak", test_sockets },
        };
        char folder[PATH_LENGTH];

        if (find_tree(folder, sizeof(folder)) < 0) {
                printf("skip  keepalive: the tree of cgroups is not mounted\n");
                return 0;
        }
        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
