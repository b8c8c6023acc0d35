/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See monitor-feed.h. */

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/bus.h"
#include "ctl/destinations.h"
#include "ctl/error.h"
#include "ctl/live-flows.h"
#include "ctl/monitor-feed.h"
#include "ctl/text.h"
#include "kernel/sock-diag.h"

#define BUS_NAME "org.underpass1"
#define LINK_PREFIX "/org/underpass1/link/_3" /* "_3" and a digit: this digit, as sd-bus writes it */
#define BUSY_TYPE "(a(sqsqsbuuutttttttt)a(uutt))"

enum {
        ANSWER_MS = 2000,
        DESTINATIONS_US = 5 * 1000 * 1000, /* they count down by themselves for so long */
        DUMP_US = 1000 * 1000,             /* between two dumps of all sockets, and … */
        DUMP_REST = 200,                   /* … so many times what the last one took */
};

/* A plain subflow as it was at the last dump. */
typedef struct Plain {
        TcpMeasures measures;
        uint64_t sent_rate;
        uint64_t received_rate;
        unsigned dump;                     /* in which it was seen */
} Plain;

/* What has gone by a link when it was looked at. */
typedef struct Traffic {
        uint64_t sent, received;
        gint64 when_us;
        char *state;
} Traffic;

struct MonitorFeed {
        Ctl *ctl;
        MonitorEventHandler handler;
        void *userdata;
        guint signals[4];
        char *owner;                       /* of the service's name at the last look; NULL: nobody */
        bool subscribed;                   /* to that one */
        GVariant *destinations;            /* NULL: to be asked for */
        gint64 destinations_us;
        GHashTable *traffic;               /* Traffic by the name of the link */
        GHashTable *plain;                 /* Plain by its addresses and ports */
        unsigned dump;
        gint64 dump_us;                    /* not before that */
        gint64 dumped_us;
        gint64 dump_took_us;               /* since the dump before */
        Netlink *sockets;                  /* NULL: sock_diag cannot be asked */
};

static void tell(MonitorFeed *feed, const char *kind, char *sentence) {
        g_autofree char *owned = sentence;
        const MonitorEvent event = { .kind = kind, .sentence = sentence };

        feed->handler(&event, feed->userdata);
}

static char *interface_name(guint32 ifindex) {
        char name[IF_NAMESIZE];

        return if_indextoname(ifindex, name) ? g_strdup(name) : g_strdup_printf("#%u", ifindex);
}

/* What a change of a flow means; NULL: nothing that is worth a line. */
static const char *describe_change(const char *before, const char *now) {
        if (streq(now, "tunnelled"))
                return _("%s: connection with %s over UDP");
        if (streq(before, "half-open") && streq(now, "plain"))
                return _("%s: connection with %s fell back to plain TCP");
        if (streq(before, "half-open") && streq(now, ""))
                return _("%s: connection with %s got no answer and was given up");
        return streq(before, "tunnelled") && streq(now, "") ? _("%s: connection with %s ended") : NULL;
}

static void on_flows(MonitorFeed *feed, GVariant *parameters) {
        g_autoptr(GVariant) rows = g_variant_get_child_value(parameters, 0);
        guint32 more;

        for (size_t i = 0; i < g_variant_n_children(rows); i++) {
                const char *remote, *before, *now, *format;
                guint16 port;
                guint32 ifindex;

                g_variant_get_child(rows, i, "(u&sq&sqb&s&s)", &ifindex, NULL, NULL, &remote, &port, NULL,
                                    &before, &now);
                format = describe_change(before, now);
                if (!format)
                        continue;
                g_autofree char *name = interface_name(ifindex);
                g_autofree char *endpoint = text_endpoint(remote, port);
                tell(feed, "connection", g_strdup_printf(format, name, endpoint));
        }
        g_variant_get_child(parameters, 1, "u", &more);
        if (more > 0)
                tell(feed, "connection",
                     g_strdup_printf(P_("%u more connection changed", "%u more connections changed", more),
                                     more));
}

