/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/load-folder.h"
#include "tests/util/support.h"

typedef struct Fixture {
    char *parent;
    char *old_tmpdir;
} Fixture;

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);

    fixture->parent = make_directory();
    fixture->old_tmpdir = g_strdup(g_getenv("TMPDIR"));
    g_setenv("TMPDIR", fixture->parent, TRUE);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;

    if (fixture->old_tmpdir) {
        g_setenv("TMPDIR", fixture->old_tmpdir, TRUE);
    } else {
        g_unsetenv("TMPDIR");
    }
    g_free(fixture->old_tmpdir);
    remove_directory(fixture->parent);
    g_free(fixture);
    return 0;
}

static LoadFolder *new_folder(const char *kept)
{
    GError *error = NULL;
    LoadFolder *folder = load_folder_new(kept, &error);

    assert_no_error(error);
    return folder;
}

static char *put_file(const char *folder, const char *name)
{
    char *path = g_build_filename(folder, name, NULL);

    assert_true(g_file_set_contents(path, "x", 1, NULL));
    return path;
}

static void assert_files(const char *folder, const char *expected)
{
    g_autofree char *names = list_directory(folder);

    assert_string_equal(names, expected);
}

static void a_folder_is_for_this_user_and_goes_with_the_load(void **state)
{
    const Fixture *fixture = *state;
    LoadFolder *folder = new_folder(NULL);
    g_autofree char *file = put_file(load_folder_path(folder), "a");
    struct stat st;

    assert_true(g_str_has_prefix(load_folder_path(folder), fixture->parent));
    assert_int_equal(stat(load_folder_path(folder), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    load_folder_free(folder);
    assert_files(fixture->parent, "");
}

static void no_place_is_given_twice(void **state)
{
    LoadFolder *folder = new_folder(NULL);
    g_autofree char *one = load_folder_place(folder, "q.sock");
    g_autofree char *two = load_folder_place(folder, "q.sock");

    assert_true(g_str_has_suffix(one, "/q.sock"));
    assert_string_not_equal(one, two);
    load_folder_free(folder);
}

static void a_kept_folder_stays_unless_nothing_came_of_it(void **state)
{
    const Fixture *fixture = *state;
    g_autofree char *path = g_build_filename(fixture->parent, "kept", NULL);
    LoadFolder *folder = new_folder(path);
    g_autofree char *file = put_file(path, "a");

    load_folder_free(folder);
    assert_files(path, "a");
    assert_int_equal(unlink(file), 0);
    folder = new_folder(path);
    load_folder_discard(folder);
    load_folder_free(folder);
    assert_files(fixture->parent, "");
}

static void a_folder_with_somebodys_files_is_not_taken(void **state)
{
    const Fixture *fixture = *state;
    g_autofree char *file = put_file(fixture->parent, "a");
    GError *error = NULL;

    assert_null(load_folder_new(fixture->parent, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "not an empty directory");
    assert_int_equal(unlink(file), 0);
}

static void what_a_snapshot_needs_stays(void **state)
{
    LoadFolder *folder = new_folder(NULL);
    g_autofree char *path = g_strdup(load_folder_path(folder));
    g_autofree char *file = put_file(path, "d0.qcow2.261125-120000-123.qcow2");
    g_autofree char *found = load_folder_find_saved(folder);

    assert_string_equal(found, file);
    load_folder_free(folder);
    assert_files(path, "d0.qcow2.261125-120000-123.qcow2");
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(path), 0);
}

static void make_old(const char *path)
{
    const struct timespec times[] = {{1, 0}, {1, 0}};

    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void a_folder_that_nobody_has_any_more_is_removed(void **state)
{
    const Fixture *fixture = *state;
    g_autofree char *left =
        g_build_filename(fixture->parent, "preheat-load-abcdef", NULL);

    assert_int_equal(mkdir(left, 0700), 0);
    g_autofree char *file = put_file(left, "d0.qcow2");
    make_old(left);
    LoadFolder *folder = new_folder(NULL);
    assert_false(g_file_test(left, G_FILE_TEST_EXISTS));
    load_folder_free(folder);
}

static void a_folder_in_use_is_left_alone(void **state)
{
    LoadFolder *used = new_folder(NULL);
    g_autofree char *path = g_strdup(load_folder_path(used));

    make_old(path);
    LoadFolder *folder = new_folder(NULL);
    assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
    load_folder_free(folder);
    load_folder_free(used);
}

#define FOLDER_TEST(name)                                                      \
    cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(a_folder_is_for_this_user_and_goes_with_the_load),
        FOLDER_TEST(no_place_is_given_twice),
        FOLDER_TEST(a_kept_folder_stays_unless_nothing_came_of_it),
        FOLDER_TEST(a_folder_with_somebodys_files_is_not_taken),
        FOLDER_TEST(what_a_snapshot_needs_stays),
        FOLDER_TEST(a_folder_that_nobody_has_any_more_is_removed),
        FOLDER_TEST(a_folder_in_use_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
