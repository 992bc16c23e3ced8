/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/saved-command.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "host/disk-argument.h"
#include "host/disks.h"
#include "host/host-resource.h"
#include "host/image-state.h"
#include "host/load-folder.h"
#include "host/qemu-command.h"
#include "host/qemu-values.h"
#include "util/error.h"

struct SavedCommand {
    const Manifest *manifest;
    const SavedCommandOptions *options;
    LoadFolder *folder; /* NULL: nothing was placed */
    char *program;
    char **arguments; /* without it, by the manifest's indices */
    char **argv;
};

static void say(const SavedCommand *command, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

static void say(const SavedCommand *command, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    command->options->say(text);
}

static bool is_daemon(const SavedCommand *command)
{
    g_autoptr(GArray) options =
        qemu_command_options(command->manifest->qemu_arguments);
    bool found = false;

    for (guint i = 0; i < options->len; i++) {
        const QemuOption *option = &g_array_index(options, QemuOption, i);

        found = found || strcmp(option->name, "daemonize") == 0;
    }
    return found;
}

/* The folder would go before a daemon does. */
static bool make_folder(SavedCommand *command, GError **error)
{
    const char *kept = command->options->keep_disks;

    if (!kept && is_daemon(command)) {
        g_set_error(
            error, UTIL_ERROR, UTIL_ERROR_FAILED,
            "QEMU becomes a daemon (-daemonize), so that nobody removes "
            "its overlays and sockets when it ends: name a folder for "
            "them with --keep-disks DIR");
        return false;
    }
    command->folder = load_folder_new(kept, error);
    return command->folder != NULL;
}

/* A path in this load's folder, for g_free(). */
static char *place(SavedCommand *command, const char *name, GError **error)
{
    return command->folder || make_folder(command, error)
               ? load_folder_place(command->folder, name)
               : NULL;
}

/* ---- disks ---- */

static bool is_writable(const ManifestDisk *disk)
{
    return disk->handling != MANIFEST_DISK_READ_ONLY;
}

/* qemu-img that belongs to the QEMU, or the one in PATH; for g_free(). */
static char *find_qemu_img(const Manifest *manifest, GError **error)
{
    g_autofree char *directory = g_path_get_dirname(manifest->qemu_program);
    g_autofree char *beside = g_build_filename(directory, "qemu-img", NULL);

    if (access(beside, X_OK) == 0) {
        return g_steal_pointer(&beside);
    }
    char *found = g_find_program_in_path("qemu-img");
    if (!found) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "qemu-img, which makes the overlays of the disks, is "
                    "neither in %s nor in PATH (Debian: qemu-utils)",
                    directory);
    }
    return found;
}

/* Not by GSubprocess, which starts a thread: none may be there before QEMU's
 * launcher. */
static bool run_qemu_img(const char *qemu_img, const ManifestDisk *disk,
                         const char *overlay, GError **error)
{
    const char *const argv[] = {
        qemu_img,   "create", "-q",
        "-f",       "qcow2",  "-b",
        disk->file, "-F",     disk_argument_format(disk),
        overlay,    NULL};
    g_autofree char *err = NULL;
    int wait_status;

    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL,
                      NULL, NULL, NULL, &err, &wait_status, error)) {
        return false;
    }
    if (wait_status != 0) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED, "%s",
                    err[0] ? g_strchomp(err) : "qemu-img failed");
        return false;
    }
    return true;
}

/* "drive0.qcow2"; the name of a node may begin with "#", a QOM path has
 * slashes. */
static char *overlay_name(const ManifestDisk *disk)
{
    const char *name = disk->device ? disk->device : disk->node;
    char *file = g_strdup_printf("%s.qcow2", name + strspn(name, "#/"));

    return g_strdelimit(file, "/", '-');
}

static bool add_overlay(SavedCommand *command, const ManifestDisk *disk,
                        const char *qemu_img, GError **error)
{
    g_autofree char *name = overlay_name(disk);
    g_autofree char *overlay = place(command, name, error);

    if (!overlay ||
        !disk_argument_set(command->arguments, disk, overlay, error)) {
        return false;
    }
    if (!run_qemu_img(qemu_img, disk, overlay, error)) {
        g_prefix_error(error, "disk %s: cannot make an overlay of %s: ",
                       manifest_disk_name(disk), disk->file);
        return false;
    }
    say(command, "the disk %s is %s, on %s", manifest_disk_name(disk), overlay,
        disk->file);
    return true;
}

