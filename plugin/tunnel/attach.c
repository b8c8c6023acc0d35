/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The two attach points: tcx (kernel 6.6 and newer), pinned, at the head of the list; filters in a clsact
 * qdisc elsewhere. The qdisc is handled by netlink, because libbpf removes it with the filters of all other
 * programs.
 */

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include "base/message.h"
#include "base/netlink.h"
#include "tunnel/attach.h"
#include "tunnel/expedite.h"

/* Newer than the kernel headers of the oldest system that Underpass builds on. */
enum {
        ATTACH_TCX_INGRESS = 46,     /* kernel 6.6 */
        ATTACH_TCX_EGRESS = 47,
        ATTACH_NETKIT_PRIMARY = 54,  /* kernel 6.7 */
        ATTACH_BEFORE = 1U << 3,     /* BPF_F_BEFORE without a relative program: the head of the list */
        NO_SUCH_IFINDEX = 0x7fffffff,
        PROGRAMS_MAX = 64,           /* of one tcx attach point: BPF_MPROG_MAX */
};

/* Our own filters are known by these. */
enum {
        FILTER_PRIORITY = 9,
        FILTER_PRIORITY_BEHIND = 0xfff0, /* behind all that the kernel gives by itself, 0xc000 and below */
        FILTER_HANDLE = 0x756e6470,
};

static const int tcx_attach_types[] = {
        [DIRECTION_INGRESS] = ATTACH_TCX_INGRESS,
        [DIRECTION_EGRESS] = ATTACH_TCX_EGRESS,
};
ASSERT_TABLE_COMPLETE(tcx_attach_types, _TUNNEL_DIRECTION_MAX);

static const enum bpf_tc_attach_point clsact_attach_points[] = {
        [DIRECTION_INGRESS] = BPF_TC_INGRESS,
        [DIRECTION_EGRESS] = BPF_TC_EGRESS,
};
ASSERT_TABLE_COMPLETE(clsact_attach_points, _TUNNEL_DIRECTION_MAX);

static const uint32_t clsact_parents[] = {
        [DIRECTION_INGRESS] = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS),
        [DIRECTION_EGRESS] = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS),
};
ASSERT_TABLE_COMPLETE(clsact_parents, _TUNNEL_DIRECTION_MAX);

/* Attaching to a device that cannot exist tells "no such attach point" (EINVAL) from "no such device"
 * (ENODEV). */
static bool attach_type_known(int program, int type) {
        int fd = bpf_link_create(program, NO_SUCH_IFINDEX, (enum bpf_attach_type) type, NULL);

        if (fd >= 0)
                close_fd(fd);
        return fd == -ENODEV;
}

int attach_point_probe(bool *ret_tcx, bool *ret_netkit) {
        const struct bpf_insn next[] = {
                { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = -1 },
                { .code = BPF_JMP | BPF_EXIT },
        };
        _cleanup_(close_fdp) int program = -EBADF;

        program =
                bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "underpass_probe", "GPL", next, ELEMENTS(next), NULL);
        if (program < 0)
                return program;
        *ret_tcx = attach_type_known(program, ATTACH_TCX_EGRESS);
        *ret_netkit = attach_type_known(program, ATTACH_NETKIT_PRIMARY);
        return 0;
}

/* Descriptor of the pinned attachment if it still is one to this device. A pin outlives its device and then
 * names ifindex 0: -ENOLINK. */
static int bpf_link_open(uint32_t ifindex, const char *pin) {
        _cleanup_(close_fdp) int fd = -EBADF;
        struct bpf_link_info info = {};
        __u32 size = sizeof(info);
        int r;

        fd = bpf_obj_get(pin);
        if (fd < 0)
                return fd;
        r = bpf_obj_get_info_by_fd(fd, &info, &size);
        if (r < 0)
                return r;
        /* The ifindex of a tcx or netkit attachment lies where that of an XDP attachment does; older headers
         * know only the latter. */
        if (info.xdp.ifindex != ifindex)
                return -ENOLINK;
        return TAKE_FD(fd);
}

