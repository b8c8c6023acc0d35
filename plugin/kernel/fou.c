/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See fou.h. */

#include <linux/fou.h>
#include <netinet/in.h>
#include <stdalign.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "kernel/genl.h"
#include "kernel/fou.h"
#include "plan/facts.h"

enum { REQUEST_SIZE = 256 };

struct Fou {
        Netlink *netlink;
        uint16_t family;
};

/* A socket as the kernel tells it. */
typedef struct Told {
        struct underpass_socket_key key;
        uint8_t address_family;
        uint8_t protocol;
        uint8_t type;
        bool marked;
} Told;

typedef struct SocketList {
        struct underpass_socket_key *keys;
        size_t count;
        size_t allocated;
} SocketList;

Fou *fou_free(Fou *fou) {
        if (!fou)
                return NULL;

        netlink_free(fou->netlink);
        free(fou);
        return NULL;
}

int fou_open(Fou **ret, bool load) {
        _cleanup_(fou_freep) Fou *fou = calloc(1, sizeof(*fou));
        int r;

        if (!fou)
                return -ENOMEM;

        r = netlink_open(&fou->netlink, NETLINK_GENERIC);
        if (r >= 0)
                r = load ? genl_find_family(fou->netlink, FOU_GENL_NAME, &fou->family) :
                           genl_find_loaded_family(fou->netlink, FOU_GENL_NAME, &fou->family);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(fou);
        return 0;
}

int fou_check_release(const char *release) {
        /* Branches that were repaired while they were maintained, and the first that never had the fault. */
        static const struct {
                unsigned minor, patch;
        } repaired[] = { { 6, 52 }, { 10, 11 } };
        enum { MAJOR = 6, FOUND = 6, SOUND = 11 };
        unsigned major, minor, patch = 0;

        if (sscanf(release, "%u.%u.%u", &major, &minor, &patch) < 2)
                return -ENOTRECOVERABLE;
        if (major < MAJOR || (major == MAJOR && minor < FOUND))
                return -ENOSYS;
        if (major > MAJOR || minor >= SOUND)
                return 0;
        for (size_t i = 0; i < ELEMENTS(repaired); i++)
                if (minor == repaired[i].minor && patch >= repaired[i].patch)
                        return 0;
        return -ENOTRECOVERABLE;
}

int fou_check_kernel(void) {
        struct utsname name;

        return uname(&name) < 0 ? -errno : fou_check_release(name.release);
}

static bool is_ipv4(const struct underpass_socket_key *key) {
        Address address;

        memcpy(address.word, key->flow.local, sizeof(address.word));
        return address_is_ipv4(&address);
}

/* Protocol behind UDP. */
static uint8_t protocol_for(bool ipv4) {
        return ipv4 ? IPPROTO_IPIP : IPPROTO_IPV6;
}

static void put_socket(struct nlmsghdr *message, const struct underpass_socket_key *key) {
        const struct underpass_flow_key *flow = &key->flow;
        const bool ipv4 = is_ipv4(key);

        mnl_attr_put_u8(message, FOU_ATTR_AF, ipv4 ? AF_INET : AF_INET6);
        mnl_attr_put_u8(message, FOU_ATTR_TYPE, FOU_ENCAP_DIRECT);
        mnl_attr_put_u8(message, FOU_ATTR_IPPROTO, protocol_for(ipv4));
        mnl_attr_put(message, FOU_ATTR_REMCSUM_NOPARTIAL, 0, NULL);
        mnl_attr_put_u16(message, FOU_ATTR_PORT, flow->local_port);
        /* The kernel binds to a link only what has a local address, be it that of all. */
        mnl_attr_put_u32(message, FOU_ATTR_IFINDEX, key->ifindex);
        if (ipv4)
                mnl_attr_put_u32(message, FOU_ATTR_LOCAL_V4, flow->local[3]);
        else
                mnl_attr_put(message, FOU_ATTR_LOCAL_V6, sizeof(flow->local), flow->local);
        if (flow->remote_port == 0)
                return;
        mnl_attr_put_u16(message, FOU_ATTR_PEER_PORT, flow->remote_port);
        if (ipv4)
                mnl_attr_put_u32(message, FOU_ATTR_PEER_V4, flow->remote[3]);
        else
                mnl_attr_put(message, FOU_ATTR_PEER_V6, sizeof(flow->remote), flow->remote);
}

