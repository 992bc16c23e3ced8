/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory that cannot be loaded lazily, and a kernel that does not help.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "plugin/pager/ram-range.h"
#include "tests/pager/ram-kinds.h"

#define OTHERWISE "load with --policy full"

/* What opening one gives, unless it is this. */
#define OPEN_REALLY 1
static int open_rc = OPEN_REALLY;

int __real_uffd_open(int *ret_fd, UffdCaps *ret_caps);
int __wrap_uffd_open(int *ret_fd, UffdCaps *ret_caps);

int __wrap_uffd_open(int *ret_fd, UffdCaps *ret_caps)
{
    return open_rc == OPEN_REALLY ? __real_uffd_open(ret_fd, ret_caps)
                                  : open_rc;
}

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
    bool ok = ram_range_check("pc.ram", (uintptr_t)memory, 65536, OTHERWISE,
                              &kind, &error);
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
    bool ok = ram_range_check("pc.ram", (uintptr_t)memory, 65536, OTHERWISE,
                              &kind, &error);
    munmap(memory, 65536);
    close(fd);
    assert_false(ok);
    assert_non_null(strstr(error->message, "share=on"));
}

/* Without a reservation, and never touched: there may be none.  False: this
 * kernel has no huge pages. */
static bool check_hugetlb_memfd(int flags, RamKind *ret_kind,
                                RamHugePages *ret_pages)
{
    const uint64_t len = 2 << 20;
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_HUGETLB);
    g_autoptr(GError) error = NULL;

    if (fd < 0) {
        print_message("skipped: this kernel has no huge pages\n");
        return false;
    }
    assert_int_equal(ftruncate(fd, (off_t)len), 0);
    void *memory =
        mmap(NULL, len, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    uint64_t start = (uintptr_t)memory;
    assert_true(
        ram_range_check("pc.ram", start, len, OTHERWISE, ret_kind, &error));
    assert_true(
        ram_range_huge_pages("pc.ram", start, OTHERWISE, ret_pages, &error));
    munmap(memory, len);
    close(fd);
    return true;
}

static void huge_pages_of_a_memfd_are_known_by_kind_and_size(void **state)
{
    RamHugePages pages;
    RamKind kind;

    if (!check_hugetlb_memfd(MAP_SHARED, &kind, &pages)) {
        skip();
    }
    assert_int_equal(kind, RAM_HUGETLB_SHARED);
    assert_int_equal(pages.bytes, 2 << 20);
    assert_false(pages.is_reserved);
    assert_true(check_hugetlb_memfd(MAP_PRIVATE, &kind, &pages));
    assert_int_equal(kind, RAM_HUGETLB);
}

static void private_huge_pages_of_a_file_with_contents_are_refused(void **state)
{
    const uint64_t len = 2 << 20;
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_HUGETLB);
    RamHugePages pages;
    RamKind kind;
    g_autoptr(GError) error = NULL;
    HugetlbPool pool;

    if (fd < 0 || !hugetlb_pool_open(&pool, 3)) {
        skip();
    }
    assert_int_equal(fallocate(fd, 0, 0, (off_t)len), 0);
    void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    uint64_t start = (uintptr_t)memory;
    assert_false(
        ram_range_check("pc.ram", start, len, OTHERWISE, &kind, &error));
    assert_non_null(strstr(error->message, "contents"));
    assert_non_null(strstr(error->message, "share=on"));
    assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               0, (off_t)len),
                     0);
    assert_true(ram_range_check("pc.ram", start, len, OTHERWISE, &kind, NULL));
    assert_true(ram_range_huge_pages("pc.ram", start, OTHERWISE, &pages, NULL));
    assert_true(pages.is_reserved);
    /* What cannot be looked at is not known to be empty. */
    close(fd);
    assert_false(ram_range_check("pc.ram", start, len, OTHERWISE, &kind, NULL));
    munmap(memory, len);
    hugetlb_pool_close(&pool);
}

/* ---- what the memory's file is called does not matter ---- */

/* The range's kind by a shared mapping of len bytes of the file, without
 * reserving anything. */
