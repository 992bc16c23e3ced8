/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The profiling commands, and what they write.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "formats/control-protocol.h"
#include "plugin/arguments.h"
#include "plugin/pager/profile-window.h"
#include "tests/plugin/session-world.h"

/* By how much the clock is ahead, and how much opening a snapshot and a window
 * puts it forward. */
static _Atomic uint64_t ahead_us;
static _Atomic uint64_t snapshot_takes_us;
static _Atomic uint64_t window_takes_us;

uint64_t __real_monotonic_us(void);
uint64_t __wrap_monotonic_us(void);
RamImage *__real_arguments_snapshot(const SnapshotArguments *given,
                                    const Descriptors *descriptors,
                                    GError **error);
RamImage *__wrap_arguments_snapshot(const SnapshotArguments *given,
                                    const Descriptors *descriptors,
                                    GError **error);
ProfileWindow *__real_profile_window_open(const PagerRange *ranges,
                                          size_t n_ranges, Recorder *recorder,
                                          LoadStats *stats, GError **error);
ProfileWindow *__wrap_profile_window_open(const PagerRange *ranges,
                                          size_t n_ranges, Recorder *recorder,
                                          LoadStats *stats, GError **error);

uint64_t __wrap_monotonic_us(void)
{
    return __real_monotonic_us() + atomic_load(&ahead_us);
}

RamImage *__wrap_arguments_snapshot(const SnapshotArguments *given,
                                    const Descriptors *descriptors,
                                    GError **error)
{
    atomic_fetch_add(&ahead_us, atomic_load(&snapshot_takes_us));
    return __real_arguments_snapshot(given, descriptors, error);
}

ProfileWindow *__wrap_profile_window_open(const PagerRange *ranges,
                                          size_t n_ranges, Recorder *recorder,
                                          LoadStats *stats, GError **error)
{
    ProfileWindow *window =
        __real_profile_window_open(ranges, n_ranges, recorder, stats, error);

    atomic_fetch_add(&ahead_us, atomic_load(&window_takes_us));
    return window;
}

static void start_profile(const World *world, const char *output)
{
    world_do(world, CONTROL_CMD_PROFILE_START,
             world_profile_arguments(world, output));
}

static json_t *stop_profile(const World *world)
{
    json_t *answer = world_call(world, CONTROL_CMD_PROFILE_STOP, NULL);

    assert_string_equal(text_in(answer, "state"), "done");
    return answer;
}

static void assert_extent(const PageOrder *order, guint i, const char *block,
                          uint64_t page, PageAccess access)
{
    world_assert_extent(order, i, block, page);
    assert_int_equal(page_order_extent(order, i)->access, access);
}

/* ---- a window ---- */

static void the_order_has_the_first_touches_of_pages_in_the_file(void **state)
{
    World *world = world_new();
    g_autofree char *output = world_file(world, "vm.order");

    world_fill(world);
    start_profile(world, output);
    world_touch(world, WORLD_RAM, 128);
    world_touch(world, WORLD_RAM, 7); /* zero: not in the file */
    memset(world_page(world, WORLD_VRAM, 3), 1, 1);
    world_touch(world, WORLD_RAM, 0);
    world_touch(world, WORLD_RAM, 128);
    json_t *answer = stop_profile(world);
    assert_int_equal(number_in(answer, "first-touches"), 4);
    json_decref(answer);

    g_autoptr(PageOrder) order = world_load_order(output);
    assert_string_equal(order->identity, world->snapshot->identity);
    assert_int_equal(order->origin, PAGE_ORDER_ORIGIN_SAVE);
    assert_int_equal(order->blocks->len, WORLD_N_BLOCKS);
    assert_int_equal(order->extents->len, 3);
    assert_extent(order, 0, "pc.ram", 128, PAGE_ACCESS_READ);
    assert_extent(order, 1, "vga.vram", 3, PAGE_ACCESS_WRITE);
    assert_extent(order, 2, "pc.ram", 0, PAGE_ACCESS_READ);
}

static void memory_is_unharmed_by_a_window(void **state)
{
    World *world = world_new();
    g_autofree char *output = world_file(world, "vm.order");

    world_fill(world);
    start_profile(world, output);
    world_touch(world, WORLD_VRAM, 60);
    json_decref(stop_profile(world));
    world_assert_equal(world);
}

