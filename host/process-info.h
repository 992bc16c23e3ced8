/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the kernel shows about another process, in /proc.  It is an error if we
 * lack a permission or the process has ended.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

/* The file that shared memory belongs to. */
typedef struct ProcessFile {
    char id[64];   /* device and inode, as /proc/PID/maps has them */
    bool has_name; /* by which others can open it; a memfd has none */
} ProcessFile;

/* How much of its memory is locked, by mlock() or for a device. */
bool process_info_locked_memory(pid_t pid, uint64_t *ret_bytes, GError **error);

/* What its open files are called, sorted: "/dev/kvm", "socket:[4711]". */
GStrv process_info_open_files(pid_t pid, GError **error);

/* Its working directory, for g_free(). */
char *process_info_directory(pid_t pid, GError **error);

/* The arguments that it was started with. */
GStrv process_info_arguments(pid_t pid, GError **error);

/* The file whose shared mapping is at address; ret_file->id is "" where
 * there is none: what is there is private, and nobody else's. */
bool process_info_shared_file(pid_t pid, uint64_t address,
                              ProcessFile *ret_file, GError **error);

/* A process other than pid that maps file, or 0; ret_name is then what it is
 * called, for g_free().  Processes that we may not look into are left out.
 * Costs some microseconds for each process of the host. */
pid_t process_info_other_user(pid_t pid, const ProcessFile *file,
                              char **ret_name);