static int bpf_link_attach(Tunnel *tunnel, uint32_t ifindex, int type, uint32_t flags, TunnelProgram program,
                       const char *pin) {
        LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags);
        _cleanup_(tunnel_haste_endp) TunnelHaste haste = {};
        _cleanup_(close_fdp) int fd = -EBADF;
        int r;

        fd = bpf_link_open(ifindex, pin);
        if (fd >= 0)
                return bpf_link_update(fd, tunnel->programs[program], NULL);
        if (fd == -ENOLINK && unlink(pin) < 0)
                return -errno;

        haste = expedite_begin(tunnel);
        fd = bpf_link_create(tunnel->programs[program], (int) ifindex, (enum bpf_attach_type) type,
                             &options);
        if (fd < 0)
                return fd;
        r = bpf_obj_pin(fd, pin);
        return r < 0 ? r : 0; /* without a pin the closing of fd takes the program off again */
}

int attach_point_unpin(const Tunnel *tunnel, uint32_t ifindex, const char *pin) {
        _cleanup_(tunnel_haste_endp) TunnelHaste haste = {};
        _cleanup_(close_fdp) int fd = -EBADF;

        fd = bpf_link_open(ifindex, pin);
        if (fd == -ENOENT)
                return 0;
        if (fd >= 0) {
                haste = expedite_begin(tunnel);
                /* At once: when only the last reference goes, the kernel detaches some time later. */
                (void) bpf_link_detach(fd);
        }
        return unlink(pin) < 0 && errno != ENOENT ? -errno : 0;
}

static int clsact_request(uint32_t ifindex, uint16_t type, uint16_t flags) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        char buffer[512] __attribute__((aligned(4))) = {};
        struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
        struct tcmsg *tc;
        int r;

        r = netlink_open(&netlink, NETLINK_ROUTE);
        if (r < 0)
                return r;
        message->nlmsg_type = type;
        message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        tc = mnl_nlmsg_put_extra_header(message, sizeof(*tc));
        tc->tcm_family = AF_UNSPEC;
        tc->tcm_ifindex = (int) ifindex;
        tc->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
        tc->tcm_parent = TC_H_CLSACT;
        mnl_attr_put_strz(message, TCA_KIND, "clsact");
        return netlink_call(netlink, message, NULL, NULL);
}

typedef struct Filters {
        uint32_t above;  /* given: the priority that counts no more */
        size_t count;
        uint32_t parent; /* as the one who made the last of them has named it */
} Filters;

static int count_filter(const struct nlmsghdr *message, void *userdata) {
        const struct tcmsg *tc = mnl_nlmsg_get_payload(message);
        Filters *filters = userdata;

        filters->count++;
        filters->parent = tc->tcm_parent;
        return MNL_CB_OK;
}

/* Of others: ours are known by their priorities. */
static int count_foreign_filter(const struct nlmsghdr *message, void *userdata) {
        const struct tcmsg *tc = mnl_nlmsg_get_payload(message);
        const uint32_t priority = TC_H_MAJ(tc->tcm_info) >> 16;
        const Filters *filters = userdata;

        if (message->nlmsg_type != RTM_NEWTFILTER || priority <= filters->above ||
            priority == FILTER_PRIORITY || priority == FILTER_PRIORITY_BEHIND)
                return MNL_CB_OK;
        return count_filter(message, userdata);
}

/* Filters at one side of the clsact qdisc, or in the ingress qdisc in its place, that handler counts. */
static int clsact_filters(uint32_t ifindex, uint32_t parent, mnl_cb_t handler, Filters *filters) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        char buffer[512] __attribute__((aligned(4))) = {};
        struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
        struct tcmsg *tc;
        int r;

        r = netlink_open(&netlink, NETLINK_ROUTE);
        if (r < 0)
                return r;
        message->nlmsg_type = RTM_GETTFILTER;
        message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
        tc = mnl_nlmsg_put_extra_header(message, sizeof(*tc));
        tc->tcm_family = AF_UNSPEC;
        tc->tcm_ifindex = (int) ifindex;
        tc->tcm_parent = parent;
        return netlink_call(netlink, message, handler, filters);
}

static int remove_empty_clsact(uint32_t ifindex) {
        int r;

        for (size_t i = 0; i < ELEMENTS(clsact_parents); i++) {
                Filters filters = {};

                r = clsact_filters(ifindex, clsact_parents[i], count_filter, &filters);
                if (r == -ENODEV)
                        return 0;
                if (r < 0)
                        return r;
                if (filters.count > 0)
                        return 0; /* other programs use it by now */
        }
        r = clsact_request(ifindex, RTM_DELQDISC, 0);
        return r == -ENODEV || r == -EINVAL || r == -ENOENT ? 0 : r;
}

