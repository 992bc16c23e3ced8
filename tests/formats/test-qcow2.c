/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/error.h"
#include "formats/qcow2-state.h"
#include "formats/qcow2.h"
#include "tests/formats/qcow2-image.h"
#include "tests/formats/support.h"

#define L2_COMPRESSED (UINT64_C(1) << 62)

static void assert_refused(const Qcow2Image *image, FormatsError code,
                           const char *text)
{
    g_autoptr(ByteSource) source = qcow2_image_source(image);
    GError *error = NULL;
    g_autoptr(Qcow2) qcow2 = qcow2_open(source, &error);

    assert_null(qcow2);
    assert_error(error, code, text);
}

/* The image opens, and its snapshot's state is refused. */
static void assert_state_refused(const Qcow2Image *image, FormatsError code,
                                 const char *text)
{
    g_autoptr(ByteSource) source = qcow2_image_source(image);
    GError *error = NULL;
    g_autoptr(Qcow2) qcow2 = qcow2_open(source, &error);

    assert_no_error(error);
    assert_null(qcow2_state_extents(qcow2, &qcow2->snapshots[0], &error));
    assert_error(error, code, text);
}

static void the_table_of_snapshots_is_read(void **state)
{
    g_autofree Qcow2Image *image = qcow2_image_new();
    g_autoptr(ByteSource) source = qcow2_image_source(image);
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
    g_autofree Qcow2Image *image = qcow2_image_new();
    g_autoptr(ByteSource) source = qcow2_image_source(image);
    g_autoptr(Qcow2) qcow2 = qcow2_open(source, NULL);
    GError *error = NULL;

    assert_null(qcow2_find_snapshot(qcow2, "cold", &error));
    assert_error(error, FORMATS_ERROR_UNSUPPORTED,
                 "no snapshot is called cold; there is warm");
}

static void the_state_lies_where_the_snapshots_tables_say(void **state)
{
    g_autofree Qcow2Image *image = qcow2_image_new();
    g_autoptr(ByteSource) source = qcow2_image_source(image);
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
    g_autofree Qcow2Image *image = qcow2_image_new();
    g_autoptr(ByteSource) machine =
        qcow2_state_open(qcow2_image_source(image), "warm", NULL);
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
    g_autofree Qcow2Image *image = qcow2_image_new();

    qcow2_image_put_l2(image, 0, (N_CLUSTERS - 1) * CLUSTER);
    qcow2_image_put_l2(image, 1, 0);
    qcow2_image_put_l2(image, 3, 0);
    image->len_bytes = sizeof image->bytes - 100;
    g_autoptr(ByteSource) source = qcow2_image_source(image);
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
    g_autofree Qcow2Image *encrypted = qcow2_image_new();
    g_autofree Qcow2Image *compressed = qcow2_image_new();

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree Qcow2Image *image = qcow2_image_new();

        qcow2_image_put(image, 72, cases[i].features, 8);
        assert_refused(image, FORMATS_ERROR_UNSUPPORTED, cases[i].text);
    }
    qcow2_image_put(encrypted, 32, 2, 4);
    assert_refused(encrypted, FORMATS_ERROR_UNSUPPORTED, "encrypted");
    qcow2_image_put_l2(compressed, 1, L2_COMPRESSED | 6 * CLUSTER);
    assert_state_refused(compressed, FORMATS_ERROR_UNSUPPORTED, "compressed");
}

static void a_dirty_image_is_read(void **state)
{
    g_autofree Qcow2Image *image = qcow2_image_new();

    qcow2_image_put(image, 72, 1, 8);
    g_autoptr(ByteSource) source = qcow2_image_source(image);
    g_autoptr(Qcow2) qcow2 = qcow2_open(source, NULL);
    assert_non_null(qcow2);
}

static void what_is_malformed_is_refused(void **state)
{
    g_autofree Qcow2Image *foreign = qcow2_image_new();
    g_autofree Qcow2Image *version = qcow2_image_new();
    g_autofree Qcow2Image *clusters = qcow2_image_new();
    g_autofree Qcow2Image *many = qcow2_image_new();
    g_autofree Qcow2Image *table = qcow2_image_new();
    g_autofree Qcow2Image *name = qcow2_image_new();

    foreign->bytes[0] = 'X';
    assert_refused(foreign, FORMATS_ERROR_NOT_THIS, "not a qcow2 image");
    qcow2_image_put(version, 4, 4, 4);
    assert_refused(version, FORMATS_ERROR_VERSION, "version 4");
    qcow2_image_put(clusters, 20, 40, 4);
    assert_refused(clusters, FORMATS_ERROR_MALFORMED, "cluster size");
    qcow2_image_put(many, 60, QCOW2_MAX_SNAPSHOTS + 1, 4);
    assert_refused(many, FORMATS_ERROR_TOO_LARGE, "too many snapshots");
    qcow2_image_put(table, 64, UINT64_MAX - 7, 8);
    assert_refused(table, FORMATS_ERROR_MALFORMED, "beyond the end");
    qcow2_image_put(name, TABLE_AT * CLUSTER + 36, UINT32_MAX, 4);
    assert_refused(name, FORMATS_ERROR_TRUNCATED, "extra data");
}

