/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The files with settings on D-Bus: answers of ListFiles and Reload.
 */

#include <systemd/sd-bus.h>

#include "service/manager.h"

/* Rows: path, complaints, links that the file is about; then what the complaints are made of. */
#define BUS_FILES "a(sasas)"

/* Answers a call with all files. Negative errno: it is not answered. */
int bus_files_answer(Manager *manager, sd_bus_message *call);
