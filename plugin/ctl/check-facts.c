/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See check-facts.h. */

#include <net/if.h>
#include <sys/utsname.h>

#include "ctl/check-facts.h"
#include "ctl/destinations.h"
#include "ctl/files.h"
#include "ctl/nm-device.h"
#include "ctl/properties.h"
#include "ctl/source-check.h"
#include "ctl/text.h"
#include "ctl/unit.h"
#include "kernel/mptcp-pm.h"
#include "kernel/netstat.h"
#include "kernel/process.h"
#include "kernel/rtnl.h"
#include "kernel/sock-diag.h"
#include "kernel/sysctl.h"
#include "plan/counters.h"
#include "plan/sctp.h"
#include "profile/keys.h"
#include "profile/profile.h"

/* Nobody has these addresses, so default routes lead there. */
#define FAR "192.88.99.1"
#define FAR_IPV6 "2000::1"

struct CheckFacts {
        Ctl *ctl;
        CheckDepth depth;
        CheckHost host;
        GVariant *destinations; /* NULL: not known */
        Rtnl *rtnl; /* NULL: cannot be asked */
        Routes *routes; /* likewise */
        MptcpEndpoint *endpoints;
        uint16_t *udp_ports, *tcp_listeners, *mptcp_listeners;
        GVariant *file_rows;    /* NULL: the service does not tell */
        CheckFile *files;
        char *unit_error;
        struct utsname system;
        NmNamed asking;         /* what host.asking is of */
        GHashTable *devices;    /* of NetworkManager that were asked about: interface → NmDevice */
};

static void device_free(gpointer data) {
        NmDevice *device = data;

        nm_device_done(device);
        g_free(device);
}

/* Asks once. There must be a bus. */
static const NmDevice *read_device(CheckFacts *facts, const char *interface) {
        NmDevice *device = g_hash_table_lookup(facts->devices, interface);

        if (device)
                return device;
        device = g_new0(NmDevice, 1);
        nm_device_read(facts->ctl, interface, device);
        g_hash_table_insert(facts->devices, g_strdup(interface), device);
        return device;
}

static void read_mptcp(CheckFacts *facts) {
        CheckHost *host = &facts->host;
        _cleanup_(mptcp_pm_freep) MptcpPm *pm = NULL;
        NetstatMptcp counted = {};
        bool enabled = false;

        if (sysctl_mptcp_enabled(&enabled) < 0 || access("/proc/sys/net/mptcp/enabled", F_OK) < 0)
                host->mptcp = CHECK_MPTCP_MISSING;
        else
                host->mptcp = enabled ? CHECK_MPTCP_ON : CHECK_MPTCP_OFF;
        if (netstat_mptcp(&counted) >= 0) {
                host->asked = counted.asked;
                host->fallen_back = counted.fallen_back;
        }
        (void) sysctl_mptcp_by_program(&host->subflows_by_program);
        if (mptcp_pm_open(&pm) < 0)
                return;
        host->limits_known = mptcp_pm_subflows_max(pm, &host->subflows_max) >= 0;
        host->endpoints_known = mptcp_pm_dump(pm, &facts->endpoints, &host->endpoints_count) >= 0;
        host->endpoints = facts->endpoints;
}

static void read_sockets(CheckFacts *facts) {
        CheckHost *host = &facts->host;

        host->udp_ports.known = sock_diag_udp_ports(&facts->udp_ports, &host->udp_ports.count) >= 0;
        host->udp_ports.ports = facts->udp_ports;
        host->tcp_listeners.known =
                sock_diag_listeners(false, &facts->tcp_listeners, &host->tcp_listeners.count) >= 0;
        host->tcp_listeners.ports = facts->tcp_listeners;
        host->mptcp_listeners.known =
                sock_diag_listeners(true, &facts->mptcp_listeners, &host->mptcp_listeners.count) >= 0;
        host->mptcp_listeners.ports = facts->mptcp_listeners;
}

/* Strings of the files belong to the rows, the lists to the files. */
static void read_files(CheckFacts *facts) {
        CheckHost *host = &facts->host;

        facts->file_rows = files_list(facts->ctl);
        if (!facts->file_rows)
                return;
        host->files_count = g_variant_n_children(facts->file_rows);
        facts->files = g_new0(CheckFile, host->files_count + 1);
        host->files = facts->files;
        for (size_t i = 0; i < host->files_count; i++) {
                CheckFile *file = &facts->files[i];
                g_autofree const char **links = NULL;
                const char **complaints;

                g_variant_get_child(facts->file_rows, i, "(&s^a&s^a&s)", &file->path, &complaints, &links);
                file->complaints = (char *const *) complaints;
                file->has_links = links[0] != NULL;
        }
}