static void on_destinations(MonitorFeed *feed, GVariant *parameters) {
        g_autoptr(GVariant) rows = g_variant_get_child_value(parameters, 0);

        g_clear_pointer(&feed->destinations, g_variant_unref);
        for (size_t i = 0; i < g_variant_n_children(rows); i++) {
                Destination destination;

                destinations_read(rows, i, &destination);
                g_autofree char *name = interface_name(destination.ifindex);
                g_autofree char *endpoint = text_endpoint(destination.remote, destination.remote_port);
                g_autofree char *sentence = destinations_describe(&destination);
                if (destination.seconds_left > 0)
                        tell(feed, "destination", g_strdup_printf("%s: %s: %s", name, endpoint, sentence));
                else
                        tell(feed, "destination",
                             g_strdup_printf(_("%s: %s is tried again"), name, endpoint));
        }
}

/* The interface of the link object at a path, which ends in the index: sd-bus escapes its first digit. */
static char *interface_at(const char *path) {
        const char *escaped = g_str_has_prefix(path, LINK_PREFIX) ? path + strlen(LINK_PREFIX) : "";

        return interface_name((guint32) g_ascii_strtoull(escaped, NULL, 10));
}

/* The sentence of a subflow that came or went. */
static char *describe_subflow(const MonitorEvent *event) {
        g_autofree char *remote = text_endpoint(event->remote_address, event->remote_port);

        if (streq(event->change, "established"))
                return g_strdup_printf(_("%s: subflow with %s established"), event->interface, remote);
        if (event->error == 0)
                return g_strdup_printf(_("%s: subflow with %s closed"), event->interface, remote);
        return g_strdup_printf(_("%s: subflow with %s closed: %s"), event->interface, remote,
                               g_strerror((int) event->error));
}

static void on_subflow(MonitorFeed *feed, const char *path, GVariant *parameters) {
        g_autofree char *interface = interface_at(path);
        MonitorEvent event = { .kind = "subflow", .interface = interface };

        g_variant_get(parameters, "(&s&sq&squ)", &event.change, &event.local_address, &event.local_port,
                      &event.remote_address, &event.remote_port, &event.error);
        g_autofree char *sentence = describe_subflow(&event);
        event.sentence = sentence;
        feed->handler(&event, feed->userdata);
}

static void on_subflows_left_out(MonitorFeed *feed, const char *path, GVariant *parameters) {
        g_autofree char *interface = interface_at(path);
        MonitorEvent event = { .kind = "subflow", .interface = interface };

        g_variant_get(parameters, "(u)", &event.left_out);
        g_autofree char *sentence = g_strdup_printf(
                P_("%s: %u more change of a subflow", "%s: %u more changes of subflows", event.left_out),
                interface, event.left_out);
        event.sentence = sentence;
        feed->handler(&event, feed->userdata);
}

static void on_link_signal(GDBusConnection *bus, const char *sender, const char *path, const char *interface,
                           const char *member, GVariant *parameters, gpointer userdata) {
        MonitorFeed *feed = userdata;

        if (streq(member, "SubflowChanged") &&
            g_variant_is_of_type(parameters, G_VARIANT_TYPE("(ssqsqu)")))
                on_subflow(feed, path, parameters);
        else if (streq(member, "SubflowsLeftOut") && g_variant_is_of_type(parameters, G_VARIANT_TYPE("(u)")))
                on_subflows_left_out(feed, path, parameters);
}

static void on_signal(GDBusConnection *bus, const char *sender, const char *path, const char *interface,
                      const char *member, GVariant *parameters, gpointer userdata) {
        MonitorFeed *feed = userdata;

        if (streq(member, "FlowsChanged") &&
            g_variant_is_of_type(parameters, G_VARIANT_TYPE("(a(usqsqbss)u)")))
                on_flows(feed, parameters);
        else if (streq(member, "DestinationsChanged") &&
                 g_variant_is_of_type(parameters, G_VARIANT_TYPE("(a(usqsu))")))
                on_destinations(feed, parameters);
}

static void traffic_free(gpointer data) {
        g_free(((Traffic *) data)->state);
        g_free(data);
}

static void hear_signals(MonitorFeed *feed) {
        static const struct {
                const char *interface, *member, *path;
                GDBusSignalCallback callback;
        } signals[] = {
                { "org.underpass1.Manager", "FlowsChanged", "/org/underpass1", on_signal },
                { "org.underpass1.Manager", "DestinationsChanged", "/org/underpass1", on_signal },
                { "org.underpass1.Link", "SubflowChanged", NULL, on_link_signal },
                { "org.underpass1.Link", "SubflowsLeftOut", NULL, on_link_signal },
        };

        _Static_assert(ELEMENTS(signals) == ELEMENTS(feed->signals), "one subscription each");
        for (size_t i = 0; i < ELEMENTS(signals); i++)
                feed->signals[i] = g_dbus_connection_signal_subscribe(
                        feed->ctl->bus, BUS_NAME, signals[i].interface, signals[i].member, signals[i].path,
                        NULL, G_DBUS_SIGNAL_FLAGS_NONE, signals[i].callback, feed, NULL);
}

