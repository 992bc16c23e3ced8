/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/formats/support.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/byte-source.h"

#define TEXT "guest memory"

/* A file last written to long ago, and a source of it. */
typedef struct World {
    char *dir;
    char *path;
    int fd; /* for writing */
    ByteSource *source;
} World;

static void set_mtime(const World *world, time_t seconds)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                      {.tv_sec = seconds}};

    assert_int_equal(futimens(world->fd, times), 0);
}

static int make_world(void **state)
{
    World *world = g_new0(World, 1);

    world->dir = g_dir_make_tmp("preheat-test-XXXXXX", NULL);
    world->path = g_build_filename(world->dir, "vm.snap", NULL);
    world->fd = open(world->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(world->fd, TEXT, strlen(TEXT)), strlen(TEXT));
    set_mtime(world, 1000);
    world->source = byte_source_open(world->path, NULL);
    assert_non_null(world->source);
    *state = world;
    return 0;
}

static int free_world(void **state)
{
    World *world = *state;

    byte_source_free(world->source);
    close(world->fd);
    unlink(world->path);
    int failed = rmdir(world->dir);
    g_free(world->path);
    g_free(world->dir);
    g_free(world);
    return failed;
}

static struct timespec ctime_of(const World *world)
{
    struct stat st;

    assert_int_equal(fstat(world->fd, &st), 0);
    return st.st_ctim;
}

/* Do act until the file's ctime is another: the clock has ticked. */
static void act_until_ctime_differs(const World *world,
                                    void (*act)(const World *world))
{
    const struct timespec before = ctime_of(world);
    struct timespec now;

    do {
        act(world);
        now = ctime_of(world);
    } while (memcmp(&before, &now, sizeof now) == 0);
}

static void assert_changed(const World *world, const char *text)
{
    GError *error = NULL;

    assert_false(byte_source_check_unchanged(world->source, &error));
    assert_true(g_str_has_prefix(error->message, world->path));
    assert_error(error, FORMATS_ERROR_CHANGED, text);
}

static void assert_unchanged(const ByteSource *source)
{
    GError *error = NULL;

    assert_true(byte_source_check_unchanged(source, &error));
    assert_no_error(error);
}

static void a_file_that_was_only_read_is_unchanged(void **state)
{
    const World *world = *state;
    char text[sizeof TEXT - 1];

    assert_true(byte_source_read_at(world->source, text, sizeof text, 0, NULL));
    assert_memory_equal(text, TEXT, sizeof text);
    assert_unchanged(world->source);
}

static void a_file_written_to_in_place_has_changed(void **state)
{
    const World *world = *state;

    assert_int_equal(pwrite(world->fd, "other", 5, 0), 5);
    assert_changed(world, "vm.snap was written to while it was in use (its "
                          "mtime changed");
}

static void a_file_that_became_shorter_or_longer_has_changed(void **state)
{
    const World *world = *state;

    assert_int_equal(ftruncate(world->fd, 4), 0);
    assert_changed(world, "its length changed from 12 to 4 bytes");
    assert_int_equal(ftruncate(world->fd, 4711), 0);
    assert_changed(world, "its length changed from 12 to 4711 bytes");
}

static void write_and_set_mtime_back(const World *world)
{
    assert_int_equal(pwrite(world->fd, "other", 5, 0), 5);
    set_mtime(world, 1000);
}

static void setting_the_mtime_back_hides_no_write(void **state)
{
    const World *world = *state;

    act_until_ctime_differs(world, write_and_set_mtime_back);
    assert_changed(world, "may have been written to");
}

static void change_mode(const World *world)
{
    struct stat st;

    assert_int_equal(fstat(world->fd, &st), 0);
    assert_int_equal(fchmod(world->fd, st.st_mode == 0100640 ? 0644 : 0640), 0);
}

static void a_file_of_another_mode_is_unchanged(void **state)
{
    const World *world = *state;

    act_until_ctime_differs(world, change_mode);
    assert_unchanged(world->source);
}