static void what_a_window_cost_is_told_once_it_is_closed(void **state)
{
    static const char *const costs[] = {
        "window-ms",    "open-us",      "close-us",
        "pinned-pages", "copied-pages", "huge-pages-split",
    };
    World *world = world_new();
    g_autofree char *output = world_file(world, "vm.order");

    start_profile(world, output);
    json_t *during = world_call(world, CONTROL_CMD_PROFILE_QUERY, NULL);
    json_t *after = stop_profile(world);

    assert_string_equal(text_in(during, "state"), "profiling");
    assert_int_equal(number_in(during, "dropped-touches"), 0);
    assert_null(json_object_get(during, "output"));
    for (size_t i = 0; i < G_N_ELEMENTS(costs); i++) {
        assert_null(json_object_get(during, costs[i]));
        assert_true(number_in(after, costs[i]) >= 0);
    }
    assert_string_equal(text_in(after, "output"), output);
    assert_null(json_object_get(after, "error"));
    json_decref(during);
    json_decref(after);
}

static void the_cost_to_open_is_all_that_profile_start_took(void **state)
{
    World *world = world_new();
    g_autofree char *output = world_file(world, "vm.order");

    atomic_store(&snapshot_takes_us, 10000000);
    atomic_store(&window_takes_us, 20000000);
    start_profile(world, output);
    atomic_store(&snapshot_takes_us, 0);
    atomic_store(&window_takes_us, 0);
    json_t *answer = stop_profile(world);
    assert_true(number_in(answer, "open-us") >= 30000000);
    json_decref(answer);
    /* Whoever waits until a moment would else wait for the real one. */
    atomic_store(&ahead_us, 0);
}

static void
stopping_or_waiting_without_a_window_tells_that_there_is_none(void **state)
{
    World *world = world_new();

    world_assert_state(world, CONTROL_CMD_PROFILE_QUERY, "none");
    world_assert_state(world, CONTROL_CMD_PROFILE_STOP, "none");
    world_assert_state(world, CONTROL_CMD_PROFILE_WAIT, "none");
}

/* ---- how a window ends ---- */

static void a_window_ends_when_its_time_is_over(void **state)
{
    World *world = world_new();
    g_autofree char *output = world_file(world, "vm.order");
    json_t *arguments = world_profile_arguments(world, output);

    json_object_set_new(arguments, "max-time", json_integer(1));
    world_do(world, CONTROL_CMD_PROFILE_START, arguments);
    world_assert_state(world, CONTROL_CMD_PROFILE_WAIT, "done");
    world_assert_state(world, CONTROL_CMD_PROFILE_WAIT, "done");
    page_order_free(world_load_order(output));
}

static void a_window_ends_when_nothing_new_is_touched(void **state)
{
    World *world = world_new();
    g_autofree char *output = world_file(world, "vm.order");
    json_t *arguments = world_profile_arguments(world, output);

    json_object_set_new(arguments, "settle", json_true());
    world_do(world, CONTROL_CMD_PROFILE_START, arguments);
    world_assert_state(world, CONTROL_CMD_PROFILE_WAIT, "done");
}

static void a_window_ends_and_is_written_when_the_session_ends(void **state)
{
    World *world = world_new();
    g_autofree char *output = world_file(world, "vm.order");

    start_profile(world, output);
    world_page(world, WORLD_RAM, 1)[0] = 1;
    session_end(world->session);
    world_assert_state(world, CONTROL_CMD_PROFILE_QUERY, "done");
    g_autoptr(PageOrder) order = world_load_order(output);
    assert_int_equal(order->extents->len, 1);
    assert_extent(order, 0, "pc.ram", 1, PAGE_ACCESS_WRITE);
}

static void windows_can_follow_each_other(void **state)
{
    World *world = world_new();
    g_autofree char *output = world_file(world, "vm.order");

    for (uint64_t page = 0; page < 3; page++) {
        start_profile(world, output);
        world_page(world, WORLD_VRAM, page)[0] = 1;
        json_decref(stop_profile(world));
        g_autoptr(PageOrder) order = world_load_order(output);
        assert_int_equal(order->extents->len, 1);
        assert_extent(order, 0, "vga.vram", page, PAGE_ACCESS_WRITE);
    }
}

/* Stops the window that is open. */
static void *stopper_thread(void *opaque)
{
    return stop_profile(opaque);
}

/* The next one opens as soon as it can; who waits must not take it for the one
 * that it has stopped. */
