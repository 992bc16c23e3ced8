/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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
    OutputFile *file = output_file_new(fixture->path, &error);

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

/* As the process does that the file is handed to. */
static void write_file(const OutputFile *file, const char *text)
{
    ssize_t len = (ssize_t)strlen(text);
    GError *error = NULL;
    int fd = output_file_open(file, O_WRONLY, &error);

    assert_no_error(error);
    assert_int_equal(pwrite(fd, text, (size_t)len, 0), len);
    close(fd);
}

static void publish(OutputFile *file)
{
    uint64_t stored_bytes = 0;
    GError *error = NULL;

    output_file_publish(file, &stored_bytes, &error);
    assert_no_error(error);
    output_file_free(file);
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

    write_text(fixture->path, "old");
    file = create(fixture);
    write_file(file, "new");
    assert_text(fixture->path, "old");
    publish(file);
    assert_text(fixture->path, "new");
    assert_files(fixture, "it");
}

static void an_unpublished_file_leaves_nothing(void **state)
{
    Fixture *fixture = *state;
    OutputFile *file;

    write_text(fixture->path, "old");
    file = create(fixture);
    write_file(file, "half of the n");
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
    assert_text(output_file_temporary(file), "");
    output_file_free(file);
    assert_files(fixture, "");
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

static void a_file_that_somebody_still_writes_is_left_alone(void **state)
{
    Fixture *fixture = *state;
    OutputFile *first = create(fixture);
    GError *error = NULL;

    write_file(first, "first");
    assert_null(output_file_new(fixture->path, &error));
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
    assert_null(output_file_new(fixture->path, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "it.preheat-tmp");
    assert_text(victim, "precious");
}

static void a_device_is_left_alone(void **state)
{
    Fixture *fixture = *state;
    GError *error = NULL;

    /* Stands for /dev/null; a FIFO takes no privilege. */
    assert_int_equal(mkfifo(fixture->path, 0600), 0);
    assert_null(output_file_new(fixture->path, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "not a regular file");
    assert_files(fixture, "it");
}

static void a_link_at_the_path_is_replaced_and_not_followed(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *target =
        g_build_filename(fixture->directory, "target", NULL);
    OutputFile *file;

    write_text(target, "precious");
    assert_int_equal(symlink(target, fixture->path), 0);
    file = create(fixture);
    write_file(file, "new");
    publish(file);
    assert_text(fixture->path, "new");
    assert_text(target, "precious");
}

/* Who else may write to the folder puts another file, or a link to one, where
 * ours is. */
static void assert_not_published(Fixture *fixture, OutputFile *file)
{
    uint64_t stored_bytes;
    GError *error = NULL;

    assert_false(output_file_publish(file, &stored_bytes, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "removed or replaced");
    assert_text(fixture->path, "old");
    output_file_free(file);
}

static void a_link_in_the_files_place_leads_nowhere(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *victim =
        g_build_filename(fixture->directory, "victim", NULL);
    OutputFile *file;

    write_text(fixture->path, "old");
    write_text(victim, "precious");
    file = create(fixture);
    assert_int_equal(unlink(output_file_temporary(file)), 0);
    assert_int_equal(symlink(victim, output_file_temporary(file)), 0);
    write_file(file, "new");
    assert_not_published(fixture, file);
    assert_text(victim, "precious");
}

static void another_file_in_its_place_is_not_published(void **state)
{
    Fixture *fixture = *state;
    OutputFile *file;

    write_text(fixture->path, "old");
    file = create(fixture);
    assert_int_equal(unlink(output_file_temporary(file)), 0);
    write_text(output_file_temporary(file), "somebody else's");
    assert_not_published(fixture, file);
}

static void a_folder_that_is_swapped_meanwhile_keeps_the_file(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *folder = g_build_filename(fixture->directory, "a", NULL);
    g_autofree char *moved = g_build_filename(fixture->directory, "b", NULL);
    g_autofree char *other = g_build_filename(fixture->directory, "c", NULL);
    g_autofree char *inside = g_build_filename(moved, "it", NULL);
    g_autofree char *left = NULL;
    OutputFile *file;

    assert_int_equal(mkdir(folder, 0700) | mkdir(other, 0700), 0);
    g_free(fixture->path);
    fixture->path = g_build_filename(folder, "it", NULL);
    file = create(fixture);
    assert_int_equal(rename(folder, moved), 0);
    assert_int_equal(symlink(other, folder), 0);
    write_file(file, "new");
    publish(file);
    assert_text(inside, "new");
    left = list_directory(other);
    assert_string_equal(left, "");
    assert_int_equal(unlink(inside) | rmdir(moved) | rmdir(other), 0);
}

static unsigned n_syncs_until_failure;
static int sync_failure = EIO;

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_fsync(int fd)
{
    if (n_syncs_until_failure > 0 && --n_syncs_until_failure == 0) {
        errno = sync_failure;
        return -1;
    }
    return __real_fsync(fd);
}

static void
nothing_is_in_place_where_its_directory_cannot_be_synced(void **state)
{
    Fixture *fixture = *state;
    OutputFile *file = create(fixture);
    g_autoptr(GError) error = NULL;
    uint64_t stored_bytes;

    write_file(file, "new");
    n_syncs_until_failure = 2; /* the file's comes first */
    assert_false(output_file_publish(file, &stored_bytes, &error));
    assert_int_equal(n_syncs_until_failure, 0);
    assert_non_null(strstr(error->message, "sync its directory"));
    assert_int_equal(access(fixture->path, F_OK), -1);
    output_file_free(file);
    g_autofree char *left = list_directory(fixture->directory);
    assert_string_equal(left, "");
}

static void a_directory_that_is_never_synced_will_do(void **state)
{
    Fixture *fixture = *state;
    OutputFile *file = create(fixture);

    write_file(file, "new");
    n_syncs_until_failure = 2;
    sync_failure = EINVAL;
    publish(file);
    sync_failure = EIO;
    assert_text(fixture->path, "new");
}

static void the_file_is_for_its_owner_only(void **state)
{
    Fixture *fixture = *state;
    OutputFile *file = create(fixture);
    struct stat status;

    assert_int_equal(stat(output_file_temporary(file), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    output_file_free(file);
}

/* Else one that QEMU still has, of a save that was killed, would be held for
 * ever. */
static void a_descriptor_handed_on_does_not_hold_the_lock(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *kept = g_strconcat(fixture->path, ".kept", NULL);
    OutputFile *file = create(fixture);
    g_autofree char *name = g_strdup(output_file_temporary(file));
    int fd = output_file_open(file, O_WRONLY, NULL);

    assert_int_equal(link(name, kept), 0);
    output_file_free(file);
    assert_int_equal(rename(kept, name), 0);
    output_file_free(create(fixture));
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_published_file_replaces_the_old_one),
        TEST(an_unpublished_file_leaves_nothing),
        TEST(a_file_that_a_killed_process_left_is_replaced),
        TEST(what_has_another_name_is_kept_there),
        TEST(a_file_that_somebody_still_writes_is_left_alone),
        TEST(a_link_at_the_temporary_name_is_not_followed),
        TEST(a_device_is_left_alone),
        TEST(a_link_at_the_path_is_replaced_and_not_followed),
        TEST(a_link_in_the_files_place_leads_nowhere),
        TEST(another_file_in_its_place_is_not_published),
        TEST(a_folder_that_is_swapped_meanwhile_keeps_the_file),
        TEST(nothing_is_in_place_where_its_directory_cannot_be_synced),
        TEST(a_directory_that_is_never_synced_will_do),
        TEST(the_file_is_for_its_owner_only),
        TEST(a_descriptor_handed_on_does_not_hold_the_lock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
