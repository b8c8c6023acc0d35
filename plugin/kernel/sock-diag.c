/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Which ports are taken, at which ones something listens, how many subflows an address carries, and single
 * connections.
 */

#include <linux/inet_diag.h>
#include <linux/mptcp.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdalign.h>
#include <stddef.h>
#include <sys/socket.h>

#include "kernel/sock-diag.h"

#ifndef SOCK_DESTROY
#define SOCK_DESTROY 21
#endif
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262 /* kernel 5.6 */
#endif

enum {
        REQUEST_SIZE = 256,
        DUMP_ATTEMPTS = 8, /* of a dump that changes disturb while it is read */
        PORT_COUNT = 65536,
        ALL_STATES = -1,
};

/* One bit per port: sorts, and drops what several sockets share. */
typedef struct PortBits {
        uint64_t word[PORT_COUNT / 64];
} PortBits;

typedef struct SubflowCount {
        const Address *local;
        size_t count;
} SubflowCount;

static struct nlmsghdr *put_diag_request(void *buffer, uint8_t family, uint8_t protocol, int states,
                                    uint8_t extensions) {
        struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
        struct inet_diag_req_v2 *request;

        message->nlmsg_type = SOCK_DIAG_BY_FAMILY;
        message->nlmsg_flags = NLM_F_DUMP;
        request = mnl_nlmsg_put_extra_header(message, sizeof(*request));
        request->sdiag_family = family;
        request->sdiag_protocol = protocol;
        request->idiag_states = (uint32_t) states;
        request->idiag_ext = extensions;
        return message;
}

static int read_port(const struct nlmsghdr *message, void *userdata) {
        const struct inet_diag_msg *socket = mnl_nlmsg_get_payload(message);
        PortBits *ports = userdata;
        uint16_t port;

        if (mnl_nlmsg_get_payload_len(message) < sizeof(*socket))
                return MNL_CB_OK;

        port = ntohs(socket->id.idiag_sport);
        if (port != 0)
                ports->word[port / 64] |= UINT64_C(1) << (port % 64);
        return MNL_CB_OK;
}

static int list_ports(const PortBits *ports, uint16_t **ret_ports, size_t *ret_count) {
        uint16_t *list;
        size_t count = 0;

        for (size_t i = 0; i < ELEMENTS(ports->word); i++)
                count += (size_t) __builtin_popcountll(ports->word[i]);

        list = calloc(MAX_OF(count, (size_t) 1), sizeof(*list));
        if (!list)
                return -ENOMEM;

        count = 0;
        for (size_t port = 0; port < PORT_COUNT; port++)
                if (ports->word[port / 64] & (UINT64_C(1) << (port % 64)))
                        list[count++] = (uint16_t) port;

        *ret_ports = list;
        *ret_count = count;
        return 0;
}

/* Local ports of all sockets of a protocol in these states. */
static int collect_ports(int protocol, int states, uint16_t **ret_ports, size_t *ret_count) {
        static const uint8_t families[] = { AF_INET, AF_INET6 };
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        _cleanup_(freep) PortBits *ports = NULL;
        int r;

        ports = calloc(1, sizeof(*ports));
        if (!ports)
                return -ENOMEM;

        r = netlink_open(&netlink, NETLINK_SOCK_DIAG);
        if (r < 0)
                return r;

        for (size_t i = 0; i < ELEMENTS(families); i++) {
                r = -EINTR;
                /* A port seen in an interrupted dump was bound then, so what is found is kept. */
                for (size_t attempt = 0; attempt < DUMP_ATTEMPTS && r == -EINTR; attempt++) {
                        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
                        struct nlmsghdr *message;

                        message = put_diag_request(buffer, families[i], (uint8_t) protocol, states, 0);
                        /* The number of MPTCP has more than 8 bits. */
                        if (protocol > UINT8_MAX)
                                mnl_attr_put_u32(message, INET_DIAG_REQ_PROTOCOL, (uint32_t) protocol);
                        r = netlink_call(netlink, message, read_port, ports);
                }
                if (r < 0)
                        return r;
        }

        return list_ports(ports, ret_ports, ret_count);
}

