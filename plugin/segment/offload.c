/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See offload.h. */

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "segment/offload.h"

enum { BLOCK_BITS = 32 }; /* of a bitmap of offloads */

/* UDP super-packets and lists of datagrams. They have no requests of their own, unlike those of TCP, and
 * are found by name. */
static const char *const datagram_features[] = { "tx-udp-segmentation", "tx-gso-list" };

static int ethtool_call(int fd, const char *name, void *request) {
        struct ifreq interface = {};

        snprintf(interface.ifr_name, sizeof(interface.ifr_name), "%s", name);
        interface.ifr_data = request;
        return ioctl(fd, SIOCETHTOOL, &interface) < 0 ? -errno : 0;
}

static int feature_call(int fd, const char *name, uint32_t command, uint32_t *value) {
        struct ethtool_value request = { .cmd = command, .data = *value };
        int r = ethtool_call(fd, name, &request);

        if (r >= 0)
                *value = request.data;
        return r;
}

static int repair_feature(int fd, const char *name, const Offload *offload) {
        uint32_t now = 0, wanted = offload->value;
        int r;

        r = feature_call(fd, name, offload->get, &now);
        if (r < 0 || !now == !wanted)
                return r;

        r = feature_call(fd, name, offload->set, &wanted);
        /* The kernel may take the request and still keep the feature, when another one demands it. */
        if (r >= 0)
                r = feature_call(fd, name, offload->get, &now);
        if (r < 0)
                return r;
        return !now == !offload->value ? 0 : -EOPNOTSUPP;
}

int offload_set(const char *name, const Offload *offloads, size_t count) {
        _cleanup_(close_fdp) int fd = -EBADF;

        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;

        for (size_t i = 0; i < count; i++) {
                int r = repair_feature(fd, name, &offloads[i]);

                if (r < 0 && !offloads[i].optional)
                        return r;
        }
        return 0;
}

/* How many offloads this kernel knows by name. */
static int count_features(int fd, const char *name, uint32_t *ret) {
        struct {
                struct ethtool_sset_info head;
                uint32_t count;
        } request = { .head = { .cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ULL << ETH_SS_FEATURES } };
        int r = ethtool_call(fd, name, &request);

        if (r < 0)
                return r;
        if (request.head.sset_mask == 0)
                return -EOPNOTSUPP;
        *ret = request.count;
        return 0;
}

static int read_feature_names(int fd, const char *name, uint32_t count, struct ethtool_gstrings **ret) {
        _cleanup_(freep) struct ethtool_gstrings *request = NULL;
        int r;

        request = calloc(1, sizeof(*request) + (size_t) count * ETH_GSTRING_LEN);
        if (!request)
                return -ENOMEM;
        request->cmd = ETHTOOL_GSTRINGS;
        request->string_set = ETH_SS_FEATURES;
        request->len = count;
        r = ethtool_call(fd, name, request);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(request);
        return 0;
}

/* Adds those of datagram_features that are on to a request to switch them off. Returns how many they are. */
static int find_datagram_features(int fd, const char *name, const struct ethtool_gstrings *names,
                                  struct ethtool_sfeatures *off) {
        _cleanup_(freep) struct ethtool_gfeatures *now = NULL;
        int r, found = 0;

        now = calloc(1, sizeof(*now) + off->size * sizeof(now->features[0]));
        if (!now)
                return -ENOMEM;
        now->cmd = ETHTOOL_GFEATURES;
        now->size = off->size;
        r = ethtool_call(fd, name, now);
        if (r < 0)
                return r;
        for (uint32_t i = 0; i < names->len; i++)
                for (size_t j = 0; j < ELEMENTS(datagram_features); j++) {
                        const char *text = (const char *) names->data + (size_t) i * ETH_GSTRING_LEN;

                        if (strncmp(text, datagram_features[j], ETH_GSTRING_LEN) != 0 ||
                            !(now->features[i / BLOCK_BITS].active & (1U << i % BLOCK_BITS)))
                                continue;
                        off->features[i / BLOCK_BITS].valid |= 1U << i % BLOCK_BITS;
                        found++;
                }
        return found;
}

int offload_cut_datagrams(const char *name) {
        _cleanup_(freep) struct ethtool_gstrings *names = NULL;
        _cleanup_(freep) struct ethtool_sfeatures *off = NULL;
        _cleanup_(close_fdp) int fd = -EBADF;
        uint32_t count = 0;
        int r;

        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        r = count_features(fd, name, &count);
        if (r >= 0)
                r = read_feature_names(fd, name, count, &names);
        if (r < 0)
                return r;
        off = calloc(1, sizeof(*off) + (count + BLOCK_BITS - 1) / BLOCK_BITS * sizeof(off->features[0]));
        if (!off)
                return -ENOMEM;
        off->cmd = ETHTOOL_SFEATURES;
        off->size = (count + BLOCK_BITS - 1) / BLOCK_BITS;
        r = find_datagram_features(fd, name, names, off);
        if (r > 0)
                r = ethtool_call(fd, name, off);
        if (r >= 0)
                r = find_datagram_features(fd, name, names, off);
        if (r < 0)
                return r;
        /* The kernel may take the request and still keep the feature. */
        return r > 0 ? -EOPNOTSUPP : 0;
}