static bool check_file(const char *path, uint64_t len, RamKind *ret_kind,
                       GError **error)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    RamKind kind = RAM_ANONYMOUS;

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)len), 0);
    void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_NORESERVE, fd, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    /* As QEMU does with files of its own. */
    unlink(path);
    close(fd);
    bool ok = ram_range_check("pc.ram", (uintptr_t)memory, len, OTHERWISE,
                              &kind, error);
    munmap(memory, len);
    *ret_kind = kind;
    return ok;
}

static void a_file_on_tmpfs_may_be_called_hugetlb(void **state)
{
    g_autofree char *path =
        g_strdup_printf("/dev/shm/preheat-hugetlb-%d", (int)getpid());
    g_autoptr(GError) error = NULL;
    RamKind kind;

    assert_true(check_file(path, 65536, &kind, &error));
    assert_int_equal(kind, RAM_SHARED);
}

static void a_file_on_devtmpfs_is_not_on_tmpfs(void **state)
{
    g_autofree char *path = g_strdup_printf("/dev/preheat-%d", (int)getpid());
    g_autofree char *mounts = NULL;
    g_autoptr(GError) error = NULL;
    RamKind kind;

    assert_true(
        g_file_get_contents("/proc/self/mountinfo", &mounts, NULL, NULL));
    if (geteuid() != 0 || !strstr(mounts, " - devtmpfs ")) {
        print_message("skipped: needs root and a devtmpfs\n");
        skip();
    }
    assert_false(check_file(path, 65536, &kind, &error));
    assert_non_null(strstr(error->message, "devtmpfs"));
}

/* ---- in a process of its own ---- */

#define CHILD_SKIPS 77

/* Run check() in a child, for what cannot be undone; skip if it says so. */
static void run_in_child(void (*check)(void))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        check();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_SKIPS) {
        skip();
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void require(bool ok, int status, const char *what, const GError *error)
{
    if (!ok) {
        print_message("%s: %s%s\n",
                      status == CHILD_SKIPS ? "skipped" : "failed", what,
                      error ? error->message : "");
        _exit(status);
    }
}

static void check_hugetlbfs(void)
{
    g_autoptr(GError) error = NULL;
    RamKind kind = RAM_ANONYMOUS;

    /* The mount ends with this process. */
    require(unshare(CLONE_NEWNS) == 0 &&
                mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                mount("none", "/mnt", "hugetlbfs", 0, NULL) == 0,
            CHILD_SKIPS, "hugetlbfs cannot be mounted here", NULL);
    require(check_file("/mnt/ram", 2 << 20, &kind, &error), 1, "", error);
    require(kind == RAM_HUGETLB_SHARED, 1, "another kind", NULL);
}

static void a_file_on_hugetlbfs_is_known_by_its_kind(void **state)
{
    run_in_child(check_hugetlbfs);
}

static bool check_anonymous(GError **error)
{
    RamKind kind;
    void *memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return ram_range_check("pc.ram", (uintptr_t)memory, 65536, OTHERWISE, &kind,
                           error);
}

/* The new root is a folder that is nowhere any more. */
static void give_up_root(void)
{
    char folder[] = "/tmp/preheat-test-XXXXXX";
    int parent = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);

    require(geteuid() == 0, CHILD_SKIPS, "needs root", NULL);
    require(mkdtemp(folder) && chroot(folder) == 0 && chdir("/") == 0 &&
                unlinkat(parent, folder + strlen("/tmp/"), AT_REMOVEDIR) == 0,
            1, "chroot", NULL);
    require(setgid(65534) == 0 && setuid(65534) == 0, 1, "setuid", NULL);
}

