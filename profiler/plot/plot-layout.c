/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/plot/plot-layout.h"

#include <math.h>
#include <string.h>

#include <glib.h>

#define HEADING_HEIGHT  20.0
#define BAND_GAP        10.0
#define MIN_CELL_HEIGHT 3.0
#define MAX_CELL_HEIGHT 16.0
#define MIN_COLUMNS     16
#define MAX_COLUMNS     128
#define MAX_CELL_BYTES  (UINT64_C(1) << 56) /* a row's bytes fit 64 bits */
#define LABEL_HEIGHT    26.0
#define WANTED_TICKS    9
#define LOG_DECADES     4
#define LOG_MAX_HALF    8

typedef struct PlotUnit {
    double size;
    const char *name;
} PlotUnit;

static const PlotUnit byte_units[] = {
    {0x1p40, "TiB"}, {0x1p30, "GiB"}, {0x1p20, "MiB"},
    {0x1p10, "KiB"}, {1, "bytes"},
};
static const PlotUnit time_units[] = {
    {1e6, "s"},
    {1e3, "ms"},
    {1, "us"},
};

/* The largest unit of which value has at least one, else the last. */
static const PlotUnit *find_unit(const PlotUnit *units, size_t n,
                                 uint64_t value)
{
    size_t i = 0;

    while (i + 1 < n && (double)value < units[i].size) {
        i++;
    }
    return &units[i];
}

/* The first of … 1, 2, 5, 10, 20 … that is not below value. */
static double nice_step(double value)
{
    double decade = pow(10, floor(log10(value)));
    double factor = value / decade;

    if (factor <= 1) {
        return decade;
    }
    return decade * (factor <= 2 ? 2 : factor <= 5 ? 5 : 10);
}

static double position_of(const PlotAxis *axis, double value)
{
    double position;

    if (axis->is_log) {
        position = log(MAX(value, axis->begin) / axis->begin) /
                   log(axis->end / axis->begin);
    } else {
        position = (value - axis->begin) / (axis->end - axis->begin);
    }
    return CLAMP(position, 0, 1);
}

static void add_tick(PlotAxis *axis, double value)
{
    g_assert(axis->n_ticks < PLOT_MAX_TICKS);
    axis->ticks[axis->n_ticks++] = (PlotTick){value, position_of(axis, value)};
}

static void add_linear_ticks(PlotAxis *axis)
{
    double step = nice_step(axis->end / WANTED_TICKS);

    for (int i = 0; i * step <= axis->end * (1 + 1e-9); i++) {
        add_tick(axis, i * step);
    }
}

static void add_log_ticks(PlotAxis *axis)
{
    for (double value = axis->begin; value <= axis->end * (1 + 1e-9);
         value *= 10) {
        add_tick(axis, value);
    }
}

PlotAxis plot_axis_bytes(uint64_t max_bytes)
{
    uint64_t shown = max_bytes > 0 ? max_bytes : 1 << 20;
    const PlotUnit *unit =
        find_unit(byte_units, G_N_ELEMENTS(byte_units), shown);
    PlotAxis axis = {
        .end = (double)shown / unit->size * 1.06,
        .unit = unit->size,
        .unit_name = unit->name,
    };

    add_linear_ticks(&axis);
    return axis;
}

PlotAxis plot_axis_time(uint64_t max_us, uint64_t half_us)
{
    uint64_t shown = max_us > 0 ? max_us : 1000;
    const PlotUnit *unit =
        find_unit(time_units, G_N_ELEMENTS(time_units), shown);
    PlotAxis axis = {
        .end = (double)shown / unit->size,
        .unit = unit->size,
        .unit_name = unit->name,
        .is_log = max_us > 0 && half_us < max_us / LOG_MAX_HALF,
    };

    if (axis.is_log) {
        axis.begin = pow(10, ceil(log10(axis.end)) - LOG_DECADES);
        add_log_ticks(&axis);
    } else {
        add_linear_ticks(&axis);
    }
    return axis;
}

double plot_axis_position(const PlotAxis *axis, uint64_t value)
{
    return position_of(axis, (double)value / axis->unit);
}

static uint64_t cells_of(const PlotBlock *block, uint64_t cell_bytes)
{
    return (block->len_bytes - 1) / cell_bytes + 1;
}

/* Whether a is to be shown rather than b, where not both can be. */
static bool matters_more(const PlotBlock *a, const PlotBlock *b)
{
    if (a->touched_bytes != b->touched_bytes) {
        return a->touched_bytes > b->touched_bytes;
    }
    return a->len_bytes > b->len_bytes;
}

/* The least of the bands chosen so far. */
static size_t find_least(const PlotMap *map, const PlotBlock *blocks)
{
    size_t least = 0;

    for (size_t i = 1; i < map->n_bands; i++) {
        if (!matters_more(&blocks[map->bands[i].block],
                          &blocks[map->bands[least].block])) {
            least = i;
        }
    }
    return least;
}

