/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The twin of the tunnel for underpassd-fake and for tests without privileges: the functions of tunnel.h, in
 * memory.
 */

#include "tunnel/tunnel.h"

typedef struct FakeLink {
        uint32_t ifindex;
        bool attached;
        bool bare;       /* others have taken its programs off */
        struct underpass_link link;
        struct underpass_saved saved;
        bool learnt;     /* a destination, as links do once they have their first connections */
} FakeLink;

struct Tunnel {
        AttachPoint attach_point;
        char *refusal;   /* BPF is refused while there is such a file */
        char *record;    /* of SCTP, by an earlier service, if there is such a file */
        char *stuck;     /* nothing can be detached while there is such a file */
        char *lost;      /* all programs are taken off by others, once, when there is such a file */
        char *refusing;  /* nothing can be attached while there is such a file */
        char *guards;    /* of sockets, likewise: removed with the last of them */
        int refused;
        size_t count;
        FakeLink links[UNDERPASS_LINKS_MAX];
        struct underpass_saved_sctp sctp;
};

static FakeLink *fake_find(Tunnel *tunnel, uint32_t ifindex) {
        for (size_t i = 0; i < tunnel->count; i++)
                if (tunnel->links[i].ifindex == ifindex)
                        return &tunnel->links[i];
        return NULL;
}

/* NULL: there is no room for one more. */
static FakeLink *fake_ensure(Tunnel *tunnel, uint32_t ifindex) {
        FakeLink *fake = fake_find(tunnel, ifindex);

        if (fake || tunnel->count == UNDERPASS_LINKS_MAX)
                return fake;
        fake = &tunnel->links[tunnel->count++];
        *fake = (FakeLink) { .ifindex = ifindex, .learnt = true };
        return fake;
}

/* What an earlier service has left: its record of SCTP. */
static void adopt(Tunnel *tunnel) {
        _cleanup_(freep) char *record = NULL;
        size_t size = 0;

        if (file_read(tunnel->record, sizeof(tunnel->sctp), &record, &size) >= 0 &&
            size == sizeof(tunnel->sctp))
                memcpy(&tunnel->sctp, record, size);
}

int tunnel_open(Tunnel **ret, const char *root, AttachPoint attach_point) {
        _cleanup_(tunnel_freep) Tunnel *tunnel = calloc(1, sizeof(*tunnel));

        if (!tunnel)
                return -ENOMEM;
        tunnel->attach_point = attach_point == ATTACH_POINT_AUTO ? ATTACH_POINT_TCX : attach_point;
        tunnel->refusal = string_format("%s/refused", root);
        tunnel->record = string_format("%s/sctp", root);
        tunnel->stuck = string_format("%s/stuck", root);
        tunnel->lost = string_format("%s/lost", root);
        tunnel->refusing = string_format("%s/refusing", root);
        tunnel->guards = string_format("%s/guards", root);
        if (!tunnel->refusal || !tunnel->stuck || !tunnel->record || !tunnel->guards || !tunnel->lost ||
            !tunnel->refusing)
                return -ENOMEM;
        tunnel->refused = access(tunnel->refusal, F_OK) == 0 ? -EPERM : 0;
        if (tunnel->refused == 0)
                adopt(tunnel);
        *ret = TAKE_PTR(tunnel);
        return 0;
}

int tunnel_refused(const Tunnel *tunnel) {
        return tunnel->refused;
}

int tunnel_retry(Tunnel *tunnel) {
        if (tunnel->refused < 0 && access(tunnel->refusal, F_OK) < 0) {
                tunnel->refused = 0;
                adopt(tunnel);
        }
        return tunnel->refused;
}

Tunnel *tunnel_free(Tunnel *tunnel) {
        if (!tunnel)
                return NULL;
        free(tunnel->refusal);
        free(tunnel->record);
        free(tunnel->stuck);
        free(tunnel->lost);
        free(tunnel->refusing);
        free(tunnel->guards);
        free(tunnel);
        return NULL;
}

