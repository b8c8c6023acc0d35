/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a probe has found, as a part of a D-Bus message: a(ssusu)a{su}, see data/org.underpass1.xml. */

#include <systemd/sd-bus.h>

#include "plan/probe.h"

#define PROBE_MESSAGE "a(ssusu)a{su}"

int probe_message_append(sd_bus_message *message, const ProbeReport *report);

/* -EBADMSG: it makes no sense. */
int probe_message_read(sd_bus_message *message, ProbeReport *ret);
