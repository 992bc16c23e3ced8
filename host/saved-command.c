/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/saved-command.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "host/qemu-command.h"
#include "host/qemu-values.h"
#include "host/saved-disks.h"
#include "host/saved-resources.h"
#include "util/error.h"

struct SavedCommand {
    SavedBuild build;
    char *program;
    char **argv;
};

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
    char *const *arguments = command->build.manifest->qemu_arguments;

    for (size_t i = 0; arguments[i]; i++) {
        if (has_descriptor(arguments[i])) {
            g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                        "the saved QEMU inherited a descriptor from the "
                        "program that started it (\"%s\"): load with that "
                        "program, or give QEMU's arguments after \"--\"",
                        arguments[i]);
            return false;
        }
    }
    return true;
}

/* The program that was saved, or its namesake. */
static bool find_program(SavedCommand *command, GError **error)
{
    const char *saved = command->build.manifest->qemu_program;
    g_autofree char *name = g_path_get_basename(saved);
    bool is_there = access(saved, X_OK) == 0;

    command->program =
        is_there ? g_strdup(saved) : g_find_program_in_path(name);
    if (!command->program) {
        g_set_error(
            error, UTIL_ERROR, UTIL_ERROR_FAILED,
            "%s, which ran the guest, does not exist any more, and there is no "
            "%s in PATH: install it, or give QEMU's command line after \"--\"",
            saved, name);
        return false;
    }
    if (!is_there) {
        saved_build_say(&command->build, "%s does not exist any more; using %s",
                        saved, command->program);
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
    g_autoptr(GArray) options = qemu_command_options(command->build.arguments);
    GPtrArray *argv = g_ptr_array_new();
    size_t next = 0;

    g_ptr_array_add(argv, g_strdup(command->program));
    for (guint i = 0; i < options->len; i++) {
        const QemuOption *option = &g_array_index(options, QemuOption, i);

        for (; next <= option->argument; next++) {
            if (!is_start(option)) {
                g_ptr_array_add(argv, g_strdup(command->build.arguments[next]));
            }
        }
    }
    pin_machine(argv, command->build.manifest->machine_type);
    g_ptr_array_add(argv, NULL);
    command->argv = (char **)g_ptr_array_free(argv, FALSE);
}

SavedCommand *saved_command_new(const Manifest *manifest,
                                const SavedCommandOptions *options,
                                GError **error)
{
    SavedCommand *command = g_new0(SavedCommand, 1);

    command->build.manifest = manifest;
    command->build.options = options;
    command->build.arguments = g_strdupv(manifest->qemu_arguments);
    if (!saved_resources_check_sets(&command->build, error) ||
        !saved_disks_check(&command->build, error) ||
        !check_descriptors(command, error) || !find_program(command, error) ||
        !saved_resources_use(&command->build, error) ||
        !saved_disks_add_overlays(&command->build, error)) {
        saved_command_free(command, false);
        return NULL;
    }
    saved_disks_warn(&command->build);
    make_argv(command);
    return command;
}

char **saved_command_argv(const SavedCommand *command)
{
    return command->argv;
}

void saved_command_enter(const SavedCommand *command)
{
    const char *directory = command->build.manifest->qemu_directory;

    if (chdir(directory) < 0) {
        saved_build_say(
            &command->build,
            "warning: cannot enter %s, where QEMU ran (%s): relative paths in "
            "its arguments are relative to the current directory",
            directory, g_strerror(errno));
    }
}

/* What the user may look for afterwards. */
static void say_what_stays(const SavedCommand *command)
{
    g_autofree char *saved = load_folder_find_saved(command->build.folder);

    if (saved) {
        saved_build_say(
            &command->build,
            "%s is kept: a snapshot of this guest has its disks there",
            load_folder_path(command->build.folder));
    }
}

void saved_command_free(SavedCommand *command, bool was_loaded)
{
    if (!command) {
        return;
    }
    if (command->build.folder && was_loaded) {
        say_what_stays(command);
    } else if (command->build.folder) {
        load_folder_discard(command->build.folder);
    }
    load_folder_free(command->build.folder);
    g_free(command->program);
    g_strfreev(command->build.arguments);
    g_strfreev(command->argv);
    g_free(command);
}
