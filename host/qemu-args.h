/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU's command line: what the user gave, and what preheat adds.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

/* The option, for a command's table of them; version: an int *, for
 * qemu_args_set_plugin_api(). */
/* clang-format off */
#define PLUGIN_API_OPTION(version)                          \
    {"plugin-api", 0, 0, G_OPTION_ARG_INT, version,         \
     "Version of QEMU's plugin API to claim", "N"}
/* clang-format on */

/* Refuse an argv that is NULL or empty.  UTIL_ERROR_USAGE. */
bool qemu_args_check_given(char *const *argv, GError **error);

/* Whether argv has the option, "-S", with one or with two dashes. */
bool qemu_args_have(char *const *argv, const char *option);

/* Refuse options that say what is to be loaded (-incoming, -loadvm): that is
 * preheat's part. */
bool qemu_args_check_loadable(char *const *argv, GError **error);

/* The plugin's file: $PREHEAT_PLUGIN, or else in the build tree or the
 * installation that this program belongs to.  For g_free(). */
char *qemu_args_find_plugin(GError **error);

/* argv and, after it, the plugin.  For g_strfreev(). */
char **qemu_args_for_run(char *const *argv, const char *plugin);

/* The same for a load: the plugin with its control socket, a monitor on the
 * socket qmp_fd, and no start before we say so. */
char **qemu_args_for_load(char *const *argv, const char *plugin, int control_fd,
                          int qmp_fd);

/* argv and what has QEMU take a machine's state in a qcow2 for a mapped-ram
 * image, with its own loadvm as well; to be given to one of the above.  For
 * g_strfreev(). */
char **qemu_args_with_mapped_ram(char *const *argv);

/* What is left of the arguments of a QEMU (without its program) that one of
 * these started.  For g_strfreev(). */
char **qemu_args_without_ours(char *const *argv);

/* Let the plugin say version of QEMU's plugin interface (0: let it choose),
 * in what is started from now on. */
void qemu_args_set_plugin_api(int version);
