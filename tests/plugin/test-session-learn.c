/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A load that improves its order, by its commands.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "formats/control-protocol.h"
#include "tests/plugin/session-world.h"

/* The arguments of "load", to learn at path until it is ended. */
static json_t *learn_arguments(const World *world, const char *policy,
                               const char *path)
{
    json_t *arguments = world_load_arguments_with(world, policy, "learn", path);

    json_object_set_new(arguments, "learn-for", json_integer(3600000));
    return arguments;
}

/* The same for the order at path, which is loaded by. */
static json_t *improve_arguments(const World *world, const char *path)
{
    json_t *arguments = learn_arguments(world, "order", path);

    json_object_set_new(arguments, "order", json_string(path));
    return arguments;
}

/* An order of identity at path: n_pages of video memory, each by itself. */
static void write_order(const char *path, const char *identity,
                        uint64_t n_pages)
{
    g_autoptr(PageOrder) order = page_order_new();
    uint32_t block = page_order_add_block(
        order, "vga.vram", 64 * WORLD_PAGE_BYTES, WORLD_PAGE_BYTES);
    g_autoptr(GError) error = NULL;

    for (uint64_t i = 0; i < n_pages; i++) {
        const PageExtent extent = {.span = {block, n_pages - 1 - i, 1}};

        page_order_append(order, &extent);
    }
    order->identity = g_strdup(identity);
    order->n_runs = 5;
    if (!page_order_save(order, path, &error)) {
        fail_msg("%s", error->message);
    }
}

/* ---- what is learned ---- */

static void a_load_without_an_order_makes_one_of_what_was_missed(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "vm.order");

    world_do(world, CONTROL_CMD_LOAD, learn_arguments(world, "demand", path));
    world_attach(world);
    world_touch(world, WORLD_RAM, 5);
    world_touch(world, WORLD_VRAM, 3);
    world_touch(world, WORLD_RAM, 7); /* zero: not in the file */
    world_touch(world, WORLD_RAM, 0);
    world_end_recording(world);

    g_autoptr(PageOrder) order = world_load_order(path);
    assert_int_equal(order->origin, PAGE_ORDER_ORIGIN_LEARNED);
    assert_string_equal(order->identity, world->snapshot->identity);
    assert_int_equal(order->extents->len, 3);
    world_assert_extent(order, 0, "pc.ram", 5);
    world_assert_extent(order, 1, "vga.vram", 3);
    world_assert_extent(order, 2, "pc.ram", 0);
    world_assert_loads(world);
}

static void a_page_that_the_order_lacked_is_in_it_afterwards(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "vm.order");

    write_order(path, world->snapshot->identity, 1);
    world_do(world, CONTROL_CMD_LOAD, improve_arguments(world, path));
    /* Nobody can prefetch page 3; who touches it later can have it. */
    world_break_reads(world, WORLD_VRAM, 3, 1);
    world_attach(world);
    json_decref(
        line_client_read_event(world->events, CONTROL_EVENT_READ_ERROR));
    world_mend_reads();
    world_touch(world, WORLD_VRAM, 3);
    world_end_recording(world);

    g_autoptr(PageOrder) order = world_load_order(path);
    assert_int_equal(order->origin, PAGE_ORDER_ORIGIN_LEARNED);
    assert_int_equal(order->n_runs, 6);
    assert_int_equal(order->extents->len, 2);
    world_assert_extent(order, 0, "vga.vram", 0);
    world_assert_extent(order, 1, "vga.vram", 3);
    world_assert_loads(world);
}

static bool has_idle_page(const PageOrder *order)
{
    guint i = 0;

    while (i < order->extents->len &&
           page_order_extent(order, i)->idle_loads == 0) {
        i++;
    }
    return i < order->extents->len;
}

/* Returns how many pages were held back. */
static json_int_t assert_none_used(World *world)
{
    json_t *stats = world_call(world, CONTROL_CMD_QUERY, NULL);
    const json_t *pages = json_object_get(stats, "pages");
    json_int_t held_back = number_in(pages, "held-back");

    assert_int_equal(number_in(pages, "unused"), held_back);
    json_decref(stats);
    return held_back;
}

/* Which eighth of the order is held back to find out is drawn anew each time:
 * that none of 64 pages is in three loads cannot be. */
