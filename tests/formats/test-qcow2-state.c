/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/error.h"
#include "formats/qcow2-state.h"
#include "formats/qcow2.h"
#include "tests/formats/qcow2-image.h"
#include "tests/formats/support.h"
#include "util/file.h"

/* Where a second table of snapshots goes: a free cluster, or one that the file
 * gets only then. */
#define FREE_AT  9
#define GROWN_AT N_CLUSTERS

/* The cluster that the state begins in. */
#define FIRST_DATA ((DATA_AT + 1) * CLUSTER)

/* A file that the state is read from, and that somebody writes to as QEMU
 * does. */
typedef struct World {
    char path[64];
    int fd;
    ByteSource *state;
} World;

static World world;

/* Called once, when bytes of the state are about to be read. */
static void (*before_data)(void);

bool __real_file_read_at(int fd, void *buffer, size_t len_bytes,
                         uint64_t off_bytes, GError **error);
bool __wrap_file_read_at(int fd, void *buffer, size_t len_bytes,
                         uint64_t off_bytes, GError **error);

bool __wrap_file_read_at(int fd, void *buffer, size_t len_bytes,
                         uint64_t off_bytes, GError **error)
{
    void (*act)(void) = before_data;

    if (act && off_bytes == FIRST_DATA) {
        before_data = NULL;
        act();
    }
    return __real_file_read_at(fd, buffer, len_bytes, off_bytes, error);
}

static void write_file(const void *bytes, size_t len_bytes, uint64_t off_bytes)
{
    assert_true(file_write_at(world.fd, bytes, len_bytes, off_bytes, NULL));
}

/* The number of snapshots and where their table is, in one write. */
static void write_head(uint32_t n_snapshots, uint64_t off_bytes)
{
    g_autofree Qcow2Image *image = qcow2_image_new();

    qcow2_image_put(image, 60, n_snapshots, 4);
    qcow2_image_put(image, 64, off_bytes, 8);
    write_file(&image->bytes[QCOW2_SNAPSHOTS_OFF_BYTES],
               QCOW2_SNAPSHOTS_LEN_BYTES, QCOW2_SNAPSHOTS_OFF_BYTES);
}

static int open_world(void **state)
{
    g_autofree Qcow2Image *image = qcow2_image_new();

    strcpy(world.path, "/tmp/preheat-test-qcow2-XXXXXX");
    world.fd = mkostemp(world.path, O_CLOEXEC);
    assert_true(world.fd >= 0);
    write_file(image->bytes, image->len_bytes, 0);
    world.state = qcow2_state_open(
        byte_source_new_fd(world.fd, "disk.qcow2", NULL), "warm", NULL);
    assert_non_null(world.state);
    before_data = NULL;
    return 0;
}

static int close_world(void **state)
{
    byte_source_free(world.state);
    close(world.fd);
    unlink(world.path);
    return 0;
}

static bool read_first(uint8_t *ret_byte, GError **error)
{
    return byte_source_read_at(world.state, ret_byte, 1, 0, error);
}

static void assert_reads(void)
{
    GError *error = NULL;
    uint8_t byte;

    read_first(&byte, &error);
    assert_no_error(error);
    assert_int_equal(byte, 'b');
}

static void assert_gone(void)
{
    GError *error = NULL;
    uint8_t byte;

    assert_false(read_first(&byte, &error));
    assert_error(error, FORMATS_ERROR_CHANGED,
                 "disk.qcow2, snapshot warm was deleted");
}

/* As QEMU does: the new table, the head, and only then what becomes free. */
static void delete_snapshot(void)
{
    uint8_t others[CLUSTER];

    write_head(0, 0);
    memset(others, 'X', sizeof others);
    write_file(others, sizeof others, FIRST_DATA);
}

/* A table in which another snapshot stands before ours. */
static void add_snapshot(size_t cluster)
{
    g_autofree Qcow2Image *image = qcow2_image_new();
    uint8_t *entry = &image->bytes[TABLE_AT * CLUSTER];
    uint8_t table[CLUSTER] = {0};
    size_t len_bytes = 64; /* with its padding */

    memcpy(table, entry, len_bytes);
    memcpy(&table[56], "8cold", 5);
    memcpy(&table[len_bytes], entry, len_bytes);
    write_file(table, sizeof table, cluster * CLUSTER);
    write_head(2, cluster * CLUSTER);
}

