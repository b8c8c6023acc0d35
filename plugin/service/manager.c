/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See manager.h. */

#include <signal.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/message.h"
#include "service/endpoint-watch.h"
#include "service/files.h"
#include "service/flow-sockets.h"
#include "service/manager.h"
#include "service/turns.h"

enum {
        AGAIN_US = 1000 * 1000,
        WATCH_WINDOW_US = 1000 * 1000,
        WATCH_READS = 200,               /* of up to 64 events, in a window */
        BPF_AGAIN_US = 60 * 1000 * 1000, /* capabilities come with a new start, but a lockdown may end */
};

struct Manager {
        ManagerOptions options;
        sd_event *event;
        sd_event_source *rtnl_event, *exit_event;
        Turns *turns;            /* of links, and the bus */
        Rtnl *rtnl;
        MptcpPm *mptcp_pm;       /* NULL: the kernel has no MPTCP */
        Tunnel *tunnel;
        TunnelFeatures features;
        Segmentation *segmentation;
        Sockets *sockets;
        FlowSockets *flow_sockets;
        Sctp *sctp;
        Sources *sources;
        EndpointWatch *endpoint_watch;
        Strays *strays;
        sd_event_source *again;  /* something could not be read: all links are looked at again */
        char *bpf_error;         /* why BPF cannot be used; NULL: it can */
        sd_event_source *bpf_again;
        bool adopted;            /* what an earlier service has left: its links are known */
        MptcpEvents *mptcp_events;      /* NULL: nobody needs them, or the kernel has none */
        sd_event_source *mptcp_event;
        ManagerSubflowHandler subflow_handler; /* NULL: nobody watches subflows */
        void *subflow_userdata;
        bool builds_subflows;           /* there is a link that does */
        LinkContext link_context; /* made of the above */
        Link **links;
        size_t links_count;
        size_t turn;             /* of the link at this position, modulo their number */
        ManagerReportHandler handler;
        void *userdata;
        uint64_t last_work_us;
        char **files_told;       /* what the journal knows of files that no link has */
};

static void tell(Manager *manager, ManagerReport what, Link *link) {
        if (manager->handler)
                manager->handler(what, link, manager->userdata);
}

size_t manager_links_count(const Manager *manager) {
        return manager->links_count;
}

Link *manager_link_at(const Manager *manager, size_t index) {
        return manager->links[index];
}

Link *manager_link(const Manager *manager, uint32_t ifindex) {
        for (size_t i = 0; i < manager->links_count; i++)
                if (link_ifindex(manager->links[i]) == ifindex)
                        return manager->links[i];
        return NULL;
}

Link *manager_link_by_name(const Manager *manager, const char *name) {
        for (size_t i = 0; i < manager->links_count; i++)
                if (streq(link_name(manager->links[i]), name))
                        return manager->links[i];
        return NULL;
}

static void drop_link(Manager *manager, uint32_t ifindex) {
        for (size_t i = 0; i < manager->links_count; i++) {
                Link *link = manager->links[i];

                if (link_ifindex(link) != ifindex)
                        continue;
                link_gone(link);
                tell(manager, MANAGER_LINK_REMOVED, link);
                manager->links_count--;
                memmove(&manager->links[i], &manager->links[i + 1],
                        (manager->links_count - i) * sizeof(*manager->links));
                link_free(link);
                return;
        }
}

static Link *append_link(Manager *manager, LinkFacts *facts) {
        Link **links, *link;

        links = reallocarray(manager->links, manager->links_count + 1, sizeof(*links));
        if (!links)
                return NULL;
        manager->links = links;
        if (link_new(&link, &manager->link_context, facts) < 0)
                return NULL;
        links[manager->links_count++] = link;
        return link;
}

/* A link is known by its name from the start, so that a call that comes first thing finds it. Loopback
 * and helper devices are no links in this sense: -ENODEV. */