static void count_links(CheckHost *host, GPtrArray *links) {
        bool sctp = false, tunnel = false;

        for (guint i = 0; links && i < links->len; i++) {
                GVariant *link = g_ptr_array_index(links, i);
                const char *state = property_string(link, "State");
                Settings settings;

                property_settings(link, &settings);
                sctp = sctp || sctp_alone(&settings);
                /* A profile that is wrong may ask for one. */
                tunnel = tunnel || settings.tunnel != TUNNEL_NO || !streq(state, "off");
                host->links_trying += streq(state, "active") ||
                                      (settings.tunnel != TUNNEL_NO && !streq(state, "off"));
                if (!streq(state, "active"))
                        continue;
                host->links_active++;
                if (*property_setting(link, "remote-ports"))
                        host->links_building++;
        }
        host->sctp_alone = sctp && !tunnel;
}

/* Whether a link with a tunnel has a temporary address. */
static bool begins_from_temporary(const CheckFacts *facts, GPtrArray *links) {
        for (guint i = 0; facts->rtnl && links && i < links->len; i++) {
                GVariant *link = g_ptr_array_index(links, i);
                _cleanup_(rtnl_facts_freep) LinkFacts *found = NULL;

                if (!streq(property_string(link, "State"), "active") ||
                    rtnl_link(facts->rtnl, property_number(link, "InterfaceIndex"), &found) < 0)
                        continue;
                for (size_t k = 0; k < found->addresses_count; k++)
                        if (address_is_temporary(&found->addresses[k]))
                                return true;
        }
        return false;
}

static bool is_active_on_any(GPtrArray *links, const char *uuid) {
        for (guint i = 0; i < links->len; i++) {
                const char *its = "";

                g_variant_lookup(g_ptr_array_index(links, i), "Connection", "(&s&s)", NULL, &its);
                if (streq(its, uuid))
                        return true;
        }
        return false;
}

/* A profile that asks for a tunnel and is active on no link, of the tunnel profiles or of all others. */
static bool find_asking(CheckFacts *facts, GPtrArray *links, bool tunnel_profiles) {
        const GPtrArray *profiles = nm_profiles(facts->ctl);

        for (guint i = 0; i < profiles->len; i++) {
                const NmProfile *profile = g_ptr_array_index(profiles, i);

                if (nm_profile_is_tunnel(profile) != tunnel_profiles ||
                    is_active_on_any(links, profile->uuid))
                        continue;
                nm_named_done(&facts->asking);
                nm_profile_find(facts->ctl, profile->uuid, &facts->asking);
                if (facts->asking.tunnel)
                        return true;
        }
        return false;
}

/* Of a profile and the tunnel profile for it, it is the first that can be brought up. */
static void read_asking(CheckFacts *facts, GPtrArray *links) {
        const bool base = find_asking(facts, links, false);
        const NmNamed *asking = &facts->asking;

        if (!base && !find_asking(facts, links, true))
                return;
        facts->host.asking = (CheckProfile) {
                asking->id, base ? asking->uuid : NULL, asking->unique, true,
        };
        if (base && *asking->interface && if_nametoindex(asking->interface) == 0 &&
            !read_device(facts, asking->interface)->known)
                facts->host.asking_link = asking->interface;
}

CheckFacts *check_facts_new(Ctl *ctl, CheckDepth depth, GVariant *manager, GPtrArray *links,
                            GVariant *destinations, const char *error) {
        CheckFacts *facts = g_new0(CheckFacts, 1);
        CheckHost *host = &facts->host;

        facts->ctl = ctl;
        facts->depth = depth;
        facts->destinations = destinations;
        facts->unit_error = g_strdup(error);
        facts->devices = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, device_free);
        (void) uname(&facts->system);
        host->kernel = facts->system.release;
        host->answers = manager != NULL;
        host->version = manager ? property_string(manager, "Version") : "";
        host->bpf_error = manager ? property_string(manager, "BpfError") : "";
        host->attach_point = manager ? property_string(manager, "AttachPoint") : "";
        if (depth == CHECK_DEPTH_FULL) {
                if (ctl->bus)
                        host->unit = unit_state(ctl->bus);
                if (!manager && host->unit != CHECK_UNIT_UNKNOWN) {
                        g_autofree char *words = unit_last_words();

                        if (*words) {
                                g_free(facts->unit_error);
                                facts->unit_error = g_steal_pointer(&words);
                        }
                }
        }
        if (depth != CHECK_DEPTH_QUICK)
                read_sockets(facts);
        if (depth == CHECK_DEPTH_FULL && manager)
                read_files(facts);
        host->unit_error = facts->unit_error;
        read_mptcp(facts);
        count_links(host, links);
        /* A profile that is not active counts as well. */
        if (host->sctp_alone && depth != CHECK_DEPTH_QUICK && ctl->bus && nm_profiles_any_tunnel(ctl))
                host->sctp_alone = false;
        if (depth == CHECK_DEPTH_FULL && links && host->links_trying == 0 && ctl->bus)
                read_asking(facts, links);
        if (depth != CHECK_DEPTH_QUICK) {
                (void) rtnl_open(&facts->rtnl);
                (void) routes_open(&facts->routes);
        }
        host->temporary = begins_from_temporary(facts, links);
        return facts;
}

