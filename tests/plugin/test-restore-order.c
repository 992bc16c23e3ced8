/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/page-order.h"
#include "plugin/libvirt/restore-order.h"

#define OURS "0000000000000000000000000000000000000000000000000000000000000001"
#define ANOTHER                                                                \
    "0000000000000000000000000000000000000000000000000000000000000002"

static char *folder;
static char *image;

static int set_up(void **state)
{
    folder = make_directory();
    image = g_build_filename(folder, "vm.save", NULL);
    return 0;
}

static int tear_down(void **state)
{
    remove_directory(folder);
    g_free(image);
    return 0;
}

static char *order_beside(void)
{
    return g_strconcat(image, ".order", NULL);
}

/* Written so long ago. */
static void write_order(const char *identity, time_t age_s)
{
    g_autofree char *path = order_beside();
    g_autoptr(PageOrder) order = page_order_new();
    const struct timespec when = {.tv_sec = time(NULL) - age_s};
    const struct timespec times[] = {when, when};

    order->identity = g_strdup(identity);
    assert_true(page_order_save(order, path, NULL));
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static RestoreOrder find(const char *collected)
{
    RestoreOrder order;

    restore_order_find(image, collected, OURS, &order);
    return order;
}

static void assert_identity(const char *identity)
{
    g_autofree char *path = order_beside();
    g_autoptr(PageOrder) order = page_order_load(path, NULL);

    assert_non_null(order);
    assert_string_equal(order->identity, identity);
}

static void an_image_without_an_order_gets_one_beside_it(void **state)
{
    g_autofree char *beside = order_beside();
    RestoreOrder order = find("/nowhere");

    assert_string_equal(order.path, beside);
    assert_false(order.is_there);
    assert_false(order.learns);
    assert_null(order.warning);
    restore_order_clear(&order);
}

static void an_order_that_is_there_is_used(void **state)
{
    write_order(OURS, 0);
    RestoreOrder order = find(NULL);

    assert_true(order.is_there);
    assert_false(order.learns);
    assert_null(order.warning);
    restore_order_clear(&order);
}

static void an_order_that_is_old_is_improved(void **state)
{
    write_order(OURS, 2 * RESTORE_ORDER_LEARN_S);
    RestoreOrder order = find(NULL);

    assert_true(order.is_there);
    assert_true(order.learns);
    restore_order_clear(&order);
}

static void an_order_of_another_image_is_used_as_it_is(void **state)
{
    write_order(ANOTHER, 0);
    RestoreOrder order = find(NULL);

    assert_true(order.is_there);
    assert_false(order.learns);
    assert_identity(ANOTHER);
    restore_order_clear(&order);
}

static void an_old_order_of_another_image_becomes_this_ones(void **state)
{
    write_order(ANOTHER, 2 * RESTORE_ORDER_LEARN_S);
    RestoreOrder order = find(NULL);

    assert_true(order.learns);
    assert_identity(OURS);
    restore_order_clear(&order);
}

static void a_file_that_is_no_order_is_replaced_and_told(void **state)
{
    g_autofree char *beside = order_beside();

    assert_true(g_file_set_contents(beside, "rubbish", -1, NULL));
    RestoreOrder order = find(NULL);
    assert_false(order.is_there);
    assert_non_null(strstr(order.warning, "recorded in its place"));
    restore_order_clear(&order);
}

static void
where_nothing_may_be_written_beside_orders_are_collected(void **state)
{
    g_autofree char *name = g_strdup_printf("%s.order", "gone%vm.save");
    g_autofree char *expected = g_build_filename(folder, name, NULL);
    RestoreOrder order;

    restore_order_find("/gone/vm.save", folder, OURS, &order);
    assert_string_equal(order.path, expected);
    assert_null(order.warning);
    restore_order_clear(&order);
}

static void where_nothing_may_be_written_at_all_that_is_told(void **state)
{
    static const char *const folders[] = {NULL, "/gone/too"};

    for (size_t i = 0; i < G_N_ELEMENTS(folders); i++) {
        RestoreOrder order;

        restore_order_find("/gone/vm.save", folders[i], OURS, &order);
        assert_null(order.path);
        assert_non_null(strstr(order.warning, "no order is used"));
        restore_order_clear(&order);
    }
}

#define CASE(function)                                                         \
    cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_image_without_an_order_gets_one_beside_it),
        CASE(an_order_that_is_there_is_used),
        CASE(an_order_that_is_old_is_improved),
        CASE(an_order_of_another_image_is_used_as_it_is),
        CASE(an_old_order_of_another_image_becomes_this_ones),
        CASE(a_file_that_is_no_order_is_replaced_and_told),
        CASE(where_nothing_may_be_written_beside_orders_are_collected),
        CASE(where_nothing_may_be_written_at_all_that_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
