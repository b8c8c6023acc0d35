/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Complete or nothing: the steps of every plan from every state, on a kernel that exists in this file only,
 * with each change that they make failing in turn. May touch: nothing.
 */

#include "unit.h"

#include "kernel/fou.h"
#include "kernel/mtu.h"
#include "kernel/process.h"
#include "kernel/sysctl.h"
#include "kernel/sock-diag.h"
#include "plan-world.h"
#include "service/apply.h"
#include "service/endpoints.h"
#include "service/path.h"
#include "service/record.h"

enum {
        LINK = 7,
        XDP_MTU_MAX = 3498,  /* as with many drivers */
        OTHER = 9,           /* a link that is attached all the time, and nothing fails of it */
        ENDPOINTS_LIMIT = 8, /* as in the kernel */
        ROUNDS_MAX = 100,
        VLAN_BASE = 200,     /* indexes of 8021q devices, each behind that of its link */
        SOCKETS_MAX = 8,
        MOMENTS_MAX = 64,
};

/* What the kernel holds. */
typedef struct Kernel {
        uint32_t mtu;
        bool ipv6_disabled;
        MptcpEndpoint endpoints[ENDPOINTS_LIMIT];
        size_t endpoints_count;
        bool attached;
        bool xdp;
        bool lost;              /* the programs went with a try that failed; the sockets have yet to go */
        bool raw_ip;
        struct underpass_link link;
        bool recorded;          /* the record is there; it comes before the programs and goes after them */
        struct underpass_saved saved;
        size_t sockets;         /* tunnel sockets; never without the programs that guard them */
        size_t guarded;
        bool vlan, vlan_of_other; /* 8021q devices on top of the links */
} Kernel;

static Kernel kernel;
static unsigned changes;        /* that were asked for since arm() */
static unsigned fails_at;       /* the change that fails, from 1; 0: none */
static bool fails_on;           /* all later ones fail, too */
static bool refuses;            /* nothing can be attached: another qdisc is in the place of ours */
static bool unconfirmed;        /* the link was adopted, and has not been looked at yet */
static bool crowded;            /* OTHER is there */
static bool has_xdp;            /* the driver has it */
static uint32_t mtu_stuck_at;   /* the MTU that cannot be changed; 0: none */
static uint32_t mtu_limit;      /* what the link below allows; 0: anything */
static bool clears_nothing;     /* programs stay at the pair, … */
static unsigned cleared;        /* … and how often they did not */
static bool id_is_taken;        /* somebody else registers an address as soon as an endpoint has gone */

static Kernel moments[MOMENTS_MAX]; /* between the changes of one apply() */
static size_t moments_count;
static bool notes_moments;

static void note_moment(void) {
        if (!notes_moments)
                return;
        assert(moments_count < MOMENTS_MAX);
        moments[moments_count++] = kernel;
}

static void arm(unsigned at, bool on) {
        changes = 0;
        fails_at = at;
        fails_on = on;
}

/* Called by everything that changes something. */
static bool fails(void) {
        note_moment();
        changes++;
        return fails_at != 0 && (changes == fails_at || (fails_on && changes > fails_at));
}

/* ---- twins: kernel/ */

int mtu_set(uint32_t ifindex, uint32_t mtu) {
        assert(ifindex == LINK);
        if (fails() || (mtu_stuck_at != 0 && kernel.mtu == mtu_stuck_at))
                return -ENOBUFS;
        if (mtu_limit != 0 && mtu > mtu_limit)
                return -ERANGE;
        if (kernel.xdp && mtu > XDP_MTU_MAX)
                return -EINVAL;
        if (mtu < IPV6_MTU_MIN)
                kernel.ipv6_disabled = false; /* is forgotten with all else */
        kernel.mtu = mtu;
        return 0;
}

/* As in the kernel: a link below the MTU of IPv6 has nothing that could be set. */
int sysctl_disable_ipv6(const char *name) {
        assert(streq(name, "eth1"));
        if (kernel.mtu < IPV6_MTU_MIN)
                return -ENOENT;
        kernel.ipv6_disabled = true;
        return 0;
}

int mptcp_pm_dump(MptcpPm *pm, MptcpEndpoint **ret, size_t *ret_count) {
        MptcpEndpoint *copy;

        if (fails())
                return -ENOBUFS;
        copy = calloc(ENDPOINTS_LIMIT, sizeof(*copy));
        assert(copy);
        memcpy(copy, kernel.endpoints, sizeof(kernel.endpoints));
        *ret = copy;
        *ret_count = kernel.endpoints_count;
        return 0;
}

static bool has_id(uint8_t id) {
        for (size_t i = 0; i < kernel.endpoints_count; i++)
                if (kernel.endpoints[i].id == id)
                        return true;
        return false;
}

/* As in the kernel: it chooses the id where none is asked for. */
static int add_endpoint(MptcpEndpoint endpoint) {
        if (endpoint.id != 0 && has_id(endpoint.id))
                return -EBUSY;
        while (endpoint.id == 0 || has_id(endpoint.id))
                endpoint.id++;
        kernel.endpoints[kernel.endpoints_count++] = endpoint;
        return 0;
}

