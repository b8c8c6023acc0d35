/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The GRO pair: made, found again, repaired, removed, and never taken from somebody else.
 * Part of test-world; runs in a network namespace of its own.
 */

#include <linux/ethtool.h>

#include "kernel/rtnl.h"
#include "segment/segment.h"
#include "test-world.h"

static void check_sysctl(const char *path, const char *wanted) {
        _cleanup_(freep) char *text = NULL;
        size_t length = 0;

        CHECK_EQUAL(file_read(path, 256, &text, &length), 0);
        if (text && !streq(text, wanted)) {
                fprintf(stderr, "%s is %s", path, text);
                world_check(false, wanted, __FILE__, __LINE__);
        }
}

static void check_end(Rtnl *rtnl, uint32_t ifindex, const char *name) {
        _cleanup_(rtnl_facts_freep) LinkFacts *facts = NULL;
        char path[128];

        if (!CHECK_EQUAL(rtnl_link(rtnl, ifindex, &facts), 0))
                return;
        CHECK(streq(facts->name, name));
        CHECK(segment_is_name(facts->name));
        CHECK(streq(facts->kind, "veth"));
        CHECK_EQUAL(facts->mtu, 65535);
        CHECK(facts->flags & IFF_NOARP);
        CHECK_EQUAL(facts->addresses_count, 0);

        snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/addr_gen_mode", name);
        if (access("/proc/sys/net/ipv6", F_OK) == 0)
                check_sysctl(path, "1\n");
}

static void check_segment(Rtnl *rtnl, const GroPair *segment) {
        check_end(rtnl, segment->send_ifindex, SEGMENT_NAME_SEND);
        check_end(rtnl, segment->receive_ifindex, SEGMENT_NAME_RECEIVE);

        CHECK_EQUAL(world_feature(SEGMENT_NAME_SEND, ETHTOOL_GTSO, 0), 0);
        CHECK_EQUAL(world_feature(SEGMENT_NAME_SEND, ETHTOOL_GTXCSUM, 0), 0);
        CHECK_EQUAL(world_feature(SEGMENT_NAME_SEND, ETHTOOL_GSG, 0), 1);
        CHECK_EQUAL(world_feature(SEGMENT_NAME_SEND, ETHTOOL_GGSO, 0), 1);
        CHECK_EQUAL(world_feature(SEGMENT_NAME_SEND, ETHTOOL_GGRO, 0), 1);
        CHECK_EQUAL(world_feature(SEGMENT_NAME_RECEIVE, ETHTOOL_GTSO, 0), 0);
        CHECK_EQUAL(world_feature(SEGMENT_NAME_RECEIVE, ETHTOOL_GGRO, 0), 0);
}

static void count_change(RtnlChange change, uint32_t ifindex, void *userdata) {
        (*(size_t *) userdata)++;
}

/* Puts the pair out of order with "ip" (arguments may be NULL) or an ethtool command; gro_pair_ensure()
 * must put it right. */
static void check_repair(Rtnl *rtnl, const GroPair *segment, const char *arguments, const char *name,
                         uint32_t command, uint32_t value) {
        GroPair again = {};

        if (arguments)
                world_ip(arguments);
        else
                (void) world_feature(name, command, value);
        CHECK_EQUAL(gro_pair_ensure(&again), 0);
        CHECK_EQUAL(again.send_ifindex, segment->send_ifindex);
        CHECK_EQUAL(again.receive_ifindex, segment->receive_ifindex);
        check_segment(rtnl, segment);
}

static void check_repairs(Rtnl *rtnl, const GroPair *segment) {
        check_repair(rtnl, segment, NULL, SEGMENT_NAME_SEND, ETHTOOL_STXCSUM, 1);
        check_repair(rtnl, segment, NULL, SEGMENT_NAME_SEND, ETHTOOL_SGSO, 0);
        check_repair(rtnl, segment, NULL, SEGMENT_NAME_SEND, ETHTOOL_SSG, 0);
        check_repair(rtnl, segment, NULL, SEGMENT_NAME_SEND, ETHTOOL_SGRO, 0);
        check_repair(rtnl, segment, NULL, SEGMENT_NAME_RECEIVE, ETHTOOL_SGRO, 1);
        check_repair(rtnl, segment, NULL, SEGMENT_NAME_RECEIVE, ETHTOOL_STSO, 1);
        /* Segmentation is off by itself, not only because it needs checksums. */
        (void) world_feature(SEGMENT_NAME_SEND, ETHTOOL_STXCSUM, 1);
        CHECK_EQUAL(world_feature(SEGMENT_NAME_SEND, ETHTOOL_GTSO, 0), 0);
        check_repair(rtnl, segment, NULL, SEGMENT_NAME_SEND, ETHTOOL_STSO, 1);
        check_repair(rtnl, segment, "link set underpass-tx mtu 1500", NULL, 0, 0);
        check_repair(rtnl, segment, "link set underpass-rx arp on", NULL, 0, 0);
        check_repair(rtnl, segment, "link set underpass-tx alias mine", NULL, 0, 0);
        if (access("/proc/sys/net/ipv6", F_OK) == 0)
                check_repair(rtnl, segment, "link set underpass-rx addrgenmode eui64", NULL, 0, 0);
}