static void who_stops_a_window_is_told_of_that_one(void **state)
{
    World *world = world_new();
    g_autofree char *first = world_file(world, "1.order");
    g_autofree char *second = world_file(world, "2.order");

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        json_t *answer = NULL;
        pthread_t stopper;
        void *told;

        start_profile(world, first);
        assert_int_equal(pthread_create(&stopper, NULL, stopper_thread, world),
                         0);
        while (!answer) {
            json_t *arguments = world_profile_arguments(world, second);

            answer = session_execute(world->session, CONTROL_CMD_PROFILE_START,
                                     arguments, NULL, NULL);
            json_decref(arguments);
        }
        json_decref(answer);
        json_decref(stop_profile(world));
        pthread_join(stopper, &told);
        assert_string_equal(text_in(told, "output"), first);
        json_decref(told);
    }
}

static void an_order_that_could_not_be_written_in_the_end_is_told(void **state)
{
    World *world = world_new();
    g_autofree char *output = world_file(world, "vm.order");

    start_profile(world, output);
    world_page(world, WORLD_RAM, 1)[0] = 1;
    assert_int_equal(mkdir(output, 0700), 0);
    json_t *answer = stop_profile(world);
    assert_says(text_in(answer, "error"), output);
    json_decref(answer);
    assert_int_equal(rmdir(output), 0);
}

static void an_order_that_is_not_wanted_leaves_the_old_one(void **state)
{
    World *world = world_new();
    g_autofree char *output = world_file(world, "vm.order");
    g_autofree char *text = NULL;

    assert_true(g_file_set_contents(output, "old", 3, NULL));
    start_profile(world, output);
    world_page(world, WORLD_RAM, 1)[0] = 1;
    json_t *answer = world_call(world, CONTROL_CMD_PROFILE_STOP,
                                json_pack("{s:b}", "discard", 1));
    assert_string_equal(text_in(answer, "state"), "done");
    assert_says(text_in(answer, "error"), "as requested");
    assert_true(g_file_get_contents(output, &text, NULL, NULL));
    assert_string_equal(text, "old");
    json_decref(answer);
}

static void after_one_that_is_not_wanted_the_next_is_written(void **state)
{
    World *world = world_new();
    g_autofree char *output = world_file(world, "vm.order");
    json_t *arguments = world_profile_arguments(world, output);

    start_profile(world, output);
    json_decref(world_call(world, CONTROL_CMD_PROFILE_STOP,
                           json_pack("{s:b}", "discard", 1)));
    json_object_set_new(arguments, "max-time", json_integer(1));
    world_do(world, CONTROL_CMD_PROFILE_START, arguments);
    world_assert_state(world, CONTROL_CMD_PROFILE_WAIT, "done");
    page_order_free(world_load_order(output));
}

/* ---- what is refused ---- */

static void a_second_window_is_refused_while_one_is_open(void **state)
{
    World *world = world_new();
    g_autofree char *output = world_file(world, "vm.order");
    g_autofree char *other = world_file(world, "other.order");
    struct stat st;

    start_profile(world, output);
    world_refuse(world, CONTROL_CMD_PROFILE_START,
                 world_profile_arguments(world, other), "open already");
    json_decref(stop_profile(world));
    assert_int_equal(stat(output, &st), 0);
    assert_int_not_equal(stat(other, &st), 0);
}

static void a_window_is_refused_until_all_is_loaded(void **state)
{
    World *world = world_new();
    g_autofree char *output = world_file(world, "vm.order");

    world_load(world, "demand");
    world_refuse(world, CONTROL_CMD_PROFILE_START,
                 world_profile_arguments(world, output), "still being loaded");
    world_attach(world);
    world_refuse(world, CONTROL_CMD_PROFILE_START,
                 world_profile_arguments(world, output), "still being loaded");
    world_do(world, CONTROL_CMD_LOAD_REST, NULL);
    world_await(world, "all");
    start_profile(world, output);
    world_touch(world, WORLD_RAM, 129);
    json_decref(stop_profile(world));
    world_assert_equal(world);
}

/* profile-start fails with text once one value of the video memory was
 * changed. */
static void refuse_profile(const World *world, const char *name, json_t *value,
                           const char *text)
{
    g_autofree char *output = world_file(world, "vm.order");

    world_refuse_vram(world, CONTROL_CMD_PROFILE_START,
                      world_profile_arguments(world, output), name, value,
                      text);
}

