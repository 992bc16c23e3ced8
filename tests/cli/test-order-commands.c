/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <stdio.h>

#include "cli/commands.h"
#include "formats/page-order.h"
#include "formats/qcow2-state.h"
#include "formats/ram-image.h"
#include "tests/formats/image.h"
#include "tests/formats/qcow2-image.h"

typedef struct Fixture {
    char *directory;
    char *a;     /* two extents, of snapshot "aa…" */
    char *b;     /* one extent, of the same */
    char *other; /* of snapshot "bb…" */
    char *out;
} Fixture;

static char *save_order(const char *directory, const char *name, char digit,
                        uint64_t first_page, uint64_t n_extents)
{
    g_autoptr(PageOrder) order = page_order_new();
    char *path = g_build_filename(directory, name, NULL);

    order->identity = g_strnfill(PAGE_ORDER_IDENTITY_DIGITS, digit);
    page_order_add_block(order, "pc.ram", UINT64_C(1) << 30, 4096);
    for (uint64_t i = 0; i < n_extents; i++) {
        PageExtent extent = {
            .span = {0, first_page - 100 * i, 4},
            .time_us = 2000 * i,
        };

        page_order_append(order, &extent);
    }
    assert_true(page_order_save(order, path, NULL));
    return path;
}

static int set_up(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->directory = make_directory();
    f->a = save_order(f->directory, "a.order", 'a', 1000, 2);
    f->b = save_order(f->directory, "b.order", 'a', 1002, 1);
    f->other = save_order(f->directory, "other.order", 'b', 1000, 1);
    f->out = g_build_filename(f->directory, "out.order", NULL);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    remove_directory(f->directory);
    g_free(f->a);
    g_free(f->b);
    g_free(f->other);
    g_free(f->out);
    g_free(f);
    return 0;
}

/* Run the command with these arguments, up to NULL. */
static int run(const Command *command, ...) G_GNUC_NULL_TERMINATED;

static int run(const Command *command, ...)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    char *argument;
    va_list args;

    g_ptr_array_add(argv, (char *)command->name);
    va_start(args, command);
    while ((argument = va_arg(args, char *))) {
        g_ptr_array_add(argv, argument);
    }
    va_end(args);
    g_ptr_array_add(argv, NULL);
    return command->run((int)argv->len - 1, (char **)argv->pdata);
}

/* The extents in the file as "FIRST+COUNT@TIME …". */
static void assert_pages(const char *path, const char *expected)
{
    g_autoptr(PageOrder) order = page_order_load(path, NULL);
    g_autoptr(GString) is = g_string_new(NULL);

    assert_non_null(order);
    for (guint i = 0; i < order->extents->len; i++) {
        const PageExtent *extent = page_order_extent(order, i);

        g_string_append_printf(is,
                               "%s%" G_GUINT64_FORMAT "+%" G_GUINT64_FORMAT
                               "@%" G_GUINT64_FORMAT,
                               i > 0 ? " " : "", extent->span.first_page,
                               extent->span.n_pages, extent->time_us);
    }
    assert_string_equal(is->str, expected);
}

static void trim_leaves_what_it_is_told(void **state)
{
    Fixture *f = *state;

    assert_int_equal(
        run(&cmd_order_trim, f->a, "--bytes", "20K", "-o", f->out, NULL),
        STATUS_OK);
    assert_pages(f->out, "1000+4@0 900+1@2000");
    assert_int_equal(
        run(&cmd_order_trim, f->a, "--time", "1ms", "-o", f->out, NULL),
        STATUS_OK);
    assert_pages(f->out, "1000+4@0");
    assert_int_equal(
        run(&cmd_order_trim, f->a, "--pages", "2", "-o", f->out, NULL),
        STATUS_OK);
    assert_pages(f->out, "1000+2@0");
    assert_int_equal(run(&cmd_order_trim, f->a, "--phases", "1", "--phase-gap",
                         "1ms", "-o", f->out, NULL),
                     STATUS_OK);
    assert_pages(f->out, "1000+4@0");
    assert_pages(f->a, "1000+4@0 900+4@2000");
}

static void drop_takes_a_range_out_in_place(void **state)
{
    Fixture *f = *state;

    assert_int_equal(run(&cmd_order_drop, f->a, "--in-place", "--range",
                         "pc.ram:0+3616K", NULL),
                     STATUS_OK);
    assert_pages(f->a, "1000+4@0");
}

