/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/commands.h"
#include "cli/image-choice.h"
#include "cli/order-fit.h"
#include "cli/phase-options.h"
#include "profiler/orders/stat.h"
#include "util/units.h"

#define N_TIMELINE 20
#define BAR_WIDTH  40

static void print_totals(const PageOrder *order, const OrderStat *stat)
{
    g_autofree char *size = units_format_size(stat->n_bytes);

    printf("pages       %" PRIu64 ", %s\n", stat->n_pages, size);
    printf("extents     %zu, with %" PRIu64 " pages repeated\n",
           stat->n_extents, stat->n_pages_repeated);
    printf("phases      %zu in %.3f ms\n", stat->n_phases,
           (double)stat->last_us / 1000);
    printf("access     ");
    for (int access = 0; access < ORDER_STAT_ACCESSES; access++) {
        printf(" %s %" PRIu64, page_access_name(access),
               stat->n_pages_by_access[access]);
    }
    printf("\norigin      %s, %u %s\n", page_order_origin_name(order->origin),
           order->n_runs, order->n_runs == 1 ? "run" : "runs");
}

static void print_blocks(const PageOrder *order, const OrderStat *stat)
{
    printf("\n%-24s %12s %12s %12s\n", "block", "pages", "first ms", "last ms");
    for (guint i = 0; i < stat->blocks->len; i++) {
        const OrderBlockStat *block =
            &g_array_index(stat->blocks, OrderBlockStat, i);

        printf("%-24s %12" PRIu64 " %12.3f %12.3f\n",
               page_order_block(order, i)->name, block->n_pages,
               (double)block->first_us / 1000, (double)block->last_us / 1000);
    }
}

static void print_stretches(const OrderStat *stat)
{
    printf("\nstretches   %zu, of %" PRIu64 " to %" PRIu64
           " pages, median %" PRIu64 "\n",
           stat->n_stretches, stat->stretch_pages_min, stat->stretch_pages_max,
           stat->stretch_pages_median);
    for (int i = 0; i < ORDER_STAT_STRETCH_BUCKETS; i++) {
        if (stat->stretch_pages_dist[i] > 0) {
            printf("%12" PRIu64 " pages or fewer: %zu\n", UINT64_C(1) << i,
                   stat->stretch_pages_dist[i]);
        }
    }
}

static void print_timeline(const OrderStat *stat)
{
    uint64_t most = 1;

    for (guint i = 0; i < stat->timeline->len; i++) {
        most = MAX(most, g_array_index(stat->timeline, uint64_t, i));
    }
    printf("\n%12s  pages first touched from then on\n", "ms");
    for (guint i = 0; i < stat->timeline->len; i++) {
        uint64_t n_pages = g_array_index(stat->timeline, uint64_t, i);
        double start_us =
            (double)stat->last_us / (double)stat->timeline->len * i;

        printf("%12.3f %9" PRIu64 " ", start_us / 1000, n_pages);
        for (int k = (int)((double)n_pages / (double)most * BAR_WIDTH); k > 0;
             k--) {
            putchar('#');
        }
        putchar('\n');
    }
}

static int print_text(const PageOrder *order, const OrderStat *stat,
                      bool with_snapshot)
{
    print_totals(order, stat);
    if (with_snapshot) {
        printf("snapshot    %" PRIu64 " of its %" PRIu64
               " pages (%.1f %%); %" PRIu64
               " pages of the order are not in its file\n",
               stat->n_pages_common, stat->n_pages_in_file,
               stat->n_pages_in_file > 0
                   ? 100.0 * (double)stat->n_pages_common /
                         (double)stat->n_pages_in_file
                   : 0,
               stat->n_pages_not_in_file);
    }
    print_blocks(order, stat);
    if (stat->n_pages > 0) {
        print_stretches(stat);
        print_timeline(stat);
    }
    return command_flush();
}

static json_t *blocks_to_json(const PageOrder *order, const OrderStat *stat)
{
    json_t *blocks = json_array();

    for (guint i = 0; i < stat->blocks->len; i++) {
        const OrderBlockStat *block =
            &g_array_index(stat->blocks, OrderBlockStat, i);

        json_array_append_new(blocks,
                              json_pack("{s:s, s:I, s:I, s:I, s:I}", "name",
                                        page_order_block(order, i)->name,
                                        "pages", (json_int_t)block->n_pages,
                                        "bytes", (json_int_t)block->n_bytes,
                                        "first-us", (json_int_t)block->first_us,
                                        "last-us", (json_int_t)block->last_us));
    }
    return blocks;
}

static json_t *access_to_json(const OrderStat *stat)
{
    json_t *by_access = json_object();

    for (int access = 0; access < ORDER_STAT_ACCESSES; access++) {
        json_object_set_new(
            by_access, page_access_name(access),
            json_integer((json_int_t)stat->n_pages_by_access[access]));
    }
    return by_access;
}

