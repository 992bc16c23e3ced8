/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory that cannot be loaded lazily, and a kernel that does not help.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "plugin/pager/ram-range.h"

static void memory_mapped_from_an_ordinary_file_is_refused(void **state)
{
    char path[] = "/var/tmp/preheat-test-XXXXXX";
    int fd = mkstemp(path);
    RamKind kind;
    g_autoptr(GError) error = NULL;

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 65536), 0);
    void *memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    bool ok =
        ram_range_check("pc.ram", (uintptr_t)memory, 65536, &kind, &error);
    munmap(memory, 65536);
    close(fd);
    unlink(path);
    assert_false(ok);
    assert_true(g_error_matches(error, PAGER_ERROR, PAGER_ERROR_RAM));
    assert_non_null(strstr(error->message, "ordinary file"));
    assert_non_null(strstr(error->message, "--policy full"));
}

static void private_memory_of_a_memfd_is_refused(void **state)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    RamKind kind;
    g_autoptr(GError) error = NULL;

    assert_int_equal(ftruncate(fd, 65536), 0);
    void *memory =
        mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    bool ok =
        ram_range_check("pc.ram", (uintptr_t)memory, 65536, &kind, &error);
    munmap(memory, 65536);
    close(fd);
    assert_false(ok);
    assert_non_null(strstr(error->message, "share=on"));
}

static void huge_pages_of_a_memfd_are_refused(void **state)
{
    const uint64_t len = 2 << 20;
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_HUGETLB);
    RamKind kind;
    g_autoptr(GError) error = NULL;

    if (fd < 0) {
        print_message("skipped: this kernel has no huge pages\n");
        skip();
    }
    assert_int_equal(ftruncate(fd, (off_t)len), 0);
    /* Without a reservation, and never touched: there may be none. */
    void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_NORESERVE, fd, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    bool ok = ram_range_check("pc.ram", (uintptr_t)memory, len, &kind, &error);
    munmap(memory, len);
    close(fd);
    assert_false(ok);
    assert_true(g_error_matches(error, PAGER_ERROR, PAGER_ERROR_RAM));
    assert_non_null(strstr(error->message, "hugetlb"));
}

static void memory_that_is_not_there_is_refused(void **state)
{
    RamKind kind;
    g_autoptr(GError) error = NULL;
    uint8_t *memory = mmap(NULL, 3 * 65536, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    munmap(memory + 65536, 65536);
    assert_false(
        ram_range_check("pc.ram", (uintptr_t)memory, 3 * 65536, &kind, &error));
    munmap(memory, 3 * 65536);
    assert_true(g_error_matches(error, PAGER_ERROR, PAGER_ERROR_RAM));
}

/* ---- userfaultfd ---- */

/* What opening one gives. */
static int open_rc;

int __wrap_uffd_open(int *ret_fd, UffdCaps *ret_caps);

int __wrap_uffd_open(int *ret_fd, UffdCaps *ret_caps)
{
    return open_rc;
}

static void assert_cannot_open(int rc, const char *text)
{
    g_autoptr(GError) error = NULL;
    UffdCaps caps;
    int fd;

    open_rc = rc;
    assert_false(ram_range_open_uffd(&fd, &caps, "do without", &error));
    assert_true(g_error_matches(error, PAGER_ERROR, PAGER_ERROR_SYSTEM));
    assert_non_null(strstr(error->message, text));
    assert_non_null(strstr(error->message, "do without"));
}

static void
a_user_who_may_have_no_userfaultfd_is_told_what_to_allow(void **state)
{
    assert_cannot_open(-EPERM, "/dev/userfaultfd");
    assert_cannot_open(-EACCES, "vm.unprivileged_userfaultfd=1");
}

static void a_kernel_without_userfaultfd_is_told_of(void **state)
{
    assert_cannot_open(-ENOSYS, "CONFIG_USERFAULTFD");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_mapped_from_an_ordinary_file_is_refused),
        cmocka_unit_test(private_memory_of_a_memfd_is_refused),
        cmocka_unit_test(huge_pages_of_a_memfd_are_refused),
        cmocka_unit_test(memory_that_is_not_there_is_refused),
        cmocka_unit_test(
            a_user_who_may_have_no_userfaultfd_is_told_what_to_allow),
        cmocka_unit_test(a_kernel_without_userfaultfd_is_told_of),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
