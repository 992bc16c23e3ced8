/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/qemu-values.h"
#include "tests/util/support.h"

static void a_value_is_found_by_its_key(void **state)
{
    assert_owned_text(qemu_values_get("file=a,,b.img,if=virtio", "file"),
                      "a,b.img");
    assert_owned_text(qemu_values_get("file=a,,b.img,if=virtio", "if"),
                      "virtio");
    assert_owned_text(qemu_values_get("xfile=a,file=b", "file"), "b");
    assert_owned_text(qemu_values_get("if=virtio", "file"), NULL);
    assert_owned_text(
        qemu_values_get("{\"file\": {\"filename\": \"a,b\"}}", "file.filename"),
        "a,b");
    assert_owned_text(qemu_values_get("{\"file\": \"node\"}", "file.filename"),
                      NULL);
    assert_owned_text(qemu_values_get("{broken", "file"), NULL);
}

static void a_value_is_set_and_all_else_stays(void **state)
{
    assert_owned_text(qemu_values_set("id=d,file=a,,b,if=none", "file", "/c,d"),
                      "id=d,file=/c,,d,if=none");
    assert_owned_text(qemu_values_set("serial=1,,2,file=a", "file", "b"),
                      "serial=1,,2,file=b");
    assert_owned_text(qemu_values_set("file=a,file=b", "file", "c"),
                      "file=c,file=c");
    assert_owned_text(qemu_values_set("file=a", "format", "qcow2"),
                      "file=a,format=qcow2");
    assert_owned_text(
        qemu_values_set("{\"n\": 1, \"file\": {\"filename\": \"a\"}}",
                        "file.filename", "b,c"),
        "{\"n\": 1, \"file\": {\"filename\": \"b,c\"}}");
}

static void what_cannot_be_in_json_is_not_set(void **state)
{
    assert_owned_text(
        qemu_values_set("{\"file\": \"f\"}", "file.filename", "b"), NULL);
    assert_owned_text(qemu_values_set("{broken", "file", "b"), NULL);
}

static void a_word_is_no_part_of_another(void **state)
{
    assert_true(qemu_values_have("unix:/a,server=on,wait=off", "server=on"));
    assert_false(qemu_values_have("unix:/a,xserver=on", "server=on"));
    assert_false(qemu_values_have("path=/a,,server,id=c", "server"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_found_by_its_key),
        cmocka_unit_test(a_value_is_set_and_all_else_stays),
        cmocka_unit_test(what_cannot_be_in_json_is_not_set),
        cmocka_unit_test(a_word_is_no_part_of_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
