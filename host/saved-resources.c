/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/saved-resources.h"

#include <string.h>
#include <unistd.h>

#include "host/host-resource.h"
#include "host/qemu-command.h"
#include "host/qemu-values.h"
#include "util/error.h"

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

static const char *find_given(const SavedBuild *build, const char *value)
{
    char *const *sets = build->options->sets;

    for (size_t i = 0; sets && sets[i]; i++) {
        const char *given = new_value(sets[i], value);

        if (given) {
            return given;
        }
    }
    return NULL;
}

static bool replace(SavedBuild *build, const ManifestResource *resource,
                    const char *with, GError **error)
{
    char **argument = &build->arguments[resource->argument];
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

static bool use_given(SavedBuild *build, const Resource *resource,
                      GError **error)
{
    return is_valid(resource, error) &&
           check_taken(resource, resource->given, error) &&
           replace(build, resource->saved, resource->given, error);
}

/* In this load's folder. */
static bool use_own(SavedBuild *build, const ManifestResource *resource,
                    GError **error)
{
    g_autofree char *name = g_path_get_basename(resource->value);
    g_autofree char *path = saved_build_place(build, name, error);

    if (!path || !replace(build, resource, path, error)) {
        return false;
    }
    saved_build_tell(build, manifest_resource_kind_name(resource->kind),
                     resource->value, path);
    return true;
}

/* One that somebody else serves. */
static bool use_served(const SavedBuild *build, const Resource *resource,
                       GError **error)
{
    g_autofree char *path = g_canonicalize_filename(
        resource->saved->value, build->manifest->qemu_directory);

    return access(path, F_OK) == 0 ||
           strstr(resource->option->value, "reconnect") ||
           strstr(resource->option->value, "abstract=on") ||
           refuse(resource->saved, resource->saved->value, error,
                  "does not exist, but QEMU would connect to it");
}

/* "-chardev pipe,…", or the short form "pipe:PATH". */
static bool is_pipe(const QemuOption *option)
{
    const char *value = option->value;

    if (strcmp(option->name, "chardev") != 0) {
        return g_str_has_prefix(value, "pipe:") ||
               g_str_has_prefix(value, "mon:pipe:");
    }
    g_autofree char *backend = value[0] == '{'
                                   ? qemu_values_get(value, "backend.type")
                                   : qemu_values_take(&value);
    return g_strcmp0(backend, "pipe") == 0;
}

/* A file that is neither log nor the like: whoever writes to it is not alone.
 */
static bool use_file(SavedBuild *build, const Resource *resource,
                     GError **error)
{
    const char *value = resource->saved->value;
    g_autofree char *path =
        g_canonicalize_filename(value, build->manifest->qemu_directory);
    bool is_ram = strcmp(resource->option->name, "object") == 0;

    if (is_ram) {
        return !g_file_test(path, G_FILE_TEST_IS_REGULAR) ||
               refuse(resource->saved, value, error,
                      "contains the RAM of the machine that was saved");
    }
    if (is_pipe(resource->option)) {
        return refuse(resource->saved, value, error,
                      "is a pipe, which the saved machine may still use");
    }
    return g_str_has_prefix(path, "/dev/") ||
           use_own(build, resource->saved, error);
}

static bool use_resource(SavedBuild *build, const Resource *resource,
                         GError **error)
{
    if (resource->given) {
        return use_given(build, resource, error);
    }
    switch (resource->saved->kind) {
    case MANIFEST_SOCKET:
        return host_resource_is_made(resource->option, MANIFEST_SOCKET)
                   ? use_own(build, resource->saved, error)
                   : use_served(build, resource, error);
    case MANIFEST_FILE:
        return use_file(build, resource, error);
    case MANIFEST_PID_FILE:
    case MANIFEST_LOG:
        return use_own(build, resource->saved, error);
    case MANIFEST_PORT:
    case MANIFEST_INTERFACE:
        return check_taken(resource, resource->saved->value, error);
    }
    return true;
}

static const ManifestResource *get_resource(const SavedBuild *build, guint i)
{
    return &g_array_index(build->manifest->resources, ManifestResource, i);
}

bool saved_resources_use(SavedBuild *build, GError **error)
{
    g_autoptr(GArray) options =
        qemu_command_options(build->manifest->qemu_arguments);

    for (guint i = 0; i < build->manifest->resources->len; i++) {
        const ManifestResource *saved = get_resource(build, i);
        const Resource resource = {
            .saved = saved,
            .option = qemu_command_find(options, saved->argument),
            .given = find_given(build, saved->value),
        };

        if (!resource.option) {
            g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                        "the manifest is wrong: %s belongs to no option",
                        saved->value);
            return false;
        }
        if (!use_resource(build, &resource, error)) {
            return false;
        }
    }
    return true;
}

static char *list_resources(const SavedBuild *build)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < build->manifest->resources->len; i++) {
        const ManifestResource *resource = get_resource(build, i);

        g_ptr_array_add(
            names, host_resource_describe(resource->kind, resource->value));
    }
    g_ptr_array_add(names, NULL);
    return g_strjoinv(", ", (char **)names->pdata);
}

static bool names_something(const SavedBuild *build, const char *set)
{
    for (guint i = 0; i < build->manifest->resources->len; i++) {
        if (new_value(set, get_resource(build, i)->value)) {
            return true;
        }
    }
    return false;
}

bool saved_resources_check_sets(const SavedBuild *build, GError **error)
{
    char *const *sets = build->options->sets;

    for (size_t i = 0; sets && sets[i]; i++) {
        if (!names_something(build, sets[i])) {
            g_autofree char *list = list_resources(build);

            g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                        "--set %s: must be OLD=NEW, where OLD is something "
                        "that the saved QEMU's arguments name: %s",
                        sets[i], list[0] ? list : "nothing");
            return false;
        }
    }
    return true;
}
