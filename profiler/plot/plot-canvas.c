/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/plot/plot-canvas.h"

#include <math.h>

#include <cairo-svg.h>

#include "formats/error.h"
#include "util/file.h"

#define RGB(hex)                                                               \
    {                                                                          \
        ((hex) >> 16 & 0xff) / 255.0, ((hex) >> 8 & 0xff) / 255.0,             \
            ((hex)&0xff) / 255.0                                               \
    }

const PlotColour plot_black = RGB(0x1a1a1a);
const PlotColour plot_grey = RGB(0x9a9a9a);
const PlotColour plot_blue = RGB(0x0072b2);
const PlotColour plot_sky = RGB(0x56b4e9);
const PlotColour plot_orange = RGB(0xe69f00);
const PlotColour plot_purple = RGB(0xcc79a7);
const PlotColour plot_vermilion = RGB(0xd55e00);
const PlotColour plot_green = RGB(0x009e73);
const PlotColour plot_pale = RGB(0xe9e9e9);
const PlotColour plot_line = RGB(0xdcdcdc);
const PlotColour plot_dim = RGB(0x595959);

static const PlotColour viridis[] = {
    RGB(0x440154), RGB(0x472d7b), RGB(0x3b528b), RGB(0x2c728e), RGB(0x21918c),
    RGB(0x28ae80), RGB(0x5ec962), RGB(0xaddc30), RGB(0xfde725),
};

PlotColour plot_viridis(double position)
{
    double at = CLAMP(position, 0, 1) * (G_N_ELEMENTS(viridis) - 1);
    size_t i = MIN((size_t)at, G_N_ELEMENTS(viridis) - 2);
    double part = at - (double)i;
    const PlotColour *a = &viridis[i];
    const PlotColour *b = &viridis[i + 1];

    return (PlotColour){
        a->red + (b->red - a->red) * part,
        a->green + (b->green - a->green) * part,
        a->blue + (b->blue - a->blue) * part,
    };
}

static double text_width(cairo_t *cr, const char *text)
{
    cairo_text_extents_t extents;

    cairo_text_extents(cr, text, &extents);
    return extents.x_advance;
}

/* The text with as much left out of its middle as it takes; for g_free(). */
static char *fit_text(cairo_t *cr, const char *text, double max_width)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    glong n_chars = g_utf8_strlen(valid, -1);

    if (max_width <= 0 || text_width(cr, valid) <= max_width) {
        return g_steal_pointer(&valid);
    }
    for (glong kept = n_chars - 1; kept > 0; kept--) {
        g_autofree char *head = g_utf8_substring(valid, 0, (kept + 1) / 2);
        g_autofree char *tail =
            g_utf8_substring(valid, n_chars - kept / 2, n_chars);
        char *cut = g_strconcat(head, "…", tail, NULL);

        if (text_width(cr, cut) <= max_width) {
            return cut;
        }
        g_free(cut);
    }
    return g_strdup("…");
}

static double draw_text(cairo_t *cr, double x, double y, PlotAlign align,
                        double size, double max_width, const char *text)
{
    g_autofree char *fitting = NULL;
    double width;

    cairo_set_font_size(cr, size);
    fitting = fit_text(cr, text, max_width);
    width = text_width(cr, fitting);
    if (align == PLOT_CENTRE) {
        x -= width / 2;
    } else if (align == PLOT_RIGHT) {
        x -= width;
    }
    cairo_move_to(cr, x, y);
    cairo_show_text(cr, fitting);
    return x + width;
}

double plot_text(cairo_t *cr, double x, double y, PlotAlign align, double size,
                 double max_width, const char *text)
{
    cairo_select_font_face(cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           CAIRO_FONT_WEIGHT_NORMAL);
    return draw_text(cr, x, y, align, size, max_width, text);
}

double plot_text_bold(cairo_t *cr, double x, double y, double size,
                      double max_width, const char *text)
{
    cairo_select_font_face(cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           CAIRO_FONT_WEIGHT_BOLD);
    return draw_text(cr, x, y, PLOT_LEFT, size, max_width, text);
}

void plot_set_colour(cairo_t *cr, PlotColour colour)
{
    cairo_set_source_rgb(cr, colour.red, colour.green, colour.blue);
}

