/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The traffic generator of the benchmark: options and the result as JSON. The rest: traffic.h.
 *
 * Room: its own standard output, sockets.
 */

#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "traffic.h"

enum {
        PROTOCOL_MPTCP = 262, /* IPPROTO_MPTCP, which older headers of libc do not have */
};

static const char *const task_names[_TASK_MAX] = {
        [TASK_UP] = "up",
        [TASK_DOWN] = "down",
        [TASK_BOTH] = "both",
        [TASK_ECHO] = "echo",
};

static const char usage[] =
        "usage: traffic [OPTION…] serve PORT\n"
        "       traffic [OPTION…] up|down|both|echo ADDRESS PORT SECONDS\n\n"
        "serve says \"ready\", serves until its standard input is closed, and then says how much CPU time\n"
        "that took. The others move data for SECONDS and print what they measured, both as JSON.\n\n"
        "  --connections=N     that many connections at a time (1)\n"
        "  --congestion=NAME   congestion control of the sockets\n"
        "  --cpu=N             stay on this CPU\n"
        "  --interface=NAME    leave by this interface\n"
        "  --mptcp             MPTCP instead of TCP\n"
        "  --help              this text\n";

int traffic_socket(const Options *options) {
        int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, options->mptcp ? PROTOCOL_MPTCP : IPPROTO_TCP);
        int one = 1, zero = 0, r = 0;

        if (fd < 0)
                return -errno;
        if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero)) < 0 ||
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
                r = -errno;
        if (r >= 0 && options->congestion &&
            setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, options->congestion,
                       (socklen_t) strlen(options->congestion)) < 0)
                r = -errno;
        if (r >= 0 && options->interface &&
            setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, options->interface,
                       (socklen_t) strlen(options->interface)) < 0)
                r = -errno;
        if (r >= 0)
                return fd;
        close(fd);
        return r;
}

static int stay_on_cpu(const char *text) {
        cpu_set_t set;

        CPU_ZERO(&set);
        CPU_SET((size_t) atoi(text), &set);
        return sched_setaffinity(0, sizeof(set), &set) < 0 ? -errno : 0;
}

/* Returns 1 when there is nothing more to do. */
static int parse_options(int argc, char **argv, Options *options) {
        static const struct option names[] = {
                { "connections", required_argument, NULL, 'n' },
                { "congestion",  required_argument, NULL, 'c' },
                { "cpu",         required_argument, NULL, 'p' },
                { "interface",   required_argument, NULL, 'i' },
                { "mptcp",       no_argument,       NULL, 'm' },
                { "help",        no_argument,       NULL, 'h' },
                {},
        };
        int option, r = 0;

        while (r >= 0 && (option = getopt_long(argc, argv, "h", names, NULL)) >= 0)
                switch (option) {
                case 'n':
                        options->connections = (unsigned) strtoul(optarg, NULL, 10);
                        if (options->connections < 1 || options->connections > CONNECTIONS_MAX)
                                r = -ERANGE;
                        break;
                case 'c':
                        options->congestion = optarg;
                        break;
                case 'p':
                        r = stay_on_cpu(optarg);
                        break;
                case 'i':
                        options->interface = optarg;
                        break;
                case 'm':
                        options->mptcp = true;
                        break;
                case 'h':
                        fputs(usage, stdout);
                        return 1;
                default:
                        r = -EINVAL;
                }
        return r;
}

static int parse_arguments(int count, char **words, Options *options) {
        if (count == 2 && strcmp(words[0], "serve") == 0) {
                options->server = true;
                options->port = (uint16_t) atoi(words[1]);
                return 0;
        }
        for (Task task = 0; count == 4 && task < _TASK_MAX; task++)
                if (strcmp(words[0], task_names[task]) == 0) {
                        options->task = task;
                        options->address = words[1];
                        options->port = (uint16_t) atoi(words[2]);
                        options->duration_ns = (uint64_t) (atof(words[3]) * 1e9);
                        return 0;
                }
        return -EINVAL;
}

static int compare_times(const void *a, const void *b) {
        uint32_t left = *(const uint32_t *) a, right = *(const uint32_t *) b;

        return (left > right) - (left < right);
}

static double percentile_us(const Times *times, unsigned percent) {
        return times->count ? times->values[(times->count - 1) * percent / 100] / 1e3 : 0;
}

static void print_result(Result *result) {
        if (result->times.count > 0)
                qsort(result->times.values, result->times.count, sizeof(*result->times.values),
                      compare_times);
        printf("{\"bytes\": %llu, \"seconds\": %.9f, \"cpu\": %.9f, \"rtt_us\": %u, \"rtt_min_us\": %u, "
               "\"retransmits\": %u, \"subflows\": %u, \"transactions\": %llu, \"p50_us\": %.3f, "
               "\"p99_us\": %.3f}\n",
               (unsigned long long) result->bytes, (double) result->duration_ns / 1e9,
               (double) result->cpu_ns / 1e9, result->rtt_us, result->rtt_min_us, result->retransmits,
               result->subflows, (unsigned long long) result->transactions,
               percentile_us(&result->times, 50), percentile_us(&result->times, 99));
}

int main(int argc, char **argv) {
        Options options = { .connections = 1 };
        Result result = {};
        int r;

        r = parse_options(argc, argv, &options);
        if (r > 0)
                return EXIT_SUCCESS;
        if (r >= 0)
                r = parse_arguments(argc - optind, argv + optind, &options);
        if (r < 0) {
                fputs(usage, stderr);
                return 2;
        }
        if (options.server)
                r = serve(&options);
        else {
                r = run(&options, &result);
                if (r >= 0)
                        print_result(&result);
                free(result.times.values);
        }
        if (r < 0) {
                fprintf(stderr, "traffic: %s\n", strerror(-r));
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}