int sock_diag_udp_ports(uint16_t **ret_ports, size_t *ret_count) {
        return collect_ports(IPPROTO_UDP, ALL_STATES, ret_ports, ret_count);
}

typedef struct UdpDump {
        UdpSocket *sockets;
        size_t count, room;
        bool failed;
} UdpDump;

static int add_udp(const struct nlmsghdr *message, void *userdata) {
        const struct inet_diag_msg *socket = mnl_nlmsg_get_payload(message);
        UdpDump *dump = userdata;

        if (mnl_nlmsg_get_payload_len(message) < sizeof(*socket) || socket->id.idiag_sport == 0)
                return MNL_CB_OK;
        if (ROOM_FOR_ONE(dump->sockets, dump->count, dump->room) < 0) {
                dump->failed = true;
                return MNL_CB_OK;
        }
        dump->sockets[dump->count++] = (UdpSocket) {
                .port = ntohs(socket->id.idiag_sport),
                .bound = socket->id.idiag_if,
                .user = socket->idiag_uid,
                .inode = socket->idiag_inode,
        };
        return MNL_CB_OK;
}

int sock_diag_udp_sockets(UdpSocket **ret, size_t *ret_count) {
        static const uint8_t families[] = { AF_INET, AF_INET6 };
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        UdpDump dump = {};
        int r;

        r = netlink_open(&netlink, NETLINK_SOCK_DIAG);
        for (size_t i = 0; r >= 0 && i < ELEMENTS(families); i++) {
                const size_t before = dump.count;

                r = -EINTR;
                for (size_t attempt = 0; attempt < DUMP_ATTEMPTS && r == -EINTR; attempt++) {
                        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};

                        dump.count = before;
                        r = netlink_call(netlink,
                                         put_diag_request(buffer, families[i], IPPROTO_UDP, ALL_STATES, 0),
                                         add_udp, &dump);
                }
        }
        if (r >= 0 && dump.failed)
                r = -ENOMEM;
        if (r < 0) {
                free(dump.sockets);
                return r;
        }
        *ret = dump.sockets;
        *ret_count = dump.count;
        return 0;
}

int sock_diag_listeners(bool mptcp, uint16_t **ret_ports, size_t *ret_count) {
        return collect_ports(mptcp ? IPPROTO_MPTCP : IPPROTO_TCP, 1 << TCP_LISTEN, ret_ports, ret_count);
}

static const struct nlattr *find_nested(const struct nlattr *nest, uint16_t type) {
        const struct nlattr *attribute;

        mnl_attr_for_each_nested(attribute, nest)
                if (mnl_attr_get_type(attribute) == type)
                        return attribute;
        return NULL;
}

/* The upper layer protocol of a TCP socket is MPTCP and the peer agreed: a connection that fell back
 * keeps the former. */
static bool is_subflow(const struct nlattr *upper_layer) {
        const uint32_t agreed = MPTCP_SUBFLOW_FLAG_MCAP_REM | MPTCP_SUBFLOW_FLAG_JOIN_REM;
        const struct nlattr *mptcp, *flags;

        mptcp = find_nested(upper_layer, INET_ULP_INFO_MPTCP);
        if (!mptcp)
                return false;

        flags = find_nested(mptcp, MPTCP_SUBFLOW_ATTR_FLAGS);
        return flags && mnl_attr_validate(flags, MNL_TYPE_U32) >= 0 && (mnl_attr_get_u32(flags) & agreed);
}

static int count_subflow(const struct nlmsghdr *message, void *userdata) {
        const struct inet_diag_msg *socket = mnl_nlmsg_get_payload(message);
        SubflowCount *subflows = userdata;
        const struct nlattr *attribute;
        Address local;

        if (mnl_nlmsg_get_payload_len(message) < sizeof(*socket))
                return MNL_CB_OK;

        if (socket->idiag_family == AF_INET)
                local = address_from_ipv4(socket->id.idiag_src[0]);
        else
                memcpy(local.word, socket->id.idiag_src, sizeof(local.word));
        if (!address_equal(&local, subflows->local))
                return MNL_CB_OK;

        mnl_attr_for_each(attribute, message, sizeof(*socket))
                if (mnl_attr_get_type(attribute) == INET_DIAG_ULP_INFO && is_subflow(attribute))
                        subflows->count++;
        return MNL_CB_OK;
}

