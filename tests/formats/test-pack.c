/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/formats/opened-image.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <zstd.h>

#include "formats/pack-layout.h"
#include "formats/pack-writer.h"
#include "formats/pack.h"

#define PAGE_BYTES 4096

/* Of image_valid(): pc.ram has 0, 1, 5, 128 and 129, vga.vram all of 64. */
static const PageSpan first_chunk[] = {{1, 10, 3}, {0, 0, 2}};
static const PageSpan second_chunk[] = {{0, 128, 2}, {0, 5, 1}, {2, 2, 1}};

static RamImage *open_image(void)
{
    const Image image = image_valid();

    return opened_image_valid(&image);
}

/* The spans' pages, one after the other. */
static GByteArray *pages_of(const RamImage *image, const PageSpan *spans,
                            size_t n_spans)
{
    GByteArray *pages = g_byte_array_new();

    for (size_t i = 0; i < n_spans; i++) {
        for (uint64_t j = 0; j < spans[i].n_pages; j++) {
            guint old_bytes = pages->len;
            uint64_t page_bytes = image->blocks[spans[i].block].page_bytes;

            g_byte_array_set_size(pages, old_bytes + (guint)page_bytes);
            memset(&pages->data[old_bytes],
                   image_page_byte(spans[i].block, spans[i].first_page + j),
                   page_bytes);
        }
    }
    return pages;
}

static void add(PackWriter *writer, const RamImage *image,
                const PageSpan *spans, size_t n_spans)
{
    g_autoptr(GByteArray) pages = pages_of(image, spans, n_spans);

    assert_true(
        pack_writer_add(writer, spans, n_spans, pages->data, pages->len, NULL));
}

static GByteArray *contents(int fd)
{
    GByteArray *file = g_byte_array_new();
    off_t len_bytes = lseek(fd, 0, SEEK_END);

    g_byte_array_set_size(file, (guint)len_bytes);
    assert_int_equal(pread(fd, file->data, file->len, 0), len_bytes);
    return file;
}

/* A pack of these two chunks. */
static GByteArray *valid_pack(const RamImage *image)
{
    int fd = memfd_create("pack", MFD_CLOEXEC);
    g_autoptr(PackWriter) writer = pack_writer_new(fd, image);

    add(writer, image, first_chunk, G_N_ELEMENTS(first_chunk));
    add(writer, image, second_chunk, G_N_ELEMENTS(second_chunk));
    assert_true(pack_writer_finish(writer, NULL));
    GByteArray *file = contents(fd);
    close(fd);
    return file;
}

static Pack *open_bytes(const GByteArray *file, const RamImage *image,
                        GError **error)
{
    g_autoptr(GBytes) bytes = g_bytes_new(file->data, file->len);

    return pack_open(byte_source_new_memory(bytes, "vm.pack"), image, error);
}

static void refuse(const GByteArray *file, const RamImage *image,
                   FormatsError code, const char *text)
{
    GError *error = NULL;

    assert_null(open_bytes(file, image, &error));
    assert_error(error, code, text);
}

static uint64_t table_off(const GByteArray *file)
{
    uint64_t off_bytes;

    memcpy(&off_bytes, &file->data[PACK_TABLE_OFF], sizeof(off_bytes));
    return GUINT64_FROM_BE(off_bytes);
}

/* Make length and checksum right again. */
static void seal(GByteArray *file)
{
    const uint64_t len_bytes = GUINT64_TO_BE((uint64_t)file->len);
    uint64_t off_bytes = table_off(file);

    memcpy(&file->data[PACK_LENGTH_OFF], &len_bytes, sizeof(len_bytes));
    encoding_digest(file->data, PACK_HEAD_BYTES, &file->data[off_bytes],
                    file->len - off_bytes - PACK_DIGEST_BYTES,
                    &file->data[file->len - PACK_DIGEST_BYTES]);
}

/* A pack whose table, behind the identity, is given in hexadecimal digits;
 * before it, n_bytes are chunks. */
