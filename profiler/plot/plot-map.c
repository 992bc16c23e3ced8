/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/plot/plot-panels.h"

#include "profiler/plot/plot-canvas.h"
#include "util/units.h"

#define LABEL_WIDTH    74.0
#define TITLE_HEIGHT   32.0
#define AXIS_HEIGHT    46.0
#define LEGEND_HEIGHT  30.0
#define SCALE_WIDTH    170.0
#define COUNT_WIDTH    190.0
#define N_SHADES       64
#define N_COLUMN_TICKS 4

/* The shades of the time scale, then those of who has a page. */
enum {
    SHADE_NONE = -1,
    SHADE_WHO = N_SHADES,
};

typedef struct MapPanel {
    cairo_t *cr;
    const PlotData *data;
    const PlotAxis *time;
    const PlotMap *map;
} MapPanel;

static PlotColour colour_of_who(unsigned has)
{
    return has == PLOT_HAS_A   ? plot_blue
           : has == PLOT_HAS_B ? plot_orange
                               : plot_grey;
}

static PlotColour colour_of_shade(int shade)
{
    if (shade >= SHADE_WHO) {
        return colour_of_who((unsigned)(shade - SHADE_WHO));
    }
    return plot_viridis((shade + 0.5) / N_SHADES);
}

/* Who has most of the cell's touched bytes. */
static unsigned who_has_most(const PlotCell *cell)
{
    unsigned most = PLOT_HAS_A;

    for (unsigned has = PLOT_HAS_B; has <= PLOT_HAS_BOTH; has++) {
        if (cell->bytes[has] > cell->bytes[most]) {
            most = has;
        }
    }
    return most;
}

static int shade_of(const MapPanel *panel, const PlotCell *cell)
{
    double position;

    if (panel->data->n_orders > 1) {
        unsigned has = who_has_most(cell);

        return cell->bytes[has] > 0 ? SHADE_WHO + (int)has : SHADE_NONE;
    }
    if (cell->first_us == PLOT_UNTOUCHED) {
        return SHADE_NONE;
    }
    position = plot_axis_position(panel->time, cell->first_us);
    return MIN((int)(position * N_SHADES), N_SHADES - 1);
}

/* The cells [first, end) of one row, as a box. */
static PlotBox cells_box(const PlotMap *map, const PlotBand *band,
                         uint64_t first, uint64_t end)
{
    uint64_t column = first % map->n_columns;
    uint64_t row = first / map->n_columns;

    return (PlotBox){
        .x = map->x + (double)column * map->cell_width,
        .y = band->y + (double)row * map->cell_height,
        .width = (double)(end - first) * map->cell_width,
        .height = map->cell_height,
    };
}

static void draw_row(const MapPanel *panel, const PlotBand *band,
                     const PlotCell *cells, uint64_t first, uint64_t end)
{
    PlotBox background = cells_box(panel->map, band, first, end);

    plot_fill_box(panel->cr, &background, plot_pale);
    while (first < end) {
        int shade = shade_of(panel, &cells[first]);
        uint64_t stop = first + 1;

        while (stop < end && shade_of(panel, &cells[stop]) == shade) {
            stop++;
        }
        if (shade != SHADE_NONE) {
            PlotBox run = cells_box(panel->map, band, first, stop);

            plot_fill_box(panel->cr, &run, colour_of_shade(shade));
        }
        first = stop;
    }
}

static void draw_cells(const MapPanel *panel, const PlotBand *band)
{
    g_autofree PlotCell *cells = plot_data_cells(panel->data, panel->map, band);
    uint64_t n_columns = panel->map->n_columns;

    /* Without smoothed edges neighbouring cells leave no seam. */
    cairo_set_antialias(panel->cr, CAIRO_ANTIALIAS_NONE);
    for (uint64_t first = 0; first < band->n_cells; first += n_columns) {
        draw_row(panel, band, cells, first,
                 MIN(first + n_columns, band->n_cells));
    }
    cairo_set_antialias(panel->cr, CAIRO_ANTIALIAS_DEFAULT);
}

