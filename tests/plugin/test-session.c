/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A load by its commands, from "load" to its statistics.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "formats/control-protocol.h"
#include "plugin/pager/load-stats.h"
#include "tests/plugin/session-world.h"
#include "util/clock.h"

static json_t *read_json(const char *path)
{
    json_error_t error;
    json_t *json = json_load_file(path, 0, &error);

    if (!json) {
        fail_msg("%s: %s", path, error.text);
    }
    return json;
}

/* "attach" fails with text once one value of the video memory was changed. */
static void refuse_attach(const World *world, const char *name, json_t *value,
                          const char *text)
{
    world_refuse_vram(world, CONTROL_CMD_ATTACH, world_attach_arguments(world),
                      name, value, text);
}

/* ---- loading ---- */

static void memory_is_the_snapshot_s_once_all_is_loaded(void **state)
{
    static const char *const policies[] = {"order", "sequential"};

    for (size_t i = 0; i < G_N_ELEMENTS(policies); i++) {
        World *world = world_new();

        world_load(world, policies[i]);
        world_assert_state(world, CONTROL_CMD_QUERY, "idle");
        world_attach(world);
        world_touch(world, WORLD_RAM, 5);
        world_touch(world, WORLD_RAM, 6);
        world_await(world, "hot");
        world_await(world, "all");
        world_assert_state(world, CONTROL_CMD_QUERY, "loaded");
        world_assert_equal(world);
        json_t *stats =
            line_client_read_event(world->events, CONTROL_EVENT_LOADED);
        assert_string_equal(text_in(stats, "state"), "loaded");
        assert_true(number_in(stats, "demand-faults") <= 1);
        json_decref(stats);
    }
}

static void only_touched_pages_are_loaded_with_policy_demand(void **state)
{
    World *world = world_new();

    world_load(world, "demand");
    world_attach(world);
    world_touch(world, WORLD_RAM, 128);
    world_touch(world, WORLD_VRAM, 63);
    world_touch(world, WORLD_RAM, 64);
    world_await(world, "hot");
    world_assert_state(world, CONTROL_CMD_QUERY, "loading");
    json_t *stats = world_call(world, CONTROL_CMD_QUERY, NULL);
    const json_t *pages = json_object_get(stats, "pages");

    assert_string_equal(text_in(stats, "policy"), "demand");
    assert_int_equal(number_in(stats, "demand-faults"), 2);
    assert_int_equal(number_in(pages, "by-fault"), 2);
    assert_int_equal(number_in(pages, "in-file"), WORLD_N_PAGES_IN_FILE);
    json_decref(stats);
}

static void verifying_a_guest_that_is_loading_loads_it(void **state)
{
    World *world = world_new();

    world_load(world, "demand");
    world_attach(world);
    world_assert_equal(world);
    world_await(world, "all");
}

static void the_rest_is_loaded_when_asked_for(void **state)
{
    World *world = world_new();

    world_do(world, CONTROL_CMD_LOAD_REST, NULL);
    world_load(world, "demand");
    world_attach(world);
    world_do(world, CONTROL_CMD_LOAD_REST, NULL);
    world_assert_loads(world);
}

/* ---- verifying ---- */

static void a_byte_that_differs_is_named(void **state)
{
    World *world = world_new();

    world_load(world, "sequential");
    world_attach(world);
    world_await(world, "all");
    world_page(world, WORLD_RAM, 128)[77] ^= 1;
    world_page(world, WORLD_VRAM, 0)[0] ^= 1;
    json_t *answer =
        world_call(world, CONTROL_CMD_VERIFY, world_verify_arguments(world));
    const json_t *first = json_object_get(answer, "first-difference");

    assert_true(json_is_false(json_object_get(answer, "equal")));
    assert_int_equal(number_in(answer, "pages-differing"), 2);
    assert_string_equal(text_in(first, "block"), "pc.ram");
    assert_int_equal(number_in(first, "page"), 128);
    assert_int_equal(number_in(first, "address"), 128 * WORLD_PAGE_BYTES);
    assert_int_equal(number_in(first, "byte"), 77);
    json_decref(answer);
}

static void a_page_that_should_be_zero_and_is_not_is_named(void **state)
{
    World *world = world_new();

    world_fill(world);
    world_page(world, WORLD_RAM, 127)[4095] = 1;
    json_t *answer =
        world_call(world, CONTROL_CMD_VERIFY, world_verify_arguments(world));
    const json_t *first = json_object_get(answer, "first-difference");

    assert_int_equal(number_in(first, "page"), 127);
    assert_int_equal(number_in(first, "byte"), 4095);
    json_decref(answer);
}

