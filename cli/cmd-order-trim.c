/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/commands.h"
#include "cli/order-output.h"
#include "cli/phase-options.h"
#include "profiler/orders/trim.h"
#include "util/error.h"
#include "util/units.h"

#define NOT_GIVEN G_MININT64

typedef struct TrimOptions {
    char *bytes;
    char *time;
    gint64 n_pages;  /* or NOT_GIVEN */
    gint64 n_phases; /* or NOT_GIVEN */
} TrimOptions;

static void trim_options_clear(TrimOptions *options)
{
    g_clear_pointer(&options->bytes, g_free);
    g_clear_pointer(&options->time, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TrimOptions, trim_options_clear)

static bool parse_limits(const TrimOptions *options, PhaseOptions *phase,
                         OrderTrim *trim, GError **error)
{
    bool has_pages = options->n_pages != NOT_GIVEN;
    bool has_phases = options->n_phases != NOT_GIVEN;

    if (!options->bytes && !options->time && !has_pages && !has_phases) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "--bytes, --pages, --time or --phases is required: how "
                    "much to keep");
        return false;
    }
    if ((has_pages && options->n_pages < 0) ||
        (has_phases && options->n_phases < 0)) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "--pages and --phases must be numbers from 0");
        return false;
    }
    if (!phase_options_parse(phase, error) ||
        (options->bytes &&
         !units_parse_size(options->bytes, &trim->max_bytes, error)) ||
        (options->time &&
         !units_parse_time(options->time, &trim->max_time_us, error))) {
        return false;
    }
    trim->phase_bytes = phase->max_bytes;
    trim->phase_quiet_us = phase->quiet_us;
    if (has_pages) {
        trim->max_pages = options->n_pages;
    }
    if (has_phases) {
        trim->max_phases = options->n_phases;
    }
    return true;
}

static bool trim(const char *path, const TrimOptions *options,
                 PhaseOptions *phase, const OrderOutput *to, GError **error)
{
    OrderTrim limits = ORDER_TRIM_NOTHING;
    g_autoptr(PageOrder) order = NULL;
    g_autoptr(PageOrder) trimmed = NULL;

    if (!parse_limits(options, phase, &limits, error) ||
        !order_output_check(to, error)) {
        return false;
    }
    order = page_order_load(path, error);
    if (!order) {
        return false;
    }
    trimmed = order_trim(order, &limits);
    return order_output_write(to, trimmed, path, error);
}

static int cmd_order_trim_run(int argc, char **argv)
{
    g_auto(TrimOptions) options = {.n_pages = NOT_GIVEN, .n_phases = NOT_GIVEN};
    g_auto(PhaseOptions) phase = {0};
    g_auto(OrderOutput) to = {0};
    const GOptionEntry entries[] = {
        {"bytes", 0, 0, G_OPTION_ARG_STRING, &options.bytes,
         "Keep the first pages, up to SIZE in all", "SIZE"},
        {"pages", 0, 0, G_OPTION_ARG_INT64, &options.n_pages,
         "Keep the first N pages", "N"},
        {"time", 0, 0, G_OPTION_ARG_STRING, &options.time,
         "Keep pages first touched within TIME (2s, 500ms)", "TIME"},
        {"phases", 0, 0, G_OPTION_ARG_INT64, &options.n_phases,
         "Keep the first N phases", "N"},
        PHASE_OPTIONS(&phase),
        ORDER_OUTPUT_OPTIONS(&to),
        {NULL},
    };
    GError *error = NULL;
    int status;

    if (!command_parse(&cmd_order_trim, entries, 1, 1, &argc, &argv, &status)) {
        return status;
    }
    if (!trim(argv[1], &options, &phase, &to, &error)) {
        return command_fail(error);
    }
    return STATUS_OK;
}

const Command cmd_order_trim = {
    .name = "trim",
    .synopsis = "FILE",
    .summary = "Cut an order down to its hottest part",
    .run = cmd_order_trim_run,
};
