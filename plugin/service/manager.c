/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See manager.h.  Bus connection: manager-bus.c; timers: manager-clock.c; segmentation device:
 * manager-segmentation device.c. */

#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>

#include "base/log.h"
#include "service/manager.h"
#include "source/networkd.h"
#include "source/nm.h"

Link *manager_link(Manager *manager, uint32_t ifindex) {
        for (Link *link = manager->links; link; link = link->next)
                if (link->ifindex == ifindex)
                        return link;
        return NULL;
}

Link *manager_link_by_name(Manager *manager, const char *name) {
        for (Link *link = manager->links; link; link = link->next)
                if (link->facts && streq(link->facts->name, name))
                        return link;
        return NULL;
}

static void drop_link(Manager *manager, uint32_t ifindex) {
        for (Link **position = &manager->links; *position; position = &(*position)->next)
                if ((*position)->ifindex == ifindex) {
                        Link *link = *position;

                        link_gone(link); /* still in the list: the bus is told which interfaces go */
                        *position = link->next;
                        link_free(link);
                        manager_release_segment(manager);
                        manager_sctp_update(manager, NULL);
                        return;
                }
}

/* A link is known by its name from the start, so that a call that comes first thing finds it. Loopback
 * and the segmentation device are no links in this sense. */
static Link *add_link(Manager *manager, uint32_t ifindex) {
        _cleanup_(link_facts_freep) LinkFacts *facts = NULL;
        Link *link;

        if (rtnl_link(manager->rtnl, ifindex, &facts) < 0 || (facts->flags & IFF_LOOPBACK) ||
            segment_is_name(facts->name) || link_new(&link, manager, ifindex) < 0)
                return NULL;
        link->facts = TAKE_PTR(facts);
        link->next = manager->links;
        manager->links = link;
        bus_link_announce(link);
        return link;
}

void manager_mark(Manager *manager, uint32_t ifindex) {
        Link *link = manager_link(manager, ifindex);

        if (!link)
                link = add_link(manager, ifindex);
        if (!link)
                return;
        link->dirty = true;
        (void) sd_event_source_set_enabled(manager->reconcile_event, SD_EVENT_ONESHOT);
}

void manager_mark_all(Manager *manager) {
        for (Link *link = manager->links; link; link = link->next)
                link->dirty = true;
        (void) sd_event_source_set_enabled(manager->reconcile_event, SD_EVENT_ONESHOT);
}

/* Somebody took the segmentation device away under us: tunnelled packets are dropped until it is there
 * again. */
static void lose_segment(Manager *manager) {
        manager_forget_segments(manager);
        for (Link *link = manager->links; link; link = link->next)
                if (link->applied.attached) {
                        link->device = (SegmentationDevice) {};
                        link->adopted = true;
                        manager_mark(manager, link->ifindex);
                }
}

static bool contains(const uint32_t *ifindexes, size_t count, uint32_t ifindex) {
        for (size_t i = 0; i < count; i++)
                if (ifindexes[i] == ifindex)
                        return true;
        return false;
}

static bool helpers_exist(const Manager *manager, const uint32_t *ifindexes, size_t count) {
        if (!contains(ifindexes, count, manager->pair.send_ifindex))
                return false;
        for (const Link *link = manager->links; link; link = link->next)
                if (link->device.ifindex != 0 && !contains(ifindexes, count, link->device.ifindex))
                        return false;
        return true;
}

/* Looks at all links there are, and forgets those whose end was not heard. */
static void enumerate(Manager *manager) {
        _cleanup_(freep) uint32_t *ifindexes = NULL;
        Link *next;
        size_t count = 0;

        if (rtnl_links(manager->rtnl, &ifindexes, &count) < 0)
                return;
        for (Link *link = manager->links; link; link = next) {
                next = link->next;
                if (!contains(ifindexes, count, link->ifindex))
                        drop_link(manager, link->ifindex);
        }
        if (!manager->options.fake && manager->pair.send_ifindex != 0 &&
            !helpers_exist(manager, ifindexes, count))
                lose_segment(manager);
        for (size_t i = 0; i < count; i++)
                manager_mark(manager, ifindexes[i]);
}