static void memory_that_is_not_there_cannot_be_verified(void **state)
{
    World *world = world_new();
    json_t *arguments = world_verify_arguments(world);
    json_t *block =
        json_array_get(json_object_get(arguments, "blocks"), WORLD_RAM);

    json_object_set_new(block, "host", json_string("0x1000"));
    world_refuse(world, CONTROL_CMD_VERIFY, arguments, "cannot be compared");

    arguments = world_verify_arguments(world);
    block = json_array_get(json_object_get(arguments, "blocks"), WORLD_RAM);
    json_object_set_new(block, "name", json_string("pc.rum"));
    world_refuse(world, CONTROL_CMD_VERIFY, arguments, "pc.rum");
}

/* ---- recording ---- */

static json_t *record_arguments(const World *world, const char *path)
{
    json_t *arguments =
        world_load_arguments_with(world, "demand", "record", path);

    json_object_set_new(arguments, "record-for", json_integer(3600000));
    return arguments;
}

/* The order of a load in which pages 5 and 0 of RAM and 3 of video memory
 * were touched, and then something that brings no page. */
static char *record_order(const World *world)
{
    char *path = world_file(world, "vm.order");

    world_do(world, CONTROL_CMD_LOAD, record_arguments(world, path));
    world_attach(world);
    world_touch(world, WORLD_RAM, 5);
    world_assert_state(world, CONTROL_CMD_QUERY, "recording");
    world_touch(world, WORLD_RAM, 0);
    world_touch(world, WORLD_RAM, 9);
    world_touch(world, WORLD_VRAM, 3);
    world_touch(world, WORLD_RAM, 5);
    world_end_recording(world);
    return path;
}

static void first_touches_are_recorded_in_their_sequence(void **state)
{
    World *world = world_new();
    g_autofree char *path = record_order(world);
    g_autoptr(PageOrder) order = world_load_order(path);

    assert_int_equal(order->origin, PAGE_ORDER_ORIGIN_LOAD);
    assert_string_equal(order->identity, world->snapshot->identity);
    assert_int_equal(order->extents->len, 3);
    world_assert_extent(order, 0, "pc.ram", 5);
    world_assert_extent(order, 1, "pc.ram", 0);
    world_assert_extent(order, 2, "vga.vram", 3);
    world_assert_loads(world);
}

static void times_count_from_the_attach_that_worked(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "vm.order");

    world_do(world, CONTROL_CMD_LOAD, record_arguments(world, path));
    for (unsigned i = 0; i < 100; i++) {
        refuse_attach(world, "length", json_integer(1), "vga.vram");
    }
    uint64_t begin_us = monotonic_us();
    world_attach(world);
    world_touch(world, WORLD_RAM, 5);
    uint64_t touched_us = monotonic_us() - begin_us;
    world_refuse(world, CONTROL_CMD_ATTACH, world_attach_arguments(world),
                 "already attached");
    world_end_recording(world);

    g_autoptr(PageOrder) order = world_load_order(path);
    assert_int_equal(order->extents->len, 1);
    assert_in_range(page_order_extent(order, 0)->time_us, 1, touched_us);
}

static void a_recorded_order_brings_its_pages_first(void **state)
{
    World *recorded = world_new();
    World *world = world_new_like(recorded);
    g_autofree char *path = record_order(recorded);

    world_do(world, CONTROL_CMD_LOAD,
             world_load_arguments_with(world, "order", "order", path));
    world_attach(world);
    world_await(world, "all");
    json_t *stats = world_call(world, CONTROL_CMD_QUERY, NULL);
    const json_t *pages = json_object_get(stats, "pages");

    assert_in_range(number_in(pages, "by-order"), 3, 10);
    assert_int_equal(number_in(pages, "by-order") + number_in(pages, "by-rest"),
                     WORLD_N_PAGES_IN_FILE);
    assert_true(number_in(stats, "order-done-ms") <=
                number_in(stats, "loaded-ms"));
    json_decref(stats);
    world_assert_equal(world);
}

static void a_recording_is_written_when_the_session_ends(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "vm.order");

    world_do(world, CONTROL_CMD_LOAD, record_arguments(world, path));
    world_attach(world);
    world_touch(world, WORLD_VRAM, 60);
    session_end(world->session);
    g_autoptr(PageOrder) order = world_load_order(path);
    assert_int_equal(order->extents->len, 1);
    world_assert_extent(order, 0, "vga.vram", 60);
}

