/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/commands.h"

static const Command *const commands[] = {
    &cmd_snapshot_list,
    &cmd_snapshot_info,
    &cmd_snapshot_show,
    &cmd_snapshot_args,
    &cmd_snapshot_verify,
    &cmd_snapshot_remove,
    NULL,
};

static int cmd_snapshot_run(int argc, char **argv)
{
    return command_dispatch(commands, argc, argv);
}

const Command cmd_snapshot = {
    .name = "snapshot",
    .synopsis = "COMMAND",
    .summary = "List, inspect, verify and remove snapshots",
    .run = cmd_snapshot_run,
};