int tunnel_set_gro(Tunnel *tunnel, uint32_t ifindex) {
        return 0;
}

int tunnel_set_device(Tunnel *tunnel, const SegmentationDevice *device) {
        return 0;
}

int tunnel_clear_device(Tunnel *tunnel, const SegmentationDevice *device) {
        return 0;
}

int tunnel_route(Tunnel *tunnel, uint32_t ifindex, const TunnelPath *path) {
        return fake_find(tunnel, ifindex) ? 0 : -ENOENT;
}

/* There is no driver. */
int tunnel_attach_xdp(Tunnel *tunnel, uint32_t ifindex) {
        return -EOPNOTSUPP;
}

int tunnel_detach_xdp(Tunnel *tunnel, uint32_t ifindex) {
        return 0;
}

int tunnel_attach(Tunnel *tunnel, uint32_t ifindex, bool raw_ip, const TunnelPath *path,
                  struct underpass_link *link) {
        FakeLink *fake = fake_ensure(tunnel, ifindex);

        if (!fake)
                return -ENOSPC;
        if (access(tunnel->refusing, F_OK) == 0) {
                fake->attached = false;
                if (fake->saved.slot == 0)
                        *fake = tunnel->links[--tunnel->count];
                return -EBUSY;
        }
        fake->attached = true;
        fake->bare = false;
        fake->saved.slot = (uint32_t) (fake - tunnel->links) + 1;
        fake->saved.flags &= ~(uint32_t) UNDERPASS_SAVED_RAW_IP;
        fake->saved.flags |= raw_ip ? UNDERPASS_SAVED_RAW_IP : 0;
        link->slot = fake->saved.slot;
        fake->link = *link;
        return 0;
}

int tunnel_follow(Tunnel *tunnel, uint32_t ifindex) {
        return 0;
}

int tunnel_take_off(Tunnel *tunnel, uint32_t ifindex) {
        FakeLink *fake = fake_find(tunnel, ifindex);

        if (fake && access(tunnel->stuck, F_OK) == 0)
                return -EBUSY;
        if (fake)
                fake->attached = false;
        return 0;
}

int tunnel_detach(Tunnel *tunnel, uint32_t ifindex) {
        FakeLink *fake = fake_find(tunnel, ifindex);

        if (fake && access(tunnel->stuck, F_OK) == 0)
                return -EBUSY;
        if (fake)
                *fake = tunnel->links[--tunnel->count];
        return 0;
}

bool tunnel_attached(Tunnel *tunnel, uint32_t ifindex) {
        FakeLink *fake = fake_find(tunnel, ifindex);
        const bool lost = unlink(tunnel->lost) == 0;

        for (size_t i = 0; lost && i < tunnel->count; i++)
                tunnel->links[i].bare = true;
        return fake && fake->attached && !fake->bare;
}

unsigned tunnel_programs_before(Tunnel *tunnel, uint32_t ifindex) {
        return 0;
}

int tunnel_release(Tunnel *tunnel) {
        return 0;
}

int tunnel_saved_get(Tunnel *tunnel, uint32_t ifindex, struct underpass_saved *ret) {
        FakeLink *fake = fake_find(tunnel, ifindex);

        if (!fake)
                return -ENOENT;
        *ret = fake->saved;
        return 0;
}

int tunnel_saved_set(Tunnel *tunnel, uint32_t ifindex, const struct underpass_saved *saved) {
        FakeLink *fake = fake_ensure(tunnel, ifindex);

        if (!fake)
                return -ENOSPC;
        fake->saved = *saved;
        return 0;
}

int tunnel_saved_links(Tunnel *tunnel, uint32_t **ret_ifindexes, size_t *ret_count) {
        *ret_ifindexes = NULL;
        *ret_count = 0;
        return 0;
}