int mptcp_pm_add(MptcpPm *pm, const MptcpEndpoint *endpoint) {
        if (fails() || kernel.endpoints_count == ENDPOINTS_LIMIT)
                return -ENOSPC;
        return add_endpoint(*endpoint);
}

int mptcp_pm_remove(MptcpPm *pm, const MptcpEndpoint *endpoint) {
        if (fails())
                return -EIO;
        for (size_t i = 0; i < kernel.endpoints_count; i++)
                if (address_equal(&kernel.endpoints[i].address, &endpoint->address)) {
                        kernel.endpoints[i] = kernel.endpoints[--kernel.endpoints_count];
                        kernel.endpoints[kernel.endpoints_count] = (MptcpEndpoint) {};
                        if (id_is_taken)
                                assert(add_endpoint((MptcpEndpoint) { .address = address_from_ipv4(1),
                                                                      .ifindex = LINK + 1 }) == 0);
                        return 0;
                }
        return -ENOENT;
}

int sock_diag_mptcp_subflows(const Address *local, size_t *ret_count) {
        *ret_count = 0;
        return 0;
}

int fou_check_kernel(void) {
        return 0;
}

int fou_open(Fou **ret, bool load) {
        static int fou;

        *ret = (Fou *) &fou;
        return 0;
}

Fou *fou_free(Fou *fou) {
        return NULL;
}

int fou_add(Fou *fou, const struct underpass_socket_key *key) {
        assert(key->ifindex == LINK && kernel.attached && kernel.guarded > kernel.sockets);
        if (fails() || kernel.sockets == SOCKETS_MAX)
                return -EADDRINUSE;
        kernel.sockets++;
        return 0;
}

int fou_remove(Fou *fou, const struct underpass_socket_key *key) {
        assert((kernel.attached || kernel.lost) && kernel.guarded == kernel.sockets && kernel.sockets > 0);
        kernel.sockets--;
        return 0;
}

int sock_diag_udp_sockets(UdpSocket **ret, size_t *ret_count) {
        return -EOPNOTSUPP;
}

int process_find_socket(uint32_t inode, Process *ret) {
        return -ENOENT;
}

int fou_dump(Fou *fou, struct underpass_socket_key **ret, size_t *ret_count) {
        return -EOPNOTSUPP;
}

/* ---- twins: tunnel/ */

int tunnel_guard(Tunnel *tunnel, const struct underpass_socket_key *key) {
        if (fails())
                return -ENOSPC;
        kernel.guarded++;
        return 0;
}

int tunnel_unguard(Tunnel *tunnel, const struct underpass_socket_key *key) {
        kernel.guarded--;
        return 0;
}

int tunnel_unguard_all(Tunnel *tunnel) {
        return 0;
}

TunnelHaste tunnel_make_haste(void) {
        return (TunnelHaste) {};
}

void tunnel_haste_endp(TunnelHaste *haste) {
}

static void take_off(void) {
        kernel.lost = kernel.attached;
        kernel.attached = false;
        kernel.xdp = false;
        kernel.raw_ip = false;
        kernel.link = (struct underpass_link) {};
}

static void drop_record(void) {
        kernel.recorded = false;
        kernel.saved = (struct underpass_saved) {};
}

/* As in the kernel: a try that fails takes the programs off unless it could not even begin, and a link that
 * was known before keeps its record. */
int tunnel_attach(Tunnel *tunnel, uint32_t ifindex, bool raw_ip, const TunnelPath *path,
                  struct underpass_link *link) {
        const bool loads = !fails(), attaches = loads && !refuses && !fails();

        assert(kernel.recorded);
        if (loads && !attaches)
                take_off();
        if (!attaches && kernel.saved.slot == 0)
                drop_record();
        if (!attaches)
                return loads ? -EBUSY : -ENOMEM;
        kernel.saved.slot = link->slot = 1;
        kernel.attached = true;
        kernel.lost = false;
        kernel.raw_ip = raw_ip;
        kernel.link = *link;
        return 0;
}

int tunnel_detach(Tunnel *tunnel, uint32_t ifindex) {
        assert(kernel.sockets == 0 && kernel.guarded == 0);
        if (fails())
                return -EIO;
        take_off();
        kernel.lost = false;
        drop_record();
        return 0;
}

int tunnel_take_off(Tunnel *tunnel, uint32_t ifindex) {
        assert(kernel.sockets == 0 && kernel.guarded == 0);
        if (fails())
                return -EIO;
        take_off();
        kernel.lost = false;
        return 0;
}

int tunnel_saved_get(Tunnel *tunnel, uint32_t ifindex, struct underpass_saved *ret) {
        if (!kernel.recorded)
                return -ENOENT;
        *ret = kernel.saved;
        return 0;
}

/* Memory of the kernel that is there already: this does not fail. */
int tunnel_saved_set(Tunnel *tunnel, uint32_t ifindex, const struct underpass_saved *saved) {
        note_moment();
        kernel.recorded = true;
        kernel.saved = *saved;
        return 0;
}

int tunnel_link(Tunnel *tunnel, uint32_t ifindex, struct underpass_link *ret) {
        if (!kernel.attached)
                return -ENOENT;
        *ret = kernel.link;
        return 0;
}

