/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Tunnel profiles as text: the same files as in /etc/underpass. [Match] says what link= says in vpn.data,
 * and [X-Underpass] has the keys.
 */

#include <stdbool.h>
#include <stddef.h>

/* vpn.data, pairs. */
typedef struct TunnelData {
        char **keys;
        char **values;
} TunnelData;

void tunnel_data_done(TunnelData *data);

/*
 * Reads the text of a file. Everything in it is checked against the table of keys. 0; -EINVAL with a
 * sentence in *ret_error about the first thing that is wrong, with its line; -ENOMEM. name: of the file,
 * for the sentence.
 */
int tunnel_file_parse(const char *text, size_t length, const char *name, TunnelData *ret, char **ret_error);

/*
 * The file that says the same as vpn.data. interface_name: that of the profile, "" or NULL without one. As
 * above; only what is a tunnel profile without mistakes can be written. Caller frees *ret_text.
 */
int tunnel_file_format(const TunnelData *data, const char *interface_name, char **ret_text,
                       char **ret_error);
