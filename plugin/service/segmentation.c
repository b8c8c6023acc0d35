/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See segmentation.h. */

#include <stdio.h>

#include "base/message.h"
#include "base/log.h"
#include "service/segmentation.h"

/* A link that is attached. */
typedef struct SegmentationUser {
        struct SegmentationUser *next;
        uint32_t ifindex;
        bool claimed;               /* attached by an earlier service: it may have left devices behind */
        SegmentationDevice device;  /* ifindex 0: not known yet */
} SegmentationUser;

struct Segmentation {
        Tunnel *tunnel;
        SegmentKind only;           /* SEGMENT_AUTO: any */
        GroPair pair;               /* send_ifindex 0: not there */
        /* Made by this service; ifindex 0: not there. SEGMENT_VLAN: the last one. */
        SegmentationDevice devices[_SEGMENT_KIND_MAX];
        char *skipped[_SEGMENT_KIND_MAX];
        bool unavailable[_SEGMENT_KIND_MAX]; /* this kernel does not have it */
        bool swept;                 /* no devices of an earlier service are left that no link uses */
        SegmentationUser *users;
};

int segmentation_new(Segmentation **ret, Tunnel *tunnel, SegmentKind kind) {
        Segmentation *segmentation = calloc(1, sizeof(*segmentation));

        if (!segmentation)
                return -ENOMEM;
        segmentation->tunnel = tunnel;
        segmentation->only = kind;
        *ret = segmentation;
        return 0;
}

static void forget_devices(Segmentation *segmentation) {
        segmentation->pair = (GroPair) {};
        segmentation->swept = false;
        for (SegmentKind kind = _SEGMENT_KIND_FIRST; kind < _SEGMENT_KIND_MAX; kind++) {
                segmentation->devices[kind] = (SegmentationDevice) {};
                segmentation->unavailable[kind] = false;
                free(TAKE_PTR(segmentation->skipped[kind]));
        }
}

/* Removes all devices and pins unless a link uses them. */
static void release_unused(Segmentation *segmentation) {
        int r;

        if (segmentation->users)
                return;
        r = tunnel_release(segmentation->tunnel);
        if (r < 0)
                log_warning("The pins cannot be removed: %s.", strerror(-r));
        for (SegmentKind kind = _SEGMENT_KIND_FIRST; kind < _SEGMENT_KIND_MAX; kind++) {
                r = segment_remove(kind, 0);
                if (r < 0)
                        log_warning("The %s segmentation device cannot be removed: %s.",
                                    segment_kind_name(kind), strerror(-r));
        }
        r = gro_pair_remove();
        if (r < 0)
                log_warning("The GRO pair cannot be removed: %s.", strerror(-r));
        forget_devices(segmentation);
}

Segmentation *segmentation_free(Segmentation *segmentation) {
        if (!segmentation)
                return NULL;
        for (SegmentationUser *user; (user = segmentation->users);) {
                segmentation->users = user->next;
                free(user);
        }
        forget_devices(segmentation);
        free(segmentation);
        return NULL;
}

static SegmentationUser *find_user(const Segmentation *segmentation, uint32_t ifindex) {
        for (SegmentationUser *user = segmentation->users; user; user = user->next)
                if (user->ifindex == ifindex)
                        return user;
        return NULL;
}

/* Whether a link may have an 8021q device in use. Unknown of one that an earlier service attached: yes. */
static bool may_use_vlan(const Segmentation *segmentation, uint32_t ifindex) {
        const SegmentationUser *user = find_user(segmentation, ifindex);

        return user && (user->device.ifindex == 0 || user->device.kind == SEGMENT_VLAN);
}

static SegmentationUser *ensure_user(Segmentation *segmentation, uint32_t ifindex) {
        SegmentationUser *user = find_user(segmentation, ifindex);

        if (user)
                return user;
        user = calloc(1, sizeof(*user));
        if (!user)
                return NULL;
        user->ifindex = ifindex;
        user->next = segmentation->users;
        segmentation->users = user;
        return user;
}

static bool may_use(const Segmentation *segmentation, SegmentKind kind, bool raw_ip) {
        const SegmentKind only = segmentation->only;

        if (kind == SEGMENT_VLAN && raw_ip)
                return false;
        if (only == SEGMENT_AUTO || only == kind)
                return !segmentation->unavailable[kind];
        return only == SEGMENT_VLAN && raw_ip && kind == SEGMENT_BRIDGE;
}

/* Remembers why a kind was passed over, and says it once. Takes the reason. */
static void skip(Segmentation *segmentation, SegmentKind kind, int error, char *reason) {
        _cleanup_(freep) char *said = segmentation->skipped[kind];

        segmentation->skipped[kind] = reason;
        segmentation->unavailable[kind] |= error == -EOPNOTSUPP;
        if (reason && (!said || !streq(said, reason)))
                log_debug("No %s as segmentation device: %s.", segment_kind_name(kind), reason);
}

