/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Reads what DescribeLink() of systemd-networkd answers. The only file of the service that knows JSON. */

#include <json-c/json.h>

#include "base/util.h"
#include "source/networkd-answer.h"

enum {
        /* Some 50 000 routes. Reading that takes a tenth of a second, and this program has one thread. */
        ANSWER_LENGTH_MAX = 16 * 1024 * 1024,
        NESTING_MAX = 16,
        PATH_LENGTH_MAX = 4096,
        DROPINS_MAX = 1024,
};

static inline void object_putp(json_object **object) {
        json_object_put(*object);
}

static inline void tokener_freep(json_tokener **tokener) {
        if (*tokener)
                json_tokener_free(*tokener);
}

void networkd_answer_done(NetworkdAnswer *answer) {
        free(answer->network_file);
        strings_free(answer->dropins);
        *answer = (NetworkdAnswer) {};
}

static int object_parse(const char *text, size_t length, json_object **ret) {
        _cleanup_(tokener_freep) json_tokener *tokener = json_tokener_new_ex(NESTING_MAX);
        _cleanup_(object_putp) json_object *object = NULL;
        const char *rest;

        if (!tokener)
                return -ENOMEM;
        object = json_tokener_parse_ex(tokener, text, (int) length);
        if (json_tokener_get_error(tokener) != json_tokener_success ||
            !json_object_is_type(object, json_type_object))
                return -EBADMSG;
        rest = text + json_tokener_get_parse_end(tokener);
        if (rest[strspn(rest, " \t\r\n")] != '\0')
                return -EBADMSG;
        *ret = TAKE_PTR(object);
        return 0;
}

/* The member as a string, NULL when it is missing; -EBADMSG when it is something else. */
static int string_member(json_object *object, const char *name, const char **ret) {
        json_object *member = NULL;

        if (!json_object_object_get_ex(object, name, &member)) {
                *ret = NULL;
                return 0;
        }
        if (!json_object_is_type(member, json_type_string) ||
            strlen(json_object_get_string(member)) != (size_t) json_object_get_string_len(member))
                return -EBADMSG;
        *ret = json_object_get_string(member);
        return 0;
}

/* Nothing is read but what can be configuration of networkd, whatever it says. */
static bool path_is_plausible(const char *path, const char *suffix) {
        const size_t length = strlen(path), suffix_length = strlen(suffix);

        return length > suffix_length && length < PATH_LENGTH_MAX && path[0] == '/' &&
               streq(path + length - suffix_length, suffix) && strstr(path, "/systemd/network/") &&
               !strstr(path, "/../") && utf8_valid(path, length);
}

static int read_dropins(json_object *object, NetworkdAnswer *answer) {
        json_object *list = NULL;

        answer->dropins_told = json_object_object_get_ex(object, "NetworkFileDropins", &list);
        if (!list)
                return 0; /* missing, or null for none */
        if (!json_object_is_type(list, json_type_array) || json_object_array_length(list) > DROPINS_MAX)
                return -EBADMSG;
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                json_object *element = json_object_array_get_idx(list, i);
                const char *path;
                int r;

                if (!json_object_is_type(element, json_type_string))
                        return -EBADMSG;
                path = json_object_get_string(element);
                if (strlen(path) != (size_t) json_object_get_string_len(element) ||
                    !path_is_plausible(path, ".conf"))
                        return -EBADMSG;
                r = strings_add(&answer->dropins, path);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* States in which networkd has not decided yet what file a link gets: they pass. */
static bool state_is_passing(const char *state) {
        return streq(state, "pending") || streq(state, "initialized");
}

int networkd_answer_parse(const char *text, uint32_t ifindex, NetworkdAnswer *ret) {
        _cleanup_(networkd_answer_done) NetworkdAnswer answer = {};
        _cleanup_(object_putp) json_object *object = NULL;
        json_object *index = NULL;
        const size_t length = strnlen(text, ANSWER_LENGTH_MAX + 1);
        const char *state, *path;
        int r;

        if (length > ANSWER_LENGTH_MAX)
                return -EFBIG;
        r = object_parse(text, length, &object);
        if (r < 0)
                return r;
        if (!json_object_object_get_ex(object, "Index", &index) ||
            !json_object_is_type(index, json_type_int) || json_object_get_int64(index) != ifindex)
                return -EBADMSG;
        r = string_member(object, "AdministrativeState", &state);
        if (r == 0 && !state)
                r = string_member(object, "SetupState", &state); /* before systemd 251 */
        if (r == 0)
                r = string_member(object, "NetworkFile", &path);
        if (r < 0 || !state || (path && !path_is_plausible(path, ".network")))
                return -EBADMSG;

        if (streq(state, "unmanaged"))
                answer.claim = NETWORKD_UNMANAGED;
        else if (path)
                answer.claim = NETWORKD_MANAGED;
        else
                answer.claim = state_is_passing(state) ? NETWORKD_UNDECIDED : NETWORKD_UNMANAGED;
        if (answer.claim == NETWORKD_MANAGED) {
                r = string_replace(&answer.network_file, path);
                if (r == 0)
                        r = read_dropins(object, &answer);
                if (r < 0)
                        return r;
        }
        *ret = answer;
        answer = (NetworkdAnswer) {};
        return 0;
}
