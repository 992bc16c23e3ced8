/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"

static const Command *const commands[] = {
    &cmd_savevm,
    &cmd_loadvm,
    &cmd_run,
    &cmd_order,
    &cmd_profile,
    &cmd_snapshot,
    &cmd_control,
    NULL,
};

int main(int argc, char **argv)
{
    static char name[] = "preheat";

    setlocale(LC_ALL, "");
    if (argc > 0) {
        argv[0] = name;
    }
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("preheat %s\n", PREHEAT_VERSION);
        return command_flush();
    }
    return command_dispatch(commands, argc, argv);
}
