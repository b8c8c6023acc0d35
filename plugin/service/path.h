/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Which helper devices the packets of a link pass: the segmentation device when they are sent, the GRO pair
 * or the XDP attach point of the driver when they were received.
 */

#include "service/target.h"

/* The way by this device, with the receive mode in use. */
TunnelPath path_by(const Target *target, const SegmentationDevice *device);

/* Whether flows that bulk comes for by this link get tunnel sockets. */
bool path_gives_flows_sockets(const Target *target);

/* The link redirects to this device from now on: devices that it was the last to use go. */
void path_take(Target *target, const SegmentationDevice *device);

/* Brings the receiving side of an attached link in line with its settings; a mode that is not available is
 * replaced, and target->receive_error says why. Negative errno: the way could not be set. */
int path_choose_receive(Target *target);

/* Takes the program off the XDP attach point before the others: datagrams are converted as with auto. */
void path_leave_xdp(Target *target);

/* Why the receive mode is what it is: a translated sentence. */
const char *path_receive_reason(const Target *target);

/* A link that an earlier service attached, and that has not been looked at yet, redirects to a device that
 * exists. Negative errno with a translated sentence, or NULL. */
int path_adopt(Target *target, LinkStage *ret_stage, char **ret_error);

/* The helper devices have gone under the link. */
void path_lose(Target *target);

/* The programs are about to come off: what they guard goes first. */
void path_prepare_leave(Target *target);

/* The programs are off: forgets device and receive mode. */
void path_leave(Target *target);