static void a_snapshot_that_is_deleted_is_not_read_any_more(void **state)
{
    assert_reads();
    delete_snapshot();
    assert_gone();
}

static void a_read_under_way_when_the_snapshot_goes_gives_nothing(void **state)
{
    before_data = delete_snapshot;
    assert_gone();
    assert_null(before_data);
}

static void another_snapshot_that_comes_changes_nothing(void **state)
{
    add_snapshot(FREE_AT);
    assert_reads();
    assert_reads();
    assert_true(byte_source_check_unchanged(world.state, NULL));
}

static void a_table_beyond_the_former_end_of_the_image_is_read(void **state)
{
    add_snapshot(GROWN_AT);
    assert_reads();
    assert_reads();
}

static void one_that_is_made_anew_under_its_name_is_another(void **state)
{
    g_autofree Qcow2Image *image = qcow2_image_new();

    /* At the same place, a nanosecond later. */
    qcow2_image_put(image, TABLE_AT * CLUSTER + 20, 1, 4);
    write_file(&image->bytes[TABLE_AT * CLUSTER], CLUSTER, TABLE_AT * CLUSTER);
    assert_gone();
}

static void what_the_guest_writes_changes_nothing(void **state)
{
    static const uint8_t bytes[CLUSTER];
    const struct timespec times[2] = {{0}, {0}};

    write_file(bytes, sizeof bytes, FREE_AT * CLUSTER);
    assert_int_equal(futimens(world.fd, times), 0);
    assert_reads();
    assert_true(byte_source_check_unchanged(world.state, NULL));
}

static void one_that_is_deleted_after_the_last_read_is_no_change(void **state)
{
    assert_reads();
    delete_snapshot();
    assert_true(byte_source_check_unchanged(world.state, NULL));
}

static void one_that_was_missed_by_a_read_is_a_change(void **state)
{
    GError *error = NULL;

    delete_snapshot();
    assert_gone();
    assert_false(byte_source_check_unchanged(world.state, &error));
    assert_error(error, FORMATS_ERROR_CHANGED, "was deleted");
}

static void tables_that_lead_elsewhere_are_a_change(void **state)
{
    g_autofree Qcow2Image *image = qcow2_image_new();
    GError *error = NULL;

    qcow2_image_put_l2(image, 0, FREE_AT * CLUSTER);
    write_file(&image->bytes[L2_AT * CLUSTER], CLUSTER, L2_AT * CLUSTER);
    assert_false(byte_source_check_unchanged(world.state, &error));
    assert_error(error, FORMATS_ERROR_CHANGED, "other clusters");
}

/* QEMU clears that bit when a second snapshot shares the clusters. */
static void a_flag_in_the_tables_is_no_change(void **state)
{
    g_autofree Qcow2Image *image = qcow2_image_new();

    qcow2_image_put_l2(image, 0, (DATA_AT + 1) * CLUSTER);
    write_file(&image->bytes[L2_AT * CLUSTER], CLUSTER, L2_AT * CLUSTER);
    assert_true(byte_source_check_unchanged(world.state, NULL));
}

static void an_image_that_cannot_be_understood_any_more_is_told(void **state)
{
    GError *error = NULL;
    uint8_t byte;

    write_head(1, UINT64_MAX / 2);
    assert_false(read_first(&byte, &error));
    assert_error(error, FORMATS_ERROR_MALFORMED, "beyond the end");
    write_head(1, TABLE_AT * CLUSTER);
    assert_reads();
}

#define WORLD_TEST(name)                                                       \
    cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_snapshot_that_is_deleted_is_not_read_any_more),
        WORLD_TEST(a_read_under_way_when_the_snapshot_goes_gives_nothing),
        WORLD_TEST(another_snapshot_that_comes_changes_nothing),
        WORLD_TEST(a_table_beyond_the_former_end_of_the_image_is_read),
        WORLD_TEST(one_that_is_made_anew_under_its_name_is_another),
        WORLD_TEST(what_the_guest_writes_changes_nothing),
        WORLD_TEST(one_that_is_deleted_after_the_last_read_is_no_change),
        WORLD_TEST(one_that_was_missed_by_a_read_is_a_change),
        WORLD_TEST(tables_that_lead_elsewhere_are_a_change),
        WORLD_TEST(a_flag_in_the_tables_is_no_change),
        WORLD_TEST(an_image_that_cannot_be_understood_any_more_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
