/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Images that are refused, and how that is said.
 */
#include "tests/formats/opened-image.h"

#include <string.h>

/* The valid image is refused once this of it has another value. */
#define REFUSE_WITH(member, value, code, text)                                 \
    do {                                                                       \
        Image image = image_valid();                                           \
                                                                               \
        image.member = value;                                                  \
        opened_image_refuse(&image, code, text);                               \
    } while (0)

static void another_kind_of_file_is_not_this(void **state)
{
    REFUSE_WITH(magic, 0x7f454c40, FORMATS_ERROR_NOT_THIS,
                "offset 0: no QEMU migration");
}

static void an_image_is_not_found_at_the_wrong_offset(void **state)
{
    const Image image = image_valid();
    g_autoptr(GBytes) bytes = image_bytes(&image);
    GError *error = NULL;

    assert_null(opened_image_from(bytes, 1, &error));
    assert_error(error, FORMATS_ERROR_NOT_THIS, "offset 1");
    error = NULL;
    assert_null(opened_image_from(bytes, UINT64_MAX, &error));
    assert_error(error, FORMATS_ERROR_TRUNCATED, "magic");
}

static void versions_that_are_not_known_are_refused(void **state)
{
    REFUSE_WITH(version, 4, FORMATS_ERROR_VERSION, "stream version 4");
    REFUSE_WITH(section_version, 5, FORMATS_ERROR_VERSION,
                "RAM section version 5");
    REFUSE_WITH(blocks[1].version, 2, FORMATS_ERROR_VERSION,
                "\"vga.vram\": mapped-ram version 2");
}

static void a_stream_without_mapped_ram_says_how_to_save_it(void **state)
{
    REFUSE_WITH(capabilities[0], NULL, FORMATS_ERROR_UNSUPPORTED,
                "saved without the mapped-ram capability");
}

static void a_stream_that_leaves_out_shared_ram_is_unsupported(void **state)
{
    REFUSE_WITH(capabilities[1], "x-ignore-shared", FORMATS_ERROR_UNSUPPORTED,
                "x-ignore-shared");
}

static void sections_out_of_sequence_are_refused(void **state)
{
    REFUSE_WITH(configuration_type, 0x01, FORMATS_ERROR_MALFORMED,
                "offset 8: section type 0x01");
    REFUSE_WITH(section_type, 0x02, FORMATS_ERROR_MALFORMED,
                "section type 0x02");
    REFUSE_WITH(
        section_name, "timer", FORMATS_ERROR_UNSUPPORTED,
        "section \"timer\" comes before RAM, and no RAM section is found");
    REFUSE_WITH(section_instance, 1, FORMATS_ERROR_MALFORMED,
                "\"ram\" instance 1");
}

static void bad_configurations_are_refused(void **state)
{
    REFUSE_WITH(subsection, ((ImageSubsection){"configuration/new", 1, 4}),
                FORMATS_ERROR_UNSUPPORTED, "\"configuration/new\"");
    REFUSE_WITH(subsection, ((ImageSubsection){"configuration/uuid", 2, 16}),
                FORMATS_ERROR_UNSUPPORTED, "version 2 is not known");
    REFUSE_WITH(subsection,
                ((ImageSubsection){"configuration/capabilities", 1, 4}),
                FORMATS_ERROR_MALFORMED, "occurs twice");
    REFUSE_WITH(n_capabilities_error, 1u << 31, FORMATS_ERROR_TOO_LARGE,
                "capabilities");
    REFUSE_WITH(machine_len_error, 300, FORMATS_ERROR_MALFORMED, "machine");
    REFUSE_WITH(machine_len_error, 0x7fffffff, FORMATS_ERROR_TRUNCATED,
                "the machine's name");
}