static void draw_heading(const MapPanel *panel, const PlotBand *band)
{
    const PlotBlock *block =
        &g_array_index(panel->data->blocks, PlotBlock, band->block);
    const char *name = page_order_block(panel->data->joined, band->block)->name;
    g_autofree char *touched = units_format_size(block->touched_bytes);
    g_autofree char *len = units_format_size(block->len_bytes);
    g_autofree char *text = g_strdup_printf("%s of %s touched", touched, len);
    const PlotBox *box = &band->heading;
    double y = box->y + box->height - 6;

    plot_set_colour(panel->cr, plot_black);
    plot_text_bold(panel->cr, box->x, y, PLOT_TEXT_SIZE,
                   box->width - COUNT_WIDTH, name);
    plot_set_colour(panel->cr, plot_dim);
    plot_text(panel->cr, box->x + box->width, y, PLOT_RIGHT, PLOT_SMALL_SIZE,
              COUNT_WIDTH - 20, text);
}

static void draw_offsets(const MapPanel *panel, const PlotBand *band)
{
    const PlotMap *map = panel->map;
    uint64_t row_bytes = map->cell_bytes * map->n_columns;

    plot_set_colour(panel->cr, plot_dim);
    for (size_t row = 0; row < band->n_rows; row += band->label_rows) {
        g_autofree char *label = units_format_exact(row * row_bytes);
        double y = band->y + (double)row * map->cell_height;

        plot_text(panel->cr, map->x - 8, y + MIN(map->cell_height, 10) + 1,
                  PLOT_RIGHT, PLOT_SMALL_SIZE, LABEL_WIDTH, label);
    }
}

/* Where in a row a cell is; below the last band. */
static double draw_column_axis(const MapPanel *panel, double y)
{
    const PlotMap *map = panel->map;
    uint64_t row_bytes = map->cell_bytes * map->n_columns;
    double width = map->cell_width * (double)map->n_columns;

    plot_line_at(panel->cr, map->x, y, map->x + width, y, plot_dim);
    for (unsigned i = 0; i <= N_COLUMN_TICKS; i++) {
        g_autofree char *label =
            units_format_exact(row_bytes / N_COLUMN_TICKS * i);
        double x = map->x + width * i / N_COLUMN_TICKS;

        plot_line_at(panel->cr, x, y, x, y + 4, plot_dim);
        plot_set_colour(panel->cr, plot_dim);
        plot_text(panel->cr, x, y + 17,
                  i == N_COLUMN_TICKS ? PLOT_RIGHT
                  : i == 0            ? PLOT_LEFT
                                      : PLOT_CENTRE,
                  PLOT_SMALL_SIZE, 0, label);
    }
    plot_set_colour(panel->cr, plot_black);
    plot_text(panel->cr, map->x + width / 2, y + 34, PLOT_CENTRE,
              PLOT_SMALL_SIZE, 0, "offset within the row");
    return y + AXIS_HEIGHT;
}

static void draw_hidden(const MapPanel *panel, double y)
{
    const PlotMap *map = panel->map;
    g_autofree char *touched = units_format_size(map->hidden_touched_bytes);
    g_autofree char *text = g_strdup_printf(
        "not shown: %zu more block%s, %s touched in all", map->n_hidden_blocks,
        map->n_hidden_blocks == 1 ? "" : "s",
        map->hidden_touched_bytes > 0 ? touched : "nothing");

    if (map->n_hidden_blocks > 0) {
        plot_set_colour(panel->cr, plot_dim);
        plot_text(panel->cr, map->x, y, PLOT_LEFT, PLOT_SMALL_SIZE, 0, text);
    }
}

