/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The helper devices as the service sees them: made with the first link that is attached, of the best kind
 * that kernel and link allow, removed with the last one. Links that use them are known by their interface
 * index.
 */

#include "segment/segment.h"
#include "service/stage.h"
#include "tunnel/tunnel.h"

typedef struct Segmentation Segmentation;

/* kind: the only one to use, except that a link which cannot have an 8021q device has a bridge;
 * SEGMENT_AUTO: the best one. */
int segmentation_new(Segmentation **ret, Tunnel *tunnel, SegmentKind kind);

/* Forgets the devices; they stay, and so do the links that use them. */
Segmentation *segmentation_free(Segmentation *segmentation);
DEFINE_CLEANUP(Segmentation *, segmentation_free);

/*
 * Finds or makes GRO pair and segmentation device for a link, with their programs attached. 0 or negative
 * errno with a translated sentence; then nothing is left behind that nobody uses.
 */
int segmentation_ensure(Segmentation *segmentation, uint32_t ifindex, bool raw_ip, SegmentationDevice *ret,
                        LinkStage *ret_stage, char **ret_error);

/* An earlier service attached this link: it uses devices that are not known yet, so none may go. -ENOMEM. */
int segmentation_claim(Segmentation *segmentation, uint32_t ifindex);

/* The link redirects to this device from now on. What it was the last to use goes. -ENOMEM. */
int segmentation_use(Segmentation *segmentation, uint32_t ifindex, const SegmentationDevice *device);

/* The link uses no device any more. What it was the last to use goes; after the last link all devices
 * and pins go. */
void segmentation_leave(Segmentation *segmentation, uint32_t ifindex);

/* The link could not be attached: what was made for it goes, unless it or another link uses that. While no
 * link uses any, all devices and pins go. */
void segmentation_give_up(Segmentation *segmentation, uint32_t ifindex);

/* After all links of an earlier service have been claimed: removes what it has left for no link. */
void segmentation_sweep_up(Segmentation *segmentation);

/* The devices have gone: forgets them. Links that use them use unknown ones until segmentation_use(). */
void segmentation_lose(Segmentation *segmentation);

/* True for a device that packets of tunnelled flows pass. */
bool segmentation_is_helper(const Segmentation *segmentation, uint32_t ifindex);

/* Whether all devices in use are among these. */
bool segmentation_is_complete(const Segmentation *segmentation, const uint32_t *ifindexes, size_t count);

/* Where received packets enter the GRO pair; 0: there is none. */
uint32_t segmentation_gro_ifindex(const Segmentation *segmentation);

/* The best device in use, NULL: none. */
const SegmentationDevice *segmentation_device(const Segmentation *segmentation);

/* Why a kind was passed over, NULL: it was not. A message, or the kernel's own words. */
const char *segmentation_skipped(const Segmentation *segmentation, SegmentKind kind);
