/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A file that another process writes, and that gets its name only when it is
 * complete and on disk.
 *
 * The directory is opened once, and we create the file in it: others who may
 * write to the directory can spoil the file, but cannot make us, or the process
 * that we pass the file to, write to another one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

typedef struct OutputFile OutputFile;

/* Make an empty file PATH.preheat-tmp, for nobody but us.  One that an earlier
 * process has left there is removed; one that a process still holds is an
 * error, and so is anything at path but a regular file or a symbolic link. */
OutputFile *output_file_new(const char *path, GError **error);

/* Removes the temporary file unless it has been published.  NULL is fine. */
void output_file_free(OutputFile *file);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(OutputFile, output_file_free)

/* The temporary file's path, for messages; owned by file. */
const char *output_file_temporary(const OutputFile *file);

/* Open the same file once more, whatever its name leads to by now; access:
 * O_RDONLY, O_WRONLY or O_RDWR.  Unlike a duplicate it can be given to another
 * process: it does not hold the lock that shows that we are alive.  Returns a
 * descriptor, O_CLOEXEC, or -1 with an error. */
int output_file_open(const OutputFile *file, int access, GError **error);

/* Sync, rename over the path, sync the directory.  ret_stored_bytes: what it
 * takes on disk. */
bool output_file_publish(OutputFile *file, uint64_t *ret_stored_bytes,
                         GError **error);
