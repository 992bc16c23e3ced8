/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/formats/qcow2-image.h"

#include <string.h>

#define COPIED (UINT64_C(1) << 63)

void put(Image *image, size_t off_bytes, uint64_t value, size_t width)
{
    for (size_t i = 0; i < width; i++) {
        image->bytes[off_bytes + i] = (uint8_t)(value >> 8 * (width - 1 - i));
    }
}

void put_l1(Image *image, size_t index, uint64_t entry)
{
    put(image, L1_AT * CLUSTER + index * 8, entry, 8);
}

void put_l2(Image *image, size_t index, uint64_t entry)
{
    put(image, L2_AT * CLUSTER + index * 8, entry, 8);
}

static void put_entry(Image *image)
{
    size_t at = TABLE_AT * CLUSTER;

    put(image, at, L1_AT * CLUSTER, 8);
    put(image, at + 8, L1_N_ENTRIES, 4);
    put(image, at + 12, 1, 2);           /* length of the ID */
    put(image, at + 14, 4, 2);           /* … and of the name */
    put(image, at + 16, 1700000000, 4);  /* date */
    put(image, at + 36, 16, 4);          /* length of extra data */
    put(image, at + 40, 5 * CLUSTER, 8); /* size of the state */
    put(image, at + 48, DISK_BYTES, 8);
    memcpy(&image->bytes[at + 56], "7warm", 5);
}

Image *new_image(void)
{
    Image *image = g_new0(Image, 1);

    image->len_bytes = sizeof image->bytes;
    memcpy(image->bytes, "QFI\xfb", 4);
    put(image, 4, 3, 4);           /* version */
    put(image, 20, 9, 4);          /* cluster bits */
    put(image, 24, DISK_BYTES, 8); /* disk size */
    put(image, 60, 1, 4);          /* snapshots */
    put(image, 64, TABLE_AT * CLUSTER, 8);
    put_entry(image);
    put_l1(image, FIRST_L1, COPIED | L2_AT * CLUSTER);
    put_l2(image, 0, COPIED | (DATA_AT + 1) * CLUSTER);
    put_l2(image, 1, COPIED | (DATA_AT + 2) * CLUSTER);
    put_l2(image, 3, COPIED | DATA_AT * CLUSTER);
    put_l2(image, 4, (DATA_AT + 3) * CLUSTER | 1);
    for (size_t i = 0; i < 4; i++) {
        memset(&image->bytes[(DATA_AT + i) * CLUSTER], (int)('a' + i), CLUSTER);
    }
    return image;
}

ByteSource *source_of(const Image *image)
{
    g_autoptr(GBytes) bytes = g_bytes_new(image->bytes, image->len_bytes);

    return byte_source_new_memory(bytes, "disk.qcow2");
}