int tunnel_route(Tunnel *tunnel, uint32_t ifindex, const TunnelPath *path) {
        return 0;
}

int tunnel_attach_xdp(Tunnel *tunnel, uint32_t ifindex) {
        if (!has_xdp)
                return -EOPNOTSUPP;
        if (kernel.mtu > XDP_MTU_MAX)
                return -EINVAL;
        kernel.xdp = true;
        return 0;
}

int tunnel_detach_xdp(Tunnel *tunnel, uint32_t ifindex) {
        kernel.xdp = false;
        return 0;
}

int tunnel_refused(const Tunnel *tunnel) {
        return fails() ? -EPERM : 0;
}

int tunnel_set_gro(Tunnel *tunnel, uint32_t ifindex) {
        return fails() ? -EPERM : 0;
}

int tunnel_set_device(Tunnel *tunnel, const SegmentationDevice *device) {
        return fails() ? -EPERM : 0;
}

int tunnel_clear_device(Tunnel *tunnel, const SegmentationDevice *device) {
        if (device->place != SEGMENT_PLACE_INGRESS)
                return 0;
        if (clears_nothing)
                return -EIO;
        cleared++;
        return 0;
}

int tunnel_release(Tunnel *tunnel) {
        return 0;
}

const char *tunnel_error(Tunnel *tunnel) {
        return "";
}

/* ---- twins: segment/. The kernel has 8021q devices and the veth pair. */

int gro_pair_ensure(GroPair *ret) {
        if (fails())
                return -EEXIST;
        *ret = (GroPair) { .send_ifindex = 100, .receive_ifindex = 101 };
        return 0;
}

int gro_pair_up(const GroPair *pair) {
        return fails() ? -ENOBUFS : 0;
}

int gro_pair_remove(void) {
        return 0;
}

static bool *vlan_of(uint32_t ifindex) {
        assert(ifindex == LINK || ifindex == OTHER);
        return ifindex == LINK ? &kernel.vlan : &kernel.vlan_of_other;
}

int segment_ensure(SegmentKind kind, const GroPair *pair, uint32_t link_ifindex, SegmentationDevice *ret,
                   char **ret_reason) {
        const bool has = kind == SEGMENT_VLAN || kind == SEGMENT_VETH;

        if (!has || fails()) {
                *ret_reason = strdup(M_("the kernel has none"));
                return has ? -EINVAL : -EOPNOTSUPP;
        }
        *ret = (SegmentationDevice) { .kind = kind, .ifindex = pair->send_ifindex };
        if (kind == SEGMENT_VLAN) {
                *vlan_of(link_ifindex) = true;
                ret->ifindex = VLAN_BASE + link_ifindex;
        }
        return 0;
}

int segment_up(const SegmentationDevice *device) {
        return fails() ? -EAGAIN : 0;
}

int segment_remove(SegmentKind kind, uint32_t link_ifindex) {
        if (kind == SEGMENT_VLAN && link_ifindex != 0)
                *vlan_of(link_ifindex) = false;
        return 0;
}

int segment_remove_unowned(const uint32_t *owners, size_t count) {
        return 0;
}

bool segment_is_among(uint32_t ifindex, const uint32_t *ifindexes, size_t count) {
        return true;
}

/* ---- states and plans */

typedef struct Wish {
        const char *name;
        const char *tunnel, *ports, *mtu, *endpoint, *addresses; /* keys, and addresses of the link */
        uint16_t type;
        const char *receive; /* NULL: auto, without the bulk form */
} Wish;

static const Wish wishes[] = {
        { "off", "no", "443", "auto", "none", "10.0.1.2", ARPHRD_ETHER },
        { "attached", "yes", "443", "auto", "none", "10.0.1.2", ARPHRD_ETHER },
        { "other ports", "yes", "444", "auto", "none", "10.0.1.2", ARPHRD_ETHER },
        { "raw IP", "yes", "443", "1400", "subflow", "10.0.1.2", ARPHRD_PPP },
        { "MTU", "yes", "443", "1400", "none", "10.0.1.2", ARPHRD_ETHER },
        { "other MTU", "yes", "443", "1300", "none", "10.0.1.2", ARPHRD_ETHER },
        { "endpoint", "yes", "443", "auto", "subflow", "10.0.1.2", ARPHRD_ETHER },
        { "other flags", "yes", "443", "auto", "subflow,backup", "10.0.1.2", ARPHRD_ETHER },
        { "other addresses", "yes", "443", "auto", "subflow", "10.0.1.3 10.0.1.4", ARPHRD_ETHER },
        { "MTU and endpoint", "yes", "443", "1400", "subflow", "10.0.1.2 10.0.1.3", ARPHRD_ETHER },
        { "all at once", "yes", "444", "1300", "subflow,backup", "10.0.1.2 10.0.1.4", ARPHRD_ETHER },
        { "sockets", "yes", "443", "auto", "none", "10.0.1.2", ARPHRD_ETHER, "socket" },
        { "other sockets", "yes", "443-444", "1400", "subflow", "10.0.1.2", ARPHRD_ETHER, "socket" },
};

