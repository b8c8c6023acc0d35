/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Metrics as OpenMetrics text (https://openmetrics.io). Only the types counter and gauge are used: the
 * textfile collector of node_exporter reads the older Prometheus format, which has no others, and turns a
 * file with an unknown type down.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct OpenMetrics OpenMetrics;

OpenMetrics *open_metrics_new(void);
void open_metrics_free(OpenMetrics *metrics);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OpenMetrics, open_metrics_free)

/*
 * Begins a family, unless there is one of this name; samples are added to it from now on. name: without
 * "_total", but with the unit at its end. unit: NULL, or a base unit. help: one sentence in English.
 */
void open_metrics_family(OpenMetrics *metrics, const char *name, bool counter, const char *unit,
                         const char *help);

/* A value. Names and values of labels in turn, ends in NULL; labels without a value are left out. */
void open_metrics_add(OpenMetrics *metrics, uint64_t value, ...) G_GNUC_NULL_TERMINATED;

/* All of it, family by family. Caller frees. */
char *open_metrics_text(const OpenMetrics *metrics);

typedef void (*OpenMetricsHandler)(const char *name, const char *const *labels, uint64_t value,
                                   void *userdata);

/* Calls handler for each sample: its name as in the text, and its labels as in open_metrics_add(). */
void open_metrics_each(const OpenMetrics *metrics, OpenMetricsHandler handler, void *userdata);
