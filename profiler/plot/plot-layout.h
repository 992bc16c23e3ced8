/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where things go in a picture of an order: computed without drawing.
 * Lengths on the picture are in its pixels (SVG: user units).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct PlotBox {
    double x, y, width, height;
} PlotBox;

#define PLOT_MAX_TICKS 16

typedef struct PlotTick {
    double value;    /* as it is labelled */
    double position; /* 0 is the axis's beginning, 1 its end */
} PlotTick;

/* An axis from begin to end; if is_log, begin is above 0 and what lies below
 * it is shown there. */
typedef struct PlotAxis {
    double begin, end; /* begin < end, in the unit of the labels */
    bool is_log;
    double unit;           /* one of this unit, in bytes or microseconds */
    const char *unit_name; /* "MiB", "s" */
    size_t n_ticks;
    PlotTick ticks[PLOT_MAX_TICKS];
} PlotAxis;

/* The axis of a working set of up to max_bytes, with some room above. */
PlotAxis plot_axis_bytes(uint64_t max_bytes);

/* The axis of times up to max_us; logarithmic if half of all comes within the
 * first twentieth, at half_us. */
PlotAxis plot_axis_time(uint64_t max_us, uint64_t half_us);

/* Where value (in bytes or microseconds) is on the axis, from 0 to 1. */
double plot_axis_position(const PlotAxis *axis, uint64_t value);

/* What the map knows of a block before it is laid out. */
typedef struct PlotBlock {
    uint64_t len_bytes; /* not 0 */
    uint64_t page_bytes;
    uint64_t touched_bytes;
} PlotBlock;

#define PLOT_MAX_BANDS 6

/* One block's part of the map. */
typedef struct PlotBand {
    size_t block;
    PlotBox heading;  /* for its name */
    double y;         /* of its first row */
    uint64_t n_cells; /* the last may reach beyond the block's end */
    size_t n_rows;
    size_t label_rows; /* label every so many rows with their offset */
} PlotBand;

typedef struct PlotMap {
    uint64_t cell_bytes; /* a power of two */
    size_t n_columns;
    double x; /* of the first column */
    double cell_width, cell_height;
    size_t n_bands;
    PlotBand bands[PLOT_MAX_BANDS + 1]; /* in the blocks' sequence; the
                                           last is room to choose them in */
    size_t n_hidden_blocks;
    uint64_t hidden_touched_bytes;
} PlotMap;

/* Lay out the touched blocks in box; the most touched, then the largest, if
 * there are too many; all count where none is touched. */
PlotMap plot_map_layout(const PlotBlock *blocks, size_t n_blocks,
                        const PlotBox *box);

/* The range of cells [*ret_first, *ret_end) of a band that the bytes touch;
 * empty if they lie behind the band's end. */
void plot_map_cells(const PlotMap *map, const PlotBand *band,
                    uint64_t off_bytes, uint64_t len_bytes, uint64_t *ret_first,
                    uint64_t *ret_end);

/* A number with its thousands set apart: "33,919".  For g_free(). */
char *plot_format_count(uint64_t count);
