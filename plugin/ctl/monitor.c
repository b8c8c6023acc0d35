/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See monitor.h. */

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/json.h"
#include "ctl/monitor-feed.h"
#include "ctl/monitor-screen.h"
#include "ctl/monitor.h"
#include "ctl/text.h"

enum {
        EVENTS_MAX = 100,
        LINES_FLOWS = 50, /* that a look asks for where no screen tells how many it can show */
        REDRAW_MS = 100,  /* from an event to the screen, so that many cost one drawing */
        KEY_CONTROL_L = 'L' & 0x1f,
};

typedef struct Monitor {
        Ctl *ctl;
        GMainLoop *loop;
        MonitorFeed *feed;
        MonitorView *view;     /* the last look; NULL: there was none yet */
        GPtrArray *events;     /* of char *, the latest last */
        guint redraw;          /* of the screen, for events that are new; 0: none is due */
        bool screen;
        bool blocks;           /* the charset has block characters */
} Monitor;

/* ---- one JSON object on each line */

static void print_object(JsonBuilder *builder) {
        g_autofree char *line = json_line(builder);

        /* Not g_print(), as in json_print(). */
        fprintf(stdout, "%s\n", line);
}

static void add_json_link(JsonBuilder *builder, const MonitorLink *link) {
        json_builder_begin_object(builder);
        json_member_string(builder, "interface", link->name);
        json_member_string(builder, "state", link->state);
        json_member_number(builder, "flows", link->flows);
        json_member_number(builder, "connections_without_mptcp", link->not_mptcp);
        json_member_number(builder, "bytes_per_second_sent", link->sent_rate);
        json_member_number(builder, "bytes_per_second_received", link->received_rate);
        json_builder_end_object(builder);
}

static void add_json_subflow(JsonBuilder *builder, const MonitorSubflow *subflow) {
        json_builder_begin_object(builder);
        json_member_string(builder, "interface", subflow->link);
        json_member_string(builder, "form", subflow->form);
        json_member_string(builder, "local_address", subflow->local_address);
        json_member_number(builder, "local_port", subflow->local_port);
        json_member_string(builder, "remote_address", subflow->remote_address);
        json_member_number(builder, "remote_port", subflow->remote_port);
        json_member_number(builder, "bytes_per_second_sent", subflow->sent_rate);
        json_member_number(builder, "bytes_per_second_received", subflow->received_rate);
        if (subflow->measured) {
                json_member_number(builder, "rtt_us", subflow->rtt_us);
                json_member_number(builder, "retransmissions", subflow->retransmissions);
        }
        json_builder_end_object(builder);
}

static void add_json_destination(JsonBuilder *builder, const MonitorDestination *destination) {
        json_builder_begin_object(builder);
        json_member_string(builder, "interface", destination->link);
        json_member_string(builder, "destination", destination->remote);
        json_member_string(builder, "sentence", destination->sentence);
        json_builder_end_object(builder);
}

static void print_json(const MonitorView *view) {
        g_autoptr(JsonBuilder) builder = json_builder_new();

        json_builder_begin_object(builder);
        json_member_boolean(builder, "service", !view->trouble);
        json_builder_set_member_name(builder, "links");
        json_builder_begin_array(builder);
        for (guint i = 0; i < view->links->len; i++)
                add_json_link(builder, &g_array_index(view->links, MonitorLink, i));
        json_builder_end_array(builder);
        json_builder_set_member_name(builder, "subflows");
        json_builder_begin_array(builder);
        for (guint i = 0; i < view->subflows->len; i++)
                add_json_subflow(builder, &g_array_index(view->subflows, MonitorSubflow, i));
        json_builder_end_array(builder);
        json_builder_set_member_name(builder, "destinations");
        json_builder_begin_array(builder);
        for (guint i = 0; i < view->destinations->len; i++)
                add_json_destination(builder, &g_array_index(view->destinations, MonitorDestination, i));
        json_builder_end_array(builder);
        json_builder_end_object(builder);
        print_object(builder);
}

/* ---- text */

static void show_screen(const Monitor *monitor) {
        const size_t rows = screen_rows();
        g_autofree char *footer = text_cut(_("q quits"), screen_columns());

        if (!monitor->view)
                return;
        g_auto(GStrv) lines = monitor_view_lines(monitor->view, monitor->events, screen_columns(),
                                                 rows > 1 ? rows - 1 : 1, monitor->blocks);
        screen_show(lines, footer, monitor->ctl->color);
}

static void print_lines(const Monitor *monitor) {
        g_autoptr(GPtrArray) none = g_ptr_array_new();
        g_auto(GStrv) lines = monitor_view_lines(monitor->view, none, 0, 0, monitor->blocks);

        text_lines("%s", lines);
        g_print("\n");
}

