/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "host/machine-outside.h"
#include "tests/util/support.h"

static void assert_about(const char *option, const char *value,
                         const char *text)
{
    char *argv[] = {(char *)option, (char *)value, NULL};
    g_autoptr(GPtrArray) found = machine_outside_find(argv);

    assert_int_equal(found->len, text ? 1 : 0);
    if (text && !strstr(found->pdata[0], text)) {
        fail_msg("%s %s: \"%s\" without \"%s\"", option, value,
                 (char *)found->pdata[0], text);
    }
}

static void what_no_snapshot_has_is_told_by_name(void **state)
{
    assert_about("-tpmdev", "emulator,id=t,chardev=c", "its own swtpm");
    assert_about("-tpmdev", "passthrough,id=t", "the host's TPM");
    assert_about("-fsdev", "local,id=f,path=/srv,security_model=none", "/srv");
    assert_about("-virtfs", "local,path=/srv,mount_tag=t", "/srv");
    assert_about("-device", "vhost-user-fs-pci,chardev=c,tag=t",
                 "directory that the guest shares");
    assert_about("-device", "vfio-pci,host=01:00.0", "(vfio-pci)");
    assert_about("-device", "{\"driver\": \"usb-host\"}", "(usb-host)");
}

static void all_else_is_part_of_a_snapshot(void **state)
{
    assert_about("-device", "virtio-blk-pci,drive=d", NULL);
    assert_about("-drive", "file=vfio-pci", NULL);
    assert_about("-S", NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_no_snapshot_has_is_told_by_name),
        cmocka_unit_test(all_else_is_part_of_a_snapshot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