static void pages_of_the_order_that_nobody_touches_become_idle(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "vm.order");

    json_int_t held_back = 0;

    write_order(path, world->snapshot->identity, 64);
    for (unsigned load = 0; load < 3; load++) {
        World *again = world_new_like(world);

        world_do(again, CONTROL_CMD_LOAD, improve_arguments(again, path));
        world_attach(again);
        world_end_recording(again);
        held_back += assert_none_used(again);
        world_assert_loads(again);
    }
    assert_true(held_back > 0);
    g_autoptr(PageOrder) order = world_load_order(path);
    assert_int_equal(order->n_runs, 8);
    assert_true(has_idle_page(order));
}

/* ---- others that learn at the same time ---- */

#define N_AT_ONCE 4

static void *end_session(void *opaque)
{
    const World *world = opaque;

    session_end(world->session);
    return NULL;
}

static bool has_page(const PageOrder *order, uint64_t page)
{
    for (guint i = 0; i < order->extents->len; i++) {
        const PageSpan *span = &page_order_extent(order, i)->span;

        if (strcmp(page_order_block(order, span->block)->name, "vga.vram") ==
                0 &&
            span->first_page <= page &&
            page < span->first_page + span->n_pages) {
            return true;
        }
    }
    return false;
}

/* One load for each of N_AT_ONCE pages of one order, which it lacks. */
static void loads_that_end_at_once_lose_nothing_of_each_other(void **state)
{
    World *first = world_new();
    g_autofree char *path = world_file(first, "vm.order");
    pthread_t threads[N_AT_ONCE];
    World *worlds[N_AT_ONCE];

    for (unsigned i = 0; i < N_AT_ONCE; i++) {
        World *world = i == 0 ? first : world_new_like(first);

        world_do(world, CONTROL_CMD_LOAD,
                 learn_arguments(world, "demand", path));
        world_attach(world);
        world_touch(world, WORLD_VRAM, 10 * i);
        worlds[i] = world;
    }
    for (unsigned i = 0; i < N_AT_ONCE; i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, end_session, worlds[i]), 0);
    }
    for (unsigned i = 0; i < N_AT_ONCE; i++) {
        pthread_join(threads[i], NULL);
    }
    g_autoptr(PageOrder) order = world_load_order(path);
    for (unsigned i = 0; i < N_AT_ONCE; i++) {
        assert_true(has_page(order, 10 * i));
    }
    assert_int_equal(order->extents->len, N_AT_ONCE);
}

static void a_page_that_another_load_has_learned_stays(void **state)
{
    World *world = world_new();
    World *other = world_new_like(world);
    g_autofree char *path = world_file(world, "vm.order");

    world_do(world, CONTROL_CMD_LOAD, learn_arguments(world, "demand", path));
    world_do(other, CONTROL_CMD_LOAD, learn_arguments(other, "demand", path));
    world_attach(world);
    world_attach(other);
    world_touch(world, WORLD_VRAM, 3);
    world_touch(other, WORLD_VRAM, 40);
    world_end_recording(world);
    world_end_recording(other);
    g_autoptr(PageOrder) order = world_load_order(path);
    assert_true(has_page(order, 3));
    assert_true(has_page(order, 40));
}

static void
what_has_taken_the_orders_place_meanwhile_is_left_alone(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "vm.order");
    g_autofree char *identity = g_strnfill(PAGE_ORDER_IDENTITY_DIGITS, 'a');
    unsigned n_before = world_n_warnings();

    world_do(world, CONTROL_CMD_LOAD, learn_arguments(world, "demand", path));
    world_attach(world);
    world_touch(world, WORLD_VRAM, 3);
    write_order(path, identity, 2);
    world_end_recording(world);
    assert_int_equal(world_n_warnings(), n_before + 1);
    g_autoptr(PageOrder) order = world_load_order(path);
    assert_string_equal(order->identity, identity);
    assert_int_equal(order->extents->len, 2);
}

/* ---- when ---- */

static void an_order_is_learned_when_its_time_is_over(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "vm.order");
    json_t *arguments = learn_arguments(world, "demand", path);

    json_object_set_new(arguments, "learn-for", json_integer(1));
    world_do(world, CONTROL_CMD_LOAD, arguments);
    world_attach(world);
    world_await(world, "recording");
    world_assert_state(world, CONTROL_CMD_QUERY, "loading");
    page_order_free(world_load_order(path));
}

