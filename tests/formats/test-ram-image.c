/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/formats/support.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/ram-image.h"
#include "tests/formats/image.h"

#define FOUR_TIB (UINT64_C(4) << 40)
#define EXBI     (UINT64_C(1) << 60)

static RamImage *open_bytes(GBytes *bytes, uint64_t image_off_bytes,
                            GError **error)
{
    return ram_image_open_source(byte_source_new_memory(bytes, "vm.snap"),
                                 image_off_bytes, error);
}

static RamImage *open_image(const Image *image, GError **error)
{
    g_autoptr(GBytes) bytes = image_bytes(image);

    return open_bytes(bytes, image->image_off_bytes, error);
}

static RamImage *open_valid(const Image *image)
{
    GError *error = NULL;
    RamImage *opened = open_image(image, &error);

    assert_no_error(error);
    assert_non_null(opened);
    return opened;
}

static void refuse(const Image *image, FormatsError code, const char *text)
{
    GError *error = NULL;

    assert_null(open_image(image, &error));
    assert_true(g_str_has_prefix(error->message, "vm.snap: "));
    assert_non_null(strstr(error->message, "offset "));
    assert_error(error, code, text);
}

static void a_valid_image_is_read_in_full(void **state)
{
    const Image image = image_valid();
    g_autoptr(RamImage) opened = open_valid(&image);

    assert_string_equal(opened->machine, "pc-i440fx-10.0");
    assert_int_equal(opened->n_blocks, 3);
    assert_int_equal(opened->ram_bytes, 194 * 4096 + 8 * 512);
    assert_int_equal(opened->device_state_len_bytes,
                     strlen(IMAGE_DEVICE_STATE));
    assert_int_equal(strlen(opened->identity), 64);

    const RamImageBlock *ram = &opened->blocks[0];
    assert_string_equal(ram->name, "pc.ram");
    assert_int_equal(ram->len_bytes, 130 * 4096);
    assert_int_equal(ram->page_bytes, 4096);
    assert_int_equal(ram->n_pages, 130);
    assert_int_equal(ram->n_pages_in_file, 5);
    assert_int_equal(ram->bitmap_len_bytes, 24);
    assert_int_equal(ram->pages_off_bytes, 1 << 20);
    assert_true(ram_image_block_has_page(ram, 5));
    assert_false(ram_image_block_has_page(ram, 6));
    assert_true(ram_image_block_has_page(ram, 129));

    assert_ptr_equal(ram_image_find_block(opened, "pc.rom"),
                     &opened->blocks[2]);
    assert_null(ram_image_find_block(opened, "none"));
}

static void pages_lie_where_the_block_says(void **state)
{
    const Image image = image_valid();
    g_autoptr(RamImage) opened = open_valid(&image);

    for (size_t i = 0; i < opened->n_blocks; i++) {
        const RamImageBlock *block = &opened->blocks[i];
        for (uint64_t page = 0; page < block->n_pages; page++) {
            uint64_t off_bytes =
                block->pages_off_bytes + page * block->page_bytes;
            uint8_t byte;
            assert_true(
                byte_source_read_at(opened->source, &byte, 1, off_bytes, NULL));
            assert_int_equal(byte, ram_image_block_has_page(block, page)
                                       ? image_page_byte(i, page)
                                       : 0);
        }
    }
}

static void
an_image_inside_a_file_has_offsets_from_the_files_start(void **state)
{
    Image image = image_valid();
    image.image_off_bytes = 5000;
    g_autoptr(RamImage) opened = open_valid(&image);

    assert_int_equal(opened->image_off_bytes, 5000);
    assert_int_equal(opened->blocks[0].pages_off_bytes, 1 << 20);
    assert_in_range(opened->blocks[0].bitmap_off_bytes, 5001, 5500);
}

static void known_configuration_subsections_are_skipped(void **state)
{
    Image image = image_valid();

    image.subsection =
        (ImageSubsection){"configuration/target-page-bits", 1, 4};
    ram_image_free(open_valid(&image));
    image.subsection = (ImageSubsection){"configuration/uuid", 1, 16};
    ram_image_free(open_valid(&image));
    image.capabilities[1] = "multifd";
    ram_image_free(open_valid(&image));
}