static GByteArray *pack_of_table(const RamImage *image, size_t n_bytes,
                                 const char *digits)
{
    g_autoptr(GByteArray) valid = valid_pack(image);
    GByteArray *file = g_byte_array_new();
    g_autoptr(GString) table = g_string_new(NULL);
    const uint64_t off_bytes =
        GUINT64_TO_BE((uint64_t)PACK_HEAD_BYTES + n_bytes);

    encoding_put_hex(table, image->identity);
    encoding_put_hex(table, digits);
    g_byte_array_append(file, valid->data, PACK_HEAD_BYTES + (guint)n_bytes);
    g_byte_array_append(file, (const guint8 *)table->str, (guint)table->len);
    g_byte_array_set_size(file, file->len + PACK_DIGEST_BYTES);
    memcpy(&file->data[PACK_TABLE_OFF], &off_bytes, sizeof(off_bytes));
    seal(file);
    return file;
}

static void refuse_table(size_t n_bytes, const char *digits, FormatsError code,
                         const char *text)
{
    g_autoptr(RamImage) image = open_image();
    g_autoptr(GByteArray) file = pack_of_table(image, n_bytes, digits);

    refuse(file, image, code, text);
}

static void assert_chunk(const Pack *pack, const RamImage *image, size_t i,
                         const PageSpan *spans, size_t n_spans)
{
    const PackChunk *chunk = pack_chunk(pack, i);
    g_autoptr(GByteArray) expected = pages_of(image, spans, n_spans);
    g_autofree uint8_t *pages = g_malloc(chunk->pages_len_bytes);
    g_autoptr(GError) error = NULL;

    assert_int_equal(chunk->n_spans, n_spans);
    assert_int_equal(chunk->pages_len_bytes, expected->len);
    for (size_t j = 0; j < n_spans; j++) {
        const PageSpan *span = pack_span(pack, chunk->first_span + j);

        assert_int_equal(span->block, spans[j].block);
        assert_int_equal(span->first_page, spans[j].first_page);
        assert_int_equal(span->n_pages, spans[j].n_pages);
    }
    assert_true(pack_read_chunk(pack, i, pages, &error));
    assert_memory_equal(pages, expected->data, expected->len);
}

static void what_was_packed_is_unpacked(void **state)
{
    g_autoptr(RamImage) image = open_image();
    g_autoptr(GByteArray) file = valid_pack(image);
    g_autoptr(Pack) pack = open_bytes(file, image, NULL);

    (void)state;
    assert_non_null(pack);
    assert_int_equal(pack->chunks->len, 2);
    assert_chunk(pack, image, 0, first_chunk, G_N_ELEMENTS(first_chunk));
    assert_chunk(pack, image, 1, second_chunk, G_N_ELEMENTS(second_chunk));
}

static void a_pack_without_chunks_is_one(void **state)
{
    g_autoptr(RamImage) image = open_image();
    g_autoptr(GByteArray) file = pack_of_table(image, 0, "00");
    g_autoptr(Pack) pack = open_bytes(file, image, NULL);

    (void)state;
    assert_non_null(pack);
    assert_int_equal(pack->chunks->len, 0);
}

/* A chunk that is accepted is right: a frame has a bit that means nothing. */
static bool is_right_or_refused(const Pack *pack, size_t i,
                                const GByteArray *expected)
{
    g_autofree uint8_t *pages = g_malloc(expected->len);

    return !pack_read_chunk(pack, i, pages, NULL) ||
           memcmp(pages, expected->data, expected->len) == 0;
}

static void no_changed_byte_changes_a_page(void **state)
{
    g_autoptr(RamImage) image = open_image();
    g_autoptr(GByteArray) file = valid_pack(image);
    g_autoptr(GByteArray) first =
        pages_of(image, first_chunk, G_N_ELEMENTS(first_chunk));
    g_autoptr(GByteArray) second =
        pages_of(image, second_chunk, G_N_ELEMENTS(second_chunk));
    uint64_t table_off_bytes = table_off(file);

    (void)state;
    for (guint i = 0; i < 8 * file->len; i++) {
        file->data[i / 8] ^= (guint8)(1 << (i % 8));
        g_autoptr(Pack) pack = open_bytes(file, image, NULL);

        assert_true((pack != NULL) ==
                    (i / 8 >= PACK_HEAD_BYTES && i / 8 < table_off_bytes));
        assert_true(!pack || (is_right_or_refused(pack, 0, first) &&
                              is_right_or_refused(pack, 1, second)));
        file->data[i / 8] ^= (guint8)(1 << (i % 8));
    }
}