/*
 * Lets the kernel pick the sockets of one local address, so a server with a hundred thousand connections
 * stays quick: a program of one instruction, which compares the address, in the byte code of inet_diag.
 */
static void put_local_address(struct nlmsghdr *message, const Address *local) {
        struct inet_diag_bc_op operation = { .code = INET_DIAG_BC_S_COND };
        struct inet_diag_hostcond condition = { .port = -1 };
        uint8_t program[sizeof(operation) + sizeof(condition) + sizeof(local->word)];
        const uint32_t *address;
        size_t length;

        /* An IPv4 condition also matches the mapped addresses of IPv6 sockets. */
        if (address_is_ipv4(local)) {
                condition.family = AF_INET;
                address = &local->word[3];
                length = sizeof(local->word[3]);
        } else {
                condition.family = AF_INET6;
                address = local->word;
                length = sizeof(local->word);
        }

        condition.prefix_len = (uint8_t) (length * 8);
        memcpy(program + sizeof(operation) + sizeof(condition), address, length);
        length += sizeof(operation) + sizeof(condition);

        /* Where to go on: at the end to accept, 4 behind it to reject. */
        operation.yes = (uint8_t) length;
        operation.no = (uint16_t) (length + 4);
        memcpy(program, &operation, sizeof(operation));
        memcpy(program + sizeof(operation), &condition, sizeof(condition));
        mnl_attr_put(message, INET_DIAG_REQ_BYTECODE, length, program);
}

int sock_diag_mptcp_subflows(const Address *local, size_t *ret_count) {
        static const uint8_t families[] = { AF_INET6, AF_INET };
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        size_t total = 0;
        int r;

        r = netlink_open(&netlink, NETLINK_SOCK_DIAG);
        if (r < 0)
                return r;

        /* IPv4 connections live in sockets of both families. */
        for (size_t i = 0; i < (address_is_ipv4(local) ? 2 : 1); i++) {
                SubflowCount subflows = { .local = local };

                r = -EINTR;
                for (size_t attempt = 0; attempt < DUMP_ATTEMPTS && r == -EINTR; attempt++) {
                        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
                        struct nlmsghdr *message;

                        subflows.count = 0;
                        message = put_diag_request(buffer, families[i], IPPROTO_TCP, 1 << TCP_ESTABLISHED,
                                              1 << (INET_DIAG_INFO - 1));
                        put_local_address(message, local);
                        r = netlink_call(netlink, message, count_subflow, &subflows);
                }
                if (r < 0)
                        return r;
                total += subflows.count;
        }

        *ret_count = total;
        return 0;
}

