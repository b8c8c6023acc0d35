/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Names and explanations of the counters of the data path. */

#include "bpf/abi.h"

typedef struct CounterInfo {
        const char *name;  /* "pass-port" */
        const char *help;  /* one translatable sentence (N_()) */
} CounterInfo;

/* Row of enum underpass_counter, always valid for counter < UNDERPASS_COUNTER_COUNT. */
const CounterInfo *counter_info(enum underpass_counter counter);
