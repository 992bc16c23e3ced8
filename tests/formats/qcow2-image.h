/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A small qcow2 image with one snapshot of a machine, "warm", whose ID is 7.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "formats/byte-source.h"

/* An image of 512-byte clusters: one L2 table covers 32 KiB, so that the state
 * of a machine with a disk of 40 KiB begins with the third entry of L1. */
#define CLUSTER      512
#define N_CLUSTERS   16
#define DISK_BYTES   (40 << 10)
#define TABLE_AT     1 /* clusters: the table of snapshots, … */
#define L1_AT        2
#define L2_AT        3
#define DATA_AT      4 /* to 8 */
#define FIRST_L1     2
#define L1_N_ENTRIES 4

typedef struct Qcow2Image {
    uint8_t bytes[N_CLUSTERS * CLUSTER];
    size_t len_bytes;
} Qcow2Image;

/* Write value, of width bytes, as the format has numbers. */
void qcow2_image_put(Qcow2Image *image, size_t off_bytes, uint64_t value,
                     size_t width);
void qcow2_image_put_l1(Qcow2Image *image, size_t index, uint64_t entry);
void qcow2_image_put_l2(Qcow2Image *image, size_t index, uint64_t entry);

/* Write one whose "warm" is that state. */
void qcow2_image_save_around(GBytes *state, const char *path);

/* The state: cluster 0 and 1 are neighbours in the file, 2 is a hole, 3 lies
 * before them, 4 reads as zeroes.  Clusters are full of 'a' (the first of the
 * file's data), 'b', … */
Qcow2Image *qcow2_image_new(void);

/* Called "disk.qcow2". */
ByteSource *qcow2_image_source(const Qcow2Image *image);

/* A whole image of clusters of 64 KiB, with these bytes as the state of its
 * only snapshot, "warm"; the state's clusters lie in it from the last to the
 * first, those of zeroes are not in it. */
GBytes *qcow2_image_around(GBytes *state);