static void plan_for(const Wish *wish, const Target *target, Plan **ret_plan, uint32_t *ret_steps) {
        PlanSituation situation = { .mtu = target->mtu, .up = true, .grace_over = true };
        _cleanup_(world_end) World world;
        char addresses[64], *position = addresses;

        situation.unconfirmed = unconfirmed;
        world_begin(&world);
        world_set(&world, KEY_ID_TUNNEL, wish->tunnel);
        world_set(&world, KEY_ID_REMOTE_PORTS, wish->ports);
        world_set(&world, KEY_ID_LOCAL_PORTS, wish->ports);
        world_set(&world, KEY_ID_RECEIVE, wish->receive ? wish->receive : "auto");
        world_set(&world, KEY_ID_BULK, wish->receive ? "yes" : "no");
        world_set(&world, KEY_ID_MTU, wish->mtu);
        world_set(&world, KEY_ID_MSS, "1000");
        world_set(&world, KEY_ID_MPTCP_ENDPOINT, wish->endpoint);
        world.facts.type = wish->type;
        world.facts.mtu = target->mtu;
        world.input.ipv6_enabled = false;
        world.input.mtu_before = plan_mtu_before(&target->applied, target->mtu);
        snprintf(addresses, sizeof(addresses), "%s", wish->addresses);
        for (const char *word; (word = strsep(&position, " "));)
                world_add_address(&world, word);
        assert(world_plan(&world) == 0);
        *ret_plan = TAKE_PTR(world.plan);
        *ret_steps = plan_diff(&target->applied, *ret_plan, &situation);
}

/* A service that starts, on the kernel as it is. */
static void target_start(Target *target) {
        arm(0, false);
        *target = (Target) {
                .ifindex = LINK,
                .name = "eth1",
                .mtu = kernel.mtu,
                .mptcp_pm = (MptcpPm *) target,
        };
        assert(segmentation_new(&target->segmentation, NULL, SEGMENT_AUTO) == 0);
        assert(sockets_new(&target->sockets, NULL, NULL, NULL, NULL) == 0);
}

static void attach_other(Segmentation *segmentation) {
        SegmentationDevice device = {};
        LinkStage stage = STAGE_NONE;
        char *error = NULL;

        assert(segmentation_ensure(segmentation, OTHER, false, &device, &stage, &error) == 0);
        assert(segmentation_use(segmentation, OTHER, &device) == 0);
        assert(kernel.vlan_of_other);
}

/* What has gone with a failure is no device of ours any more: else all links would be attached anew when the
 * kernel tells that it has gone. */
static void expect_no_stale_device(const Segmentation *segmentation) {
        assert(kernel.vlan || !segmentation_is_helper(segmentation, VLAN_BASE + LINK));
        assert(kernel.vlan_of_other || !segmentation_is_helper(segmentation, VLAN_BASE + OTHER));
}

static void target_begin(Target *target) {
        kernel = (Kernel) { .mtu = 1500 };
        target_start(target);
        if (crowded)
                attach_other(target->segmentation);
}

static void target_end(Target *target) {
        segmentation_free(target->segmentation);
        sockets_free(target->sockets);
        free(target->receive_error);
}

static int apply(Target *target, const Wish *wish, char **ret_error) {
        _cleanup_(plan_freep) Plan *plan = NULL;
        LinkStage stage = STAGE_NONE;
        uint32_t steps;
        int r;

        plan_for(wish, target, &plan, &steps);
        r = apply_steps(target, plan, steps, &stage, ret_error);
        expect_no_stale_device(target->segmentation);
        return r;
}

static bool same_endpoints(const Kernel *a, const Kernel *b) {
        size_t found = 0;

        for (size_t i = 0; i < a->endpoints_count; i++)
                for (size_t k = 0; k < b->endpoints_count; k++)
                        found += address_equal(&a->endpoints[i].address, &b->endpoints[k].address) &&
                                 a->endpoints[i].flags == b->endpoints[k].flags;
        return found == a->endpoints_count && found == b->endpoints_count;
}

static bool is_recorded(const Address *address) {
        for (size_t i = 0; i < kernel.saved.endpoints_count; i++)
                if (memcmp(kernel.saved.endpoints[i], address->word, sizeof(address->word)) == 0)
                        return true;
        return false;
}

/* The record and what the service believes tell what the kernel holds. */
static void assert_truth(const Target *target) {
        const Applied *applied = &target->applied;

        assert(applied->attached == kernel.attached);
        assert(target->mtu == kernel.mtu);
        assert(applied->mtu_set == 0 || applied->mtu_set == kernel.mtu);
        assert(applied->endpoints_count == kernel.endpoints_count);
        for (size_t i = 0; i < kernel.endpoints_count; i++)
                assert(kernel.endpoints[i].flags == applied->endpoint_flags);
        if (!kernel.attached)
                return;
        assert(memcmp(&applied->link, &kernel.link, sizeof(kernel.link)) == 0);
        assert(kernel.sockets == kernel.guarded);
        assert((target->receive == UNDERPASS_RECEIVE_SOCKET) == (kernel.sockets > 0));
        assert(kernel.saved.mtu_original == applied->mtu_original);
        assert(kernel.saved.endpoints_count == applied->endpoints_count);
}

