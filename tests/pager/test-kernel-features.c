/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What which kernel is trusted with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "plugin/pager/kernel-features.h"

#define NO_TEXT "#1 SMP PREEMPT_DYNAMIC"

static void assert_safe_from(KernelFeature feature, const char *before,
                             const char *from)
{
    assert_false(kernel_feature_is_safe_in(feature, before, NO_TEXT));
    assert_true(kernel_feature_is_safe_in(feature, from, NO_TEXT));
}

static void a_feature_is_safe_from_the_version_that_mended_it(void **state)
{
    assert_safe_from(KERNEL_SHARED_HOLES, "6.3.13", "6.4.0");
    assert_safe_from(KERNEL_SHARED_HOLES, "5.15.200-generic", "7.0.0");
    assert_safe_from(KERNEL_COLLAPSE_SHARED, "6.1.190", "6.6.1");
}

static void a_stable_branch_is_safe_from_its_own_fix_on(void **state)
{
    assert_safe_from(KERNEL_MOVE, "6.12.42", "6.12.43");
    assert_safe_from(KERNEL_MOVE, "6.15.10", "6.15.11");
    assert_safe_from(KERNEL_MOVE, "6.16.1", "6.16.2");
    assert_safe_from(KERNEL_MOVE, "6.8.0-60-generic", "6.17.0-5-generic");
    assert_safe_from(KERNEL_COLLAPSE, "6.1.12", "6.1.13");
    assert_safe_from(KERNEL_CONTINUE, "6.0.8", "6.0.9");
}

static void a_branch_that_never_got_the_fix_is_not_safe(void **state)
{
    assert_false(kernel_feature_is_safe_in(KERNEL_MOVE, "6.13.12", NO_TEXT));
    assert_false(kernel_feature_is_safe_in(KERNEL_MOVE, "6.14.99", NO_TEXT));
}

static void a_fault_that_came_later_is_known_in_its_versions_only(void **state)
{
    assert_true(
        kernel_feature_is_safe_in(KERNEL_MOVE_HUGE, "6.12.60", NO_TEXT));
    assert_true(
        kernel_feature_is_safe_in(KERNEL_MOVE_HUGE, "6.15.11", NO_TEXT));
    assert_false(
        kernel_feature_is_safe_in(KERNEL_MOVE_HUGE, "6.16.12", NO_TEXT));
    assert_false(
        kernel_feature_is_safe_in(KERNEL_MOVE_HUGE, "6.17.13", NO_TEXT));
    assert_safe_from(KERNEL_MOVE_HUGE, "6.18.19", "6.18.20");
    assert_safe_from(KERNEL_MOVE_HUGE, "6.19.9", "6.19.10");
    assert_true(kernel_feature_is_safe_in(KERNEL_MOVE_HUGE, "7.0.0", NO_TEXT));
}

static void a_kernel_of_debian_is_known_by_its_second_text(void **state)
{
    const char *release = "6.1.0-40-amd64";

    assert_true(kernel_feature_is_safe_in(
        KERNEL_COLLAPSE, release,
        "#1 SMP PREEMPT_DYNAMIC Debian 6.1.153-1 (2025-09-20)"));
    assert_false(kernel_feature_is_safe_in(
        KERNEL_COLLAPSE, release,
        "#1 SMP PREEMPT_DYNAMIC Debian 6.1.7-1 (2023-01-18)"));
    assert_false(kernel_feature_is_safe_in(KERNEL_COLLAPSE, release, NO_TEXT));
}

static void a_kernel_whose_version_is_not_understood_is_not_safe(void **state)
{
    assert_false(
        kernel_feature_is_safe_in(KERNEL_SHARED_HOLES, "mine", "Debian sid"));
    assert_false(kernel_feature_is_safe_in(KERNEL_SHARED_HOLES, "", ""));
}

static void a_release_without_a_third_number_is_its_branch_first(void **state)
{
    assert_true(kernel_feature_is_safe_in(KERNEL_MOVE, "6.17-rc2", NO_TEXT));
    assert_false(kernel_feature_is_safe_in(KERNEL_MOVE, "6.12", NO_TEXT));
}

static void every_feature_names_its_versions(void **state)
{
    for (KernelFeature i = 0; i < N_KERNEL_FEATURES; i++) {
        assert_memory_equal(kernel_feature_safe_since(i), "Linux ", 6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_feature_is_safe_from_the_version_that_mended_it),
        cmocka_unit_test(a_stable_branch_is_safe_from_its_own_fix_on),
        cmocka_unit_test(a_branch_that_never_got_the_fix_is_not_safe),
        cmocka_unit_test(a_fault_that_came_later_is_known_in_its_versions_only),
        cmocka_unit_test(a_kernel_of_debian_is_known_by_its_second_text),
        cmocka_unit_test(a_kernel_whose_version_is_not_understood_is_not_safe),
        cmocka_unit_test(a_release_without_a_third_number_is_its_branch_first),
        cmocka_unit_test(every_feature_names_its_versions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