static int call(Fou *fou, uint8_t command, const struct underpass_socket_key *key) {
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        struct nlmsghdr *message = genl_request(buffer, fou->family, command, FOU_GENL_VERSION);

        put_socket(message, key);
        return netlink_call(fou->netlink, message, NULL, NULL);
}

int fou_add(Fou *fou, const struct underpass_socket_key *key) {
        return call(fou, FOU_CMD_ADD, key);
}

/* The kernel says -EINVAL when it has no such socket. */
int fou_remove(Fou *fou, const struct underpass_socket_key *key) {
        int r = call(fou, FOU_CMD_DEL, key);

        return r == -EINVAL ? -ENOENT : r;
}

static uint8_t read_u8(const struct nlattr *attribute) {
        return mnl_attr_validate(attribute, MNL_TYPE_U8) >= 0 ? mnl_attr_get_u8(attribute) : 0;
}

static uint16_t read_u16(const struct nlattr *attribute) {
        return mnl_attr_validate(attribute, MNL_TYPE_U16) >= 0 ? mnl_attr_get_u16(attribute) : 0;
}

static uint32_t read_u32(const struct nlattr *attribute) {
        return mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0 ? mnl_attr_get_u32(attribute) : 0;
}

static void read_ipv6(const struct nlattr *attribute, __u32 ret[4]) {
        if (mnl_attr_get_payload_len(attribute) == 4 * sizeof(*ret))
                memcpy(ret, mnl_attr_get_payload(attribute), 4 * sizeof(*ret));
}

static void read_attribute(const struct nlattr *attribute, Told *told) {
        struct underpass_flow_key *flow = &told->key.flow;

        switch (mnl_attr_get_type(attribute)) {
        case FOU_ATTR_AF:
                told->address_family = read_u8(attribute);
                break;
        case FOU_ATTR_TYPE:
                told->type = read_u8(attribute);
                break;
        case FOU_ATTR_IPPROTO:
                told->protocol = read_u8(attribute);
                break;
        case FOU_ATTR_REMCSUM_NOPARTIAL:
                told->marked = true;
                break;
        case FOU_ATTR_PORT:
                flow->local_port = read_u16(attribute);
                break;
        case FOU_ATTR_PEER_PORT:
                flow->remote_port = read_u16(attribute);
                break;
        case FOU_ATTR_IFINDEX:
                told->key.ifindex = read_u32(attribute);
                break;
        case FOU_ATTR_LOCAL_V4:
                flow->local[3] = read_u32(attribute);
                break;
        case FOU_ATTR_PEER_V4:
                flow->remote[3] = read_u32(attribute);
                break;
        case FOU_ATTR_LOCAL_V6:
                read_ipv6(attribute, flow->local);
                break;
        case FOU_ATTR_PEER_V6:
                read_ipv6(attribute, flow->remote);
                break;
        default:
                break;
        }
}

static bool is_ours(const Told *told) {
        const bool ipv4 = told->address_family == AF_INET;

        return (ipv4 || told->address_family == AF_INET6) && told->type == FOU_ENCAP_DIRECT &&
               told->protocol == protocol_for(ipv4) && told->marked && told->key.ifindex != 0;
}

static int append(SocketList *list, const struct underpass_socket_key *key) {
        if (ROOM_FOR_ONE(list->keys, list->count, list->allocated) < 0)
                return -ENOMEM;
        list->keys[list->count++] = *key;
        return 0;
}

static int read_socket(const struct nlmsghdr *message, void *userdata) {
        const struct nlattr *attribute;
        SocketList *list = userdata;
        Told told = {};

        mnl_attr_for_each(attribute, message, sizeof(struct genlmsghdr))
                read_attribute(attribute, &told);
        if (told.address_family == AF_INET)
                told.key.flow.local[2] = told.key.flow.remote[2] = htonl(0xffff);
        if (is_ours(&told) && append(list, &told.key) < 0) {
                errno = ENOMEM;
                return MNL_CB_ERROR;
        }
        return MNL_CB_OK;
}

int fou_dump(Fou *fou, struct underpass_socket_key **ret, size_t *ret_count) {
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        struct nlmsghdr *message = genl_request(buffer, fou->family, FOU_CMD_GET, FOU_GENL_VERSION);
        SocketList list = {};
        int r;

        message->nlmsg_flags = NLM_F_DUMP;
        r = netlink_call(fou->netlink, message, read_socket, &list);
        if (r < 0) {
                free(list.keys);
                return r;
        }

        *ret = list.keys;
        *ret_count = list.count;
        return 0;
}