static void check_prepared(void)
{
    g_autoptr(GError) error = NULL;
    int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    RamKind kind;
    UffdCaps caps;
    int uffd;

    require(fd >= 0 && ftruncate(fd, 65536) == 0, CHILD_SKIPS,
            "needs tmpfs on /dev/shm", NULL);
    void *shared = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ram_range_prepare();
    give_up_root();
    require(check_anonymous(&error), 1, "anonymous: ", error);
    require(ram_range_check("mem", (uintptr_t)shared, 65536, OTHERWISE, &kind,
                            &error) &&
                kind == RAM_SHARED,
            1, "shared: ", error);
    require(ram_range_open_uffd(&uffd, &caps, "do without", &error), 1,
            "userfaultfd: ", error);
    /* As many as are wanted later. */
    require(
        ram_range_open_uffd_with_removals(&uffd, &caps, "do without", &error),
        1, "again: ", error);
}

static void
after_preparation_memory_can_be_taken_over_without_root_and_paths(void **state)
{
    if (access("/dev/userfaultfd", R_OK | W_OK) != 0) {
        print_message("skipped: needs /dev/userfaultfd\n");
        skip();
    }
    run_in_child(check_prepared);
}

static void check_unprepared(void)
{
    g_autoptr(GError) error = NULL;

    give_up_root();
    require(!check_anonymous(&error), 1, "read", NULL);
    require(g_error_matches(error, PAGER_ERROR, PAGER_ERROR_SYSTEM) &&
                strstr(error->message, "/proc/self/maps"),
            1, "the reason is ", error);
}

static void without_preparation_the_missing_file_is_named(void **state)
{
    run_in_child(check_unprepared);
}

/* ---- */

static void memory_that_is_locked_is_refused(void **state)
{
    g_autoptr(GError) error = NULL;
    uint8_t *memory = mmap(NULL, 4 * 65536, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uintptr_t start = (uintptr_t)memory;

    /* The sanitizers have an mlock() of their own. */
    if (syscall(SYS_mlock, memory + 2 * 65536, 65536) != 0) {
        print_message("skipped: memory cannot be locked here\n");
        skip();
    }
    assert_false(ram_range_check_unlocked("pc.ram", start, 3 * 65536, OTHERWISE,
                                          &error));
    assert_true(g_error_matches(error, PAGER_ERROR, PAGER_ERROR_RAM));
    assert_non_null(strstr(error->message, "locked"));
    g_clear_error(&error);
    /* What is locked elsewhere does not matter. */
    assert_true(ram_range_check_unlocked("pc.ram", start, 2 * 65536, OTHERWISE,
                                         &error));
    munmap(memory, 4 * 65536);
}

static void memory_that_is_not_there_is_refused(void **state)
{
    RamKind kind;
    g_autoptr(GError) error = NULL;
    uint8_t *memory = mmap(NULL, 3 * 65536, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    munmap(memory + 65536, 65536);
    assert_false(ram_range_check("pc.ram", (uintptr_t)memory, 3 * 65536,
                                 OTHERWISE, &kind, &error));
    munmap(memory, 3 * 65536);
    assert_true(g_error_matches(error, PAGER_ERROR, PAGER_ERROR_RAM));
}

/* ---- userfaultfd ---- */

static void assert_cannot_open(int rc, const char *text)
{
    g_autoptr(GError) error = NULL;
    UffdCaps caps;
    int fd;

    open_rc = rc;
    assert_false(ram_range_open_uffd(&fd, &caps, "do without", &error));
    open_rc = OPEN_REALLY;
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
        cmocka_unit_test(huge_pages_of_a_memfd_are_known_by_kind_and_size),
        cmocka_unit_test(
            private_huge_pages_of_a_file_with_contents_are_refused),
        cmocka_unit_test(a_file_on_tmpfs_may_be_called_hugetlb),
        cmocka_unit_test(a_file_on_devtmpfs_is_not_on_tmpfs),
        cmocka_unit_test(a_file_on_hugetlbfs_is_known_by_its_kind),
        cmocka_unit_test(
            after_preparation_memory_can_be_taken_over_without_root_and_paths),
        cmocka_unit_test(without_preparation_the_missing_file_is_named),
        cmocka_unit_test(memory_that_is_locked_is_refused),
        cmocka_unit_test(memory_that_is_not_there_is_refused),
        cmocka_unit_test(
            a_user_who_may_have_no_userfaultfd_is_told_what_to_allow),
        cmocka_unit_test(a_kernel_without_userfaultfd_is_told_of),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
