/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See subflow-news.h. */

#include "service/subflow-news.h"

/* A link in this window. */
typedef struct NewsOfLink {
        uint32_t ifindex;
        uint32_t told, left_out;
} NewsOfLink;

struct SubflowNews {
        sd_event *event;
        sd_event_source *timer;  /* the end of the window; NULL: there is none, and nothing is counted */
        NewsOfLink *links;
        size_t count, room;
        uint32_t told;           /* of all links */
        SubflowNewsHandler handler;
        void *userdata;
};

int subflow_news_new(SubflowNews **ret, sd_event *event, SubflowNewsHandler handler, void *userdata) {
        SubflowNews *news = calloc(1, sizeof(*news));

        if (!news)
                return -ENOMEM;
        *news = (SubflowNews) { .event = event, .handler = handler, .userdata = userdata };
        *ret = news;
        return 0;
}

void subflow_news_clear(SubflowNews *news) {
        news->timer = sd_event_source_disable_unref(news->timer);
        free(news->links);
        news->links = NULL;
        news->count = news->room = 0;
        news->told = 0;
}

SubflowNews *subflow_news_free(SubflowNews *news) {
        if (!news)
                return NULL;
        subflow_news_clear(news);
        free(news);
        return NULL;
}

static int on_window_end(sd_event_source *source, uint64_t usec, void *userdata) {
        SubflowNews *news = userdata;
        _cleanup_(freep) NewsOfLink *links = TAKE_PTR(news->links);
        const size_t count = news->count;

        subflow_news_clear(news);
        for (size_t i = 0; i < count; i++)
                if (links[i].left_out > 0)
                        news->handler(links[i].ifindex, NULL, links[i].left_out, news->userdata);
        return 0;
}

/* NULL: out of memory. */
static NewsOfLink *find_or_add(SubflowNews *news, uint32_t ifindex) {
        for (size_t i = 0; i < news->count; i++)
                if (news->links[i].ifindex == ifindex)
                        return &news->links[i];
        if (ROOM_FOR_ONE(news->links, news->count, news->room) < 0)
                return NULL;
        news->links[news->count] = (NewsOfLink) { .ifindex = ifindex };
        return &news->links[news->count++];
}

void subflow_news_add(SubflowNews *news, uint32_t ifindex, const MptcpEvent *event) {
        NewsOfLink *link;

        if (!news->timer &&
            sd_event_add_time_relative(news->event, &news->timer, CLOCK_MONOTONIC, SUBFLOW_NEWS_WINDOW_US, 0,
                                       on_window_end, news) < 0)
                return;
        link = find_or_add(news, ifindex);
        if (!link)
                return;
        if (link->told == SUBFLOW_NEWS_LINK_MAX || news->told == SUBFLOW_NEWS_ALL_MAX) {
                link->left_out++;
                return;
        }
        link->told++;
        news->told++;
        news->handler(ifindex, event, 0, news->userdata);
}