/* Whether no link can use the device of a kind that was just made, or found, for this link. */
static bool is_spare(const Segmentation *segmentation, SegmentKind kind, uint32_t ifindex) {
        return kind == SEGMENT_VLAN ? !may_use_vlan(segmentation, ifindex) :
                                      segmentation->devices[kind].ifindex == 0;
}

/* One kind, from the devices to the program. */
static int try_kind(Segmentation *segmentation, SegmentKind kind, uint32_t ifindex,
                    SegmentationDevice *ret) {
        SegmentationDevice device = {};
        char *reason = NULL;
        int r;

        r = segment_ensure(kind, &segmentation->pair, ifindex, &device, &reason);
        if (r < 0) {
                skip(segmentation, kind, r, reason);
                return r;
        }
        r = segment_up(&device);
        if (r >= 0)
                r = tunnel_set_device(segmentation->tunnel, &device);
        if (r < 0) {
                skip(segmentation, kind, -EIO, message_format(N_("%s: %s"), device.name, MESSAGE_ERRNO(r)));
                if (is_spare(segmentation, kind, ifindex)) {
                        (void) tunnel_clear_device(segmentation->tunnel, &device);
                        (void) segment_remove(kind, ifindex);
                }
                return r;
        }
        segmentation->devices[kind] = device;
        *ret = device;
        return 0;
}

static char *describe_skipped(const Segmentation *segmentation) {
        _cleanup_(freep) char *text = NULL;

        for (SegmentKind kind = _SEGMENT_KIND_FIRST; kind < _SEGMENT_KIND_MAX; kind++) {
                _cleanup_(freep) char *before = TAKE_PTR(text), *one = NULL;

                if (segmentation->skipped[kind])
                        one = message_format(N_("%s: %s"), segment_kind_name(kind),
                                             segmentation->skipped[kind]);
                if (one && before)
                        text = message_format(N_("%s; %s"), before, one);
                else
                        text = one ? TAKE_PTR(one) : TAKE_PTR(before);
        }
        return TAKE_PTR(text);
}

static char *describe_load(const Segmentation *segmentation, int error) {
        if (error == -ENOMEM)
                return message_format(N_("The BPF programs cannot be loaded: there is not enough memory. "
                                         "They need %u MB, and %u kB for each CPU. Close other programs, "
                                         "or raise MemoryMax= of underpass.service."),
                                      UNDERPASS_MEMORY_MB, UNDERPASS_MEMORY_CPU_KB);
        if (streq(tunnel_error(segmentation->tunnel), ""))
                return message_format(N_("The BPF programs cannot be loaded: %s. Needed are kernel 6.1 or "
                                         "newer, CAP_BPF and CAP_NET_ADMIN."),
                                      MESSAGE_ERRNO(error));
        return message_format(N_("The BPF programs cannot be loaded: %s (%s). Needed are kernel 6.1 or "
                                 "newer, CAP_BPF and CAP_NET_ADMIN."),
                              MESSAGE_ERRNO(error), tunnel_error(segmentation->tunnel));
}

/* The GRO pair with its program; the other devices stand on it. */
static int ensure_pair(Segmentation *segmentation, LinkStage *ret_stage, char **ret_error) {
        const bool first = segmentation->pair.send_ifindex == 0;
        GroPair pair = {};
        int r;

        r = tunnel_refused(segmentation->tunnel);
        if (r < 0) {
                *ret_stage = STAGE_LOAD;
                *ret_error = message_format(N_("BPF cannot be used here: %s. Needed are kernel 6.1 or "
                                               "newer, CAP_BPF and CAP_NET_ADMIN."),
                                            MESSAGE_ERRNO(r));
                return r;
        }
        r = gro_pair_ensure(&pair);
        if (r < 0) {
                *ret_stage = STAGE_SEGMENTATION;
                if (r == -EEXIST)
                        *ret_error = message_format(N_("A device named %s or %s exists and is not ours; "
                                                       "rename or remove it."),
                                                    SEGMENT_NAME_SEND, SEGMENT_NAME_RECEIVE);
                else
                        *ret_error = message_format(N_("The segmentation device %s cannot be created: %s."),
                                                    SEGMENT_NAME_SEND, MESSAGE_ERRNO(r));
                return r;
        }
        r = tunnel_set_gro(segmentation->tunnel, pair.send_ifindex);
        if (r >= 0)
                r = gro_pair_up(&pair);
        if (r < 0) {
                *ret_stage = STAGE_LOAD;
                *ret_error = describe_load(segmentation, r);
                return r;
        }
        /* Said once, not for every link. */
        if (first && !streq(tunnel_error(segmentation->tunnel), ""))
                log_warning("The tunnel has %s.", tunnel_error(segmentation->tunnel));
        segmentation->pair = pair;
        return 0;
}