static void draw_time_scale(const MapPanel *panel, double x, double y)
{
    const PlotAxis *time = panel->time;
    g_autofree char *begin = g_strdup_printf("first touch:  %g", time->begin);
    g_autofree char *end =
        g_strdup_printf("%.3g %s%s", time->end, time->unit_name,
                        time->is_log ? " (logarithmic)" : "");
    PlotBox scale = {.y = y - 10, .width = SCALE_WIDTH, .height = 12};

    plot_set_colour(panel->cr, plot_black);
    scale.x =
        8 + plot_text(panel->cr, x, y, PLOT_LEFT, PLOT_SMALL_SIZE, 0, begin);
    plot_fill_scale(panel->cr, &scale);
    plot_set_colour(panel->cr, plot_black);
    x = plot_text(panel->cr, scale.x + scale.width + 8, y, PLOT_LEFT,
                  PLOT_SMALL_SIZE, 0, end);
    plot_legend_entry(panel->cr, x + 22, y, plot_pale, "not touched");
}

static void draw_who_scale(const MapPanel *panel, double x, double y)
{
    static const struct {
        unsigned has;
        const char *text;
    } entries[] = {
        {PLOT_HAS_A, "mostly only in A"},
        {PLOT_HAS_B, "mostly only in B"},
        {PLOT_HAS_BOTH, "mostly in both"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(entries); i++) {
        x = plot_legend_entry(panel->cr, x, y, colour_of_who(entries[i].has),
                              entries[i].text);
    }
    plot_legend_entry(panel->cr, x, y, plot_pale, "not touched");
}

static void draw_title(const MapPanel *panel, const PlotBox *box)
{
    const PlotMap *map = panel->map;
    g_autofree char *cell = units_format_size(map->cell_bytes);
    g_autofree char *row = units_format_size(map->cell_bytes * map->n_columns);
    g_autofree char *text = g_strdup_printf(
        "a cell is %s, a row %s, labelled by offset", cell, row);

    double x;

    plot_set_colour(panel->cr, plot_black);
    x = 12 + plot_text_bold(panel->cr, map->x, box->y + 14, PLOT_HEADING_SIZE,
                            0, "Guest memory");
    plot_set_colour(panel->cr, plot_dim);
    plot_text(panel->cr, x, box->y + 14, PLOT_LEFT, PLOT_SMALL_SIZE,
              box->x + box->width - x, text);
}

void plot_draw_map(cairo_t *cr, const PlotData *data, const PlotAxis *time,
                   const PlotBox *box)
{
    PlotBox area = {
        .x = box->x + LABEL_WIDTH,
        .y = box->y + TITLE_HEIGHT - 8,
        .width = box->width - LABEL_WIDTH,
        .height = box->height - TITLE_HEIGHT - AXIS_HEIGHT - LEGEND_HEIGHT,
    };
    PlotMap map = plot_map_layout((const PlotBlock *)(void *)data->blocks->data,
                                  data->blocks->len, &area);
    MapPanel panel = {cr, data, time, &map};
    double legend_y = box->y + box->height - 4;
    double y = area.y;

    if (map.n_bands == 0) {
        plot_set_colour(cr, plot_dim);
        plot_text(cr, area.x, area.y + 40, PLOT_LEFT, PLOT_TEXT_SIZE, 0,
                  "This order has no RAM block.");
        return;
    }
    draw_title(&panel, box);
    for (size_t i = 0; i < map.n_bands; i++) {
        const PlotBand *band = &map.bands[i];

        draw_heading(&panel, band);
        draw_cells(&panel, band);
        draw_offsets(&panel, band);
        y = band->y + (double)band->n_rows * map.cell_height;
    }
    y = draw_column_axis(&panel, y + 4);
    draw_hidden(&panel, MIN(y + 12, legend_y - 22));
    if (data->n_orders > 1) {
        draw_who_scale(&panel, map.x, legend_y);
    } else {
        draw_time_scale(&panel, map.x, legend_y);
    }
}
