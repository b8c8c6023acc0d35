/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Collects what the sources say about one link and where each value came from, and makes the sentence about
 * a bad value.
 */

#include "base/message.h"
#include "profile/profile.h"

enum { WHERE_CHARACTERS = 320 }; /* a connection.id may be long, a path even longer */

static const struct {
        const char *name;
        const char *prefix;   /* of keys */
        bool section;         /* keys are spelt as in files: "RemotePorts" */
} sources[] = {
        [PROFILE_SOURCE_DEFAULT] = { "default", "", false },
        [PROFILE_SOURCE_FILE] = { "file", "", true },
        [PROFILE_SOURCE_NETWORKD] = { "networkd", "", true },
        [PROFILE_SOURCE_NETWORK_MANAGER] = { "NetworkManager", KEY_USER_DATA_PREFIX, false },
        [PROFILE_SOURCE_NM_TUNNEL] = { "tunnel-profile", "", false },
};

ASSERT_TABLE_COMPLETE(sources, _PROFILE_SOURCE_MAX);

const char *profile_source_name(ProfileSource source) {
        return sources[source].name;
}

char *profile_key_name(const Key *key, ProfileSource source) {
        return string_format("%s%s", sources[source].prefix,
                             sources[source].section ? key->section_name : key->name);
}

static char *where_excerpt(const char *where) {
        return string_excerpt(where, strlen(where), WHERE_CHARACTERS);
}

char *profile_describe(const Profile *profile, KeyId id) {
        const ProfileOrigin *origin = &profile->origins[id];
        _cleanup_(freep) char *name = profile_key_name(key_get(id), origin->source);
        _cleanup_(freep) char *value = key_format(key_get(id), &profile->settings);
        _cleanup_(freep) char *where = where_excerpt(origin->where);

        if (!name || !value || !where)
                return NULL;
        return *where ? message_format(N_("%s=%s in %s"), name, value, where)
                      : string_format("%s=%s", name, value);
}

static void origin_done(ProfileOrigin *origin) {
        free(origin->where);
        free(origin->text);
        *origin = (ProfileOrigin) { 0 };
}

static int origin_set(ProfileOrigin *origin, ProfileSource source, const char *where, const char *text) {
        ProfileOrigin fresh = { source, strdup(where), strdup(text) };

        if (!fresh.where || !fresh.text) {
                origin_done(&fresh);
                return -ENOMEM;
        }
        origin_done(origin);
        *origin = fresh;
        return 0;
}

/* Takes the sentence; the first error is the one that is kept. */
static int error_consume(Profile *profile, char *sentence) {
        if (!sentence)
                return -ENOMEM;
        if (profile->error)
                free(sentence);
        else
                profile->error = sentence;
        return 0;
}

