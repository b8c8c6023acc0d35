/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Which of the remembered flows are connections that live. The programs forget no flow when its connection
 * ends, since what is late still has to find it. So the record says whether FIN and RST were seen, and the
 * sockets of this host say the rest. A connection that is forwarded has no socket here.
 */

#include "base/util.h"
#include "bpf/abi.h"

enum {
        FLOW_LIFE_QUESTIONS_MAX = 2000, /* to the kernel, in one round */
};

typedef enum FlowVerdict {
        FLOW_IS_OVER,
        FLOW_LIVES,
        FLOW_HAS_TO_BE_ASKED, /* its socket tells; if that cannot be asked, it is over if it has ended */
} FlowVerdict;

/* What the record alone says at this moment (CLOCK_MONOTONIC). Pure. */
FlowVerdict flow_life_verdict(const struct underpass_flow *flow, uint64_t now_ns);

/* Whether both sides have said that the connection ends, as far as the programs have seen. Pure. */
bool flow_life_has_ended(const struct underpass_flow *flow);

/* What is known from asking before; zeros: nothing. Belongs to one flow, for as long as it is in the map. */
typedef struct FlowAsked {
        uint64_t when_ns;       /* 0: never */
        bool lives;
} FlowAsked;

typedef struct FlowLife FlowLife;

int flow_life_new(FlowLife **ret);
FlowLife *flow_life_free(FlowLife *life);
DEFINE_CLEANUP(FlowLife *, flow_life_free);

/* A round of questions about many flows. */
void flow_life_begin(FlowLife *life, uint64_t now_ns);
void flow_life_end(FlowLife *life);

/* Whether the flow lives; its socket is asked only if that has not been done of late. */
bool flow_life_lives(FlowLife *life, const struct underpass_flow_key *key, const struct underpass_flow *flow,
                     FlowAsked *asked);

/* Whether there is an open connection with these addresses and ports, whatever its form. */
bool flow_life_is_open(FlowLife *life, const struct underpass_flow_key *key, uint32_t ifindex);
