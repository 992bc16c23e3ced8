/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/own-file.h"

#include <unistd.h>

#include <glib.h>

char *own_file_find(const char *beside, const char *installed)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);

    if (self) {
        g_autofree char *directory = g_path_get_dirname(self);
        g_autofree char *path = g_build_filename(directory, beside, NULL);

        if (access(path, R_OK) == 0) {
            return g_canonicalize_filename(path, NULL);
        }
    }
    return access(installed, R_OK) == 0 ? g_strdup(installed) : NULL;
}
