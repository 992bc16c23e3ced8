/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The program that "preheat order plot" becomes: same arguments, same words.
 */
#include "cli/commands.h"
#include "cli/order-set.h"
#include "profiler/plot/plot.h"
#include "util/error.h"

typedef struct PlotOptions {
    char *output;
    char *stats_path;
    char *size;
    gboolean force;
} PlotOptions;

static void options_clear(PlotOptions *options)
{
    g_free(options->output);
    g_free(options->stats_path);
    g_free(options->size);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PlotOptions, options_clear)

static bool parse_size(const char *text, PlotRequest *request, GError **error)
{
    unsigned width = PLOT_DEFAULT_WIDTH;
    unsigned height = PLOT_DEFAULT_HEIGHT;
    char rest;

    if (text && (sscanf(text, "%5ux%5u%c", &width, &height, &rest) != 2 ||
                 width < PLOT_MIN_WIDTH || height < PLOT_MIN_HEIGHT ||
                 width > PLOT_MAX_SIZE || height > PLOT_MAX_SIZE)) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "--size: \"%s\" is not a size from %dx%d to %dx%d", text,
                    PLOT_MIN_WIDTH, PLOT_MIN_HEIGHT, PLOT_MAX_SIZE,
                    PLOT_MAX_SIZE);
        return false;
    }
    request->width = width;
    request->height = height;
    return true;
}

static bool plot_with_stats(PlotRequest *request, const PlotOptions *options,
                            GError **error)
{
    g_autoptr(PlotStats) stats = NULL;

    if (options->stats_path) {
        stats = plot_stats_load(options->stats_path, error);
        if (!stats) {
            return false;
        }
    }
    request->stats = stats;
    return order_plot(request, options->output, error);
}

/* Plot the order at paths[0], or compare it with that at paths[1]. */
static bool plot(char *const *paths, size_t n_orders,
                 const PlotOptions *options, GError **error)
{
    g_autoptr(GPtrArray) orders =
        order_set_load(paths, n_orders, options->force, error);
    g_autofree char *name_a = g_path_get_basename(paths[0]);
    g_autofree char *name_b =
        n_orders > 1 ? g_path_get_basename(paths[1]) : NULL;
    PlotRequest request = {
        .names = {name_a, name_b},
        .n_orders = n_orders,
    };

    if (!orders || !parse_size(options->size, &request, error)) {
        return false;
    }
    for (size_t i = 0; i < n_orders; i++) {
        request.orders[i] = orders->pdata[i];
    }
    return plot_with_stats(&request, options, error);
}

int main(int argc, char **argv)
{
    static char name[] = "preheat order plot";
    g_auto(PlotOptions) options = {0};
    const GOptionEntry entries[] = {
        {"output", 'o', 0, G_OPTION_ARG_FILENAME, &options.output,
         "Write the picture here; the name ends in .svg or .png", "FILE"},
        {"stats", 0, 0, G_OPTION_ARG_FILENAME, &options.stats_path,
         "Also show how this load got the pages, from its --stats", "FILE"},
        {"size", 0, 0, G_OPTION_ARG_STRING, &options.size,
         "Size of the picture in pixels (default: 1200x800)", "WIDTHxHEIGHT"},
        {"force", 'f', 0, G_OPTION_ARG_NONE, &options.force,
         "Compare orders of different snapshots", NULL},
        {NULL},
    };
    GError *error = NULL;
    int status;

    command_set_locale();
    if (argc > 0) {
        argv[0] = name;
    }
    if (!command_parse(&cmd_order_plot, entries, 1, 2, &argc, &argv, &status)) {
        return status;
    }
    if (!options.output) {
        return command_usage_error("-o is required: where to write the "
                                   "picture, as in -o map.svg or -o map.png");
    }
    if (!plot(argv + 1, (size_t)argc - 1, &options, &error)) {
        return command_fail(error);
    }
    return STATUS_OK;
}