MonitorFeed *monitor_feed_new(Ctl *ctl, MonitorEventHandler handler, void *userdata, GError **error) {
        if (!bus_connect(ctl, error))
                return NULL;
        MonitorFeed *feed = g_new0(MonitorFeed, 1);
        feed->ctl = ctl;
        feed->handler = handler;
        feed->userdata = userdata;
        feed->traffic = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, traffic_free);
        feed->plain = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        (void) netlink_open(&feed->sockets, NETLINK_SOCK_DIAG);
        hear_signals(feed);
        ctl->patience_ms = ANSWER_MS;
        return feed;
}

void monitor_feed_free(MonitorFeed *feed) {
        for (size_t i = 0; i < ELEMENTS(feed->signals); i++)
                if (feed->signals[i])
                        g_dbus_connection_signal_unsubscribe(feed->ctl->bus, feed->signals[i]);
        g_clear_pointer(&feed->destinations, g_variant_unref);
        g_hash_table_unref(feed->traffic);
        g_hash_table_unref(feed->plain);
        netlink_free(feed->sockets);
        g_free(feed->owner);
        g_free(feed);
}

static uint64_t rate(uint64_t before, uint64_t now, gint64 took_us) {
        return now > before && took_us > 0 ? (now - before) * G_USEC_PER_SEC / (uint64_t) took_us : 0;
}

static uint64_t read_statistic(const char *interface, const char *name) {
        g_autofree char *path = g_strdup_printf("/sys/class/net/%s/statistics/%s", interface, name);
        _cleanup_(freep) char *text = NULL;

        return file_read(path, 64, &text, NULL) < 0 ? 0 : g_ascii_strtoull(text, NULL, 10);
}

/* A link that has a tunnel, or could have one: its rates, and whether its state is another one. */
static void add_link(MonitorFeed *feed, MonitorView *view, uint32_t ifindex, const char *name,
                     const char *state) {
        MonitorLink link = { .name = g_strdup(name), .state = g_strdup(state), .ifindex = ifindex };
        Traffic *was = g_hash_table_lookup(feed->traffic, name);
        Traffic *now = g_new0(Traffic, 1);

        *now = (Traffic) {
                .sent = read_statistic(name, "tx_bytes"),
                .received = read_statistic(name, "rx_bytes"),
                .when_us = g_get_monotonic_time(),
                .state = g_strdup(state),
        };
        if (was) {
                link.sent_rate = rate(was->sent, now->sent, now->when_us - was->when_us);
                link.received_rate = rate(was->received, now->received, now->when_us - was->when_us);
                if (!streq(was->state, state))
                        tell(feed, "link", g_strdup_printf(_("%s: %s, was %s"), name, state, was->state));
        }
        g_array_append_val(view->links, link);
        g_hash_table_replace(feed->traffic, g_strdup(name), now);
}

/* Of the last link: connections of programs without MPTCP, which nothing else shows. */
static void count_not_mptcp(MonitorFeed *feed, MonitorView *view, const char *path) {
        MonitorLink *link = &g_array_index(view->links, MonitorLink, view->links->len - 1);
        g_autoptr(GVariant) counters =
                bus_link_property(feed->ctl, path, "Counters", "a{st}", ANSWER_MS);
        guint64 count = 0;

        if (counters)
                g_variant_lookup(counters, "plain-not-mptcp", "t", &count);
        link->not_mptcp = count;
}

static bool add_links(MonitorFeed *feed, MonitorView *view, GError **error) {
        g_autoptr(GVariant) reply =
                bus_call(feed->ctl, "ListLinks", NULL, "(a(usso))", ANSWER_MS, NULL, error);
        if (!reply)
                return false;

        g_autoptr(GVariant) rows = g_variant_get_child_value(reply, 0);
        for (size_t i = 0; i < g_variant_n_children(rows); i++) {
                const char *name, *state, *path;
                guint32 ifindex;

                g_variant_get_child(rows, i, "(u&s&s&o)", &ifindex, &name, &state, &path);
                /* What was off and stays off is nobody's business. */
                if (!streq(state, "off") || g_hash_table_contains(feed->traffic, name))
                        add_link(feed, view, ifindex, name, state);
                if (streq(state, "active"))
                        count_not_mptcp(feed, view, path);
        }
        return true;
}

