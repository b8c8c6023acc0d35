/* SPDX-License-Identifier: GPL-2.0-or-later */

/* underpassd: options, and the manager's life. */

#include <getopt.h>
#include <locale.h>
#include <stdio.h>

#include "base/config.h"
#include "base/i18n.h"
#include "base/log.h"
#include "config.h"
#include "kernel/sctp.h"
#include "service/bus.h"
#include "service/idle.h"
#include "service/manager.h"

#define PIN_ROOT "/sys/fs/bpf/underpass"
#define SEGMENTATION_VARIABLE "UNDERPASS_SEGMENTATION"

enum { IDLE_SECONDS_DEFAULT = 30 };


typedef struct Arguments {
        ManagerOptions options;
        uint64_t idle_us;
        const char *directories[3]; /* of --profiles, and NULL */
        bool done;   /* --help or --version: nothing more to do */
} Arguments;

static void help(void) {
        printf(_("Usage: underpassd [OPTION…]\n"
                 "Carries TCP inside UDP on the interfaces whose connection profile asks for it.\n\n"
                 "  --attach-point=POINT    auto (default), tcx or clsact; auto: tcx since kernel 6.6\n"
                 "  --profiles=FOLDER       read file profiles here instead of /usr/lib/underpass and "
                 "%s\n"
                 "  --pins=FOLDER           pin below this folder of a bpf file system (default %s)\n"
                 "  --sctp-sysctls=FOLDER   read and write udp_port and encap_port here instead of "
                 "/proc/sys/net/sctp\n"
                 "  --idle=SECONDS          leave after so long without work, 0: never (default %d)\n"
                 "  --debug                 log every look at a link\n"
                 "  --version               print the version\n"
                 "  -h, --help              print this\n\n"
                 "The service is started by the bus; `underpassctl status` shows what it does.\n"),
               PROFILES_FOLDER, PIN_ROOT, IDLE_SECONDS_DEFAULT);
}

static int parse_idle(const char *text, uint64_t *ret) {
        char *end;
        unsigned long seconds;

        errno = 0;
        seconds = strtoul(text, &end, 10);
        if (errno != 0 || *end != '\0' || end == text || seconds > 86400)
                return -EINVAL;
        *ret = seconds * 1000000ULL;
        return 0;
}

static int add_profiles(Arguments *arguments, const char *folder) {
        size_t count = 0;

        while (arguments->directories[count])
                count++;
        if (count + 1 == ELEMENTS(arguments->directories))
                return -E2BIG;
        arguments->directories[count] = folder;
        arguments->options.profile_directories = arguments->directories;
        return 0;
}

static int parse(int argc, char **argv, Arguments *arguments) {
        enum { OPTION_ATTACH_POINT = 256, OPTION_PROFILES, OPTION_PINS, OPTION_IDLE, OPTION_DEBUG,
               OPTION_SCTP, OPTION_VERSION };
        static const struct option options[] = {
                { "sctp-sysctls", required_argument, NULL, OPTION_SCTP },
                { "attach-point", required_argument, NULL, OPTION_ATTACH_POINT },
                { "profiles", required_argument, NULL, OPTION_PROFILES },
                { "pins", required_argument, NULL, OPTION_PINS },
                { "idle", required_argument, NULL, OPTION_IDLE },
                { "debug", no_argument, NULL, OPTION_DEBUG },
                { "version", no_argument, NULL, OPTION_VERSION },
                { "help", no_argument, NULL, 'h' },
                {},
        };
        int option, index = 0, r = 0;

        while (r >= 0 && (option = getopt_long(argc, argv, "h", options, &index)) >= 0)
                switch (option) {
                case OPTION_ATTACH_POINT:
                        r = attach_point_from_name(optarg, &arguments->options.attach_point);
                        break;
                case OPTION_PROFILES:
                        r = add_profiles(arguments, optarg);
                        break;
                case OPTION_PINS:
                        arguments->options.pin_root = optarg;
                        break;
                case OPTION_SCTP:
                        arguments->options.sctp_sysctls = optarg;
                        break;
                case OPTION_IDLE:
                        r = parse_idle(optarg, &arguments->idle_us);
                        break;
                case OPTION_DEBUG:
                        log_set_level(LOG_DEBUG);
                        break;
                case OPTION_VERSION:
                        printf("underpassd %s\n", PACKAGE_VERSION);
                        arguments->done = true;
                        break;
                case 'h':
                        help();
                        arguments->done = true;
                        break;
                default:
                        return -EINVAL; /* getopt has said why */
                }
        if (r < 0)
                fprintf(stderr, _("underpassd: \"%s\" is not a value for --%s; see --help.\n"), optarg,
                        options[index].name);
        else if (optind < argc) {
                fprintf(stderr, _("underpassd: unexpected argument \"%s\"; see --help.\n"), argv[optind]);
                r = -EINVAL;
        }
        return r;
}

/* For tests and comparisons: one kind of segmentation device instead of the best one. */
static int read_environment(ManagerOptions *options) {
        const char *kind = getenv(SEGMENTATION_VARIABLE);
        int r;

        if (!kind || streq(kind, ""))
                return 0;
        r = segment_kind_from_name(kind, &options->segment_kind);
        if (r < 0)
                fprintf(stderr,
                        _("underpassd: \"%s\" is not a value for %s: netkit, vlan, bridge or veth.\n"),
                        kind, SEGMENTATION_VARIABLE);
        return r;
}

static int run(const Arguments *arguments) {
        _cleanup_(manager_freep) Manager *manager = NULL;
        _cleanup_(bus_freep) Bus *bus = NULL;
        _cleanup_(idle_freep) Idle *idle = NULL;
        int r;

        r = manager_new(&manager, &arguments->options);
        if (r >= 0)
                r = bus_new(&bus, manager);
        if (r >= 0)
                r = idle_new(&idle, manager, bus, arguments->idle_us);
        if (r >= 0)
                r = manager_start(manager);
        if (r >= 0)
                r = bus_start(bus);
        if (r < 0)
                return r;
        bus_hear(bus);
        return sd_event_loop(manager_event(manager));
}

int main(int argc, char **argv) {
        Arguments arguments = {
                .options = {
                        .pin_root = PIN_ROOT,
                        .profile_directories = config_profile_folders,
                        .sctp_sysctls = SCTP_SYSCTLS,
                        .segment_kind = SEGMENT_AUTO,
                },
                .idle_us = IDLE_SECONDS_DEFAULT * 1000000ULL,
        };
        int r;

        setlocale(LC_ALL, "");
        bindtextdomain(GETTEXT_PACKAGE, LOCALEDIR);
        bind_textdomain_codeset(GETTEXT_PACKAGE, "UTF-8");
        if (parse(argc, argv, &arguments) < 0 || read_environment(&arguments.options) < 0)
                return 2;
        if (arguments.done)
                return 0;
        /* What the service says to others is English; whoever shows it translates it. */
        setlocale(LC_MESSAGES, "C");
        r = run(&arguments);
        if (r < 0) {
                log_error("Stopping: %s.", strerror(-r));
                return 1;
        }
        return 0;
}
