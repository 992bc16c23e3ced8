/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/plot/plot-stats.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

#include "formats/error.h"
#include "util/file.h"

typedef struct StatsField {
    const char *group; /* the object that it is in, or NULL */
    const char *name;
    size_t offset; /* in PlotStats */
} StatsField;

static const StatsField count_fields[] = {
    {"pages", "in-file", offsetof(PlotStats, in_file)},
    {"pages", "by-order", offsetof(PlotStats, by_order)},
    {"pages", "by-rest", offsetof(PlotStats, by_rest)},
    {"pages", "by-fault", offsetof(PlotStats, by_fault)},
    {"pages", "late", offsetof(PlotStats, late)},
    {"pages", "zero-on-fault", offsetof(PlotStats, zero_on_fault)},
    {NULL, "demand-faults", offsetof(PlotStats, demand_faults)},
};

static const StatsField number_fields[] = {
    {NULL, "blocktime-ms", offsetof(PlotStats, blocktime_ms)},
    {"latency-us", "p50", offsetof(PlotStats, p50_us)},
    {"latency-us", "p99", offsetof(PlotStats, p99_us)},
    {"latency-us", "max", offsetof(PlotStats, max_us)},
};

/* These are missing or null as long as they have not happened. */
static const StatsField later_fields[] = {
    {"pages", "held-back", offsetof(PlotStats, held_back)},
    {"pages", "unused", offsetof(PlotStats, unused)},
    {NULL, "resumed-ms", offsetof(PlotStats, resumed_ms)},
    {NULL, "order-done-ms", offsetof(PlotStats, order_done_ms)},
    {NULL, "loaded-ms", offsetof(PlotStats, loaded_ms)},
};

static const json_t *find_field(const json_t *root, const StatsField *field)
{
    if (field->group) {
        root = json_object_get(root, field->group);
    }
    return json_object_get(root, field->name);
}

static void *field_of(PlotStats *stats, const StatsField *field)
{
    return (char *)stats + field->offset;
}

static bool read_number(const json_t *root, const StatsField *field,
                        double *ret_value, GError **error)
{
    const json_t *value = find_field(root, field);

    if (!json_is_number(value) || json_number_value(value) < 0) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_MALFORMED,
                    "%s%s%s is missing or not a number from 0; is this a file "
                    "of preheat loadvm --stats?",
                    field->group ? field->group : "", field->group ? "." : "",
                    field->name);
        return false;
    }
    *ret_value = json_number_value(value);
    return true;
}

static bool read_counts(const json_t *root, PlotStats *stats, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(count_fields); i++) {
        double value = 0;

        if (!read_number(root, &count_fields[i], &value, error)) {
            return false;
        }
        *(uint64_t *)field_of(stats, &count_fields[i]) =
            (uint64_t)MIN(value, 0x1p53);
    }
    return true;
}

static bool read_numbers(const json_t *root, PlotStats *stats, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(number_fields); i++) {
        if (!read_number(root, &number_fields[i],
                         field_of(stats, &number_fields[i]), error)) {
            return false;
        }
    }
    return true;
}

static void read_later(const json_t *root, PlotStats *stats)
{
    for (size_t i = 0; i < G_N_ELEMENTS(later_fields); i++) {
        const json_t *value = find_field(root, &later_fields[i]);

        *(double *)field_of(stats, &later_fields[i]) =
            json_is_number(value) ? json_number_value(value) : NAN;
    }
}

PlotStats *plot_stats_from_json(const json_t *root, GError **error)
{
    g_autoptr(PlotStats) stats = g_new0(PlotStats, 1);
    const char *policy = json_string_value(json_object_get(root, "policy"));

    stats->policy = g_strdup(policy ? policy : "unknown");
    if (!read_counts(root, stats, error) || !read_numbers(root, stats, error)) {
        return NULL;
    }
    read_later(root, stats);
    return g_steal_pointer(&stats);
}

PlotStats *plot_stats_load(const char *path, GError **error)
{
    PlotStats *stats = NULL;
    json_error_t where;
    uint64_t len_bytes;
    json_t *root;

    int fd = file_open_regular(path, &len_bytes, error);
    if (fd < 0) {
        g_prefix_error(error, "%s: ", path);
        return NULL;
    }
    root = json_loadfd(fd, JSON_REJECT_DUPLICATES, &where);
    close(fd);
    if (!root) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_MALFORMED,
                    "%s:%d:%d: %s", path, where.line, where.column, where.text);
        return NULL;
    }
    stats = plot_stats_from_json(root, error);
    if (!stats) {
        g_prefix_error(error, "%s: ", path);
    }
    json_decref(root);
    return stats;
}

void plot_stats_free(PlotStats *stats)
{
    if (stats) {
        g_free(stats->policy);
        g_free(stats);
    }
}

double plot_stats_mean_fault_us(const PlotStats *stats)
{
    uint64_t n_faults = stats->demand_faults + stats->zero_on_fault;

    return n_faults > 0 ? stats->blocktime_ms * 1000 / (double)n_faults : 0;
}

/* False for NAN, too. */
bool plot_stats_has_learned(const PlotStats *stats)
{
    return stats->held_back > 0 && stats->unused >= 0 &&
           stats->unused <= stats->held_back;
}

uint64_t plot_stats_held_and_used(const PlotStats *stats)
{
    return plot_stats_has_learned(stats)
               ? (uint64_t)(stats->held_back - stats->unused)
               : 0;
}

uint64_t plot_stats_own(const PlotStats *stats, uint64_t n_order_pages)
{
    uint64_t elsewhere = stats->late;

    if (plot_stats_has_learned(stats)) {
        elsewhere += (uint64_t)stats->held_back;
    }
    return n_order_pages > elsewhere
               ? MIN(stats->by_order, n_order_pages - elsewhere)
               : 0;
}

uint64_t plot_stats_unused(const PlotStats *stats, uint64_t n_order_pages)
{
    uint64_t own = plot_stats_own(stats, n_order_pages);

    return plot_stats_has_learned(stats)
               ? (uint64_t)((double)own * stats->unused / stats->held_back)
               : 0;
}

uint64_t plot_stats_not_foreseen(const PlotStats *stats)
{
    uint64_t others = stats->late + plot_stats_held_and_used(stats);

    return stats->by_fault > others ? stats->by_fault - others : 0;
}

uint64_t plot_stats_not_loaded(const PlotStats *stats)
{
    uint64_t loaded = stats->by_order + stats->by_rest + stats->by_fault;

    return stats->in_file > loaded ? stats->in_file - loaded : 0;
}
