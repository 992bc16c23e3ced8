/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Files that are handed down open, while others take their names.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "formats/control-protocol.h"
#include "tests/plugin/session-world.h"
#include "util/clock.h"

static int open_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

/* Open the snapshot, and then have another one, of which every page differs,
 * take its name, as a save does. */
static int open_and_replace(const World *world)
{
    g_autofree char *other = world_file(world, "other");
    int fd = open_file(world->path);
    gsize len;
    const void *data = g_bytes_get_data(world->bytes, &len);
    g_autofree uint8_t *bytes = memcpy(g_malloc(len), data, len);

    for (size_t i = 0; i < world->snapshot->n_blocks; i++) {
        const RamImageBlock *block = &world->snapshot->blocks[i];

        for (uint64_t j = 0; j < block->len_bytes; j++) {
            bytes[block->pages_off_bytes + j] ^= 0xff;
        }
    }
    assert_true(
        g_file_set_contents(other, (const char *)bytes, (gssize)len, NULL));
    assert_int_equal(rename(other, world->path), 0);
    return fd;
}

static json_t *call(const World *world, const char *command, json_t *arguments,
                    const char *name, int fd)
{
    g_autoptr(GError) error = NULL;
    json_t *answer =
        world_call_with_fd(world, command, arguments, name, fd, &error);

    if (!answer) {
        fail_msg("%s: %s", command, error->message);
    }
    return answer;
}

static void refuse(const World *world, const char *command, json_t *arguments,
                   const char *name, int fd, const char *text)
{
    g_autoptr(GError) error = NULL;

    assert_null(
        world_call_with_fd(world, command, arguments, name, fd, &error));
    assert_says(error->message, text);
}

static bool is_equal(json_t *answer)
{
    bool equal = json_is_true(json_object_get(answer, "equal"));

    json_decref(answer);
    return equal;
}

static void
the_file_that_was_opened_is_loaded_and_not_the_one_of_its_name(void **state)
{
    World *world = world_new();
    int fd = open_and_replace(world);

    json_decref(call(world, CONTROL_CMD_LOAD,
                     world_load_arguments(world, "sequential"), "snapshot",
                     fd));
    close(fd);
    world_attach(world);
    world_await(world, "all");
    for (uint64_t page = 0; page < 130; page++) {
        assert_true(world_page_is_right(world, WORLD_RAM, page));
    }
    for (uint64_t page = 0; page < 64; page++) {
        assert_true(world_page_is_right(world, WORLD_VRAM, page));
    }
}

static void the_file_that_was_opened_is_what_ram_is_compared_with(void **state)
{
    World *world = world_new();
    int fd = open_and_replace(world);

    world_fill(world);
    assert_true(is_equal(call(world, CONTROL_CMD_VERIFY,
                              world_verify_arguments(world), "snapshot", fd)));
    assert_false(is_equal(
        world_call(world, CONTROL_CMD_VERIFY, world_verify_arguments(world))));
    close(fd);
}

static void a_window_belongs_to_the_file_that_was_opened(void **state)
{
    World *world = world_new();
    g_autofree char *output = world_file(world, "vm.order");
    int fd = open_file(world->path);

    unlink(world->path);
    world_fill(world);
    json_decref(call(world, CONTROL_CMD_PROFILE_START,
                     world_profile_arguments(world, output), "snapshot", fd));
    close(fd);
    json_decref(world_call(world, CONTROL_CMD_PROFILE_STOP, NULL));
    g_autoptr(PageOrder) order = world_load_order(output);
    assert_string_equal(order->identity, world->snapshot->identity);
}

static void an_order_that_was_opened_is_replayed_without_its_name(void **state)
{
    World *world = world_new();
    g_autofree char *path = world_file(world, "vm.order");
    g_autoptr(PageOrder) order = page_order_new();

    page_order_add_block(order, "pc.ram", UINT64_C(130) * 4096, 4096);
    page_order_append(order, &(PageExtent){.span = {0, 128, 2}});
    assert_true(page_order_save(order, path, NULL));
    int fd = open_file(path);
    unlink(path);
    json_t *answer = call(
        world, CONTROL_CMD_LOAD,
        world_load_arguments_with(world, "order", "order", path), "order", fd);
    assert_int_equal(json_object_size(answer), 0);
    json_decref(answer);
    close(fd);
    world_attach(world);
    world_assert_loads(world);
    json_t *stats = world_call(world, CONTROL_CMD_QUERY, NULL);
    assert_int_equal(number_in(json_object_get(stats, "pages"), "by-order"), 2);
    json_decref(stats);
}