static void memory_that_does_not_fit_is_refused_and_unharmed(void **state)
{
    World *world = world_new();

    world_fill(world);
    refuse_profile(world, "length", json_integer(4096), "vga.vram");
    refuse_profile(world, "name", json_string("vga.vrom"), "vga.vrom");
    refuse_profile(world, "host", json_string("0x1000"), "0x1000");
    refuse_profile(world, "host", json_string("0xfffffffffffff000"),
                   "0xfffffffffffff000");
    world_assert_state(world, CONTROL_CMD_PROFILE_QUERY, "none");
    world_assert_equal(world);
}

static void a_block_given_twice_is_refused_and_unharmed(void **state)
{
    World *world = world_new();
    g_autofree char *output = world_file(world, "vm.order");
    json_t *arguments = world_profile_arguments(world, output);
    json_t *blocks = json_object_get(arguments, "blocks");

    world_fill(world);
    json_array_append(blocks, json_array_get(blocks, WORLD_VRAM));
    world_refuse(world, CONTROL_CMD_PROFILE_START, arguments, "vga.vram");
    world_assert_equal(world);
}

static void pages_that_are_not_of_the_hosts_size_are_refused(void **state)
{
    World *world = world_new();
    g_autofree char *output = world_file(world, "vm.order");
    const RamImageBlock *block =
        ram_image_find_block(world->snapshot, "vga.vram");
    const uint64_t half = GUINT64_TO_BE(block->page_bytes / 2);

    /* In its header it comes before two offsets, and its bitmap follows. */
    assert_int_equal(pwrite(world->fd, &half, sizeof half,
                            (off_t)block->bitmap_off_bytes - 24),
                     sizeof half);
    world_fill(world);
    world_refuse(world, CONTROL_CMD_PROFILE_START,
                 world_profile_arguments(world, output),
                 "RAM block vga.vram has pages of 2048 bytes");
    assert_true(world_page_is_right(world, WORLD_VRAM, 3));
}

static void an_order_that_cannot_be_written_is_refused_at_once(void **state)
{
    World *world = world_new();

    world_refuse(world, CONTROL_CMD_PROFILE_START,
                 world_profile_arguments(world, "/nonexistent/vm.order"),
                 "/nonexistent/vm.order: cannot write it");
    world_refuse(world, CONTROL_CMD_PROFILE_START,
                 world_profile_arguments(world, "/dev/null"),
                 "/dev/null: cannot write it");
    world_assert_state(world, CONTROL_CMD_PROFILE_QUERY, "none");
}

static void a_snapshot_that_is_none_is_refused(void **state)
{
    World *world = world_new();
    g_autofree char *output = world_file(world, "vm.order");
    json_t *arguments = world_profile_arguments(world, output);

    json_object_set_new(arguments, "snapshot", json_string("/dev/null"));
    world_refuse(world, CONTROL_CMD_PROFILE_START, arguments, "/dev/null");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_has_the_first_touches_of_pages_in_the_file),
        cmocka_unit_test(memory_is_unharmed_by_a_window),
        cmocka_unit_test(what_a_window_cost_is_told_once_it_is_closed),
        cmocka_unit_test(the_cost_to_open_is_all_that_profile_start_took),
        cmocka_unit_test(
            stopping_or_waiting_without_a_window_tells_that_there_is_none),
        cmocka_unit_test(a_window_ends_when_its_time_is_over),
        cmocka_unit_test(a_window_ends_when_nothing_new_is_touched),
        cmocka_unit_test(a_window_ends_and_is_written_when_the_session_ends),
        cmocka_unit_test(windows_can_follow_each_other),
        cmocka_unit_test(who_stops_a_window_is_told_of_that_one),
        cmocka_unit_test(an_order_that_could_not_be_written_in_the_end_is_told),
        cmocka_unit_test(an_order_that_is_not_wanted_leaves_the_old_one),
        cmocka_unit_test(after_one_that_is_not_wanted_the_next_is_written),
        cmocka_unit_test(a_second_window_is_refused_while_one_is_open),
        cmocka_unit_test(a_window_is_refused_until_all_is_loaded),
        cmocka_unit_test(memory_that_does_not_fit_is_refused_and_unharmed),
        cmocka_unit_test(a_block_given_twice_is_refused_and_unharmed),
        cmocka_unit_test(pages_that_are_not_of_the_hosts_size_are_refused),
        cmocka_unit_test(an_order_that_cannot_be_written_is_refused_at_once),
        cmocka_unit_test(a_snapshot_that_is_none_is_refused),
    };

    if (!have_userfaultfd(UFFD_CAN_MOVE)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, worlds_remove_files);
}