static void lengths_that_contradict_each_other_are_refused(void **state)
{
    Image part = image_valid();

    part.blocks[0].len_bytes -= 1024;
    opened_image_refuse(&part, FORMATS_ERROR_MALFORMED,
                        "not a multiple of its page size");
    REFUSE_WITH(ram_len_error, 1, FORMATS_ERROR_MALFORMED, "flags 0x5");
    REFUSE_WITH(ram_len_error, (uint64_t)-1024, FORMATS_ERROR_MALFORMED,
                "bytes of RAM are left for it");
    REFUSE_WITH(ram_len_error, 4096, FORMATS_ERROR_MALFORMED,
                "a RAM block's name");
    REFUSE_WITH(n_blocks, 0, FORMATS_ERROR_MALFORMED, "it contains no RAM");
    REFUSE_WITH(blocks[0].len_bytes, 0, FORMATS_ERROR_MALFORMED,
                "not a multiple of its page size");
}

static Image image_of_page_size(uint64_t page_bytes)
{
    Image image = image_valid();

    image.n_blocks = 1;
    image.blocks[0].page_bytes = page_bytes;
    memset(image.blocks[0].bitmap, 0, sizeof(image.blocks[0].bitmap));
    return image;
}

static void page_sizes_that_are_no_power_of_two_are_refused(void **state)
{
    static const uint64_t sizes_bytes[] = {0, 3, 4095, 12288, UINT64_MAX};

    for (size_t i = 0; i < G_N_ELEMENTS(sizes_bytes); i++) {
        const Image image = image_of_page_size(sizes_bytes[i]);
        opened_image_refuse(&image, FORMATS_ERROR_MALFORMED,
                            "is not a power of two");
    }
}

static void page_sizes_of_no_target_are_unsupported(void **state)
{
    static const uint64_t sizes_bytes[] = {1, 128, UINT64_C(1) << 31};

    for (size_t i = 0; i < G_N_ELEMENTS(sizes_bytes); i++) {
        const Image image = image_of_page_size(sizes_bytes[i]);
        opened_image_refuse(&image, FORMATS_ERROR_UNSUPPORTED,
                            "pages of 256 bytes to 1 GiB are supported");
    }
}

static void pages_of_256_bytes_are_read(void **state)
{
    Image image = image_of_page_size(256);

    /* As many as there is room for in the bitmap, an odd number of pages. */
    image.blocks[0].len_bytes = 129 * 256;
    image.blocks[0].bitmap[2] = 1;
    g_autoptr(RamImage) opened = opened_image_valid(&image);
    assert_int_equal(opened->ram_bytes, 129 * 256);
    assert_int_equal(opened->blocks[0].n_pages, 129);
    assert_int_equal(opened->blocks[0].n_pages_in_file, 1);
}

static void areas_that_overlap_are_refused(void **state)
{
    REFUSE_WITH(blocks[0].bitmap_off_error, (uint64_t)-8,
                FORMATS_ERROR_MALFORMED, "do not follow one another");
    REFUSE_WITH(blocks[0].bitmap_off_error, 8, FORMATS_ERROR_MALFORMED,
                "do not follow one another");
    REFUSE_WITH(blocks[0].pages_off_error, -(UINT64_C(1) << 20),
                FORMATS_ERROR_MALFORMED, "do not follow one another");
    REFUSE_WITH(blocks[1].pages_off_error, -(UINT64_C(1) << 20),
                FORMATS_ERROR_MALFORMED, "do not follow one another");
}

static void offsets_that_are_absurd_are_refused(void **state)
{
    REFUSE_WITH(blocks[0].pages_off_error, 4096, FORMATS_ERROR_MALFORMED,
                "not aligned to 1 MiB");
    REFUSE_WITH(blocks[0].pages_off_error, -(UINT64_C(1) << 20) - 4096,
                FORMATS_ERROR_MALFORMED, "beyond 64 bits");
    REFUSE_WITH(blocks[0].bitmap_off_error, UINT64_MAX - 200,
                FORMATS_ERROR_MALFORMED, "block \"pc.ram\"");
    REFUSE_WITH(blocks[0].pages_off_error, UINT64_C(1) << 40,
                FORMATS_ERROR_TRUNCATED, "its pages end at");
}

