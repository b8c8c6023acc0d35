/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See tunnel-profile.h. */

#include "base/message.h"
#include "service/bus-applied.h"
#include "service/tunnel-profile.h"

/* NetworkManager's clients show the text on one line. */
#define SEPARATOR " "

static int append(char **text, char *sentence) {
        _cleanup_(freep) char *more = sentence;
        char *longer;

        if (!more)
                return -ENOMEM;
        longer = *text ? string_format("%s" SEPARATOR "%s", *text, more) : strdup(more);
        if (!longer)
                return -ENOMEM;
        free(*text);
        *text = longer;
        return 0;
}

/* "attach-point=tcx, receive=gro" */
static int add_applied(const char *key, const char *value, void *userdata) {
        char **list = userdata, *longer;

        longer = string_format("%s%s%s=%s", *list ?: "", *list ? ", " : "", key, value);
        if (!longer)
                return -ENOMEM;
        free(*list);
        *list = longer;
        return 0;
}

static int describe_link(const Manager *manager, const Link *link, char **text) {
        _cleanup_(freep) char *applied = NULL;
        char **warnings = link_warnings(link);
        int r;

        r = append(text, message_format(N_("%s: tunnel %s. %s"), link_name(link),
                                        link_state_name(link_state(link)), link_reason(link)));
        if (r >= 0 && *link_last_error(link))
                r = append(text, message_format(N_("Error: %s"), link_last_error(link)));
        if (r >= 0)
                r = bus_applied_each(manager, link, add_applied, &applied);
        if (r >= 0 && applied)
                r = append(text, message_format(N_("Applied: %s."), applied));
        for (size_t i = 0; r >= 0 && i < strings_count(warnings); i++)
                r = append(text, message_format(N_("Warning: %s"), warnings[i]));
        return r;
}

/* No link has its settings from this profile. */
static char *describe_none(const char *named) {
        _cleanup_(freep) char *excerpt = value_excerpt(named ?: "");

        if (!named)
                return message_constant(N_("The profile is not known yet, or is not a tunnel profile."));
        if (!*named)
                return message_constant(N_("No tunnel: the profile names no link. Set link= in vpn.data to "
                                           "the name of the profile of the link."));
        if (!excerpt)
                return NULL;
        return message_format(N_("No tunnel: no active link is called “%s”, or another tunnel profile is "
                                 "used for it."),
                              excerpt);
}

char *tunnel_profile_describe(const Manager *manager, const char *uuid) {
        char *text = NULL;

        for (size_t i = 0; i < manager_links_count(manager); i++) {
                const Link *link = manager_link_at(manager, i);
                const Profile *profile = link_profile(link);

                if (!profile || !profile->tunnel_uuid || !streq(profile->tunnel_uuid, uuid))
                        continue;
                if (describe_link(manager, link, &text) < 0) {
                        free(text);
                        return NULL;
                }
        }
        return text ?: describe_none(sources_tunnel_link(manager_sources(manager), uuid));
}
