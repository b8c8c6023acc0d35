/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Decides what shall be true of a link, and which steps lead there.
 * The same input always gives the same plan.
 */

#include <arpa/inet.h>
#include <net/if_arp.h>

#include "base/message.h"
#include "plan/plan.h"
#include "plan/warnings.h"

#ifndef ARPHRD_RAWIP
#define ARPHRD_RAWIP 519
#endif
#ifndef ARPHRD_IP6GRE
#define ARPHRD_IP6GRE 823
#endif
#ifndef ARPHRD_NONE
#define ARPHRD_NONE 0xfffe
#endif

enum { MSS_MAX = 65535 };

/* Takes the sentence. -EINVAL, or -ENOMEM when there is none. */
static int reject(char **ret_error, char *sentence) {
        if (!sentence)
                return -ENOMEM;
        *ret_error = sentence;
        return -EINVAL;
}

/* Takes the sentence. */
static int decide(Plan *plan, PlanDecision decision, char *sentence) {
        if (!sentence)
                return -ENOMEM;
        plan->decision = decision;
        plan->reason = sentence;
        return 0;
}

static const MptcpEndpoint *endpoint_on_link(const PlanInput *input) {
        const LinkFacts *facts = input->facts;

        for (size_t i = 0; i < input->endpoints_count; i++) {
                const MptcpEndpoint *endpoint = &input->endpoints[i];

                if (endpoint->ifindex == facts->ifindex)
                        return endpoint;
                for (size_t k = 0; k < facts->addresses_count; k++)
                        if (address_equal(&endpoint->address, &facts->addresses[k].address))
                                return endpoint;
        }
        return NULL;
}

/* GRE to many ends puts its own header before a packet when the stack asks for a link layer header
 * (ipgre_header_ops of the kernel), so the programs do not find that of IP. */
static bool has_many_ends(const LinkFacts *facts) {
        return (facts->type == ARPHRD_IPGRE || facts->type == ARPHRD_IP6GRE) &&
               (!(facts->flags & IFF_POINTOPOINT) || (facts->flags & IFF_BROADCAST));
}

bool plan_knows_type(const LinkFacts *facts, bool *ret_raw_ip) {
        static const struct {
                uint16_t type;
                bool raw_ip;
        } types[] = {
                { ARPHRD_ETHER, false },
                { ARPHRD_NONE, true },
                { ARPHRD_PPP, true },
                { ARPHRD_RAWIP, true },
                { ARPHRD_TUNNEL, true },  /* ipip, vti */
                { ARPHRD_TUNNEL6, true }, /* ip6tnl, DS-Lite among them, vti6 */
                { ARPHRD_SIT, true },
                { ARPHRD_IPGRE, true },
                { ARPHRD_IP6GRE, true },
        };

        if (has_many_ends(facts))
                return false;
        for (size_t i = 0; i < ELEMENTS(types); i++)
                if (types[i].type == facts->type) {
                        *ret_raw_ip = types[i].raw_ip;
                        return true;
                }
        return false;
}

static bool is_loopback(const LinkFacts *facts) {
        return (facts->flags & IFF_LOOPBACK) || facts->type == ARPHRD_LOOPBACK;
}

bool plan_can_attach(const LinkFacts *facts) {
        bool raw_ip;

        return !is_loopback(facts) && plan_knows_type(facts, &raw_ip);
}

static int check_type(const PlanInput *input, bool *ret_raw_ip, char **ret_error) {
        const LinkFacts *facts = input->facts;
        _cleanup_(freep) char *name = value_excerpt(facts->name);

        if (!name)
                return -ENOMEM;
        /* A loopback device calls itself Ethernet in some guises, so the flag decides first. */
        if (is_loopback(facts))
                return reject(ret_error, message_format(N_("%s is a loopback device: its packets never meet "
                                                           "a middlebox; remove the key tunnel from its "
                                                           "profile."),
                                                        name));
        if (plan_knows_type(facts, ret_raw_ip))
                return 0;
        if (has_many_ends(facts))
                return reject(ret_error, message_format(N_("%s is a GRE tunnel to many ends; Underpass "
                                                           "needs one with a local and a remote address."),
                                                        name));
        return reject(ret_error, message_format(N_("%s has type %u; Underpass works on Ethernet and raw-IP "
                                                   "devices."),
                                                name, (unsigned) facts->type));
}

