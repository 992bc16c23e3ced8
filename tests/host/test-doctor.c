/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "host/doctor.h"
#include "tests/util/support.h"

#define GREETING(major)                                                        \
    "{\"QMP\": {\"version\": {\"qemu\": {\"major\": " major                    \
    ", \"minor\": 2}, "                                                        \
    "\"package\": \"\"}, \"capabilities\": []}}"

static const DoctorFinding *find(const GPtrArray *findings, const char *name)
{
    for (guint i = 0; i < findings->len; i++) {
        const DoctorFinding *finding = findings->pdata[i];

        if (strcmp(finding->name, name) == 0) {
            return finding;
        }
    }
    return NULL;
}

static void assert_finding(const GPtrArray *findings, const char *name,
                           DoctorStatus status, const char *text)
{
    const DoctorFinding *finding = find(findings, name);

    assert_non_null(finding);
    assert_string_equal(doctor_status_name(finding->status),
                        doctor_status_name(status));
    if (!strstr(finding->text, text)) {
        fail_msg("%s: \"%s\" has no \"%s\"", name, finding->text, text);
    }
    /* Whatever can be mended says how. */
    if (status == DOCTOR_LIMITED || status == DOCTOR_FAILED) {
        assert_non_null(finding->advice);
    }
}

/* ---- QEMU ---- */

/* A program that greets as the QEMU of a major version, and with the plugin
 * does what the shell commands say. */
static char *fake_qemu(const char *directory, const char *greeting,
                       const char *with_plugin)
{
    char *path = g_build_filename(directory, "qemu", NULL);
    g_autofree char *script =
        g_strdup_printf("#!/bin/sh\ncase \"$*\" in *-plugin*) %s;; esac\n"
                        "echo '%s'\ncat >/dev/null\n",
                        with_plugin, greeting);

    assert_true(g_file_set_contents(path, script, -1, NULL));
    assert_int_equal(g_chmod(path, 0755), 0);
    return path;
}

static void a_qemu_that_takes_the_plugin_is_fine(void **state)
{
    char *directory = make_directory();
    g_autofree char *qemu = fake_qemu(directory, GREETING("10"), ":");
    g_autoptr(GPtrArray) findings = doctor_findings_new();

    doctor_examine_qemu(findings, qemu, "/p.so");
    assert_finding(findings, "qemu", DOCTOR_OK, "QEMU 10.2");
    assert_finding(findings, "qemu-plugin", DOCTOR_OK, "loads /p.so");
    remove_directory(directory);
}

static void a_qemu_that_refuses_the_plugin_is_told_with_its_words(void **state)
{
    char *directory = make_directory();
    g_autofree char *qemu =
        fake_qemu(directory, GREETING("10"),
                  "echo 'qemu: warning: old' >&2; echo 'bad API' >&2; exit 1");
    g_autoptr(GPtrArray) findings = doctor_findings_new();

    doctor_examine_qemu(findings, qemu, "/p.so");
    assert_finding(findings, "qemu", DOCTOR_OK, "QEMU 10.2");
    assert_finding(findings, "qemu-plugin", DOCTOR_FAILED, ": bad API");
    remove_directory(directory);
}

static void
a_qemu_that_greets_before_it_refuses_the_plugin_is_told(void **state)
{
    char *directory = make_directory();
    g_autofree char *qemu =
        fake_qemu(directory, GREETING("10"),
                  "printf '%s' '" GREETING("10") "'; echo 'bad API' >&2; exit "
                                                 "1");
    g_autoptr(GPtrArray) findings = doctor_findings_new();

    doctor_examine_qemu(findings, qemu, "/p.so");
    assert_finding(findings, "qemu-plugin", DOCTOR_FAILED, ": bad API");
    remove_directory(directory);
}

/* More than a pipe holds, on both streams. */
static void a_qemu_that_talks_a_lot_is_heard_to_the_end(void **state)
{
    char *directory = make_directory();
    g_autofree char *qemu = fake_qemu(
        directory, GREETING("10"),
        "echo 'bad API' >&2; head -c 1000000 /dev/zero | tr '\\0' x >&2; "
        "head -c 1000000 /dev/zero | tr '\\0' x; exit 1");
    g_autoptr(GPtrArray) findings = doctor_findings_new();

    doctor_examine_qemu(findings, qemu, "/p.so");
    assert_finding(findings, "qemu-plugin", DOCTOR_FAILED, ": bad API");
    remove_directory(directory);
}

static void a_qemu_without_mapped_ram_is_too_old(void **state)
{
    char *directory = make_directory();
    g_autofree char *qemu = fake_qemu(directory, GREETING("8"), ":");
    g_autoptr(GPtrArray) findings = doctor_findings_new();

    doctor_examine_qemu(findings, qemu, "/p.so");
    assert_finding(findings, "qemu", DOCTOR_FAILED, "does not have mapped-ram");
    assert_null(find(findings, "qemu-plugin"));
    remove_directory(directory);
}

static void a_missing_qemu_and_a_missing_plugin_are_told(void **state)
{
    char *directory = make_directory();
    g_autofree char *qemu = fake_qemu(directory, GREETING("10"), ":");
    g_autoptr(GPtrArray) absent = doctor_findings_new();
    g_autoptr(GPtrArray) present = doctor_findings_new();

    doctor_examine_qemu(absent, "/nowhere/qemu", "/p.so");
    assert_finding(absent, "qemu", DOCTOR_FAILED, "/nowhere/qemu");
    doctor_examine_qemu(present, qemu, NULL);
    assert_finding(present, "qemu-plugin", DOCTOR_FAILED, "not installed");
    remove_directory(directory);
}