static void on_change(RtnlChange change, uint32_t ifindex, void *userdata) {
        Manager *manager = userdata;

        switch (change) {
        case RTNL_LINK:
        case RTNL_ADDRESS:
                if (!manager_is_helper(manager, ifindex))
                        manager_mark(manager, ifindex);
                return;
        case RTNL_LINK_GONE:
                if (manager_is_helper(manager, ifindex))
                        lose_segment(manager);
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

        r = rtnl_process(manager->rtnl, on_change, manager);
        if (r < 0)
                log_warning("Cannot read link changes: %s; looking at all links anew.", strerror(-r));
        if (r < 0)
                enumerate(manager);
        return 0;
}

static int on_reconcile(sd_event_source *source, void *userdata) {
        Manager *manager = userdata;
        Link *next;

        for (Link *link = manager->links; link; link = next) {
                next = link->next;
                if (link->dirty)
                        link_reconcile(link);
        }
        return 0;
}

static void on_source_changed(uint32_t ifindex, void *userdata) {
        Manager *manager = userdata;

        if (ifindex == 0)
                manager_mark_all(manager);
        else
                manager_mark(manager, ifindex);
}

/* Whoever still waits for an answer gets one while there is a bus. */
static int on_loop_exit(sd_event_source *source, void *userdata) {
        Manager *manager = userdata;

        manager->stopping = true;
        for (Link *link = manager->links; link; link = link->next)
                link_interrupt(link);
        return 0;
}

static int open_world(Manager *manager) {
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
                log_error("Cannot use BPF at %s: %s. Needed are a mounted bpf file system, CAP_BPF and "
                          "CAP_NET_ADMIN.",
                          manager->options.pin_root, strerror(-r));
                return r;
        }
        (void) tunnel_features(manager->tunnel, &manager->features);
        r = source_file_new(&manager->sources[SOURCE_FILE], manager->options.profile_directories);
        if (r >= 0)
                r = source_networkd_new(&manager->sources[SOURCE_NETWORKD], on_source_changed, manager);
        if (r >= 0)
                r = source_nm_new(&manager->sources[SOURCE_NETWORK_MANAGER], on_source_changed, manager);
        return r;
}

static int add_events(Manager *manager) {
        int r;

        r = sd_event_add_io(manager->event, &manager->rtnl_event, rtnl_monitor_fd(manager->rtnl), EPOLLIN,
                            on_rtnl, manager);
        if (r >= 0)
                r = sd_event_add_defer(manager->event, &manager->reconcile_event, on_reconcile, manager);
        if (r >= 0)
                /* After everything that is waiting to be read: many changes, one look. */
                r = sd_event_source_set_priority(manager->reconcile_event, SD_EVENT_PRIORITY_NORMAL + 10);
        if (r >= 0)
                r = manager_add_timers(manager);
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

/* What an earlier service recorded: links that exist are adopted, the rest is swept up. */
static void adopt(Manager *manager) {
        _cleanup_(freep) uint32_t *ifindexes = NULL;
        size_t count = 0;

        if (tunnel_saved_links(manager->tunnel, &ifindexes, &count) < 0)
                return;
        for (size_t i = 0; i < count; i++) {
                Link *link;

                manager_mark(manager, ifindexes[i]);
                link = manager_link(manager, ifindexes[i]);
                if (link)
                        link_adopt(link);
                else
                        (void) tunnel_detach(manager->tunnel, ifindexes[i]);
        }
        for (Link *link = manager->links; link; link = link->next) {
                _cleanup_(freep) char *error = NULL;
                LinkStage stage = STAGE_NONE;

                if (link->applied.attached && link_adopt_path(link, &stage, &error) < 0)
                        log_line(LOG_ERR, link_name(link), link_stage_name(stage), "%s",
                                 error ?: "The segmentation hop cannot be made.");
        }
        if (count > 0)
                manager_release_segment(manager);
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
                r = open_world(manager);
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
        manager->stopping = true;
        for (Link *link = manager->links; link; link = link->next)
                link->gone = true;
        /* Before the links: a source answers every question that is still open. */
        for (size_t i = 0; i < _MANAGER_SOURCE_MAX; i++)
                if (manager->sources[i])
                        manager->sources[i]->ops->free(manager->sources[i]);
        for (Link *link; (link = manager->links);) {
                manager->links = link->next;
                link_free(link);
        }
        sd_event_source_disable_unref(manager->bus_retry);
        sd_event_source_disable_unref(manager->rtnl_event);
        sd_event_source_disable_unref(manager->reconcile_event);
        sd_event_source_disable_unref(manager->idle_event);
        sd_event_source_disable_unref(manager->poll_event);
        sd_event_source_disable_unref(manager->exit_event);
        sd_event_source_disable_unref(manager->sctp.module_event);
        sd_bus_flush_close_unref(manager->bus);
        rtnl_free(manager->rtnl);
        mptcp_pm_free(manager->mptcp_pm);
        manager_forget_segments(manager);
        tunnel_free(manager->tunnel);
        sd_event_unref(manager->event);
        free(manager);
        return NULL;
}

/* systemd goes on with the boot, and network managers with their links, when those that are there already
 * have been looked at. */
static int on_first_look(sd_event_source *source, void *userdata) {
        Manager *manager = userdata;

        for (Link *link = manager->links; link; link = link->next)
                if (link->dirty || link->asking > 0)
                        return 0;
        sd_notify(false, "READY=1");
        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

int manager_run(Manager *manager) {
        int r;

        r = sd_event_add_post(manager->event, NULL, on_first_look, manager);
        if (r < 0)
                return r;
        adopt(manager);
        manager_sctp_adopt(manager);
        enumerate(manager);
        manager_sctp_update(manager, NULL);
        r = manager_bus_connect(manager);
        if (r == -ENOENT || r == -ECONNREFUSED) {
                log_warning("No bus yet (%s): trying again until it is there.", strerror(-r));
                manager_bus_retry(manager);
        } else if (r < 0)
                return r;
        return sd_event_loop(manager->event);
}
