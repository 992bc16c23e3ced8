/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <signal.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "cli/interrupts.h"
#include "cli/order-packing.h"
#include "tests/formats/image.h"
#include "util/error.h"

typedef struct World {
    char *directory;
    char *pack;
    RamImage *image;
    PageOrder *order; /* of the first page */
    int interrupt_fd;
} World;

static int set_up(void **state)
{
    World *world = g_new0(World, 1);
    const Image image = image_valid();
    const PageExtent first = {.span = {0, 0, 1}};
    int fd = image_write(&image);

    world->directory = make_directory();
    world->pack = g_build_filename(world->directory, "pack", NULL);
    world->image = ram_image_open_fd(fd, "image", 0, NULL);
    assert_non_null(world->image);
    close(fd);
    world->order = page_order_new();
    page_order_add_block(world->order, "pc.ram", 130 * 4096, 4096);
    page_order_append(world->order, &first);
    world->interrupt_fd = interrupts_open();
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    World *world = *state;

    interrupts_close(world->interrupt_fd);
    page_order_free(world->order);
    ram_image_free(world->image);
    g_free(world->pack);
    remove_directory(world->directory);
    g_free(world);
    return 0;
}

static bool pack(const World *world, GError **error)
{
    PackingResult result;

    return order_packing_run(world->order, world->image, world->pack,
                             world->interrupt_fd, NULL, &result, error);
}

static void the_pages_of_an_order_are_packed(void **state)
{
    World *world = *state;
    GError *error = NULL;

    pack(world, &error);
    assert_no_error(error);
    assert_true(g_file_test(world->pack, G_FILE_TEST_EXISTS));
}

/* Not even the file that is to become the pack. */
static void packing_that_is_interrupted_leaves_nothing(void **state)
{
    World *world = *state;
    GError *error = NULL;

    raise(SIGTERM);
    assert_false(pack(world, &error));
    assert_util_error(error, UTIL_ERROR_INTERRUPTED, "pack: interrupted");
    assert_int_equal(rmdir(world->directory), 0);
    assert_int_equal(g_mkdir(world->directory, 0700), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_pages_of_an_order_are_packed,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            packing_that_is_interrupted_leaves_nothing, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