/* An ingress qdisc sits at the same place and takes filters for both directions, but runs them all on what
 * comes in: asking for a clsact qdisc by its kind tells the two apart. */
int attach_point_make_clsact(uint32_t ifindex) {
        int r;

        r = clsact_request(ifindex, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL);
        if (r != -EEXIST)
                return r;
        r = clsact_request(ifindex, RTM_GETQDISC, 0);
        return r == 0 ? -EEXIST : r == -EINVAL ? -EBUSY : r;
}

/* The record says that the qdisc is ours before it is: a kill in between must not leave one that nobody
 * knows of. */
int attach_point_own_clsact(Tunnel *tunnel, uint32_t ifindex, struct underpass_saved *saved) {
        const uint32_t flags = saved->flags;
        int r;

        saved->flags |= UNDERPASS_SAVED_CLSACT_CREATED;
        r = tunnel_saved_set(tunnel, ifindex, saved);
        if (r == 0)
                r = attach_point_make_clsact(ifindex);
        if (r == 0)
                return 0;
        if (r == -EBUSY)
                tunnel_set_error(tunnel, N_("an ingress qdisc is in the place of the clsact qdisc; let the "
                                            "program that made it use \"clsact\" instead of \"ingress\", "
                                            "and for its filters \"parent ffff:fff2\""));
        saved->flags = flags;
        (void) tunnel_saved_set(tunnel, ifindex, saved);
        return r == -EEXIST ? 0 : r;
}

int attach_point_disown_clsact(Tunnel *tunnel, uint32_t ifindex, struct underpass_saved *saved) {
        int r;

        if (!(saved->flags & UNDERPASS_SAVED_CLSACT_CREATED))
                return 0;
        r = remove_empty_clsact(ifindex);
        if (r < 0)
                return r;
        saved->flags &= ~(uint32_t) UNDERPASS_SAVED_CLSACT_CREATED;
        return tunnel_saved_set(tunnel, ifindex, saved);
}

static int filter_attach(Tunnel *tunnel, uint32_t ifindex, uint32_t parent, TunnelProgram program,
                         uint32_t priority) {
        LIBBPF_OPTS(bpf_tc_hook, point, .ifindex = (int) ifindex, .attach_point = BPF_TC_CUSTOM,
                    .parent = parent);
        LIBBPF_OPTS(bpf_tc_opts, options, .handle = FILTER_HANDLE, .priority = priority,
                    .prog_fd = tunnel->programs[program], .flags = BPF_TC_F_REPLACE);
        int r;

        r = bpf_tc_attach(&point, &options);
        if (r == -EINVAL)
                tunnel_set_error(tunnel, N_("a filter of another kind has priority %u in the clsact qdisc"),
                                 priority);
        return r;
}

static int clsact_attach(Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction,
                         TunnelProgram program) {
        return filter_attach(tunnel, ifindex, clsact_parents[direction], program, FILTER_PRIORITY);
}

static int filter_detach(uint32_t ifindex, TunnelDirection direction, uint32_t priority) {
        LIBBPF_OPTS(bpf_tc_hook, point, .ifindex = (int) ifindex,
                    .attach_point = clsact_attach_points[direction]);
        LIBBPF_OPTS(bpf_tc_opts, options, .handle = FILTER_HANDLE, .priority = priority);
        int r;

        r = bpf_tc_detach(&point, &options);
        /* EINVAL: there is no clsact qdisc (any more). */
        return r == -ENOENT || r == -ENODEV || r == -EINVAL ? 0 : r;
}

static int clsact_detach(uint32_t ifindex, TunnelDirection direction) {
        return filter_detach(ifindex, direction, FILTER_PRIORITY);
}

/* Number of the program in our filter behind the others; 0: it is not there. */
static uint32_t program_behind(uint32_t ifindex) {
        LIBBPF_OPTS(bpf_tc_hook, point, .ifindex = (int) ifindex, .attach_point = BPF_TC_INGRESS);
        LIBBPF_OPTS(bpf_tc_opts, options, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY_BEHIND);

        return bpf_tc_query(&point, &options) == 0 ? options.prog_id : 0;
}

