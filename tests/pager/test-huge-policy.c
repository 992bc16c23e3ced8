/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where the kernel would use huge pages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>

#include <cmocka.h>
#include <glib/gstdio.h>

#include "plugin/pager/huge-policy.h"

#define QEMU_FLAGS " rd wr mr mw me ac dd hg mg "
#define NO_ADVICE  " rd wr mr mw me ac "

/* A folder with settings. */
static char *folder;

static int make_folder(void **state)
{
    folder = g_dir_make_tmp("preheat-test-XXXXXX", NULL);
    g_autofree char *ksm = g_build_filename(folder, "ksm", NULL);
    g_autofree char *of_size =
        g_build_filename(folder, "transparent_hugepage/hugepages-2048kB", NULL);

    return folder && g_mkdir(ksm, 0700) == 0 &&
                   g_mkdir_with_parents(of_size, 0700) == 0
               ? 0
               : -1;
}

static void set(const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);

    assert_true(g_file_set_contents(path, text, -1, NULL));
}

static int remove_folder(void **state)
{
    static const char *const files[] = {
        "ksm/run",
        "ksm",
        "transparent_hugepage/hugepages-2048kB/enabled",
        "transparent_hugepage/hugepages-2048kB/shmem_enabled",
        "transparent_hugepage/hugepages-2048kB",
        "transparent_hugepage/enabled",
        "transparent_hugepage/shmem_enabled",
        "transparent_hugepage/hpage_pmd_size",
        "transparent_hugepage",
        "",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(folder, files[i], NULL);

        g_remove(path);
    }
    g_free(folder);
    return 0;
}

static void set_debians_settings(void)
{
    set("transparent_hugepage/hpage_pmd_size", "2097152\n");
    set("transparent_hugepage/enabled", "[always] madvise never\n");
    set("transparent_hugepage/shmem_enabled",
        "always within_size advise [never] deny force\n");
}

static HugePolicy read_policy(void)
{
    HugePolicy policy;

    assert_true(huge_policy_read(folder, &policy));
    return policy;
}

static bool anonymous_has(const HugePolicy *policy, const char *flags)
{
    return huge_policy_allows(policy, RAM_ANONYMOUS, flags, NULL);
}

static bool shared_has(const HugePolicy *policy, const char *flags)
{
    return huge_policy_allows(policy, RAM_SHARED, flags, NULL);
}

static bool file_has(const HugePolicy *policy, const char *mount_options)
{
    return huge_policy_allows(policy, RAM_SHARED, QEMU_FLAGS, mount_options);
}

static void all_anonymous_memory_has_them_where_it_says_always(void **state)
{
    set_debians_settings();
    HugePolicy policy = read_policy();

    assert_int_equal(policy.huge_bytes, 2 << 20);
    assert_true(anonymous_has(&policy, QEMU_FLAGS));
    assert_true(anonymous_has(&policy, NO_ADVICE));
    assert_false(shared_has(&policy, QEMU_FLAGS));
    assert_false(file_has(&policy, "rw,size=1g"));
}

static void only_advised_memory_has_them_where_it_says_so(void **state)
{
    set_debians_settings();
    set("transparent_hugepage/enabled", "always [madvise] never\n");
    set("transparent_hugepage/shmem_enabled",
        "always within_size [advise] never deny force\n");
    HugePolicy policy = read_policy();

    assert_true(anonymous_has(&policy, QEMU_FLAGS));
    assert_false(anonymous_has(&policy, NO_ADVICE));
    assert_true(shared_has(&policy, QEMU_FLAGS));
    assert_false(shared_has(&policy, NO_ADVICE));
}

static void no_memory_has_them_where_it_says_never(void **state)
{
    set_debians_settings();
    set("transparent_hugepage/enabled", "always madvise [never]\n");
    HugePolicy policy = read_policy();

    assert_false(anonymous_has(&policy, QEMU_FLAGS));
}

static void what_is_said_of_the_size_comes_first(void **state)
{
    set_debians_settings();
    set("transparent_hugepage/hugepages-2048kB/enabled",
        "always inherit madvise [never]\n");
    set("transparent_hugepage/hugepages-2048kB/shmem_enabled",
        "[always] inherit within_size advise never\n");
    HugePolicy policy = read_policy();

    assert_false(anonymous_has(&policy, QEMU_FLAGS));
    assert_true(shared_has(&policy, NO_ADVICE));
    set("transparent_hugepage/hugepages-2048kB/enabled",
        "always [inherit] madvise never\n");
    set("transparent_hugepage/hugepages-2048kB/shmem_enabled",
        "always [inherit] within_size advise never\n");
    policy = read_policy();
    assert_true(anonymous_has(&policy, NO_ADVICE));
    assert_false(shared_has(&policy, QEMU_FLAGS));
}

static void locked_memory_and_memory_that_wants_none_have_none(void **state)
{
    set_debians_settings();
    HugePolicy policy = read_policy();

    assert_false(anonymous_has(&policy, " rd wr mr mw me ac nh "));
    assert_false(anonymous_has(&policy, " rd wr mr mw me lo ac hg "));
    assert_false(anonymous_has(&policy, " rd wr mr mw me ac ht "));
}

static void
memory_that_is_offered_to_ksm_has_them_unless_it_is_at_work(void **state)
{
    set_debians_settings();
    set("ksm/run", "0\n");
    HugePolicy policy = read_policy();

    assert_true(anonymous_has(&policy, QEMU_FLAGS));
    set("ksm/run", "1\n");
    policy = read_policy();
    assert_false(anonymous_has(&policy, QEMU_FLAGS));
    assert_true(anonymous_has(&policy, NO_ADVICE));
}

static void a_tmpfs_has_them_by_its_mount_options(void **state)
{
    set_debians_settings();
    HugePolicy policy = read_policy();

    assert_true(file_has(&policy, "rw,size=1g,huge=always"));
    assert_true(file_has(&policy, "rw,huge=within_size,size=1g"));
    assert_true(file_has(&policy, "rw,huge=advise"));
    assert_false(file_has(&policy, "rw,huge=never"));
    set("transparent_hugepage/shmem_enabled",
        "always within_size advise never [deny] force\n");
    policy = read_policy();
    assert_false(file_has(&policy, "rw,huge=always"));
    set("transparent_hugepage/shmem_enabled",
        "always within_size advise never deny [force]\n");
    policy = read_policy();
    assert_true(file_has(&policy, "rw"));
}

static void without_settings_there_are_none(void **state)
{
    HugePolicy policy;

    assert_false(huge_policy_read(folder, &policy));
    assert_false(huge_policy_read("/nowhere", &policy));
}

static void a_process_that_wants_none_has_none(void **state)
{
    HugePolicy policy;

    set_debians_settings();
    assert_int_equal(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
    bool found = huge_policy_read(folder, &policy);
    assert_int_equal(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0), 0);
    assert_false(found);
}

#define IN_A_FOLDER(test)                                                      \
    cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(all_anonymous_memory_has_them_where_it_says_always),
        IN_A_FOLDER(only_advised_memory_has_them_where_it_says_so),
        IN_A_FOLDER(no_memory_has_them_where_it_says_never),
        IN_A_FOLDER(what_is_said_of_the_size_comes_first),
        IN_A_FOLDER(locked_memory_and_memory_that_wants_none_have_none),
        IN_A_FOLDER(
            memory_that_is_offered_to_ksm_has_them_unless_it_is_at_work),
        IN_A_FOLDER(a_tmpfs_has_them_by_its_mount_options),
        IN_A_FOLDER(without_settings_there_are_none),
        IN_A_FOLDER(a_process_that_wants_none_has_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
