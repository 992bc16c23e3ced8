/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the kernel shows about this process in /proc/self.  A program that
 * changes its root, or its user, may not find these files again:
 * kernel_files_prepare() opens them before.
 */
#pragma once

typedef enum {
    KERNEL_FILE_MAPS,   /* the mappings */
    KERNEL_FILE_SMAPS,  /* the same with all that is known of them; slow, it
                           walks the page tables */
    KERNEL_FILE_STATUS, /* sums, of locked memory for instance */
    KERNEL_FILE_MOUNTS, /* mountinfo */
    N_KERNEL_FILES,
} KernelFile;

/* Open them, and keep them for the life of the process.  May be called again,
 * not by two threads at once.  Without it, or where this fails,
 * kernel_file_read() opens a file by its path. */
void kernel_files_prepare(void);

/* Close them again, where the files can still be opened.  Nobody may be reading
 * one. */
void kernel_files_unprepare(void);

/* What the file says now, ended by a 0; for g_free().  Returns NULL with
 * errno. */
char *kernel_file_read(KernelFile file);

/* The file's path, for messages. */
const char *kernel_file_path(KernelFile file);
