/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The kinds of segmentation device: made, found again, repaired, removed, never taken from somebody else,
 * and refused with a reason where the kernel has none. Part of test-world; runs in a network namespace of
 * its own.
 */

#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "base/message.h"
#include "kernel/rtnl.h"
#include "segment/segment.h"
#include "test-world.h"

enum {
        BRIDGE_CYCLES = 20,
        FRAME_LIMIT_MS = 200,
        UP_TRIES = 1000,
};

/* Offloads that only a name tells. */
static bool has_offload(const char *device, const char *offload) {
        char command[128];

        snprintf(command, sizeof(command), "ethtool -k %s | grep -q '^%s: on'", device, offload);
        return system(command) == 0;
}

/* Somebody switches on what lets a device take merged datagrams as they are. */
static void take_merged(const char *device) {
        char command[128];

        snprintf(command, sizeof(command), "ethtool -K %s tx-gso-list on", device);
        CHECK_EQUAL(system(command), 0);
        CHECK(has_offload(device, "tx-gso-list"));
}

static void check_device(Rtnl *rtnl, const SegmentationDevice *segment, const char *kind) {
        _cleanup_(rtnl_facts_freep) LinkFacts *facts = NULL;

        if (!CHECK_EQUAL(rtnl_link(rtnl, segment->ifindex, &facts), 0))
                return;
        CHECK(streq(facts->name, segment->name));
        CHECK(segment_is_name(facts->name));
        CHECK(streq(facts->kind, kind));
        CHECK(facts->flags & IFF_NOARP);
        CHECK_EQUAL(facts->addresses_count, 0);
        CHECK_EQUAL(world_feature(segment->name, ETHTOOL_GTSO, 0), 0);
        CHECK_EQUAL(world_feature(segment->name, ETHTOOL_GTXCSUM, 0), 0);
        CHECK(!has_offload(segment->name, "tx-gso-list"));
        CHECK(!has_offload(segment->name, "tx-udp-segmentation"));
}

static void count_change(RtnlChange change, uint32_t ifindex, void *userdata) {
        (*(size_t *) userdata)++;
}

/* Ensures once more: the same device, and right. */
static void check_again(Rtnl *rtnl, const GroPair *pair, const SegmentationDevice *segment, uint32_t link) {
        _cleanup_(freep) char *reason = NULL;
        SegmentationDevice again = {};

        CHECK_EQUAL(segment_ensure(segment->kind, pair, link, &again, &reason), 0);
        CHECK_EQUAL(again.ifindex, segment->ifindex);
        CHECK_EQUAL(again.program_ifindex, segment->program_ifindex);
        CHECK_EQUAL(again.place, segment->place);
        check_device(rtnl, segment, segment_kind_name(segment->kind));
}

/* When all is right nothing is written. */
static void check_unchanged(Rtnl *rtnl, const GroPair *pair, const SegmentationDevice *segment,
                            uint32_t link) {
        size_t changes = 0;

        CHECK_EQUAL(rtnl_process(rtnl, count_change, &changes), 0);
        changes = 0;
        check_again(rtnl, pair, segment, link);
        CHECK_EQUAL(rtnl_process(rtnl, count_change, &changes), 0);
        CHECK_EQUAL(changes, 0);
}

/* Makes the pair and a segmentation device of a kind; false where the kernel cannot, which has to be
 * said then. */
static bool begin(SegmentKind kind, uint32_t link, Rtnl **ret_rtnl, GroPair *ret_pair,
                  SegmentationDevice *ret) {
        _cleanup_(freep) char *reason = NULL, *english = NULL;
        int r;

        if (!CHECK_EQUAL(rtnl_open(ret_rtnl), 0) || !CHECK_EQUAL(gro_pair_ensure(ret_pair), 0) ||
            !CHECK_EQUAL(gro_pair_up(ret_pair), 0))
                return false;
        r = segment_ensure(kind, ret_pair, link, ret, &reason);
        if (r >= 0)
                return true;
        CHECK_EQUAL(r, -EOPNOTSUPP);
        english = message_english(reason);
        CHECK(english && streq(english, "the kernel has none"));
        world_skip(segment_kind_name(kind));
        CHECK_EQUAL(segment_remove(kind, link), 0);
        CHECK_EQUAL(gro_pair_remove(), 0);
        return false;
}