static void print_json_event(const MonitorEvent *event) {
        g_autoptr(JsonBuilder) builder = json_builder_new();

        json_builder_begin_object(builder);
        json_member_string(builder, "event", event->kind);
        json_member_string(builder, "sentence", event->sentence);
        if (event->interface)
                json_member_string(builder, "interface", event->interface);
        if (event->left_out > 0)
                json_member_number(builder, "left_out", event->left_out);
        if (event->change) {
                json_member_string(builder, "change", event->change);
                json_member_string(builder, "local_address", event->local_address);
                json_member_number(builder, "local_port", event->local_port);
                json_member_string(builder, "remote_address", event->remote_address);
                json_member_number(builder, "remote_port", event->remote_port);
                json_member_number(builder, "errno", event->error);
        }
        json_builder_end_object(builder);
        print_object(builder);
}

static gboolean on_redraw(gpointer userdata) {
        Monitor *monitor = userdata;

        monitor->redraw = 0;
        show_screen(monitor);
        return G_SOURCE_REMOVE;
}

static void on_event(const MonitorEvent *event, void *userdata) {
        Monitor *monitor = userdata;
        g_autoptr(GDateTime) now = g_date_time_new_now_local();
        g_autofree char *clock = now ? g_date_time_format(now, "%H:%M:%S") : g_strdup("");
        char *line = g_strdup_printf("%s  %s", clock, event->sentence);

        g_ptr_array_add(monitor->events, line);
        if (monitor->events->len > EVENTS_MAX)
                g_ptr_array_remove_index(monitor->events, 0);
        if (monitor->screen) {
                if (!monitor->redraw)
                        monitor->redraw = g_timeout_add(REDRAW_MS, on_redraw, monitor);
                return;
        }
        if (monitor->ctl->json)
                print_json_event(event);
        else
                text_line("%s", line);
        /* Whoever reads this through a pipe wants to see it now. */
        (void) fflush(stdout);
}

/* ---- the loop */

static gboolean on_tick(gpointer userdata) {
        Monitor *monitor = userdata;

        g_clear_pointer(&monitor->view, monitor_view_free);
        monitor->view = monitor_feed_look(monitor->feed,
                                          monitor->screen ? (unsigned) screen_rows() : LINES_FLOWS);
        if (monitor->screen)
                show_screen(monitor);
        else if (monitor->ctl->json)
                print_json(monitor->view);
        else
                print_lines(monitor);
        if (!monitor->screen && (fflush(stdout) != 0 || ferror(stdout)))
                g_main_loop_quit(monitor->loop);
        return G_SOURCE_CONTINUE;
}

static gboolean on_end(gpointer userdata) {
        g_main_loop_quit(((Monitor *) userdata)->loop);
        return G_SOURCE_CONTINUE;
}

static gboolean on_resize(gpointer userdata) {
        screen_resize();
        show_screen(userdata);
        return G_SOURCE_CONTINUE;
}

static gboolean on_input(gint fd, GIOCondition condition, gpointer userdata) {
        Monitor *monitor = userdata;

        if (condition & (G_IO_HUP | G_IO_ERR | G_IO_NVAL)) {
                g_main_loop_quit(monitor->loop);
                return G_SOURCE_REMOVE;
        }
        for (int key; (key = screen_key()) >= 0;) {
                if (key == 'q' || key == 'Q')
                        g_main_loop_quit(monitor->loop);
                else if (key == KEY_CONTROL_L)
                        on_resize(monitor);
        }
        return G_SOURCE_CONTINUE;
}

static void run(Monitor *monitor) {
        const guint tick_ms = monitor->ctl->watch > 0 ? (guint) (monitor->ctl->watch * 1000) : 1000;
        const int ends[] = { SIGINT, SIGTERM, SIGHUP };
        guint sources[ELEMENTS(ends) + 3], count = 0;

        for (size_t i = 0; i < ELEMENTS(ends); i++)
                sources[count++] = g_unix_signal_add(ends[i], on_end, monitor);
        if (monitor->screen) {
                sources[count++] = g_unix_signal_add(SIGWINCH, on_resize, monitor);
                sources[count++] = g_unix_fd_add(STDIN_FILENO, G_IO_IN | G_IO_HUP | G_IO_ERR, on_input,
                                                 monitor);
        }
        sources[count++] = g_timeout_add(tick_ms, on_tick, monitor);
        on_tick(monitor);
        g_main_loop_run(monitor->loop);
        for (guint i = 0; i < count; i++)
                g_source_remove(sources[i]);
        if (monitor->redraw)
                g_source_remove(monitor->redraw);
}

bool ctl_monitor(Ctl *ctl, char **arguments, GError **error) {
        g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
        g_autoptr(GPtrArray) events = g_ptr_array_new_with_free_func(g_free);
        Monitor monitor = {
                .ctl = ctl,
                .loop = loop,
                .events = events,
                .blocks = g_get_charset(NULL),
        };
        g_autoptr(MonitorFeed) feed = monitor_feed_new(ctl, on_event, &monitor, error);

        if (!feed)
                return false;
        monitor.feed = feed;
        monitor.screen = !ctl->json && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO) && screen_open();
        run(&monitor);
        if (monitor.screen)
                screen_close();
        g_clear_pointer(&monitor.view, monitor_view_free);
        return true;
}
