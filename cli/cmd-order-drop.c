/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/commands.h"
#include "cli/range-command.h"
#include "profiler/orders/ranges.h"

static int cmd_order_drop_run(int argc, char **argv)
{
    return range_command_run(&cmd_order_drop, order_drop, argc, argv);
}

const Command cmd_order_drop = {
    .name = "drop",
    .synopsis = "FILE",
    .summary = "Remove pages from an order",
    .run = cmd_order_drop_run,
};