static void a_recording_that_cannot_be_written_is_warned_of(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_place(world);
    unsigned n_before = world_n_warnings();

    world_do(world, CONTROL_CMD_LOAD, record_arguments(world, path));
    world_remove_place(world);
    world_attach(world);
    world_end_recording(world);
    assert_int_equal(world_n_warnings(), n_before + 1);
    world_await(world, "all");
}

static void what_could_never_be_written_is_refused_at_once(void **state)
{
    World *world = world_new();

    for (size_t i = 0; i < 3; i++) {
        static const char *const names[] = {"stats", "record", "learn"};

        world_refuse(world, CONTROL_CMD_LOAD,
                     world_load_arguments_with(world, "demand", names[i],
                                               "/nonexistent/file"),
                     "/nonexistent/file");
    }
    world_load(world, "demand");
}

/* ---- orders that do not help ---- */

static void assert_load_warns(const World *world, const char *order_path,
                              const char *text)
{
    g_autofree char *warning = world_load_warned(
        world, world_load_arguments_with(world, "order", "order", order_path));

    assert_says(warning, order_path);
    assert_says(warning, text);
    world_attach(world);
    world_assert_loads(world);
}

static void an_order_that_is_garbage_is_warned_of_and_left_out(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "vm.order");

    assert_true(g_file_set_contents(path, "garbage", -1, NULL));
    assert_load_warns(world, path, "loading without an order");
}

static void an_order_that_is_not_there_is_warned_of(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "missing.order");

    assert_load_warns(world, path, "loading without an order");
}

static void an_order_of_another_snapshot_is_warned_of_and_used(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "vm.order");
    g_autoptr(PageOrder) order = page_order_new();

    page_order_add_block(order, "pc.ram", 500 * 4096, 4096);
    page_order_append(order, &(PageExtent){.span = {0, 1, 499}});
    order->identity = g_strnfill(PAGE_ORDER_IDENTITY_DIGITS, 'a');
    assert_true(page_order_save(order, path, NULL));
    assert_load_warns(world, path, "recorded for another snapshot");
}

/* ---- statistics ---- */

static void statistics_are_written_when_all_is_loaded(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "stats.json");

    world_do(world, CONTROL_CMD_LOAD,
             world_load_arguments_with(world, "sequential", "stats", path));
    world_attach(world);
    world_await(world, "all");
    json_t *written = read_json(path);
    json_t *asked = world_call(world, CONTROL_CMD_QUERY, NULL);

    assert_string_equal(text_in(written, "state"), "loaded");
    assert_true(json_equal(written, asked));
    json_decref(written);
    json_decref(asked);
}

static void statistics_are_written_when_the_session_ends(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "stats.json");

    world_do(world, CONTROL_CMD_LOAD,
             world_load_arguments_with(world, "demand", "stats", path));
    world_attach(world);
    world_touch(world, WORLD_RAM, 0);
    session_end(world->session);
    json_t *stats = read_json(path);
    assert_string_equal(text_in(stats, "state"), "loading");
    assert_int_equal(number_in(stats, "demand-faults"), 1);
    json_decref(stats);
}

static void statistics_are_written_when_the_guest_runs(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "stats.json");

    world_do(world, CONTROL_CMD_LOAD,
             world_load_arguments_with(world, "demand", "stats", path));
    world_attach(world);
    world_do(world, CONTROL_CMD_MILESTONE,
             json_pack("{s:s, s:I}", CONTROL_KEY_NAME, "resumed",
                       CONTROL_KEY_TIME_US, (json_int_t)monotonic_us()));
    json_t *stats = read_json(path);
    assert_string_equal(text_in(stats, "state"), "loading");
    assert_true(json_is_number(json_object_get(stats, "resumed-ms")));
    json_decref(stats);
}

static void milestones_told_are_in_the_statistics(void **state)
{
    World *world = world_new();
    json_t *load = world_load_arguments(world, "demand");
    json_int_t start_us = number_in(load, "start-us");

    world_do(world, CONTROL_CMD_LOAD, load);
    world_do(world, CONTROL_CMD_MILESTONE,
             json_pack("{s:s, s:I}", "name", "qemu-ready", "time-us",
                       start_us + 12000));
    world_do(world, CONTROL_CMD_MILESTONE,
             json_pack("{s:s, s:I}", "name", "resumed", "time-us",
                       start_us + 34000));
    json_t *stats = world_call(world, CONTROL_CMD_QUERY, NULL);
    assert_int_equal(number_in(stats, "qemu-ready-ms"), 12);
    assert_int_equal(number_in(stats, "resumed-ms"), 34);
    json_decref(stats);
}

