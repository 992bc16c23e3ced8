/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/formats/opened-image.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOUR_TIB (UINT64_C(4) << 40)
#define EXBI     (UINT64_C(1) << 60)

static void a_valid_image_is_read_in_full(void **state)
{
    const Image image = image_valid();
    g_autoptr(RamImage) opened = opened_image_valid(&image);

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
    g_autoptr(RamImage) opened = opened_image_valid(&image);

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
    g_autoptr(RamImage) opened = opened_image_valid(&image);

    assert_int_equal(opened->image_off_bytes, 5000);
    assert_int_equal(opened->blocks[0].pages_off_bytes, 1 << 20);
    assert_in_range(opened->blocks[0].bitmap_off_bytes, 5001, 5500);
}

static void known_configuration_subsections_are_skipped(void **state)
{
    Image image = image_valid();

    image.subsection =
        (ImageSubsection){"configuration/target-page-bits", 1, 4};
    ram_image_free(opened_image_valid(&image));
    image.subsection = (ImageSubsection){"configuration/uuid", 1, 16};
    ram_image_free(opened_image_valid(&image));
    image.capabilities[1] = "multifd";
    ram_image_free(opened_image_valid(&image));
}

static void identity_ignores_pages_and_place(void **state)
{
    Image image = image_valid();
    g_autoptr(RamImage) plain = opened_image_valid(&image);
    image.image_off_bytes = (3 << 20) + 77;
    g_autoptr(RamImage) moved = opened_image_valid(&image);

    assert_string_equal(plain->identity, moved->identity);
}

static void assert_other_identity(const Image *image)
{
    const Image valid = image_valid();
    g_autoptr(RamImage) a = opened_image_valid(&valid);
    g_autoptr(RamImage) b = opened_image_valid(image);

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
    g_autoptr(RamImage) opened = opened_image_valid(&image);

    assert_string_equal(opened->identity, "f29cb1d2d7d8696039baa1abf8380e0f"
                                          "63ba6fbe0f9c76dfb4c61647a613c7fa");
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
    g_autoptr(RamImage) opened = opened_image_from(saved, 0, &error);
    assert_no_error(error);
    assert_int_equal(opened->image_off_bytes, len_bytes);
}

static void
an_image_that_libvirt_has_compressed_says_how_to_save_it(void **state)
{
    g_autoptr(GBytes) bytes = g_byte_array_free_to_bytes(libvirt_header(1));
    GError *error = NULL;

    assert_null(opened_image_from(bytes, 0, &error));
    assert_error(error, FORMATS_ERROR_UNSUPPORTED,
                 "its format is gzip, and only sparse");
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
    g_autoptr(RamImage) plain = opened_image_valid(&image);
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
        cmocka_unit_test(an_image_that_libvirt_has_saved_is_found),
        cmocka_unit_test(
            an_image_that_libvirt_has_compressed_says_how_to_save_it),
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