/* When all is right already nothing is written, so nobody is told of anything. */
static void check_unchanged(Rtnl *rtnl, const GroPair *segment) {
        size_t changes = 0;
        GroPair again = {};

        CHECK_EQUAL(rtnl_process(rtnl, count_change, &changes), 0);
        CHECK(changes > 0);
        changes = 0;
        CHECK_EQUAL(gro_pair_ensure(&again), 0);
        CHECK_EQUAL(again.send_ifindex, segment->send_ifindex);
        CHECK_EQUAL(again.receive_ifindex, segment->receive_ifindex);
        CHECK_EQUAL(rtnl_process(rtnl, count_change, &changes), 0);
        CHECK_EQUAL(changes, 0);
}

static void check_is_up(Rtnl *rtnl, uint32_t ifindex) {
        _cleanup_(rtnl_facts_freep) LinkFacts *facts = NULL;

        if (CHECK_EQUAL(rtnl_link(rtnl, ifindex, &facts), 0))
                CHECK(facts->flags & IFF_UP && facts->flags & IFF_RUNNING);
}

void test_segment_pair(void) {
        _cleanup_(rtnl_freep) Rtnl *rtnl = NULL;
        GroPair segment = {}, again = {};

        CHECK(segment_is_name(SEGMENT_NAME_SEND) && segment_is_name(SEGMENT_NAME_RECEIVE));
        CHECK(!segment_is_name("underpass") && !segment_is_name(""));
        CHECK_EQUAL(gro_pair_remove(), 0);

        if (!CHECK_EQUAL(rtnl_open(&rtnl), 0) || !CHECK_EQUAL(gro_pair_ensure(&segment), 0))
                return;
        check_segment(rtnl, &segment);

        check_unchanged(rtnl, &segment);

        check_repairs(rtnl, &segment);
        /* Takes IPv6 off the link; with the old MTU it comes back in its default mode. */
        check_repair(rtnl, &segment, "link set underpass-rx mtu 1000", NULL, 0, 0);
        CHECK_EQUAL(gro_pair_up(&segment), 0);
        check_is_up(rtnl, segment.send_ifindex);
        check_is_up(rtnl, segment.receive_ifindex);
        check_segment(rtnl, &segment);
        check_unchanged(rtnl, &segment);
        check_repairs(rtnl, &segment);
        check_is_up(rtnl, segment.send_ifindex);

        /* One end was renamed: the pair is no use, but its alias says that it is ours, so it is made
         * again. */
        world_ip("link set underpass-rx down");
        world_ip("link set underpass-rx name strange");
        CHECK_EQUAL(gro_pair_ensure(&again), 0);
        CHECK(again.send_ifindex != segment.send_ifindex);
        check_segment(rtnl, &again);
        CHECK_EQUAL(if_nametoindex("strange"), 0);

        CHECK_EQUAL(gro_pair_remove(), 0);
        CHECK_EQUAL(if_nametoindex(SEGMENT_NAME_SEND), 0);
        CHECK_EQUAL(if_nametoindex(SEGMENT_NAME_RECEIVE), 0);
        CHECK_EQUAL(gro_pair_remove(), 0);
        CHECK_EQUAL(gro_pair_up(&again), -ENODEV);
}

/* Somebody else's device of that name is neither used nor removed, and nothing is left behind by the
 * attempt. */
static void check_foreign(const char *create, const char *name) {
        GroPair segment = { .send_ifindex = 4711 };
        char delete[64];
        uint32_t ifindex;

        if (!world_try_ip(create)) {
                world_skip(create);
                return;
        }
        ifindex = world_ifindex(name);
        CHECK_EQUAL(gro_pair_ensure(&segment), -EEXIST);
        CHECK_EQUAL(segment.send_ifindex, 4711);
        CHECK_EQUAL(gro_pair_remove(), 0);
        CHECK_EQUAL(world_ifindex(name), ifindex);
        CHECK_EQUAL(if_nametoindex(SEGMENT_NAME_SEND) + if_nametoindex(SEGMENT_NAME_RECEIVE), ifindex);
        snprintf(delete, sizeof(delete), "link delete %s", name);
        world_ip(delete);
}

void test_segment_foreign(void) {
        GroPair segment = {};

        check_foreign("link add underpass-tx type veth peer name other", "underpass-tx");
        check_foreign("link add underpass-rx type veth peer name other", "underpass-rx");
        check_foreign("link add underpass-tx type bridge", "underpass-tx");
        check_foreign("tuntap add dev underpass-tx mode tap", "underpass-tx");
        check_foreign("tuntap add dev underpass-rx mode tun", "underpass-rx");

        /* A pair that was made but not yet marked when the service was killed is taken over, and removed. */
        world_ip("link add underpass-tx type veth peer name underpass-rx");
        CHECK_EQUAL(gro_pair_remove(), 0);
        CHECK_EQUAL(if_nametoindex(SEGMENT_NAME_SEND), 0);
        world_ip("link add underpass-tx type veth peer name underpass-rx");
        CHECK_EQUAL(gro_pair_ensure(&segment), 0);
        CHECK_EQUAL(segment.send_ifindex, if_nametoindex(SEGMENT_NAME_SEND));
        CHECK_EQUAL(segment.receive_ifindex, if_nametoindex(SEGMENT_NAME_RECEIVE));
        CHECK_EQUAL(gro_pair_remove(), 0);
}