static void with_policy_full_qemu_loads_and_tells_when_it_has(void **state)
{
    World *world = world_new();

    world_load(world, "full");
    world_assert_state(world, CONTROL_CMD_QUERY, "loading");
    world_refuse(world, CONTROL_CMD_ATTACH, world_attach_arguments(world),
                 "QEMU itself");
    world_do(world, CONTROL_CMD_MILESTONE,
             json_pack("{s:s, s:i}", "name", "loaded", "time-us", 1));
    world_assert_state(world, CONTROL_CMD_QUERY, "loaded");
}

/* ---- what is refused ---- */

static void commands_that_need_a_load_are_refused_before_it(void **state)
{
    World *world = world_new();

    world_refuse(world, CONTROL_CMD_ATTACH, world_attach_arguments(world),
                 "no snapshot");
    world_refuse(world, CONTROL_CMD_WAIT, json_pack("{s:s}", "for", "all"),
                 "no snapshot");
    world_refuse(world, CONTROL_CMD_RETRY, NULL, "no snapshot");
    world_refuse(world, CONTROL_CMD_MILESTONE, NULL, "no snapshot");
    world_assert_state(world, CONTROL_CMD_QUERY, "idle");
    session_end(world->session);
}

static void names_that_are_not_known_are_refused(void **state)
{
    World *world = world_new();

    world_refuse(world, "explode", NULL, "explode");
    world_refuse(world, CONTROL_CMD_LOAD, world_load_arguments(world, "lazy"),
                 "lazy");
    world_load(world, "demand");
    world_refuse(world, CONTROL_CMD_WAIT, json_pack("{s:s}", "for", "tea"),
                 "tea");
    world_refuse(world, CONTROL_CMD_MILESTONE,
                 json_pack("{s:s, s:i}", "name", "birth", "time-us", 1),
                 "birth");
    world_refuse(world, CONTROL_CMD_MILESTONE,
                 json_pack("{s:s, s:i}", "name", "loaded", "time-us", 1),
                 "policy full");
}

static void a_second_load_is_refused_and_one_that_failed_is_none(void **state)
{
    World *world = world_new();
    json_t *wrong = world_load_arguments(world, "demand");

    json_object_set_new(wrong, "snapshot", json_string("/nonexistent.snap"));
    world_refuse(world, CONTROL_CMD_LOAD, wrong, "/nonexistent.snap");
    world_load(world, "demand");
    world_refuse(world, CONTROL_CMD_LOAD, world_load_arguments(world, "demand"),
                 world->path);
}

static void
memory_that_does_not_fit_is_refused_and_the_right_one_taken(void **state)
{
    World *world = world_new();

    world_load(world, "sequential");
    refuse_attach(world, "length", json_integer(4096), "vga.vram");
    refuse_attach(world, "host", json_string("0x1001"), "0x1001");
    refuse_attach(world, "host", json_string("0x1000"), "0x1000");
    /* So high up that the block's end is beyond the last address. */
    refuse_attach(world, "host", json_string("0xfffffffffffff000"),
                  "0xfffffffffffff000");
    assert_int_equal(world_page(world, WORLD_RAM, 0)[0], 0xee);
    world_attach(world);
    world_assert_loads(world);
}

/* ---- abandoned loads ---- */

/* Begun as the options say, with an attach that failed. */
static void abandon(const World *world, json_t *arguments)
{
    json_decref(world_call(world, CONTROL_CMD_LOAD, arguments));
    refuse_attach(world, "length", json_integer(4096), "vga.vram");
    world_do(world, CONTROL_CMD_ABANDON, NULL);
    world_do(world, CONTROL_CMD_ABANDON, NULL);
}

static void a_load_that_is_abandoned_leaves_ram_alone(void **state)
{
    World *world = world_new();

    world_fill(world);
    abandon(world, world_load_arguments(world, "sequential"));
    world_assert_state(world, CONTROL_CMD_QUERY, "idle");
    world_assert_equal(world);
    world_refuse(world, CONTROL_CMD_ATTACH, world_attach_arguments(world),
                 "abandoned");
    world_refuse(world, CONTROL_CMD_WAIT,
                 json_pack("{s:s}", CONTROL_KEY_FOR, "all"), world->path);
    session_end(world->session);
}