int attach_point_follow(Tunnel *tunnel, uint32_t ifindex, TunnelProgram program) {
        const uint32_t behind = program_behind(ifindex);
        struct bpf_prog_info info = {};
        __u32 size = sizeof(info);
        /* What has a smaller priority than our own filter comes before that anyway. */
        Filters others = { .above = tunnel->attach_point == ATTACH_POINT_CLSACT ? FILTER_PRIORITY : 0 };
        int r;

        tunnel_clear_error(tunnel);
        r = clsact_filters(ifindex, clsact_parents[DIRECTION_INGRESS], count_foreign_filter, &others);
        if (r == 0 && others.count == 0)
                return behind == 0 ? 0 : filter_detach(ifindex, DIRECTION_INGRESS, FILTER_PRIORITY_BEHIND);
        if (r == 0)
                r = bpf_obj_get_info_by_fd(tunnel->programs[program], &info, &size);
        if (r == 0 && info.id != behind)
                r = filter_attach(tunnel, ifindex, others.parent, program, FILTER_PRIORITY_BEHIND);
        if (r < 0 && r != -EINVAL)
                tunnel_set_error(tunnel, N_("cannot attach behind the ingress filters of others: %s"),
                                 MESSAGE_ERRNO(r));
        return r;
}

static bool clsact_attached(uint32_t ifindex, TunnelDirection direction) {
        LIBBPF_OPTS(bpf_tc_hook, point, .ifindex = (int) ifindex,
                    .attach_point = clsact_attach_points[direction]);
        LIBBPF_OPTS(bpf_tc_opts, options, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY);

        return bpf_tc_query(&point, &options) == 0;
}

/* In this order: for a moment both programs run, and the second leaves alone what the first has rewritten.
 * The other way round packets would pass unchanged for a moment. */
int attach_point_attach(Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction, TunnelProgram program,
                       const char *pin) {
        int r;

        if (tunnel->attach_point == ATTACH_POINT_TCX) {
                r = bpf_link_attach(tunnel, ifindex, tcx_attach_types[direction], ATTACH_BEFORE, program,
                                    pin);
                return r < 0 ? r : clsact_detach(ifindex, direction);
        }
        r = clsact_attach(tunnel, ifindex, direction, program);
        return r < 0 ? r : attach_point_unpin(tunnel, ifindex, pin);
}

int attach_point_attach_netkit(Tunnel *tunnel, uint32_t ifindex, TunnelProgram program, const char *pin) {
        return bpf_link_attach(tunnel, ifindex, ATTACH_NETKIT_PRIMARY, ATTACH_BEFORE, program, pin);
}

/* EEXIST: a program in the generic mode counts, too. */
int attach_point_attach_xdp(Tunnel *tunnel, uint32_t ifindex, TunnelProgram program, const char *pin) {
        int r = bpf_link_attach(tunnel, ifindex, BPF_XDP, XDP_FLAGS_DRV_MODE, program, pin);

        return r == -EEXIST ? -EBUSY : r;
}

int attach_point_detach(const Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction, const char *pin) {
        int r, other;

        /* Both: an earlier service may have been told to use the other attach point. */
        r = attach_point_unpin(tunnel, ifindex, pin);
        other = clsact_detach(ifindex, direction);
        if (direction == DIRECTION_INGRESS && filter_detach(ifindex, direction, FILTER_PRIORITY_BEHIND) < 0)
                other = -EIO;
        return r < 0 ? r : other;
}

unsigned attach_point_position(Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction,
                               const char *pin) {
        _cleanup_(close_fdp) int fd = -EBADF;
        struct bpf_link_info info = {};
        __u32 size = sizeof(info), ids[PROGRAMS_MAX] = {}, count = ELEMENTS(ids);

        if (tunnel->attach_point != ATTACH_POINT_TCX)
                return 0;
        fd = bpf_link_open(ifindex, pin);
        if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) < 0 ||
            bpf_prog_query((int) ifindex, (enum bpf_attach_type) tcx_attach_types[direction], 0, NULL, ids,
                           &count) < 0)
                return 0;
        for (unsigned position = 0; position < MIN_OF(count, ELEMENTS(ids)); position++)
                if (ids[position] == info.prog_id)
                        return position;
        return 0;
}

bool attach_point_attached(Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction, const char *pin) {
        _cleanup_(close_fdp) int fd = -EBADF;

        if (tunnel->attach_point == ATTACH_POINT_CLSACT)
                return clsact_attached(ifindex, direction);
        fd = bpf_link_open(ifindex, pin);
        return fd >= 0;
}