static void an_order_is_learned_when_the_session_ends(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "vm.order");

    world_do(world, CONTROL_CMD_LOAD, learn_arguments(world, "demand", path));
    world_attach(world);
    world_touch(world, WORLD_VRAM, 60);
    session_end(world->session);
    g_autoptr(PageOrder) order = world_load_order(path);
    assert_int_equal(order->extents->len, 1);
    world_assert_extent(order, 0, "vga.vram", 60);
}

static void nothing_is_learned_of_a_load_that_never_took_over_ram(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "vm.order");

    world_do(world, CONTROL_CMD_LOAD, learn_arguments(world, "demand", path));
    session_end(world->session);
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

/* ---- what is left alone ---- */

/* A load that is to improve what is at path warns with text, works, and
 * leaves path as it is. */
static void assert_left_alone(const World *world, const char *path,
                              const char *text)
{
    g_autoptr(GBytes) before = NULL;
    g_autoptr(GBytes) after = NULL;
    char *bytes;
    gsize len;

    assert_true(g_file_get_contents(path, &bytes, &len, NULL));
    before = g_bytes_new_take(bytes, len);
    g_autofree char *warning =
        world_load_warned(world, improve_arguments(world, path));
    assert_says(warning, "nothing is learned");
    assert_says(warning, path);
    assert_says(warning, text);
    world_attach(world);
    world_end_recording(world);
    world_assert_loads(world);
    assert_true(g_file_get_contents(path, &bytes, &len, NULL));
    after = g_bytes_new_take(bytes, len);
    assert_true(g_bytes_equal(before, after));
}

static void an_order_of_another_snapshot_is_left_alone(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "vm.order");
    g_autofree char *identity = g_strnfill(PAGE_ORDER_IDENTITY_DIGITS, 'a');

    write_order(path, identity, 3);
    assert_left_alone(world, path, "recorded for another snapshot");
}

static void an_order_of_an_unknown_snapshot_is_left_alone(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "vm.order");

    write_order(path, NULL, 3);
    assert_left_alone(world, path, "not an order of this snapshot");
}

static void a_file_that_is_no_order_is_left_alone(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "letter.txt");

    assert_true(g_file_set_contents(path, "Dear all", -1, NULL));
    assert_left_alone(world, path, "loading without an order");
}

/* ---- what goes wrong ---- */

static void an_order_that_cannot_be_written_is_warned_of(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_place(world);
    unsigned n_before = world_n_warnings();

    world_do(world, CONTROL_CMD_LOAD, learn_arguments(world, "demand", path));
    world_remove_place(world);
    world_attach(world);
    world_touch(world, WORLD_RAM, 5);
    world_end_recording(world);
    assert_int_equal(world_n_warnings(), n_before + 1);
    world_assert_loads(world);
}

static void a_load_cannot_record_and_learn_at_once(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "vm.order");
    json_t *arguments = learn_arguments(world, "demand", path);

    json_object_set_new(arguments, "record", json_string(path));
    world_refuse(world, CONTROL_CMD_LOAD, arguments, "cannot be used with");
    world_load(world, "demand");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_load_without_an_order_makes_one_of_what_was_missed),
        cmocka_unit_test(a_page_that_the_order_lacked_is_in_it_afterwards),
        cmocka_unit_test(pages_of_the_order_that_nobody_touches_become_idle),
        cmocka_unit_test(loads_that_end_at_once_lose_nothing_of_each_other),
        cmocka_unit_test(a_page_that_another_load_has_learned_stays),
        cmocka_unit_test(
            what_has_taken_the_orders_place_meanwhile_is_left_alone),
        cmocka_unit_test(an_order_is_learned_when_its_time_is_over),
        cmocka_unit_test(an_order_is_learned_when_the_session_ends),
        cmocka_unit_test(nothing_is_learned_of_a_load_that_never_took_over_ram),
        cmocka_unit_test(an_order_of_another_snapshot_is_left_alone),
        cmocka_unit_test(an_order_of_an_unknown_snapshot_is_left_alone),
        cmocka_unit_test(a_file_that_is_no_order_is_left_alone),
        cmocka_unit_test(an_order_that_cannot_be_written_is_warned_of),
        cmocka_unit_test(a_load_cannot_record_and_learn_at_once),
    };

    if (!have_userfaultfd(0)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, worlds_remove_files);
}
