/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Files that are handed down open, while others take their names.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "formats/control-protocol.h"
#include "tests/plugin/session-world.h"

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
    g_autofree uint8_t *bytes = g_memdup2(g_bytes_get_data(world->bytes, &len),
                                          g_bytes_get_size(world->bytes));

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
        cmocka_unit_test(what_is_no_file_to_load_from_is_refused),
    };

    if (!have_userfaultfd(0)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, worlds_remove_files);
}
