/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/commands.h"
#include "cli/range-command.h"
#include "profiler/orders/ranges.h"

static int cmd_order_pin_run(int argc, char **argv)
{
    return range_command_run(&cmd_order_pin, order_pin, argc, argv);
}

const Command cmd_order_pin = {
    .name = "pin",
    .synopsis = "FILE",
    .summary = "Put pages at the front of an order",
    .run = cmd_order_pin_run,
};
