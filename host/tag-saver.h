/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Save a machine by QEMU's own snapshot-save, as a mapped-ram image in one of
 * its disks; the guest is afterwards in the state it was in.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "host/machine.h"
#include "host/profiling.h"
#include "host/progress.h"
#include "host/saver.h"

typedef struct TagSaveOptions {
    const char *tag;
    /* Record the order of first touches after the save, and write it beside
     * the disk, as "DISK.TAG.order" (a slash in the tag becomes "_"); NULL: do
     * not. */
    const ProfileTime *profile;
    int interrupt_fd; /* as in SaveOptions */
    void (*say)(const char *text);
    const Progress *progress; /* NULL: silent */
} TagSaveOptions;

/*
 * QEMU 11.1 or later.  All writable disks get the snapshot, as with HMP savevm;
 * each must be a qcow2, and the first has the machine's state.  What preheat
 * could not load later is refused.
 *
 * ret_disk: the file of that disk, for g_free().  In ret_result stored_bytes
 * is what the state takes in it.
 */
bool tag_saver_run(Machine *machine, const TagSaveOptions *options,
                   char **ret_disk, SaveResult *ret_result, GError **error);
