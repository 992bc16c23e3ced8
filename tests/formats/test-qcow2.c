/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "formats/error.h"
#include "formats/qcow2.h"
#include "tests/formats/support.h"

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

#define L2_COMPRESSED (UINT64_C(1) << 62)
#define COPIED        (UINT64_C(1) << 63)

typedef struct Image {
    uint8_t bytes[N_CLUSTERS * CLUSTER];
    size_t len_bytes;
} Image;

static void put(Image *image, size_t off_bytes, uint64_t value, size_t width)
{
    for (size_t i = 0; i < width; i++) {
        image->bytes[off_bytes + i] = (uint8_t)(value >> 8 * (width - 1 - i));
    }
}

static void put_l1(Image *image, size_t index, uint64_t entry)
{
    put(image, L1_AT * CLUSTER + index * 8, entry, 8);
}

static void put_l2(Image *image, size_t index, uint64_t entry)
{
    put(image, L2_AT * CLUSTER + index * 8, entry, 8);
}

static void put_snapshot(Image *image)
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

/* The state: cluster 0 and 1 are neighbours in the file, 2 is a hole, 3 lies
 * before them, 4 reads as zeroes. */
static Image *new_image(void)
{
    Image *image = g_new0(Image, 1);

    image->len_bytes = sizeof image->bytes;
    memcpy(image->bytes, "QFI\xfb", 4);
    put(image, 4, 3, 4);           /* version */
    put(image, 20, 9, 4);          /* cluster bits */
    put(image, 24, DISK_BYTES, 8); /* disk size */
    put(image, 60, 1, 4);          /* snapshots */
    put(image, 64, TABLE_AT * CLUSTER, 8);
    put_snapshot(image);
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

static ByteSource *source_of(const Image *image)
{
    g_autoptr(GBytes) bytes = g_bytes_new(image->bytes, image->len_bytes);

    return byte_source_new_memory(bytes, "disk.qcow2");
}

static void assert_refused(const Image *image, FormatsError code,
                           const char *text)
{
    g_autoptr(ByteSource) source = source_of(image);
    GError *error = NULL;
    g_autoptr(Qcow2) qcow2 = qcow2_open(source, &error);

    assert_null(qcow2);
    assert_error(error, code, text);
}

/* The image opens, and its snapshot's state is refused. */
static void assert_state_refused(const Image *image, FormatsError code,
                                 const char *text)
{
    g_autoptr(ByteSource) source = source_of(image);
    GError *error = NULL;
    g_autoptr(Qcow2) qcow2 = qcow2_open(source, &error);

    assert_no_error(error);
    assert_null(qcow2_state_extents(qcow2, &qcow2->snapshots[0], &error));
    assert_error(error, code, text);
}

static void the_table_of_snapshots_is_read(void **state)
{
    g_autofree Image *image = new_image();
    g_autoptr(ByteSource) source = source_of(image);
    g_autoptr(Qcow2) qcow2 = qcow2_open(source, NULL);

    assert_non_null(qcow2);
    assert_true(qcow2_is_one(source));
    assert_int_equal(qcow2->n_snapshots, 1);
    const Qcow2Snapshot *snapshot = qcow2_find_snapshot(qcow2, "warm", NULL);
    assert_non_null(snapshot);
    assert_string_equal(snapshot->id, "7");
    assert_int_equal(snapshot->state_len_bytes, 5 * CLUSTER);
    assert_int_equal(snapshot->disk_len_bytes, DISK_BYTES);
    assert_int_equal(snapshot->date_s, 1700000000);
    assert_ptr_equal(qcow2_find_snapshot(qcow2, "7", NULL), snapshot);
}

static void an_unknown_tag_is_told_with_those_that_there_are(void **state)
{
    g_autofree Image *image = new_image();
    g_autoptr(ByteSource) source = source_of(image);
    g_autoptr(Qcow2) qcow2 = qcow2_open(source, NULL);
    GError *error = NULL;

    assert_null(qcow2_find_snapshot(qcow2, "cold", &error));
    assert_error(error, FORMATS_ERROR_UNSUPPORTED,
                 "no snapshot is called cold; there is warm");
}

static void the_state_lies_where_the_snapshots_tables_say(void **state)
{
    g_autofree Image *image = new_image();
    g_autoptr(ByteSource) source = source_of(image);
    g_autoptr(Qcow2) qcow2 = qcow2_open(source, NULL);
    g_autoptr(GArray) extents =
        qcow2_state_extents(qcow2, &qcow2->snapshots[0], NULL);

    assert_int_equal(extents->len, 2);
    const Qcow2Extent *first = &g_array_index(extents, Qcow2Extent, 0);
    const Qcow2Extent *second = &g_array_index(extents, Qcow2Extent, 1);
    assert_int_equal(first->state_off_bytes, 0);
    assert_int_equal(first->file_off_bytes, (DATA_AT + 1) * CLUSTER);
    assert_int_equal(first->len_bytes, 2 * CLUSTER);
    assert_int_equal(second->state_off_bytes, 3 * CLUSTER);
    assert_int_equal(second->file_off_bytes, DATA_AT * CLUSTER);
    assert_int_equal(second->len_bytes, CLUSTER);
}

static void the_state_reads_as_its_bytes_and_zeroes_between(void **state)
{
    g_autofree Image *image = new_image();
    g_autoptr(ByteSource) source = source_of(image);
    g_autoptr(Qcow2) qcow2 = qcow2_open(source, NULL);
    g_autoptr(GArray) extents =
        qcow2_state_extents(qcow2, &qcow2->snapshots[0], NULL);
    g_autoptr(ByteSource) machine =
        qcow2_state_source(qcow2, &qcow2->snapshots[0], extents);
    static const char expected[] = {'b', 'c', '\0', 'a'};
    char bytes[4 * CLUSTER];

    assert_string_equal(machine->name, "disk.qcow2, snapshot warm");
    assert_int_equal(machine->len_bytes, sizeof bytes);
    assert_true(byte_source_read_at(machine, bytes, sizeof bytes, 0, NULL));
    for (size_t i = 0; i < sizeof bytes; i++) {
        assert_int_equal(bytes[i], expected[i / CLUSTER]);
    }
    /* One that begins and ends within clusters. */
    assert_true(byte_source_read_at(machine, bytes, CLUSTER + 2,
                                    2 * CLUSTER - 1, NULL));
    assert_int_equal(bytes[0], 'c');
    assert_int_equal(bytes[1], 0);
    assert_int_equal(bytes[CLUSTER], 0);
    assert_int_equal(bytes[CLUSTER + 1], 'a');
}

static void a_state_that_ends_with_the_file_is_read(void **state)
{
    g_autofree Image *image = new_image();

    put_l2(image, 0, (N_CLUSTERS - 1) * CLUSTER);
    put_l2(image, 1, 0);
    put_l2(image, 3, 0);
    image->len_bytes = sizeof image->bytes - 100;
    g_autoptr(ByteSource) source = source_of(image);
    g_autoptr(Qcow2) qcow2 = qcow2_open(source, NULL);
    g_autoptr(GArray) extents =
        qcow2_state_extents(qcow2, &qcow2->snapshots[0], NULL);

    assert_int_equal(g_array_index(extents, Qcow2Extent, 0).len_bytes,
                     CLUSTER - 100);
}

static void what_is_not_supported_is_refused_by_name(void **state)
{
    static const struct {
        uint64_t features;
        const char *text;
    } cases[] = {
        {1 << 1, "marked corrupt"},
        {1 << 2, "external data file"},
        {1 << 4, "subclusters"},
        {1 << 5, "not known"},
    };
    g_autofree Image *encrypted = new_image();
    g_autofree Image *compressed = new_image();

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree Image *image = new_image();

        put(image, 72, cases[i].features, 8);
        assert_refused(image, FORMATS_ERROR_UNSUPPORTED, cases[i].text);
    }
    put(encrypted, 32, 2, 4);
    assert_refused(encrypted, FORMATS_ERROR_UNSUPPORTED, "encrypted");
    put_l2(compressed, 1, L2_COMPRESSED | 6 * CLUSTER);
    assert_state_refused(compressed, FORMATS_ERROR_UNSUPPORTED, "compressed");
}

