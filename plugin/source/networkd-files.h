/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The sections [X-Underpass] of the .network file, and of its drop-ins, by which networkd manages a link. */

#include "source/networkd-answer.h"
#include "source/section.h"

/*
 * The drop-ins of a .network file by systemd's rule: NAME.network.d/?*.conf in every folder, the first
 * folder that has a name decides about it (an empty file or a link to /dev/null there masks it), sorted by
 * name. Folders that cannot be used are told in the section, as unread.
 * 0 or -ENOMEM.
 */
int networkd_dropins(const char *const *folders, const char *network_file, char ***ret, Section *section);

/* Reads the sections of the files that the answer names, or implies. 0 or -ENOMEM. */
int networkd_section_read(const char *const *folders, const NetworkdAnswer *answer, Section *ret);

/* Adds what they say to a profile, and the defaults that fit networkd. 0 or -ENOMEM. */
int networkd_section_apply(const Section *section, Profile *profile);

/* Whether any .network file or drop-in has such a section. */
bool networkd_any_section(const char *const *folders);
