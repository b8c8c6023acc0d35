/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See verify.h. */

#include "base/message.h"
#include "profile/verify.h"

#define SECTION "X-Underpass"

typedef struct Verifying {
        Verified *verified;
        bool network;        /* a file of networkd */
        bool part;           /* other files may add to it */
        const char *text;
        size_t length;
        const char *path;
        Profile *whole;      /* all keys together */
        bool bad;            /* one of them is wrong by itself */
} Verifying;

void verified_done(Verified *verified) {
        ini_match_done(&verified->match);
        strings_free(verified->complaints);
        *verified = (Verified) {};
}

static int complain(const Verifying *verifying, const char *message) {
        return strings_add(&verifying->verified->complaints, message);
}

/* In files of systemd lists add up; there, too, an empty value takes back what was said before. */
static int complain_repeated(const Verifying *verifying, const char *key, unsigned line) {
        return message_add(&verifying->verified->complaints,
                           N_("%s:%u: this line takes the place of an earlier %s=; write all values of a "
                              "list on one line."),
                           verifying->path, line, key);
}

/* Whether a list is in place of another one. A key that takes one value is replaced as in systemd. 0, 1 or
 * -ENOMEM. */
static int is_replaced(const Profile *whole, const Profile *alone, const Key *key) {
        _cleanup_(freep) char *before = NULL, *now = NULL;

        if (!key_is_list(key))
                return 0;
        before = key_format(key, &whole->settings);
        now = key_format(key, &alone->settings);
        if (!before || !now)
                return -ENOMEM;
        return !streq(before, key->default_text) && !streq(now, key->default_text) && !streq(before, now);
}

/* A key of ours in a profile of its own, so that each tells its error. */
static int on_setting(Verifying *verifying, const char *name, const char *value, unsigned line) {
        const ProfileSource source =
                verifying->network ? PROFILE_SOURCE_NETWORKD : PROFILE_SOURCE_FILE;
        _cleanup_(freep) char *where = string_format("%s:%u", verifying->path, line);
        _cleanup_(profile_freep) Profile *alone = NULL;
        const Key *key = key_find_section(name);
        int r = where ? profile_new(&alone) : -ENOMEM;

        verifying->verified->settings++;
        if (r >= 0)
                r = key ? profile_set(alone, key, value, source, where)
                        : profile_unknown_key(alone, name, source, where);
        if (r >= 0 && alone->error) {
                verifying->bad = true;
                return complain(verifying, alone->error);
        }
        if (r >= 0)
                r = is_replaced(verifying->whole, alone, key);
        if (r > 0)
                r = complain_repeated(verifying, name, line);
        return r < 0 ? r : profile_set(verifying->whole, key, value, source, where);
}

static int on_condition(Verifying *verifying, const char *key, const char *value, unsigned line) {
        IniMatch *match = &verifying->verified->match;
        const struct {
                const char *key;
                char **target;
                bool list;
        } conditions[] = {
                { "Name", &match->name, true },
                { "Type", &match->type, true },
                { "Connection", &match->connection, false },
                { "UUID", &match->uuid, false },
        };

        for (size_t i = 0; i < ELEMENTS(conditions); i++) {
                char **target = conditions[i].target;
                const bool list = conditions[i].list;
                int r = 0;

                if (!streq(key, conditions[i].key))
                        continue;
                if (list && *target && **target && *value && !streq(*target, value))
                        r = complain_repeated(verifying, key, line);
                return r < 0 ? r : string_replace(target, value);
        }
        return message_add(&verifying->verified->complaints,
                           N_("%s:%u: [Match] has no key \"%s\"; known are Name=, Type=, Connection= and "
                              "UUID=."),
                           verifying->path, line, key);
}

static int on_assignment(const char *section, const char *key, const char *value, unsigned line,
                         void *userdata) {
        Verifying *verifying = userdata;

        if (streq(section, SECTION))
                return on_setting(verifying, key, value, line);
        if (ini_section_resembles(section, SECTION)) {
                verifying->verified->resembling++;
                return message_add(&verifying->verified->complaints,
                                   N_("%s:%u: the section [%s] is ignored; did you mean [%s]?"),
                                   verifying->path, line, section, SECTION);
        }
        if (verifying->network)
                return 0;
        if (streq(section, "Match"))
                return on_condition(verifying, key, value, line);
        return message_add(&verifying->verified->complaints,
                           N_("%s:%u: \"%s\" stands outside of [Match] and [X-Underpass] and is ignored."),
                           verifying->path, line, key);
}

static void on_error(unsigned line, const char *error, void *userdata) {
        const Verifying *verifying = userdata;

        /* networkd itself warns about lines in other sections. */
        if (verifying->network && verifying->part &&
            !ini_line_is_in(verifying->text, verifying->length, line, SECTION))
                return;
        (void) message_add(&verifying->verified->complaints, N_("%s:%u: %s"), verifying->path, line, error);
}

/* What is wrong with the file as a whole. */
static int finish(Verifying *verifying) {
        const IniMatch *match = &verifying->verified->match;
        int r = 0;

        if (verifying->network && verifying->part)
                return 0;
        if (verifying->verified->settings == 0)
                r = message_add(&verifying->verified->complaints, N_("%s: nothing is set in [%s]."),
                                verifying->path, SECTION);
        else if (!verifying->bad && !verifying->part) {
                r = profile_finish(verifying->whole);
                if (r >= 0 && verifying->whole->error)
                        r = complain(verifying, verifying->whole->error);
        }
        const bool conditions = match->name || match->type || match->connection || match->uuid;
        if (r >= 0 && !verifying->network && !conditions)
                r = message_add(&verifying->verified->complaints,
                                N_("%s: [Match] has no condition, so the file applies to no link; "
                                   "add Name=."),
                                verifying->path);
        return r;
}

/* Values with masked bytes are not what somebody has written, so no more is said about them. */
static int verify_masked(char *text, size_t length, Verifying *verifying) {
        Verified *verified = verifying->verified;
        _cleanup_(freep) char *error = ini_encoding_error(verifying->path, text, length);
        int r;

        if (!error)
                return -ENOMEM;
        ini_mask(text, length);
        r = ini_parse(text, length, on_assignment, NULL, verifying);
        verified->complaints = strings_free(verified->complaints);
        return r < 0 ? r : complain(verifying, error);
}

int verify_text(char *text, size_t length, VerifyKind kind, const char *path, Verified *ret) {
        _cleanup_(profile_freep) Profile *whole = NULL;
        Verified verified = {};
        Verifying verifying = {
                .verified = &verified,
                .network = kind == VERIFY_NETWORK || kind == VERIFY_NETWORK_PART,
                .part = kind == VERIFY_PROFILE_PART || kind == VERIFY_NETWORK_PART,
                .text = text,
                .length = length,
                .path = path,
        };
        int r = profile_new(&whole);

        verifying.whole = whole;
        if (r >= 0)
                r = ini_parse(text, length, on_assignment, on_error, &verifying);
        if (r == -EILSEQ)
                r = verify_masked(text, length, &verifying);
        else if (r >= 0)
                r = finish(&verifying);
        if (r < 0) {
                verified_done(&verified);
                return r;
        }
        *ret = verified;
        return 0;
}