static void identity_ignores_pages_and_place(void **state)
{
    Image image = image_valid();
    g_autoptr(RamImage) plain = open_valid(&image);
    image.image_off_bytes = (3 << 20) + 77;
    g_autoptr(RamImage) moved = open_valid(&image);

    assert_string_equal(plain->identity, moved->identity);
}

static void assert_other_identity(const Image *image)
{
    const Image valid = image_valid();
    g_autoptr(RamImage) a = open_valid(&valid);
    g_autoptr(RamImage) b = open_valid(image);

    assert_string_not_equal(a->identity, b->identity);
}

static void identity_tells_machine_blocks_bitmaps_and_device_state(void **state)
{
    Image machine = image_valid();
    machine.machine = "pc-i440fx-10.1";
    assert_other_identity(&machine);

    Image name = image_valid();
    name.blocks[2].name = "pc.rum";
    assert_other_identity(&name);

    Image bitmap = image_valid();
    bitmap.blocks[0].bitmap[0] ^= 1;
    assert_other_identity(&bitmap);

    Image device_state = image_valid();
    device_state.device_state = "another device state";
    assert_other_identity(&device_state);
}

static void identity_is_what_the_specification_says(void **state)
{
    const Image image = image_small();
    g_autoptr(RamImage) opened = open_valid(&image);

    assert_string_equal(opened->identity, "f29cb1d2d7d8696039baa1abf8380e0f"
                                          "63ba6fbe0f9c76dfb4c61647a613c7fa");
}

static void another_kind_of_file_is_not_this(void **state)
{
    Image image = image_valid();

    image.magic = 0x7f454c40;
    refuse(&image, FORMATS_ERROR_NOT_THIS, "offset 0: no QEMU migration");
}

static void an_image_is_not_found_at_the_wrong_offset(void **state)
{
    const Image image = image_valid();
    g_autoptr(GBytes) bytes = image_bytes(&image);
    GError *error = NULL;

    assert_null(open_bytes(bytes, 1, &error));
    assert_error(error, FORMATS_ERROR_NOT_THIS, "offset 1");
    error = NULL;
    assert_null(open_bytes(bytes, UINT64_MAX, &error));
    assert_error(error, FORMATS_ERROR_TRUNCATED, "magic");
}

static void versions_that_are_not_known_are_refused(void **state)
{
    Image stream = image_valid();
    stream.version = 4;
    refuse(&stream, FORMATS_ERROR_VERSION, "stream version 4");

    Image section = image_valid();
    section.section_version = 5;
    refuse(&section, FORMATS_ERROR_VERSION, "RAM section version 5");

    Image header = image_valid();
    header.blocks[1].version = 2;
    refuse(&header, FORMATS_ERROR_VERSION,
           "\"vga.vram\": mapped-ram version 2");
}

static void a_stream_without_mapped_ram_says_how_to_save_it(void **state)
{
    Image image = image_valid();

    image.capabilities[0] = NULL;
    refuse(&image, FORMATS_ERROR_UNSUPPORTED,
           "saved without the mapped-ram capability");
}

static void a_stream_that_leaves_out_shared_ram_is_unsupported(void **state)
{
    Image image = image_valid();

    image.capabilities[1] = "x-ignore-shared";
    refuse(&image, FORMATS_ERROR_UNSUPPORTED, "x-ignore-shared");
}

static void sections_out_of_sequence_are_refused(void **state)
{
    Image configuration = image_valid();
    configuration.configuration_type = 0x01;
    refuse(&configuration, FORMATS_ERROR_MALFORMED,
           "offset 8: section type 0x01");

    Image section = image_valid();
    section.section_type = 0x02;
    refuse(&section, FORMATS_ERROR_MALFORMED, "section type 0x02");

    Image name = image_valid();
    name.section_name = "timer";
    refuse(&name, FORMATS_ERROR_UNSUPPORTED,
           "section \"timer\" comes before RAM, and no RAM section is found");

    Image instance = image_valid();
    instance.section_instance = 1;
    refuse(&instance, FORMATS_ERROR_MALFORMED, "\"ram\" instance 1");
}

