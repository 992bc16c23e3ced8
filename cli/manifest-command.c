/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/manifest-command.h"

static char *path_of(const char *argument)
{
    return g_str_has_suffix(argument, MANIFEST_SUFFIX)
               ? g_strdup(argument)
               : manifest_path(argument);
}

int manifest_command_run(const Command *command, int argc, char **argv,
                         int (*print)(const Manifest *manifest, bool json))
{
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        COMMAND_JSON_OPTION(&json),
        {NULL},
    };
    GError *error = NULL;
    int status;

    if (!command_parse(command, entries, 1, 1, &argc, &argv, &status)) {
        return status;
    }
    g_autofree char *path = path_of(argv[1]);
    g_autoptr(Manifest) manifest = manifest_load(path, &error);
    return manifest ? print(manifest, json) : command_fail(error);
}
