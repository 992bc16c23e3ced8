/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"

/* clang-format off */
static const Command *const commands[] = {
    &cmd_savevm,
    &cmd_loadvm,
    &cmd_run,
    &cmd_order,
    &cmd_prefetch,
    &cmd_profile,
    &cmd_snapshot,
    &cmd_template,
    &cmd_control,
    &cmd_doctor,
    NULL,
};
/* clang-format on */

/* Where a standard descriptor is closed, none of ours may take its place, or
 * what we print would go to QEMU's monitor.  Using it fails as it did: what is
 * to be written to can only be read, and the other way round. */
static void occupy_standard_fds(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
        }
    }
}

int main(int argc, char **argv)
{
    static char name[] = "preheat";

    occupy_standard_fds();
    command_set_locale();
    if (argc > 0) {
        argv[0] = name;
    }
    if (argc > 1 &&
        (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
        printf("preheat %s\n", PREHEAT_VERSION);
        return command_flush();
    }
    return command_dispatch(commands, argc, argv);
}