static void bad_configurations_are_refused(void **state)
{
    Image unknown = image_valid();
    unknown.subsection = (ImageSubsection){"configuration/new", 1, 4};
    refuse(&unknown, FORMATS_ERROR_UNSUPPORTED, "\"configuration/new\"");

    Image newer = image_valid();
    newer.subsection = (ImageSubsection){"configuration/uuid", 2, 16};
    refuse(&newer, FORMATS_ERROR_UNSUPPORTED, "version 2 is not known");

    Image twice = image_valid();
    twice.subsection = (ImageSubsection){"configuration/capabilities", 1, 4};
    refuse(&twice, FORMATS_ERROR_MALFORMED, "occurs twice");

    Image many = image_valid();
    many.n_capabilities_error = 1u << 31;
    refuse(&many, FORMATS_ERROR_TOO_LARGE, "capabilities");

    Image machine = image_valid();
    machine.machine_len_error = 300;
    refuse(&machine, FORMATS_ERROR_MALFORMED, "machine");

    Image long_machine = image_valid();
    long_machine.machine_len_error = 0x7fffffff;
    refuse(&long_machine, FORMATS_ERROR_TRUNCATED, "the machine's name");
}

static void lengths_that_contradict_each_other_are_refused(void **state)
{
    Image flags = image_valid();
    flags.ram_len_error = 1;
    refuse(&flags, FORMATS_ERROR_MALFORMED, "flags 0x5");

    Image less = image_valid();
    less.ram_len_error = (uint64_t)-1024;
    refuse(&less, FORMATS_ERROR_MALFORMED, "bytes of RAM are left for it");

    Image more = image_valid();
    more.ram_len_error = 4096;
    refuse(&more, FORMATS_ERROR_MALFORMED, "a RAM block's name");

    Image none = image_valid();
    none.n_blocks = 0;
    refuse(&none, FORMATS_ERROR_MALFORMED, "it contains no RAM");

    Image part = image_valid();
    part.blocks[0].len_bytes -= 1024;
    refuse(&part, FORMATS_ERROR_MALFORMED, "not a multiple of its page size");

    Image empty = image_valid();
    empty.blocks[0].len_bytes = 0;
    refuse(&empty, FORMATS_ERROR_MALFORMED, "not a multiple of its page size");
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
        refuse(&image, FORMATS_ERROR_MALFORMED, "is not a power of two");
    }
}

static void page_sizes_of_no_target_are_unsupported(void **state)
{
    static const uint64_t sizes_bytes[] = {1, 128, UINT64_C(1) << 31};

    for (size_t i = 0; i < G_N_ELEMENTS(sizes_bytes); i++) {
        const Image image = image_of_page_size(sizes_bytes[i]);
        refuse(&image, FORMATS_ERROR_UNSUPPORTED,
               "pages of 256 bytes to 1 GiB are supported");
    }
}

static void pages_of_256_bytes_are_read(void **state)
{
    Image image = image_of_page_size(256);

    /* As many as there is room for in the bitmap, an odd number of pages. */
    image.blocks[0].len_bytes = 129 * 256;
    image.blocks[0].bitmap[2] = 1;
    g_autoptr(RamImage) opened = open_valid(&image);
    assert_int_equal(opened->ram_bytes, 129 * 256);
    assert_int_equal(opened->blocks[0].n_pages, 129);
    assert_int_equal(opened->blocks[0].n_pages_in_file, 1);
}