static int add_link(Manager *manager, uint32_t ifindex) {
        _cleanup_(rtnl_facts_freep) LinkFacts *facts = NULL;
        Link *link;
        int r;

        r = rtnl_link(manager->rtnl, ifindex, &facts);
        if (r < 0)
                return r;
        if ((facts->flags & IFF_LOOPBACK) || segment_is_name(facts->name))
                return -ENODEV;
        link = append_link(manager, facts);
        if (!link)
                return -ENOMEM;
        TAKE_PTR(facts);
        link_adopt(link);
        tell(manager, MANAGER_LINK_ADDED, link);
        return 0;
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata);

/* What cannot be read is not taken for gone: it is read once more in a while. */
static void look_again(Manager *manager, int error) {
        if (manager->again)
                return;
        log_warning("Cannot read the links: %s; trying again.", strerror(-error));
        (void) sd_event_add_time_relative(manager->event, &manager->again, CLOCK_MONOTONIC, AGAIN_US, 0,
                                          on_again, manager);
}

/* Looks at this link soon; one that is not known yet is added. -ENODEV: it is gone, or no link of ours. */
static int mark(Manager *manager, uint32_t ifindex) {
        Link *link = manager_link(manager, ifindex);
        int r = 0;

        if (!link) {
                r = add_link(manager, ifindex);
                link = r < 0 ? NULL : manager_link(manager, ifindex);
        }
        if (link)
                link_mark(link);
        else if (r != -ENODEV)
                look_again(manager, r);
        return r;
}

static void mark_all(Manager *manager) {
        for (size_t i = 0; i < manager->links_count; i++)
                link_mark(manager->links[i]);
}

void manager_insist_all(Manager *manager) {
        for (size_t i = 0; i < manager->links_count; i++)
                link_insist(manager->links[i]);
}

/* Somebody removed the helper devices: tunnelled packets are dropped until they are there again. That cannot
 * wait for a look, which changes nothing where the profile is wrong, or has not been told yet. */
static void lose_devices(Manager *manager) {
        segmentation_lose(manager->segmentation);
        for (size_t i = 0; i < manager->links_count; i++)
                link_lose_devices(manager->links[i]);
        for (size_t i = 0; i < manager->links_count; i++)
                link_adopt_path(manager->links[i]);
}

static bool is_among(uint32_t ifindex, const uint32_t *ifindexes, size_t count) {
        for (size_t i = 0; i < count; i++)
                if (ifindexes[i] == ifindex)
                        return true;
        return false;
}

/* Looks at all links there are, and forgets those whose end was not heard. */
static void enumerate(Manager *manager) {
        _cleanup_(freep) uint32_t *ifindexes = NULL;
        size_t count = 0;
        int r;

        r = rtnl_links(manager->rtnl, &ifindexes, &count);
        if (r < 0) {
                look_again(manager, r);
                return;
        }
        for (size_t i = manager->links_count; i-- > 0;)
                if (!is_among(link_ifindex(manager->links[i]), ifindexes, count))
                        drop_link(manager, link_ifindex(manager->links[i]));
        if (!segmentation_is_complete(manager->segmentation, ifindexes, count))
                lose_devices(manager);
        for (size_t i = 0; i < count; i++)
                (void) mark(manager, ifindexes[i]);
}

/* What an earlier service recorded: links that exist are adopted as they are added, the rest is swept up. */
static void adopt(Manager *manager) {
        _cleanup_(freep) uint32_t *ifindexes = NULL;
        size_t count = 0;
        int r;

        if (manager->bpf_error)
                return;
        r = tunnel_saved_links(manager->tunnel, &ifindexes, &count);
        manager->adopted = r >= 0;
        if (r < 0)
                look_again(manager, r);
        for (size_t i = 0; i < count; i++) {
                r = mark(manager, ifindexes[i]);
                if (r == -ENODEV)
                        link_bury(&manager->link_context, ifindexes[i]);
                else if (r < 0)
                        manager->adopted = false;
        }
        for (size_t i = 0; i < manager->links_count; i++)
                link_adopt_path(manager->links[i]);
        /* Without records there may be devices all the same: those of a service that was killed before it
         * wrote one, or of a release that was not understood. */
        if (manager->adopted)
                segmentation_sweep_up(manager->segmentation);
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *manager = userdata;

        manager->again = sd_event_source_disable_unref(manager->again);
        if (!manager->adopted)
                adopt(manager);
        enumerate(manager);
        return 0;
}

