/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See monitor-view.h. */

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/monitor-view.h"
#include "ctl/text.h"

enum {
        FORM_WIDTH = 10,
        RATE_WIDTH = 9,
        RTT_WIDTH = 8,
        RETRANS_WIDTH = 8,
        BAR_MAX = 24,
        BAR_MIN = 5,
        LABEL_MIN = 14,
        LABEL_MAX = 44,
        EVENTS_SHARE = 4,  /* of the rows, one in so many is for events */
};

static void link_clear(gpointer data) {
        MonitorLink *link = data;

        g_free(link->name);
        g_free(link->state);
}

static void subflow_clear(gpointer data) {
        MonitorSubflow *subflow = data;

        g_free(subflow->link);
        g_free(subflow->form);
        g_free(subflow->local_address);
        g_free(subflow->remote_address);
}

static void destination_clear(gpointer data) {
        MonitorDestination *destination = data;

        g_free(destination->link);
        g_free(destination->remote);
        g_free(destination->sentence);
}

static GArray *new_list(size_t size, GDestroyNotify clear) {
        GArray *list = g_array_new(FALSE, TRUE, (guint) size);

        g_array_set_clear_func(list, clear);
        return list;
}

MonitorView *monitor_view_new(void) {
        MonitorView *view = g_new0(MonitorView, 1);

        view->links = new_list(sizeof(MonitorLink), link_clear);
        view->subflows = new_list(sizeof(MonitorSubflow), subflow_clear);
        view->destinations = new_list(sizeof(MonitorDestination), destination_clear);
        return view;
}

void monitor_view_free(MonitorView *view) {
        g_free(view->trouble);
        g_array_unref(view->links);
        g_array_unref(view->subflows);
        g_array_unref(view->destinations);
        g_free(view);
}