int profile_new(Profile **ret) {
        _cleanup_(profile_freep) Profile *profile = calloc(1, sizeof(*profile));

        if (!profile)
                return -ENOMEM;

        settings_init(&profile->settings);
        for (size_t i = 0; i < _KEY_ID_MAX; i++) {
                int r = origin_set(&profile->origins[i], PROFILE_SOURCE_DEFAULT, "",
                                   key_get((KeyId) i)->default_text);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(profile);
        return 0;
}

Profile *profile_free(Profile *profile) {
        if (!profile)
                return NULL;

        for (size_t i = 0; i < _KEY_ID_MAX; i++)
                origin_done(&profile->origins[i]);
        free(profile->connection_id);
        free(profile->connection_uuid);
        free(profile->tunnel_id);
        free(profile->tunnel_uuid);
        free(profile->network_file);
        free(profile->error);
        free(profile->unread);
        strings_free(profile->warnings);
        free(profile);
        return NULL;
}

static int error_bad_value(Profile *profile, const Key *key, const char *text, ProfileSource source,
                     const char *where, const char *error) {
        _cleanup_(freep) char *name = profile_key_name(key, source);
        _cleanup_(freep) char *value = value_excerpt(text);
        _cleanup_(freep) char *place = where_excerpt(where);
        _cleanup_(freep) char *allowed = message_constant(key->range_text);

        if (!name || !value || !place || !allowed)
                return -ENOMEM;
        return error_consume(profile, message_format(N_("%s=%s in %s: %s; allowed: %s."), name, value, place,
                                                     error, allowed));
}

int profile_set(Profile *profile, const Key *key, const char *text, ProfileSource source,
                const char *where) {
        _cleanup_(freep) char *error = NULL;
        Settings settings = profile->settings;

        int r = key_parse(key, text, &settings, &error);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return error_bad_value(profile, key, text, source, where, error);

        r = origin_set(&profile->origins[key->id], source, where, text);
        if (r < 0)
                return r;
        profile->settings = settings;
        return 0;
}

int profile_unknown_key(Profile *profile, const char *name, ProfileSource source, const char *where) {
        const Key *key = key_suggest(name);
        _cleanup_(freep) char *shown = value_excerpt(name);
        _cleanup_(freep) char *place = where_excerpt(where);

        if (!shown || !place)
                return -ENOMEM;
        if (!key)
                return error_consume(profile, message_format(N_("%s in %s: there is no such key; "
                                                                "`underpassctl keys` lists all."),
                                                             shown, place));

        _cleanup_(freep) char *meant = profile_key_name(key, source);
        if (!meant)
                return -ENOMEM;
        return error_consume(profile, message_format(N_("%s in %s: there is no such key; did you mean %s? "
                                                        "`underpassctl keys` lists all."),
                                                     shown, place, meant));
}

int profile_too_many_keys(Profile *profile, unsigned keys, unsigned bytes, const char *where) {
        _cleanup_(freep) char *place = where_excerpt(where);

        if (!place)
                return -ENOMEM;
        return error_consume(profile, message_format(N_("%s: there are more than %u keys, or they are "
                                                        "longer than %u bytes in total; remove those that "
                                                        "are not needed."),
                                                     place, keys, bytes));
}

static int error_ports_missing(Profile *profile) {
        const ProfileSource source = profile->origins[KEY_ID_TUNNEL].source;
        _cleanup_(freep) char *tunnel = profile_describe(profile, KEY_ID_TUNNEL);
        _cleanup_(freep) char *remote = profile_key_name(key_get(KEY_ID_REMOTE_PORTS), source);
        _cleanup_(freep) char *local = profile_key_name(key_get(KEY_ID_LOCAL_PORTS), source);

        if (!tunnel || !remote || !local)
                return -ENOMEM;
        return error_consume(profile, message_format(N_("%s: this does not say which connections use the "
                                                        "tunnel; set %s (ports of servers, for example 443) "
                                                        "or, on a server, %s."),
                                                     tunnel, remote, local));
}

static int error_mss_too_large(Profile *profile) {
        const Settings *settings = &profile->settings;
        _cleanup_(freep) char *mss = profile_describe(profile, KEY_ID_MSS);
        _cleanup_(freep) char *mtu = profile_describe(profile, KEY_ID_MTU);

        if (!mss || !mtu)
                return -ENOMEM;
        return error_consume(profile, message_format(N_("%s: segments of this size do not fit %s; choose at "
                                                        "most %u, or auto."),
                                                     mss, mtu, settings->mtu - IPV4_AND_TCP_BYTES));
}

static int error_on_demand_without_mptcp(Profile *profile) {
        _cleanup_(freep) char *tunnel = profile_describe(profile, KEY_ID_TUNNEL);
        _cleanup_(freep) char *mptcp_only = profile_describe(profile, KEY_ID_MPTCP_ONLY);

        if (!tunnel || !mptcp_only)
                return -ENOMEM;
        return error_consume(profile, message_format(N_("%s: this tunnel is used where MPTCP options get "
                                                        "lost, so it cannot be combined with %s; choose "
                                                        "tunnel=yes, or mptcp-only=yes."),
                                                     tunnel, mptcp_only));
}

int profile_finish(Profile *profile) {
        const Settings *settings = &profile->settings;

        if (profile->error)
                return 0;
        if (settings->tunnel != TUNNEL_NO && settings->remote_ports.count == 0 &&
            settings->local_ports.count == 0)
                return error_ports_missing(profile);
        if (settings->tunnel == TUNNEL_ON_DEMAND && !settings->mptcp_only)
                return error_on_demand_without_mptcp(profile);
        if (settings->mss != 0 && settings->mtu != 0 && settings->mss > settings->mtu - IPV4_AND_TCP_BYTES)
                return error_mss_too_large(profile);
        return 0;
}