static int ensure_device(Segmentation *segmentation, uint32_t ifindex, bool raw_ip,
                         SegmentationDevice *ret, LinkStage *ret_stage, char **ret_error) {
        _cleanup_(freep) char *skipped = NULL;
        int r = -EOPNOTSUPP;

        for (SegmentKind kind = _SEGMENT_KIND_FIRST; r < 0 && kind < _SEGMENT_KIND_MAX; kind++)
                if (may_use(segmentation, kind, raw_ip))
                        r = try_kind(segmentation, kind, ifindex, ret);
        if (r >= 0)
                return 0;
        skipped = describe_skipped(segmentation);
        *ret_stage = STAGE_SEGMENTATION;
        *ret_error = message_format(N_("No segmentation device can be created: %s."),
                                    skipped ?: MESSAGE_ERRNO(r));
        return r;
}

int segmentation_ensure(Segmentation *segmentation, uint32_t ifindex, bool raw_ip, SegmentationDevice *ret,
                        LinkStage *ret_stage, char **ret_error) {
        int r;

        r = ensure_pair(segmentation, ret_stage, ret_error);
        if (r >= 0)
                r = ensure_device(segmentation, ifindex, raw_ip, ret, ret_stage, ret_error);
        if (r < 0)
                release_unused(segmentation);
        return r;
}

/* Whether a link uses a kind. Unknown of a link that an earlier service attached: yes. */
static bool in_use(const Segmentation *segmentation, SegmentKind kind) {
        for (const SegmentationUser *user = segmentation->users; user; user = user->next)
                if (user->device.ifindex == 0 || user->device.kind == kind)
                        return true;
        return false;
}

/* What the programs of another kind sit on has to be told where its devices may be an earlier service's. */
static SegmentationDevice leftover(const Segmentation *segmentation, SegmentKind kind) {
        const GroPair *pair = &segmentation->pair;

        switch (kind) {
        case SEGMENT_NETKIT:
                return (SegmentationDevice) {
                        .program_ifindex = segmentation->devices[SEGMENT_NETKIT].ifindex,
                        .place = SEGMENT_PLACE_NETKIT,
                };
        case SEGMENT_BRIDGE:
                return (SegmentationDevice) { .program_ifindex = pair->send_ifindex,
                                              .place = SEGMENT_PLACE_EGRESS };
        case SEGMENT_VETH:
                return (SegmentationDevice) { .program_ifindex = pair->receive_ifindex,
                                              .place = SEGMENT_PLACE_INGRESS };
        case SEGMENT_AUTO:
        case SEGMENT_VLAN:
        case _SEGMENT_KIND_MAX:
                break;
        }
        return (SegmentationDevice) { .place = SEGMENT_PLACE_NONE };
}

static bool all_known(const Segmentation *segmentation) {
        for (const SegmentationUser *user = segmentation->users; user; user = user->next)
                if (user->device.ifindex == 0)
                        return false;
        return true;
}

/* Removes the devices that no link uses; what stays is tried again. */
static void sweep(Segmentation *segmentation) {
        bool complete = true;

        if (segmentation->pair.send_ifindex == 0)
                return;
        for (SegmentKind kind = _SEGMENT_KIND_FIRST; kind < _SEGMENT_KIND_MAX; kind++) {
                const SegmentationDevice device = leftover(segmentation, kind);
                int r;

                if (in_use(segmentation, kind) ||
                    (segmentation->swept && segmentation->devices[kind].ifindex == 0))
                        continue;
                segmentation->devices[kind] = (SegmentationDevice) {};
                r = segment_remove(kind, 0);
                if (r >= 0)
                        r = tunnel_clear_device(segmentation->tunnel, &device);
                if (r >= 0)
                        continue;
                log_warning("The %s segmentation device cannot be removed: %s.", segment_kind_name(kind),
                            strerror(-r));
                complete = false;
        }
        /* All that an earlier service made has been looked at once every link has. */
        segmentation->swept = complete && (segmentation->swept || all_known(segmentation));
}

/* The device of the kind is one that a link has, and not this one: whose goes is no loss to others. */
static void forget_vlan(Segmentation *segmentation, uint32_t ifindex) {
        SegmentationDevice *last = &segmentation->devices[SEGMENT_VLAN], other = {};

        for (const SegmentationUser *user = segmentation->users; user; user = user->next) {
                if (user->ifindex == ifindex || user->device.ifindex == 0 ||
                    user->device.kind != SEGMENT_VLAN)
                        continue;
                if (user->device.ifindex == last->ifindex)
                        return;
                other = user->device;
        }
        *last = other;
}

