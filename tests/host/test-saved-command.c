/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "qemu-img" is a script of the test's own, beside the program.
 */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/saved-command.h"
#include "tests/util/support.h"

/* The script writes down how it was called, into the overlay. */
static const char qemu_img[] = "#!/bin/sh\n"
                               "for last; do :; done\n"
                               "echo \"$@\" >\"$last\"\n";

typedef struct Fixture {
    char *directory;
    char *kept;
    Manifest *manifest;
    SavedCommandOptions options;
} Fixture;

/* Tests are one at a time, and in one thread. */
static GString *said;

static void say(const char *text)
{
    g_string_append_printf(said, "%s\n", text);
}

static void placed(const char *kind, const char *saved, const char *now,
                   void *opaque)
{
    g_string_append_printf(opaque, "%s %s %s\n", kind, saved, now);
}

static char *put(const Fixture *fixture, const char *name, const char *text,
                 unsigned mode)
{
    char *path = g_build_filename(fixture->directory, name, NULL);

    assert_true(g_file_set_contents(path, text, -1, NULL));
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);

    fixture->directory = make_directory();
    fixture->kept = g_build_filename(fixture->directory, "kept", NULL);
    fixture->manifest = manifest_new();
    fixture->manifest->qemu_program =
        put(fixture, "qemu-system-none", "", 0755);
    fixture->manifest->qemu_directory = g_strdup(fixture->directory);
    fixture->manifest->machine_type = g_strdup("none-10.0");
    fixture->options.say = say;
    fixture->options.placed = placed;
    fixture->options.keep_disks = fixture->kept;
    g_free(put(fixture, "qemu-img", qemu_img, 0755));
    said = g_string_new(NULL);
    fixture->options.opaque = said;
    *state = fixture;
    return 0;
}

static void remove_kept(const Fixture *fixture)
{
    if (g_file_test(fixture->kept, G_FILE_TEST_EXISTS)) {
        remove_directory(g_strdup(fixture->kept));
    }
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;

    g_string_free(said, TRUE);
    manifest_free(fixture->manifest);
    remove_kept(fixture);
    remove_directory(fixture->directory);
    g_free(fixture->kept);
    g_free(fixture);
    return 0;
}

/* The saved arguments, with blanks between them. */
static void set_arguments(Fixture *fixture, const char *arguments)
{
    fixture->manifest->qemu_arguments = g_strsplit(arguments, " ", -1);
}

static void add_resource(Fixture *fixture, size_t argument,
                         ManifestResourceKind kind, const char *value)
{
    const ManifestResource resource = {argument, kind, g_strdup(value)};

    g_array_append_val(fixture->manifest->resources, resource);
}