/* A device is there while the link is attached, or known at least, and no longer. */
static void assert_devices(const Target *target) {
        assert(kernel.vlan_of_other == crowded);
        assert(!kernel.vlan || kernel.recorded);
        assert(!kernel.attached || kernel.vlan == (target->device.kind == SEGMENT_VLAN));
}

/* Whatever failed: the next service finds all that it has to take back. */
static void assert_recorded(const Target *target) {
        const Applied *applied = &target->applied;

        assert(applied->attached == kernel.attached);
        assert(kernel.recorded == (kernel.saved.slot != 0));
        assert(kernel.recorded || !kernel.attached);
        assert(kernel.mtu == 1500 || (kernel.recorded && kernel.saved.mtu_original == 1500));
        assert(kernel.endpoints_count == 0 || kernel.recorded);
        for (size_t i = 0; i < kernel.endpoints_count; i++)
                assert(is_recorded(&kernel.endpoints[i].address));
}

static void assert_as_before(const Target *target, const Kernel *before, const Applied *applied) {
        assert(kernel.mtu == before->mtu);
        assert(same_endpoints(&kernel, before));
        assert(kernel.attached == before->attached && kernel.raw_ip == before->raw_ip);
        assert(memcmp(&kernel.link, &before->link, sizeof(kernel.link)) == 0);
        assert(target->applied.mtu_original == applied->mtu_original);
        assert(target->applied.endpoint_flags == applied->endpoint_flags || before->endpoints_count == 0);
}

/* From one state towards another, with the nth change failing; false: there are not so many. */
static bool fail_one(const Wish *from, const Wish *to, unsigned n, bool on) {
        _cleanup_(target_end) Target target;
        _cleanup_(freep) char *first = NULL, *error = NULL;
        Kernel before;
        Applied applied;

        target_begin(&target);
        assert(apply(&target, from, &first) == 0);
        assert_truth(&target);
        before = kernel;
        applied = target.applied;
        arm(n, on);
        if (apply(&target, to, &error) >= 0) {
                assert_truth(&target);
                assert_devices(&target);
                return changes >= n;
        }
        assert(error);
        assert_recorded(&target);
        assert_devices(&target);
        if (!on) {
                if (strstr(error, "put back"))
                        (void) fprintf(stderr, "# %s -> %s, change %u: %s\n", from->name, to->name, n,
                                       error);
                assert(!strstr(error, "put back"));
                assert_truth(&target);
                assert_as_before(&target, &before, &applied);
        } else if (kernel.mtu != before.mtu || kernel.attached != before.attached ||
                   kernel.endpoints_count != before.endpoints_count)
                assert_contains(error, "Could not be put back: ");
        return true;
}

static void every_change_fails(bool on) {
        unsigned failures = 0;

        for (size_t from = 0; from < ELEMENTS(wishes); from++)
                for (size_t to = 0; to < ELEMENTS(wishes); to++)
                        for (unsigned n = 1; n < ROUNDS_MAX; n++) {
                                if (!fail_one(&wishes[from], &wishes[to], n, on))
                                        break;
                                failures++;
                        }
        printf("# %u failures\n", failures);
        assert(failures > 200);
}

static void what_was_in_force_is_in_force_again(void) {
        every_change_fails(false);
}

static void what_cannot_be_put_back_is_named(void) {
        every_change_fails(true);
}

/* Shared devices stay then, and so does each 8021q device of a link that is attached; no other does. */
static void so_it_is_next_to_another_link(void) {
        crowded = true;
        every_change_fails(false);
        every_change_fails(true);
        crowded = false;
}

/* The service is killed; the next one, which nobody asks for a tunnel, begins with the kernel as it is. */
static void kill_at(const Kernel *moment, const Wish *from, const Wish *to, size_t n) {
        _cleanup_(target_end) Target target;
        _cleanup_(freep) char *none = NULL;
        struct underpass_saved saved;

        kernel = *moment;
        kernel.sockets = kernel.guarded = 0; /* are swept up at its start */
        kernel.lost = false;
        target_start(&target);
        if (record_adopt(&target, &saved) == 0)
                endpoints_adopt(&target, &saved);
        unconfirmed = true;
        assert(apply(&target, &wishes[0], &none) == 0);
        unconfirmed = false;
        if (kernel.mtu != 1500 || kernel.endpoints_count > 0)
                (void) fprintf(stderr, "# %s -> %s, moment %zu\n", from->name, to->name, n);
        assert(kernel.mtu == 1500 && kernel.endpoints_count == 0);
        assert(!kernel.attached && !kernel.recorded);
}

/* From one state towards another, with the nth change failing, from 1: the kernel at each moment. Whether
 * there are so many. */
static bool note_moments(const Wish *from, const Wish *to, unsigned n) {
        _cleanup_(target_end) Target target;
        _cleanup_(freep) char *none = NULL, *error = NULL;
        int r;

        target_begin(&target);
        assert(apply(&target, from, &none) == 0);
        arm(n, false);
        moments_count = 0;
        notes_moments = true;
        r = apply(&target, to, &error);
        note_moment();
        notes_moments = false;
        return r < 0 || changes >= n;
}