static int check_mtu(const PlanInput *input, char **ret_error) {
        const uint32_t mtu = input->profile->settings.mtu;
        const LinkFacts *facts = input->facts;
        const bool below = facts->minimum_mtu != 0 && mtu < facts->minimum_mtu;
        const bool above = facts->maximum_mtu != 0 && mtu > facts->maximum_mtu;

        if (mtu == 0)
                return 0;

        _cleanup_(freep) char *key = profile_key_name(key_get(KEY_ID_MTU),
                                                      input->profile->origins[KEY_ID_MTU].source);
        _cleanup_(freep) char *name = value_excerpt(facts->name);
        if (!key || !name)
                return -ENOMEM;

        if (mtu < IPV6_MTU_MIN && input->ipv6_enabled)
                return reject(ret_error, message_format(N_("%s=%u on %s: IPv6 is enabled there and needs at "
                                                           "least %d; choose %d or more, or disable IPv6 on "
                                                           "the connection."),
                                                        key, mtu, name, IPV6_MTU_MIN, IPV6_MTU_MIN));
        if ((below || above) && facts->maximum_mtu != 0)
                return reject(ret_error,
                              message_format(N_("%s=%u on %s: the device takes %u … %u; choose a value in "
                                                "this range, or auto."),
                                             key, mtu, name, facts->minimum_mtu, facts->maximum_mtu));
        if (below)
                return reject(ret_error, message_format(N_("%s=%u on %s: the device takes %u or more; "
                                                           "choose such a value, or auto."),
                                                        key, mtu, name, facts->minimum_mtu));
        return 0;
}

/* That the link will have: what the profile asks for, what comes back, or what is there. */
static uint32_t mtu_to_be(const PlanInput *input) {
        if (input->profile->settings.mtu != 0)
                return input->profile->settings.mtu;
        return input->mtu_before != 0 ? input->mtu_before : input->facts->mtu;
}

/* With auto the segments follow the MTU; a number must fit it. */
static int check_mss(const PlanInput *input, char **ret_error) {
        const Settings *settings = &input->profile->settings;
        const uint32_t mtu = mtu_to_be(input);

        if (settings->mss == 0 || mtu <= IPV4_AND_TCP_BYTES || settings->mss <= mtu - IPV4_AND_TCP_BYTES)
                return 0;

        _cleanup_(freep) char *mss = profile_describe(input->profile, KEY_ID_MSS);
        _cleanup_(freep) char *name = value_excerpt(input->facts->name);
        if (!mss || !name)
                return -ENOMEM;
        return reject(ret_error, message_format(N_("%s: segments of this size do not fit the MTU of %s, %u; "
                                                   "choose at most %u, or auto."),
                                                mss, name, mtu, mtu - IPV4_AND_TCP_BYTES));
}

/* tunnel=auto: there must be an endpoint that the kernel builds subflows from. */
static int decide_auto(const PlanInput *input, Plan *plan, const char *tunnel) {
        _cleanup_(freep) char *name = value_excerpt(input->facts->name);
        const MptcpEndpoint *endpoint = endpoint_on_link(input);
        char address[INET6_ADDRSTRLEN];

        if (!name)
                return -ENOMEM;
        if (!endpoint)
                return decide(plan, PLAN_WAIT,
                              message_format(N_("%s, and %s carries no MPTCP endpoint yet."), tunnel, name));
        return decide(plan, PLAN_ATTACH,
                      message_format(N_("%s, and %s carries the MPTCP endpoint %s."), tunnel, name,
                                     address_text(&endpoint->address, address)));
}