static void add_disk(Fixture *fixture, const char *name,
                     ManifestHandling handling)
{
    ManifestDisk disk = {.node = g_strdup("n"),
                         .device = g_strdup("d0"),
                         .file = put(fixture, name, "disk", 0600),
                         .format = g_strdup("raw"),
                         .handling = handling,
                         .has_argument = true,
                         .argument = 1,
                         .given_file = g_strdup(name)};
    struct stat st;

    assert_int_equal(stat(disk.file, &st), 0);
    disk.len_bytes = (uint64_t)st.st_size;
    disk.mtime_ns =
        (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec;
    disk.inode = st.st_ino;
    g_array_append_val(fixture->manifest->disks, disk);
}

static SavedCommand *make(const Fixture *fixture)
{
    GError *error = NULL;
    SavedCommand *command =
        saved_command_new(fixture->manifest, &fixture->options, &error);

    assert_no_error(error);
    return command;
}

static void assert_refused(const Fixture *fixture, UtilError code,
                           const char *why)
{
    GError *error = NULL;

    assert_null(
        saved_command_new(fixture->manifest, &fixture->options, &error));
    assert_util_error(error, code, why);
    assert_false(g_file_test(fixture->kept, G_FILE_TEST_EXISTS));
}

/* What follows the program; KEPT stands for the kept folder. */
static void assert_arguments(const Fixture *fixture, const char *expected)
{
    SavedCommand *command = make(fixture);
    char **argv = saved_command_argv(command);
    g_auto(GStrv) parts = g_strsplit(expected, "KEPT", -1);
    g_autofree char *wanted = g_strjoinv(fixture->kept, parts);
    g_autofree char *text = g_strjoinv(" ", argv + 1);

    assert_string_equal(argv[0], fixture->manifest->qemu_program);
    assert_string_equal(text, wanted);
    saved_command_free(command, true);
}

static void
what_the_saved_machine_had_alone_is_in_this_loads_folder(void **state)
{
    Fixture *fixture = *state;

    set_arguments(fixture,
                  "-qmp unix:/run/q.sock,server=on -pidfile /run/q.pid "
                  "-D q.log -serial file:/var/s.txt");
    add_resource(fixture, 1, MANIFEST_SOCKET, "/run/q.sock");
    add_resource(fixture, 3, MANIFEST_PID_FILE, "/run/q.pid");
    add_resource(fixture, 5, MANIFEST_LOG, "q.log");
    add_resource(fixture, 7, MANIFEST_FILE, "/var/s.txt");
    assert_arguments(fixture,
                     "-qmp unix:KEPT/q.sock,server=on -pidfile KEPT/q.pid -D "
                     "KEPT/q.log -serial file:KEPT/s.txt -machine none-10.0");
    assert_non_null(strstr(said->str, "socket /run/q.sock /"));
    assert_non_null(strstr(said->str, "pid-file /run/q.pid /"));
}

static void what_starts_the_guest_otherwise_is_left_out(void **state)
{
    Fixture *fixture = *state;

    set_arguments(fixture, "-m 1G -incoming defer -S -loadvm tag -machine "
                           "none-10.0");
    assert_arguments(fixture, "-m 1G -machine none-10.0");
}

static void a_disk_is_an_overlay_on_the_image_of_the_snapshot(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *overlay =
        g_build_filename(fixture->kept, "d0.qcow2", NULL);
    g_autofree char *call = NULL;

    set_arguments(fixture, "-drive file=d.img,format=raw,if=none");
    add_disk(fixture, "d.img", MANIFEST_DISK_OVERLAY);
    assert_arguments(fixture, "-drive file=KEPT/d0.qcow2,format=qcow2,if=none "
                              "-machine none-10.0");
    assert_true(g_file_get_contents(overlay, &call, NULL, NULL));
    assert_non_null(strstr(call, "create -q -f qcow2 -b "));
    assert_non_null(strstr(call, "/d.img -F raw "));
}

/* The image is for its owner alone. */
static void an_overlay_can_be_read_by_no_more_than_its_image(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *overlay =
        g_build_filename(fixture->kept, "d0.qcow2", NULL);
    struct stat st;

    set_arguments(fixture, "-drive file=d.img,format=raw,if=none");
    add_disk(fixture, "d.img", MANIFEST_DISK_OVERLAY);
    assert_arguments(fixture, "-drive file=KEPT/d0.qcow2,format=qcow2,if=none "
                              "-machine none-10.0");
    assert_int_equal(stat(overlay, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void a_disk_that_was_left_is_used_while_it_is_as_it_was(void **state)
{
    Fixture *fixture = *state;
    const ManifestDisk *disk;

    set_arguments(fixture, "-drive file=d.img,format=raw,if=none");
    add_disk(fixture, "d.img", MANIFEST_DISK_LEFT);
    assert_arguments(fixture, "-drive file=KEPT/d0.qcow2,format=qcow2,if=none "
                              "-machine none-10.0");
    remove_kept(fixture);
    disk = &g_array_index(fixture->manifest->disks, ManifestDisk, 0);
    assert_int_equal(truncate(disk->file, 5), 0);
    assert_refused(fixture, UTIL_ERROR_FAILED, "--disks leave");
}

static void a_read_only_disk_is_opened_as_it_was(void **state)
{
    Fixture *fixture = *state;

    set_arguments(fixture, "-cdrom d.img");
    add_disk(fixture, "d.img", MANIFEST_DISK_READ_ONLY);
    assert_arguments(fixture, "-cdrom d.img -machine none-10.0");
}

static void a_set_gives_another_name(void **state)
{
    Fixture *fixture = *state;
    char *sets[] = {(char *)"/run/q.sock=/tmp/a=b", (char *)"2222=0", NULL};

    set_arguments(fixture, "-qmp unix:/run/q.sock,server=on -netdev "
                           "user,id=n,hostfwd=tcp::2222-:22");
    add_resource(fixture, 1, MANIFEST_SOCKET, "/run/q.sock");
    add_resource(fixture, 3, MANIFEST_PORT, "2222");
    fixture->options.sets = sets;
    assert_arguments(fixture,
                     "-qmp unix:/tmp/a=b,server=on -netdev "
                     "user,id=n,hostfwd=tcp::0-:22 -machine none-10.0");
}

static void a_set_that_names_nothing_is_told_what_there_is(void **state)
{
    Fixture *fixture = *state;
    char *sets[] = {(char *)"2223=1", NULL};

    set_arguments(fixture, "-netdev user,id=n,hostfwd=tcp::2222-:22");
    add_resource(fixture, 1, MANIFEST_PORT, "2222");
    fixture->options.sets = sets;
    assert_refused(fixture, UTIL_ERROR_USAGE, "arguments name: host port 2222");
    sets[0] = (char *)"2222=ssh";
    assert_refused(fixture, UTIL_ERROR_USAGE, "a port is a number");
}

static void a_port_that_is_taken_is_told_as_that(void **state)
{
    Fixture *fixture = *state;
    unsigned port;
    int fd = hold_tcp_port(&port);
    g_autofree char *arguments =
        g_strdup_printf("-netdev user,id=n,hostfwd=tcp:127.0.0.1:%u-:22", port);
    g_autofree char *value = g_strdup_printf("%u", port);
    g_autofree char *why = g_strdup_printf(
        "host port %u is taken; use another one: --set %u=OTHER", port, port);
    g_autofree char *same = g_strdup_printf("%u=%u", port, port);
    char *sets[] = {same, NULL};

    set_arguments(fixture, arguments);
    add_resource(fixture, 1, MANIFEST_PORT, value);
    assert_refused(fixture, UTIL_ERROR_FAILED, why);
    fixture->options.sets = sets;
    assert_refused(fixture, UTIL_ERROR_FAILED, why);
    close(fd);
}

static void a_port_given_instead_may_be_taken_as_well(void **state)
{
    Fixture *fixture = *state;
    unsigned port;
    int fd = hold_tcp_port(&port);
    g_autofree char *set = g_strdup_printf("1=%u", port);
    g_autofree char *why = g_strdup_printf("host port %u is taken", port);
    char *sets[] = {set, NULL};

    set_arguments(fixture, "-netdev user,id=n,hostfwd=tcp:127.0.0.1:1-:22");
    add_resource(fixture, 1, MANIFEST_PORT, "1");
    fixture->options.sets = sets;
    assert_refused(fixture, UTIL_ERROR_FAILED, why);
    close(fd);
}

static void what_cannot_be_placed_needs_a_set(void **state)
{
    Fixture *fixture = *state;
    char *sets[] = {(char *)"/missing/s=/missing/s", NULL};

    set_arguments(fixture, "-serial unix:/missing/s");
    add_resource(fixture, 1, MANIFEST_SOCKET, "/missing/s");
    assert_refused(fixture, UTIL_ERROR_FAILED, "--set /missing/s=OTHER");
    fixture->options.sets = sets;
    assert_arguments(fixture, "-serial unix:/missing/s -machine none-10.0");
}

static void the_ram_of_the_saved_machine_is_not_shared(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *ram = put(fixture, "ram", "x", 0600);
    g_autofree char *arguments = g_strdup_printf(
        "-object memory-backend-file,id=m,mem-path=%s,share=on,size=1", ram);

    set_arguments(fixture, arguments);
    add_resource(fixture, 1, MANIFEST_FILE, ram);
    assert_refused(fixture, UTIL_ERROR_FAILED,
                   "contains the RAM of the machine");
}

static void
a_pipe_is_not_shared_but_what_is_just_called_so_is_a_file(void **state)
{
    Fixture *fixture = *state;

    set_arguments(fixture, "-serial file:/pipes/log");
    add_resource(fixture, 1, MANIFEST_FILE, "/pipes/log");
    assert_arguments(fixture, "-serial file:KEPT/log -machine none-10.0");
    remove_kept(fixture);
    g_strfreev(fixture->manifest->qemu_arguments);
    set_arguments(fixture, "-serial pipe:/pipes/log");
    assert_refused(fixture, UTIL_ERROR_FAILED, "is a pipe");
    g_strfreev(fixture->manifest->qemu_arguments);
    set_arguments(fixture, "-chardev pipe,id=c,path=/pipes/log");
    assert_refused(fixture, UTIL_ERROR_FAILED, "is a pipe");
}

static void a_daemon_needs_a_folder_that_stays(void **state)
{
    Fixture *fixture = *state;

    set_arguments(fixture, "-drive file=d.img,format=raw -daemonize");
    add_disk(fixture, "d.img", MANIFEST_DISK_OVERLAY);
    fixture->options.keep_disks = NULL;
    assert_refused(fixture, UTIL_ERROR_FAILED, "--keep-disks DIR");
}

static void a_disk_that_no_argument_names_is_refused(void **state)
{
    Fixture *fixture = *state;

    set_arguments(fixture, "-m 1G");
    add_disk(fixture, "d.img", MANIFEST_DISK_READ_ONLY);
    g_array_index(fixture->manifest->disks, ManifestDisk, 0).has_argument =
        false;
    assert_refused(fixture, UTIL_ERROR_FAILED, "plugged in");
}

static void a_disk_that_was_taken_out_is_warned_of(void **state)
{
    Fixture *fixture = *state;

    set_arguments(fixture, "-cdrom gone.iso -drive file=nbd:far:1");
    assert_arguments(fixture, "-cdrom gone.iso -drive file=nbd:far:1 -machine "
                              "none-10.0");
    assert_non_null(strstr(said->str, "/gone.iso, which was no longer a disk"));
    assert_null(strstr(said->str, "nbd"));
}

static void what_another_program_handed_over_is_refused(void **state)
{
    Fixture *fixture = *state;

    set_arguments(fixture, "-netdev tap,id=n,fd=20");
    assert_refused(fixture, UTIL_ERROR_FAILED, "inherited a descriptor");
    g_strfreev(fixture->manifest->qemu_arguments);
    set_arguments(fixture, "-chardev file,id=c,path=/dev/fdset/1");
    assert_refused(fixture, UTIL_ERROR_FAILED, "inherited a descriptor");
}

static void a_program_that_is_gone_is_told(void **state)
{
    Fixture *fixture = *state;

    set_arguments(fixture, "-m 1G");
    assert_int_equal(unlink(fixture->manifest->qemu_program), 0);
    assert_refused(fixture, UTIL_ERROR_FAILED,
                   "there is no qemu-system-none in PATH");
}

#define COMMAND_TEST(name)                                                     \
    cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        COMMAND_TEST(what_the_saved_machine_had_alone_is_in_this_loads_folder),
        COMMAND_TEST(what_starts_the_guest_otherwise_is_left_out),
        COMMAND_TEST(a_disk_is_an_overlay_on_the_image_of_the_snapshot),
        COMMAND_TEST(an_overlay_can_be_read_by_no_more_than_its_image),
        COMMAND_TEST(a_disk_that_was_left_is_used_while_it_is_as_it_was),
        COMMAND_TEST(a_read_only_disk_is_opened_as_it_was),
        COMMAND_TEST(a_set_gives_another_name),
        COMMAND_TEST(a_set_that_names_nothing_is_told_what_there_is),
        COMMAND_TEST(a_port_that_is_taken_is_told_as_that),
        COMMAND_TEST(a_port_given_instead_may_be_taken_as_well),
        COMMAND_TEST(what_cannot_be_placed_needs_a_set),
        COMMAND_TEST(the_ram_of_the_saved_machine_is_not_shared),
        COMMAND_TEST(a_pipe_is_not_shared_but_what_is_just_called_so_is_a_file),
        COMMAND_TEST(a_daemon_needs_a_folder_that_stays),
        COMMAND_TEST(a_disk_that_no_argument_names_is_refused),
        COMMAND_TEST(a_disk_that_was_taken_out_is_warned_of),
        COMMAND_TEST(what_another_program_handed_over_is_refused),
        COMMAND_TEST(a_program_that_is_gone_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
