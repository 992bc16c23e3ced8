/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "host/machine-difference.h"
#include "host/qmp.h"
#include "tests/host/fake-peer.h"
#include "tests/util/support.h"

static char *join(GPtrArray *texts)
{
    g_ptr_array_add(texts, NULL);
    return g_strjoinv("; ", (char **)texts->pdata);
}

/* Two command lines, without the program and with blanks between arguments. */
static void assert_differ(const char *before, const char *now,
                          const char *expected)
{
    g_autofree char *with_program = g_strconcat("qemu ", now, NULL);
    g_auto(GStrv) argv = g_strsplit(with_program, " ", -1);
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Manifest) saved = manifest_new();

    saved->qemu_arguments = g_strsplit(before, " ", -1);
    machine_difference_arguments(saved, argv, found);
    g_autofree char *text = join(found);
    assert_string_equal(text, expected);
}

static void what_differs_is_told_with_both_values(void **state)
{
    assert_differ("-smp 1 -m 1G", "-smp 2 -m 1G",
                  "-smp 1 when saved, -smp 2 now");
    assert_differ("-cpu max", "-cpu host",
                  "-cpu max when saved, -cpu host now");
}

static void a_missing_device_and_a_new_one_are_told(void **state)
{
    assert_differ("-device e1000,id=n", "-nographic",
                  "-device e1000,id=n when saved, missing now");
    assert_differ("-m 1G", "-m 1G -device rng",
                  "-device rng now, missing when saved");
}

static void the_second_of_two_alike_is_told(void **state)
{
    assert_differ("-device e1000 -device e1000", "-device e1000",
                  "-device e1000 when saved, missing now");
    assert_differ("-serial stdio", "-serial null -serial null",
                  "-serial now, missing when saved");
}

static void what_no_state_depends_on_is_not_told(void **state)
{
    assert_differ("-device virtio-blk-pci,drive=a,id=d -drive "
                  "file=/a,if=none,format=raw -qmp unix:/a -serial stdio "
                  "-kernel k -machine q35,accel=kvm",
                  "-device virtio-blk-pci,id=d,drive=b -drive "
                  "file=/b,if=none,format=qcow2 -qmp unix:/b -serial null "
                  "-M pc-q35-10.0 -S",
                  "");
    assert_differ("-drive file=/a,if=ide,format=raw",
                  "-drive if=ide,file=/b,format=qcow2", "");
}

static void a_property_of_the_machine_is_told(void **state)
{
    assert_differ("-machine q35,usb=on", "-machine q35,usb=off",
                  "-machine usb=on when saved, -machine usb=off now");
}

/* ---- what QEMU says ---- */

static json_t *answer(FakePeer *peer, const char *command,
                      const json_t *arguments, const char **ret_refusal,
                      void *opaque)
{
    const char *path = json_string_value(json_object_get(arguments, "path"));

    if (strcmp(command, "query-version") == 0) {
        return json_pack("{s:{s:i, s:i, s:i}}", "qemu", "major", 11, "minor", 1,
                         "micro", 0);
    }
    if (strcmp(command, "query-cpus-fast") == 0) {
        return json_pack("[{s:s}]", "qom-path", "/machine/cpu[0]");
    }
    if (strcmp(command, "query-kvm") == 0) {
        return json_pack("{s:b}", "enabled", 0);
    }
    if (strcmp(command, "qom-get") == 0) {
        return json_string(strcmp(path, "/machine") == 0 ? "pc-q35-11.1-machine"
                                                         : "max-x86_64-cpu");
    }
    return json_object();
}

static void versions_and_models_that_qemu_chose_are_told(void **state)
{
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Manifest) saved = manifest_new();
    GError *error = NULL;
    FakePeer *peer;
    Rpc *qmp = fake_peer_connect_qmp(answer, NULL, &peer);

    saved->machine_type = g_strdup("pc-q35-10.0");
    saved->cpu_model = g_strdup("host-x86_64-cpu");
    saved->accelerator = g_strdup("tcg");
    assert_true(machine_difference_ask(saved, qmp, found, &error));
    assert_no_error(error);
    g_autofree char *text = join(found);
    assert_string_equal(
        text, "machine type pc-q35-10.0 when saved, pc-q35-11.1 now; CPU "
              "model host-x86_64-cpu when saved, max-x86_64-cpu now");
    rpc_free(qmp);
    fake_peer_free(peer);
}

static void an_error_gets_the_differences(void **state)
{
    g_autoptr(GPtrArray) found = g_ptr_array_new();
    GError *error = g_error_new(UTIL_ERROR, UTIL_ERROR_FAILED, "no");

    machine_difference_explain(found, &error);
    assert_string_equal(error->message, "no");
    g_ptr_array_add(found, (gpointer) "a");
    g_ptr_array_add(found, (gpointer) "b");
    machine_difference_explain(found, &error);
    assert_string_equal(error->message,
                        "no.  The machine is not the one that was saved: a; b");
    g_error_free(error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_differs_is_told_with_both_values),
        cmocka_unit_test(a_missing_device_and_a_new_one_are_told),
        cmocka_unit_test(the_second_of_two_alike_is_told),
        cmocka_unit_test(what_no_state_depends_on_is_not_told),
        cmocka_unit_test(a_property_of_the_machine_is_told),
        cmocka_unit_test(versions_and_models_that_qemu_chose_are_told),
        cmocka_unit_test(an_error_gets_the_differences),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
