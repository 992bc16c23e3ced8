/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include "plugin/libvirt/restore-args.h"

/* What counts of the arguments that libvirt 11.3 starts QEMU with. */
#define LINE                                                                   \
    "qemu -name guest=vm,debug-threads=on -S -chardev "                        \
    "socket,id=charmonitor,fd=20,server=on,wait=off -mon "                     \
    "chardev=charmonitor,id=monitor,mode=control -add-fd "                     \
    "set=1,fd=19,opaque=serial0-source -chardev "                              \
    "file,id=charserial0,path=/dev/fdset/1 -incoming defer -plugin /p.so "     \
    "-chardev null,id=preheat-monitor -qmp chardev:preheat-monitor"
#define IMAGE " -add-fd set=0,fd=18,opaque=libvirt-incoming-migrate-buffered-fd"
#define DIRECT                                                                 \
    " -add-fd set=0,fd=21,opaque=libvirt-incoming-migrate-directio-fd"

static void assert_lacks(const char *line, const char *text)
{
    g_auto(GStrv) argv = g_strsplit(line, " ", -1);
    GError *error = NULL;
    RestoreArgs args;

    assert_false(restore_args_find(argv, &args, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, text);
}

static void descriptors_and_monitor_are_found(void **state)
{
    g_auto(GStrv) argv = g_strsplit(LINE IMAGE, " ", -1);
    RestoreArgs args;

    assert_true(restore_args_loads(argv));
    assert_true(restore_args_find(argv, &args, NULL));
    assert_int_equal(args.n_images, 1);
    assert_int_equal(args.image_fds[0], 18);
    assert_int_equal(args.listener_fd, 20);
    assert_string_equal(argv[args.monitor_index], "null,id=preheat-monitor");
}

static void an_image_that_is_open_in_two_ways_has_two_descriptors(void **state)
{
    g_auto(GStrv) argv = g_strsplit(LINE IMAGE DIRECT, " ", -1);
    RestoreArgs args;

    assert_true(restore_args_find(argv, &args, NULL));
    assert_int_equal(args.n_images, 2);
    assert_int_equal(args.image_fds[0], 18);
    assert_int_equal(args.image_fds[1], 21);
}

static void what_is_missing_is_told(void **state)
{
    assert_lacks(LINE, "no sparse image");
    assert_lacks(LINE " -add-fd", "no sparse image");
    assert_lacks("qemu" IMAGE, "monitor is not an inherited socket");
    assert_lacks("qemu -chardev socket,id=charmonitor,path=/m" IMAGE,
                 "monitor is not an inherited socket");
    assert_lacks("qemu -chardev socket,id=charmonitor,fd=4x" IMAGE,
                 "monitor is not an inherited socket");
    assert_lacks("qemu -chardev socket,id=charmonitor,fd=4" IMAGE,
                 "null,id=preheat-monitor");
}

static void a_start_without_an_image_is_no_restore(void **state)
{
    static const char *const lines[] = {"qemu -S", "qemu -incoming",
                                        "qemu -incoming tcp:0:1", "qemu defer"};

    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_auto(GStrv) argv = g_strsplit(lines[i], " ", -1);

        assert_false(restore_args_loads(argv));
    }
}

static void the_plugin_is_known_by_its_path(void **state)
{
    g_auto(GStrv) argv = g_strsplit("qemu -plugin /lib/p.so,x=1", " ", -1);

    assert_true(restore_args_have_plugin(argv, "/lib/p.so"));
    assert_false(restore_args_have_plugin(argv, "/lib/p"));
    assert_false(restore_args_have_plugin(argv, "/other/p.so"));
    assert_false(restore_args_have_plugin(argv + 1, "-plugin"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_and_monitor_are_found),
        cmocka_unit_test(an_image_that_is_open_in_two_ways_has_two_descriptors),
        cmocka_unit_test(what_is_missing_is_told),
        cmocka_unit_test(a_start_without_an_image_is_no_restore),
        cmocka_unit_test(the_plugin_is_known_by_its_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
