/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/output-file.h"

typedef struct Fixture {
    char *directory;
    char *path;
} Fixture;

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);

    fixture->directory = make_directory();
    fixture->path = g_build_filename(fixture->directory, "it", NULL);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;

    g_free(fixture->path);
    remove_directory(fixture->directory);
    g_free(fixture);
    return 0;
}

static OutputFile *create(Fixture *fixture)
{
    GError *error = NULL;
    OutputFile *file =
        output_file_new(fixture->path, getuid(), getgid(), &error);

    assert_no_error(error);
    return file;
}

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t len = (ssize_t)strlen(text);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, (size_t)len), len);
    close(fd);
}

static void assert_files(Fixture *fixture, const char *names)
{
    g_autofree char *found = list_directory(fixture->directory);

    assert_string_equal(found, names);
}

static void assert_text(const char *path, const char *expected)
{
    g_autofree char *text = NULL;

    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    assert_string_equal(text, expected);
}

static void a_published_file_replaces_the_old_one(void **state)
{
    Fixture *fixture = *state;
    OutputFile *file;
    uint64_t stored_bytes = 0;
    GError *error = NULL;

    write_text(fixture->path, "old");
    file = create(fixture);
    write_text(output_file_temporary(file), "new");
    assert_text(fixture->path, "old");
    output_file_publish(file, &stored_bytes, &error);
    assert_no_error(error);
    output_file_free(file);
    assert_text(fixture->path, "new");
    assert_files(fixture, "it");
}

static void an_unpublished_file_leaves_nothing(void **state)
{
    Fixture *fixture = *state;
    OutputFile *file;

    write_text(fixture->path, "old");
    file = create(fixture);
    write_text(output_file_temporary(file), "half of the n");
    output_file_free(file);
    assert_text(fixture->path, "old");
    assert_files(fixture, "it");
}

static void a_file_that_a_killed_process_left_is_replaced(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *stale = g_strconcat(fixture->path, ".preheat-tmp", NULL);
    OutputFile *file;

    write_text(stale, "half of something old, and longer");
    file = create(fixture);
    assert_true(output_file_replaces_stale(file));
    assert_text(output_file_temporary(file), "");
    output_file_free(file);
    assert_files(fixture, "");
}

/* Removing a large file takes long enough for a second kill, after which there
 * would be no sign of the first. */
static void what_is_removed_is_emptied_before(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *stale = g_strconcat(fixture->path, ".preheat-tmp", NULL);
    struct stat status;
    int fd;

    write_text(stale, "half of something old");
    fd = open(stale, O_RDONLY | O_CLOEXEC);
    output_file_free(create(fixture));
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_size, 0);
    close(fd);
}

static void what_has_another_name_is_kept_there(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *stale = g_strconcat(fixture->path, ".preheat-tmp", NULL);
    g_autofree char *other = g_strconcat(fixture->path, ".other", NULL);

    write_text(stale, "precious");
    assert_int_equal(link(stale, other), 0);
    output_file_free(create(fixture));
    assert_text(other, "precious");
}

static void a_new_file_replaces_nothing(void **state)
{
    Fixture *fixture = *state;
    OutputFile *file = create(fixture);

    assert_false(output_file_replaces_stale(file));
    output_file_free(file);
}

static void a_file_that_somebody_still_writes_is_left_alone(void **state)
{
    Fixture *fixture = *state;
    OutputFile *first = create(fixture);
    GError *error = NULL;

    write_text(output_file_temporary(first), "first");
    assert_null(output_file_new(fixture->path, getuid(), getgid(), &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "another preheat is writing");
    assert_text(output_file_temporary(first), "first");
    output_file_free(first);
}

static void a_link_at_the_temporary_name_is_not_followed(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *victim =
        g_build_filename(fixture->directory, "victim", NULL);
    g_autofree char *temporary =
        g_strconcat(fixture->path, ".preheat-tmp", NULL);
    GError *error = NULL;

    write_text(victim, "precious");
    assert_int_equal(symlink(victim, temporary), 0);
    assert_null(output_file_new(fixture->path, getuid(), getgid(), &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "it.preheat-tmp");
    assert_text(victim, "precious");
}

static void a_device_is_left_alone(void **state)
{
    Fixture *fixture = *state;
    GError *error = NULL;

    /* Stands for /dev/null; a FIFO takes no privilege. */
    assert_int_equal(mkfifo(fixture->path, 0600), 0);
    assert_null(output_file_new(fixture->path, getuid(), getgid(), &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "not a regular file");
    assert_files(fixture, "it");
}

static void a_link_at_the_path_is_replaced_and_not_followed(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *target =
        g_build_filename(fixture->directory, "target", NULL);
    OutputFile *file;
    uint64_t stored_bytes = 0;
    GError *error = NULL;

    write_text(target, "precious");
    assert_int_equal(symlink(target, fixture->path), 0);
    file = create(fixture);
    write_text(output_file_temporary(file), "new");
    output_file_publish(file, &stored_bytes, &error);
    assert_no_error(error);
    output_file_free(file);
    assert_text(fixture->path, "new");
    assert_text(target, "precious");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_published_file_replaces_the_old_one),
        TEST(an_unpublished_file_leaves_nothing),
        TEST(a_file_that_a_killed_process_left_is_replaced),
        TEST(what_is_removed_is_emptied_before),
        TEST(what_has_another_name_is_kept_there),
        TEST(a_new_file_replaces_nothing),
        TEST(a_file_that_somebody_still_writes_is_left_alone),
        TEST(a_link_at_the_temporary_name_is_not_followed),
        TEST(a_device_is_left_alone),
        TEST(a_link_at_the_path_is_replaced_and_not_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