static bool parse_address(const char *text, Address *ret) {
        uint32_t ipv4;

        if (inet_pton(AF_INET, text, &ipv4) == 1) {
                *ret = address_from_ipv4(ipv4);
                return true;
        }
        return inet_pton(AF_INET6, text, ret->word) == 1;
}

/* RTT and retransmissions of what is shown. */
static void measure(MonitorFeed *feed, MonitorSubflow *subflow, uint32_t ifindex) {
        TcpMeasures measures = {
                .connection.local_port = htons(subflow->local_port),
                .connection.remote_port = htons(subflow->remote_port),
                .connection.bound = ifindex,
        };

        if (!feed->sockets || !parse_address(subflow->local_address, &measures.connection.local) ||
            !parse_address(subflow->remote_address, &measures.connection.remote) ||
            sock_diag_measure_tcp(feed->sockets, &measures) < 0)
                return;
        subflow->measured = true;
        subflow->rtt_us = measures.rtt_us;
        subflow->retransmissions = measures.retransmissions;
}

static void add_flow(MonitorFeed *feed, MonitorView *view, const LiveFlow *flow) {
        MonitorSubflow subflow = {
                .link = interface_name(flow->ifindex),
                .form = g_strdup(streq(flow->state, "tunnelled") ? "UDP" : flow->state),
                .local_address = g_strdup(flow->local),
                .remote_address = g_strdup(flow->remote),
                .local_port = flow->local_port,
                .remote_port = flow->remote_port,
                .sent_rate = flow->sent_rate,
                .received_rate = flow->received_rate,
        };

        if (flow->has_socket)
                measure(feed, &subflow, flow->ifindex);
        g_array_append_val(view->subflows, subflow);
}

static bool add_flows(MonitorFeed *feed, MonitorView *view, unsigned limit, GError **error) {
        g_autoptr(GVariant) reply = bus_call(feed->ctl, "ListBusyFlows", g_variant_new("(u)", limit),
                                             BUSY_TYPE, ANSWER_MS, NULL, error);
        if (!reply)
                return false;

        g_autoptr(GVariant) rows = g_variant_get_child_value(reply, 0);
        g_autoptr(GVariant) sums = g_variant_get_child_value(reply, 1);
        g_autoptr(LiveFlows) flows = live_flows_of_busy(rows);
        for (guint i = 0; i < flows->flows->len; i++)
                add_flow(feed, view, &g_array_index(flows->flows, LiveFlow, i));
        for (size_t i = 0; i < g_variant_n_children(sums); i++) {
                guint32 ifindex, count;

                g_variant_get_child(sums, i, "(uutt)", &ifindex, &count, NULL, NULL);
                for (guint k = 0; k < view->links->len; k++)
                        if (g_array_index(view->links, MonitorLink, k).ifindex == ifindex)
                                g_array_index(view->links, MonitorLink, k).flows = count;
        }
        return true;
}

static bool add_destinations(MonitorFeed *feed, MonitorView *view, GError **error) {
        const gint64 now_us = g_get_monotonic_time();

        if (!feed->destinations || now_us - feed->destinations_us > DESTINATIONS_US) {
                g_clear_pointer(&feed->destinations, g_variant_unref);
                feed->destinations = destinations_list(feed->ctl, error);
                feed->destinations_us = now_us;
        }
        if (!feed->destinations)
                return false;
        for (size_t i = 0; i < g_variant_n_children(feed->destinations); i++) {
                const uint32_t since = (uint32_t) ((now_us - feed->destinations_us) / G_USEC_PER_SEC);
                Destination destination;

                destinations_read(feed->destinations, i, &destination);
                if (destination.seconds_left < since)
                        continue;
                destination.seconds_left -= since;

                const MonitorDestination each = {
                        .link = interface_name(destination.ifindex),
                        .remote = text_endpoint(destination.remote, destination.remote_port),
                        .sentence = destinations_describe(&destination),
                };
                g_array_append_val(view->destinations, each);
        }
        return true;
}

/* ---- plain subflows, which the service does not know */