static json_t *stretches_to_json(const OrderStat *stat)
{
    json_t *dist = json_array();
    int n = ORDER_STAT_STRETCH_BUCKETS;

    while (n > 0 && stat->stretch_pages_dist[n - 1] == 0) {
        n--;
    }
    for (int i = 0; i < n; i++) {
        json_array_append_new(
            dist, json_integer((json_int_t)stat->stretch_pages_dist[i]));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:o}", "count",
                     (json_int_t)stat->n_stretches, "min",
                     (json_int_t)stat->stretch_pages_min, "median",
                     (json_int_t)stat->stretch_pages_median, "max",
                     (json_int_t)stat->stretch_pages_max, "dist", dist);
}

static json_t *timeline_to_json(const OrderStat *stat)
{
    json_t *timeline = json_array();

    for (guint i = 0; i < stat->timeline->len; i++) {
        json_array_append_new(timeline, json_integer((json_int_t)g_array_index(
                                            stat->timeline, uint64_t, i)));
    }
    return timeline;
}

static int print_json(const PageOrder *order, const OrderStat *stat,
                      bool with_snapshot)
{
    json_t *result = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "extents",
        (json_int_t)stat->n_extents, "pages", (json_int_t)stat->n_pages,
        "bytes", (json_int_t)stat->n_bytes, "pages-repeated",
        (json_int_t)stat->n_pages_repeated, "phases",
        (json_int_t)stat->n_phases, "last-us", (json_int_t)stat->last_us,
        "access", access_to_json(stat), "stretches", stretches_to_json(stat),
        "blocks", blocks_to_json(order, stat), "timeline",
        timeline_to_json(stat));

    if (with_snapshot) {
        json_object_set_new(
            result, "snapshot",
            json_pack("{s:I, s:I, s:I}", "pages-in-file",
                      (json_int_t)stat->n_pages_in_file, "pages-common",
                      (json_int_t)stat->n_pages_common, "pages-not-in-file",
                      (json_int_t)stat->n_pages_not_in_file));
    }
    return command_print_json(result);
}

/* Without force the order is to belong to the snapshot. */
static bool open_snapshot(const PageOrder *order, const ImageChoice *choice,
                          bool force, RamImage **ret_snapshot, GError **error)
{
    g_autoptr(RamImage) snapshot = NULL;
    OrderFit fit;

    if (!image_choice_open(choice, &snapshot, error)) {
        return false;
    }
    if (snapshot && !force &&
        !order_fit_compare(order, snapshot, &fit, error)) {
        g_prefix_error(
            error, "cannot compare with %s without --force: ", choice->path);
        return false;
    }
    *ret_snapshot = g_steal_pointer(&snapshot);
    return true;
}

static int stat_order(const char *path, const ImageChoice *choice, bool force,
                      PhaseOptions *phase, bool json)
{
    g_autoptr(PageOrder) order = NULL;
    g_autoptr(RamImage) snapshot = NULL;
    g_autoptr(OrderStat) stat = NULL;
    OrderStatOptions options = {.n_timeline = N_TIMELINE};
    GError *error = NULL;

    if (!phase_options_parse(phase, &error)) {
        return command_fail(error);
    }
    order = page_order_load(path, &error);
    if (!order || !open_snapshot(order, choice, force, &snapshot, &error)) {
        return command_fail(error);
    }
    options.phase_bytes = phase->max_bytes;
    options.phase_quiet_us = phase->quiet_us;
    stat = order_stat(order, snapshot, &options);
    return json ? print_json(order, stat, snapshot != NULL)
                : print_text(order, stat, snapshot != NULL);
}

static int cmd_order_stat_run(int argc, char **argv)
{
    g_auto(ImageChoice) choice = {0};
    gboolean force = FALSE, json = FALSE;
    g_auto(PhaseOptions) phase = {0};
    const GOptionEntry entries[] = {
        IMAGE_CHOICE_OPTIONS(&choice,
                             "Also show what share of this snapshot it covers"),
        {"force", 'f', 0, G_OPTION_ARG_NONE, &force,
         "Accept a snapshot that it was not recorded for", NULL},
        PHASE_OPTIONS(&phase),
        COMMAND_JSON_OPTION(&json),
        {NULL},
    };
    int status;

    if (!command_parse(&cmd_order_stat, entries, 1, 1, &argc, &argv, &status)) {
        return status;
    }
    return stat_order(argv[1], &choice, force, &phase, json);
}

const Command cmd_order_stat = {
    .name = "stat",
    .synopsis = "FILE",
    .summary = "Print statistics of an order",
    .run = cmd_order_stat_run,
};