/* The device that is this link's own, if it has one. */
static void remove_vlan(Segmentation *segmentation, uint32_t ifindex) {
        int r;

        forget_vlan(segmentation, ifindex);
        r = segment_remove(SEGMENT_VLAN, ifindex);
        if (r < 0)
                log_warning("The 8021q device of link %u cannot be removed: %s.", ifindex, strerror(-r));
}

int segmentation_claim(Segmentation *segmentation, uint32_t ifindex) {
        SegmentationUser *user = ensure_user(segmentation, ifindex);

        if (!user)
                return -ENOMEM;
        user->claimed = true;
        return 0;
}

int segmentation_use(Segmentation *segmentation, uint32_t ifindex, const SegmentationDevice *device) {
        SegmentationUser *user = ensure_user(segmentation, ifindex);

        if (!user)
                return -ENOMEM;
        /* What an earlier service, or another kind, left on the link. */
        if (device->kind != SEGMENT_VLAN &&
            (user->device.ifindex == 0 ? user->claimed : user->device.kind == SEGMENT_VLAN))
                remove_vlan(segmentation, ifindex);
        user->device = *device;
        user->claimed = false;
        sweep(segmentation);
        return 0;
}

void segmentation_leave(Segmentation *segmentation, uint32_t ifindex) {
        for (SegmentationUser **position = &segmentation->users; *position; position = &(*position)->next) {
                SegmentationUser *user = *position;

                if (user->ifindex != ifindex)
                        continue;
                if (may_use_vlan(segmentation, ifindex))
                        remove_vlan(segmentation, ifindex);
                *position = user->next;
                free(user);
                sweep(segmentation);
                release_unused(segmentation);
                return;
        }
}

void segmentation_give_up(Segmentation *segmentation, uint32_t ifindex) {
        if (!may_use_vlan(segmentation, ifindex))
                remove_vlan(segmentation, ifindex);
        if (segmentation->users)
                sweep(segmentation);
        else
                release_unused(segmentation);
}

void segmentation_sweep_up(Segmentation *segmentation) {
        _cleanup_(freep) uint32_t *owners = NULL;
        size_t count = 0;
        int r;

        for (const SegmentationUser *user = segmentation->users; user; user = user->next)
                count++;
        owners = calloc(count + 1, sizeof(*owners));
        if (!owners)
                return;
        count = 0;
        for (const SegmentationUser *user = segmentation->users; user; user = user->next)
                owners[count++] = user->ifindex;
        r = segment_remove_unowned(owners, count);
        if (r < 0)
                log_warning("Devices that an earlier service has left cannot be removed: %s.", strerror(-r));
        release_unused(segmentation);
}

void segmentation_lose(Segmentation *segmentation) {
        forget_devices(segmentation);
        for (SegmentationUser *user = segmentation->users; user; user = user->next) {
                user->device = (SegmentationDevice) {};
                user->claimed = true;
        }
}

bool segmentation_is_helper(const Segmentation *segmentation, uint32_t ifindex) {
        if (ifindex == 0)
                return false; /* that of what is not there */
        if (ifindex == segmentation->pair.send_ifindex || ifindex == segmentation->pair.receive_ifindex)
                return true;
        for (SegmentKind kind = _SEGMENT_KIND_FIRST; kind < _SEGMENT_KIND_MAX; kind++)
                if (ifindex == segmentation->devices[kind].ifindex)
                        return true;
        for (const SegmentationUser *user = segmentation->users; user; user = user->next)
                if (user->device.kind == SEGMENT_VLAN && ifindex == user->device.ifindex)
                        return true;
        return false;
}

bool segmentation_is_complete(const Segmentation *segmentation, const uint32_t *ifindexes, size_t count) {
        if (segmentation->pair.send_ifindex != 0 &&
            !segment_is_among(segmentation->pair.send_ifindex, ifindexes, count))
                return false;
        for (const SegmentationUser *user = segmentation->users; user; user = user->next)
                if (user->device.ifindex != 0 && !segment_is_among(user->device.ifindex, ifindexes, count))
                        return false;
        return true;
}

uint32_t segmentation_gro_ifindex(const Segmentation *segmentation) {
        return segmentation->pair.receive_ifindex;
}

const SegmentationDevice *segmentation_device(const Segmentation *segmentation) {
        for (SegmentKind kind = _SEGMENT_KIND_FIRST; kind < _SEGMENT_KIND_MAX; kind++)
                if (segmentation->devices[kind].ifindex != 0)
                        return &segmentation->devices[kind];
        return NULL;
}

const char *segmentation_skipped(const Segmentation *segmentation, SegmentKind kind) {
        return segmentation->skipped[kind];
}
