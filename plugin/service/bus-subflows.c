/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See bus-subflows.h. */

#include "base/log.h"
#include "service/bus-subflows.h"
#include "service/subflow-news.h"

#define INTERFACE "org.underpass1.Link"

struct BusSubflows {
        Manager *manager;
        const BusLinks *links;
        SubflowNews *news;
        sd_bus *bus;               /* NULL: nobody wants to know */
};

static int emit(const BusSubflows *subflows, const char *path, const MptcpEvent *event) {
        char local[INET6_ADDRSTRLEN], remote[INET6_ADDRSTRLEN];

        return sd_bus_emit_signal(subflows->bus, path, INTERFACE, "SubflowChanged", "ssqsqu",
                                  event->kind == MPTCP_SUBFLOW_UP ? "established" : "closed",
                                  address_text(&event->local, local), event->local_port,
                                  address_text(&event->remote, remote), event->remote_port,
                                  (uint32_t) event->error);
}

static void on_news(uint32_t ifindex, const MptcpEvent *event, uint32_t left_out, void *userdata) {
        const BusSubflows *subflows = userdata;
        const Link *link = manager_link(subflows->manager, ifindex);
        const char *path = link ? bus_links_path(subflows->links, link) : NULL;
        int r;

        if (!path)
                return;
        r = event ? emit(subflows, path, event) :
                    sd_bus_emit_signal(subflows->bus, path, INTERFACE, "SubflowsLeftOut", "u", left_out);
        if (r < 0)
                log_debug("Cannot tell of a subflow: %s.", strerror(-r));
}

static void on_subflow(const Link *link, const MptcpEvent *event, void *userdata) {
        const BusSubflows *subflows = userdata;

        subflow_news_add(subflows->news, link_ifindex(link), event);
}

int bus_subflows_new(BusSubflows **ret, Manager *manager, const BusLinks *links) {
        _cleanup_(bus_subflows_freep) BusSubflows *subflows = calloc(1, sizeof(*subflows));
        int r;

        if (!subflows)
                return -ENOMEM;
        subflows->manager = manager;
        subflows->links = links;
        r = subflow_news_new(&subflows->news, manager_event(manager), on_news, subflows);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(subflows);
        return 0;
}

void bus_subflows_start(BusSubflows *subflows, sd_bus *bus) {
        subflows->bus = bus;
        manager_watch_subflows(subflows->manager, on_subflow, subflows);
}

void bus_subflows_stop(BusSubflows *subflows) {
        if (!subflows->bus)
                return;
        manager_watch_subflows(subflows->manager, NULL, NULL);
        subflow_news_clear(subflows->news);
        subflows->bus = NULL;
}

BusSubflows *bus_subflows_free(BusSubflows *subflows) {
        if (!subflows)
                return NULL;
        if (subflows->news)
                bus_subflows_stop(subflows);
        subflow_news_free(subflows->news);
        free(subflows);
        return NULL;
}