void check_facts_free(CheckFacts *facts) {
        rtnl_free(facts->rtnl);
        routes_free(facts->routes);
        free(facts->endpoints);
        free(facts->udp_ports);
        free(facts->tcp_listeners);
        free(facts->mptcp_listeners);
        for (size_t i = 0; i < facts->host.files_count; i++)
                g_free((gpointer) facts->files[i].complaints);
        g_free(facts->files);
        g_clear_pointer(&facts->file_rows, g_variant_unref);
        g_free(facts->unit_error);
        g_hash_table_unref(facts->devices);
        nm_named_done(&facts->asking);
        g_free(facts);
}

void check_facts_host(CheckFacts *facts, CheckLines *lines) {
        (void) check_host(&facts->host, lines);
}

static void read_counters(GVariant *link, struct underpass_counters *ret) {
        g_autoptr(GVariant) counters = property_array(link, "Counters", "a{st}");

        for (int i = 0; i < UNDERPASS_COUNTER_COUNT; i++) {
                guint64 value = 0;

                g_variant_lookup(counters, counter_info((enum underpass_counter) i)->name, "t", &value);
                ret->value[i] = value;
        }
}

/* Caller frees the first destination. */
static char *read_blocked(const CheckFacts *facts, uint32_t ifindex, CheckBlocked *ret) {
        const struct {
                const char *state;
                size_t *count;
        } states[] = {
                { "refused", &ret->refused },
                { "filtered", &ret->filtered },
                { "silent", &ret->silent },
                { "throttled", &ret->throttled },
        };
        char *first = NULL;

        for (size_t i = 0; facts->destinations && i < ELEMENTS(states); i++) {
                for (size_t row = 0; row < g_variant_n_children(facts->destinations); row++) {
                        Destination destination;

                        destinations_read(facts->destinations, row, &destination);
                        if (destination.ifindex != ifindex || !streq(destination.state, states[i].state))
                                continue;
                        (*states[i].count)++;
                        if (!first)
                                first = text_endpoint(destination.remote, destination.remote_port);
                }
        }
        return first ?: g_strdup("");
}

/* Whether the kernel drops what comes in by the link from any of remote-addresses; without these, or where
 * they are all there are, from far away. */
static bool drops_answers(const CheckFacts *facts, const LinkFacts *link, const PrefixSet *remotes) {
        Address far = {}, place = {};

        if (!facts->routes || address_from_text(FAR, &far) < 0)
                return false;
        for (size_t i = 0; i < remotes->count; i++) {
                memcpy(place.word, remotes->prefixes[i].address, sizeof(place.word));
                if (source_check_drops(facts->routes, link, &place))
                        return true;
        }
        return (remotes->count == 0 || prefix_set_contains(remotes, far.word)) &&
               source_check_drops(facts->routes, link, &far);
}

/* By a gateway, or without, as by a modem. */
static bool leads_far(const CheckFacts *facts, const LinkFacts *link) {
        static const char *const places[_FACTS_FAMILY_MAX] = { FAR, FAR_IPV6 };
        RouteQuery query = { .user = getuid(), .bound = link->ifindex };

        for (FactsFamily i = 0; i < _FACTS_FAMILY_MAX; i++)
                if (!address_equal(&link->gateways[i], &(Address) {}) ||
                    (facts->routes && address_from_text(places[i], &query.remote) >= 0 &&
                     routes_lead(facts->routes, &query)))
                        return true;
        return false;
}

/* A port of a VRF has addresses of its own. */
static void read_upper(const LinkFacts *link, CheckLink *ret) {
        for (size_t i = 0; i < link->addresses_count; i++)
                if (endpoint_address_suitable(&link->addresses[i]))
                        return;
        if (link->upper != 0 && !if_indextoname(link->upper, ret->upper))
                *ret->upper = '\0';
}

