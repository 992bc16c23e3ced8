/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/disk-argument.h"
#include "tests/util/support.h"

/* The arguments after the disk in the one at that index has its overlay "/o";
 * with blanks between them, for g_free(). */
static char *overlaid(const char *const *given, size_t argument, GError **error)
{
    g_auto(GStrv) argv = g_strdupv((char **)given);
    const ManifestDisk disk = {.device = (char *)"d0",
                               .file = (char *)"/d",
                               .format = (char *)"raw",
                               .has_argument = true,
                               .argument = argument,
                               .given_file = (char *)"/d"};

    return disk_argument_set(argv, &disk, "/o", error) ? g_strjoinv(" ", argv)
                                                       : NULL;
}

static void assert_overlaid(const char *option, const char *value,
                            const char *expected)
{
    const char *const given[] = {option, value, NULL};
    GError *error = NULL;
    g_autofree char *after = overlaid(given, 1, &error);
    g_autofree char *whole = g_strconcat(option, " ", expected, NULL);

    assert_no_error(error);
    assert_string_equal(after, whole);
}

static void assert_refused(const char *option, const char *value,
                           const char *why)
{
    const char *const given[] = {option, value, NULL};
    GError *error = NULL;
    g_autofree char *after = overlaid(given, 1, &error);

    assert_null(after);
    assert_util_error(error, UTIL_ERROR_FAILED, why);
}

static void a_drive_opens_its_overlay_as_qcow2(void **state)
{
    assert_overlaid("-drive", "file=/d,format=raw,if=none,id=d0",
                    "file=/o,format=qcow2,if=none,id=d0");
    assert_overlaid("-drive", "if=virtio,file=/d",
                    "if=virtio,file=/o,format=qcow2");
    assert_overlaid("-drive", "driver=raw,file.driver=file,file.filename=/d",
                    "driver=qcow2,file.driver=file,file.filename=/o");
    assert_overlaid("-drive", "if=pflash,unit=1,format=raw,file=/d",
                    "if=pflash,unit=1,format=qcow2,file=/o");
    assert_overlaid("-hda", "/d", "/o");
    assert_overlaid("-pflash", "/d", "/o");
}

static void a_block_device_of_one_node_opens_its_overlay(void **state)
{
    assert_overlaid("-blockdev",
                    "driver=raw,node-name=n,file.driver=host_device,"
                    "file.filename=/d",
                    "driver=qcow2,node-name=n,file.driver=file,"
                    "file.filename=/o");
    assert_overlaid("-blockdev",
                    "{\"driver\": \"raw\", \"node-name\": \"n\", \"file\": "
                    "{\"driver\": \"file\", \"filename\": \"/d\"}}",
                    "{\"driver\": \"qcow2\", \"node-name\": \"n\", \"file\": "
                    "{\"driver\": \"file\", \"filename\": \"/o\"}}");
}

static void a_block_device_of_two_nodes_opens_its_overlay(void **state)
{
    const char *const given[] = {
        "-blockdev", "driver=raw,node-name=n,file=f",
        "-blockdev", "driver=file,node-name=f,filename=/d",
        "-blockdev", "driver=raw,node-name=m,file=g",
        NULL};
    GError *error = NULL;
    g_autofree char *after = overlaid(given, 3, &error);

    assert_no_error(error);
    assert_string_equal(after, "-blockdev driver=qcow2,node-name=n,file=f "
                               "-blockdev driver=file,node-name=f,filename=/o "
                               "-blockdev driver=raw,node-name=m,file=g");
}

static void options_of_one_image_are_refused(void **state)
{
    assert_refused("-drive", "file=/d,driver=raw,offset=512",
                   "disk d0: cannot change QEMU's arguments");
    assert_refused("-drive", "file=/d,encrypt.key-secret=s", "encrypt.");
    assert_refused("-blockdev",
                   "{\"driver\": \"qcow2\", \"backing\": \"base\", \"file\": "
                   "{\"driver\": \"file\", \"filename\": \"/d\"}}",
                   "has backing");
    assert_refused("-blockdev", "driver=file,node-name=f,filename=/d",
                   "no format node");
    assert_refused("-blockdev",
                   "driver=throttle,throttle-group=g,file.driver=file,"
                   "file.filename=/d",
                   "about \"throttle\"");
}

static void a_disk_that_was_plugged_in_later_is_refused(void **state)
{
    const ManifestDisk disk = {
        .node = (char *)"n", .file = (char *)"/d", .format = (char *)"raw"};
    GError *error = NULL;

    assert_false(disk_argument_check(&disk, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "plugged in");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drive_opens_its_overlay_as_qcow2),
        cmocka_unit_test(a_block_device_of_one_node_opens_its_overlay),
        cmocka_unit_test(a_block_device_of_two_nodes_opens_its_overlay),
        cmocka_unit_test(options_of_one_image_are_refused),
        cmocka_unit_test(a_disk_that_was_plugged_in_later_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