static const ManifestDisk *get_disk(const SavedCommand *command, guint i)
{
    return &g_array_index(command->manifest->disks, ManifestDisk, i);
}

static bool check_disks(const SavedCommand *command, GError **error)
{
    for (guint i = 0; i < command->manifest->disks->len; i++) {
        const ManifestDisk *disk = get_disk(command, i);

        if (!disk_argument_check(disk, error) ||
            !image_state_check(disk, error)) {
            return false;
        }
    }
    return true;
}

/* The other way round: a disk that was taken out comes back. */
static void warn_of_disks(const SavedCommand *command)
{
    const Manifest *manifest = command->manifest;
    g_autoptr(GArray) options = qemu_command_options(manifest->qemu_arguments);

    for (guint i = 0; i < options->len; i++) {
        const QemuOption *option = &g_array_index(options, QemuOption, i);
        g_autofree char *file = qemu_command_disk_file(option);
        g_autofree char *path =
            file ? disks_absolute_path(file, manifest->qemu_directory) : NULL;
        bool is_known = path == NULL;

        for (guint k = 0; k < manifest->disks->len; k++) {
            is_known =
                is_known || get_disk(command, k)->argument == option->argument;
        }
        if (!is_known) {
            say(command,
                "warning: the saved QEMU's arguments name %s, which was no "
                "disk of the guest any more when it was saved",
                path);
        }
    }
}

static bool add_overlays(SavedCommand *command, GError **error)
{
    g_autofree char *qemu_img = NULL;

    for (guint i = 0; i < command->manifest->disks->len; i++) {
        const ManifestDisk *disk = get_disk(command, i);

        if (!is_writable(disk)) {
            continue;
        }
        if (!qemu_img) {
            qemu_img = find_qemu_img(command->manifest, error);
        }
        if (!qemu_img || !add_overlay(command, disk, qemu_img, error)) {
            return false;
        }
    }
    return true;
}

/* ---- what two machines cannot share ---- */

typedef struct Resource {
    const ManifestResource *saved;
    const QemuOption *option; /* of the saved arguments */
    const char *given;        /* by a set; NULL: none names it */
} Resource;

/* What a set "OLD=NEW" makes of value; NULL: it is not for it. */
static const char *new_value(const char *set, const char *value)
{
    size_t len = strlen(value);

    return strncmp(set, value, len) == 0 && set[len] == '=' ? set + len + 1
                                                            : NULL;
}

static const char *find_given(const SavedCommand *command, const char *value)
{
    char *const *sets = command->options->sets;

    for (size_t i = 0; sets && sets[i]; i++) {
        const char *given = new_value(sets[i], value);

        if (given) {
            return given;
        }
    }
    return NULL;
}

static bool replace(SavedCommand *command, const ManifestResource *resource,
                    const char *with, GError **error)
{
    char **argument = &command->arguments[resource->argument];
    char *replaced = qemu_command_replace(*argument, resource->value, with);

    if (!replaced) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "the manifest is wrong: \"%s\" does not name %s", *argument,
                    resource->value);
        return false;
    }
    g_free(*argument);
    *argument = replaced;
    return true;
}

static bool refuse(const ManifestResource *resource, const char *value,
                   GError **error, const char *why)
{
    g_autofree char *what = host_resource_describe(resource->kind, value);

    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "%s %s; use another one: --set %s=OTHER", what, why,
                resource->value);
    return false;
}

static bool check_taken(const Resource *resource, const char *value,
                        GError **error)
{
    return !host_resource_is_taken(resource->option, resource->saved, value) ||
           refuse(resource->saved, value, error, "is taken");
}

static bool is_valid(const Resource *resource, GError **error)
{
    const char *given = resource->given;
    bool is_port = resource->saved->kind == MANIFEST_PORT;

    if (given[0] &&
        (!is_port || strspn(given, "0123456789") == strlen(given))) {
        return true;
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE, "--set %s=%s: %s",
                resource->saved->value, given,
                is_port ? "a port is a number" : "the new name is missing");
    return false;
}

static bool use_given(SavedCommand *command, const Resource *resource,
                      GError **error)
{
    return is_valid(resource, error) &&
           check_taken(resource, resource->given, error) &&
           replace(command, resource->saved, resource->given, error);
}

/* In this load's folder. */
static bool use_own(SavedCommand *command, const ManifestResource *resource,
                    GError **error)
{
    g_autofree char *name = g_path_get_basename(resource->value);
    g_autofree char *path = place(command, name, error);
    g_autofree char *what = NULL;

    if (!path || !replace(command, resource, path, error)) {
        return false;
    }
    what = host_resource_describe(resource->kind, resource->value);
    say(command, "the %s is %s", what, path);
    return true;
}