static void after_a_load_that_was_abandoned_a_profile_is_taken(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "profiled.order");
    g_autoptr(GError) error = NULL;

    world_fill(world);
    abandon(world, world_load_arguments(world, "demand"));
    json_t *arguments = world_profile_arguments(world, path);
    json_t *answer = session_execute(world->session, CONTROL_CMD_PROFILE_START,
                                     arguments, NULL, &error);
    json_decref(arguments);
    if (!answer) {
        /* Not every kernel can. */
        assert_null(strstr(error->message, "is still being loaded"));
        skip();
    }
    json_decref(answer);
    json_decref(world_call(world, CONTROL_CMD_PROFILE_STOP, NULL));
}

/* Attaching discards all of guest RAM: that is not the guest giving it back. */
static void there_is_no_device_state_before_ram_is_taken_over(void **state)
{
    World *world = world_new();

    world_load(world, "demand");
    world_refuse(world, CONTROL_CMD_MILESTONE,
                 json_pack("{s:s, s:i}", "name", "device-state", "time-us", 1),
                 "before");
    world_attach(world);
    world_touch(world, WORLD_RAM, 5);
    world_do(world, CONTROL_CMD_MILESTONE,
             json_pack("{s:s, s:i}", "name", "device-state", "time-us", 1));
    world_assert_equal(world);
}

static void a_recording_that_is_abandoned_writes_nothing(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "abandoned.order");

    abandon(world, world_load_arguments_with(world, "order", "record", path));
    session_end(world->session);
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void a_load_that_has_taken_over_ram_is_not_abandoned(void **state)
{
    World *world = world_new();

    world_load(world, "demand");
    world_attach(world);
    world_refuse(world, CONTROL_CMD_ABANDON, NULL, "only this load");
    world_touch(world, WORLD_RAM, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_the_snapshot_s_once_all_is_loaded),
        cmocka_unit_test(a_load_that_is_abandoned_leaves_ram_alone),
        cmocka_unit_test(after_a_load_that_was_abandoned_a_profile_is_taken),
        cmocka_unit_test(there_is_no_device_state_before_ram_is_taken_over),
        cmocka_unit_test(a_recording_that_is_abandoned_writes_nothing),
        cmocka_unit_test(a_load_that_has_taken_over_ram_is_not_abandoned),
        cmocka_unit_test(only_touched_pages_are_loaded_with_policy_demand),
        cmocka_unit_test(verifying_a_guest_that_is_loading_loads_it),
        cmocka_unit_test(the_rest_is_loaded_when_asked_for),
        cmocka_unit_test(a_byte_that_differs_is_named),
        cmocka_unit_test(a_page_that_should_be_zero_and_is_not_is_named),
        cmocka_unit_test(memory_that_is_not_there_cannot_be_verified),
        cmocka_unit_test(first_touches_are_recorded_in_their_sequence),
        cmocka_unit_test(times_count_from_the_attach_that_worked),
        cmocka_unit_test(a_recorded_order_brings_its_pages_first),
        cmocka_unit_test(a_recording_is_written_when_the_session_ends),
        cmocka_unit_test(a_recording_that_cannot_be_written_is_warned_of),
        cmocka_unit_test(what_could_never_be_written_is_refused_at_once),
        cmocka_unit_test(an_order_that_is_garbage_is_warned_of_and_left_out),
        cmocka_unit_test(an_order_that_is_not_there_is_warned_of),
        cmocka_unit_test(an_order_of_another_snapshot_is_warned_of_and_used),
        cmocka_unit_test(statistics_are_written_when_all_is_loaded),
        cmocka_unit_test(statistics_are_written_when_the_session_ends),
        cmocka_unit_test(statistics_are_written_when_the_guest_runs),
        cmocka_unit_test(milestones_told_are_in_the_statistics),
        cmocka_unit_test(with_policy_full_qemu_loads_and_tells_when_it_has),
        cmocka_unit_test(commands_that_need_a_load_are_refused_before_it),
        cmocka_unit_test(names_that_are_not_known_are_refused),
        cmocka_unit_test(a_second_load_is_refused_and_one_that_failed_is_none),
        cmocka_unit_test(
            memory_that_does_not_fit_is_refused_and_the_right_one_taken),
    };

    if (!have_userfaultfd(0)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, worlds_remove_files);
}
