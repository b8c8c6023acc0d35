/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The endpoints of the in-kernel MPTCP path manager: list, add, remove.
 */

#include <linux/mptcp.h>
#include <stdalign.h>
#include <sys/socket.h>

#include "kernel/genl.h"
#include "kernel/mptcp-pm.h"

enum { REQUEST_SIZE = 256 };

struct MptcpPm {
        Netlink *netlink;
        uint16_t family;
};

typedef struct EndpointList {
        MptcpEndpoint *endpoints;
        size_t count;
        size_t allocated;
} EndpointList;

MptcpPm *mptcp_pm_free(MptcpPm *pm) {
        if (!pm)
                return NULL;

        netlink_free(pm->netlink);
        free(pm);
        return NULL;
}

int mptcp_pm_open(MptcpPm **ret) {
        _cleanup_(mptcp_pm_freep) MptcpPm *pm = NULL;
        int r;

        pm = calloc(1, sizeof(*pm));
        if (!pm)
                return -ENOMEM;

        r = netlink_open(&pm->netlink, NETLINK_GENERIC);
        if (r >= 0)
                r = genl_find_family(pm->netlink, MPTCP_PM_NAME, &pm->family);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(pm);
        return 0;
}

static bool read_endpoint_address(const struct nlattr *attribute, Address *ret) {
        uint16_t type = mnl_attr_get_type(attribute), length = mnl_attr_get_payload_len(attribute);
        uint32_t ipv4;

        if (type == MPTCP_PM_ADDR_ATTR_ADDR4 && length == sizeof(ipv4)) {
                memcpy(&ipv4, mnl_attr_get_payload(attribute), sizeof(ipv4));
                *ret = address_from_ipv4(ipv4);
                return true;
        }
        if (type == MPTCP_PM_ADDR_ATTR_ADDR6 && length == sizeof(ret->word)) {
                memcpy(ret->word, mnl_attr_get_payload(attribute), sizeof(ret->word));
                return true;
        }
        return false;
}

