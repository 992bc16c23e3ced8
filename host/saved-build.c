/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/saved-build.h"

#include <stdarg.h>
#include <string.h>

#include "host/qemu-command.h"
#include "util/error.h"

void saved_build_say(const SavedBuild *build, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    build->options->say(text);
}

void saved_build_tell(const SavedBuild *build, const char *kind,
                      const char *saved, const char *now)
{
    build->options->placed(kind, saved, now, build->options->opaque);
}

static bool is_daemon(const SavedBuild *build)
{
    g_autoptr(GArray) options =
        qemu_command_options(build->manifest->qemu_arguments);
    bool found = false;

    for (guint i = 0; i < options->len; i++) {
        const QemuOption *option = &g_array_index(options, QemuOption, i);

        found = found || strcmp(option->name, "daemonize") == 0;
    }
    return found;
}

/* The folder would go before a daemon does. */
static bool make_folder(SavedBuild *build, GError **error)
{
    const char *kept = build->options->keep_disks;

    if (!kept && is_daemon(build)) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "QEMU becomes a daemon (-daemonize), so nobody removes its "
                    "overlays and sockets when it ends: choose a directory for "
                    "them with --keep-disks DIR");
        return false;
    }
    build->folder = load_folder_new(kept, error);
    return build->folder != NULL;
}

char *saved_build_place(SavedBuild *build, const char *name, GError **error)
{
    return build->folder || make_folder(build, error)
               ? load_folder_place(build->folder, name)
               : NULL;
}
