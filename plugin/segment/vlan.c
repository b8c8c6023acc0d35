/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The segmentation device as an 8021q device on top of the link: its transmit routine tags each segment
 * with a VLAN id and hands it to the link at once. The egress program of the link removes the tag and
 * rewrites. No other frame of the link changes; no frame with that id ever reaches the wire.
 */

#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/if_vlan.h>
#include <stdio.h>

#include "base/message.h"
#include "bpf/abi.h"
#include "segment/device.h"
#include "segment/offload.h"
#include "segment/vlan.h"

#define VLAN_KIND "vlan"

/* What the link cannot do, a device on top of it cannot either. */
static const Offload vlan_features[] = {
        { ETHTOOL_GTSO, ETHTOOL_STSO, 0, false },
        { ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM, 0, false },
        { ETHTOOL_GSG, ETHTOOL_SSG, 1, true },
        { ETHTOOL_GGSO, ETHTOOL_SGSO, 1, true },
};

static int vlan_name(uint32_t link_ifindex, char name[IF_NAMESIZE]) {
        int length = snprintf(name, IF_NAMESIZE, SEGMENT_NAME_VLAN "%u", link_ifindex);

        return length < IF_NAMESIZE ? 0 : -ENAMETOOLONG;
}

static int vlan_create(Netlink *netlink, uint32_t link_ifindex, const char *name) {
        /* The device is up whether the link is or not: the tunnel comes before the link. */
        const struct ifla_vlan_flags loose = {
                .flags = VLAN_FLAG_REORDER_HDR | VLAN_FLAG_LOOSE_BINDING,
                .mask = VLAN_FLAG_REORDER_HDR | VLAN_FLAG_LOOSE_BINDING,
        };
        DEVICE_REQUEST(buffer);
        struct nlmsghdr *message = device_request(buffer, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
        struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
        struct nlattr *information, *data;

        header->ifi_flags = header->ifi_change = IFF_NOARP;
        mnl_attr_put_strz(message, IFLA_IFNAME, name);
        device_mark(message);
        mnl_attr_put_u32(message, IFLA_LINK, link_ifindex);
        information = mnl_attr_nest_start(message, IFLA_LINKINFO);
        mnl_attr_put_strz(message, IFLA_INFO_KIND, VLAN_KIND);
        data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
        mnl_attr_put_u16(message, IFLA_VLAN_ID, UNDERPASS_SEGMENT_VLAN);
        mnl_attr_put(message, IFLA_VLAN_FLAGS, sizeof(loose), &loose);
        mnl_attr_nest_end(message, data);
        mnl_attr_nest_end(message, information);
        return netlink_call(netlink, message, NULL, NULL);
}

static bool vlan_is_ours(const Device *link, uint32_t link_ifindex) {
        return streq(link->kind, VLAN_KIND) && link->other == link_ifindex &&
               link->vlan == UNDERPASS_SEGMENT_VLAN;
}

/* Finds it or makes it. A device of ours that belonged to an earlier link with this ifindex is removed. */
static int vlan_find_or_create(Netlink *netlink, uint32_t link_ifindex, const char *name, Device *ret) {
        int r;

        r = device_find(netlink, name, ret);
        if (r < 0 || vlan_is_ours(ret, link_ifindex))
                return r;
        if (ret->ifindex != 0) {
                if (!streq(ret->kind, VLAN_KIND) || !ret->ours)
                        return -EEXIST;
                r = device_delete(netlink, ret->ifindex);
                if (r < 0)
                        return r;
        }
        r = vlan_create(netlink, link_ifindex, name);
        if (r >= 0)
                r = device_find_made(netlink, name, ret);
        if (r < 0)
                return r;
        return vlan_is_ours(ret, link_ifindex) ? 0 : -ENODEV;
}

static int vlan_ensure(Netlink *netlink, const GroPair *pair, uint32_t link_ifindex, SegmentationDevice *ret,
                       char **ret_reason) {
        char name[IF_NAMESIZE];
        Device link = {};
        int r;

        r = vlan_name(link_ifindex, name);
        if (r >= 0)
                r = vlan_find_or_create(netlink, link_ifindex, name, &link);
        if (r >= 0)
                r = device_repair(netlink, &link, 0);
        if (r >= 0) {
                r = offload_set(name, vlan_features, ELEMENTS(vlan_features));
                if (r >= 0)
                        r = offload_cut_datagrams(name);
                if (r < 0) {
                        *ret_reason = strdup(M_("segmentation or checksums cannot be switched off"));
                        r = -EINVAL; /* of this link, not of the kernel */
                }
        }
        if (r < 0) {
                if (vlan_is_ours(&link, link_ifindex))
                        (void) device_delete(netlink, link.ifindex);
                return r;
        }
        *ret = (SegmentationDevice){ .kind = SEGMENT_VLAN,
                                     .ifindex = link.ifindex,
                                     .place = SEGMENT_PLACE_NONE };
        memcpy(ret->name, name, sizeof(name));
        return 0;
}

static int vlan_up(Netlink *netlink, const SegmentationDevice *segment) {
        return device_up(netlink, segment->ifindex);
}

static int vlan_remove(Netlink *netlink, uint32_t link_ifindex) {
        char name[IF_NAMESIZE];
        Device link = {};
        int r;

        if (vlan_name(link_ifindex, name) < 0)
                return 0;
        r = device_find(netlink, name, &link);
        if (r < 0 || !streq(link.kind, VLAN_KIND) ||
            !(link.ours || vlan_is_ours(&link, link_ifindex)))
                return r;
        return device_delete(netlink, link.ifindex);
}

uint32_t vlan_owner(const char *name) {
        unsigned ifindex;
        int end = 0;

        if (sscanf(name, SEGMENT_NAME_VLAN "%u%n", &ifindex, &end) != 1 || name[end] != '\0')
                return 0;
        return ifindex;
}

static int read_name(const struct nlmsghdr *message, void *userdata) {
        const struct nlattr *attribute;
        char ***names = userdata;

        if (message->nlmsg_type != RTM_NEWLINK)
                return MNL_CB_OK;
        mnl_attr_for_each(attribute, message, sizeof(struct ifinfomsg)) {
                if (mnl_attr_get_type(attribute) != IFLA_IFNAME ||
                    mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) < 0 ||
                    vlan_owner(mnl_attr_get_str(attribute)) == 0)
                        continue;
                if (strings_add(names, mnl_attr_get_str(attribute)) < 0) {
                        errno = ENOMEM;
                        return MNL_CB_ERROR;
                }
        }
        return MNL_CB_OK;
}

int vlan_list(Netlink *netlink, char ***ret_names) {
        _cleanup_(strings_freep) char **names = NULL;
        DEVICE_REQUEST(buffer);
        int r;

        r = netlink_call(netlink, device_request(buffer, RTM_GETLINK, NLM_F_DUMP, 0), read_name, &names);
        /* Changes of other links disturbed the list: what it has is right. */
        if (r < 0 && r != -EINTR)
                return r;
        *ret_names = TAKE_PTR(names);
        return 0;
}

const SegmentType segment_type_vlan = { vlan_ensure, vlan_up, vlan_remove };
