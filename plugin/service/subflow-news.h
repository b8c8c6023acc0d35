/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * How much is told of subflows that come and go: peers open and close as many as they like, and each signal
 * wakes all who listen. So there are a few for each link in a second, and then one that counts the others.
 */

#include <systemd/sd-event.h>

#include "kernel/mptcp-events.h"

enum {
        SUBFLOW_NEWS_WINDOW_US = 1000 * 1000,
        SUBFLOW_NEWS_LINK_MAX = 20,  /* of one link in a window, and … */
        SUBFLOW_NEWS_ALL_MAX = 200,  /* … of all links */
};

typedef struct SubflowNews SubflowNews;

/* event: what is told of a link; NULL: left_out events of it have not been told. */
typedef void (*SubflowNewsHandler)(uint32_t ifindex, const MptcpEvent *event, uint32_t left_out,
                                   void *userdata);

int subflow_news_new(SubflowNews **ret, sd_event *event, SubflowNewsHandler handler, void *userdata);
SubflowNews *subflow_news_free(SubflowNews *news);

/* Something has happened to a subflow of a link. It is told at once, or counted. */
void subflow_news_add(SubflowNews *news, uint32_t ifindex, const MptcpEvent *event);

/* Nobody wants to know any more: what is counted is forgotten. */
void subflow_news_clear(SubflowNews *news);