static void on_rtnl_change(RtnlChange change, uint32_t ifindex, void *userdata) {
        Manager *manager = userdata;
        const bool helper = segmentation_is_helper(manager->segmentation, ifindex);

        /* Where a link goes down, nobody tells that its routes go, too. */
        if (!helper)
                strays_look(manager->strays);
        switch (change) {
        case RTNL_LINK:
        case RTNL_ADDRESS:
        case RTNL_ROUTE:
                if (!helper)
                        (void) mark(manager, ifindex);
                return;
        case RTNL_QDISC:
        case RTNL_FILTER:
                if (manager_link(manager, ifindex))
                        link_filters_changed(manager_link(manager, ifindex), change == RTNL_QDISC);
                return;
        case RTNL_LINK_GONE:
                if (helper)
                        lose_devices(manager);
                else
                        drop_link(manager, ifindex);
                return;
        case RTNL_LOST:
                enumerate(manager);
                return;
        }
}

static int on_rtnl(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Manager *manager = userdata;
        int r;

        r = rtnl_process(manager->rtnl, on_rtnl_change, manager);
        if (r < 0)
                log_warning("Cannot read link changes: %s; looking at all links again.", strerror(-r));
        if (r < 0)
                enumerate(manager);
        return 0;
}

/* One that somebody waits for, or the next in turn; NULL: none is due. */
static Link *next_due(Manager *manager) {
        for (size_t i = 0; i < manager->links_count; i++)
                if (link_is_due(manager->links[i]) && link_is_awaited(manager->links[i]))
                        return manager->links[i];
        for (size_t i = 0; i < manager->links_count; i++) {
                Link *link = manager->links[manager->turn++ % manager->links_count];

                if (link_is_due(link))
                        return link;
        }
        return NULL;
}

static bool on_look(void *userdata) {
        Manager *manager = userdata;
        Link *link = next_due(manager);

        if (!link)
                return false;
        link_reconcile(link);
        return true;
}

static void on_source_changed(uint32_t ifindex, void *userdata) {
        Manager *manager = userdata;

        if (ifindex == 0)
                mark_all(manager);
        else
                (void) mark(manager, ifindex);
}

static void on_sctp_changed(uint32_t ifindex, void *userdata) {
        Link *link = manager_link(userdata, ifindex);

        if (link)
                link_mark(link);
}

static void on_sockets_changed(void *userdata) {
        mark_all(userdata);
}

static bool on_flow_sockets_wanted(uint32_t ifindex, void *userdata) {
        const Link *link = manager_link(userdata, ifindex);

        return link && link_gives_flows_sockets(link);
}

static void on_flow_sockets_changed(void *userdata) {
        Manager *manager = userdata;

        for (size_t i = 0; i < manager->links_count; i++)
                if (link_gives_flows_sockets(manager->links[i]))
                        tell(manager, MANAGER_LINK_CHANGED, manager->links[i]);
}

static bool on_endpoints_compared(bool changed, void *userdata) {
        Manager *manager = userdata;
        bool depends = false;

        for (size_t i = 0; i < manager->links_count; i++) {
                Link *link = manager->links[i];

                if (!link_depends_on_endpoints(link))
                        continue;
                depends = true;
                if (changed)
                        link_mark(link);
        }
        return depends;
}

/* Loopback and helper devices are no links: what leaves by them is not lost. */
static StrayFate on_stray(uint32_t ifindex, bool moved, void *userdata) {
        Link *link = manager_link(userdata, ifindex);

        return link ? link_take_in(link, moved) : STRAY_CARRIED;
}

static bool on_strays_looked(void *userdata) {
        Manager *manager = userdata;
        bool carried = false;

        for (size_t i = 0; i < manager->links_count; i++)
                if (link_let_go(manager->links[i]))
                        carried = true;
        return carried;
}