static void areas_that_overlap_are_refused(void **state)
{
    Image bitmap = image_valid();
    bitmap.blocks[0].bitmap_off_error = (uint64_t)-8;
    refuse(&bitmap, FORMATS_ERROR_MALFORMED, "do not follow one another");

    Image gap = image_valid();
    gap.blocks[0].bitmap_off_error = 8;
    refuse(&gap, FORMATS_ERROR_MALFORMED, "do not follow one another");

    Image pages = image_valid();
    pages.blocks[0].pages_off_error = -(UINT64_C(1) << 20);
    refuse(&pages, FORMATS_ERROR_MALFORMED, "do not follow one another");

    Image back = image_valid();
    back.blocks[1].pages_off_error = -(UINT64_C(1) << 20);
    refuse(&back, FORMATS_ERROR_MALFORMED, "do not follow one another");
}

static void offsets_that_are_absurd_are_refused(void **state)
{
    Image unaligned = image_valid();
    unaligned.blocks[0].pages_off_error = 4096;
    refuse(&unaligned, FORMATS_ERROR_MALFORMED, "not aligned to 1 MiB");

    Image wraps = image_valid();
    wraps.blocks[0].pages_off_error = -(UINT64_C(1) << 20) - 4096;
    refuse(&wraps, FORMATS_ERROR_MALFORMED, "beyond 64 bits");

    Image bitmap_wraps = image_valid();
    bitmap_wraps.blocks[0].bitmap_off_error = UINT64_MAX - 200;
    refuse(&bitmap_wraps, FORMATS_ERROR_MALFORMED, "block \"pc.ram\"");

    Image far = image_valid();
    far.blocks[0].pages_off_error = UINT64_C(1) << 40;
    refuse(&far, FORMATS_ERROR_TRUNCATED, "its pages end at");
}

static void block_names_are_unique_and_printable(void **state)
{
    Image twice = image_valid();
    twice.blocks[2].name = "pc.ram";
    refuse(&twice, FORMATS_ERROR_MALFORMED, "\"pc.ram\" occurs twice");

    Image empty = image_valid();
    empty.blocks[1].name = "";
    refuse(&empty, FORMATS_ERROR_MALFORMED, "a RAM block's name");

    Image control = image_valid();
    control.blocks[1].name = "vga\033[2J";
    refuse(&control, FORMATS_ERROR_MALFORMED, "a RAM block's name");
}

static void bits_beyond_the_last_page_are_refused(void **state)
{
    Image image = image_valid();

    image.blocks[0].bitmap[2] |= 0x04;
    refuse(&image, FORMATS_ERROR_MALFORMED, "bits beyond its last page");
}

static void a_wrong_end_mark_is_refused(void **state)
{
    Image image = image_valid();

    image.end_mark = 0x08;
    refuse(&image, FORMATS_ERROR_MALFORMED, "0x8 where RAM should end");
}

static void a_file_without_device_state_is_torn(void **state)
{
    Image image = image_valid();

    image.device_state = "";
    refuse(&image, FORMATS_ERROR_TRUNCATED, "before the device state");
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
    g_autoptr(RamImage) whole = open_valid(&image);
    g_autoptr(GBytes) bytes = image_bytes(&image);

    for (uint64_t len_bytes = whole->device_state_off_bytes; len_bytes > 0;
         len_bytes = shorter(whole, len_bytes)) {
        g_autoptr(GBytes) cut = g_bytes_new_from_bytes(bytes, 0, len_bytes);
        GError *error = NULL;
        assert_null(open_bytes(cut, 0, &error));
        assert_error(error, FORMATS_ERROR_TRUNCATED, "vm.snap: ");
    }
}

static void an_empty_file_is_told_to_be_one(void **state)
{
    g_autoptr(GBytes) nothing = g_bytes_new(NULL, 0);
    GError *error = NULL;

    assert_null(open_bytes(nothing, 0, &error));
    assert_error(error, FORMATS_ERROR_NOT_THIS, "an empty file");
}