/* False when the entry has no address that we understand. */
static bool read_endpoint(const struct nlattr *entry, MptcpEndpoint *ret) {
        const struct nlattr *attribute;
        bool has_address = false;

        mnl_attr_for_each_nested(attribute, entry)
                switch (mnl_attr_get_type(attribute)) {
                case MPTCP_PM_ADDR_ATTR_ADDR4:
                case MPTCP_PM_ADDR_ATTR_ADDR6:
                        has_address |= read_endpoint_address(attribute, &ret->address);
                        break;
                case MPTCP_PM_ADDR_ATTR_ID:
                        if (mnl_attr_validate(attribute, MNL_TYPE_U8) >= 0)
                                ret->id = mnl_attr_get_u8(attribute);
                        break;
                case MPTCP_PM_ADDR_ATTR_PORT:
                        if (mnl_attr_validate(attribute, MNL_TYPE_U16) >= 0)
                                ret->port = mnl_attr_get_u16(attribute);
                        break;
                case MPTCP_PM_ADDR_ATTR_FLAGS:
                        if (mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
                                ret->flags = mnl_attr_get_u32(attribute);
                        break;
                case MPTCP_PM_ADDR_ATTR_IF_IDX:
                        if (mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
                                ret->ifindex = mnl_attr_get_u32(attribute);
                        break;
                default:
                        break;
                }
        return has_address;
}

static int add_to_list(EndpointList *list, const MptcpEndpoint *endpoint) {
        if (ROOM_FOR_ONE(list->endpoints, list->count, list->allocated) < 0)
                return -ENOMEM;
        list->endpoints[list->count++] = *endpoint;
        return 0;
}

static int read_endpoints(const struct nlmsghdr *message, void *userdata) {
        const struct nlattr *attribute;
        EndpointList *list = userdata;

        mnl_attr_for_each(attribute, message, sizeof(struct genlmsghdr)) {
                MptcpEndpoint endpoint = {};

                if (mnl_attr_get_type(attribute) != MPTCP_PM_ATTR_ADDR ||
                    !read_endpoint(attribute, &endpoint))
                        continue;
                if (add_to_list(list, &endpoint) < 0) {
                        errno = ENOMEM;
                        return MNL_CB_ERROR;
                }
        }
        return MNL_CB_OK;
}

int mptcp_pm_dump(MptcpPm *pm, MptcpEndpoint **ret, size_t *ret_count) {
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        struct nlmsghdr *message;
        EndpointList list = {};
        int r;

        message = genl_request(buffer, pm->family, MPTCP_PM_CMD_GET_ADDR, MPTCP_PM_VER);
        message->nlmsg_flags = NLM_F_DUMP;
        r = netlink_call(pm->netlink, message, read_endpoints, &list);
        if (r < 0) {
                free(list.endpoints);
                return r;
        }

        *ret = list.endpoints;
        *ret_count = list.count;
        return 0;
}

static int read_subflows_max(const struct nlmsghdr *message, void *userdata) {
        const struct nlattr *attribute;
        int64_t *limit = userdata;

        mnl_attr_for_each(attribute, message, sizeof(struct genlmsghdr))
                if (mnl_attr_get_type(attribute) == MPTCP_PM_ATTR_SUBFLOWS &&
                    mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
                        *limit = mnl_attr_get_u32(attribute);
        return MNL_CB_OK;
}

int mptcp_pm_subflows_max(MptcpPm *pm, uint32_t *ret) {
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        struct nlmsghdr *message;
        int64_t limit = -1;
        int r;

        message = genl_request(buffer, pm->family, MPTCP_PM_CMD_GET_LIMITS, MPTCP_PM_VER);
        r = netlink_call(pm->netlink, message, read_subflows_max, &limit);
        if (r < 0)
                return r;
        if (limit < 0)
                return -EBADMSG;

        *ret = (uint32_t) limit;
        return 0;
}

static bool is_same_endpoint(const MptcpEndpoint *a, const MptcpEndpoint *b) {
        return address_equal(&a->address, &b->address) && a->port == b->port;
}

/* Finds an endpoint by address and port, and by id unless that is 0. -ENOENT when there is none. */
static int find_registered(MptcpPm *pm, const MptcpEndpoint *wanted, MptcpEndpoint *ret) {
        _cleanup_(freep) MptcpEndpoint *list = NULL;
        size_t count = 0;
        int r;

        r = mptcp_pm_dump(pm, &list, &count);
        if (r < 0)
                return r;

        for (size_t i = 0; i < count; i++)
                if (is_same_endpoint(&list[i], wanted) && (wanted->id == 0 || list[i].id == wanted->id)) {
                        *ret = list[i];
                        return 0;
                }
        return -ENOENT;
}

/* The nested address that ADD_ADDR and DEL_ADDR take. */
static void put_endpoint(struct nlmsghdr *message, const MptcpEndpoint *endpoint) {
        const uint32_t *word = endpoint->address.word;
        struct nlattr *nest = mnl_attr_nest_start(message, MPTCP_PM_ATTR_ADDR);

        if (address_is_ipv4(&endpoint->address)) {
                mnl_attr_put_u16(message, MPTCP_PM_ADDR_ATTR_FAMILY, AF_INET);
                mnl_attr_put(message, MPTCP_PM_ADDR_ATTR_ADDR4, sizeof(word[3]), &word[3]);
        } else {
                mnl_attr_put_u16(message, MPTCP_PM_ADDR_ATTR_FAMILY, AF_INET6);
                mnl_attr_put(message, MPTCP_PM_ADDR_ATTR_ADDR6, sizeof(endpoint->address.word), word);
        }
        if (endpoint->id != 0)
                mnl_attr_put_u8(message, MPTCP_PM_ADDR_ATTR_ID, endpoint->id);
        if (endpoint->port != 0)
                mnl_attr_put_u16(message, MPTCP_PM_ADDR_ATTR_PORT, endpoint->port);
        if (endpoint->ifindex != 0)
                mnl_attr_put_u32(message, MPTCP_PM_ADDR_ATTR_IF_IDX, endpoint->ifindex);
        mnl_attr_put_u32(message, MPTCP_PM_ADDR_ATTR_FLAGS, endpoint->flags);

        mnl_attr_nest_end(message, nest);
}

/*
 * Finds out from the list why the kernel rejected an endpoint. Kernel 6.1 answers -EINVAL whether the
 * address or the id is taken; newer ones look at the id before they look at the address.
 */
static int find_reason(MptcpPm *pm, const MptcpEndpoint *endpoint, int error) {
        _cleanup_(freep) MptcpEndpoint *list = NULL;
        size_t count = 0;
        int reason = error;

        if (mptcp_pm_dump(pm, &list, &count) < 0)
                return error;

        for (size_t i = 0; i < count; i++) {
                if (is_same_endpoint(&list[i], endpoint))
                        return -EEXIST;
                if (endpoint->id != 0 && list[i].id == endpoint->id)
                        reason = -EBUSY;
        }
        return reason;
}

int mptcp_pm_add(MptcpPm *pm, const MptcpEndpoint *endpoint) {
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        struct nlmsghdr *message;
        int r;

        message = genl_request(buffer, pm->family, MPTCP_PM_CMD_ADD_ADDR, MPTCP_PM_VER);
        put_endpoint(message, endpoint);
        r = netlink_call(pm->netlink, message, NULL, NULL);
        if (r == -EBUSY || r == -EINVAL)
                return find_reason(pm, endpoint, r);
        return r;
}

int mptcp_pm_remove(MptcpPm *pm, const MptcpEndpoint *endpoint) {
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        struct nlmsghdr *message;
        MptcpEndpoint registered;
        int r;

        /*
         * The kernel looks only at the id, which may belong to another endpoint by now. It answers -EINVAL
         * for an unknown id; id 0 closes the first subflows of this address and leaves the endpoint in the
         * list.
         */
        r = find_registered(pm, endpoint, &registered);
        if (r < 0)
                return r;

        message = genl_request(buffer, pm->family, MPTCP_PM_CMD_DEL_ADDR, MPTCP_PM_VER);
        put_endpoint(message, &registered);
        return netlink_call(pm->netlink, message, NULL, NULL);
}
