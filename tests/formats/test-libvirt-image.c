/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "formats/error.h"
#include "formats/libvirt-image.h"

/* As libvirt 11.3 writes it, in the byte order of its host. */
typedef struct Header {
    char magic[16];
    uint32_t version;
    uint32_t data_bytes;
    uint32_t was_running;
    uint32_t format;
    uint32_t cookie_off;
    uint32_t unused[14];
} Header;

G_STATIC_ASSERT(sizeof(Header) == 92);

#define XML_BYTES 100

static Header valid_header(void)
{
    Header header = {.version = 2, .data_bytes = XML_BYTES, .format = 6};

    memcpy(header.magic, "LibvirtQemudSave", sizeof(header.magic));
    return header;
}

/* With len_bytes in all. */
static ByteSource *new_file(const Header *header, size_t len_bytes)
{
    uint8_t *data = g_malloc0(len_bytes);

    memcpy(data, header, MIN(sizeof(*header), len_bytes));
    g_autoptr(GBytes) bytes = g_bytes_new_take(data, len_bytes);
    return byte_source_new_memory(bytes, "vm.save");
}

static void assert_refused(const Header *header, size_t len_bytes,
                           FormatsError code, const char *text)
{
    g_autoptr(ByteSource) source = new_file(header, len_bytes);
    g_autoptr(GError) error = NULL;
    uint64_t off_bytes;

    assert_false(libvirt_image_find(source, &off_bytes, &error));
    assert_true(g_error_matches(error, FORMATS_ERROR, (int)code));
    assert_non_null(strstr(error->message, "vm.save: "));
    assert_non_null(strstr(error->message, text));
}

static void the_image_begins_behind_the_domains_xml(void **state)
{
    const Header header = valid_header();
    g_autoptr(ByteSource) source = new_file(&header, 4096);
    g_autoptr(GError) error = NULL;
    uint64_t off_bytes = 0;

    assert_true(libvirt_image_is_one(source));
    assert_true(libvirt_image_find(source, &off_bytes, &error));
    assert_int_equal(off_bytes, 92 + XML_BYTES);
}

static void another_file_is_told_as_that(void **state)
{
    Header header = valid_header();

    header.magic[0] = 'X';
    assert_refused(&header, 4096, FORMATS_ERROR_NOT_THIS, "not an image");
    header = valid_header();
    assert_refused(&header, 91, FORMATS_ERROR_NOT_THIS, "not an image");
    g_autoptr(ByteSource) source = new_file(&header, 91);
    assert_false(libvirt_image_is_one(source));
}

static void a_file_that_is_still_written_is_refused(void **state)
{
    Header header = valid_header();

    memcpy(header.magic, "LibvirtQemudPart", sizeof(header.magic));
    assert_refused(&header, 4096, FORMATS_ERROR_MALFORMED, "not finished");
}

static void
an_image_that_is_not_sparse_is_refused_with_the_way_out(void **state)
{
    static const struct {
        uint32_t format;
        const char *name;
    } formats[] = {{0, "raw"}, {5, "zstd"}, {7, "not known"}, {~0u, "not"}};

    for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
        Header header = valid_header();

        header.format = formats[i].format;
        assert_refused(&header, 4096, FORMATS_ERROR_UNSUPPORTED,
                       formats[i].name);
        assert_refused(&header, 4096, FORMATS_ERROR_UNSUPPORTED,
                       "save_image_format");
    }
}

static void another_version_of_the_format_is_refused(void **state)
{
    Header header = valid_header();

    header.version = 3;
    assert_refused(&header, 4096, FORMATS_ERROR_VERSION, "version");
}

static void an_image_that_would_begin_behind_the_file_is_refused(void **state)
{
    Header header = valid_header();

    assert_refused(&header, 92 + XML_BYTES, FORMATS_ERROR_MALFORMED, "ends");
    header.data_bytes = UINT32_MAX;
    assert_refused(&header, 4096, FORMATS_ERROR_MALFORMED, "ends");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_image_begins_behind_the_domains_xml),
        cmocka_unit_test(another_file_is_told_as_that),
        cmocka_unit_test(a_file_that_is_still_written_is_refused),
        cmocka_unit_test(
            an_image_that_is_not_sparse_is_refused_with_the_way_out),
        cmocka_unit_test(another_version_of_the_format_is_refused),
        cmocka_unit_test(an_image_that_would_begin_behind_the_file_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