/* libvirt's header of an image in that format, and its XML. */
static GByteArray *libvirt_header(uint32_t format)
{
    static const char xml[] = "<domain/>";
    const uint32_t numbers[] = {2, sizeof(xml), 1, format};
    static const uint8_t spare[15 * 4];
    GByteArray *bytes = g_byte_array_new();

    g_byte_array_append(bytes, (const guint8 *)"LibvirtQemudSave", 16);
    g_byte_array_append(bytes, (const guint8 *)numbers, sizeof numbers);
    g_byte_array_append(bytes, spare, sizeof spare);
    g_byte_array_append(bytes, (const guint8 *)xml, sizeof xml);
    return bytes;
}

#define LIBVIRT_SPARSE 6

static void an_image_that_libvirt_has_saved_is_found(void **state)
{
    GByteArray *header = libvirt_header(LIBVIRT_SPARSE);
    Image image = image_valid();
    guint len_bytes = header->len;
    GError *error = NULL;

    image.image_off_bytes = len_bytes;
    g_autoptr(GBytes) bytes = image_bytes(&image);
    g_autofree guint8 *file =
        g_memdup2(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    memcpy(file, header->data, len_bytes);
    g_autoptr(GBytes) saved = g_bytes_new(file, g_bytes_get_size(bytes));
    g_byte_array_unref(header);
    g_autoptr(RamImage) opened = open_bytes(saved, 0, &error);
    assert_no_error(error);
    assert_int_equal(opened->image_off_bytes, len_bytes);
}

static void
an_image_that_libvirt_has_compressed_says_how_to_save_it(void **state)
{
    g_autoptr(GBytes) bytes = g_byte_array_free_to_bytes(libvirt_header(1));
    GError *error = NULL;

    assert_null(open_bytes(bytes, 0, &error));
    assert_error(error, FORMATS_ERROR_UNSUPPORTED,
                 "its format is gzip, and only sparse");
}

/* ---- what comes before RAM ---- */

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
    ram_image_free(open_valid(&image));

    image.image_off_bytes = 5000;
    g_autoptr(RamImage) opened = open_valid(&image);
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
    ram_image_free(open_valid(&image));

    put_early_section(before, 43, "body", 4);
    image = image_with_before_ram(before);
    g_autoptr(RamImage) opened = open_valid(&image);
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
    g_autoptr(RamImage) opened = open_valid(&image);
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
    refuse(&image, FORMATS_ERROR_MALFORMED,
           "after section \"early\" there are two places where RAM");
}

static void a_section_that_ram_does_not_follow_is_named(void **state)
{
    g_autoptr(GByteArray) before = g_byte_array_new();

    put_early_section(before, 43, "body", 4);
    Image image = image_with_before_ram(before);
    image.section_name = "rom";
    refuse(&image, FORMATS_ERROR_UNSUPPORTED,
           "section \"early\" comes before RAM, and no RAM section is found");
}

static void ram_that_is_wrong_after_a_section_is_told_as_ever(void **state)
{
    g_autoptr(GByteArray) before = g_byte_array_new();

    put_early_section(before, 43, "body", 4);
    Image image = image_with_before_ram(before);
    image.blocks[0].pages_off_error = UINT64_C(1) << 40;
    refuse(&image, FORMATS_ERROR_TRUNCATED, "\"pc.ram\": its pages end at");
}

static void nothing_but_commands_is_refused(void **state)
{
    g_autoptr(GByteArray) before = g_byte_array_new();

    g_byte_array_set_size(before, 5 << 20);
    memset(before->data, 8, before->len);
    const Image image = image_with_before_ram(before);
    refuse(&image, FORMATS_ERROR_MALFORMED, "only commands");
}

/* ---- images that claim more than they hold ---- */

static RamImage *open_headers(int fd)
{
    GError *error = NULL;
    RamImage *opened = ram_image_open_headers(
        byte_source_new_fd(fd, "vm.snap", NULL), 0, &error);

    assert_no_error(error);
    close(fd);
    return opened;
}

