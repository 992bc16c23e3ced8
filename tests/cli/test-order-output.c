/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <unistd.h>

#include <glib/gstdio.h>

#include "cli/order-output.h"

typedef struct Fixture {
    char *directory;
    char *path;
    PageOrder *old;
    PageOrder *changed;
} Fixture;

static int set_up(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->directory = make_directory();
    f->path = g_build_filename(f->directory, "a.order", NULL);
    f->old = page_order_new();
    f->changed = page_order_new();
    f->changed->n_runs = 7;
    assert_true(page_order_save(f->old, f->path, NULL));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    remove_directory(f->directory);
    g_free(f->path);
    page_order_free(f->old);
    page_order_free(f->changed);
    g_free(f);
    return 0;
}

static void assert_file(const Fixture *f, const char *name,
                        const PageOrder *expected)
{
    g_autofree char *path = g_build_filename(f->directory, name, NULL);
    g_autoptr(PageOrder) is = page_order_load(path, NULL);

    assert_non_null(is);
    assert_true(page_order_equal(is, expected));
}

static void assert_files(const Fixture *f, const char *expected)
{
    g_autofree char *names = list_directory(f->directory);

    assert_string_equal(names, expected);
}

static void one_place_to_write_is_needed(void **state)
{
    OrderOutput to = {0};
    GError *error = NULL;

    assert_false(order_output_check(&to, &error));
    assert_util_error(error, UTIL_ERROR_USAGE, "--in-place");
    error = NULL;
    to.in_place = TRUE;
    assert_true(order_output_check(&to, &error));
    to.path = (char *)"x";
    assert_false(order_output_check(&to, &error));
    assert_util_error(error, UTIL_ERROR_USAGE, "cannot be used with");
    error = NULL;
    to.in_place = FALSE;
    assert_true(order_output_check(&to, &error));
}

static void in_place_replaces_the_file(void **state)
{
    Fixture *f = *state;
    OrderOutput to = {.in_place = TRUE};

    assert_true(order_output_write(&to, f->changed, f->path, NULL));
    assert_file(f, "a.order", f->changed);
    assert_files(f, "a.order");
}

static void another_file_leaves_the_first_alone(void **state)
{
    Fixture *f = *state;
    g_autofree char *path = g_build_filename(f->directory, "b", NULL);
    OrderOutput to = {.path = path, .backup = TRUE};

    assert_true(order_output_write(&to, f->changed, f->path, NULL));
    assert_file(f, "a.order", f->old);
    assert_file(f, "b", f->changed);
    assert_files(f, "a.order b");
}

static void a_backup_is_what_the_file_was(void **state)
{
    Fixture *f = *state;
    OrderOutput to = {.in_place = TRUE, .backup = TRUE};

    assert_true(order_output_write(&to, f->changed, f->path, NULL));
    assert_file(f, "a.order", f->changed);
    assert_file(f, "a.order~", f->old);
    assert_true(order_output_write(&to, f->old, f->path, NULL));
    assert_file(f, "a.order", f->old);
    assert_file(f, "a.order~", f->changed);
    assert_files(f, "a.order a.order~");
}

static void through_a_link_the_backup_is_what_it_led_to(void **state)
{
    Fixture *f = *state;
    g_autofree char *link = g_build_filename(f->directory, "link", NULL);
    OrderOutput to = {.in_place = TRUE, .backup = TRUE};

    assert_int_equal(symlink("a.order", link), 0);
    assert_true(order_output_write(&to, f->changed, link, NULL));
    assert_file(f, "a.order", f->changed);
    assert_file(f, "link~", f->old);
    assert_files(f, "a.order link link~");
}

static void a_backup_that_is_the_file_itself_is_no_matter(void **state)
{
    Fixture *f = *state;
    g_autofree char *backup = g_strdup_printf("%s~", f->path);
    OrderOutput to = {.in_place = TRUE, .backup = TRUE};

    assert_int_equal(link(f->path, backup), 0);
    assert_true(order_output_write(&to, f->changed, f->path, NULL));
    assert_file(f, "a.order", f->changed);
    assert_file(f, "a.order~", f->old);
    assert_files(f, "a.order a.order~");
}

static void without_its_backup_the_file_is_left_alone(void **state)
{
    Fixture *f = *state;
    g_autofree char *backup = g_strdup_printf("%s~", f->path);
    OrderOutput to = {.in_place = TRUE, .backup = TRUE};
    GError *error = NULL;

    assert_int_equal(g_mkdir_with_parents(backup, 0700), 0);
    assert_false(order_output_write(&to, f->changed, f->path, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "is unchanged");
    assert_file(f, "a.order", f->old);
    assert_files(f, "a.order a.order~");
    assert_int_equal(g_rmdir(backup), 0);
}

#define with_files(test)                                                       \
    cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_place_to_write_is_needed),
        with_files(in_place_replaces_the_file),
        with_files(another_file_leaves_the_first_alone),
        with_files(a_backup_is_what_the_file_was),
        with_files(through_a_link_the_backup_is_what_it_led_to),
        with_files(a_backup_that_is_the_file_itself_is_no_matter),
        with_files(without_its_backup_the_file_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