static int plan_decide(const PlanInput *input, Plan *plan, char **ret_error) {
        const Profile *profile = input->profile;

        /* Before the profile's errors: a tunnel that is there must come off also when the profile has become
         * bad. */
        if (input->held_off)
                return decide(plan, PLAN_OFF,
                              strdup(M_("Deactivated by hand; `underpassctl activate` or the next "
                                        "activation of the connection attaches the tunnel again.")));
        if (profile->network_down)
                return decide(plan, PLAN_OFF,
                              message_format(N_("The link is down; the profile in %s takes effect when it "
                                                "is up."),
                                             profile->network_file));
        if (profile->error)
                return reject(ret_error, strdup(profile->error));
        if (profile->settings.tunnel == TUNNEL_NO &&
            profile->origins[KEY_ID_TUNNEL].source == PROFILE_SOURCE_DEFAULT)
                return decide(plan, PLAN_OFF, strdup(M_("No profile asks for a tunnel.")));

        _cleanup_(freep) char *tunnel = profile_describe(profile, KEY_ID_TUNNEL);
        if (!tunnel)
                return -ENOMEM;
        if (profile->settings.tunnel == TUNNEL_NO)
                return decide(plan, PLAN_OFF, message_format(N_("%s."), tunnel));

        int r = check_type(input, &plan->raw_ip, ret_error);
        if (r < 0)
                return r;
        r = check_mtu(input, ret_error);
        if (r < 0)
                return r;
        r = check_mss(input, ret_error);
        if (r < 0)
                return r;

        /* An endpoint of our own comes after the tunnel, so there is nothing to wait for. */
        if (profile->settings.tunnel == TUNNEL_AUTO && profile->settings.mptcp_endpoint == 0)
                return decide_auto(input, plan, tunnel);
        return decide(plan, PLAN_ATTACH, message_format(N_("%s."), tunnel));
}

/* A link that nothing asks a tunnel for has programs all the same while connections that are in the tunnel
 * leave by it: settings without any port begin no others. */
static int take_in(const PlanInput *input, Plan *plan) {
        _cleanup_(freep) char *name = value_excerpt(input->facts->name);
        char *sentence;

        if (!name)
                return -ENOMEM;
        if (!input->taken_in || plan->decision == PLAN_ATTACH || input->held_off ||
            input->profile->network_down || is_loopback(input->facts) ||
            !plan_knows_type(input->facts, &plan->raw_ip))
                return 0;
        sentence = message_format(N_("Tunnelled connections whose route has moved to %s go on there; new "
                                     "ones do not use the tunnel. %s"),
                                  name, plan->reason);
        if (!sentence)
                return -ENOMEM;
        free(plan->reason);
        plan->reason = sentence;
        plan->decision = PLAN_ATTACH;
        plan->taken_in = true;
        return 0;
}

static uint16_t mss_for(uint32_t mtu, uint32_t headers) {
        return (uint16_t) (mtu > headers ? MIN_OF(mtu - headers, (uint32_t) MSS_MAX) : 0);
}

static void fill_link(const PlanInput *input, struct underpass_link *link) {
        const Settings *settings = &input->profile->settings;
        const uint32_t mtu = mtu_to_be(input);

        if (settings->mptcp_only)
                link->flags |= UNDERPASS_LINK_MPTCP_ONLY;
        if (settings->fwmark.set) {
                link->flags |= UNDERPASS_LINK_FWMARK;
                link->mark = settings->fwmark.value;
                link->mark_mask = settings->fwmark.mask;
        }

        if (settings->fallback)
                link->flags |= UNDERPASS_LINK_FALLBACK;
        if (settings->tunnel == TUNNEL_ON_DEMAND)
                link->flags |= UNDERPASS_LINK_ON_DEMAND;
        link->fallback_after = (uint16_t) settings->fallback_after;
        link->keepalive = (uint16_t) settings->keepalive;
        link->receive = (uint16_t) settings->receive;
        if (settings->bulk != BULK_NO)
                link->flags |= UNDERPASS_LINK_BULK;
        if (settings->bulk == BULK_YES)
                link->flags |= UNDERPASS_LINK_BULK_ALL;

        if (settings->mss == 0)
                link->flags |= UNDERPASS_LINK_MSS_AUTO;
        link->mss_ipv4 = settings->mss != 0 ? (uint16_t) settings->mss : mss_for(mtu, IPV4_AND_TCP_BYTES);
        link->mss_ipv6 = settings->mss != 0 ? (uint16_t) settings->mss : mss_for(mtu, IPV6_AND_TCP_BYTES);

        link->remote_ports_count = (uint16_t) settings->remote_ports.count;
        link->local_ports_count = (uint16_t) settings->local_ports.count;
        link->remote_addresses_count = (uint16_t) settings->remote_addresses.count;
        memcpy(link->remote_ports, settings->remote_ports.ranges, sizeof(link->remote_ports));
        memcpy(link->local_ports, settings->local_ports.ranges, sizeof(link->local_ports));
        memcpy(link->remote_addresses, settings->remote_addresses.prefixes, sizeof(link->remote_addresses));
}