static bool is_up(Rtnl *rtnl, uint32_t ifindex) {
        _cleanup_(rtnl_facts_freep) LinkFacts *facts = NULL;

        return CHECK_EQUAL(rtnl_link(rtnl, ifindex, &facts), 0) && (facts->flags & IFF_UP);
}

static void end(SegmentKind kind, uint32_t link, const char *name) {
        CHECK_EQUAL(segment_remove(kind, link), 0);
        CHECK_EQUAL(if_nametoindex(name), 0);
        CHECK_EQUAL(segment_remove(kind, link), 0);
        CHECK(if_nametoindex(SEGMENT_NAME_SEND) > 0);
        CHECK_EQUAL(gro_pair_remove(), 0);
}

static void check_foreign(SegmentKind kind, const GroPair *pair, uint32_t link, const char *create,
                          const char *name) {
        _cleanup_(freep) char *reason = NULL;
        SegmentationDevice segment = { .ifindex = 4711 };
        char delete[64];
        uint32_t ifindex;

        if (!world_ip(create))
                return;
        ifindex = world_ifindex(name);
        CHECK_EQUAL(segment_ensure(kind, pair, link, &segment, &reason), -EEXIST);
        CHECK(reason && strstr(reason, "not ours"));
        CHECK_EQUAL(segment.ifindex, 4711);
        CHECK_EQUAL(segment_remove(kind, link), 0);
        CHECK_EQUAL(if_nametoindex(name), ifindex);
        snprintf(delete, sizeof(delete), "link delete %s", name);
        world_ip(delete);
}

/* What a service leaves that was killed between the requests which make the bridge: no alias, no port. */
static void check_half_made(Rtnl *rtnl, const GroPair *pair) {
        _cleanup_(freep) char *reason = NULL;
        SegmentationDevice segment = {};
        uint32_t ifindex;

        world_ip("link add underpass-br group 1970168944 type bridge");
        ifindex = world_ifindex(SEGMENT_NAME_BRIDGE);
        CHECK_EQUAL(segment_ensure(SEGMENT_BRIDGE, pair, 0, &segment, &reason), 0);
        CHECK_EQUAL(segment.ifindex, ifindex);
        check_device(rtnl, &segment, "bridge");
        CHECK_EQUAL(segment_remove(SEGMENT_BRIDGE, 0), 0);
        CHECK_EQUAL(if_nametoindex(SEGMENT_NAME_BRIDGE), 0);
        world_ip("link add underpass-br group 1970168944 type bridge");
        CHECK_EQUAL(segment_remove(SEGMENT_BRIDGE, 0), 0);
        CHECK_EQUAL(if_nametoindex(SEGMENT_NAME_BRIDGE), 0);
}

void test_segment_bridge(void) {
        _cleanup_(rtnl_freep) Rtnl *rtnl = NULL;
        GroPair pair = {};
        SegmentationDevice segment = {};

        if (!begin(SEGMENT_BRIDGE, 0, &rtnl, &pair, &segment))
                return;
        CHECK_EQUAL(segment.program_ifindex, pair.send_ifindex);
        CHECK_EQUAL(segment.place, SEGMENT_PLACE_EGRESS);
        CHECK(streq(segment.name, SEGMENT_NAME_BRIDGE));
        check_device(rtnl, &segment, "bridge");
        CHECK_EQUAL(world_feature(SEGMENT_NAME_BRIDGE, ETHTOOL_GSG, 0), 1);
        CHECK_EQUAL(world_feature(SEGMENT_NAME_BRIDGE, ETHTOOL_GGSO, 0), 1);
        check_unchanged(rtnl, &pair, &segment, 0);
        CHECK_EQUAL(segment_up(&segment), 0);
        CHECK(is_up(rtnl, segment.ifindex));
        CHECK_EQUAL(segment_up(&segment), 0);

        (void) world_feature(SEGMENT_NAME_BRIDGE, ETHTOOL_STXCSUM, 1);
        (void) world_feature(SEGMENT_NAME_BRIDGE, ETHTOOL_STSO, 1);
        take_merged(SEGMENT_NAME_SEND); /* without its port the bridge cannot */
        take_merged(SEGMENT_NAME_BRIDGE);
        check_again(rtnl, &pair, &segment, 0);
        CHECK_EQUAL(gro_pair_ensure(&pair), 0);
        CHECK(!has_offload(SEGMENT_NAME_SEND, "tx-gso-list"));
        world_ip("link set underpass-br mtu 1500 alias mine");
        check_again(rtnl, &pair, &segment, 0);
        world_ip("link set underpass-tx nomaster");
        world_ip("link set underpass-br type bridge stp_state 1 mcast_snooping 1");
        check_again(rtnl, &pair, &segment, 0);
        CHECK_EQUAL(segment_up(&segment), 0);
        check_unchanged(rtnl, &pair, &segment, 0);

        /* A port of somebody else's bridge stays no port of it. */
        world_ip("link add other type bridge");
        world_ip("link set underpass-tx master other");
        check_again(rtnl, &pair, &segment, 0);
        CHECK_EQUAL(segment_up(&segment), 0);
        CHECK_EQUAL(segment_remove(SEGMENT_BRIDGE, 0), 0);
        check_half_made(rtnl, &pair);
        check_foreign(SEGMENT_BRIDGE, &pair, 0, "link add underpass-br type bridge", SEGMENT_NAME_BRIDGE);
        end(SEGMENT_BRIDGE, 0, SEGMENT_NAME_BRIDGE);
}