static void hide_band(PlotMap *map, size_t i, const PlotBlock *blocks)
{
    map->n_hidden_blocks++;
    map->hidden_touched_bytes += blocks[map->bands[i].block].touched_bytes;
    map->n_bands--;
    memmove(&map->bands[i], &map->bands[i + 1],
            (map->n_bands - i) * sizeof(*map->bands));
}

/* Untouched blocks are shown only where nothing is touched at all. */
static void choose_bands(PlotMap *map, const PlotBlock *blocks, size_t n_blocks)
{
    bool any_touched = false;

    for (size_t i = 0; i < n_blocks; i++) {
        any_touched = any_touched || blocks[i].touched_bytes > 0;
    }
    for (size_t i = 0; i < n_blocks; i++) {
        map->bands[map->n_bands++] = (PlotBand){.block = i};
        if (any_touched && blocks[i].touched_bytes == 0) {
            hide_band(map, map->n_bands - 1, blocks);
        } else if (map->n_bands > PLOT_MAX_BANDS) {
            hide_band(map, find_least(map, blocks), blocks);
        }
    }
}

static size_t count_rows(const PlotMap *map, const PlotBlock *blocks,
                         uint64_t row_bytes)
{
    size_t n_rows = 0;

    for (size_t i = 0; i < map->n_bands; i++) {
        n_rows += cells_of(&blocks[map->bands[i].block], row_bytes);
    }
    return n_rows;
}

/* Few large cells for a small guest, and for a large one as many as can be
 * told apart, of as many pages each as it takes. */
static void choose_cells(PlotMap *map, const PlotBlock *blocks, double width,
                         double height)
{
    size_t n_rows;

    map->cell_bytes = MAX_CELL_BYTES;
    for (size_t i = 0; i < map->n_bands; i++) {
        map->cell_bytes =
            MIN(map->cell_bytes, blocks[map->bands[i].block].page_bytes);
    }
    map->n_columns = MIN_COLUMNS;
    for (;;) {
        double min_height =
            map->n_columns < MAX_COLUMNS ? MAX_CELL_HEIGHT : MIN_CELL_HEIGHT;

        n_rows = count_rows(map, blocks, map->cell_bytes * map->n_columns);
        if ((double)n_rows * min_height <= height) {
            break;
        }
        if (map->n_columns < MAX_COLUMNS) {
            map->n_columns *= 2;
        } else {
            map->cell_bytes *= 2;
        }
    }
    map->cell_width = width / (double)map->n_columns;
    map->cell_height = MIN(MAX_CELL_HEIGHT, height / (double)MAX(n_rows, 1));
}

/* Every 2^n-th row gets a label, so that they do not touch. */
static size_t label_every(double cell_height)
{
    size_t rows = 1;

    while ((double)rows * cell_height < LABEL_HEIGHT) {
        rows *= 2;
    }
    return rows;
}

static void place_band(const PlotMap *map, PlotBand *band,
                       const PlotBlock *block, double width, double y)
{
    band->heading = (PlotBox){map->x, y, width, HEADING_HEIGHT};
    band->y = y + HEADING_HEIGHT;
    band->n_cells = cells_of(block, map->cell_bytes);
    band->n_rows = (band->n_cells - 1) / map->n_columns + 1;
    band->label_rows = label_every(map->cell_height);
}

PlotMap plot_map_layout(const PlotBlock *blocks, size_t n_blocks,
                        const PlotBox *box)
{
    PlotMap map = {.x = box->x};
    double y = box->y;
    double headings;

    choose_bands(&map, blocks, n_blocks);
    headings = (double)map.n_bands * (HEADING_HEIGHT + BAND_GAP);
    choose_cells(&map, blocks, box->width,
                 MAX(box->height - headings, MIN_CELL_HEIGHT * PLOT_MAX_BANDS));
    for (size_t i = 0; i < map.n_bands; i++) {
        PlotBand *band = &map.bands[i];

        place_band(&map, band, &blocks[band->block], box->width, y);
        y = band->y + (double)band->n_rows * map.cell_height + BAND_GAP;
    }
    return map;
}

void plot_map_cells(const PlotMap *map, const PlotBand *band,
                    uint64_t off_bytes, uint64_t len_bytes, uint64_t *ret_first,
                    uint64_t *ret_end)
{
    uint64_t first = off_bytes / map->cell_bytes;
    uint64_t end = (off_bytes + len_bytes - 1) / map->cell_bytes + 1;

    *ret_first = MIN(first, band->n_cells);
    *ret_end = MIN(end, band->n_cells);
}

char *plot_format_count(uint64_t count)
{
    g_autoptr(GString) text = g_string_new(NULL);

    g_string_printf(text, "%" G_GUINT64_FORMAT, count);
    for (gssize i = (gssize)text->len - 3; i > 0; i -= 3) {
        g_string_insert_c(text, i, ',');
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}