/* What the kernel says of the link. Caller frees the addresses. */
static Address *read_kernel(const CheckFacts *facts, uint32_t ifindex, CheckLink *ret) {
        _cleanup_(rtnl_facts_freep) LinkFacts *found = NULL;
        Address *addresses;

        if (facts->depth == CHECK_DEPTH_QUICK || !facts->rtnl || rtnl_link(facts->rtnl, ifindex, &found) < 0)
                return NULL;
        addresses = g_new0(Address, found->addresses_count + 1);
        for (size_t i = 0; i < found->addresses_count; i++)
                addresses[i] = found->addresses[i].address;
        ret->mtu = found->mtu;
        ret->down = !(found->flags & IFF_UP);
        read_upper(found, ret);
        ret->leads_far = leads_far(facts, found);
        ret->drops_answers = drops_answers(facts, found, &ret->settings.remote_addresses);
        ret->addresses_known = true;
        ret->addresses = addresses;
        ret->addresses_count = found->addresses_count;
        return addresses;
}

/* As far as the user may look into processes, which the service may not. */
static void read_holder(uint32_t ifindex, const Settings *settings, CheckHolder *ret) {
        _cleanup_(freep) UdpSocket *sockets = NULL;
        size_t count = 0;
        Process process;

        if (settings->receive != UNDERPASS_RECEIVE_SOCKET || sock_diag_udp_sockets(&sockets, &count) < 0)
                return;
        for (size_t i = 0; i < count; i++) {
                if (sockets[i].inode == 0 || (sockets[i].bound != 0 && sockets[i].bound != ifindex) ||
                    !port_set_contains(&settings->local_ports, sockets[i].port) ||
                    process_find_socket(sockets[i].inode, &process) < 0)
                        continue;
                *ret = (CheckHolder) { .port = sockets[i].port, .process = process.pid };
                memcpy(ret->name, process.name, sizeof(ret->name));
                return;
        }
}

/* The words of an array of strings; ends in NULL. Free the container only. */
static GPtrArray *words_of(GVariant *array) {
        GPtrArray *words = g_ptr_array_new();

        for (size_t i = 0; i < g_variant_n_children(array); i++) {
                const char *word;

                g_variant_get_child(array, i, "&s", &word);
                g_ptr_array_add(words, (gpointer) word);
        }
        g_ptr_array_add(words, NULL);
        return words;
}

/* The profile that the key tunnel comes from: "LTE", "/etc/underpass/lte.conf:3"; "" for the default. */
static const char *read_tunnel_origin(GVariant *link) {
        g_autoptr(GVariant) rows = property_array(link, "Settings", "a(ssss)");
        const char *key, *source, *where, *id = "";

        for (size_t i = 0; i < g_variant_n_children(rows); i++) {
                g_variant_get_child(rows, i, "(&s&s&s&s)", &key, NULL, &source, &where);
                if (!streq(key, key_get(KEY_ID_TUNNEL)->name))
                        continue;
                if (streq(source, profile_source_name(PROFILE_SOURCE_NETWORK_MANAGER)))
                        g_variant_lookup(link, "Connection", "(&s&s)", &id, NULL);
                else if (streq(source, profile_source_name(PROFILE_SOURCE_NM_TUNNEL)))
                        g_variant_lookup(link, "TunnelProfile", "(&s&s)", &id, NULL);
                return *id ? id : where;
        }
        return "";
}

/* The profile to activate on a device; its strings belong to that. */
static CheckProfile first_candidate(const NmDevice *device) {
        return (CheckProfile) {
                .id = device->profiles->pdata[0],
                .uuid = device->first_uuid,
                .unique = device->first_is_unique,
                .tunnel = true,
                .on = device->first_on,
        };
}

bool check_facts_waits(CheckFacts *facts, GVariant *link) {
        const char *id = "";
        const NmDevice *device;

        g_variant_lookup(link, "Connection", "(&s&s)", &id, NULL);
        if (*id || !facts->ctl->bus || facts->host.links_trying > 0 || !nm_profiles_any_tunnel(facts->ctl))
                return false;
        device = read_device(facts, property_string(link, "Name"));
        return device->managed && device->profiles->pdata[0];
}

bool check_facts_is_spare(CheckFacts *facts, GVariant *link) {
        const char *file = property_row(link, "ConnectionSettings", "a(ss)", "network-file");
        CheckLink check = {};
        g_autofree Address *addresses = read_kernel(facts, property_number(link, "InterfaceIndex"), &check);

        return facts->host.links_trying > 0 && *file && check.down;
}