/* Gathers the addresses of the other links, from which there may be a connection that a subflow can join. */
static void retry_subflows(const Manager *manager, Link *link) {
        _cleanup_(freep) Address *others = NULL;
        size_t count = 0;

        for (size_t i = 0; i < manager->links_count; i++)
                count += link_facts(manager->links[i])->addresses_count;
        others = calloc(count + 1, sizeof(*others));
        if (!others)
                return;
        count = 0;
        for (size_t i = 0; i < manager->links_count; i++) {
                const LinkFacts *facts = link_facts(manager->links[i]);

                for (size_t k = 0; manager->links[i] != link && k < facts->addresses_count; k++)
                        others[count++] = facts->addresses[k].address;
        }
        link_retry_subflows(link, others, count);
}

/* The link of a subflow. That of an endpoint is bound to it, the first one of a connection is not. */
static Link *link_of_event(const Manager *manager, const MptcpEvent *event) {
        if (event->ifindex != 0)
                return manager_link(manager, event->ifindex);
        for (size_t i = 0; event->has_local && i < manager->links_count; i++) {
                const LinkFacts *facts = link_facts(manager->links[i]);

                for (size_t k = 0; k < facts->addresses_count; k++)
                        if (address_equal(&facts->addresses[k].address, &event->local))
                                return manager->links[i];
        }
        return NULL;
}

static void on_mptcp_told(const MptcpEvent *event, void *userdata) {
        const Manager *manager = userdata;
        const bool of_connection =
                event->kind == MPTCP_CONNECTION_GONE || event->kind == MPTCP_EVENTS_LOST;
        Link *link = of_connection ? NULL : link_of_event(manager, event);

        for (size_t i = 0; of_connection && manager->builds_subflows && i < manager->links_count; i++)
                link_mptcp_event(manager->links[i], event);
        if (link && manager->builds_subflows)
                link_mptcp_event(link, event);
        if (link && manager->subflow_handler && link_is_attached(link))
                manager->subflow_handler(link, event, manager->subflow_userdata);
}

static void stop_mptcp_events(Manager *manager) {
        manager->mptcp_event = sd_event_source_disable_unref(manager->mptcp_event);
        manager->mptcp_events = mptcp_events_free(manager->mptcp_events);
}

static int on_mptcp_event(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Manager *manager = userdata;

        if (mptcp_events_process(manager->mptcp_events, on_mptcp_told, manager) < 0)
                stop_mptcp_events(manager);
        return 0;
}

/* Who only watches is content with a part of very many events: then a flood of them is not all read. */
static int limit_mptcp_events(Manager *manager) {
        return sd_event_source_set_ratelimit(manager->mptcp_event,
                                             manager->builds_subflows ? 0 : WATCH_WINDOW_US, WATCH_READS);
}

static int open_mptcp_events(Manager *manager) {
        int r = 0;

        if (!manager->mptcp_events)
                r = mptcp_events_open(&manager->mptcp_events);
        if (r >= 0 && !manager->mptcp_event)
                r = sd_event_add_io(manager->event, &manager->mptcp_event,
                                    mptcp_events_fd(manager->mptcp_events), EPOLLIN, on_mptcp_event,
                                    manager);
        return r < 0 ? r : limit_mptcp_events(manager);
}

/* Listens to MPTCP while there is a link that has subflows which could come back, which most servers have
 * not; or while somebody watches, and there is a link with a tunnel. */
static void listen_to_mptcp(Manager *manager) {
        bool attached = false;

        manager->builds_subflows = false;
        for (size_t i = 0; i < manager->links_count; i++) {
                manager->builds_subflows |= link_builds_subflows(manager->links[i]);
                attached |= link_is_attached(manager->links[i]);
        }
        if (!manager->builds_subflows && !(attached && manager->subflow_handler))
                stop_mptcp_events(manager);
        else if (manager->mptcp_pm && open_mptcp_events(manager) < 0)
                stop_mptcp_events(manager);
}

