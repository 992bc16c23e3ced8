/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/formats/qcow2-image.h"

#include <string.h>

#define COPIED (UINT64_C(1) << 63)

static void put_number(uint8_t *bytes, size_t off_bytes, uint64_t value,
                       size_t width)
{
    for (size_t i = 0; i < width; i++) {
        bytes[off_bytes + i] = (uint8_t)(value >> 8 * (width - 1 - i));
    }
}

void qcow2_image_put(Qcow2Image *image, size_t off_bytes, uint64_t value,
                     size_t width)
{
    put_number(image->bytes, off_bytes, value, width);
}

void qcow2_image_put_l1(Qcow2Image *image, size_t index, uint64_t entry)
{
    qcow2_image_put(image, L1_AT * CLUSTER + index * 8, entry, 8);
}

void qcow2_image_put_l2(Qcow2Image *image, size_t index, uint64_t entry)
{
    qcow2_image_put(image, L2_AT * CLUSTER + index * 8, entry, 8);
}

static void put_entry(Qcow2Image *image)
{
    size_t at = TABLE_AT * CLUSTER;

    qcow2_image_put(image, at, L1_AT * CLUSTER, 8);
    qcow2_image_put(image, at + 8, L1_N_ENTRIES, 4);
    qcow2_image_put(image, at + 12, 1, 2);           /* length of the ID */
    qcow2_image_put(image, at + 14, 4, 2);           /* … and of the name */
    qcow2_image_put(image, at + 16, 1700000000, 4);  /* date */
    qcow2_image_put(image, at + 36, 16, 4);          /* length of extra data */
    qcow2_image_put(image, at + 40, 5 * CLUSTER, 8); /* size of the state */
    qcow2_image_put(image, at + 48, DISK_BYTES, 8);
    memcpy(&image->bytes[at + 56], "7warm", 5);
}

Qcow2Image *qcow2_image_new(void)
{
    Qcow2Image *image = g_new0(Qcow2Image, 1);

    image->len_bytes = sizeof image->bytes;
    memcpy(image->bytes, "QFI\xfb", 4);
    qcow2_image_put(image, 4, 3, 4);           /* version */
    qcow2_image_put(image, 20, 9, 4);          /* cluster bits */
    qcow2_image_put(image, 24, DISK_BYTES, 8); /* disk size */
    qcow2_image_put(image, 60, 1, 4);          /* snapshots */
    qcow2_image_put(image, 64, TABLE_AT * CLUSTER, 8);
    put_entry(image);
    qcow2_image_put_l1(image, FIRST_L1, COPIED | L2_AT * CLUSTER);
    qcow2_image_put_l2(image, 0, COPIED | (DATA_AT + 1) * CLUSTER);
    qcow2_image_put_l2(image, 1, COPIED | (DATA_AT + 2) * CLUSTER);
    qcow2_image_put_l2(image, 3, COPIED | DATA_AT * CLUSTER);
    qcow2_image_put_l2(image, 4, (DATA_AT + 3) * CLUSTER | 1);
    for (size_t i = 0; i < 4; i++) {
        memset(&image->bytes[(DATA_AT + i) * CLUSTER], (int)('a' + i), CLUSTER);
    }
    return image;
}

ByteSource *qcow2_image_source(const Qcow2Image *image)
{
    g_autoptr(GBytes) bytes = g_bytes_new(image->bytes, image->len_bytes);

    return byte_source_new_memory(bytes, "disk.qcow2");
}

#define LARGE_CLUSTER UINT64_C(65536)
#define LARGE_DATA_AT 4

static void put_large_tables(uint8_t *bytes)
{
    uint8_t *entry = &bytes[TABLE_AT * LARGE_CLUSTER];

    memcpy(bytes, "QFI\xfb", 4);
    put_number(bytes, 4, 3, 4);   /* version */
    put_number(bytes, 20, 16, 4); /* cluster bits */
    put_number(bytes, 60, 1, 4);  /* snapshots */
    put_number(bytes, 64, TABLE_AT * LARGE_CLUSTER, 8);
    put_number(entry, 0, L1_AT * LARGE_CLUSTER, 8);
    put_number(entry, 8, 1, 4);
    put_number(entry, 12, 1, 2); /* length of the ID */
    put_number(entry, 14, 4, 2); /* … and of the name */
    memcpy(&entry[40], "1warm", 5);
    put_number(bytes, L1_AT * LARGE_CLUSTER, COPIED | L2_AT * LARGE_CLUSTER, 8);
}

static bool is_zero(const uint8_t *bytes, size_t len_bytes)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, len_bytes - 1) == 0;
}

GBytes *qcow2_image_around(GBytes *state)
{
    gsize len_bytes;
    const uint8_t *from = g_bytes_get_data(state, &len_bytes);
    size_t n_clusters = (len_bytes + LARGE_CLUSTER - 1) / LARGE_CLUSTER;
    size_t all_bytes = (LARGE_DATA_AT + n_clusters) * LARGE_CLUSTER;
    uint8_t *bytes = g_malloc0(all_bytes);

    put_large_tables(bytes);
    for (size_t i = 0; i < n_clusters; i++) {
        size_t at = (LARGE_DATA_AT + n_clusters - 1 - i) * LARGE_CLUSTER;
        size_t off_bytes = i * LARGE_CLUSTER;
        size_t n_bytes = MIN(len_bytes - off_bytes, LARGE_CLUSTER);

        if (!is_zero(&from[off_bytes], n_bytes)) {
            memcpy(&bytes[at], &from[off_bytes], n_bytes);
            put_number(bytes, L2_AT * LARGE_CLUSTER + i * 8, COPIED | at, 8);
        }
    }
    return g_bytes_new_take(bytes, all_bytes);
}

void qcow2_image_save_around(GBytes *state, const char *path)
{
    g_autoptr(GBytes) disk = qcow2_image_around(state);
    gsize len;
    const char *data = g_bytes_get_data(disk, &len);
    gboolean ok = g_file_set_contents(path, data, (gssize)len, NULL);

    g_assert_true(ok);
}
