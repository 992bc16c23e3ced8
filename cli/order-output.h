/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where a command that changes an order writes the changed one.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "formats/page-order.h"

typedef struct OrderOutput {
    char *path; /* of --output, or NULL; owned */
    gboolean in_place;
    gboolean backup;
} OrderOutput;

/* The options, for a command's table of them. */
/* clang-format off */
#define ORDER_OUTPUT_OPTIONS(to)                                    \
    {"output", 'o', 0, G_OPTION_ARG_FILENAME, &(to)->path,          \
     "Write the changed order to FILE", "FILE"},                    \
    {"in-place", 'i', 0, G_OPTION_ARG_NONE, &(to)->in_place,        \
     "Replace the order file itself", NULL},                        \
    {"backup", 'b', 0, G_OPTION_ARG_NONE, &(to)->backup,            \
     "Keep the previous contents as FILE~", NULL}
/* clang-format on */

void order_output_clear(OrderOutput *to);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(OrderOutput, order_output_clear)

/* Whether the options say where to write, in one way.  UTIL_ERROR_USAGE. */
bool order_output_check(const OrderOutput *to, GError **error);

/* Write order where the options say, in one step: whoever opens the file sees
 * the old or the new one.  input is the path that the order was read from. */
bool order_output_write(const OrderOutput *to, const PageOrder *order,
                        const char *input, GError **error);
