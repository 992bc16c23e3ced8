/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "formats/qcow2-backing.h"
#include "tests/formats/support.h"

#define NAME_AT 64

/* A header that says a backing file of len bytes is at off; its name is
 * "base.qcow2". */
static ByteSource *make_source(uint8_t off, uint16_t len)
{
    uint8_t bytes[128] = "QFI\xfb";
    g_autoptr(GBytes) copy = NULL;

    bytes[7] = 3;
    bytes[15] = off;
    bytes[18] = (uint8_t)(len >> 8);
    bytes[19] = (uint8_t)len;
    memcpy(&bytes[NAME_AT], "base.qcow2", 10);
    copy = g_bytes_new(bytes, sizeof(bytes));
    return byte_source_new_memory(copy, "d.qcow2");
}

static void the_backing_file_is_named_as_the_image_has_it(void **state)
{
    g_autoptr(ByteSource) source = make_source(NAME_AT, 10);
    g_autofree char *name = NULL;
    GError *error = NULL;

    assert_true(qcow2_backing_read(source, &name, &error));
    assert_null(error);
    assert_string_equal(name, "base.qcow2");
}

static void an_image_without_one_has_none(void **state)
{
    g_autoptr(ByteSource) source = make_source(0, 0);
    g_autoptr(GBytes) text = g_bytes_new_static("text", 4);
    g_autoptr(ByteSource) other = byte_source_new_memory(text, "t");
    char *name = (char *)"not set";

    assert_true(qcow2_backing_read(source, &name, NULL));
    assert_null(name);
    name = (char *)"not set";
    assert_true(qcow2_backing_read(other, &name, NULL));
    assert_null(name);
}

static void a_name_that_leads_out_of_the_file_is_refused(void **state)
{
    g_autoptr(ByteSource) beyond = make_source(200, 10);
    g_autoptr(ByteSource) longest = make_source(NAME_AT, 1024);
    GError *error = NULL;
    char *name;

    assert_false(qcow2_backing_read(beyond, &name, &error));
    assert_error(error, FORMATS_ERROR_TRUNCATED, "d.qcow2: ");
    error = NULL;
    assert_false(qcow2_backing_read(longest, &name, &error));
    assert_error(error, FORMATS_ERROR_MALFORMED, "1024 bytes long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_backing_file_is_named_as_the_image_has_it),
        cmocka_unit_test(an_image_without_one_has_none),
        cmocka_unit_test(a_name_that_leads_out_of_the_file_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
