/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What "underpassctl profile" does apart from speaking with NetworkManager: what a profile says, which
 * changes are asked for, whether the outcome would be good, and how that is told.
 */

#include "ctl/ctl.h"
#include "profile/keys.h"

/* A NetworkManager profile, as plain data. */
typedef struct ProfileView {
        char *id;
        char *uuid;
        char *path;           /* of its D-Bus object */
        char *file;           /* "" without one */
        bool id_unique;       /* no other profile has this id */
        bool unsaved;         /* in memory only, or changed in memory only */
        uint32_t mptcp_flags; /* connection.mptcp-flags */
        GPtrArray *mtus;      /* of char *[3]: { "802-3-ethernet.mtu", "1400", NULL } */
        char **devices;       /* interfaces on which it is active */
        GHashTable *data;     /* what user.data holds under "underpass.", char * to char * */
} ProfileView;

void profile_view_free(ProfileView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ProfileView, profile_view_free)

/* How PROFILE is meant, as nmcli spells it. */
typedef enum Selector {
        SELECT_ID,
        SELECT_UUID,
        SELECT_PATH,
        SELECT_FILE,
        _SELECTOR_MAX,
        SELECT_ANY = _SELECTOR_MAX,
} Selector;

/* Takes the words that name the profile off the arguments; others: how many must be left at least. */
const char *profile_take(char ***arguments, unsigned others, Selector *ret_selector);

/* An empty set of pairs as in ProfileView.data. Edits are such sets too, where NULL stands for "remove". */
GHashTable *data_new(void);

/* The names of a set, sorted. Free the container only. */
GList *data_names(GHashTable *data);

/*
 * Reads KEY=VALUE arguments, or names of keys to remove; all that is wrong with keys is reported. NULL on
 * failure.
 */
GHashTable *edits_for_set(char **arguments, GError **error);
GHashTable *edits_for_unset(char **arguments, const ProfileView *view, GError **error);

/* The data as they would be afterwards. */
GHashTable *edits_apply(GHashTable *data, GHashTable *edits);

/* True when the edits would change something. */
bool edits_change(GHashTable *data, GHashTable *edits);

/* Everything that is wrong with the data: one sentence each, ends in NULL, may be empty. */
char **data_problems(GHashTable *data, const ProfileView *view);

/*
 * Fails with all problems when the data would be bad afterwards. Removing keys is allowed nevertheless when
 * the profile is bad already, or a bad profile could not be mended step by step; *ret_warnings gets the
 * problems then.
 */
bool edits_check(const ProfileView *view, GHashTable *edits, char ***ret_warnings, GError **error);

/* The lines of a file in /etc/underpass that says the same as the data, indented. */
char *data_as_file(GHashTable *data, const ProfileView *view);

/* What nmcli would be given as name of the profile, quoted for the shell where that is necessary. */
char *profile_argument(const ProfileView *view);

/* ---- ctl-profile-verify.c ---- */

/*
 * Reads the profile anew and fails when NetworkManager did not keep the edits; wanted: all data as they
 * should be. Otherwise view->data is what NetworkManager holds now.
 */
bool profile_verify(GDBusConnection *bus, ProfileView *view, GHashTable *wanted, GHashTable *edits,
                    GError **error);

/* ---- ctl-profile-view.c: telling about it ---- */

/* How a change went. */
typedef struct ProfileOutcome {
        bool written; /* false: there was nothing to change */
        GHashTable *edits;
        char **warnings;
        char **reapplied; /* interfaces */
        char **next;      /* commands that the user may want to run next */
} ProfileOutcome;

void profile_outcome_done(ProfileOutcome *outcome);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ProfileOutcome, profile_outcome_done)

/* Adds what the profile's settings and the network manager's own properties together call for. */
void profile_outcome_advise(ProfileOutcome *outcome, const ProfileView *view);

/* Adds what makes the change take effect: activating the profile anew. */
void profile_outcome_advise_activation(ProfileOutcome *outcome, const ProfileView *view);

void profile_view_print(const Ctl *ctl, const ProfileView *view);
void profile_outcome_print(const Ctl *ctl, const ProfileOutcome *outcome, const ProfileView *view);