static void fill_endpoints(const PlanInput *input, Plan *plan) {
        const LinkFacts *facts = input->facts;

        if (input->profile->settings.mptcp_endpoint == 0 || !(facts->flags & IFF_UP))
                return;

        plan->endpoint_flags = input->profile->settings.mptcp_endpoint;
        for (size_t i = 0; i < facts->addresses_count && plan->endpoints_count < ELEMENTS(plan->endpoints);
             i++) {
                const Address *address = &facts->addresses[i].address;

                /* One address can be there with several prefix lengths. */
                if (endpoint_address_suitable(&facts->addresses[i]) &&
                    !addresses_contain(plan->endpoints, plan->endpoints_count, address))
                        plan->endpoints[plan->endpoints_count++] = *address;
        }
}

void plan_sctp(const PlanInput *input, uint16_t ports[static _SCTP_PORT_MAX]) {
        const bool asks =
                !input->held_off && !input->profile->network_down && (input->facts->flags & IFF_UP);

        if (asks && input->profile->error)
                return;
        for (SctpPort port = 0; port < _SCTP_PORT_MAX; port++)
                ports[port] = asks ? sctp_setting(&input->profile->settings, port) : 0;
}

int plan_make(const PlanInput *input, Plan **ret_plan, char **ret_error) {
        _cleanup_(plan_freep) Plan *plan = calloc(1, sizeof(*plan));

        if (!plan)
                return -ENOMEM;

        int r = plan_decide(input, plan, ret_error);
        if (r >= 0)
                r = take_in(input, plan);
        if (r < 0)
                return r;
        if (plan->decision == PLAN_ATTACH && !plan->taken_in) {
                fill_link(input, &plan->link);
                plan->mtu = input->profile->settings.mtu;
                fill_endpoints(input, plan);
        }
        if (plan->decision != PLAN_OFF && !plan->taken_in) {
                r = plan_warn(input, plan);
                if (r < 0)
                        return r;
        }
        *ret_plan = TAKE_PTR(plan);
        return 0;
}

Plan *plan_free(Plan *plan) {
        if (!plan)
                return NULL;

        free(plan->reason);
        strings_free(plan->warnings);
        free(plan);
        return NULL;
}

uint32_t plan_mtu_before(const Applied *applied, uint32_t mtu) {
        return mtu == applied->mtu_set ? applied->mtu_original : 0;
}

/* True when each of these addresses is among those. */
static bool all_in(const Address *these, size_t these_count, const Address *those, size_t those_count) {
        for (size_t i = 0; i < these_count; i++)
                if (!addresses_contain(those, those_count, &these[i]))
                        return false;
        return true;
}

static uint32_t diff_endpoints(const Applied *applied, const Plan *plan) {
        const bool other_flags = applied->endpoints_count > 0 && plan->endpoints_count > 0 &&
                                 applied->endpoint_flags != plan->endpoint_flags;
        uint32_t steps = 0;

        if (other_flags || (applied->endpoints_count > 0 && plan->endpoint_flags == 0))
                steps |= STEP_REMOVE_ENDPOINTS;
        else if (!all_in(applied->endpoints, applied->endpoints_count, plan->endpoints,
                         plan->endpoints_count))
                steps |= STEP_REDUCE_ENDPOINTS;
        if (other_flags ||
            !all_in(plan->endpoints, plan->endpoints_count, applied->endpoints, applied->endpoints_count))
                steps |= STEP_ENDPOINTS;
        return steps;
}

