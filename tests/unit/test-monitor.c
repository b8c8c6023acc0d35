/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What the monitor shows: bars, and lines that fit screens of any width. May touch: nothing.
 */

#include <locale.h>

#include "unit.h"

#include "ctl/monitor-view.h"
#include "ctl/text.h"

static void bars_have_eighths(void) {
        static const struct {
                double share;
                size_t width;
                bool blocks;
                const char *bar;
        } cases[] = {
                { 0, 4, true, "" },       { 1, 4, true, "████" },  { 0.5, 4, true, "██" },
                { 0.53, 4, true, "██▏" }, { 1e-9, 4, true, "▏" },  { 2, 4, true, "████" },
                { -1, 4, true, "" },      { 1, 4, false, "####" }, { 0.5, 4, false, "##" },
                { 1e-9, 4, false, "#" },  { 0, 4, false, "" },     { 1, 0, true, "" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                g_autofree char *bar = monitor_view_bar(cases[i].share, cases[i].width, cases[i].blocks);

                if (!streq(bar, cases[i].bar))
                        fprintf(stderr, "case %zu: %s\n", i, bar);
                assert(streq(bar, cases[i].bar));
        }
}

static MonitorView *make_view(size_t subflows) {
        MonitorView *view = monitor_view_new();
        const MonitorLink links[] = {
                { .name = g_strdup("wlan0"), .state = g_strdup("off"), .received_rate = 5775000 },
                { .name = g_strdup("wwan0"), .state = g_strdup("active"), .received_rate = 3137500,
                  .not_mptcp = 3 },
        };
        const MonitorDestination blocked = {
                .link = g_strdup("wwan0"), .remote = g_strdup("203.0.113.9:443"),
                .sentence = g_strdup("UDP gets no answer, plain TCP for 9 min"),
        };

        g_array_append_vals(view->links, links, ELEMENTS(links));
        g_array_append_val(view->destinations, blocked);
        for (size_t i = 0; i < subflows; i++) {
                const MonitorSubflow subflow = {
                        .link = g_strdup(i % 2 ? "wlan0" : "wwan0"),
                        .form = g_strdup(i % 2 ? "plain" : "UDP"),
                        .local_address = g_strdup("192.0.2.1"),
                        .remote_address = g_strdup("2001:db8:1234:5678:9abc:def0:1234:5678"),
                        .local_port = (uint16_t) (40000 + i),
                        .remote_port = 443,
                        .received_rate = 3000000,
                        .measured = i == 0,
                        .rtt_us = 41200,
                        .retransmissions = 7,
                };
                g_array_append_val(view->subflows, subflow);
        }
        return view;
}

static void lines_fit(void) {
        static const size_t columns[] = { 1, 20, 40, 60, 80, 120, 200 }, rows[] = { 1, 2, 5, 24, 60 };
        g_autoptr(GPtrArray) events = g_ptr_array_new_with_free_func(g_free);

        for (int i = 0; i < 30; i++)
                g_ptr_array_add(events,
                                g_strdup_printf("12:00:%02d  Соединение с 203.0.113.9:443 本本本 ended", i));
        for (size_t i = 0; i < ELEMENTS(columns); i++)
                for (size_t k = 0; k < ELEMENTS(rows); k++)
                        for (int blocks = 0; blocks < 2; blocks++) {
                                g_autoptr(MonitorView) view = make_view(100);
                                g_auto(GStrv) lines =
                                        monitor_view_lines(view, events, columns[i], rows[k], blocks);

                                assert(g_strv_length(lines) <= rows[k]);
                                for (char **line = lines; *line; line++)
                                        assert(text_width(*line) <= columns[i]);
                        }
}

static bool some_line_has(char *const *lines, const char *first, const char *second) {
        for (; *lines; lines++)
                if (strstr(*lines, first) && strstr(*lines, second))
                        return true;
        return false;
}

static void what_matters_is_there(void) {
        static const size_t columns[] = { 0, 40, 80, 200 };
        g_autoptr(GPtrArray) events = g_ptr_array_new_with_free_func(g_free);

        g_ptr_array_add(events, g_strdup("12:00:00  wwan0: active, was waiting"));
        for (size_t i = 0; i < ELEMENTS(columns); i++) {
                g_autoptr(MonitorView) view = make_view(2);
                g_auto(GStrv) lines = monitor_view_lines(view, events, columns[i], 24, true);

                assert(some_line_has(lines, "wlan0", "46.2"));
                assert(some_line_has(lines, "wwan0", "25.1"));
                assert(some_line_has(lines, "UDP", "24.0"));
                assert(some_line_has(lines, "plain", "24.0"));
                assert(columns[i] == 40 || some_line_has(lines, "UDP", "41.2 ms"));
                assert(some_line_has(lines, "203.0.113", "UDP gets no"));
                assert(some_line_has(lines, "  3 connections of programs ", "without"));
                assert((columns[i] == 80 || columns[i] == 200) == some_line_has(lines, "wlan0", "█") ||
                       columns[i] == 0);
                assert(columns[i] == 0 || some_line_has(lines, "12:00:00", "wwan0: active"));
        }
}

static void trouble_comes_first(void) {
        g_autoptr(GPtrArray) events = g_ptr_array_new();
        g_autoptr(MonitorView) view = monitor_view_new();

        view->trouble = g_strdup("Underpass is not running");
        g_auto(GStrv) lines = monitor_view_lines(view, events, 80, 24, false);
        assert(streq(lines[0], "Underpass is not running"));
        assert(strstr(lines[1], "in Mb/s"));
}

int main(void) {
        static const Test tests[] = {
                { "bars have eighths", bars_have_eighths },
                { "lines fit", lines_fit },
                { "what matters is there", what_matters_is_there },
                { "trouble comes first", trouble_comes_first },
        };

        setlocale(LC_ALL, "C.UTF-8");
        return run_tests(tests, ELEMENTS(tests));
}