static void headers_tell_the_ram_before_a_bitmap_is_read(void **state)
{
    g_autoptr(RamImage) opened =
        open_headers(image_write_claiming(FOUR_TIB / 4096));
    GError *error = NULL;

    assert_int_equal(opened->ram_bytes, FOUR_TIB);
    assert_string_equal(opened->blocks[0].name, "pc.ram");
    assert_null(opened->blocks[0].bitmap);
    assert_null(opened->identity);
    assert_true(ram_image_check_ram(opened, FOUR_TIB, &error));
    assert_false(ram_image_check_ram(opened, FOUR_TIB - 1, &error));
    assert_error(error, FORMATS_ERROR_TOO_LARGE,
                 "vm.snap: it has 4 TiB of RAM, the machine has 4.0 TiB");
}

static void a_sparse_file_gets_no_memory_for_what_it_only_claims(void **state)
{
    g_autoptr(RamImage) opened =
        open_headers(image_write_claiming(FOUR_TIB / 4096));
    GError *error = NULL;

    assert_false(ram_image_read_bitmaps(opened, &error));
    assert_null(opened->blocks[0].bitmap);
    assert_error(error, FORMATS_ERROR_TOO_LARGE,
                 "vm.snap: claims 4 TiB of RAM, in a file that takes");
}

static void bitmaps_may_take_as_much_as_the_file_does_on_disk(void **state)
{
    /* One page more than in 64 MiB of bitmaps. */
    const uint64_t n_pages = (UINT64_C(64) << 20) * 8 + 1;
    g_autoptr(RamImage) opened = open_headers(image_write_claiming(n_pages));
    GError *error = NULL;

    assert_false(ram_image_read_bitmaps(opened, &error));
    assert_error(error, FORMATS_ERROR_TOO_LARGE, "at most 64 MiB");

    error = NULL;
    opened->source->stored_bytes = UINT64_C(65) << 20;
    assert_true(ram_image_read_bitmaps(opened, &error));
    assert_no_error(error);
    assert_int_equal(opened->blocks[0].n_pages_in_file, 0);
}

static void an_exabyte_is_too_large_whatever_the_file_holds(void **state)
{
    g_autoptr(RamImage) opened =
        open_headers(image_write_claiming(EXBI / 4096));
    GError *error = NULL;

    opened->source->stored_bytes = UINT64_MAX;
    assert_false(ram_image_read_bitmaps(opened, &error));
    assert_error(error, FORMATS_ERROR_TOO_LARGE, "at most 1 GiB");
}

/* ---- what follows the image ---- */

static int write_followed(uint64_t off_bytes, const char *text)
{
    const Image image = image_valid();
    int fd = image_write(&image);
    const off_t end_bytes = lseek(fd, 0, SEEK_END);
    const size_t len_bytes = strlen(text);

    assert_int_equal(pwrite(fd, text, len_bytes, end_bytes + (off_t)off_bytes),
                     len_bytes);
    assert_int_equal(ftruncate(fd, end_bytes + (off_t)(off_bytes + len_bytes)),
                     0);
    return fd;
}

static void assert_padding_changes_nothing(uint64_t off_bytes, const char *text)
{
    const Image image = image_valid();
    g_autoptr(RamImage) plain = open_valid(&image);
    int fd = write_followed(off_bytes, text);
    GError *error = NULL;
    g_autoptr(RamImage) padded = ram_image_open_fd(fd, "padded", 0, &error);

    assert_no_error(error);
    assert_int_equal(padded->device_state_len_bytes,
                     strlen(IMAGE_DEVICE_STATE));
    assert_string_equal(padded->identity, plain->identity);
    close(fd);
}

static void zeroes_behind_an_image_change_nothing(void **state)
{
    assert_padding_changes_nothing(1, "");
    assert_padding_changes_nothing(300000, "");
    assert_padding_changes_nothing(UINT64_C(1) << 40, "");
}

static void what_follows_256_MiB_later_changes_nothing(void **state)
{
    assert_padding_changes_nothing(UINT64_C(256) << 20, "another file");
}

static void what_follows_closely_is_taken_for_device_state(void **state)
{
    int fd = write_followed(1000, "more");
    g_autoptr(RamImage) followed = ram_image_open_fd(fd, "followed", 0, NULL);

    assert_int_equal(followed->device_state_len_bytes,
                     strlen(IMAGE_DEVICE_STATE) + 1004);
    close(fd);
}

