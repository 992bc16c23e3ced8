/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A mark in QEMU that a save is under way.  QEMU keeps it with the descriptor
 * that it writes to (QMP add-fd), so it lasts as long as QEMU, whatever happens
 * to us; the save after a killed one reads from it how things were before.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "host/migration-settings.h"
#include "host/rpc.h"

typedef struct SaveMark {
    int64_t fdset_id;
    bool was_running;            /* the guest, when that save began */
    MigrationSettings *settings; /* to be restored; of a found mark, else
                                    NULL */
} SaveMark;

/* The mark of a save that was killed; NULL: there is none.  To be asked where
 * no other save can be under way. */
bool save_mark_find(Rpc *qmp, SaveMark **ret_mark, GError **error);

/* Give QEMU fd, which stays the caller's, with a mark. */
SaveMark *save_mark_put(Rpc *qmp, int fd, bool was_running,
                        const MigrationSettings *settings, GError **error);

/* The path by which QEMU finds the descriptor, for g_free(). */
char *save_mark_path(const SaveMark *mark);

/* Take mark and descriptor away; QEMU keeps what it has opened of it. */
bool save_mark_remove(const SaveMark *mark, Rpc *qmp, GError **error);

/* NULL is fine; the mark stays in QEMU. */
void save_mark_free(SaveMark *mark);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(SaveMark, save_mark_free)
