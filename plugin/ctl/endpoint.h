/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Hosts with ports as people write them.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* A decimal number from 1 to 65535. false: it is none, and *ret stays. */
bool endpoint_port(const char *text, uint16_t *ret);

/*
 * Splits HOST, HOST:PORT, [ADDRESS] or [ADDRESS]:PORT; an IPv6 address without brackets is all host.
 * *ret_port stays as it is where there is no port. false: it is none of these, or the host is empty. Caller
 * frees the host.
 */
bool endpoint_split(const char *text, char **ret_host, uint16_t *ret_port);