/* A socket for frames of a type that nobody else uses, on one device. */
static int open_frames(const char *name) {
        const uint16_t type = htons(ETH_P_802_EX1);
        const struct sockaddr_ll device = {
                .sll_family = AF_PACKET,
                .sll_protocol = type,
                .sll_ifindex = (int) world_ifindex(name),
        };
        int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, type);

        CHECK_EQUAL(bind(fd, (const struct sockaddr *) &device, sizeof(device)), 0);
        return fd;
}

/* Whether a frame that is sent on the bridge comes out of the pair. */
static bool bridge_passes(void) {
        _cleanup_(close_fdp) int out = open_frames(SEGMENT_NAME_BRIDGE);
        _cleanup_(close_fdp) int in = open_frames(SEGMENT_NAME_RECEIVE);
        const struct ether_header header = {
                .ether_dhost = { 2, 0, 0, 0, 0, 1 },
                .ether_shost = { 2, 0, 0, 0, 0, 2 },
                .ether_type = htons(ETH_P_802_EX1),
        };
        struct pollfd readable = { .fd = in, .events = POLLIN };
        uint8_t frame[ETH_ZLEN] = {};

        memcpy(frame, &header, sizeof(header));
        CHECK_EQUAL(send(out, frame, sizeof(frame), 0), sizeof(frame));
        return poll(&readable, 1, FRAME_LIMIT_MS) == 1;
}

static bool is_older_than(unsigned major, unsigned minor) {
        struct utsname system = {};
        unsigned running[2] = {};

        return CHECK_EQUAL(uname(&system), 0) &&
               CHECK_EQUAL(sscanf(system.release, "%u.%u", &running[0], &running[1]), 2) &&
               (running[0] < major || (running[0] == major && running[1] < minor));
}

/* As segment.h tells a caller that has no other kind. */
static void bring_up(const SegmentationDevice *segment) {
        int r = segment_up(segment);

        for (size_t i = 0; r == -EAGAIN && is_older_than(6, 8) && i < UP_TRIES; i++) {
                (void) usleep(1000);
                r = segment_up(segment);
        }
        CHECK_EQUAL(r, 0);
}

static void check_bridge_passes(const GroPair *pair) {
        _cleanup_(freep) char *reason = NULL;
        SegmentationDevice segment = {};

        CHECK_EQUAL(segment_ensure(SEGMENT_BRIDGE, pair, 0, &segment, &reason), 0);
        bring_up(&segment);
        CHECK(bridge_passes());
}

/* The first packet behind segment_up() must not be lost, however often the devices are made. */
void test_segment_bridge_forwards(void) {
        GroPair pair = {};
        SegmentationDevice segment = {};
        _cleanup_(freep) char *reason = NULL;

        for (size_t i = 0; i < BRIDGE_CYCLES; i++) {
                CHECK_EQUAL(gro_pair_ensure(&pair), 0);
                CHECK_EQUAL(gro_pair_up(&pair), 0);
                check_bridge_passes(&pair);
                CHECK_EQUAL(segment_remove(SEGMENT_BRIDGE, 0), 0);
                CHECK_EQUAL(gro_pair_remove(), 0);
        }

        /* With nothing between the pair that goes up and the bridge. */
        CHECK_EQUAL(gro_pair_ensure(&pair), 0);
        CHECK_EQUAL(segment_ensure(SEGMENT_BRIDGE, &pair, 0, &segment, &reason), 0);
        CHECK_EQUAL(segment_up(&segment), -EAGAIN);
        CHECK_EQUAL(gro_pair_up(&pair), 0);
        bring_up(&segment);
        CHECK(bridge_passes());

        /* What others did to the port is mended. */
        world_ip("link set underpass-tx type bridge_slave state 1");
        CHECK(!bridge_passes());
        check_bridge_passes(&pair);
        end(SEGMENT_BRIDGE, 0, SEGMENT_NAME_BRIDGE);
}