static void pin_puts_a_range_first(void **state)
{
    Fixture *f = *state;

    assert_int_equal(run(&cmd_order_pin, f->a, "-i", "--guest-range",
                         "0x385000-0x386fff", "--map", "pc", NULL),
                     STATUS_OK);
    assert_pages(f->a, "901+2@0 1000+4@0 900+1@2000 903+1@2000");
}

static void sort_sorts_by_its_key(void **state)
{
    Fixture *f = *state;

    assert_int_equal(run(&cmd_order_sort, f->a, "-i", "--by", "address", NULL),
                     STATUS_OK);
    assert_pages(f->a, "900+4@2000 1000+4@0");
    assert_int_equal(run(&cmd_order_sort, f->a, "-i", "--by", "time", NULL),
                     STATUS_OK);
    assert_pages(f->a, "1000+4@0 900+4@2000");
}

static void merge_takes_the_pages_it_is_told(void **state)
{
    Fixture *f = *state;

    assert_int_equal(run(&cmd_order_merge, f->a, f->b, "-o", f->out, NULL),
                     STATUS_OK);
    assert_pages(f->out, "1000+6@0 900+4@2000");
    assert_int_equal(
        run(&cmd_order_merge, f->a, f->b, "--intersection", "-o", f->out, NULL),
        STATUS_OK);
    assert_pages(f->out, "1002+2@0");
    assert_int_equal(run(&cmd_order_merge, f->a, f->b, "--at-least", "2",
                         "--in-place", "--backup", NULL),
                     STATUS_OK);
    assert_pages(f->a, "1002+2@0");
}

static void orders_of_different_snapshots_are_merged_by_force_only(void **state)
{
    Fixture *f = *state;

    assert_int_equal(run(&cmd_order_merge, f->a, f->other, "-o", f->out, NULL),
                     STATUS_FAILED);
    assert_false(g_file_test(f->out, G_FILE_TEST_EXISTS));
    assert_int_equal(
        run(&cmd_order_merge, f->a, f->other, "-o", f->out, "--force", NULL),
        STATUS_OK);
    assert_pages(f->out, "1000+4@0 900+4@2000");
}

static void
orders_of_different_snapshots_are_compared_by_force_only(void **state)
{
    Fixture *f = *state;

    assert_int_equal(run(&cmd_order_diff, f->a, f->other, NULL), STATUS_FAILED);
    assert_int_equal(run(&cmd_order_diff, f->a, f->other, "--force", NULL),
                     STATUS_OK);
    assert_int_equal(run(&cmd_order_diff, f->a, f->b, "--json", "--list", NULL),
                     STATUS_OK);
}

static void numbers_are_printed_of_any_order(void **state)
{
    Fixture *f = *state;
    g_autofree char *empty = save_order(f->directory, "empty", 'a', 0, 0);

    assert_int_equal(run(&cmd_order_stat, f->a, NULL), STATUS_OK);
    assert_int_equal(run(&cmd_order_stat, f->a, "--json", NULL), STATUS_OK);
    assert_int_equal(run(&cmd_order_stat, empty, NULL), STATUS_OK);
    assert_int_equal(run(&cmd_order_stat, empty, "--json", NULL), STATUS_OK);
}

/* A qcow2 with the snapshot "warm", and that snapshot's order. */
static char *make_tagged(const Fixture *f, char **ret_order)
{
    const Image image = image_small();
    g_autoptr(GBytes) state = image_bytes(&image);
    char *path = g_build_filename(f->directory, "d.qcow2", NULL);
    const PageExtent extent = {.span = {0, 0, 2}};

    qcow2_image_save_around(state, path);
    ByteSource *source =
        qcow2_state_open(byte_source_open(path, NULL), "warm", NULL);
    g_autoptr(RamImage) saved = ram_image_open_source(source, 0, NULL);
    g_autoptr(PageOrder) order = page_order_new();
    order->identity = g_strdup(saved->identity);
    page_order_add_block(order, saved->blocks[0].name,
                         saved->blocks[0].len_bytes,
                         saved->blocks[0].page_bytes);
    page_order_append(order, &extent);
    *ret_order = g_strconcat(path, ".warm.order", NULL);
    assert_true(page_order_save(order, *ret_order, NULL));
    return path;
}