int tunnel_saved_sctp_get(Tunnel *tunnel, struct underpass_saved_sctp *ret) {
        if (tunnel->refused < 0)
                return tunnel->refused;
        *ret = tunnel->sctp;
        return 0;
}

int tunnel_saved_sctp_set(Tunnel *tunnel, const struct underpass_saved_sctp *saved) {
        if (tunnel->refused < 0)
                return tunnel->refused;
        tunnel->sctp = *saved;
        return 0;
}

int tunnel_link(Tunnel *tunnel, uint32_t ifindex, struct underpass_link *ret) {
        FakeLink *fake = fake_find(tunnel, ifindex);

        if (!fake || !fake->attached)
                return -ENOENT;
        *ret = fake->link;
        return 0;
}

int tunnel_counters(Tunnel *tunnel, uint32_t ifindex, struct underpass_counters *ret) {
        if (ifindex != 0 && !fake_find(tunnel, ifindex))
                return -ENOENT;
        *ret = (struct underpass_counters) {};
        return 0;
}

int tunnel_flows(Tunnel *tunnel, TunnelFlowHandler handler, void *userdata) {
        return 0;
}

int tunnel_flow(Tunnel *tunnel, const struct underpass_flow_key *key, struct underpass_flow *ret) {
        return -ENOENT;
}

int tunnel_destinations(Tunnel *tunnel, TunnelDestinationHandler handler, void *userdata) {
        return 0;
}

int tunnel_doubts_open(Tunnel *tunnel, TunnelDoubts **ret, TunnelDoubtHandler handler, void *userdata) {
        return -ENOENT;
}

int tunnel_unanswered_open(Tunnel *tunnel, TunnelDoubts **ret, TunnelToldHandler handler, void *userdata) {
        return -ENOENT;
}

int tunnel_unmerged_open(Tunnel *tunnel, TunnelDoubts **ret, TunnelToldHandler handler, void *userdata) {
        return -ENOENT;
}

TunnelDoubts *tunnel_doubts_free(TunnelDoubts *doubts) {
        return NULL;
}

int tunnel_doubts_fd(const TunnelDoubts *doubts) {
        return -EBADF;
}

void tunnel_doubts_read(TunnelDoubts *doubts) {
}

int tunnel_teach(Tunnel *tunnel, const struct underpass_destination_key *key, const ProbeReport *report) {
        return 0;
}

/* What a link of this tunnel has learnt is about the address "::", port 0. */
int tunnel_forget(Tunnel *tunnel, const TunnelDestinations *which) {
        int count = 0;

        for (size_t i = 0; i < tunnel->count; i++) {
                FakeLink *fake = &tunnel->links[i];

                if (!fake->learnt || (which->ifindex != 0 && which->ifindex != fake->ifindex) ||
                    which->remote || which->remote_port)
                        continue;
                fake->learnt = false;
                count++;
        }
        return count;
}

/* No packet passes. */
int tunnel_guard(Tunnel *tunnel, const struct underpass_socket_key *key) {
        return 0;
}

int tunnel_unguard(Tunnel *tunnel, const struct underpass_socket_key *key) {
        return 0;
}

int tunnel_unguard_all(Tunnel *tunnel) {
        if (tunnel->refused == 0)
                (void) unlink(tunnel->guards);
        return 0;
}

/* The switch is of the host. */
TunnelHaste tunnel_make_haste(void) {
        return (TunnelHaste) {};
}

void tunnel_haste_endp(TunnelHaste *haste) {
}

AttachPoint tunnel_attach_point(Tunnel *tunnel) {
        return tunnel->attach_point;
}

const char *tunnel_error(Tunnel *tunnel) {
        return "";
}

int tunnel_features(Tunnel *tunnel, TunnelFeatures *ret) {
        *ret = (TunnelFeatures) { .bpf = tunnel->refused == 0, .tcx = true };
        return 0;
}