static char *key_of(const TcpConnection *connection) {
        char local[INET6_ADDRSTRLEN], remote[INET6_ADDRSTRLEN];

        return g_strdup_printf("%s %u %s %u", address_text(&connection->local, local),
                               ntohs(connection->local_port), address_text(&connection->remote, remote),
                               ntohs(connection->remote_port));
}

static void on_measures(const TcpMeasures *measures, void *userdata) {
        MonitorFeed *feed = userdata;
        g_autofree char *key = key_of(&measures->connection);
        Plain *plain = g_hash_table_lookup(feed->plain, key);

        if (!plain) {
                plain = g_new0(Plain, 1);
                plain->measures = *measures;
                g_hash_table_insert(feed->plain, g_steal_pointer(&key), plain);
        }
        plain->sent_rate = rate(plain->measures.bytes_sent, measures->bytes_sent, feed->dump_took_us);
        plain->received_rate =
                rate(plain->measures.bytes_received, measures->bytes_received, feed->dump_took_us);
        plain->measures = *measures;
        plain->dump = feed->dump;
}

static gboolean is_gone(gpointer key, gpointer value, gpointer userdata) {
        return ((const Plain *) value)->dump != ((const MonitorFeed *) userdata)->dump;
}

/* Reads all sockets, but seldom enough to cost little. */
static void dump_sockets(MonitorFeed *feed) {
        const gint64 begin_us = g_get_monotonic_time();

        if (!feed->sockets || begin_us < feed->dump_us)
                return;
        feed->dump++;
        feed->dump_took_us = feed->dumped_us ? begin_us - feed->dumped_us : 0;
        feed->dumped_us = begin_us;
        (void) sock_diag_measure_subflows(feed->sockets, on_measures, feed);
        g_hash_table_foreach_remove(feed->plain, is_gone, feed);
        feed->dump_us = begin_us + MAX_OF(DUMP_US / 2, DUMP_REST * (g_get_monotonic_time() - begin_us));
}

/* The link whose address that is; "": none of those that are shown. */
static char *link_of(GHashTable *addresses, const Address *local) {
        char text[INET6_ADDRSTRLEN];
        const char *name = g_hash_table_lookup(addresses, address_text(local, text));

        return g_strdup(name ?: "");
}

static GHashTable *list_addresses(void) {
        GHashTable *found = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        struct ifaddrs *list = NULL;

        if (getifaddrs(&list) < 0)
                return found;
        for (const struct ifaddrs *each = list; each; each = each->ifa_next) {
                char text[INET6_ADDRSTRLEN] = "";

                if (each->ifa_addr && each->ifa_addr->sa_family == AF_INET)
                        inet_ntop(AF_INET, &((struct sockaddr_in *) each->ifa_addr)->sin_addr, text,
                                  sizeof(text));
                else if (each->ifa_addr && each->ifa_addr->sa_family == AF_INET6)
                        inet_ntop(AF_INET6, &((struct sockaddr_in6 *) each->ifa_addr)->sin6_addr, text,
                                  sizeof(text));
                if (text[0])
                        g_hash_table_insert(found, g_strdup(text), g_strdup(each->ifa_name));
        }
        freeifaddrs(list);
        return found;
}

static bool is_listed(const MonitorView *view, const char *local, uint16_t local_port,
                      uint16_t remote_port) {
        for (guint i = 0; i < view->subflows->len; i++) {
                const MonitorSubflow *each = &g_array_index(view->subflows, MonitorSubflow, i);
                if (each->local_port == local_port && each->remote_port == remote_port &&
                    streq(each->local_address, local))
                        return true;
        }
        return false;
}

static void add_plain(MonitorView *view, GHashTable *addresses, const Plain *plain) {
        const TcpConnection *connection = &plain->measures.connection;
        char local[INET6_ADDRSTRLEN], remote[INET6_ADDRSTRLEN];
        MonitorSubflow subflow = {
                .local_port = ntohs(connection->local_port),
                .remote_port = ntohs(connection->remote_port),
                .sent_rate = plain->sent_rate,
                .received_rate = plain->received_rate,
                .measured = true,
                .rtt_us = plain->measures.rtt_us,
                .retransmissions = plain->measures.retransmissions,
        };

        address_text(&connection->local, local);
        if (is_listed(view, local, subflow.local_port, subflow.remote_port))
                return;
        subflow.link = link_of(addresses, &connection->local);
        subflow.form = g_strdup("plain");
        subflow.local_address = g_strdup(local);
        subflow.remote_address = g_strdup(address_text(&connection->remote, remote));
        g_array_append_val(view->subflows, subflow);
}

