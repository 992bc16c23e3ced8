/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What comes before RAM in an image.
 */
#include "tests/formats/opened-image.h"

#include <string.h>

/* A full section as virtio-mem has it: name, instance 0, version 1, a body,
 * footer. */
static void put_early_section(GByteArray *bytes, uint8_t id, const void *body,
                              guint body_bytes)
{
    const uint8_t head[] = {4, 0, 0, 0, id};
    const uint8_t instance_and_version[] = {0, 0, 0, 0, 0, 0, 0, 1};
    const uint8_t footer[] = {0x7e, 0, 0, 0, id};

    g_byte_array_append(bytes, head, sizeof head);
    g_byte_array_append(bytes, (const guint8 *)"\5early", 6);
    g_byte_array_append(bytes, instance_and_version,
                        sizeof instance_and_version);
    g_byte_array_append(bytes, body, body_bytes);
    g_byte_array_append(bytes, footer, sizeof footer);
}

static Image image_with_before_ram(const GByteArray *bytes)
{
    Image image = image_valid();

    image.before_ram = bytes->data;
    image.before_ram_bytes = bytes->len;
    return image;
}

static void assert_read_in_full(const RamImage *opened)
{
    assert_int_equal(opened->n_blocks, 3);
    assert_string_equal(opened->blocks[0].name, "pc.ram");
    assert_int_equal(opened->blocks[0].n_pages_in_file, 5);
    assert_int_equal(opened->device_state_len_bytes,
                     strlen(IMAGE_DEVICE_STATE));
}

static void sections_before_ram_are_passed_over(void **state)
{
    g_autoptr(GByteArray) before = g_byte_array_new();
    uint8_t body[70000];

    memset(body, 0xff, sizeof body);
    put_early_section(before, 43, body, 24);
    put_early_section(before, 45, body, sizeof body);
    Image image = image_with_before_ram(before);
    ram_image_free(opened_image_valid(&image));

    image.image_off_bytes = 5000;
    g_autoptr(RamImage) opened = opened_image_valid(&image);
    assert_read_in_full(opened);
}

static void commands_before_ram_are_passed_over(void **state)
{
    /* Two: of no bytes, and of four that look like a section. */
    static const uint8_t commands[] = {8, 0, 1, 0, 0, 8, 0,
                                       2, 0, 4, 1, 0, 0, 0};
    g_autoptr(GByteArray) before = g_byte_array_new();

    g_byte_array_append(before, commands, sizeof commands);
    Image image = image_with_before_ram(before);
    ram_image_free(opened_image_valid(&image));

    put_early_section(before, 43, "body", 4);
    image = image_with_before_ram(before);
    g_autoptr(RamImage) opened = opened_image_valid(&image);
    assert_read_in_full(opened);
}

/* A RAM section's start and the header of a block that does not fit where it
 * stands. */
static const uint8_t false_ram[] = {
    1, 0,   0, 0, 2, 3,    'r',  'a', 'm',  0, 0, 0, 0, 0,
    0, 0,   4,                                             /* section */
    0, 0,   0, 0, 0, 0,    0x20, 4,                        /* length */
    1, 'x', 0, 0, 0, 0,    0,    0,   0x20, 0, 0, 0, 0, 1, /* block */
    0, 0,   0, 0, 0, 0,    0x10, 0,                        /* page size */
    0, 0,   0, 0, 0, 0,    0,    0,                        /* bitmap */
    0, 0,   0, 0, 0, 0x10, 0,    0,                        /* pages */
};

#define FALSE_RAM_BITMAP_OFF_BYTES (sizeof false_ram - 16)

static void what_only_looks_like_ram_is_passed_over(void **state)
{
    g_autoptr(GByteArray) before = g_byte_array_new();

    put_early_section(before, 43, false_ram, 17);
    put_early_section(before, 44, false_ram, sizeof false_ram);
    const Image image = image_with_before_ram(before);
    g_autoptr(RamImage) opened = opened_image_valid(&image);
    assert_read_in_full(opened);
}

static void two_places_where_ram_could_begin_are_refused(void **state)
{
    g_autoptr(GByteArray) before = g_byte_array_new();

    put_early_section(before, 43, false_ram, sizeof false_ram);
    const Image image = image_with_before_ram(before);
    g_autoptr(GBytes) bytes = image_bytes(&image);
    /* Where the false header ends: before the footer, of 5 bytes. */
    const uint8_t *data = g_bytes_get_data(bytes, NULL);
    const uint8_t *found =
        memmem(data, 4096, false_ram, FALSE_RAM_BITMAP_OFF_BYTES);
    before->data[before->len - 5 - 9] =
        (uint8_t)(found - data + (gssize)sizeof false_ram);
    opened_image_refuse(
        &image, FORMATS_ERROR_MALFORMED,
        "after section \"early\" there are two places where RAM");
}

static void a_section_that_ram_does_not_follow_is_named(void **state)
{
    g_autoptr(GByteArray) before = g_byte_array_new();

    put_early_section(before, 43, "body", 4);
    Image image = image_with_before_ram(before);
    image.section_name = "rom";
    opened_image_refuse(
        &image, FORMATS_ERROR_UNSUPPORTED,
        "section \"early\" comes before RAM, and no RAM section is found");
}

static void ram_that_is_wrong_after_a_section_is_told_as_ever(void **state)
{
    g_autoptr(GByteArray) before = g_byte_array_new();

    put_early_section(before, 43, "body", 4);
    Image image = image_with_before_ram(before);
    image.blocks[0].pages_off_error = UINT64_C(1) << 40;
    opened_image_refuse(&image, FORMATS_ERROR_TRUNCATED,
                        "\"pc.ram\": its pages end at");
}

static void nothing_but_commands_is_refused(void **state)
{
    g_autoptr(GByteArray) before = g_byte_array_new();

    g_byte_array_set_size(before, 5 << 20);
    memset(before->data, 8, before->len);
    const Image image = image_with_before_ram(before);
    opened_image_refuse(&image, FORMATS_ERROR_MALFORMED, "only commands");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_before_ram_are_passed_over),
        cmocka_unit_test(commands_before_ram_are_passed_over),
        cmocka_unit_test(what_only_looks_like_ram_is_passed_over),
        cmocka_unit_test(two_places_where_ram_could_begin_are_refused),
        cmocka_unit_test(a_section_that_ram_does_not_follow_is_named),
        cmocka_unit_test(ram_that_is_wrong_after_a_section_is_told_as_ever),
        cmocka_unit_test(nothing_but_commands_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
