/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Another process holds the image as a QEMU does.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/image-state.h"
#include "tests/util/support.h"

/* QEMU's permissions to read consistently and to write. */
#define READ_BYTE  100
#define WRITE_BYTE 101

typedef struct Fixture {
    char *directory;
    ManifestDisk disk;
} Fixture;

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    struct stat st;

    fixture->directory = make_directory();
    fixture->disk.device = (char *)"drive0";
    fixture->disk.file = g_build_filename(fixture->directory, "d.img", NULL);
    assert_true(g_file_set_contents(fixture->disk.file, "12345", 5, NULL));
    assert_int_equal(stat(fixture->disk.file, &st), 0);
    image_state_note(&fixture->disk, &st);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;

    g_free(fixture->disk.file);
    remove_directory(fixture->directory);
    g_free(fixture);
    return 0;
}

/* A process that has the image open, locked at that byte, until it is killed.
 */
static pid_t hold(const char *path, int flags, off_t byte)
{
    int fds[2];
    char c;

    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct flock lock = {.l_type = F_RDLCK, .l_start = byte, .l_len = 1};
        int fd = open(path, flags);

        /* A test that fails leaves nobody behind. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0 &&
            write(fds[1], "x", 1) == 1) {
            pause();
        }
        _exit(1);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &c, 1), 1);
    close(fds[0]);
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void assert_refused(const Fixture *fixture, const char *why)
{
    GError *error = NULL;

    assert_false(image_state_check(&fixture->disk, &error));
    assert_non_null(strstr(error->message, "disk drive0: "));
    assert_non_null(strstr(error->message, fixture->disk.file));
    assert_util_error(error, UTIL_ERROR_FAILED, why);
}

static void an_image_that_is_as_it_was_is_fine(void **state)
{
    const Fixture *fixture = *state;
    GError *error = NULL;

    assert_true(image_state_check(&fixture->disk, &error));
    assert_no_error(error);
}

static void a_missing_image_is_told_by_name(void **state)
{
    const Fixture *fixture = *state;

    assert_int_equal(unlink(fixture->disk.file), 0);
    assert_refused(fixture, "is missing");
}

static void an_image_of_another_length_has_changed(void **state)
{
    const Fixture *fixture = *state;
    struct timespec times[2];
    struct stat st;

    assert_int_equal(stat(fixture->disk.file, &st), 0);
    times[0] = times[1] = st.st_mtim;
    assert_int_equal(truncate(fixture->disk.file, 6), 0);
    assert_int_equal(utimensat(AT_FDCWD, fixture->disk.file, times, 0), 0);
    assert_refused(fixture, "has changed since the snapshot was saved");
}

static void an_image_of_another_time_has_changed(void **state)
{
    const Fixture *fixture = *state;
    const struct timespec times[] = {{1, 0}, {1, 0}};

    assert_int_equal(utimensat(AT_FDCWD, fixture->disk.file, times, 0), 0);
    assert_refused(fixture, "it was written to");
}

static void a_copy_with_the_same_time_is_as_good(void **state)
{
    const Fixture *fixture = *state;
    GError *error = NULL;
    struct timespec times[2];
    struct stat st;

    assert_int_equal(stat(fixture->disk.file, &st), 0);
    times[0] = times[1] = st.st_mtim;
    assert_int_equal(unlink(fixture->disk.file), 0);
    assert_true(g_file_set_contents(fixture->disk.file, "12345", 5, NULL));
    assert_int_equal(utimensat(AT_FDCWD, fixture->disk.file, times, 0), 0);
    assert_true(image_state_check(&fixture->disk, &error));
    assert_no_error(error);
}

/* A manifest's numbers have 63 bits. */
static void any_time_and_any_inode_can_be_told_again(void **state)
{
    Fixture *fixture = *state;
    const struct timespec times[] = {{-5, 1}, {-5, 1}};
    GError *error = NULL;
    struct stat st;

    assert_int_equal(utimensat(AT_FDCWD, fixture->disk.file, times, 0), 0);
    assert_int_equal(stat(fixture->disk.file, &st), 0);
    st.st_ino |= UINT64_C(1) << 63;
    image_state_note(&fixture->disk, &st);
    assert_true(fixture->disk.mtime_ns <= INT64_MAX);
    assert_true(fixture->disk.inode <= INT64_MAX);
    assert_true(image_state_check(&fixture->disk, &error));
    assert_no_error(error);
}

static void a_guest_that_still_runs_on_it_is_told_with_its_process(void **state)
{
    const Fixture *fixture = *state;
    pid_t pid = hold(fixture->disk.file, O_RDWR, WRITE_BYTE);
    g_autofree char *who =
        g_strdup_printf("is being written to by process %d (", (int)pid);

    assert_refused(fixture, who);
    end(pid);
}

static void who_only_reads_it_is_no_hindrance(void **state)
{
    const Fixture *fixture = *state;
    pid_t pid = hold(fixture->disk.file, O_RDONLY, READ_BYTE);
    GError *error = NULL;
    ImageUser user;

    assert_true(image_state_check(&fixture->disk, &error));
    assert_no_error(error);
    assert_true(image_state_is_used(fixture->disk.file, true, &user));
    assert_int_equal(user.pid, pid);
    end(pid);
    assert_false(image_state_is_used(fixture->disk.file, true, &user));
}

#define IMAGE_TEST(name)                                                       \
    cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IMAGE_TEST(an_image_that_is_as_it_was_is_fine),
        IMAGE_TEST(a_missing_image_is_told_by_name),
        IMAGE_TEST(an_image_of_another_length_has_changed),
        IMAGE_TEST(an_image_of_another_time_has_changed),
        IMAGE_TEST(a_copy_with_the_same_time_is_as_good),
        IMAGE_TEST(any_time_and_any_inode_can_be_told_again),
        IMAGE_TEST(a_guest_that_still_runs_on_it_is_told_with_its_process),
        IMAGE_TEST(who_only_reads_it_is_no_hindrance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
