/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/stat.h"

#include "profiler/orders/normalise.h"
#include "profiler/orders/phases.h"
#include "profiler/orders/radix-sort.h"
#include "profiler/orders/segments.h"

static uint64_t length_key(const void *length)
{
    return *(const uint64_t *)length;
}

/* The least i so that 2^i is not less than n_pages. */
static size_t stretch_bucket(uint64_t n_pages)
{
    return n_pages > 1 ? g_bit_storage(n_pages - 1) : 0;
}

static void count_stretches(OrderStat *stat, const PageOrder *normal)
{
    size_t n = normal->extents->len;
    g_autofree uint64_t *lengths = g_new(uint64_t, n + 1);

    stat->n_stretches = n;
    if (n == 0) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        lengths[i] = page_order_extent(normal, i)->span.n_pages;
        stat->stretch_pages_dist[stretch_bucket(lengths[i])]++;
    }
    radix_sort(lengths, n, sizeof(*lengths), length_key);
    stat->stretch_pages_min = lengths[0];
    stat->stretch_pages_median = lengths[n / 2];
    stat->stretch_pages_max = lengths[n - 1];
}

static uint64_t n_pages_in_file(const RamImageBlock *block,
                                const PageExtent *extent)
{
    PageSpan span = extent->span;
    uint64_t n_pages = 0;

    if (!page_span_clip(&span, block->n_pages)) {
        return 0;
    }
    for (uint64_t i = 0; i < span.n_pages; i++) {
        n_pages += ram_image_block_has_page(block, span.first_page + i);
    }
    return n_pages;
}

static void count_extent(OrderStat *stat, const PageOrder *normal,
                         const PageExtent *extent,
                         const RamImageBlock *in_snapshot)
{
    OrderBlockStat *block =
        &g_array_index(stat->blocks, OrderBlockStat, extent->span.block);

    if (block->n_pages == 0) {
        block->first_us = extent->time_us;
    }
    block->first_us = MIN(block->first_us, extent->time_us);
    block->last_us = MAX(block->last_us, extent->time_us);
    block->n_pages += extent->span.n_pages;
    block->n_bytes += extent->span.n_pages *
                      page_order_block(normal, extent->span.block)->page_bytes;
    if (in_snapshot != NULL) {
        block->n_pages_in_file += n_pages_in_file(in_snapshot, extent);
    }
    stat->n_pages_by_access[extent->access] = add_saturated(
        stat->n_pages_by_access[extent->access], extent->span.n_pages);
    stat->last_us = MAX(stat->last_us, extent->time_us);
}

/* The snapshot's block that has the same pages as block i of the order. */
static const RamImageBlock *find_block(const RamImage *snapshot,
                                       const PageOrder *order, size_t i)
{
    const PageOrderBlock *block = page_order_block(order, i);
    const RamImageBlock *found =
        snapshot ? ram_image_find_block(snapshot, block->name) : NULL;

    return found && found->page_bytes == block->page_bytes ? found : NULL;
}

static void count_extents(OrderStat *stat, const PageOrder *normal,
                          const RamImage *snapshot)
{
    g_autofree const RamImageBlock **blocks =
        g_new(const RamImageBlock *, normal->blocks->len + 1);

    for (guint i = 0; i < normal->blocks->len; i++) {
        blocks[i] = find_block(snapshot, normal, i);
    }
    for (guint i = 0; i < normal->extents->len; i++) {
        const PageExtent *extent = page_order_extent(normal, i);

        count_extent(stat, normal, extent, blocks[extent->span.block]);
    }
}

static void count_timeline(OrderStat *stat, const PageOrder *normal)
{
    uint64_t *timeline = (uint64_t *)stat->timeline->data;
    size_t n = stat->timeline->len;

    for (guint i = 0; i < normal->extents->len; i++) {
        const PageExtent *extent = page_order_extent(normal, i);
        double share = (double)extent->time_us / ((double)stat->last_us + 1);
        size_t k = MIN((size_t)(share * (double)n), n - 1);

        timeline[k] = add_saturated(timeline[k], extent->span.n_pages);
    }
}

static void add_up_blocks(OrderStat *stat, const RamImage *snapshot)
{
    for (guint i = 0; i < stat->blocks->len; i++) {
        const OrderBlockStat *block =
            &g_array_index(stat->blocks, OrderBlockStat, i);

        stat->n_pages = add_saturated(stat->n_pages, block->n_pages);
        stat->n_bytes = add_saturated(stat->n_bytes, block->n_bytes);
        stat->n_pages_common += block->n_pages_in_file;
    }
    if (snapshot != NULL) {
        stat->n_pages_not_in_file = stat->n_pages - stat->n_pages_common;
        for (size_t i = 0; i < snapshot->n_blocks; i++) {
            stat->n_pages_in_file += snapshot->blocks[i].n_pages_in_file;
        }
    }
}

static uint64_t n_pages_as_they_are(const PageOrder *order)
{
    uint64_t n_pages = 0;

    for (guint i = 0; i < order->extents->len; i++) {
        n_pages =
            add_saturated(n_pages, page_order_extent(order, i)->span.n_pages);
    }
    return n_pages;
}

OrderStat *order_stat(const PageOrder *order, const RamImage *snapshot,
                      const OrderStatOptions *options)
{
    g_autoptr(PageOrder) normal = order_normalise(order);
    g_autoptr(GArray) phases =
        order_phases(normal, options->phase_bytes, options->phase_quiet_us);
    OrderStat *stat = g_new0(OrderStat, 1);

    stat->n_extents = order->extents->len;
    stat->n_phases = phases->len;
    stat->blocks = g_array_new(FALSE, TRUE, sizeof(OrderBlockStat));
    g_array_set_size(stat->blocks, order->blocks->len);
    stat->timeline = g_array_new(FALSE, TRUE, sizeof(uint64_t));
    g_array_set_size(stat->timeline, options->n_timeline);

    count_stretches(stat, normal);
    count_extents(stat, normal, snapshot);
    count_timeline(stat, normal);
    add_up_blocks(stat, snapshot);
    stat->n_pages_repeated = n_pages_as_they_are(order) - stat->n_pages;
    return stat;
}

void order_stat_free(OrderStat *stat)
{
    if (stat == NULL) {
        return;
    }
    g_array_unref(stat->blocks);
    g_array_unref(stat->timeline);
    g_free(stat);
}