static void every_cut_is_noticed(void **state)
{
    g_autoptr(RamImage) image = open_image();
    g_autoptr(GByteArray) file = valid_pack(image);

    (void)state;
    for (guint len = file->len; len-- > 1;) {
        g_byte_array_set_size(file, len);
        refuse(file, image, FORMATS_ERROR_TRUNCATED, "vm.pack: ");
    }
}

static void a_chunk_at_anothers_place_is_refused(void **state)
{
    g_autoptr(RamImage) image = open_image();
    static const PageSpan one[] = {{1, 0, 1}};
    static const PageSpan other[] = {{1, 1, 1}};
    int fd = memfd_create("pack", MFD_CLOEXEC);
    g_autoptr(PackWriter) writer = pack_writer_new(fd, image);

    (void)state;
    add(writer, image, one, 1);
    add(writer, image, other, 1);
    assert_true(pack_writer_finish(writer, NULL));
    g_autoptr(GByteArray) file = contents(fd);
    close(fd);
    g_autoptr(Pack) pack = open_bytes(file, image, NULL);
    size_t len_bytes = pack_chunk(pack, 0)->len_bytes;
    assert_int_equal(pack_chunk(pack, 1)->len_bytes, len_bytes);
    memcpy(&file->data[PACK_HEAD_BYTES],
           &file->data[PACK_HEAD_BYTES + len_bytes], len_bytes);

    g_autoptr(Pack) mixed = open_bytes(file, image, NULL);
    uint8_t page[PAGE_BYTES];
    GError *error = NULL;
    assert_non_null(mixed);
    assert_false(pack_read_chunk(mixed, 0, page, &error));
    assert_error(error, FORMATS_ERROR_CHECKSUM, "not the chunk");
    assert_true(pack_read_chunk(mixed, 1, page, NULL));
}

/* zstd makes frames without one by itself. */
static void a_chunk_without_a_checksum_is_refused(void **state)
{
    g_autoptr(RamImage) image = open_image();
    g_autoptr(GByteArray) pages = pages_of(image, first_chunk, 1);
    uint8_t frame[PAGE_BYTES];
    size_t len_bytes =
        ZSTD_compress(frame, sizeof(frame), pages->data, pages->len, 1);
    g_autoptr(GString) table = g_string_new(NULL);
    GError *error = NULL;

    (void)state;
    assert_true(len_bytes > 8 && len_bytes < 64);
    /* Chunks of this length, with the checksum that its last bytes would be. */
    g_string_printf(table, "01%02zx%02x%02x%02x%02x01010803", len_bytes,
                    frame[len_bytes - 1], frame[len_bytes - 2],
                    frame[len_bytes - 3], frame[len_bytes - 4]);
    g_autoptr(GByteArray) file = pack_of_table(image, len_bytes, table->str);
    memcpy(&file->data[PACK_HEAD_BYTES], frame, len_bytes);
    g_autoptr(Pack) pack = open_bytes(file, image, &error);
    assert_no_error(error);
    assert_false(pack_read_chunk(pack, 0, pages->data, &error));
    assert_error(error, FORMATS_ERROR_MALFORMED, "checksum");
}

static void a_pack_of_another_snapshot_is_refused(void **state)
{
    g_autoptr(RamImage) image = open_image();
    g_autoptr(GByteArray) file = valid_pack(image);

    (void)state;
    image->identity[5] = image->identity[5] == '0' ? '1' : '0';
    refuse(file, image, FORMATS_ERROR_UNSUPPORTED,
           "packed for another snapshot than vm.snap");
}