static void tables_that_lead_out_of_the_image_are_refused(void **state)
{
    g_autofree Qcow2Image *l1 = qcow2_image_new();
    g_autofree Qcow2Image *size = qcow2_image_new();
    g_autofree Qcow2Image *l2 = qcow2_image_new();
    g_autofree Qcow2Image *data = qcow2_image_new();
    g_autofree Qcow2Image *odd = qcow2_image_new();

    qcow2_image_put(l1, TABLE_AT * CLUSTER, UINT64_MAX - 511, 8);
    assert_state_refused(l1, FORMATS_ERROR_MALFORMED, "L1 table");
    qcow2_image_put(size, TABLE_AT * CLUSTER + 8, UINT32_MAX, 4);
    assert_state_refused(size, FORMATS_ERROR_TOO_LARGE, "L1 table");
    qcow2_image_put_l1(l2, FIRST_L1, UINT64_C(1) << 40);
    assert_state_refused(l2, FORMATS_ERROR_MALFORMED, "L2 table");
    qcow2_image_put_l2(data, 0, UINT64_C(1) << 40);
    assert_state_refused(data, FORMATS_ERROR_MALFORMED, "cluster");
    qcow2_image_put(odd, 20, 10,
                    4); /* clusters of 1 KiB: offsets no longer fit */
    qcow2_image_put(odd, 24, 0, 8);
    qcow2_image_put(odd, TABLE_AT * CLUSTER + 48, 0, 8);
    assert_state_refused(odd, FORMATS_ERROR_MALFORMED,
                         "not the start of a cluster");
}

/* A table L1 behind the image's end, each entry of which leads to the same
 * table L2. */
static ByteSource *with_endless_tables(Qcow2Image *image)
{
    const uint32_t n_entries = QCOW2_MAX_L1_BYTES / 8;
    g_autoptr(GByteArray) bytes = g_byte_array_new();

    qcow2_image_put(image, TABLE_AT * CLUSTER, N_CLUSTERS * CLUSTER, 8);
    qcow2_image_put(image, TABLE_AT * CLUSTER + 8, n_entries, 4);
    qcow2_image_put_l1(image, 0, L2_AT * CLUSTER);
    g_byte_array_append(bytes, image->bytes, N_CLUSTERS * CLUSTER);
    for (uint32_t i = 0; i < n_entries; i++) {
        g_byte_array_append(bytes, &image->bytes[L1_AT * CLUSTER], 8);
    }
    g_autoptr(GBytes) all = g_byte_array_free_to_bytes(g_steal_pointer(&bytes));
    return byte_source_new_memory(all, "disk.qcow2");
}

static void tables_without_end_are_refused(void **state)
{
    static const struct {
        bool has_data;
        const char *text;
    } cases[] = {
        {false, "tables of the machine state are too large"},
        {true, "too many pieces"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree Qcow2Image *image = qcow2_image_new();
        GError *error = NULL;

        for (size_t j = 0; j < CLUSTER / 8; j++) {
            qcow2_image_put_l2(image, j,
                               cases[i].has_data ? DATA_AT * CLUSTER : 0);
        }
        g_autoptr(ByteSource) source = with_endless_tables(image);
        g_autoptr(Qcow2) qcow2 = qcow2_open(source, NULL);
        assert_null(qcow2_state_extents(qcow2, &qcow2->snapshots[0], &error));
        assert_error(error, FORMATS_ERROR_TOO_LARGE, cases[i].text);
    }
}

static void a_snapshot_of_disks_alone_is_told_as_that(void **state)
{
    g_autofree Qcow2Image *image = qcow2_image_new();

    qcow2_image_put_l1(image, FIRST_L1, 0);
    assert_state_refused(image, FORMATS_ERROR_UNSUPPORTED, "no machine state");
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
        cmocka_unit_test(tables_without_end_are_refused),
        cmocka_unit_test(a_snapshot_of_disks_alone_is_told_as_that),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