/* One that somebody else serves. */
static bool use_served(const SavedCommand *command, const Resource *resource,
                       GError **error)
{
    g_autofree char *path = g_canonicalize_filename(
        resource->saved->value, command->manifest->qemu_directory);

    return access(path, F_OK) == 0 ||
           strstr(resource->option->value, "reconnect") ||
           strstr(resource->option->value, "abstract=on") ||
           refuse(resource->saved, resource->saved->value, error,
                  "does not exist, and QEMU is to connect to it");
}

/* A file that is neither log nor the like: whoever writes to it is not alone.
 */
static bool use_file(SavedCommand *command, const Resource *resource,
                     GError **error)
{
    const char *value = resource->saved->value;
    g_autofree char *path =
        g_canonicalize_filename(value, command->manifest->qemu_directory);
    bool is_ram = strcmp(resource->option->name, "object") == 0;

    if (is_ram) {
        return !g_file_test(path, G_FILE_TEST_IS_REGULAR) ||
               refuse(resource->saved, value, error,
                      "has the RAM of the machine that was saved");
    }
    if (strstr(resource->option->value, "pipe")) {
        return refuse(resource->saved, value, error,
                      "is a pipe, which the machine that was saved may have");
    }
    return g_str_has_prefix(path, "/dev/") ||
           use_own(command, resource->saved, error);
}

static bool use_resource(SavedCommand *command, const Resource *resource,
                         GError **error)
{
    if (resource->given) {
        return use_given(command, resource, error);
    }
    switch (resource->saved->kind) {
    case MANIFEST_SOCKET:
        return host_resource_is_made(resource->option, MANIFEST_SOCKET)
                   ? use_own(command, resource->saved, error)
                   : use_served(command, resource, error);
    case MANIFEST_FILE:
        return use_file(command, resource, error);
    case MANIFEST_PID_FILE:
    case MANIFEST_LOG:
        return use_own(command, resource->saved, error);
    case MANIFEST_PORT:
    case MANIFEST_INTERFACE:
        return check_taken(resource, resource->saved->value, error);
    }
    return true;
}

static const ManifestResource *get_resource(const SavedCommand *command,
                                            guint i)
{
    return &g_array_index(command->manifest->resources, ManifestResource, i);
}

static bool use_resources(SavedCommand *command, GError **error)
{
    g_autoptr(GArray) options =
        qemu_command_options(command->manifest->qemu_arguments);

    for (guint i = 0; i < command->manifest->resources->len; i++) {
        const ManifestResource *saved = get_resource(command, i);
        const Resource resource = {
            .saved = saved,
            .option = qemu_command_find(options, saved->argument),
            .given = find_given(command, saved->value),
        };

        if (!resource.option) {
            g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                        "the manifest is wrong: %s belongs to no option",
                        saved->value);
            return false;
        }
        if (!use_resource(command, &resource, error)) {
            return false;
        }
    }
    return true;
}

static char *list_resources(const SavedCommand *command)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < command->manifest->resources->len; i++) {
        const ManifestResource *resource = get_resource(command, i);

        g_ptr_array_add(
            names, host_resource_describe(resource->kind, resource->value));
    }
    g_ptr_array_add(names, NULL);
    return g_strjoinv(", ", (char **)names->pdata);
}

static bool names_something(const SavedCommand *command, const char *set)
{
    for (guint i = 0; i < command->manifest->resources->len; i++) {
        if (new_value(set, get_resource(command, i)->value)) {
            return true;
        }
    }
    return false;
}

static bool check_sets(const SavedCommand *command, GError **error)
{
    char *const *sets = command->options->sets;

    for (size_t i = 0; sets && sets[i]; i++) {
        if (!names_something(command, sets[i])) {
            g_autofree char *list = list_resources(command);

            g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                        "--set %s: not OLD=NEW with something that the saved "
                        "QEMU's arguments name; there is %s",
                        sets[i], list[0] ? list : "nothing");
            return false;
        }
    }
    return true;
}

/* ---- the whole ---- */

/* Whether a part of value is "fd=" or the like. */
static bool has_descriptor(const char *value)
{
    static const char *const prefixes[] = {
        "fd=", "fds=", "vhostfd=", "vhostfds=", "sock-fd="};
    bool found = strstr(value, "/dev/fdset/") != NULL;

    while (*value && !found) {
        g_autofree char *part = qemu_values_take(&value);

        for (size_t i = 0; i < G_N_ELEMENTS(prefixes); i++) {
            found = found || g_str_has_prefix(part, prefixes[i]);
        }
    }
    return found;
}

