/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A module of the kernel that nothing has needed since the host was started. The sandbox keeps the service
 * from loading it, so systemd is asked to: once, unless it has answered by an error.
 */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "base/util.h"

typedef struct ModuleLoad ModuleLoad;

/*
 * unit: what systemd starts, a static string. is_there: whether the kernel has what the module brings;
 * settled: it has it now, or it is not awaited any longer. Neither is called before module_load_ask().
 */
int module_load_new(ModuleLoad **ret, sd_event *event, const char *unit, bool (*is_there)(void *userdata),
                    void (*settled)(void *userdata), void *userdata);
ModuleLoad *module_load_free(ModuleLoad *load);
DEFINE_CLEANUP(ModuleLoad *, module_load_free);

/* Asks, unless that has been done. A minute after an error was the answer, it does so again. bus: NULL:
 * there is none. */
void module_load_ask(ModuleLoad *load, sd_bus *bus);

/* Whether it may still come. */
bool module_load_is_awaited(const ModuleLoad *load);
