/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The segmentation hop as the service sees it: made with the first link that is attached, removed with the
 * last one.
 * Room L4 (service).
 */

#include <stdio.h>

#include "i18n.h"
#include "log.h"
#include "manager.h"
#include "util.h"

int manager_ensure_hop(Manager *manager, LinkStage *ret_stage, char **ret_error) {
        Hop hop = {};
        int r;

        if (manager->options.fake) {
                manager->hop = (Hop) { .send_ifindex = UINT32_MAX, .receive_ifindex = UINT32_MAX };
                return 0;
        }
        r = hop_ensure(&hop);
        if (r < 0) {
                *ret_stage = STAGE_HOP;
                if (r == -EEXIST)
                        *ret_error = string_format(_("A device named %s or %s exists and is not ours; "
                                                     "rename or remove it."),
                                                   HOP_NAME_SEND, HOP_NAME_RECEIVE);
                else
                        *ret_error = string_format(_("The segmentation hop %s cannot be made: %s."),
                                                   HOP_NAME_SEND, strerror(-r));
                return r;
        }
        r = tunnel_set_hop(manager->tunnel, hop.send_ifindex, hop.receive_ifindex);
        if (r >= 0)
                r = hop_up(&hop);
        if (r < 0) {
                *ret_stage = STAGE_LOAD;
                *ret_error = string_format(_("The BPF programs cannot be loaded: %s (%s). Needed are kernel "
                                             "6.1 or newer, CAP_BPF and CAP_NET_ADMIN."),
                                           strerror(-r), tunnel_complaint(manager->tunnel));
                manager_release_hop(manager);
                return r;
        }
        /* Said once, not for every link. */
        if (manager->hop.send_ifindex == 0 && !streq(tunnel_complaint(manager->tunnel), ""))
                log_warning("The tunnel has %s.", tunnel_complaint(manager->tunnel));
        manager->hop = hop;
        return 0;
}

void manager_release_hop(Manager *manager) {
        int r;

        for (Link *link = manager->links; link; link = link->next)
                if (link->applied.attached || link->adopted)
                        return;
        r = tunnel_release(manager->tunnel);
        if (r < 0)
                log_warning("The pins cannot be removed: %s.", strerror(-r));
        if (!manager->options.fake) {
                r = hop_remove();
                if (r < 0)
                        log_warning("The segmentation hop cannot be removed: %s.", strerror(-r));
        }
        manager->hop = (Hop) {};
}
