/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See genl.h. */

#include <stdalign.h>

#include "kernel/genl.h"

enum { REQUEST_SIZE = 256 };

/* The family that is looked for. */
typedef struct FamilySearch {
        const char *name;
        uint16_t found; /* 0: not yet */
} FamilySearch;

struct nlmsghdr *genl_request(void *buffer, uint16_t family, uint8_t command, uint8_t version) {
        struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
        struct genlmsghdr *generic;

        message->nlmsg_type = family;
        generic = mnl_nlmsg_put_extra_header(message, sizeof(*generic));
        generic->cmd = command;
        generic->version = version;
        return message;
}

static int read_family(const struct nlmsghdr *message, void *userdata) {
        const struct nlattr *attribute;
        FamilySearch *search = userdata;
        const char *name = "";
        uint16_t family = 0;

        mnl_attr_for_each(attribute, message, sizeof(struct genlmsghdr))
                if (mnl_attr_get_type(attribute) == CTRL_ATTR_FAMILY_ID &&
                    mnl_attr_validate(attribute, MNL_TYPE_U16) >= 0)
                        family = mnl_attr_get_u16(attribute);
                else if (mnl_attr_get_type(attribute) == CTRL_ATTR_FAMILY_NAME &&
                         mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
                        name = mnl_attr_get_str(attribute);
        if (streq(name, search->name))
                search->found = family;
        return MNL_CB_OK;
}

static int find(Netlink *netlink, struct nlmsghdr *message, const char *name, uint16_t *ret) {
        FamilySearch search = { .name = name };
        int r;

        r = netlink_call(netlink, message, read_family, &search);
        if (r < 0 && r != -ENOENT)
                return r;
        if (search.found == 0)
                return -EOPNOTSUPP;
        *ret = search.found;
        return 0;
}

int genl_find_family(Netlink *netlink, const char *name, uint16_t *ret) {
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        struct nlmsghdr *message = genl_request(buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);

        mnl_attr_put_strz(message, CTRL_ATTR_FAMILY_NAME, name);
        return find(netlink, message, name, ret);
}

int genl_find_loaded_family(Netlink *netlink, const char *name, uint16_t *ret) {
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        struct nlmsghdr *message = genl_request(buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);

        message->nlmsg_flags = NLM_F_DUMP;
        return find(netlink, message, name, ret);
}