static void a_kill_at_any_moment_leaves_nothing(void) {
        size_t kills = 0;

        for (size_t from = 0; from < ELEMENTS(wishes); from++)
                for (size_t to = 0; to < ELEMENTS(wishes); to++)
                        for (unsigned n = 0; n < ROUNDS_MAX; n++) {
                                if (!note_moments(&wishes[from], &wishes[to], n))
                                        break;
                                for (size_t i = 0; i < moments_count; i++)
                                        kill_at(&moments[i], &wishes[from], &wishes[to], i);
                                kills += moments_count;
                        }
        printf("# %zu kills\n", kills);
        assert(kills > 10000);
}

static void assert_refused(Target *target, const Wish *wish, const char *part) {
        _cleanup_(freep) char *error = NULL;

        assert(apply(target, wish, &error) == -EBUSY);
        assert_contains(error, part);
        assert(!kernel.attached && kernel.mtu == 1400 && kernel.endpoints_count == 1);
        assert_recorded(target);
}

/* Somebody has put another qdisc in the place of ours. What the service has done besides stays, and it knows
 * of that; so does the next one. */
static void what_stays_without_programs_is_recorded(void) {
        const Wish from = { "", "yes", "443", "1400", "subflow", "10.0.1.2", ARPHRD_ETHER };
        const Wish to = { "", "yes", "444", "1400", "subflow", "10.0.1.2", ARPHRD_ETHER };

        for (unsigned i = 0; i < 2; i++) {
                const bool killed = i == 1;
                _cleanup_(target_end) Target first, second;
                _cleanup_(freep) char *none = NULL;
                struct underpass_saved saved;
                Target *target = killed ? &second : &first;

                target_begin(&first);
                assert(apply(&first, &from, &none) == 0);
                refuses = true;
                assert_refused(&first, &to, "Could not be put back: the tunnel.");
                target_start(&second);
                assert(record_adopt(&second, &saved) == 0);
                endpoints_adopt(&second, &saved);
                assert_refused(target, &to, "The tunnel cannot be attached to eth1");
                refuses = false;
                assert(apply(target, &to, &none) == 0);
                assert(kernel.attached);
                assert_truth(target);
                refuses = true;
                assert_refused(target, &from, "Could not be put back: the tunnel.");
                unconfirmed = true;
                assert(apply(target, &wishes[0], &none) == 0);
                unconfirmed = refuses = false;
                assert(!kernel.recorded && kernel.mtu == 1500 && kernel.endpoints_count == 0);
        }
}

/* Without programs, towards another state, with the nth change failing; false: there are not so many. */
static bool fail_one_without_programs(const Wish *to, unsigned n) {
        const Wish from = { "", "yes", "443", "1400", "subflow", "10.0.1.2", ARPHRD_ETHER };
        const Wish refused = { "", "yes", "444", "1400", "subflow", "10.0.1.2", ARPHRD_ETHER };
        _cleanup_(target_end) Target target;
        _cleanup_(freep) char *error = NULL, *none = NULL;
        Applied applied;
        Kernel before;

        target_begin(&target);
        assert(apply(&target, &from, &none) == 0);
        refuses = true;
        assert_refused(&target, &refused, "Could not be put back: the tunnel.");
        refuses = false;
        before = kernel;
        applied = target.applied;
        arm(n, false);
        if (apply(&target, to, &error) >= 0)
                return changes >= n;
        assert_recorded(&target);
        assert_devices(&target);
        assert_as_before(&target, &before, &applied);
        assert(target.applied.endpoints_count == before.endpoints_count);
        arm(0, false);
        unconfirmed = true;
        assert(apply(&target, &wishes[0], &none) == 0);
        unconfirmed = false;
        assert(!kernel.recorded && kernel.mtu == 1500 && kernel.endpoints_count == 0);
        return true;
}

/* The programs come again, and a later step fails: what was done of old is still known. */
static void what_stays_without_programs_stays_recorded(void) {
        unsigned failures = 0;

        for (size_t to = 0; to < ELEMENTS(wishes); to++)
                for (unsigned n = 1; n < ROUNDS_MAX && fail_one_without_programs(&wishes[to], n); n++)
                        failures++;
        printf("# %u failures\n", failures);
        assert(failures > 50);
}

/* A first activation fails, and its MTU cannot be taken back, though the programs can: that is recorded. */
static void what_a_first_try_leaves_is_recorded(void) {
        const Wish wish = { "", "yes", "443", "1400", "subflow", "10.0.1.2", ARPHRD_ETHER };
        _cleanup_(target_end) Target target;
        _cleanup_(freep) char *error = NULL, *none = NULL;

        target_begin(&target);
        mtu_stuck_at = 1400;
        for (uint32_t i = 0; i < ENDPOINTS_LIMIT; i++)
                kernel.endpoints[kernel.endpoints_count++] =
                        (MptcpEndpoint) { .address = address_from_ipv4(i + 1), .flags = ENDPOINT_SIGNAL };
        assert(apply(&target, &wish, &error) == -ENOSPC);
        assert_contains(error, "Could not be put back: the MTU.");
        assert(!kernel.attached && kernel.mtu == 1400);
        assert(kernel.recorded && kernel.saved.mtu_original == 1500 && kernel.saved.mtu_set == 1400);
        assert(target.applied.mtu_original == 1500 && !target.applied.attached);
        mtu_stuck_at = 0;
        unconfirmed = true;
        assert(apply(&target, &wishes[0], &none) == 0);
        unconfirmed = false;
        assert(!kernel.recorded && kernel.mtu == 1500);
}