static void another_file_is_refused(void **state)
{
    g_autoptr(RamImage) image = open_image();
    g_autoptr(GByteArray) file = g_byte_array_new();

    (void)state;
    g_byte_array_append(file, (const guint8 *)"\x89PHO\r\n\x1a\n", 8);
    refuse(file, image, FORMATS_ERROR_NOT_THIS, "a page-access order");
    file->data[0] = 'x';
    refuse(file, image, FORMATS_ERROR_NOT_THIS, "not a pack");
}

static void a_newer_version_is_refused(void **state)
{
    g_autoptr(RamImage) image = open_image();
    g_autoptr(GByteArray) file = valid_pack(image);

    (void)state;
    file->data[PACK_VERSION_OFF + 3] = 2;
    seal(file);
    refuse(file, image, FORMATS_ERROR_VERSION, "format version 2");
}

static void a_table_elsewhere_is_refused(void **state)
{
    static const uint64_t offsets[] = {0, 27, 1 << 20, UINT64_MAX};
    g_autoptr(RamImage) image = open_image();

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(offsets); i++) {
        g_autoptr(GByteArray) file = valid_pack(image);
        const uint64_t off_bytes = GUINT64_TO_BE(offsets[i]);

        memcpy(&file->data[PACK_TABLE_OFF], &off_bytes, sizeof(off_bytes));
        refuse(file, image, FORMATS_ERROR_MALFORMED, "no table can be at");
    }
}

/* Of a chunk of 10 bytes: length, checksum, number of spans, spans. */
static void a_table_that_lies_is_refused(void **state)
{
    (void)state;
    refuse_table(10, "ffffffff0f", FORMATS_ERROR_TOO_LARGE,
                 "the number of chunks");
    refuse_table(10, "05", FORMATS_ERROR_MALFORMED, "too many for");
    refuse_table(10, "010b0000000001010001", FORMATS_ERROR_MALFORMED,
                 "a chunk's length is 11");
    refuse_table(10, "01090000000001010001", FORMATS_ERROR_MALFORMED,
                 "do not end where");
    refuse_table(10, "010a000000000101000100", FORMATS_ERROR_MALFORMED,
                 "do not end where");
    refuse_table(10, "010a0000000000010001", FORMATS_ERROR_MALFORMED,
                 "a chunk has no pages");
    refuse_table(10, "010a0000000005010001", FORMATS_ERROR_MALFORMED,
                 "a chunk's number of spans is 5");
    refuse_table(10, "010a0000000001030001", FORMATS_ERROR_MALFORMED,
                 "a span's block is 3 of 3");
    refuse_table(10, "010a0000000001010000", FORMATS_ERROR_MALFORMED,
                 "number of pages is 0");
    refuse_table(10, "010a0000000001010041", FORMATS_ERROR_MALFORMED,
                 "no 65 pages from 0 on of vga.vram");
    refuse_table(10, "010a0000000001010101", FORMATS_ERROR_MALFORMED,
                 "no 1 pages from 18446744073709551615 on");
    refuse_table(10, "010a0000000001000401", FORMATS_ERROR_MALFORMED,
                 "no 1 pages from 2 on of pc.ram");
}

/* Five times 64 pages of 4 KiB are more than 1 MiB. */
static void a_chunk_beyond_its_length_is_refused(void **state)
{
    (void)state;
    refuse_table(10, "010a0000000005010040017f40017f40017f40017f40",
                 FORMATS_ERROR_MALFORMED, "can be in this chunk");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_packed_is_unpacked),
        cmocka_unit_test(a_pack_without_chunks_is_one),
        cmocka_unit_test(no_changed_byte_changes_a_page),
        cmocka_unit_test(every_cut_is_noticed),
        cmocka_unit_test(a_chunk_at_anothers_place_is_refused),
        cmocka_unit_test(a_chunk_without_a_checksum_is_refused),
        cmocka_unit_test(a_pack_of_another_snapshot_is_refused),
        cmocka_unit_test(another_file_is_refused),
        cmocka_unit_test(a_newer_version_is_refused),
        cmocka_unit_test(a_table_elsewhere_is_refused),
        cmocka_unit_test(a_table_that_lies_is_refused),
        cmocka_unit_test(a_chunk_beyond_its_length_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