/* What QEMU does next: the folder has another path now, or none. */
static void *lose_place(void *opaque)
{
    World *world = opaque;

    session_await_opened(world->session);
    world_remove_place(world);
    return NULL;
}

static void what_a_load_needs_is_open_when_qemu_goes_on(void **state)
{
    World *world = world_new();
    g_autofree char *stats = world_place(world);
    pthread_t thread;

    pthread_create(&thread, NULL, lose_place, world);
    /* Did it not wait, it would most likely be through then. */
    for (unsigned i = 0; i < 10000; i++) {
        sched_yield();
    }
    world_do(world, CONTROL_CMD_LOAD,
             world_load_arguments_with(world, "demand", "stats", stats));
    pthread_join(thread, NULL);
}

static unsigned count_descriptors(void)
{
    GDir *dir = g_dir_open("/proc/self/fd", 0, NULL);
    unsigned n = 0;

    while (g_dir_read_name(dir)) {
        n++;
    }
    g_dir_close(dir);
    return n;
}

/* Wait until there are so many; they are closed a moment after the end. */
static void await_descriptors(unsigned n)
{
    uint64_t until_us = monotonic_us() + 20 * UINT64_C(1000000);

    while (count_descriptors() != n && monotonic_us() < until_us) {
        sched_yield();
    }
    assert_int_equal(count_descriptors(), n);
}

static void nothing_stays_open_once_all_is_loaded(void **state)
{
    static const char *const policies[] = {"sequential", "full"};

    for (size_t i = 0; i < G_N_ELEMENTS(policies); i++) {
        World *world = world_new();
        unsigned n_before = count_descriptors();
        int fd = open_file(world->path);

        json_decref(call(world, CONTROL_CMD_LOAD,
                         world_load_arguments(world, policies[i]), "snapshot",
                         fd));
        close(fd);
        if (strcmp(policies[i], "sequential") == 0) {
            assert_true(count_descriptors() > n_before);
            world_attach(world);
            world_await(world, "all");
        }
        await_descriptors(n_before);
        world_assert_state(world, CONTROL_CMD_QUERY,
                           i == 0 ? "loaded" : "loading");
    }
}

static void nothing_stays_open_once_a_window_is_closed(void **state)
{
    World *world = world_new();
    g_autofree char *output = world_file(world, "vm.order");
    unsigned n_before = count_descriptors();

    world_fill(world);
    world_do(world, CONTROL_CMD_PROFILE_START,
             world_profile_arguments(world, output));
    assert_true(count_descriptors() > n_before);
    json_decref(world_call(world, CONTROL_CMD_PROFILE_STOP, NULL));
    await_descriptors(n_before);
}

static void an_image_of_more_ram_than_may_be_is_refused(void **state)
{
    World *world = world_new();
    json_t *arguments = world_load_arguments(world, "demand");
    uint64_t ram_bytes = world->snapshot->ram_bytes;

    json_object_set_new(arguments, "max-ram",
                        json_integer((json_int_t)ram_bytes - 1));
    world_refuse(world, CONTROL_CMD_LOAD, arguments, "RAM");
    arguments = world_load_arguments(world, "demand");
    json_object_set_new(arguments, "max-ram",
                        json_integer((json_int_t)ram_bytes));
    world_do(world, CONTROL_CMD_LOAD, arguments);
}

static void what_is_no_file_to_load_from_is_refused(void **state)
{
    World *world = world_new();
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    refuse(world, CONTROL_CMD_LOAD, world_load_arguments(world, "demand"),
           "snapshot", fds[0], "not a regular file");
    refuse(world, CONTROL_CMD_LOAD, world_load_arguments(world, "demand"),
           "disk", fds[0], "disk");
    refuse(world, CONTROL_CMD_VERIFY, world_verify_arguments(world), "order",
           fds[0], "order");
    close(fds[0]);
    close(fds[1]);
    world_load(world, "demand");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            the_file_that_was_opened_is_loaded_and_not_the_one_of_its_name),
        cmocka_unit_test(the_file_that_was_opened_is_what_ram_is_compared_with),
        cmocka_unit_test(a_window_belongs_to_the_file_that_was_opened),
        cmocka_unit_test(an_order_that_was_opened_is_replayed_without_its_name),
        cmocka_unit_test(what_a_load_needs_is_open_when_qemu_goes_on),
        cmocka_unit_test(nothing_stays_open_once_all_is_loaded),
        cmocka_unit_test(nothing_stays_open_once_a_window_is_closed),
        cmocka_unit_test(an_image_of_more_ram_than_may_be_is_refused),
        cmocka_unit_test(what_is_no_file_to_load_from_is_refused),
    };

    if (!have_userfaultfd(0)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, worlds_remove_files);
}
