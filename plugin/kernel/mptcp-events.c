/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The monitor of MPTCP connections. See mptcp-events.h. */

#include <linux/filter.h>
#include <linux/mptcp.h>
#include <stdalign.h>
#include <sys/socket.h>

#include "kernel/genl.h"
#include "base/netlink-answer.h"
#include "kernel/mptcp-events.h"

enum {
        REQUEST_SIZE = 256,
        EVENT_SIZE = 4096,
        EVENTS_AT_ONCE = 64,
};

struct MptcpEvents {
        struct mnl_socket *monitor;
};

MptcpEvents *mptcp_events_free(MptcpEvents *events) {
        if (!events)
                return NULL;

        if (events->monitor)
                mnl_socket_close(events->monitor);
        free(events);
        return NULL;
}

/* One of the family's multicast groups: its id when it is the one that is looked for. */
static uint32_t read_group(const struct nlattr *group) {
        const struct nlattr *attribute;
        const char *name = "";
        uint32_t id = 0;

        mnl_attr_for_each_nested(attribute, group)
                if (mnl_attr_get_type(attribute) == CTRL_ATTR_MCAST_GRP_NAME &&
                    mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
                        name = mnl_attr_get_str(attribute);
                else if (mnl_attr_get_type(attribute) == CTRL_ATTR_MCAST_GRP_ID &&
                         mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
                        id = mnl_attr_get_u32(attribute);
        return streq(name, MPTCP_PM_EV_GRP_NAME) ? id : 0;
}

static int read_groups(const struct nlmsghdr *message, void *userdata) {
        const struct nlattr *attribute, *group;
        uint32_t *found = userdata;

        mnl_attr_for_each(attribute, message, sizeof(struct genlmsghdr)) {
                if (mnl_attr_get_type(attribute) != CTRL_ATTR_MCAST_GROUPS)
                        continue;
                mnl_attr_for_each_nested(group, attribute)
                        if (*found == 0)
                                *found = read_group(group);
        }
        return MNL_CB_OK;
}

static int find_group(uint32_t *ret) {
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        struct nlmsghdr *message;
        uint32_t group = 0;
        int r;

        r = netlink_open(&netlink, NETLINK_GENERIC);
        if (r < 0)
                return r;
        message = genl_request(buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
        mnl_attr_put_strz(message, CTRL_ATTR_FAMILY_NAME, MPTCP_PM_NAME);
        r = netlink_call(netlink, message, read_groups, &group);
        if (r < 0 && r != -ENOENT)
                return r;
        if (group == 0)
                return -EOPNOTSUPP;
        *ret = group;
        return 0;
}

/* Keeps all other events from the monitor. An event is one message. */
static int ignore_others(int fd) {
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NLMSG_HDRLEN + offsetof(struct genlmsghdr, cmd)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MPTCP_EVENT_ESTABLISHED, 3, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MPTCP_EVENT_CLOSED, 2, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MPTCP_EVENT_SUB_ESTABLISHED, 1, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MPTCP_EVENT_SUB_CLOSED, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
                BPF_STMT(BPF_RET | BPF_K, 0),
        };
        const struct sock_fprog program = { .len = ELEMENTS(filter), .filter = filter };

        return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

int mptcp_events_open(MptcpEvents **ret) {
        _cleanup_(mptcp_events_freep) MptcpEvents *events = NULL;
        uint32_t group = 0;
        int r;

        events = calloc(1, sizeof(*events));
        if (!events)
                return -ENOMEM;
        r = find_group(&group);
        if (r < 0)
                return r;
        events->monitor = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (!events->monitor)
                return -errno;
        r = ignore_others(mnl_socket_get_fd(events->monitor));
        if (r < 0)
                return r;
        if (mnl_socket_bind(events->monitor, 0, MNL_SOCKET_AUTOPID) < 0 ||
            mnl_socket_setsockopt(events->monitor, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
                return -errno;

        *ret = TAKE_PTR(events);
        return 0;
}

int mptcp_events_fd(const MptcpEvents *events) {
        return mnl_socket_get_fd(events->monitor);
}

/* Of either family; false when its length is wrong. */
static bool read_address(const struct nlattr *attribute, Address *ret) {
        const uint16_t length = mnl_attr_get_payload_len(attribute);
        uint32_t ipv4;

        if (length == sizeof(ipv4)) {
                memcpy(&ipv4, mnl_attr_get_payload(attribute), sizeof(ipv4));
                *ret = address_from_ipv4(ipv4);
                return true;
        }
        if (length != sizeof(ret->word))
                return false;
        memcpy(ret->word, mnl_attr_get_payload(attribute), sizeof(ret->word));
        return true;
}

static void read_port(const struct nlattr *attribute, uint16_t *ret) {
        if (mnl_attr_validate(attribute, MNL_TYPE_U16) >= 0)
                *ret = ntohs(mnl_attr_get_u16(attribute));
}

static void read_attribute(const struct nlattr *attribute, MptcpEvent *event) {
        switch (mnl_attr_get_type(attribute)) {
        case MPTCP_ATTR_TOKEN:
                if (mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
                        event->token = mnl_attr_get_u32(attribute);
                return;
        case MPTCP_ATTR_SADDR4:
        case MPTCP_ATTR_SADDR6:
                if (read_address(attribute, &event->local))
                        event->has_local = true;
                return;
        case MPTCP_ATTR_DADDR4:
        case MPTCP_ATTR_DADDR6:
                (void) read_address(attribute, &event->remote);
                return;
        case MPTCP_ATTR_SPORT:
                read_port(attribute, &event->local_port);
                return;
        case MPTCP_ATTR_DPORT:
                read_port(attribute, &event->remote_port);
                return;
        case MPTCP_ATTR_ERROR:
                if (mnl_attr_validate(attribute, MNL_TYPE_U8) < 0)
                        return;
                event->error = mnl_attr_get_u8(attribute);
                event->refused = event->error == ECONNREFUSED;
                return;
        case MPTCP_ATTR_IF_IDX:
                if (mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
                        event->ifindex = mnl_attr_get_u32(attribute);
                return;
        default:
                return;
        }
}

static bool event_kind(uint8_t command, MptcpEventKind *ret) {
        switch (command) {
        case MPTCP_EVENT_CLOSED:
                *ret = MPTCP_CONNECTION_GONE;
                return true;
        case MPTCP_EVENT_ESTABLISHED:
        case MPTCP_EVENT_SUB_ESTABLISHED:
                *ret = MPTCP_SUBFLOW_UP;
                return true;
        case MPTCP_EVENT_SUB_CLOSED:
                *ret = MPTCP_SUBFLOW_GONE;
                return true;
        default:
                return false;
        }
}

void mptcp_events_notify(const void *datagram, size_t length, MptcpEventHandler handler, void *userdata) {
        const struct nlmsghdr *message;

        for (size_t offset = 0; (message = netlink_message_at(datagram, length, offset));
             offset += MNL_ALIGN(message->nlmsg_len)) {
                const struct genlmsghdr *generic = mnl_nlmsg_get_payload(message);
                const struct nlattr *attribute;
                /* The kernel names no error when it ended the subflow itself. */
                MptcpEvent event = { .refused = true };

                /* Lower numbers are netlink's own. */
                if (message->nlmsg_type < NLMSG_MIN_TYPE ||
                    mnl_nlmsg_get_payload_len(message) < sizeof(*generic) ||
                    !event_kind(generic->cmd, &event.kind))
                        continue;
                mnl_attr_for_each(attribute, message, sizeof(*generic))
                        read_attribute(attribute, &event);
                handler(&event, userdata);
        }
}

int mptcp_events_process(MptcpEvents *events, MptcpEventHandler handler, void *userdata) {
        static const MptcpEvent lost = { .kind = MPTCP_EVENTS_LOST };
        alignas(struct nlmsghdr) uint8_t datagram[EVENT_SIZE];

        for (size_t i = 0; i < EVENTS_AT_ONCE; i++) {
                struct sockaddr_nl sender = {};
                socklen_t sender_length = sizeof(sender);
                ssize_t length;

                length = recvfrom(mptcp_events_fd(events), datagram, sizeof(datagram),
                                  MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *) &sender, &sender_length);
                if (length < 0 && errno == EAGAIN)
                        return 0;
                if (length < 0 && errno == EINTR)
                        continue;
                if (length < 0 && errno != ENOBUFS)
                        return -errno;
                if (length < 0 || (size_t) length > sizeof(datagram))
                        handler(&lost, userdata);
                else if (sender.nl_pid == 0) /* only the kernel is port 0 */
                        mptcp_events_notify(datagram, (size_t) length, handler, userdata);
        }
        return 0;
}