static gint compare_plain(gconstpointer a, gconstpointer b) {
        const Plain *first = *(const Plain *const *) a, *second = *(const Plain *const *) b;
        const uint64_t one = first->sent_rate + first->received_rate;
        const uint64_t other = second->sent_rate + second->received_rate;

        return one > other ? -1 : one < other;
}

/* The busiest of them, each with a link of its own below which it is shown. */
static void add_plain_subflows(MonitorFeed *feed, MonitorView *view, unsigned limit) {
        g_autoptr(GPtrArray) sorted = g_ptr_array_new();
        GHashTableIter iterator;
        gpointer plain;

        if (g_hash_table_size(feed->plain) == 0)
                return;
        g_autoptr(GHashTable) addresses = list_addresses();
        g_hash_table_iter_init(&iterator, feed->plain);
        while (g_hash_table_iter_next(&iterator, NULL, &plain))
                g_ptr_array_add(sorted, plain);
        g_ptr_array_sort(sorted, compare_plain);
        for (guint i = 0; i < sorted->len && view->subflows->len < limit; i++)
                add_plain(view, addresses, g_ptr_array_index(sorted, i));
}

/* Links of plain subflows that the service has nothing to do with. */
static void add_other_links(MonitorFeed *feed, MonitorView *view) {
        for (guint i = 0; i < view->subflows->len; i++) {
                const char *name = g_array_index(view->subflows, MonitorSubflow, i).link;
                bool known = !name[0];

                for (guint k = 0; k < view->links->len && !known; k++)
                        known = streq(g_array_index(view->links, MonitorLink, k).name, name);
                if (!known)
                        add_link(feed, view, if_nametoindex(name), name, "off");
        }
}

/* Who has the service's name on the bus; NULL: nobody. Nobody is started for that. Caller frees. */
static char *find_owner(const MonitorFeed *feed) {
        g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
                feed->ctl->bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                "GetNameOwner", g_variant_new("(s)", BUS_NAME), G_VARIANT_TYPE("(s)"),
                G_DBUS_CALL_FLAGS_NO_AUTO_START, ANSWER_MS, NULL, NULL);
        char *owner = NULL;

        if (reply)
                g_variant_get(reply, "(s)", &owner);
        return owner;
}

/* Whether there is a service. Another one than at the last look knows of no subscription. */
static bool is_running(MonitorFeed *feed) {
        char *owner = find_owner(feed);

        if (owner && g_strcmp0(owner, feed->owner) != 0) {
                feed->subscribed = false;
                g_clear_pointer(&feed->destinations, g_variant_unref);
        }
        g_free(feed->owner);
        feed->owner = owner;
        return owner;
}

static bool subscribe(MonitorFeed *feed, GError **error) {
        if (feed->subscribed)
                return true;

        g_autoptr(GVariant) reply = bus_call(feed->ctl, "Subscribe", NULL, "()", ANSWER_MS, NULL, error);
        feed->subscribed = reply;
        if (reply)
                tell(feed, "service", g_strdup(_("Underpass answers")));
        return feed->subscribed;
}

static void note_trouble(MonitorFeed *feed, MonitorView *view, const char *sentence) {
        view->trouble = g_strdup(sentence);
        g_clear_pointer(&feed->destinations, g_variant_unref);
        if (feed->subscribed)
                tell(feed, "service", g_strdup(sentence));
        feed->subscribed = false;
}

MonitorView *monitor_feed_look(MonitorFeed *feed, unsigned flows) {
        MonitorView *view = monitor_view_new();
        g_autoptr(GError) error = NULL;

        if (!is_running(feed))
                note_trouble(feed, view,
                             _("Underpass is not running; waiting for it. `systemctl enable --now "
                               "underpass.service` starts it."));
        else if (!subscribe(feed, &error) || !add_links(feed, view, &error) ||
                 !add_flows(feed, view, flows, &error) || !add_destinations(feed, view, &error))
                note_trouble(feed, view, error->message);
        dump_sockets(feed);
        add_plain_subflows(feed, view, flows);
        add_other_links(feed, view);
        return view;
}