void manager_watch_subflows(Manager *manager, ManagerSubflowHandler handler, void *userdata) {
        manager->subflow_handler = handler;
        manager->subflow_userdata = userdata;
        listen_to_mptcp(manager);
}

static void on_link_report(Link *link, LinkReport report, void *userdata) {
        Manager *manager = userdata;

        switch (report) {
        case LINK_REPORT_DIRTY:
                turns_due(manager->turns);
                return;
        case LINK_REPORT_PUBLISHED:
                listen_to_mptcp(manager);
                strays_listen(manager->strays);
                if (link_gives_flows_sockets(link))
                        flow_sockets_listen(manager->flow_sockets);
                if (link_depends_on_endpoints(link))
                        endpoint_watch_start(manager->endpoint_watch);
                tell(manager, MANAGER_LINK_CHANGED, link);
                return;
        case LINK_REPORT_SUBFLOWS:
                retry_subflows(manager, link);
                return;
        }
}

/* Whoever still waits for an answer gets one while there is a bus. */
static int on_loop_exit(sd_event_source *source, void *userdata) {
        Manager *manager = userdata;

        for (size_t i = 0; i < manager->links_count; i++)
                link_interrupt(manager->links[i]);
        return 0;
}

static int on_bpf_again(sd_event_source *source, uint64_t usec, void *userdata);

/* What has come of tunnel_open() or tunnel_retry(). Without BPF the service stays, and says why. */
static int look_at_bpf(Manager *manager) {
        const int r = tunnel_refused(manager->tunnel);

        (void) tunnel_features(manager->tunnel, &manager->features);
        free(manager->bpf_error);
        manager->bpf_error = NULL;
        if (r == 0) {
                if (!streq(tunnel_error(manager->tunnel), ""))
                        log_warning("Taken over from another release: %s.", tunnel_error(manager->tunnel));
                return 0;
        }
        manager->bpf_error =
                message_format(N_("BPF cannot be used at %s: %s. Needed are kernel 6.1 or newer, a mounted "
                                  "bpf file system, CAP_BPF and CAP_NET_ADMIN; a container has them only if "
                                  "its host grants them."),
                               manager->options.pin_root, MESSAGE_ERRNO(r));
        if (!manager->bpf_error)
                return -ENOMEM;
        return sd_event_add_time_relative(manager->event, &manager->bpf_again, CLOCK_MONOTONIC, BPF_AGAIN_US,
                                          0, on_bpf_again, manager);
}

void manager_retry_bpf(Manager *manager) {
        int r;

        if (!manager->bpf_error)
                return;
        manager->bpf_again = sd_event_source_disable_unref(manager->bpf_again);
        r = tunnel_retry(manager->tunnel);
        (void) look_at_bpf(manager);
        if (r < 0)
                return;
        log_info("BPF can be used now.");
        sockets_sweep_up(manager->sockets);
        sctp_adopt(manager->sctp);
        for (size_t i = 0; i < manager->links_count; i++)
                link_adopt(manager->links[i]);
        adopt(manager);
        manager_insist_all(manager);
        sctp_update(manager->sctp);
        tell(manager, MANAGER_BPF_CHANGED, NULL);
}

static int on_bpf_again(sd_event_source *source, uint64_t usec, void *userdata) {
        manager_retry_bpf(userdata);
        return 0;
}

static int open_kernel(Manager *manager) {
        int r;

        r = rtnl_open(&manager->rtnl);
        if (r < 0) {
                log_error("Cannot open rtnetlink: %s.", strerror(-r));
                return r;
        }
        r = mptcp_pm_open(&manager->mptcp_pm);
        if (r < 0)
                log_warning("No MPTCP path manager in this kernel (%s): endpoints are left alone.",
                            strerror(-r));
        r = tunnel_open(&manager->tunnel, manager->options.pin_root, manager->options.attach_point);
        if (r < 0) {
                log_error("Cannot use BPF at %s: %s.", manager->options.pin_root, strerror(-r));
                return r;
        }
        return look_at_bpf(manager);
}