void test_segment_netkit(void) {
        _cleanup_(rtnl_freep) Rtnl *rtnl = NULL;
        GroPair pair = {};
        SegmentationDevice segment = {};

        if (!begin(SEGMENT_NETKIT, 0, &rtnl, &pair, &segment))
                return;
        CHECK_EQUAL(segment.program_ifindex, segment.ifindex);
        CHECK_EQUAL(segment.place, SEGMENT_PLACE_NETKIT);
        check_device(rtnl, &segment, "netkit");
        check_unchanged(rtnl, &pair, &segment, 0);
        CHECK_EQUAL(segment_up(&segment), 0);
        CHECK(is_up(rtnl, segment.ifindex) && is_up(rtnl, world_ifindex(SEGMENT_NAME_NETKIT_PEER)));
        check_unchanged(rtnl, &pair, &segment, 0);
        (void) world_feature(SEGMENT_NAME_NETKIT, ETHTOOL_STXCSUM, 1);
        (void) world_feature(SEGMENT_NAME_NETKIT, ETHTOOL_STSO, 1);
        take_merged(SEGMENT_NAME_NETKIT);
        check_again(rtnl, &pair, &segment, 0);
        CHECK_EQUAL(segment_remove(SEGMENT_NETKIT, 0), 0);
        CHECK_EQUAL(if_nametoindex(SEGMENT_NAME_NETKIT_PEER), 0);
        check_foreign(SEGMENT_NETKIT, &pair, 0, "link add underpass-nk type netkit", SEGMENT_NAME_NETKIT);
        check_foreign(SEGMENT_NETKIT, &pair, 0, "link add underpass-np type veth peer name other",
                      SEGMENT_NAME_NETKIT_PEER);
        end(SEGMENT_NETKIT, 0, SEGMENT_NAME_NETKIT);
}

void test_segment_vlan(void) {
        _cleanup_(freep) char *reason = NULL;
        _cleanup_(rtnl_freep) Rtnl *rtnl = NULL;
        GroPair pair = {};
        char name[32];
        SegmentationDevice segment = {};
        uint32_t link;

        world_ip("link add one type veth peer name two");
        link = world_ifindex("one");
        if (!begin(SEGMENT_VLAN, link, &rtnl, &pair, &segment))
                return;
        snprintf(name, sizeof(name), "underpass-v%u", link);
        CHECK(streq(segment.name, name));
        CHECK_EQUAL(segment.program_ifindex, 0);
        CHECK_EQUAL(segment.place, SEGMENT_PLACE_NONE);
        check_device(rtnl, &segment, "vlan");
        check_unchanged(rtnl, &pair, &segment, link);
        /* Also while the link is down, and whatever becomes of it. */
        CHECK_EQUAL(segment_up(&segment), 0);
        CHECK(is_up(rtnl, segment.ifindex));
        world_ip("link set one up");
        world_ip("link set one down");
        CHECK(is_up(rtnl, segment.ifindex));
        (void) world_feature(segment.name, ETHTOOL_STXCSUM, 1);
        (void) world_feature(segment.name, ETHTOOL_STSO, 1);
        take_merged(segment.name);
        check_again(rtnl, &pair, &segment, link);
        CHECK_EQUAL(segment_remove_unowned(&link, 1), 0);
        CHECK_EQUAL(if_nametoindex(name), segment.ifindex);
        CHECK_EQUAL(segment_remove_unowned(NULL, 0), 0);
        CHECK_EQUAL(if_nametoindex(name), 0);

        /* The id is somebody else's on this link, or the name is; and devices that take no VLAN at all. */
        check_foreign(SEGMENT_VLAN, &pair, link, "link add link one name mine type vlan id 4094", "mine");
        CHECK_EQUAL(segment_ensure(SEGMENT_VLAN, &pair, world_ifindex("lo"), &segment, &reason), -EINVAL);
        CHECK(reason && !streq(reason, "the kernel has none"));
        end(SEGMENT_VLAN, link, name);
}
