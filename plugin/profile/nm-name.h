/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * How a command names a profile of NetworkManager: `nmcli connection up id 'My LTE'`. Both nmcli and
 * underpassctl would take a bare name such as "uuid", "path" or "help" for a word of their own.
 */

/*
 * "id 'My LTE'", or "uuid UUID" where the name is NULL or "", could be taken for an option, or shows as
 * something else on a terminal. id: NULL also where several profiles have this name. uuid: may be NULL.
 * Safe for a shell. Caller frees; NULL when out of memory.
 */
char *nm_name_words(const char *id, const char *uuid);
