/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See open-metrics.h. */

#include "base/util.h"
#include "ctl/open-metrics.h"

typedef struct Sample {
        char **labels;   /* names and values in turn */
        uint64_t value;
} Sample;

typedef struct Family {
        char *name;
        bool counter;
        const char *unit;
        char *help;
        GArray *samples;
} Family;

struct OpenMetrics {
        GPtrArray *families;
        Family *current;
};

static void sample_clear(gpointer data) {
        g_strfreev(((Sample *) data)->labels);
}

static void family_free(gpointer data) {
        Family *family = data;

        g_free(family->name);
        g_free(family->help);
        g_array_unref(family->samples);
        g_free(family);
}

OpenMetrics *open_metrics_new(void) {
        OpenMetrics *metrics = g_new0(OpenMetrics, 1);

        metrics->families = g_ptr_array_new_with_free_func(family_free);
        return metrics;
}

void open_metrics_free(OpenMetrics *metrics) {
        g_ptr_array_unref(metrics->families);
        g_free(metrics);
}

void open_metrics_family(OpenMetrics *metrics, const char *name, bool counter, const char *unit,
                         const char *help) {
        for (guint i = 0; i < metrics->families->len; i++) {
                Family *family = g_ptr_array_index(metrics->families, i);

                if (!streq(family->name, name))
                        continue;
                metrics->current = family;
                return;
        }
        metrics->current = g_new0(Family, 1);
        *metrics->current = (Family) {
                .name = g_strdup(name),
                .counter = counter,
                .unit = unit,
                .help = g_strdup(help),
                .samples = g_array_new(FALSE, TRUE, sizeof(Sample)),
        };
        g_array_set_clear_func(metrics->current->samples, sample_clear);
        g_ptr_array_add(metrics->families, metrics->current);
}

void open_metrics_add(OpenMetrics *metrics, uint64_t value, ...) {
        GPtrArray *labels = g_ptr_array_new();
        const char *name;
        va_list pairs;

        va_start(pairs, value);
        while ((name = va_arg(pairs, const char *))) {
                const char *text = va_arg(pairs, const char *);

                if (!text || !text[0])
                        continue;
                g_ptr_array_add(labels, g_strdup(name));
                g_ptr_array_add(labels, g_utf8_make_valid(text, -1));
        }
        va_end(pairs);
        g_ptr_array_add(labels, NULL);

        const Sample sample = { .labels = (char **) g_ptr_array_free(labels, FALSE), .value = value };
        g_array_append_val(metrics->current->samples, sample);
}

static void append_escaped(GString *text, const char *value) {
        for (; *value; value++) {
                if (*value == '\n')
                        g_string_append(text, "\\n");
                else if (*value == '\\' || *value == '"')
                        g_string_append_printf(text, "\\%c", *value);
                else
                        g_string_append_c(text, *value);
        }
}

static void append_sample(GString *text, const Family *family, const Sample *sample) {
        g_string_append_printf(text, "%s%s", family->name, family->counter ? "_total" : "");
        for (char **label = sample->labels; label[0]; label += 2) {
                g_string_append_printf(text, "%s%s=\"", label == sample->labels ? "{" : ",", label[0]);
                append_escaped(text, label[1]);
                g_string_append_c(text, '"');
        }
        g_string_append_printf(text, "%s %" G_GUINT64_FORMAT "\n", sample->labels[0] ? "}" : "",
                               sample->value);
}

char *open_metrics_text(const OpenMetrics *metrics) {
        GString *text = g_string_new(NULL);

        for (guint i = 0; i < metrics->families->len; i++) {
                const Family *family = g_ptr_array_index(metrics->families, i);

                g_string_append_printf(text, "# TYPE %s %s\n", family->name,
                                       family->counter ? "counter" : "gauge");
                if (family->unit)
                        g_string_append_printf(text, "# UNIT %s %s\n", family->name, family->unit);
                g_string_append_printf(text, "# HELP %s ", family->name);
                append_escaped(text, family->help);
                g_string_append_c(text, '\n');
                for (guint k = 0; k < family->samples->len; k++)
                        append_sample(text, family, &g_array_index(family->samples, Sample, k));
        }
        g_string_append(text, "# EOF\n");
        return g_string_free(text, FALSE);
}

void open_metrics_each(const OpenMetrics *metrics, OpenMetricsHandler handler, void *userdata) {
        for (guint i = 0; i < metrics->families->len; i++) {
                const Family *family = g_ptr_array_index(metrics->families, i);
                g_autofree char *name = g_strconcat(family->name, family->counter ? "_total" : "", NULL);

                for (guint k = 0; k < family->samples->len; k++) {
                        const Sample *sample = &g_array_index(family->samples, Sample, k);
                        handler(name, (const char *const *) sample->labels, sample->value, userdata);
                }
        }
}