static void what_is_no_regular_file_is_refused(void **state)
{
    g_autofree char *dir = g_dir_make_tmp("preheat-test-XXXXXX", NULL);
    g_autofree char *fifo = g_build_filename(dir, "fifo", NULL);
    const char *const paths[] = {dir, fifo, "/dev/null"};

    assert_int_equal(mkfifo(fifo, 0600), 0);
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        GError *error = NULL;
        assert_null(ram_image_open(paths[i], 0, &error));
        assert_util_error(error, "not a regular file");
    }
    unlink(fifo);
    rmdir(dir);
}

static void a_descriptor_stays_the_callers(void **state)
{
    const Image image = image_valid();
    int fd = image_write(&image);
    GError *error = NULL;
    uint8_t byte;

    assert_int_equal(lseek(fd, 4711, SEEK_SET), 4711);
    g_autoptr(RamImage) opened = ram_image_open_fd(fd, "vm.snap", 0, &error);
    assert_no_error(error);
    assert_string_equal(opened->path, "vm.snap");
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 4711);
    assert_int_equal(close(fd), 0);
    assert_int_equal(pread(opened->fd, &byte, 1, 0), 1);
    assert_int_equal(byte, 'Q');
}

static void a_descriptor_of_no_regular_file_is_refused(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    GError *error = NULL;

    assert_null(ram_image_open_fd(fd, "vm.snap", 0, &error));
    assert_util_error(error, "vm.snap: not a regular file");
    close(fd);
}

static void a_missing_file_is_named(void **state)
{
    GError *error = NULL;

    assert_null(ram_image_open("/nonexistent/vm.snap", 0, &error));
    assert_util_error(error, "/nonexistent/vm.snap: cannot open");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_valid_image_is_read_in_full),
        cmocka_unit_test(pages_lie_where_the_block_says),
        cmocka_unit_test(
            an_image_inside_a_file_has_offsets_from_the_files_start),
        cmocka_unit_test(known_configuration_subsections_are_skipped),
        cmocka_unit_test(identity_ignores_pages_and_place),
        cmocka_unit_test(
            identity_tells_machine_blocks_bitmaps_and_device_state),
        cmocka_unit_test(identity_is_what_the_specification_says),
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
        cmocka_unit_test(an_image_that_libvirt_has_saved_is_found),
        cmocka_unit_test(
            an_image_that_libvirt_has_compressed_says_how_to_save_it),
        cmocka_unit_test(sections_before_ram_are_passed_over),
        cmocka_unit_test(commands_before_ram_are_passed_over),
        cmocka_unit_test(what_only_looks_like_ram_is_passed_over),
        cmocka_unit_test(two_places_where_ram_could_begin_are_refused),
        cmocka_unit_test(a_section_that_ram_does_not_follow_is_named),
        cmocka_unit_test(ram_that_is_wrong_after_a_section_is_told_as_ever),
        cmocka_unit_test(nothing_but_commands_is_refused),
        cmocka_unit_test(headers_tell_the_ram_before_a_bitmap_is_read),
        cmocka_unit_test(a_sparse_file_gets_no_memory_for_what_it_only_claims),
        cmocka_unit_test(bitmaps_may_take_as_much_as_the_file_does_on_disk),
        cmocka_unit_test(an_exabyte_is_too_large_whatever_the_file_holds),
        cmocka_unit_test(zeroes_behind_an_image_change_nothing),
        cmocka_unit_test(what_follows_256_MiB_later_changes_nothing),
        cmocka_unit_test(what_follows_closely_is_taken_for_device_state),
        cmocka_unit_test(what_is_no_regular_file_is_refused),
        cmocka_unit_test(a_descriptor_stays_the_callers),
        cmocka_unit_test(a_descriptor_of_no_regular_file_is_refused),
        cmocka_unit_test(a_missing_file_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