static int read_tcp(const struct nlmsghdr *message, void *userdata) {
        const struct inet_diag_msg *socket = mnl_nlmsg_get_payload(message);
        const struct nlattr *attribute;
        TcpConnection *found = userdata;

        if (mnl_nlmsg_get_payload_len(message) < sizeof(*socket))
                return MNL_CB_OK;

        found->state = socket->idiag_state;
        found->bound = socket->id.idiag_if;
        found->user = socket->idiag_uid;
        mnl_attr_for_each(attribute, message, sizeof(*socket))
                if (mnl_attr_get_type(attribute) == INET_DIAG_MARK &&
                    mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
                        found->mark = mnl_attr_get_u32(attribute);
        return MNL_CB_OK;
}

/* A request about one connection. IPv4 is looked for in sockets of both families. */
static struct nlmsghdr *put_tcp_request(void *buffer, uint16_t type, const TcpConnection *connection,
                                        uint32_t bound) {
        const bool ipv4 = address_is_ipv4(&connection->local);
        struct inet_diag_req_v2 *request;
        struct nlmsghdr *message;

        message = put_diag_request(buffer, ipv4 ? AF_INET : AF_INET6, IPPROTO_TCP, ALL_STATES, 0);
        message->nlmsg_type = type;
        message->nlmsg_flags = 0;
        request = mnl_nlmsg_get_payload(message);
        request->id.idiag_sport = connection->local_port;
        request->id.idiag_dport = connection->remote_port;
        memcpy(request->id.idiag_src, ipv4 ? &connection->local.word[3] : connection->local.word,
               ipv4 ? sizeof(uint32_t) : sizeof(connection->local.word));
        memcpy(request->id.idiag_dst, ipv4 ? &connection->remote.word[3] : connection->remote.word,
               ipv4 ? sizeof(uint32_t) : sizeof(connection->remote.word));
        request->id.idiag_if = bound;
        request->id.idiag_cookie[0] = request->id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
        return message;
}

int sock_diag_find_tcp(Netlink *netlink, TcpConnection *connection) {
        const uint32_t places[] = { 0, connection->bound };

        for (size_t i = 0; i < ELEMENTS(places); i++) {
                alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
                TcpConnection found = *connection;
                struct nlmsghdr *message;
                int r;

                if (i > 0 && places[i] == 0)
                        break;
                found.state = 0; /* not told */
                message = put_tcp_request(buffer, SOCK_DIAG_BY_FAMILY, connection, places[i]);
                r = netlink_call(netlink, message, read_tcp, &found);
                if (r < 0 && r != -ENOENT)
                        return r;
                if (r < 0 || found.state == 0 || found.state == TCP_LISTEN || found.state == TCP_CLOSE)
                        continue;
                *connection = found;
                return 0;
        }
        return -ENOENT;
}

int sock_diag_end_tcp(Netlink *netlink, const TcpConnection *connection) {
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        struct nlmsghdr *message = put_tcp_request(buffer, SOCK_DESTROY, connection, connection->bound);

        return netlink_call(netlink, message, NULL, NULL);
}

/*
 * struct tcp_info as the kernel has had it since 4.1 (linux/tcp.h, which does not go with netinet/tcp.h).
 * How much of it the C library's struct has differs; all have what is before here.
 */
typedef struct LongTcpInfo {
        uint8_t before[offsetof(struct tcp_info, tcpi_total_retrans) + sizeof(uint32_t)];
        uint64_t pacing_rate;
        uint64_t max_pacing_rate;
        uint64_t bytes_acked;
        uint64_t bytes_received;
} LongTcpInfo;
_Static_assert(offsetof(LongTcpInfo, pacing_rate) == 104, "as in linux/tcp.h");

static void read_measures(const struct nlmsghdr *message, TcpMeasures *measures) {
        const struct inet_diag_msg *socket = mnl_nlmsg_get_payload(message);
        const struct nlattr *attribute;
        struct tcp_info info = {};
        LongTcpInfo more = {};

        measures->inode = socket->idiag_inode;
        measures->connection.state = socket->idiag_state;
        mnl_attr_for_each(attribute, message, sizeof(*socket))
                if (mnl_attr_get_type(attribute) == INET_DIAG_INFO)
                        memcpy(&more, mnl_attr_get_payload(attribute),
                               MIN_OF((size_t) mnl_attr_get_payload_len(attribute), sizeof(more)));
        memcpy(&info, more.before, sizeof(more.before));
        measures->rtt_us = info.tcpi_rtt;
        measures->retransmissions = info.tcpi_total_retrans;
        measures->bytes_sent = more.bytes_acked;
        measures->bytes_received = more.bytes_received;
}

static int read_one(const struct nlmsghdr *message, void *userdata) {
        if (mnl_nlmsg_get_payload_len(message) >= sizeof(struct inet_diag_msg))
                read_measures(message, userdata);
        return MNL_CB_OK;
}

int sock_diag_measure_tcp(Netlink *netlink, TcpMeasures *measures) {
        const uint32_t places[] = { 0, measures->connection.bound };
        int r = -ENOENT;

        for (size_t i = 0; r == -ENOENT && i < ELEMENTS(places); i++) {
                alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
                struct inet_diag_req_v2 *request;
                struct nlmsghdr *message;

                if (i > 0 && places[i] == 0)
                        break;
                message = put_tcp_request(buffer, SOCK_DIAG_BY_FAMILY, &measures->connection, places[i]);
                request = mnl_nlmsg_get_payload(message);
                request->idiag_ext = 1 << (INET_DIAG_INFO - 1);
                r = netlink_call(netlink, message, read_one, measures);
        }
        return r;
}

/* A dump of MPTCP connections, then one of TCP sockets. */
typedef struct SubflowDump {
        uint32_t *inodes;           /* of the connections; ascending once they are all there */
        size_t count, room;
        TcpMeasuresHandler handler;
        void *userdata;
} SubflowDump;

static int add_inode(const struct nlmsghdr *message, void *userdata) {
        const struct inet_diag_msg *socket = mnl_nlmsg_get_payload(message);
        SubflowDump *dump = userdata;

        if (mnl_nlmsg_get_payload_len(message) < sizeof(*socket) || socket->idiag_inode == 0)
                return MNL_CB_OK;
        if (ROOM_FOR_ONE(dump->inodes, dump->count, dump->room) < 0)
                return MNL_CB_OK; /* that one is missing then */
        dump->inodes[dump->count++] = socket->idiag_inode;
        return MNL_CB_OK;
}

static int compare_inodes(const void *a, const void *b) {
        const uint32_t first = *(const uint32_t *) a, second = *(const uint32_t *) b;

        return first < second ? -1 : first > second;
}

static int tell_subflow(const struct nlmsghdr *message, void *userdata) {
        const struct inet_diag_msg *socket = mnl_nlmsg_get_payload(message);
        SubflowDump *dump = userdata;
        TcpMeasures measures = {};

        if (mnl_nlmsg_get_payload_len(message) < sizeof(*socket) || dump->count == 0 ||
            !bsearch(&socket->idiag_inode, dump->inodes, dump->count, sizeof(*dump->inodes), compare_inodes))
                return MNL_CB_OK;
        if (socket->idiag_family == AF_INET) {
                measures.connection.local = address_from_ipv4(socket->id.idiag_src[0]);
                measures.connection.remote = address_from_ipv4(socket->id.idiag_dst[0]);
        } else {
                memcpy(measures.connection.local.word, socket->id.idiag_src,
                       sizeof(measures.connection.local.word));
                memcpy(measures.connection.remote.word, socket->id.idiag_dst,
                       sizeof(measures.connection.remote.word));
        }
        measures.connection.local_port = socket->id.idiag_sport;
        measures.connection.remote_port = socket->id.idiag_dport;
        measures.connection.bound = socket->id.idiag_if;
        read_measures(message, &measures);
        dump->handler(&measures, dump->userdata);
        return MNL_CB_OK;
}

/* Both families. What changes disturb is read all the same: the next dump has the rest. */
static int dump_sockets(Netlink *netlink, int protocol, uint8_t extensions, mnl_cb_t callback,
                        SubflowDump *dump) {
        static const uint8_t families[] = { AF_INET, AF_INET6 };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTS(families); i++) {
                alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
                struct nlmsghdr *message = put_diag_request(
                        buffer, families[i], (uint8_t) protocol, 1 << TCP_ESTABLISHED, extensions);

                if (protocol > UINT8_MAX)
                        mnl_attr_put_u32(message, INET_DIAG_REQ_PROTOCOL, (uint32_t) protocol);
                r = netlink_call(netlink, message, callback, dump);
                if (r == -EINTR)
                        r = 0;
        }
        return r;
}

int sock_diag_measure_subflows(Netlink *netlink, TcpMeasuresHandler handler, void *userdata) {
        SubflowDump dump = { .handler = handler, .userdata = userdata };
        int r;

        r = dump_sockets(netlink, IPPROTO_MPTCP, 0, add_inode, &dump);
        if (r >= 0 && dump.count > 0) {
                qsort(dump.inodes, dump.count, sizeof(*dump.inodes), compare_inodes);
                r = dump_sockets(netlink, IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), tell_subflow, &dump);
        }
        free(dump.inodes);
        return r == -ENOENT ? 0 : r; /* a kernel without MPTCP has none */
}
