/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/plot/plot-data.h"

#include "profiler/orders/match.h"
#include "profiler/orders/overlay.h"
#include "profiler/orders/segments.h"

static uint64_t page_bytes_of(const PlotData *data, uint32_t block)
{
    return page_order_block(data->joined, block)->page_bytes;
}

static uint64_t time_of(const PlotData *data, size_t i,
                        const PageSegment *segment)
{
    return page_order_extent(data->orders[i], segment->extent)->time_us;
}

static gint compare_points(gconstpointer a, gconstpointer b)
{
    const PlotPoint *left = a;
    const PlotPoint *right = b;

    return (left->time_us > right->time_us) - (left->time_us < right->time_us);
}

/* The sum of bytes over time; one point for each time. */
static GArray *make_curve(const PlotData *data, size_t i)
{
    GArray *curve = g_array_new(FALSE, FALSE, sizeof(PlotPoint));
    uint64_t bytes = 0;
    guint kept = 0;

    for (guint j = 0; j < data->segments[i]->len; j++) {
        const PageSegment *segment = segment_at(data->segments[i], j);
        PlotPoint point = {
            .time_us = time_of(data, i, segment),
            .bytes = segment->span.n_pages *
                     page_bytes_of(data, segment->span.block),
        };

        g_array_append_val(curve, point);
    }
    g_array_sort(curve, compare_points);
    for (guint j = 0; j < curve->len; j++) {
        PlotPoint point = g_array_index(curve, PlotPoint, j);

        bytes += point.bytes;
        point.bytes = bytes;
        if (kept > 0 && g_array_index(curve, PlotPoint, kept - 1).time_us ==
                            point.time_us) {
            kept--;
        }
        g_array_index(curve, PlotPoint, kept++) = point;
    }
    g_array_set_size(curve, kept);
    return curve;
}

static unsigned who_has(const OverlayPiece *piece, size_t n_orders)
{
    unsigned has = piece->owners[0] ? PLOT_HAS_A : 0;

    if (n_orders > 1 && piece->owners[1]) {
        has |= PLOT_HAS_B;
    }
    return has;
}

static void sum_up(PlotData *data)
{
    g_autoptr(Overlay) overlay = overlay_new(data->segments, data->n_orders);
    OverlayPiece piece;

    while (overlay_next(overlay, &piece)) {
        unsigned has = who_has(&piece, data->n_orders);
        PlotBlock *block =
            &g_array_index(data->blocks, PlotBlock, piece.span.block);
        uint64_t bytes = piece.span.n_pages * block->page_bytes;

        block->touched_bytes += bytes;
        data->shared_bytes[has] += bytes;
        data->shared_pages[has] += piece.span.n_pages;
    }
}

static void add_blocks(PlotData *data)
{
    for (guint i = 0; i < data->joined->blocks->len; i++) {
        const PageOrderBlock *from = page_order_block(data->joined, i);
        PlotBlock block = {
            .len_bytes = from->len_bytes,
            .page_bytes = from->page_bytes,
        };

        g_array_append_val(data->blocks, block);
    }
}

PlotData *plot_data_new(const PageOrder *const *orders, size_t n_orders,
                        GError **error)
{
    g_autoptr(PlotData) data = g_new0(PlotData, 1);

    g_assert(n_orders >= 1 && n_orders <= PLOT_MAX_ORDERS);
    data->joined = page_order_new();
    data->blocks = g_array_new(FALSE, FALSE, sizeof(PlotBlock));
    for (size_t i = 0; i < n_orders; i++) {
        g_autofree uint32_t *block_map =
            order_join_blocks(data->joined, orders[i], error);

        if (!block_map) {
            return NULL;
        }
        data->orders[i] = orders[i];
        data->segments[i] = order_segments(orders[i], block_map);
        data->curves[i] = make_curve(data, i);
        data->n_orders++;
    }
    add_blocks(data);
    sum_up(data);
    return g_steal_pointer(&data);
}

void plot_data_free(PlotData *data)
{
    if (!data) {
        return;
    }
    for (size_t i = 0; i < data->n_orders; i++) {
        g_array_unref(data->segments[i]);
        g_array_unref(data->curves[i]);
    }
    page_order_free(data->joined);
    g_array_unref(data->blocks);
    g_free(data);
}

uint64_t plot_data_bytes(const PlotData *data, size_t i)
{
    return data->shared_bytes[PLOT_HAS_BOTH] +
           data->shared_bytes[i == 0 ? PLOT_HAS_A : PLOT_HAS_B];
}

uint64_t plot_data_pages(const PlotData *data, size_t i)
{
    return data->shared_pages[PLOT_HAS_BOTH] +
           data->shared_pages[i == 0 ? PLOT_HAS_A : PLOT_HAS_B];
}

uint64_t plot_data_half_us(const PlotData *data, size_t i)
{
    uint64_t half = plot_data_bytes(data, i) / 2;

    for (guint j = 0; j < data->curves[i]->len; j++) {
        const PlotPoint *point = &g_array_index(data->curves[i], PlotPoint, j);

        if (point->bytes >= half) {
            return point->time_us;
        }
    }
    return 0;
}

uint64_t plot_data_max_us(const PlotData *data)
{
    uint64_t max_us = 0;

    for (size_t i = 0; i < data->n_orders; i++) {
        const GArray *curve = data->curves[i];

        if (curve->len > 0) {
            max_us =
                MAX(max_us,
                    g_array_index(curve, PlotPoint, curve->len - 1).time_us);
        }
    }
    return max_us;
}

static void add_piece(const PlotData *data, const PlotMap *map,
                      const PlotBand *band, const OverlayPiece *piece,
                      PlotCell *cells)
{
    uint64_t page_bytes = page_bytes_of(data, piece->span.block);
    unsigned has = who_has(piece, data->n_orders);
    uint64_t first, end;

    plot_map_cells(map, band, piece->span.first_page * page_bytes,
                   piece->span.n_pages * page_bytes, &first, &end);
    for (uint64_t i = first; i < end; i++) {
        uint64_t from =
            MAX(i * map->cell_bytes, piece->span.first_page * page_bytes);
        uint64_t to = MIN((i + 1) * map->cell_bytes,
                          page_span_end(&piece->span) * page_bytes);

        cells[i].bytes[has] += to - from;
        if (piece->owners[0]) {
            cells[i].first_us =
                MIN(cells[i].first_us, time_of(data, 0, piece->owners[0]));
        }
    }
}

PlotCell *plot_data_cells(const PlotData *data, const PlotMap *map,
                          const PlotBand *band)
{
    g_autoptr(Overlay) overlay = overlay_new(data->segments, data->n_orders);
    PlotCell *cells = g_new0(PlotCell, band->n_cells);
    OverlayPiece piece;

    for (uint64_t i = 0; i < band->n_cells; i++) {
        cells[i].first_us = PLOT_UNTOUCHED;
    }
    while (overlay_next(overlay, &piece)) {
        if (piece.span.block == band->block) {
            add_piece(data, map, band, &piece, cells);
        }
    }
    return cells;
}