/* ---- libvirt ---- */

static void write_below(const char *root, const char *path, const char *text)
{
    g_autofree char *full = g_strconcat(root, path, NULL);
    g_autofree char *directory = g_path_get_dirname(full);

    assert_int_equal(g_mkdir_with_parents(directory, 0700), 0);
    assert_true(g_file_set_contents(full, text, -1, NULL));
}

static void remove_tree(const char *root)
{
    const char *argv[] = {"rm", "-rf", root, NULL};

    assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH,
                             NULL, NULL, NULL, NULL, NULL, NULL));
}

static void a_machine_without_libvirt_needs_none_of_it(void **state)
{
    g_autofree char *root = make_directory();
    g_autoptr(GPtrArray) findings = doctor_findings_new();

    doctor_examine_libvirt(findings, root);
    assert_int_equal(findings->len, 1);
    assert_finding(findings, "libvirt", DOCTOR_NOTE, "not installed");
    remove_tree(root);
}

static void a_libvirt_as_installed_lacks_two_settings(void **state)
{
    g_autofree char *root = make_directory();
    g_autoptr(GPtrArray) findings = doctor_findings_new();

    write_below(root, "/etc/libvirt/qemu.conf",
                "#save_image_format = \"sparse\"\n");
    write_below(root, "/sys/module/apparmor/parameters/enabled", "Y\n");
    doctor_examine_libvirt(findings, root);
    assert_finding(findings, "libvirt-save-format", DOCTOR_LIMITED, "raw");
    assert_finding(findings, "libvirt-apparmor", DOCTOR_LIMITED,
                   "/dev/userfaultfd");
    remove_tree(root);
}

static void a_libvirt_that_is_set_up_is_fine(void **state)
{
    g_autofree char *root = make_directory();
    g_autoptr(GPtrArray) findings = doctor_findings_new();

    write_below(root, "/etc/libvirt/qemu.conf",
                "user = \"qemu\"\n  save_image_format = \"sparse\"\n");
    write_below(root, "/sys/module/apparmor/parameters/enabled", "Y\n");
    write_below(root, "/etc/apparmor.d/local/abstractions/libvirt-qemu",
                "/dev/userfaultfd rw,\n");
    doctor_examine_libvirt(findings, root);
    assert_finding(findings, "libvirt-save-format", DOCTOR_OK, "sparse");
    assert_finding(findings, "libvirt-apparmor", DOCTOR_OK, "lets");
    remove_tree(root);
}

/* ---- the kernel ---- */

static void huge_pages_are_told_as_the_kernel_has_them(void **state)
{
    g_autofree char *root = make_directory();
    g_autoptr(GPtrArray) off = doctor_findings_new();
    g_autoptr(GPtrArray) on = doctor_findings_new();
    const char *path = "/sys/kernel/mm/transparent_hugepage/enabled";

    write_below(root, path, "always madvise [never]\n");
    doctor_examine_kernel(off, root);
    assert_finding(off, "huge-pages", DOCTOR_NOTE, "switched off");
    write_below(root, path, "always [madvise] never\n");
    doctor_examine_kernel(on, root);
    assert_finding(on, "huge-pages", DOCTOR_OK, "madvise");
    remove_tree(root);
}

/* In a child that is nobody: the status of "userfaultfd" as exit status. */
static int permission_of_nobody(void)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        GPtrArray *findings = doctor_findings_new();

        if (setgid(65534) < 0 || setuid(65534) < 0) {
            _exit(100);
        }
        doctor_examine_kernel(findings, "");
        _exit((int)find(findings, "userfaultfd")->status);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_user_without_permission_is_told_how_to_get_it(void **state)
{
    g_autofree char *open_to_all =
        doctor_read("", "/proc/sys/vm/unprivileged_userfaultfd");
    struct stat device;

    if (geteuid() != 0) {
        print_message("only root can become nobody\n");
        skip();
    }
    if (g_strcmp0(open_to_all, "1") == 0 ||
        (stat("/dev/userfaultfd", &device) == 0 && (device.st_mode & 06))) {
        print_message("everybody may use userfaultfd here\n");
        skip();
    }
    assert_int_equal(permission_of_nobody(), DOCTOR_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_qemu_that_takes_the_plugin_is_fine),
        cmocka_unit_test(a_qemu_that_refuses_the_plugin_is_told_with_its_words),
        cmocka_unit_test(
            a_qemu_that_greets_before_it_refuses_the_plugin_is_told),
        cmocka_unit_test(a_qemu_that_talks_a_lot_is_heard_to_the_end),
        cmocka_unit_test(a_qemu_without_mapped_ram_is_too_old),
        cmocka_unit_test(a_missing_qemu_and_a_missing_plugin_are_told),
        cmocka_unit_test(a_machine_without_libvirt_needs_none_of_it),
        cmocka_unit_test(a_libvirt_as_installed_lacks_two_settings),
        cmocka_unit_test(a_libvirt_that_is_set_up_is_fine),
        cmocka_unit_test(huge_pages_are_told_as_the_kernel_has_them),
        cmocka_unit_test(a_user_without_permission_is_told_how_to_get_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