static void a_dirty_image_is_read(void **state)
{
    g_autofree Image *image = new_image();

    put(image, 72, 1, 8);
    g_autoptr(ByteSource) source = source_of(image);
    g_autoptr(Qcow2) qcow2 = qcow2_open(source, NULL);
    assert_non_null(qcow2);
}

static void what_is_malformed_is_refused(void **state)
{
    g_autofree Image *foreign = new_image();
    g_autofree Image *version = new_image();
    g_autofree Image *clusters = new_image();
    g_autofree Image *many = new_image();
    g_autofree Image *table = new_image();
    g_autofree Image *name = new_image();

    foreign->bytes[0] = 'X';
    assert_refused(foreign, FORMATS_ERROR_NOT_THIS, "not a qcow2 image");
    put(version, 4, 4, 4);
    assert_refused(version, FORMATS_ERROR_VERSION, "version 4");
    put(clusters, 20, 40, 4);
    assert_refused(clusters, FORMATS_ERROR_MALFORMED, "cluster size");
    put(many, 60, QCOW2_MAX_SNAPSHOTS + 1, 4);
    assert_refused(many, FORMATS_ERROR_TOO_LARGE, "too many snapshots");
    put(table, 64, UINT64_MAX - 7, 8);
    assert_refused(table, FORMATS_ERROR_MALFORMED, "beyond the end");
    put(name, TABLE_AT * CLUSTER + 36, UINT32_MAX, 4);
    assert_refused(name, FORMATS_ERROR_TRUNCATED, "extra data");
}