static void assert_warning(const Target *target, const char *part) {
        char **warnings = NULL;

        assert(apply_add_warnings(target, &warnings) == 0);
        assert(strings_count(warnings) == (part ? 1 : 0));
        if (part)
                assert_contains(warnings[0], part);
        strings_free(warnings);
}

/* A link on top of another one, whose MTU has become smaller meanwhile: that is no reason to keep the
 * tunnel. */
static void a_tunnel_goes_though_its_mtu_cannot(void) {
        const Wish on = { "", "yes", "443", "1400", "subflow", "10.0.1.2", ARPHRD_ETHER };
        const Wish other_programs = { "", "yes", "443", "1300", "subflow", "10.0.1.2", ARPHRD_PPP };
        _cleanup_(target_end) Target target;
        _cleanup_(freep) char *none = NULL, *error = NULL;

        target_begin(&target);
        assert(apply(&target, &on, &none) == 0);
        mtu_limit = 1450;
        assert(apply(&target, &other_programs, &none) == 0);
        assert(kernel.raw_ip && kernel.mtu == 1300);
        assert_truth(&target);
        mtu_limit = 0;
        assert(apply(&target, &wishes[0], &none) == 0);
        assert(kernel.mtu == 1400 && !kernel.recorded);

        kernel.mtu = target.mtu = 1500;
        assert(apply(&target, &on, &none) == 0);
        assert_warning(&target, NULL);
        mtu_limit = 1450;
        arm(5, false); /* endpoints, one of them, MTU twice, programs */
        assert(apply(&target, &wishes[0], &error) == -EIO);
        assert(kernel.attached && kernel.endpoints_count == 1 && target.applied.mtu_original == 1500);
        assert_truth(&target);
        assert_warning(&target, NULL);
        arm(0, false);
        assert(apply(&target, &wishes[0], &none) == 0);
        assert(!kernel.attached && !kernel.recorded && kernel.mtu == 1400 && kernel.endpoints_count == 0);
        assert(target.applied.mtu_original == 0);
        assert_warning(&target, "The MTU of eth1 stays 1400: before the tunnel it was 1500, which the "
                                "link does not take now (Numerical result out of range).");
        target.mtu = 1450; /* somebody sets it */
        assert_warning(&target, NULL);
        mtu_limit = 0;
}

/* Many drivers limit the MTU while an XDP program is attached. */
static void xdp_goes_before_the_mtu_comes_back(void) {
        const Wish on = { "", "yes", "443", "1400", "none", "10.0.1.2", ARPHRD_ETHER, "xdp" };
        _cleanup_(target_end) Target target;
        _cleanup_(freep) char *none = NULL, *error = NULL;

        has_xdp = true;
        target_begin(&target);
        kernel.mtu = target.mtu = 9000;
        assert(apply(&target, &on, &none) == 0);
        assert(!kernel.xdp && kernel.mtu == 1400); /* the next look chooses again */
        assert(path_choose_receive(&target) == 0);
        assert(kernel.xdp && target.receive == UNDERPASS_RECEIVE_XDP);
        arm(3, false); /* MTU twice, programs */
        assert(apply(&target, &wishes[0], &error) == -EIO);
        assert_truth(&target);
        assert(kernel.attached && kernel.xdp && target.receive == UNDERPASS_RECEIVE_XDP);
        arm(0, false);
        assert(apply(&target, &wishes[0], &none) == 0);
        assert(!kernel.attached && !kernel.xdp && kernel.mtu == 9000);
        assert_warning(&target, NULL);
        has_xdp = false;
}

/* Seven endpoints of others leave room for one. */
static void a_full_table_of_endpoints_costs_nothing(void) {
        const Wish from = { "", "yes", "443", "1400", "subflow", "10.0.1.2", ARPHRD_ETHER };
        const Wish to = { "", "yes", "443", "1300", "subflow,backup", "10.0.1.2 10.0.1.3", ARPHRD_ETHER };
        _cleanup_(target_end) Target target;
        _cleanup_(freep) char *error = NULL, *none = NULL;
        Kernel before;

        target_begin(&target);
        for (uint32_t i = 0; i < ENDPOINTS_LIMIT - 1; i++)
                kernel.endpoints[kernel.endpoints_count++] =
                        (MptcpEndpoint) { .address = address_from_ipv4(i + 1), .flags = ENDPOINT_SIGNAL };
        assert(apply(&target, &from, &none) == 0);
        before = kernel;
        assert(apply(&target, &to, &error) == -ENOSPC);
        assert_contains(error, "MPTCP endpoints cannot be set for eth1: No space left on device.");
        assert(kernel.mtu == 1400 && target.applied.mtu_original == 1500 && target.applied.mtu_set == 1400);
        assert(same_endpoints(&kernel, &before));
        assert(target.applied.endpoints_count == 1 && target.applied.endpoint_flags == ENDPOINT_SUBFLOW);
}

