/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/process-info.h"

static void open_files_are_listed_in_sequence(void **state)
{
    GError *error = NULL;
    FILE *one = tmpfile();
    FILE *null = fopen("/dev/null", "r");
    g_auto(GStrv) names = process_info_open_files(getpid(), &error);

    assert_no_error(error);
    assert_true(g_strv_contains((const char *const *)names, "/dev/null"));
    for (size_t i = 1; names[i]; i++) {
        assert_true(strcmp(names[i - 1], names[i]) <= 0);
    }
    fclose(one);
    fclose(null);
}

static void arguments_are_told_one_by_one(void **state)
{
    GError *error = NULL;
    g_auto(GStrv) arguments = process_info_arguments(getpid(), &error);

    assert_no_error(error);
    assert_non_null(strstr(arguments[0], "test-host-process-info"));
    assert_null(arguments[1]);
}

static void shared_memory_belongs_to_a_file(void **state)
{
    GError *error = NULL;
    ProcessFile files[3];
    int fd = memfd_create("ram", MFD_CLOEXEC);
    char *at[3];

    assert_return_code(ftruncate(fd, 8192), 0);
    at[0] = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
    at[1] = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
    at[2] = mmap(NULL, 8192, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < 3; i++) {
        process_info_shared_file(getpid(), (uintptr_t)at[i] + 4096, &files[i],
                                 &error);
        assert_no_error(error);
    }
    assert_string_not_equal(files[0].id, "");
    assert_false(files[0].has_name);
    assert_string_equal(files[0].id, files[1].id);
    assert_string_not_equal(files[0].id, files[2].id);
    for (size_t i = 0; i < 3; i++) {
        munmap(at[i], 8192);
    }
    close(fd);
}

static void a_file_has_a_name_until_it_is_deleted(void **state)
{
    char *directory = make_directory();
    g_autofree char *path = g_build_filename(directory, "ram", NULL);
    GError *error = NULL;
    ProcessFile file;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char *at;

    assert_return_code(ftruncate(fd, 4096), 0);
    at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    process_info_shared_file(getpid(), (uintptr_t)at, &file, &error);
    assert_no_error(error);
    assert_true(file.has_name);
    assert_return_code(unlink(path), 0);
    process_info_shared_file(getpid(), (uintptr_t)at, &file, &error);
    assert_no_error(error);
    assert_string_not_equal(file.id, "");
    assert_false(file.has_name);
    munmap(at, 4096);
    close(fd);
    remove_directory(directory);
}

static void private_memory_belongs_to_no_file(void **state)
{
    GError *error = NULL;
    ProcessFile file;
    int fd = memfd_create("ram", MFD_CLOEXEC);
    char *at;

    assert_return_code(ftruncate(fd, 4096), 0);
    at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    process_info_shared_file(getpid(), (uintptr_t)at, &file, &error);
    assert_no_error(error);
    assert_string_equal(file.id, "");
    munmap(at, 4096);
    process_info_shared_file(getpid(), (uintptr_t)&file, &file, &error);
    assert_no_error(error);
    assert_string_equal(file.id, "");
    close(fd);
}

static void an_address_without_memory_is_an_error(void **state)
{
    GError *error = NULL;
    ProcessFile file;

    assert_false(process_info_shared_file(getpid(), 0, &file, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "nothing is mapped at 0x0");
}

static void memory_of_ones_own_has_no_other_user(void **state)
{
    GError *error = NULL;
    ProcessFile file;
    char *name = NULL;
    char *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    process_info_shared_file(getpid(), (uintptr_t)at, &file, &error);
    assert_no_error(error);
    assert_int_equal(process_info_other_user(getpid(), &file, &name), 0);
    assert_null(name);
    munmap(at, 4096);
}

static void locked_memory_is_counted(void **state)
{
    GError *error = NULL;
    uint64_t locked_bytes;
    char *at = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (mlock(at, 8192) < 0) {
        munmap(at, 8192);
        print_message("mlock() is not allowed here\n");
        skip();
    }
    process_info_locked_memory(getpid(), &locked_bytes, &error);
    assert_no_error(error);
    assert_int_equal(locked_bytes, 8192);
    munmap(at, 8192);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_files_are_listed_in_sequence),
        cmocka_unit_test(arguments_are_told_one_by_one),
        cmocka_unit_test(shared_memory_belongs_to_a_file),
        cmocka_unit_test(a_file_has_a_name_until_it_is_deleted),
        cmocka_unit_test(private_memory_belongs_to_no_file),
        cmocka_unit_test(an_address_without_memory_is_an_error),
        cmocka_unit_test(memory_of_ones_own_has_no_other_user),
        cmocka_unit_test(locked_memory_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