/* What a management program has handed its QEMU, nobody else has. */
static bool check_descriptors(const SavedCommand *command, GError **error)
{
    char *const *arguments = command->manifest->qemu_arguments;

    for (size_t i = 0; arguments[i]; i++) {
        if (has_descriptor(arguments[i])) {
            g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                        "the saved QEMU had a descriptor from the program that "
                        "started it (\"%s\"): load with that program, or give "
                        "QEMU's arguments after \"--\"",
                        arguments[i]);
            return false;
        }
    }
    return true;
}

/* The program that was saved, or its namesake. */
static bool find_program(SavedCommand *command, GError **error)
{
    const char *saved = command->manifest->qemu_program;
    g_autofree char *name = g_path_get_basename(saved);
    bool is_there = access(saved, X_OK) == 0;

    command->program =
        is_there ? g_strdup(saved) : g_find_program_in_path(name);
    if (!command->program) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "%s, which ran the guest, is gone, and there is no %s in "
                    "PATH: install it, or give QEMU's command line after "
                    "\"--\"",
                    saved, name);
        return false;
    }
    if (!is_there) {
        say(command, "%s is gone; %s takes its place", saved, command->program);
    }
    return true;
}

/* What said where the machine came from, or that it waits: that is preheat's
 * part now. */
static bool is_start(const QemuOption *option)
{
    static const char *const names[] = {"incoming", "loadvm", "S", NULL};

    return g_strv_contains(names, option->name);
}

/* A machine's type without a version is another one for another QEMU: the
 * last word has the one that was saved. */
static void pin_machine(GPtrArray *argv, const char *type)
{
    if (strcmp(argv->pdata[argv->len - 1], type) != 0) {
        g_ptr_array_add(argv, g_strdup("-machine"));
        g_ptr_array_add(argv, g_strdup(type));
    }
}

static void make_argv(SavedCommand *command)
{
    g_autoptr(GArray) options = qemu_command_options(command->arguments);
    GPtrArray *argv = g_ptr_array_new();
    size_t next = 0;

    g_ptr_array_add(argv, g_strdup(command->program));
    for (guint i = 0; i < options->len; i++) {
        const QemuOption *option = &g_array_index(options, QemuOption, i);

        for (; next <= option->argument; next++) {
            if (!is_start(option)) {
                g_ptr_array_add(argv, g_strdup(command->arguments[next]));
            }
        }
    }
    pin_machine(argv, command->manifest->machine_type);
    g_ptr_array_add(argv, NULL);
    command->argv = (char **)g_ptr_array_free(argv, FALSE);
}

SavedCommand *saved_command_new(const Manifest *manifest,
                                const SavedCommandOptions *options,
                                GError **error)
{
    SavedCommand *command = g_new0(SavedCommand, 1);

    command->manifest = manifest;
    command->options = options;
    command->arguments = g_strdupv(manifest->qemu_arguments);
    if (!check_sets(command, error) || !check_disks(command, error) ||
        !check_descriptors(command, error) || !find_program(command, error) ||
        !use_resources(command, error) || !add_overlays(command, error)) {
        saved_command_free(command, false);
        return NULL;
    }
    warn_of_disks(command);
    make_argv(command);
    return command;
}

char **saved_command_argv(const SavedCommand *command)
{
    return command->argv;
}

void saved_command_enter(const SavedCommand *command)
{
    const char *directory = command->manifest->qemu_directory;

    if (chdir(directory) < 0) {
        say(command,
            "warning: %s, where QEMU ran, cannot be entered (%s): relative "
            "paths in its arguments count from here",
            directory, g_strerror(errno));
    }
}

/* What the user may look for afterwards. */
static void say_what_stays(const SavedCommand *command)
{
    g_autofree char *saved = load_folder_find_saved(command->folder);

    if (saved) {
        say(command,
            "%s stays: a snapshot that was saved of this guest has its disks "
            "there",
            load_folder_path(command->folder));
    }
}

void saved_command_free(SavedCommand *command, bool was_loaded)
{
    if (!command) {
        return;
    }
    if (command->folder && was_loaded) {
        say_what_stays(command);
    } else if (command->folder) {
        load_folder_discard(command->folder);
    }
    load_folder_free(command->folder);
    g_free(command->program);
    g_strfreev(command->arguments);
    g_strfreev(command->argv);
    g_free(command);
}
