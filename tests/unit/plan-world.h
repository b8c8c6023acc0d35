/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A small world for the tests of plans: one Ethernet link eth1 that is up, and a profile that asks for a
 * tunnel. Included after unit.h. May touch: nothing.
 */

#include <arpa/inet.h>
#include <net/if_arp.h>

#include "plan/plan.h"

enum {
        WORLD_ADDRESSES_MAX = 20,
};

typedef struct World {
        Profile *profile;
        LinkFacts facts;
        LinkAddress addresses[WORLD_ADDRESSES_MAX];
        PlanInput input;
        Plan *plan;
        char *error;
} World;

static inline Address address_of(const char *text) {
        Address address = { 0 };
        uint32_t ipv4;

        if (inet_pton(AF_INET, text, &ipv4) == 1)
                return (Address) { { 0, 0, htonl(0xffff), ipv4 } };
        assert(inet_pton(AF_INET6, text, &address) == 1);
        return address;
}

static inline void world_set(World *world, KeyId id, const char *text) {
        assert(profile_set(world->profile, key_get(id), text, PROFILE_SOURCE_NETWORK_MANAGER,
                           "LTE (6f0c)") == 0);
}

static inline void world_add_address(World *world, const char *text) {
        assert(world->facts.addresses_count < WORLD_ADDRESSES_MAX);
        world->addresses[world->facts.addresses_count++] = (LinkAddress) { .address = address_of(text) };
}

/* Pointers lead into the struct, so it is filled where it stays. */
static inline void world_begin(World *world) {
        *world = (World) {
                .facts = { .ifindex = 7,
                           .name = "eth1",
                           .type = ARPHRD_ETHER,
                           .flags = IFF_UP,
                           .mtu = 1500 },
        };
        world->facts.addresses = world->addresses;
        assert(profile_new(&world->profile) == 0);
        world->input = (PlanInput) {
                .profile = world->profile,
                .facts = &world->facts,
                .ipv6_enabled = true,
        };
        world_set(world, KEY_ID_TUNNEL, "yes");
        world_set(world, KEY_ID_REMOTE_PORTS, "443");
}

static inline int world_plan(World *world) {
        plan_free(TAKE_PTR(world->plan));
        free(TAKE_PTR(world->error));
        assert(profile_finish(world->profile) == 0);
        return plan_make(&world->input, &world->plan, &world->error);
}

static inline void world_end(World *world) {
        plan_free(world->plan);
        free(world->error);
        profile_free(world->profile);
}
