/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The records of flows. See tunnel.h for the flows that they are about. */

#include "tunnel/state.h"

/* As tunnel_flows(), but record by record: a flow that is half-open beside an established one of the same
 * addresses and ports is told, too, and one whose handshake is finished meanwhile perhaps twice. */
int flows_each_record(Tunnel *tunnel, TunnelFlowHandler handler, void *userdata);
