/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Drawing is a program of its own (plot-main.c): cairo brings so many shared
 * libraries that every load would start later for it.
 */
#include <errno.h>
#include <unistd.h>

#include "cli/commands.h"
#include "util/error.h"
#include "util/own-file.h"

#define PLOT_FILE "preheat-plot"

static int cmd_order_plot_run(int argc, char **argv)
{
    const char *installed = PREHEAT_LIBEXEC_DIR "/" PLOT_FILE;
    g_autofree char *program = own_file_find(PLOT_FILE, installed);
    GError *error = NULL;

    if (!program) {
        g_set_error(&error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "the program that draws is not at %s; install the package "
                    "%s, or copy the program from preheat's build next to "
                    "this one",
                    installed, PLOT_FILE);
        return command_fail(error);
    }
    execv(program, argv);
    util_error_set_errno(&error, errno, "%s: cannot start it", program);
    return command_fail(error);
}

const Command cmd_order_plot = {
    .name = "plot",
    .synopsis = "FILE [FILE] -o PICTURE",
    .summary = "Draw an order, or the difference between two, as SVG or PNG",
    .run = cmd_order_plot_run,
};