/* Whether connection.mptcp-flags make no endpoint for subflows. By default they do where there is a default
 * route, unless NetworkManager's configuration says otherwise, and then no link has one. */
static bool flags_fall_short(const CheckHost *host, const CheckLink *link, const char *flags) {
        const bool routed = link->leads_far || strstr(flags, "also-without-default-route");

        if (streq(flags, "default"))
                return !routed || host->endpoints_count == 0;
        return !routed || !strstr(flags, "subflow");
}

void check_facts_link(CheckFacts *facts, GVariant *link, bool asked, CheckLines *lines) {
        g_autoptr(GVariant) warnings = property_array(link, "Warnings", "as");
        g_autoptr(GPtrArray) warning_words = words_of(warnings);
        CheckLink check = {
                .name = property_string(link, "Name"),
                .state = property_string(link, "State"),
                .reason = property_string(link, "Reason"),
                .last_error = property_string(link, "LastError"),
                .last_stage = property_string(link, "LastStage"),
                .warnings = (char *const *) warning_words->pdata,
                .connection = "",
                .connection_uuid = "",
                .network_file = property_row(link, "ConnectionSettings", "a(ss)", "network-file"),
        };
        const char *flags = property_row(link, "ConnectionSettings", "a(ss)", "connection.mptcp-flags");
        const uint32_t ifindex = property_number(link, "InterfaceIndex");
        g_autofree char *first = read_blocked(facts, ifindex, &check.blocked);
        property_settings(link, &check.settings);
        g_autofree Address *addresses = read_kernel(facts, ifindex, &check);

        g_variant_lookup(link, "Connection", "(&s&s)", &check.connection, &check.connection_uuid);
        /* A file has to be written for it. */
        if (facts->depth != CHECK_DEPTH_QUICK && nm_profile_is_mirror(facts->ctl, check.connection_uuid))
                check.connection = check.connection_uuid = "";
        check.blocked.first = first;
        check.spare = !asked && facts->host.links_trying > 0;
        check.registers_endpoints = *flags && !streq(flags, "disabled");
        check.flags_fall_short = flags_fall_short(&facts->host, &check, flags);
        if (facts->depth != CHECK_DEPTH_QUICK && !*check.connection && streq(check.state, "off") &&
            facts->ctl->bus) {
                const NmDevice *device = read_device(facts, check.name);

                check.managed = device->managed;
                check.profiles = (char *const *) device->profiles->pdata;
                check.candidate = first_candidate(device);
        }
        check.tunnel_origin = read_tunnel_origin(link);
        if (facts->depth != CHECK_DEPTH_QUICK)
                read_holder(ifindex, &check.settings, &check.holder);
        read_counters(link, &check.counters);
        (void) check_link(&facts->host, &check, lines);
        if (asked || !streq(check.state, "off") || check_lines_first_bad(lines))
                facts->host.about_links = true;
}

char *check_facts_fault(const CheckLines *lines) {
        const CheckLine *bad = check_lines_first_bad(lines);

        if (!bad)
                return NULL;
        return bad->command ? g_strdup_printf("%s `%s`", bad->sentence, bad->command) :
                              g_strdup(bad->sentence);
}

void check_facts_bare_link(CheckFacts *facts, const char *interface, const NmNamed *profile,
                           CheckLines *lines) {
        char *only[] = { profile ? profile->id : NULL, NULL };
        CheckLink check = {
                .name = interface,
                .state = "",
                .reason = "",
                .last_error = "",
                .last_stage = "",
                .connection = "",
                .connection_uuid = "",
                .network_file = "",
                .tunnel_origin = "",
                .blocked = { .first = "" },
        };
        g_autofree Address *addresses = read_kernel(facts, if_nametoindex(interface), &check);
        const NmDevice *device = facts->ctl->bus ? read_device(facts, interface) : NULL;

        settings_init(&check.settings);
        if (device) {
                check.managed = device->managed || profile;
                check.connection = device->connection;
                check.profiles = profile ? only : (char *const *) device->profiles->pdata;
                check.candidate = first_candidate(device);
        }
        if (profile) {
                check.candidate = (CheckProfile) {
                        profile->id, profile->uuid, profile->unique, profile->tunnel,
                };
                check.asked = true;
                check.absent = if_nametoindex(interface) == 0 && !(device && device->known);
        }
        (void) check_link(&facts->host, &check, lines);
        facts->host.about_links = true;
}
