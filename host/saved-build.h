/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU's command line for one load (host/saved-command.h), while it is being
 * built.
 */
#pragma once

#include <glib.h>

#include "formats/manifest.h"
#include "host/load-folder.h"

typedef struct SavedCommandOptions {
    /* "OLD=NEW": resources to be called NEW, whatever they are; ends with
     * NULL, or is NULL. */
    char *const *sets;
    const char *keep_disks; /* the folder, absolute, to be kept; or NULL */
    void (*say)(const char *text);
    /* Tell where this load has something of its own: kind is "disk", or that of
     * a resource as the manifest has it; saved, what the saved machine calls
     * it. */
    void (*placed)(const char *kind, const char *saved, const char *now,
                   void *opaque);
    void *opaque;
} SavedCommandOptions;

typedef struct SavedBuild {
    const Manifest *manifest;
    const SavedCommandOptions *options;
    LoadFolder *folder; /* NULL: nothing was placed */
    char **arguments;   /* without the program, by the manifest's indices */
} SavedBuild;

/* Tell the user. */
void saved_build_say(const SavedBuild *build, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

/* See SavedCommandOptions.placed. */
void saved_build_tell(const SavedBuild *build, const char *kind,
                      const char *saved, const char *now);

/* A path in this load's folder, which is made now if it is not there yet, for
 * g_free().  UTIL_ERROR_FAILED also for a daemon, which would outlive it. */
char *saved_build_place(SavedBuild *build, const char *name, GError **error);
