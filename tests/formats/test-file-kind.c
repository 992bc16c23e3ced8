/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/formats/support.h"

#include <string.h>

#include <glib/gstdio.h>

#include "formats/error.h"
#include "formats/file-kind.h"

#define SECTOR_BYTES 512

static ByteSource *source_of(const void *bytes, size_t len_bytes)
{
    g_autoptr(GBytes) held = g_bytes_new(bytes, len_bytes);

    return byte_source_new_memory(held, "f");
}

static FileKind kind_of(const void *bytes, size_t len_bytes)
{
    g_autoptr(ByteSource) source = source_of(bytes, len_bytes);

    return file_kind_of(source);
}

static FileKind kind_of_text(const char *text)
{
    return kind_of(text, strlen(text));
}

/* Two sectors of zeroes, but for that. */
static FileKind kind_of_disk(size_t off_bytes, const char *bytes)
{
    char disk[2 * SECTOR_BYTES] = "";

    memcpy(disk + off_bytes, bytes, strlen(bytes));
    return kind_of(disk, sizeof(disk));
}

static void each_kind_is_told_by_its_beginning(void **state)
{
    char libvirt[92] = "LibvirtQemudSave";

    assert_int_equal(kind_of_text(""), FILE_KIND_EMPTY);
    assert_int_equal(kind_of_text("QEVM...."), FILE_KIND_SNAPSHOT);
    assert_int_equal(kind_of(libvirt, sizeof(libvirt)), FILE_KIND_SNAPSHOT);
    assert_int_equal(kind_of_text("\x89PHO\r\n\x1a\n.."), FILE_KIND_ORDER);
    assert_int_equal(kind_of_text("{\"format\": \"preheat-page-order\"}"),
                     FILE_KIND_ORDER_JSON);
    assert_int_equal(kind_of_text("{\n \"format\": \"preheat-manifest\"}"),
                     FILE_KIND_MANIFEST);
    assert_int_equal(kind_of_text("QFI\xfb"), FILE_KIND_QCOW2);
    assert_int_equal(kind_of_text("\x7f"
                                  "ELF"),
                     FILE_KIND_ELF);
    assert_int_equal(kind_of_disk(SECTOR_BYTES - 2, "\x55\xaa"),
                     FILE_KIND_DISK);
    assert_int_equal(kind_of_disk(SECTOR_BYTES, "EFI PART"), FILE_KIND_DISK);
}

static void what_only_begins_like_it_is_of_no_kind(void **state)
{
    static const char *const texts[] = {"Q",
                                        "QEV",
                                        "\x89PHO\n\n\x1a\n",
                                        "{}",
                                        "{\"format\": \"x\"}",
                                        "\x7f"
                                        "EL",
                                        "LibvirtQemudSave",
                                        "[\"preheat-manifest\"]"};

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        assert_int_equal(kind_of_text(texts[i]), FILE_KIND_UNKNOWN);
    }
}

static void what_is_wanted_or_not_known_passes(void **state)
{
    g_autoptr(ByteSource) order = source_of("\x89PHO\r\n\x1a\n", 8);
    g_autoptr(ByteSource) letter = source_of("Dear all", 8);

    assert_true(file_kind_expect(order, FILE_KIND_ORDER, NULL));
    assert_true(file_kind_expect(letter, FILE_KIND_ORDER, NULL));
}

static void another_kind_is_refused_with_what_to_do(void **state)
{
    g_autoptr(ByteSource) order = source_of("\x89PHO\r\n\x1a\n", 8);
    g_autoptr(ByteSource) disk = source_of("QFI\xfb", 4);
    GError *error = NULL;

    assert_false(file_kind_expect(order, FILE_KIND_SNAPSHOT, &error));
    assert_error(error, FORMATS_ERROR_NOT_THIS,
                 "f: this is a page-access order, not a snapshot; give it to "
                 "--order");
    error = NULL;
    assert_false(file_kind_expect(disk, FILE_KIND_ORDER, &error));
    assert_error(error, FORMATS_ERROR_NOT_THIS,
                 "f: this is a qcow2 disk image, not a page-access order");
}

typedef bool FileKindCheck(const char *path, FileKind wanted, GError **error);

/* refusal: what the error says; NULL: there is none. */
static void assert_check(FileKindCheck *check, const char *path,
                         FileKind wanted, const char *refusal)
{
    GError *error = NULL;
    bool may = check(path, wanted, &error);

    if (refusal) {
        assert_false(may);
        assert_error(error, FORMATS_ERROR_NOT_THIS, refusal);
    } else {
        assert_no_error(error);
        assert_true(may);
    }
}

static void a_file_of_another_kind_is_not_replaced(void **state)
{
    g_autofree char *folder = g_dir_make_tmp("preheat-kind-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "f", NULL);

    assert_check(file_kind_check_replaceable, path, FILE_KIND_ORDER, NULL);
    assert_true(g_file_set_contents(path, "", 0, NULL));
    assert_check(file_kind_check_replaceable, path, FILE_KIND_ORDER, NULL);
    assert_true(g_file_set_contents(path, "Dear all", 8, NULL));
    assert_check(file_kind_check_replaceable, path, FILE_KIND_ORDER, NULL);
    assert_true(g_file_set_contents(path, "QEVM", 4, NULL));
    assert_check(file_kind_check_replaceable, path, FILE_KIND_SNAPSHOT, NULL);
    assert_check(file_kind_check_replaceable, path, FILE_KIND_ORDER,
                 "f: this is a snapshot, which would be lost");
    assert_check(file_kind_check_replaceable, path, FILE_KIND_UNKNOWN,
                 "which would be lost");
    assert_int_equal(g_unlink(path), 0);
    assert_int_equal(g_rmdir(folder), 0);
}

static void what_lies_beside_is_replaced_by_its_own_kind_only(void **state)
{
    g_autofree char *folder = g_dir_make_tmp("preheat-kind-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "f", NULL);

    assert_check(file_kind_check_beside, path, FILE_KIND_ORDER, NULL);
    assert_true(g_file_set_contents(path, "", 0, NULL));
    assert_check(file_kind_check_beside, path, FILE_KIND_ORDER, NULL);
    assert_true(g_file_set_contents(path, "Dear all", 8, NULL));
    assert_check(file_kind_check_beside, path, FILE_KIND_ORDER,
                 "f: this is not a page-access order");
    assert_true(g_file_set_contents(path, "QEVM", 4, NULL));
    assert_check(file_kind_check_beside, path, FILE_KIND_SNAPSHOT, NULL);
    assert_int_equal(g_unlink(path), 0);
    assert_check(file_kind_check_beside, folder, FILE_KIND_MANIFEST,
                 "not a snapshot's manifest");
    assert_int_equal(g_rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_told_by_its_beginning),
        cmocka_unit_test(what_only_begins_like_it_is_of_no_kind),
        cmocka_unit_test(what_is_wanted_or_not_known_passes),
        cmocka_unit_test(another_kind_is_refused_with_what_to_do),
        cmocka_unit_test(a_file_of_another_kind_is_not_replaced),
        cmocka_unit_test(what_lies_beside_is_replaced_by_its_own_kind_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