static int make_parts(Manager *manager) {
        int r;

        r = segmentation_new(&manager->segmentation, manager->tunnel, manager->options.segment_kind);
        if (r >= 0)
                r = sockets_new(&manager->sockets, manager->event, manager->tunnel, on_sockets_changed,
                                manager);
        if (r >= 0)
                r = flow_sockets_new(&manager->flow_sockets, manager->event, manager->tunnel,
                                     manager->sockets, on_flow_sockets_wanted, on_flow_sockets_changed,
                                     manager);
        if (r >= 0)
                r = sctp_new(&manager->sctp, manager->event, manager->tunnel, manager->options.sctp_sysctls,
                             on_sctp_changed, manager);
        if (r >= 0)
                r = sources_new(&manager->sources, manager->options.profile_directories, on_source_changed,
                                manager);
        if (r >= 0)
                r = endpoint_watch_new(&manager->endpoint_watch, manager->event, manager->mptcp_pm,
                                       on_endpoints_compared, manager);
        if (r >= 0)
                r = strays_new(&manager->strays, manager->event, manager->tunnel, on_stray, on_strays_looked,
                               manager);
        if (r < 0)
                return r;
        manager->link_context = (LinkContext) {
                .event = manager->event,
                .rtnl = manager->rtnl,
                .mptcp_pm = manager->mptcp_pm,
                .tunnel = manager->tunnel,
                .segmentation = manager->segmentation,
                .sockets = manager->sockets,
                .sctp = manager->sctp,
                .sources = manager->sources,
                .report = on_link_report,
                .userdata = manager,
        };
        return 0;
}