static void a_snapshot_in_a_qcow2_is_found_by_its_tag(void **state)
{
    Fixture *f = *state;
    g_autofree char *order = NULL;
    g_autofree char *disk = make_tagged(f, &order);

    assert_int_equal(
        run(&cmd_order_check, order, "--snapshot", disk, "--tag", "warm", NULL),
        STATUS_OK);
    assert_int_equal(
        run(&cmd_order_check, f->a, "--snapshot", disk, "--tag", "warm", NULL),
        STATUS_FAILED);
    assert_int_equal(
        run(&cmd_order_stat, order, "--snapshot", disk, "--tag", "warm", NULL),
        STATUS_OK);
    assert_int_equal(run(&cmd_order_simulate, order, "--trace", order,
                         "--storage", "bandwidth=1G", "--snapshot", disk,
                         "--tag", "warm", NULL),
                     STATUS_OK);
    assert_int_equal(
        run(&cmd_order_pack, order, "--snapshot", disk, "--tag", "warm", NULL),
        STATUS_OK);
}

static void the_name_of_a_file_need_not_be_utf8(void **state)
{
    Fixture *f = *state;
    g_autofree char *order = NULL;
    g_autofree char *disk = make_tagged(f, &order);
    g_autofree char *strange_order =
        g_build_filename(f->directory, "\xff.order", NULL);
    g_autofree char *strange_disk =
        g_build_filename(f->directory, "\xff.qcow2", NULL);

    assert_int_equal(rename(order, strange_order), 0);
    assert_int_equal(rename(disk, strange_disk), 0);
    assert_int_equal(run(&cmd_order_pack, strange_order, "--snapshot",
                         strange_disk, "--tag", "warm", "--json", NULL),
                     STATUS_OK);
    assert_int_equal(
        run(&cmd_prefetch, strange_disk, "--tag", "warm", "--json", NULL),
        STATUS_OK);
}

static void where_a_snapshot_begins_is_said_in_one_way(void **state)
{
    Fixture *f = *state;
    g_autofree char *order = NULL;
    g_autofree char *disk = make_tagged(f, &order);

    assert_int_equal(run(&cmd_order_check, order, "--snapshot", disk, "--tag",
                         "warm", "--offset", "0", NULL),
                     STATUS_USAGE);
    assert_int_equal(run(&cmd_order_check, order, "--tag", "warm", NULL),
                     STATUS_USAGE);
    assert_int_equal(run(&cmd_order_stat, order, "--offset", "0", NULL),
                     STATUS_USAGE);
}

static void a_command_that_is_told_too_little_writes_nothing(void **state)
{
    Fixture *f = *state;

    assert_int_equal(run(&cmd_order_trim, f->a, "-i", NULL), STATUS_USAGE);
    assert_int_equal(run(&cmd_order_trim, f->a, "--pages", "1", NULL),
                     STATUS_USAGE);
    assert_int_equal(run(&cmd_order_drop, f->a, "-i", NULL), STATUS_USAGE);
    assert_int_equal(run(&cmd_order_sort, f->a, "-i", NULL), STATUS_USAGE);
    assert_int_equal(run(&cmd_order_merge, f->a, NULL), STATUS_USAGE);
    assert_int_equal(run(&cmd_order_merge, f->a, "-i", "--at-least", "2", NULL),
                     STATUS_USAGE);
    assert_int_equal(run(&cmd_order_merge, f->a, "-i", "--at-least", "0", NULL),
                     STATUS_USAGE);
    assert_int_equal(
        run(&cmd_order_trim, f->a, "-i", "--pages", "-1", "--time", "0s", NULL),
        STATUS_USAGE);
    assert_int_equal(run(&cmd_order_trim, f->a, "-i", "--phases", "-5",
                         "--time", "0s", NULL),
                     STATUS_USAGE);
    assert_pages(f->a, "1000+4@0 900+4@2000");
}

#define with_files(test)                                                       \
    cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_files(trim_leaves_what_it_is_told),
        with_files(drop_takes_a_range_out_in_place),
        with_files(pin_puts_a_range_first),
        with_files(sort_sorts_by_its_key),
        with_files(merge_takes_the_pages_it_is_told),
        with_files(orders_of_different_snapshots_are_merged_by_force_only),
        with_files(orders_of_different_snapshots_are_compared_by_force_only),
        with_files(numbers_are_printed_of_any_order),
        with_files(a_snapshot_in_a_qcow2_is_found_by_its_tag),
        with_files(the_name_of_a_file_need_not_be_utf8),
        with_files(where_a_snapshot_begins_is_said_in_one_way),
        with_files(a_command_that_is_told_too_little_writes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
