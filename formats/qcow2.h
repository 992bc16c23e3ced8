/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A strict reader of qcow2 images, for one thing: where in the file the machine
 * state is that QEMU's own savevm has put into an internal snapshot.
 *
 * QEMU keeps that state behind the end of the disk, at guest offsets that no
 * guest can reach, and maps them by the snapshot's own L1 and L2 tables.
 *
 * Refused, by name: encryption, compressed clusters, external data files,
 * subclusters, images that are marked corrupt, and unknown features.
 *
 * qcow2-state.h reads the state itself.
 *
 * Source of the format: QEMU, docs/interop/qcow2.txt, and for where the state
 * begins block/qcow2.h, qcow2_vm_state_offset().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "formats/byte-source.h"

/* The number of snapshots and the offset of their table: QEMU writes both in
 * one piece, after the table that they lead to. */
#define QCOW2_SNAPSHOTS_OFF_BYTES 60
#define QCOW2_SNAPSHOTS_LEN_BYTES 12

/* Beyond these an image is refused; QEMU has the same limits. */
#define QCOW2_MAX_SNAPSHOTS      65536
#define QCOW2_MAX_SNAPSHOT_BYTES (64 << 20) /* of the table of snapshots */
#define QCOW2_MAX_L1_BYTES       (32 << 20)

/* A state is refused as well if its tables are larger, or if it has more
 * pieces: 2 TiB with clusters of 64 KiB, and 96 MiB of memory. */
#define QCOW2_MAX_L2_BYTES (UINT64_C(256) << 20)
#define QCOW2_MAX_EXTENTS  (4u << 20)

/* One internal snapshot, as the table has it. */
typedef struct Qcow2Snapshot {
    char *id;
    char *name;
    uint64_t
        state_len_bytes; /* that its header claims; 0: no machine's state */
    uint64_t disk_len_bytes;
    uint64_t date_s; /* since 1970 */
    uint32_t date_ns;
    uint64_t l1_off_bytes;
    uint32_t l1_n_entries;
    uint64_t entry_off_bytes; /* its entry in the table, … */
    size_t entry_len_bytes;   /* … without padding */
} Qcow2Snapshot;

typedef struct Qcow2 {
    ByteSource *source; /* borrowed */
    uint32_t cluster_bits;
    uint64_t disk_len_bytes;
    Qcow2Snapshot *snapshots;
    size_t n_snapshots;
} Qcow2;

/* A stretch of the machine's state that lies in one piece in the file. */
typedef struct Qcow2Extent {
    uint64_t state_off_bytes;
    uint64_t file_off_bytes;
    uint64_t len_bytes;
} Qcow2Extent;

/* Whether the source begins as a qcow2 image does. */
bool qcow2_is_one(const ByteSource *source);

/* Read the header and the table of snapshots of source, which must outlive the
 * result.  NULL with FORMATS_ERROR; messages name the source. */
Qcow2 *qcow2_open(ByteSource *source, GError **error);

/* NULL is fine. */
void qcow2_free(Qcow2 *qcow2);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Qcow2, qcow2_free)

/* The snapshot of this name or, where none has it, of this ID, as in QEMU;
 * owned by qcow2.  NULL with FORMATS_ERROR_UNSUPPORTED, which lists those that
 * there are. */
const Qcow2Snapshot *qcow2_find_snapshot(const Qcow2 *qcow2, const char *tag,
                                         GError **error);

/* Where the state of the machine lies: a GArray of Qcow2Extent, by
 * state_off_bytes, neighbours joined.  What no extent has reads as zeroes.
 * NULL with FORMATS_ERROR. */
GArray *qcow2_state_extents(const Qcow2 *qcow2, const Qcow2Snapshot *snapshot,
                            GError **error);