void plot_fill_box(cairo_t *cr, const PlotBox *box, PlotColour colour)
{
    plot_set_colour(cr, colour);
    cairo_rectangle(cr, box->x, box->y, box->width, box->height);
    cairo_fill(cr);
}

void plot_fill_scale(cairo_t *cr, const PlotBox *box)
{
    cairo_pattern_t *scale =
        cairo_pattern_create_linear(box->x, 0, box->x + box->width, 0);

    for (size_t i = 0; i < G_N_ELEMENTS(viridis); i++) {
        cairo_pattern_add_color_stop_rgb(
            scale, (double)i / (G_N_ELEMENTS(viridis) - 1), viridis[i].red,
            viridis[i].green, viridis[i].blue);
    }
    cairo_set_source(cr, scale);
    cairo_pattern_destroy(scale);
    cairo_rectangle(cr, box->x, box->y, box->width, box->height);
    cairo_fill(cr);
}

void plot_line_at(cairo_t *cr, double x0, double y0, double x1, double y1,
                  PlotColour colour)
{
    plot_set_colour(cr, colour);
    cairo_set_line_width(cr, 1);
    cairo_move_to(cr, floor(x0) + 0.5, floor(y0) + 0.5);
    cairo_line_to(cr, floor(x1) + 0.5, floor(y1) + 0.5);
    cairo_stroke(cr);
}

double plot_legend_entry(cairo_t *cr, double x, double y, PlotColour colour,
                         const char *text)
{
    PlotBox box = {x, y - 10, 12, 12};

    plot_fill_box(cr, &box, colour);
    plot_set_colour(cr, plot_black);
    return plot_text(cr, x + 18, y, PLOT_LEFT, PLOT_SMALL_SIZE, 0, text) + 22;
}

static cairo_status_t collect(void *opaque, const unsigned char *data,
                              unsigned int length)
{
    g_byte_array_append(opaque, data, length);
    return CAIRO_STATUS_SUCCESS;
}

typedef struct PlotFormat {
    const char *ending;
    cairo_surface_t *(*open)(GByteArray *out, double width, double height);
    cairo_status_t (*finish)(cairo_surface_t *surface, GByteArray *out);
} PlotFormat;

static cairo_surface_t *open_svg(GByteArray *out, double width, double height)
{
    return cairo_svg_surface_create_for_stream(collect, out, width, height);
}

static cairo_status_t finish_svg(cairo_surface_t *surface, GByteArray *out)
{
    cairo_surface_finish(surface);
    return cairo_surface_status(surface);
}

static cairo_surface_t *open_png(GByteArray *out, double width, double height)
{
    return cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)width,
                                      (int)height);
}

static cairo_status_t finish_png(cairo_surface_t *surface, GByteArray *out)
{
    return cairo_surface_write_to_png_stream(surface, collect, out);
}

static const PlotFormat plot_formats[] = {
    {".svg", open_svg, finish_svg},
    {".png", open_png, finish_png},
};

static const PlotFormat *find_format(const char *path, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(plot_formats); i++) {
        if (g_str_has_suffix(path, plot_formats[i].ending)) {
            return &plot_formats[i];
        }
    }
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "%s: the name of the picture must end in .svg or .png", path);
    return NULL;
}

bool plot_canvas_write(const char *path, double width, double height,
                       void (*draw)(cairo_t *cr, double width, double height,
                                    void *opaque),
                       void *opaque, GError **error)
{
    const PlotFormat *format = find_format(path, error);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    cairo_surface_t *surface;
    cairo_status_t status;
    cairo_t *cr;

    if (!format) {
        return false;
    }
    surface = format->open(bytes, width, height);
    cr = cairo_create(surface);
    draw(cr, width, height, opaque);
    status = cairo_status(cr);
    cairo_destroy(cr);
    if (status == CAIRO_STATUS_SUCCESS) {
        status = format->finish(surface, bytes);
    }
    cairo_surface_destroy(surface);
    if (status != CAIRO_STATUS_SUCCESS) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_UNSUPPORTED,
                    "%s: cannot draw it: %s", path,
                    cairo_status_to_string(status));
        return false;
    }
    if (!file_replace(path, bytes->data, bytes->len, error)) {
        g_prefix_error(error, "%s: ", path);
        return false;
    }
    return true;
}