static int add_events(Manager *manager) {
        int r;

        r = sd_event_add_io(manager->event, &manager->rtnl_event, rtnl_monitor_fd(manager->rtnl), EPOLLIN,
                            on_rtnl, manager);
        if (r >= 0)
                r = turns_new(&manager->turns, manager->event, on_look, manager);
        /* Many changes, one look: all that the kernel tells comes first. */
        if (r >= 0)
                r = sd_event_source_set_priority(manager->rtnl_event, SD_EVENT_PRIORITY_NORMAL - 30);
        if (r >= 0)
                r = sd_event_add_signal(manager->event, NULL, SIGTERM | SD_EVENT_SIGNAL_PROCMASK, NULL,
                                        NULL);
        if (r >= 0)
                r = sd_event_add_signal(manager->event, NULL, SIGINT | SD_EVENT_SIGNAL_PROCMASK, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_exit(manager->event, &manager->exit_event, on_loop_exit, manager);
        if (r >= 0)
                /* Before the bus connection, which closes itself then. */
                r = sd_event_source_set_priority(manager->exit_event, SD_EVENT_PRIORITY_NORMAL - 10);
        return r;
}

int manager_new(Manager **ret, const ManagerOptions *options) {
        _cleanup_(manager_freep) Manager *manager = calloc(1, sizeof(*manager));
        int r;

        if (!manager)
                return -ENOMEM;
        manager->options = *options;
        manager_reset_idle(manager);
        r = sd_event_default(&manager->event);
        if (r >= 0)
                r = open_kernel(manager);
        if (r >= 0)
                r = make_parts(manager);
        if (r >= 0)
                r = add_events(manager);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(manager);
        return 0;
}

Manager *manager_free(Manager *manager) {
        if (!manager)
                return NULL;
        manager->handler = NULL;
        for (size_t i = 0; i < manager->links_count; i++)
                link_interrupt(manager->links[i]);
        /* Before the links: a source answers every question that is still open. */
        sources_free(manager->sources);
        for (size_t i = 0; i < manager->links_count; i++)
                link_free(manager->links[i]);
        free(manager->links);
        endpoint_watch_free(manager->endpoint_watch);
        stop_mptcp_events(manager);
        strays_free(manager->strays);
        sctp_free(manager->sctp);
        segmentation_free(manager->segmentation);
        flow_sockets_free(manager->flow_sockets);
        sockets_free(manager->sockets);
        sd_event_source_disable_unref(manager->again);
        sd_event_source_disable_unref(manager->bpf_again);
        sd_event_source_disable_unref(manager->rtnl_event);
        turns_free(manager->turns);
        sd_event_source_disable_unref(manager->exit_event);
        rtnl_free(manager->rtnl);
        mptcp_pm_free(manager->mptcp_pm);
        tunnel_free(manager->tunnel);
        free(manager->bpf_error);
        strings_free(manager->files_told);
        sd_event_unref(manager->event);
        free(manager);
        return NULL;
}

void manager_set_handler(Manager *manager, ManagerReportHandler handler, void *userdata) {
        manager->handler = handler;
        manager->userdata = userdata;
}

/* systemd goes on with the boot, and network managers with their links, when those that are there
 * already have been looked at. */
static int on_first_look(sd_event_source *source, void *userdata) {
        Survey survey;

        if (manager_is_busy(userdata))
                return 0;
        sd_notify(false, "READY=1");
        if (manager_survey(userdata, &survey) >= 0)
                survey_done(&survey);
        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

int manager_start(Manager *manager) {
        int r;

        r = sd_event_add_post(manager->event, NULL, on_first_look, manager);
        if (r >= 0)
                r = sd_event_set_watchdog(manager->event, true); /* off unless systemd asks for it */
        if (r < 0)
                return r;
        if (manager->bpf_error)
                log_error("%s Trying again every minute.", manager->bpf_error);
        sockets_sweep_up(manager->sockets);
        adopt(manager);
        sctp_adopt(manager->sctp);
        enumerate(manager);
        sctp_update(manager->sctp);
        return 0;
}

int manager_survey(Manager *manager, Survey *ret) {
        int r = files_survey(manager->options.profile_directories, manager->links, manager->links_count,
                             ret);

        if (r >= 0)
                files_log(ret, &manager->files_told);
        return r;
}

sd_event *manager_event(Manager *manager) {
        return manager->event;
}

int manager_set_bus(Manager *manager, sd_bus *bus) {
        sctp_set_bus(manager->sctp, bus);
        sockets_set_bus(manager->sockets, bus);
        return sources_set_bus(manager->sources, bus);
}

void manager_dispatch(Manager *manager, Link *link, const char *action) {
        sources_dispatched(manager->sources, link_ifindex(link), action);
        /* An activation of the connection ends what "deactivate" said before it. */
        if (streq(action, "pre-up"))
                link_activate(link);
        else if (!streq(action, "pre-down"))
                link_mark(link);
}

void manager_reset_idle(Manager *manager) {
        manager->last_work_us = clock_monotonic_ns() / 1000;
}

uint64_t manager_last_work_us(const Manager *manager) {
        return manager->last_work_us;
}

bool manager_is_busy(const Manager *manager) {
        for (size_t i = 0; i < manager->links_count; i++)
                if (link_is_busy(manager->links[i]))
                        return true;
        return false;
}

bool manager_is_needed(const Manager *manager) {
        for (size_t i = 0; i < manager->links_count; i++) {
                const Link *link = manager->links[i];

                if (link_is_busy(link) || link_is_attached(link) || link_state(link) == LINK_FAILED ||
                    link_wants_tunnel(link))
                        return true;
        }
        return sctp_is_busy(manager->sctp) || sources_standing(manager->sources);
}

const char *manager_bpf_error(const Manager *manager) {
        return manager->bpf_error ?: "";
}

Tunnel *manager_tunnel(const Manager *manager) {
        return manager->tunnel;
}

const TunnelFeatures *manager_features(const Manager *manager) {
        return &manager->features;
}

bool manager_has_mptcp(const Manager *manager) {
        return manager->mptcp_pm != NULL;
}

const Sources *manager_sources(const Manager *manager) {
        return manager->sources;
}

const Sctp *manager_sctp(const Manager *manager) {
        return manager->sctp;
}

const Sockets *manager_sockets(const Manager *manager) {
        return manager->sockets;
}

const Segmentation *manager_segmentation(const Manager *manager) {
        return manager->segmentation;
}
