/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A load with its order's pack, by its commands.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "formats/control-protocol.h"
#include "formats/pack-writer.h"
#include "tests/plugin/session-world.h"

#define N_PACKED 40 /* pages of video memory */

static void write_order(const char *path)
{
    g_autoptr(PageOrder) order = page_order_new();
    const PageExtent extent = {
        .span = {page_order_add_block(order, "vga.vram", 64 * WORLD_PAGE_BYTES,
                                      WORLD_PAGE_BYTES),
                 0, N_PACKED}};

    page_order_append(order, &extent);
    assert_true(page_order_save(order, path, NULL));
}

/* Of pages as the snapshot has them. */
static void write_pack(const World *world, const char *path)
{
    const RamImageBlock *block = &world->snapshot->blocks[WORLD_VRAM];
    const PageSpan span = {WORLD_VRAM, 0, N_PACKED};
    uint8_t pages[N_PACKED * WORLD_PAGE_BYTES];
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    g_autoptr(PackWriter) writer = pack_writer_new(fd, world->snapshot);

    assert_true(byte_source_read_at(world->snapshot->source, pages,
                                    sizeof(pages), block->pages_off_bytes,
                                    NULL));
    assert_true(pack_writer_add(writer, &span, 1, pages, sizeof(pages), NULL));
    assert_true(pack_writer_finish(writer, NULL));
    close(fd);
}

typedef struct Packed {
    World *world;
    char *order;
    char *pack;
} Packed;

static Packed packed_new(void)
{
    World *world = world_new();
    Packed packed = {world, world_file(world, "vm.order"),
                     world_file(world, "vm.order.pack")};

    write_order(packed.order);
    write_pack(world, packed.pack);
    return packed;
}

static void packed_clear(Packed *packed)
{
    g_free(packed->order);
    g_free(packed->pack);
}

static json_t *arguments_of(const Packed *packed, const char *use)
{
    json_t *arguments = world_load_arguments_with(packed->world, "order",
                                                  "order", packed->order);

    json_object_set_new(arguments, "pack", json_string(packed->pack));
    json_object_set_new(arguments, "pack-use", json_string(use));
    return arguments;
}

/* The load's "pack"; a new reference. */
static json_t *finish(const World *world)
{
    world_attach(world);
    world_await(world, "all");
    world_assert_equal(world);
    json_t *stats = world_call(world, CONTROL_CMD_QUERY, NULL);
    json_t *pack = json_incref(json_object_get(stats, "pack"));

    json_decref(stats);
    return pack;
}

static void assert_used(const World *world)
{
    json_t *pack = finish(world);

    assert_true(json_is_true(json_object_get(pack, "used")));
    assert_int_equal(number_in(pack, "pages"), N_PACKED);
    json_decref(pack);
}

static void assert_ignored(const Packed *packed, const char *text)
{
    g_autofree char *warning =
        world_load_warned(packed->world, arguments_of(packed, "always"));

    assert_says(warning, text);
    assert_says(warning, "; loading without the pack");
    json_t *pack = finish(packed->world);
    assert_true(json_is_null(pack));
    json_decref(pack);
}

static void the_orders_pages_come_from_its_pack(void **state)
{
    Packed packed = packed_new();

    (void)state;
    world_do(packed.world, CONTROL_CMD_LOAD, arguments_of(&packed, "always"));
    assert_used(packed.world);
    packed_clear(&packed);
}

static void a_pack_that_was_opened_is_used_without_its_name(void **state)
{
    Packed packed = packed_new();
    int fd = open(packed.pack, O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(unlink(packed.pack), 0);
    json_decref(world_call_with_fd(packed.world, CONTROL_CMD_LOAD,
                                   arguments_of(&packed, "always"), "pack", fd,
                                   NULL));
    close(fd);
    assert_used(packed.world);
    packed_clear(&packed);
}

static void a_pack_can_be_left_alone(void **state)
{
    Packed packed = packed_new();

    (void)state;
    world_do(packed.world, CONTROL_CMD_LOAD, arguments_of(&packed, "never"));
    json_t *pack = finish(packed.world);
    assert_true(json_is_null(pack));
    json_decref(pack);
    packed_clear(&packed);
}

static void a_pack_that_is_gone_is_warned_of(void **state)
{
    Packed packed = packed_new();

    (void)state;
    assert_int_equal(unlink(packed.pack), 0);
    assert_ignored(&packed, "vm.order.pack");
    packed_clear(&packed);
}

static void a_torn_pack_is_warned_of(void **state)
{
    Packed packed = packed_new();

    (void)state;
    assert_int_equal(truncate(packed.pack, 100), 0);
    assert_ignored(&packed, "should be");
    packed_clear(&packed);
}

static void another_snapshots_pack_is_warned_of(void **state)
{
    Packed packed = packed_new();

    (void)state;
    packed.world->snapshot->identity[0] ^= 1;
    write_pack(packed.world, packed.pack);
    assert_ignored(&packed, "packed for another snapshot");
    packed_clear(&packed);
}

static void a_damaged_chunk_is_warned_of_and_not_used(void **state)
{
    Packed packed = packed_new();
    int fd = open(packed.pack, O_RDWR | O_CLOEXEC);
    unsigned n_before = world_n_warnings();

    (void)state;
    assert_int_equal(pwrite(fd, "damage", 6, 40), 6);
    close(fd);
    world_do(packed.world, CONTROL_CMD_LOAD, arguments_of(&packed, "always"));
    json_t *pack = finish(packed.world);
    assert_true(json_is_false(json_object_get(pack, "used")));
    assert_int_equal(number_in(pack, "pages"), 0);
    json_decref(pack);
    assert_int_equal(world_n_warnings(), n_before + 1);
    packed_clear(&packed);
}

static void a_use_of_another_name_is_refused(void **state)
{
    Packed packed = packed_new();

    (void)state;
    world_refuse(packed.world, CONTROL_CMD_LOAD,
                 arguments_of(&packed, "sometimes"), "auto, always, never");
    packed_clear(&packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_orders_pages_come_from_its_pack),
        cmocka_unit_test(a_pack_that_was_opened_is_used_without_its_name),
        cmocka_unit_test(a_pack_can_be_left_alone),
        cmocka_unit_test(a_pack_that_is_gone_is_warned_of),
        cmocka_unit_test(a_torn_pack_is_warned_of),
        cmocka_unit_test(another_snapshots_pack_is_warned_of),
        cmocka_unit_test(a_damaged_chunk_is_warned_of_and_not_used),
        cmocka_unit_test(a_use_of_another_name_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, worlds_remove_files);
}