static void tables_that_lead_out_of_the_image_are_refused(void **state)
{
    g_autofree Image *l1 = new_image();
    g_autofree Image *size = new_image();
    g_autofree Image *l2 = new_image();
    g_autofree Image *data = new_image();
    g_autofree Image *odd = new_image();

    put(l1, TABLE_AT * CLUSTER, UINT64_MAX - 511, 8);
    assert_state_refused(l1, FORMATS_ERROR_MALFORMED, "L1 table");
    put(size, TABLE_AT * CLUSTER + 8, UINT32_MAX, 4);
    assert_state_refused(size, FORMATS_ERROR_TOO_LARGE, "L1 table");
    put_l1(l2, FIRST_L1, UINT64_C(1) << 40);
    assert_state_refused(l2, FORMATS_ERROR_MALFORMED, "L2 table");
    put_l2(data, 0, UINT64_C(1) << 40);
    assert_state_refused(data, FORMATS_ERROR_MALFORMED, "cluster");
    put(odd, 20, 10, 4); /* clusters of 1 KiB: offsets no longer fit */
    put(odd, 24, 0, 8);
    put(odd, TABLE_AT * CLUSTER + 48, 0, 8);
    assert_state_refused(odd, FORMATS_ERROR_MALFORMED, "not a cluster");
}

static void a_snapshot_of_disks_alone_is_told_as_that(void **state)
{
    g_autofree Image *image = new_image();

    put_l1(image, FIRST_L1, 0);
    assert_state_refused(image, FORMATS_ERROR_UNSUPPORTED,
                         "no machine's state");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_of_snapshots_is_read),
        cmocka_unit_test(an_unknown_tag_is_told_with_those_that_there_are),
        cmocka_unit_test(the_state_lies_where_the_snapshots_tables_say),
        cmocka_unit_test(the_state_reads_as_its_bytes_and_zeroes_between),
        cmocka_unit_test(a_state_that_ends_with_the_file_is_read),
        cmocka_unit_test(what_is_not_supported_is_refused_by_name),
        cmocka_unit_test(a_dirty_image_is_read),
        cmocka_unit_test(what_is_malformed_is_refused),
        cmocka_unit_test(tables_that_lead_out_of_the_image_are_refused),
        cmocka_unit_test(a_snapshot_of_disks_alone_is_told_as_that),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