static void replace_by_name(const World *world)
{
    g_autofree char *other = g_strconcat(world->path, ".new", NULL);

    assert_true(g_file_set_contents(other, "another file", -1, NULL));
    assert_int_equal(rename(other, world->path), 0);
}

static void a_file_whose_name_went_to_another_is_unchanged(void **state)
{
    const World *world = *state;
    char text[sizeof TEXT - 1];

    replace_by_name(world);
    assert_unchanged(world->source);
    assert_true(byte_source_read_at(world->source, text, sizeof text, 0, NULL));
    assert_memory_equal(text, TEXT, sizeof text);
}

static void move_away(const World *world)
{
    g_autofree char *other = g_strconcat(world->path, ".moved", NULL);

    /* Fails the first time: it is not there yet. */
    (void)rename(other, world->path);
    assert_int_equal(rename(world->path, other), 0);
}

static void a_file_that_was_renamed_is_unchanged(void **state)
{
    const World *world = *state;
    g_autofree char *other = g_strconcat(world->path, ".moved", NULL);

    act_until_ctime_differs(world, move_away);
    assert_unchanged(world->source);
    assert_int_equal(rename(other, world->path), 0);
}

static void a_descriptors_file_is_watched_as_well(void **state)
{
    const World *world = *state;
    g_autoptr(ByteSource) source =
        byte_source_new_fd(world->fd, "the image", NULL);
    GError *error = NULL;

    assert_unchanged(source);
    assert_int_equal(pwrite(world->fd, "other", 5, 0), 5);
    assert_false(byte_source_check_unchanged(source, &error));
    assert_error(error, FORMATS_ERROR_CHANGED, "the image was written to");
}

static void memory_never_changes(void **state)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(TEXT, strlen(TEXT));
    g_autoptr(ByteSource) source = byte_source_new_memory(bytes, "memory");

    assert_unchanged(source);
}

static void nothing_is_read_beyond_the_end(void **state)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(TEXT, strlen(TEXT));
    g_autoptr(ByteSource) source = byte_source_new_memory(bytes, "memory");
    GError *error = NULL;
    char text[4];

    assert_true(byte_source_read_at(source, text, 4, 8, NULL));
    assert_memory_equal(text, "mory", 4);
    assert_true(byte_source_read_at(source, text, 0, 4711, NULL));
    assert_false(byte_source_read_at(source, text, 4, 9, &error));
    assert_error(error, FORMATS_ERROR_TRUNCATED,
                 "ends at offset 12, 1 bytes too early");
    error = NULL;
    assert_false(byte_source_read_at(source, text, 4, UINT64_MAX, &error));
    assert_error(error, FORMATS_ERROR_TRUNCATED, "4 bytes too early");
}

static void a_descriptor_that_is_none_is_an_error(void **state)
{
    GError *error = NULL;

    assert_null(byte_source_new_fd(-1, "vm.snap", &error));
    assert_util_error(error, "vm.snap: cannot duplicate its descriptor");
}

int main(void)
{
#define IN_A_WORLD(test)                                                       \
    cmocka_unit_test_setup_teardown(test, make_world, free_world)
    const struct CMUnitTest tests[] = {
        IN_A_WORLD(a_file_that_was_only_read_is_unchanged),
        IN_A_WORLD(a_file_written_to_in_place_has_changed),
        IN_A_WORLD(a_file_that_became_shorter_or_longer_has_changed),
        IN_A_WORLD(setting_the_mtime_back_hides_no_write),
        IN_A_WORLD(a_file_of_another_mode_is_unchanged),
        IN_A_WORLD(a_file_whose_name_went_to_another_is_unchanged),
        IN_A_WORLD(a_file_that_was_renamed_is_unchanged),
        IN_A_WORLD(a_descriptors_file_is_watched_as_well),
        cmocka_unit_test(memory_never_changes),
        cmocka_unit_test(nothing_is_read_beyond_the_end),
        cmocka_unit_test(a_descriptor_that_is_none_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