static bool same_settings(const struct underpass_link *a, const struct underpass_link *b) {
        struct underpass_link copy = *a;

        copy.slot = b->slot;
        return memcmp(&copy, b, sizeof(copy)) == 0;
}

bool plan_equal(const Plan *a, const Plan *b) {
        return a->decision == b->decision && a->taken_in == b->taken_in && a->raw_ip == b->raw_ip &&
               same_settings(&a->link, &b->link) && a->mtu == b->mtu &&
               a->endpoint_flags == b->endpoint_flags &&
               a->endpoints_count == b->endpoints_count &&
               all_in(a->endpoints, a->endpoints_count, b->endpoints, b->endpoints_count);
}

static uint32_t diff_off(const Applied *applied, const PlanSituation *situation) {
        return (applied->endpoints_count > 0 ? STEP_REMOVE_ENDPOINTS : 0U) |
               (applied->mtu_original != 0 ? STEP_RESTORE_MTU : 0U) |
               (applied->attached || situation->unconfirmed ? STEP_DETACH : 0U);
}

static uint32_t diff_programs(const Applied *applied, const Plan *plan, const PlanSituation *situation) {
        if (!applied->attached)
                return STEP_ATTACH;
        if (situation->unconfirmed || applied->taken_in != plan->taken_in ||
            !same_settings(&applied->link, &plan->link))
                return STEP_SETTINGS;
        return situation->receive_differs ? STEP_RECEIVE : 0;
}

/* Whether nothing but addresses has gone: the link is up, and the profile asks for the same as before. */
static bool only_addresses_are_missing(const Applied *applied, const Plan *plan,
                                       const PlanSituation *situation) {
        return situation->up && plan->endpoint_flags == applied->endpoint_flags;
}

static uint32_t diff_on(const Applied *applied, const Plan *plan, const PlanSituation *situation) {
        uint32_t steps = diff_endpoints(applied, plan) | diff_programs(applied, plan, situation);
        const bool begins = !plan->taken_in && (!applied->attached || applied->taken_in);

        if (applied->attached && (situation->moved || !same_settings(&applied->link, &plan->link)))
                steps |= STEP_FORGET;
        if (plan->mtu != 0 && situation->mtu != plan->mtu)
                steps |= STEP_MTU;
        if (plan->mtu == 0 && applied->mtu_original != 0)
                steps |= STEP_RESTORE_MTU;
        if ((steps & STEP_REDUCE_ENDPOINTS) && !situation->grace_over &&
            only_addresses_are_missing(applied, plan, situation))
                steps = (steps & ~(uint32_t) STEP_REDUCE_ENDPOINTS) | STEP_GRACE;

        /* An on-demand link sends first SYNs as plain TCP anyway. */
        if (begins && plan->endpoints_count == 0 && !(plan->link.flags & UNDERPASS_LINK_ON_DEMAND))
                steps |= STEP_REANNOUNCE;
        if (steps & (STEP_REANNOUNCE | STEP_ENDPOINTS))
                steps |= STEP_WATCH_SUBFLOWS;
        return steps;
}

/* Other programs: the record goes with the old ones, so all that it remembers is taken back and done
 * again. */
static uint32_t diff_replaced(const Applied *applied, const Plan *plan, const PlanSituation *situation) {
        const Applied nothing = {};
        const uint32_t before = plan_mtu_before(applied, situation->mtu);
        PlanSituation restored = *situation;

        if (before != 0)
                restored.mtu = before;
        return diff_off(applied, situation) | diff_on(&nothing, plan, &restored);
}

uint32_t plan_diff(const Applied *applied, const Plan *plan, const PlanSituation *situation) {
        if (plan->decision != PLAN_ATTACH)
                return diff_off(applied, situation);
        if (applied->attached && applied->raw_ip != plan->raw_ip)
                return diff_replaced(applied, plan, situation);
        return diff_on(applied, plan, situation);
}
