/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * One function for each fuzz target, called by libFuzzer (meson setup -Dfuzz=true, clang) or, in the
 * ordinary test run, by fuzz-replay.c with every file of a corpus folder. May touch: nothing.
 */

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
