/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/commands.h"

/* clang-format off */
static const Command *const commands[] = {
    &cmd_order_show,
    &cmd_order_stat,
    &cmd_order_diff,
    &cmd_order_check,
    &cmd_order_edit,
    &cmd_order_merge,
    &cmd_order_trim,
    &cmd_order_drop,
    &cmd_order_pin,
    &cmd_order_sort,
    &cmd_order_export,
    &cmd_order_import,
    &cmd_order_plot,
    &cmd_order_simulate,
    &cmd_order_pack,
    NULL,
};
/* clang-format on */

static int cmd_order_run(int argc, char **argv)
{
    return command_dispatch(commands, argc, argv);
}

const Command cmd_order = {
    .name = "order",
    .synopsis = "COMMAND",
    .summary = "Inspect and edit page-access orders",
    .run = cmd_order_run,
};