/* Registered again, so that connections which are there already get their subflow. A network manager may add
 * an address between the two requests, and the kernel gives it the id that has just become free. */
static void an_endpoint_comes_again_when_its_id_is_taken(void) {
        const Wish wish = { "", "yes", "443", "1400", "subflow", "10.0.1.2", ARPHRD_ETHER };

        for (unsigned i = 0; i < 2; i++) {
                _cleanup_(target_end) Target target;
                _cleanup_(freep) char *error = NULL;
                MptcpEndpoint before;

                target_begin(&target);
                assert(apply(&target, &wish, &error) == 0);
                assert(kernel.endpoints_count == 1 && kernel.endpoints[0].id == 1);
                before = kernel.endpoints[0];
                id_is_taken = i == 1;
                endpoints_reannounce(&target, false);
                id_is_taken = false;
                assert(kernel.endpoints_count == 1 + i);
                assert(address_equal(&kernel.endpoints[i].address, &before.address));
                assert(kernel.endpoints[i].flags == before.flags);
                assert(kernel.endpoints[i].ifindex == before.ifindex);
                assert(kernel.endpoints[i].id == 1 + i);
        }
}

/* The kernel forgets a link's ban of IPv6 with an MTU too small for IPv6. Whether the ban ends with the
 * tunnel is not ours to say; nor is it where others have chosen the small MTU. */
static void ipv6_stays_off_after_a_small_mtu(void) {
        const Wish small = { "", "yes", "443", "1200", "none", "10.0.1.2", ARPHRD_ETHER };
        const Wish large = { "", "yes", "443", "1400", "none", "10.0.1.2", ARPHRD_ETHER };
        const Wish *next[] = { &wishes[0], &large };

        for (size_t i = 0; i < ELEMENTS(next); i++) {
                _cleanup_(target_end) Target target;
                _cleanup_(freep) char *error = NULL;

                target_begin(&target);
                assert(apply(&target, &small, &error) == 0);
                assert(kernel.mtu == 1200 && !kernel.ipv6_disabled);
                assert(apply(&target, next[i], &error) == 0);
                assert(kernel.mtu == (i == 0 ? 1500 : 1400) && kernel.ipv6_disabled);
        }

        _cleanup_(target_end) Target target;
        _cleanup_(freep) char *error = NULL;

        target_begin(&target);
        kernel.mtu = target.mtu = 1200;
        assert(apply(&target, &large, &error) == 0);
        assert(kernel.mtu == 1400 && !kernel.ipv6_disabled);
}

static void use_device(Target *target, uint32_t ifindex, bool raw_ip) {
        SegmentationDevice device = {};
        LinkStage stage = STAGE_NONE;
        char *error = NULL;

        assert(segmentation_ensure(target->segmentation, ifindex, raw_ip, &device, &stage, &error) == 0);
        assert(device.kind == (raw_ip ? SEGMENT_VETH : SEGMENT_VLAN));
        assert(segmentation_use(target->segmentation, ifindex, &device) == 0);
}

/* The programs of a kind that no link uses any more, or of one that an earlier service has used. */
static void what_is_not_swept_is_swept_later(void) {
        for (size_t i = 0; i < 2; i++) {
                const bool earlier = i == 1;
                _cleanup_(target_end) Target target;

                target_begin(&target);
                cleared = 0;
                clears_nothing = earlier;
                if (!earlier) {
                        use_device(&target, OTHER, true);
                        use_device(&target, LINK, false);
                        clears_nothing = true;
                        segmentation_leave(target.segmentation, OTHER);
                } else
                        use_device(&target, LINK, false);
                assert(cleared == 0);
                use_device(&target, LINK, false);
                clears_nothing = false;
                use_device(&target, LINK, false);
                assert(cleared == 1);
                use_device(&target, LINK, false);
                assert(cleared == 1);
        }
}

int main(void) {
        static const Test tests[] = {
                { "what was in force is in force again", what_was_in_force_is_in_force_again },
                { "what cannot be put back is named", what_cannot_be_put_back_is_named },
                { "so it is next to another link", so_it_is_next_to_another_link },
                { "a kill at any moment leaves nothing", a_kill_at_any_moment_leaves_nothing },
                { "what stays without programs is recorded", what_stays_without_programs_is_recorded },
                { "and stays recorded when a later step fails",
                  what_stays_without_programs_stays_recorded },
                { "what a first try leaves is recorded", what_a_first_try_leaves_is_recorded },
                { "a tunnel goes though its MTU cannot", a_tunnel_goes_though_its_mtu_cannot },
                { "XDP goes before the MTU comes back", xdp_goes_before_the_mtu_comes_back },
                { "a full table of endpoints costs nothing", a_full_table_of_endpoints_costs_nothing },
                { "an endpoint comes again when its id is taken",
                  an_endpoint_comes_again_when_its_id_is_taken },
                { "IPv6 stays off after a small MTU", ipv6_stays_off_after_a_small_mtu },
                { "what is not swept is swept later", what_is_not_swept_is_swept_later },
        };

        return run_tests(tests, ELEMENTS(tests));
}
