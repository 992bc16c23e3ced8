/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/formats/opened-image.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/skeleton.h"

/* A image and its skeleton, opened like a image. */
typedef struct Pair {
    RamImage *image;
    RamImage *skeleton;
} Pair;

static Pair make_pair(const Image *image, const bool *lazy)
{
    int skeleton_fd = memfd_create("skeleton", MFD_CLOEXEC);
    GError *error = NULL;
    Pair pair = {opened_image_valid(image), NULL};

    assert_true(skeleton_write(pair.image, lazy, skeleton_fd, &error));
    assert_no_error(error);
    pair.skeleton = ram_image_open_fd(skeleton_fd, "skeleton",
                                      image->image_off_bytes, &error);
    assert_no_error(error);
    close(skeleton_fd);
    return pair;
}

static void free_pair(Pair *pair)
{
    ram_image_free(pair->image);
    ram_image_free(pair->skeleton);
}

static uint8_t byte_at(const RamImage *image, uint64_t off_bytes)
{
    uint8_t byte;

    assert_true(byte_source_read_at(image->source, &byte, 1, off_bytes, NULL));
    return byte;
}

static void assert_device_state_equal(const Pair *pair)
{
    const uint64_t off_bytes = pair->image->device_state_off_bytes;
    char state[sizeof(IMAGE_DEVICE_STATE) - 1];

    assert_int_equal(pair->skeleton->device_state_off_bytes, off_bytes);
    assert_int_equal(
        pread(pair->skeleton->fd, state, sizeof(state), (off_t)off_bytes),
        sizeof(state));
    assert_memory_equal(state, IMAGE_DEVICE_STATE, sizeof(state));
}

static void a_lazy_block_has_neither_bits_nor_pages(void **state)
{
    const Image image = image_valid();
    Pair pair = make_pair(&image, (const bool[]){true, true, false});

    for (size_t i = 0; i < 2; i++) {
        const RamImageBlock *block = &pair.skeleton->blocks[i];
        assert_int_equal(block->n_pages_in_file, 0);
        assert_int_equal(block->len_bytes, pair.image->blocks[i].len_bytes);
        assert_int_equal(byte_at(pair.skeleton, block->pages_off_bytes), 0);
    }
    assert_device_state_equal(&pair);
    free_pair(&pair);
}

static void a_block_that_is_not_lazy_stays_whole(void **state)
{
    const Image image = image_valid();
    Pair pair = make_pair(&image, (const bool[]){false, true, false});

    for (size_t i = 0; i < 3; i += 2) {
        const RamImageBlock *block = &pair.skeleton->blocks[i];
        assert_memory_equal(block->bitmap, pair.image->blocks[i].bitmap,
                            block->bitmap_len_bytes);
        for (uint64_t page = 0; page < block->n_pages; page++) {
            uint64_t last_off_bytes =
                block->pages_off_bytes + (page + 1) * block->page_bytes - 1;
            assert_int_equal(byte_at(pair.skeleton, last_off_bytes),
                             byte_at(pair.image, last_off_bytes));
        }
    }
    free_pair(&pair);
}

static void without_a_lazy_block_it_is_the_same_snapshot(void **state)
{
    const Image image = image_valid();
    Pair pair = make_pair(&image, (const bool[]){false, false, false});

    assert_string_equal(pair.skeleton->identity, pair.image->identity);
    assert_int_equal(pair.skeleton->file_len_bytes, pair.image->file_len_bytes);
    free_pair(&pair);
}

static void an_image_inside_a_file_keeps_its_offset(void **state)
{
    Image image = image_valid();
    image.image_off_bytes = 5000;
    Pair pair = make_pair(&image, (const bool[]){true, true, true});

    assert_int_equal(pair.skeleton->blocks[0].bitmap_off_bytes,
                     pair.image->blocks[0].bitmap_off_bytes);
    assert_device_state_equal(&pair);
    free_pair(&pair);
}

static void what_comes_before_ram_is_kept(void **state)
{
    static const uint8_t early[] = "\4\0\0\0\53\1x\0\0\0\0\0\0\0\1body"
                                   "\176\0\0\0\53";
    Image image = image_valid();
    image.before_ram = early;
    image.before_ram_bytes = sizeof early - 1;
    Pair pair = make_pair(&image, (const bool[]){true, true, true});

    for (uint64_t i = 0; i < pair.image->blocks[0].bitmap_off_bytes; i++) {
        assert_int_equal(byte_at(pair.skeleton, i), byte_at(pair.image, i));
    }
    free_pair(&pair);
}

static void it_takes_no_room_for_lazy_pages(void **state)
{
    const Image image = image_valid();
    Pair pair = make_pair(&image, (const bool[]){true, true, true});
    struct stat st;

    assert_int_equal(fstat(pair.skeleton->fd, &st), 0);
    /* Head, three headers and bitmaps, device state: a few pages of tmpfs. */
    assert_in_range(st.st_blocks * 512, 1, 8 * 4096);
    free_pair(&pair);
}

static void it_ends_where_no_device_state_is_looked_for(void **state)
{
    const Image image = image_valid();
    const bool lazy[] = {true, true, true};
    int fd = image_write(&image);
    int skeleton_fd = memfd_create("skeleton", MFD_CLOEXEC);
    struct stat st;

    assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
    g_autoptr(RamImage) padded = ram_image_open_fd(fd, "padded", 0, NULL);
    assert_true(skeleton_write(padded, lazy, skeleton_fd, NULL));
    assert_int_equal(fstat(skeleton_fd, &st), 0);
    assert_int_equal(st.st_size, padded->device_state_off_bytes + (256 << 20));
    assert_in_range(st.st_blocks * 512, 1, 8 * 4096);
    close(fd);
    close(skeleton_fd);
}

static void a_lazy_page_is_never_read(void **state)
{
    const Image image = image_valid();
    int skeleton_fd = memfd_create("skeleton", MFD_CLOEXEC);
    g_autoptr(RamImage) opened = opened_image_valid(&image);
    RamImageBlock *block = &opened->blocks[0];
    GError *error = NULL;

    /* Were one read, it would be where the file has ended long since. */
    block->bitmap[0] = UINT64_MAX;
    block->page_bytes = UINT64_C(1) << 40;
    assert_true(skeleton_write(opened, (const bool[]){true, true, true},
                               skeleton_fd, &error));
    assert_no_error(error);
    assert_false(skeleton_write(opened, (const bool[]){false, true, true},
                                skeleton_fd, &error));
    assert_error(error, FORMATS_ERROR_TRUNCATED, "vm.snap: ");
    close(skeleton_fd);
}

static void a_file_that_cannot_be_written_is_an_error(void **state)
{
    const Image image = image_valid();
    const bool lazy[] = {true, true, true};
    g_autoptr(RamImage) opened = opened_image_valid(&image);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    GError *error = NULL;

    assert_false(skeleton_write(opened, lazy, fd, &error));
    assert_util_error(error, "the skeleton of vm.snap: ");
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lazy_block_has_neither_bits_nor_pages),
        cmocka_unit_test(a_block_that_is_not_lazy_stays_whole),
        cmocka_unit_test(without_a_lazy_block_it_is_the_same_snapshot),
        cmocka_unit_test(an_image_inside_a_file_keeps_its_offset),
        cmocka_unit_test(what_comes_before_ram_is_kept),
        cmocka_unit_test(it_takes_no_room_for_lazy_pages),
        cmocka_unit_test(it_ends_where_no_device_state_is_looked_for),
        cmocka_unit_test(a_lazy_page_is_never_read),
        cmocka_unit_test(a_file_that_cannot_be_written_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
