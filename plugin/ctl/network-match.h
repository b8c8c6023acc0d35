/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Which links a .network file matches, as systemd-networkd would: by Name=, Type=, MACAddress= and
 * PermanentMACAddress=. Other conditions take more than rtnetlink tells.
 */

#include <glib.h>

typedef struct NetworkMatch {
        char *name;            /* values of the conditions; NULL: there is none */
        char *type;
        char *mac;
        char *permanent_mac;
        char **others;         /* keys that cannot be evaluated here; NULL: none */
} NetworkMatch;

/* Reads the section [Match] of a text that is UTF-8. */
void network_match_read(NetworkMatch *match, const char *text, size_t length);
void network_match_done(NetworkMatch *match);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(NetworkMatch, network_match_done)

/* Appends the names of links that meet all conditions that can be evaluated. A file without conditions
 * matches all. */
void network_match_links(const NetworkMatch *match, GPtrArray *names);