char *monitor_view_bar(double share, size_t width, bool blocks) {
        static const char *const eighths[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
        GString *bar = g_string_new(NULL);
        const double clipped = share > 0 ? MIN_OF(share, 1.0) : 0;
        size_t parts = (size_t) (clipped * (double) width * 8 + 0.5);

        /* What is little is still something. */
        if (share > 0 && parts == 0 && width > 0)
                parts = 1;
        for (size_t i = 0; i < (blocks ? parts / 8 : (parts + 7) / 8); i++)
                g_string_append(bar, blocks ? "█" : "#");
        if (blocks)
                g_string_append(bar, eighths[parts % 8]);
        return g_string_free(bar, FALSE);
}

/* How the columns of the screen are shared. A width of 0: that column is not shown. */
typedef struct Layout {
        size_t name;
        size_t bar;
        size_t retransmissions;
        double most;       /* bytes per second of a full bar */
        bool blocks;
} Layout;

static Layout lay_out(const MonitorView *view, size_t columns, bool blocks) {
        const size_t fixed = FORM_WIDTH + 2 * RATE_WIDTH;
        Layout layout = { .name = LABEL_MAX, .bar = BAR_MAX, .retransmissions = RETRANS_WIDTH, .most = 1,
                          .blocks = blocks };
        size_t rest;

        for (guint i = 0; i < view->links->len; i++) {
                const MonitorLink *link = &g_array_index(view->links, MonitorLink, i);
                layout.most = MAX_OF(layout.most, (double) MAX_OF(link->sent_rate, link->received_rate));
        }
        if (columns == 0)
                return layout;
        rest = columns > fixed + RTT_WIDTH + LABEL_MIN ? columns - fixed - RTT_WIDTH - LABEL_MIN : 0;
        layout.retransmissions = rest >= RETRANS_WIDTH ? RETRANS_WIDTH : 0;
        rest -= layout.retransmissions;
        layout.bar = rest / 2 >= BAR_MIN + 1 ? MIN_OF(rest / 3, (size_t) BAR_MAX) : 0;
        layout.bar = layout.bar >= BAR_MIN ? layout.bar : 0;
        rest -= 2 * layout.bar;
        layout.name = MIN_OF(LABEL_MIN + rest, (size_t) LABEL_MAX);
        return layout;
}

/* Text that takes exactly so many columns, and a blank behind it. */
static void append_cell(GString *line, const char *text, size_t width, bool flush_right) {
        g_autofree char *cut = text_cut(text, width > 0 ? width - 1 : 0);
        const size_t taken = text_width(cut) + 1;

        if (width == 0)
                return;
        for (size_t i = taken; flush_right && i < width; i++)
                g_string_append_c(line, ' ');
        g_string_append(line, cut);
        for (size_t i = taken; !flush_right && i < width; i++)
                g_string_append_c(line, ' ');
        g_string_append_c(line, ' ');
}

static void append_rate(GString *line, const Layout *layout, uint64_t rate) {
        const double megabits = (double) rate * 8 / 1e6;
        g_autofree char *number = g_strdup_printf(megabits < 1000 ? "%.1f" : "%.0f", megabits);

        append_cell(line, number, RATE_WIDTH, true);
        if (layout->bar > 0) {
                g_autofree char *bar =
                        monitor_view_bar((double) rate / layout->most, layout->bar - 1, layout->blocks);
                append_cell(line, bar, layout->bar, false);
        }
}

static const char *form_text(const char *form) {
        return streq(form, "plain") ? _("plain") : form;
}

static void finish_line(GPtrArray *lines, GString *line, size_t columns) {
        g_autofree char *text = text_clean(line->str);

        g_ptr_array_add(lines, g_strchomp(columns > 0 ? text_cut(text, columns) : g_strdup(text)));
        g_string_truncate(line, 0);
}

static void add_heading(GPtrArray *lines, const Layout *layout, size_t columns) {
        g_autoptr(GString) line = g_string_new(NULL);

        append_cell(line, _("LINK"), layout->name, false);
        append_cell(line, _("FORM"), FORM_WIDTH, false);
        append_cell(line, layout->blocks ? _("↓ Mbit/s") : _("in Mb/s"), RATE_WIDTH, true);
        append_cell(line, "", layout->bar, false);
        append_cell(line, layout->blocks ? _("↑ Mbit/s") : _("out Mb/s"), RATE_WIDTH, true);
        append_cell(line, "", layout->bar, false);
        append_cell(line, _("RTT"), RTT_WIDTH, true);
        append_cell(line, _("RETRANS"), layout->retransmissions, true);
        finish_line(lines, line, columns);
}

static void add_link(GPtrArray *lines, const Layout *layout, const MonitorLink *link, size_t columns) {
        g_autoptr(GString) line = g_string_new(NULL);

        append_cell(line, link->name, layout->name, false);
        append_cell(line, link->state, FORM_WIDTH, false);
        append_rate(line, layout, link->received_rate);
        append_rate(line, layout, link->sent_rate);
        finish_line(lines, line, columns);
}

/* A hint, where the tunnel is left unused by programs. */
static void add_not_mptcp(GPtrArray *lines, const MonitorLink *link, size_t columns) {
        g_autoptr(GString) line = g_string_new("  ");

        if (link->not_mptcp == 0)
                return;
        g_string_append_printf(line,
                               P_("%llu connection of a program without MPTCP: mptcpize run PROGRAM",
                                  "%llu connections of programs without MPTCP: mptcpize run PROGRAM",
                                  link->not_mptcp),
                               (unsigned long long) link->not_mptcp);
        finish_line(lines, line, columns);
}

static void add_subflow(GPtrArray *lines, const Layout *layout, const MonitorSubflow *subflow,
                        size_t columns) {
        g_autofree char *remote = text_endpoint(subflow->remote_address, subflow->remote_port);
        g_autofree char *name = g_strdup_printf("  %s", remote);
        g_autofree char *rtt = g_strdup_printf(_("%.1f ms"), (double) subflow->rtt_us / 1000);
        g_autofree char *again = g_strdup_printf("%u", subflow->retransmissions);
        g_autoptr(GString) line = g_string_new(NULL);

        append_cell(line, name, layout->name, false);
        append_cell(line, form_text(subflow->form), FORM_WIDTH, false);
        append_rate(line, layout, subflow->received_rate);
        append_rate(line, layout, subflow->sent_rate);
        append_cell(line, subflow->measured ? rtt : "-", RTT_WIDTH, true);
        append_cell(line, subflow->measured ? again : "-", layout->retransmissions, true);
        finish_line(lines, line, columns);
}

static void add_destination(GPtrArray *lines, const Layout *layout, const MonitorDestination *destination,
                            size_t columns) {
        g_autofree char *name = g_strdup_printf("  %s", destination->remote);
        g_autoptr(GString) line = g_string_new(NULL);

        append_cell(line, name, layout->name, false);
        g_string_append(line, destination->sentence);
        finish_line(lines, line, columns);
}

/* A link with what belongs to it. left: subflows that still have room. */
static void add_block(GPtrArray *lines, const MonitorView *view, const Layout *layout, const char *link,
                      size_t columns, size_t *left) {
        for (guint i = 0; i < view->destinations->len; i++) {
                const MonitorDestination *each = &g_array_index(view->destinations, MonitorDestination, i);
                if (streq(each->link, link))
                        add_destination(lines, layout, each, columns);
        }
        for (guint i = 0; i < view->subflows->len && *left > 0; i++) {
                const MonitorSubflow *each = &g_array_index(view->subflows, MonitorSubflow, i);
                if (!streq(each->link, link))
                        continue;
                add_subflow(lines, layout, each, columns);
                (*left)--;
        }
}

char **monitor_view_lines(const MonitorView *view, const GPtrArray *events, size_t columns, size_t rows,
                          bool blocks) {
        const Layout layout = lay_out(view, columns, blocks);
        const size_t limit = columns > 0 ? rows : SIZE_MAX;
        const size_t shown = MIN_OF((size_t) events->len, limit / EVENTS_SHARE);
        size_t left = columns > 0 ? limit - MIN_OF(limit, shown + 1 + view->links->len) : SIZE_MAX;
        GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GString) line = g_string_new(NULL);

        if (view->trouble) {
                g_string_assign(line, view->trouble);
                finish_line(lines, line, columns);
        }
        add_heading(lines, &layout, columns);
        for (guint i = 0; i < view->links->len; i++) {
                const MonitorLink *link = &g_array_index(view->links, MonitorLink, i);

                add_link(lines, &layout, link, columns);
                add_not_mptcp(lines, link, columns);
                add_block(lines, view, &layout, link->name, columns, &left);
        }
        if (lines->len > limit - shown)
                g_ptr_array_set_size(lines, (gint) (limit - shown));
        for (size_t i = events->len - shown; i < events->len; i++) {
                g_string_assign(line, g_ptr_array_index(events, i));
                finish_line(lines, line, columns);
        }
        g_ptr_array_add(lines, NULL);
        g_ptr_array_set_free_func(lines, NULL);
        return (char **) g_ptr_array_free(lines, FALSE);
}