static void block_names_are_unique_and_printable(void **state)
{
    REFUSE_WITH(blocks[2].name, "pc.ram", FORMATS_ERROR_MALFORMED,
                "\"pc.ram\" occurs twice");
    REFUSE_WITH(blocks[1].name, "", FORMATS_ERROR_MALFORMED,
                "a RAM block's name");
    REFUSE_WITH(blocks[1].name, "vga\033[2J", FORMATS_ERROR_MALFORMED,
                "a RAM block's name");
}

static void bits_beyond_the_last_page_are_refused(void **state)
{
    Image image = image_valid();

    image.blocks[0].bitmap[2] |= 0x04;
    opened_image_refuse(&image, FORMATS_ERROR_MALFORMED,
                        "bits beyond its last page");
}

static void a_wrong_end_mark_is_refused(void **state)
{
    REFUSE_WITH(end_mark, 0x08, FORMATS_ERROR_MALFORMED,
                "0x8 where RAM should end");
}

static void a_file_without_device_state_is_torn(void **state)
{
    REFUSE_WITH(device_state, "", FORMATS_ERROR_TRUNCATED,
                "before the device state");
}

/* Every byte of headers, bitmaps and end mark; between them each 509th. */
static uint64_t shorter(const RamImage *opened, uint64_t len_bytes)
{
    for (size_t i = 0; i < opened->n_blocks; i++) {
        const RamImageBlock *block = &opened->blocks[i];
        const uint64_t start_bytes =
            block->bitmap_off_bytes + block->bitmap_len_bytes;
        const uint64_t end_bytes = block->pages_off_bytes + block->len_bytes;
        if (len_bytes > start_bytes + 509 && len_bytes <= end_bytes) {
            return len_bytes - 509;
        }
    }
    return len_bytes - 1;
}

static void an_image_cut_anywhere_before_its_device_state_is_torn(void **state)
{
    const Image image = image_valid();
    g_autoptr(RamImage) whole = opened_image_valid(&image);
    g_autoptr(GBytes) bytes = image_bytes(&image);

    for (uint64_t len_bytes = whole->device_state_off_bytes; len_bytes > 0;
         len_bytes = shorter(whole, len_bytes)) {
        g_autoptr(GBytes) cut = g_bytes_new_from_bytes(bytes, 0, len_bytes);
        GError *error = NULL;
        assert_null(opened_image_from(cut, 0, &error));
        assert_error(error, FORMATS_ERROR_TRUNCATED, "vm.snap: ");
    }
}

static void an_empty_file_is_told_to_be_one(void **state)
{
    g_autoptr(GBytes) nothing = g_bytes_new(NULL, 0);
    GError *error = NULL;

    assert_null(opened_image_from(nothing, 0, &error));
    assert_error(error, FORMATS_ERROR_NOT_THIS, "an empty file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_kind_of_file_is_not_this),
        cmocka_unit_test(an_image_is_not_found_at_the_wrong_offset),
        cmocka_unit_test(versions_that_are_not_known_are_refused),
        cmocka_unit_test(a_stream_without_mapped_ram_says_how_to_save_it),
        cmocka_unit_test(a_stream_that_leaves_out_shared_ram_is_unsupported),
        cmocka_unit_test(sections_out_of_sequence_are_refused),
        cmocka_unit_test(bad_configurations_are_refused),
        cmocka_unit_test(lengths_that_contradict_each_other_are_refused),
        cmocka_unit_test(page_sizes_that_are_no_power_of_two_are_refused),
        cmocka_unit_test(page_sizes_of_no_target_are_unsupported),
        cmocka_unit_test(pages_of_256_bytes_are_read),
        cmocka_unit_test(areas_that_overlap_are_refused),
        cmocka_unit_test(offsets_that_are_absurd_are_refused),
        cmocka_unit_test(block_names_are_unique_and_printable),
        cmocka_unit_test(bits_beyond_the_last_page_are_refused),
        cmocka_unit_test(a_wrong_end_mark_is_refused),
        cmocka_unit_test(a_file_without_device_state_is_torn),
        cmocka_unit_test(an_image_cut_anywhere_before_its_device_state_is_torn),
        cmocka_unit_test(an_empty_file_is_told_to_be_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
