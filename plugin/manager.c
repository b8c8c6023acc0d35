/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See manager.h. Room L4 (service). Bus connection: manager-bus.c; the hop: manager-hop.c. */

#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "log.h"
#include "manager.h"
#include "source-nm.h"

enum { ENDPOINT_POLL_US = 1000 * 1000 };

static uint64_t now_us(void) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

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

void manager_touch(Manager *manager) {
        manager->last_work_us = now_us();
}

static void drop_link(Manager *manager, uint32_t ifindex) {
        for (Link **position = &manager->links; *position; position = &(*position)->next)
                if ((*position)->ifindex == ifindex) {
                        Link *link = *position;

                        *position = link->next;
                        link_gone(link);
                        link_free(link);
                        manager_release_hop(manager);
                        return;
                }
}

/* A link is known by its name from the start, so that a call that comes first thing finds it. Loopback
 * and the hop are no links in this sense. */
static Link *add_link(Manager *manager, uint32_t ifindex) {
        _cleanup_(link_facts_freep) LinkFacts *facts = NULL;
        Link *link;

        if (rtnl_link(manager->rtnl, ifindex, &facts) < 0 || (facts->flags & IFF_LOOPBACK) ||
            hop_is_name(facts->name) || link_new(&link, manager, ifindex) < 0)
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

static void enumerate(Manager *manager) {
        _cleanup_(freep) uint32_t *ifindexes = NULL;
        size_t count = 0;

        if (rtnl_links(manager->rtnl, &ifindexes, &count) < 0)
                return;
        for (size_t i = 0; i < count; i++)
                manager_mark(manager, ifindexes[i]);
}

static void on_change(RtnlChange change, uint32_t ifindex, void *userdata) {
        Manager *manager = userdata;

        switch (change) {
        case RTNL_LINK:
        case RTNL_ADDRESS:
                if (ifindex == manager->hop.send_ifindex || ifindex == manager->hop.receive_ifindex)
                        return;
                manager_mark(manager, ifindex);
                return;
        case RTNL_LINK_GONE:
                if (ifindex == manager->hop.send_ifindex || ifindex == manager->hop.receive_ifindex) {
                        /* Somebody took the hop away under us: tunnelled packets are dropped until it is
                         * there again. */
                        manager->hop = (Hop) {};
                        for (Link *link = manager->links; link; link = link->next)
                                if (link->applied.attached) {
                                        link->adopted = true;
                                        manager_mark(manager, link->ifindex);
                                }
                        return;
                }
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

static void on_nm_changed(uint32_t ifindex, void *userdata) {
        Manager *manager = userdata;

        if (ifindex == 0)
                manager_mark_all(manager);
        else
                manager_mark(manager, ifindex);
}

/* The kernel announces no endpoints, so links that wait for one are looked at again now and then. */
static int on_poll(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *manager = userdata;

        for (Link *link = manager->links; link; link = link->next)
                if (link->profile && link->profile->settings.tunnel == TUNNEL_AUTO && !link->held_off)
                        manager_mark(manager, link->ifindex);
        (void) sd_event_source_set_time_relative(source, ENDPOINT_POLL_US);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* Whether there is a reason to stay: a link with a tunnel or one that waits for it, or a profile that a
 * later link may match. */
static bool is_needed(Manager *manager) {
        for (Link *link = manager->links; link; link = link->next)
                if (link->dirty || link->asking > 0 || link->applied.attached ||
                    link->state == LINK_FAILED ||
                    (link->profile && link->profile->settings.tunnel != TUNNEL_NO))
                        return true;
        for (size_t i = 0; i < _MANAGER_SOURCE_MAX; i++)
                if (manager->sources[i]->ops->standing &&
                    manager->sources[i]->ops->standing(manager->sources[i]))
                        return true;
        return false;
}

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *manager = userdata;
        uint64_t quiet = now_us() - manager->last_work_us;

        if (is_needed(manager)) {
                manager_touch(manager);
                quiet = 0;
        }
        if (quiet >= manager->options.idle_us && !manager->leaving) {
                /* First the bus lets the name go, then we leave: a call that comes in between starts the
                 * next service. */
                log_info("Nothing to do: leaving.");
                manager->leaving = true;
                sd_notify(false, "STOPPING=1");
                if (!manager->bus || sd_bus_release_name(manager->bus, BUS_NAME) < 0)
                        return sd_event_exit(manager->event, 0);
                quiet = 0;
        } else if (manager->leaving) {
                return sd_event_exit(manager->event, 0);
        }
        (void) sd_event_source_set_time_relative(
                source, manager->leaving ? 100 * 1000 : manager->options.idle_us - quiet + 1000);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
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
        r = tunnel_open(&manager->tunnel, manager->options.pin_root, manager->options.hook);
        if (r < 0) {
                log_error("Cannot use BPF at %s: %s. Needed are a mounted bpf file system, CAP_BPF and "
                          "CAP_NET_ADMIN.",
                          manager->options.pin_root, strerror(-r));
                return r;
        }
        (void) tunnel_features(manager->tunnel, &manager->features);
        r = source_file_new(&manager->sources[SOURCE_FILE], manager->options.profile_directories);
        if (r >= 0)
                r = source_nm_new(&manager->sources[SOURCE_NETWORK_MANAGER], on_nm_changed, manager);
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
                r = sd_event_add_time_relative(manager->event, &manager->poll_event, CLOCK_MONOTONIC,
                                               ENDPOINT_POLL_US, 0, on_poll, manager);
        if (r >= 0 && manager->options.idle_us > 0)
                r = sd_event_add_time_relative(manager->event, &manager->idle_event, CLOCK_MONOTONIC,
                                               manager->options.idle_us, 0, on_idle, manager);
        if (r >= 0)
                r = sd_event_add_signal(manager->event, NULL, SIGTERM | SD_EVENT_SIGNAL_PROCMASK, NULL,
                                        NULL);
        if (r >= 0)
                r = sd_event_add_signal(manager->event, NULL, SIGINT | SD_EVENT_SIGNAL_PROCMASK, NULL, NULL);
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
        if (count > 0) {
                LinkStage stage;
                _cleanup_(freep) char *error = NULL;

                if (manager_ensure_hop(manager, &stage, &error) < 0)
                        log_error("%s", error ?: "The segmentation hop cannot be made.");
                manager_release_hop(manager);
        }
}

int manager_new(Manager **ret, const ManagerOptions *options) {
        _cleanup_(manager_freep) Manager *manager = calloc(1, sizeof(*manager));
        int r;

        if (!manager)
                return -ENOMEM;
        manager->options = *options;
        manager_touch(manager);
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
        for (Link *link = manager->links, *next; link; link = next) {
                next = link->next;
                link->gone = true;
                link_free(link);
        }
        for (size_t i = 0; i < _MANAGER_SOURCE_MAX; i++)
                if (manager->sources[i])
                        manager->sources[i]->ops->free(manager->sources[i]);
        sd_event_source_disable_unref(manager->bus_retry);
        sd_event_source_disable_unref(manager->rtnl_event);
        sd_event_source_disable_unref(manager->reconcile_event);
        sd_event_source_disable_unref(manager->idle_event);
        sd_event_source_disable_unref(manager->poll_event);
        sd_bus_flush_close_unref(manager->bus);
        rtnl_free(manager->rtnl);
        mptcp_pm_free(manager->mptcp_pm);
        tunnel_free(manager->tunnel);
        sd_event_unref(manager->event);
        free(manager);
        return NULL;
}

int manager_run(Manager *manager) {
        int r;

        adopt(manager);
        enumerate(manager);
        r = manager_bus_connect(manager);
        if (r == -ENOENT || r == -ECONNREFUSED) {
                log_warning("No bus yet (%s): trying again until it is there.", strerror(-r));
                manager_bus_retry(manager);
        } else if (r < 0)
                return r;
        sd_notify(false, "READY=1");
        return sd_event_loop(manager->event);
}
