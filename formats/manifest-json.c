/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A manifest as JSON.  Writing and reading of each kind of object stand side by
 * side.
 */
#include "formats/manifest.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "formats/error.h"
#include "formats/fields.h"

#define FORMAT_NAME    "preheat-manifest"
#define FORMAT_VERSION 1

/* A manifest beyond these is none of ours. */
#define MAX_ARGUMENTS 4096
#define MAX_BLOCKS    4096
#define MAX_DISKS     1024
#define MAX_RESOURCES 4096

/* ---- small parts ---- */

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static bool copy_string(const Fields *fields, const char *key, char **ret_copy,
                        GError **error)
{
    const char *string;

    if (!fields_string(fields, key, &string, error)) {
        return false;
    }
    *ret_copy = g_strdup(string);
    return true;
}

static bool copy_string_or_null(const Fields *fields, const char *key,
                                char **ret_copy, GError **error)
{
    const char *string;

    if (!fields_string_or_null(fields, key, &string, error)) {
        return false;
    }
    *ret_copy = g_strdup(string);
    return true;
}

/* An absolute path. */
static bool copy_path(const Fields *fields, const char *key, char **ret_copy,
                      GError **error)
{
    if (!copy_string(fields, key, ret_copy, error)) {
        return false;
    }
    return g_path_is_absolute(*ret_copy) ||
           fields_fail(fields, key, FORMATS_ERROR_MALFORMED, error,
                       "\"%s\" is not an absolute path", *ret_copy);
}

static bool refuse_choice(const Fields *fields, const char *key,
                          const char *name, GError **error)
{
    return fields_fail(fields, key, FORMATS_ERROR_MALFORMED, error,
                       "\"%s\" is not known", name);
}

/* ---- RAM blocks ---- */

static const char *const block_keys[] = {"name", "length", "page-size", NULL};

static json_t *block_to_json(const ManifestBlock *block)
{
    return json_pack("{s:s, s:I, s:I}", "name", block->name, "length",
                     (json_int_t)block->len_bytes, "page-size",
                     (json_int_t)block->page_bytes);
}

static bool read_block(const Fields *fields, GArray *list, GError **error)
{
    g_array_set_size(list, list->len + 1);
    ManifestBlock *block = &g_array_index(list, ManifestBlock, list->len - 1);

    return fields_check_keys(fields, block_keys, error) &&
           copy_string(fields, "name", &block->name, error) &&
           fields_number(fields, "length", INT64_MAX, &block->len_bytes,
                         error) &&
           fields_number(fields, "page-size", INT64_MAX, &block->page_bytes,
                         error);
}

/* ---- disks ---- */

static const char *const disk_keys[] = {
    "node",   "device",   "qdev",  "file",     "format",     "handling",
    "length", "mtime-ns", "inode", "argument", "given-file", NULL};

static json_t *disk_to_json(const ManifestDisk *disk)
{
    return json_pack(
        "{s:s, s:o, s:o, s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:o}", "node",
        disk->node, "device", text_or_null(disk->device), "qdev",
        text_or_null(disk->qdev), "file", disk->file, "format", disk->format,
        "handling", manifest_handling_name(disk->handling), "length",
        (json_int_t)disk->len_bytes, "mtime-ns", (json_int_t)disk->mtime_ns,
        "inode", (json_int_t)disk->inode, "argument",
        disk->has_argument ? json_integer((json_int_t)disk->argument)
                           : json_null(),
        "given-file", text_or_null(disk->given_file));
}

/* Both or neither. */
static bool read_origin(const Fields *fields, ManifestDisk *disk,
                        GError **error)
{
    uint64_t argument;

    if (!copy_string_or_null(fields, "given-file", &disk->given_file, error)) {
        return false;
    }
    if (!disk->given_file && fields_is_null(fields, "argument")) {
        return true;
    }
    if (!disk->given_file ||
        !fields_number(fields, "argument", MAX_ARGUMENTS, &argument, error)) {
        return disk->given_file
                   ? false
                   : fields_fail(fields, "given-file", FORMATS_ERROR_MALFORMED,
                                 error, "missing beside argument");
    }
    disk->has_argument = true;
    disk->argument = (size_t)argument;
    return true;
}

static bool read_handling(const Fields *fields, ManifestHandling *ret_handling,
                          GError **error)
{
    const char *name;

    return fields_string(fields, "handling", &name, error) &&
           (manifest_handling_from_name(name, ret_handling) ||
            refuse_choice(fields, "handling", name, error));
}

static bool read_disk(const Fields *fields, GArray *list, GError **error)
{
    g_array_set_size(list, list->len + 1);
    ManifestDisk *disk = &g_array_index(list, ManifestDisk, list->len - 1);

    return fields_check_keys(fields, disk_keys, error) &&
           copy_string(fields, "node", &disk->node, error) &&
           copy_string_or_null(fields, "device", &disk->device, error) &&
           copy_string_or_null(fields, "qdev", &disk->qdev, error) &&
           copy_path(fields, "file", &disk->file, error) &&
           copy_string(fields, "format", &disk->format, error) &&
           read_handling(fields, &disk->handling, error) &&
           fields_number(fields, "length", INT64_MAX, &disk->len_bytes,
                         error) &&
           fields_number(fields, "mtime-ns", INT64_MAX, &disk->mtime_ns,
                         error) &&
           fields_number(fields, "inode", INT64_MAX, &disk->inode, error) &&
           read_origin(fields, disk, error);
}

/* ---- resources of the host ---- */

static const char *const resource_keys[] = {"argument", "kind", "value", NULL};

static json_t *resource_to_json(const ManifestResource *resource)
{
    return json_pack(
        "{s:I, s:s, s:s}", "argument", (json_int_t)resource->argument, "kind",
        manifest_resource_kind_name(resource->kind), "value", resource->value);
}

static bool read_kind(const Fields *fields, ManifestResourceKind *ret_kind,
                      GError **error)
{
    const char *name;

    return fields_string(fields, "kind", &name, error) &&
           (manifest_resource_kind_from_name(name, ret_kind) ||
            refuse_choice(fields, "kind", name, error));
}

static bool read_resource(const Fields *fields, GArray *list, GError **error)
{
    uint64_t argument;

    g_array_set_size(list, list->len + 1);
    ManifestResource *resource =
        &g_array_index(list, ManifestResource, list->len - 1);
    if (!fields_check_keys(fields, resource_keys, error) ||
        !fields_number(fields, "argument", MAX_ARGUMENTS, &argument, error) ||
        !read_kind(fields, &resource->kind, error)) {
        return false;
    }
    resource->argument = (size_t)argument;
    return copy_string(fields, "value", &resource->value, error);
}

/* ---- QEMU and the machine ---- */

static const char *const qemu_keys[] = {"program", "version", "directory",
                                        "arguments", NULL};
static const char *const machine_keys[] = {"type", "accelerator", "cpu-model",
                                           "cpus", NULL};

static json_t *qemu_to_json(const Manifest *manifest)
{
    json_t *arguments = json_array();

    for (size_t i = 0; manifest->qemu_arguments[i]; i++) {
        json_array_append_new(arguments,
                              json_string(manifest->qemu_arguments[i]));
    }
    return json_pack("{s:s, s:s, s:s, s:o}", "program", manifest->qemu_program,
                     "version", manifest->qemu_version, "directory",
                     manifest->qemu_directory, "arguments", arguments);
}

static bool read_arguments(const Fields *qemu, Manifest *manifest,
                           GError **error)
{
    g_autoptr(GPtrArray) arguments = g_ptr_array_new_with_free_func(g_free);
    const json_t *list;

    if (!fields_list(qemu, "arguments", MAX_ARGUMENTS, &list, error)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));

        if (!text) {
            return fields_fail(qemu, "arguments", FORMATS_ERROR_MALFORMED,
                               error, "entry %zu is not a string", i);
        }
        g_ptr_array_add(arguments, g_strdup(text));
    }
    g_ptr_array_add(arguments, NULL);
    manifest->qemu_arguments =
        (char **)g_ptr_array_free(g_steal_pointer(&arguments), FALSE);
    return true;
}

static bool read_qemu(const Fields *document, Manifest *manifest,
                      GError **error)
{
    Fields qemu;

    return fields_object(document, "qemu", &qemu, error) &&
           fields_check_keys(&qemu, qemu_keys, error) &&
           copy_path(&qemu, "program", &manifest->qemu_program, error) &&
           copy_string(&qemu, "version", &manifest->qemu_version, error) &&
           copy_path(&qemu, "directory", &manifest->qemu_directory, error) &&
           read_arguments(&qemu, manifest, error);
}

static json_t *machine_to_json(const Manifest *manifest)
{
    return json_pack("{s:s, s:s, s:s, s:I}", "type", manifest->machine_type,
                     "accelerator", manifest->accelerator, "cpu-model",
                     manifest->cpu_model, "cpus", (json_int_t)manifest->n_cpus);
}

static bool read_machine(const Fields *document, Manifest *manifest,
                         GError **error)
{
    Fields machine;

    return fields_object(document, "machine", &machine, error) &&
           fields_check_keys(&machine, machine_keys, error) &&
           copy_string(&machine, "type", &manifest->machine_type, error) &&
           copy_string(&machine, "accelerator", &manifest->accelerator,
                       error) &&
           copy_string(&machine, "cpu-model", &manifest->cpu_model, error) &&
           fields_number(&machine, "cpus", UINT32_MAX, &manifest->n_cpus,
                         error);
}

/* ---- the document ---- */

static const char *const document_keys[] = {
    "format",     "version",   "created",        "identity",
    "order",      "run-state", "qemu",           "machine",
    "ram-blocks", "disks",     "host-resources", NULL};

char *manifest_to_text(const Manifest *manifest)
{
    json_t *blocks = json_array();
    json_t *disks = json_array();
    json_t *resources = json_array();

    for (guint i = 0; i < manifest->blocks->len; i++) {
        json_array_append_new(blocks, block_to_json(&g_array_index(
                                          manifest->blocks, ManifestBlock, i)));
    }
    for (guint i = 0; i < manifest->disks->len; i++) {
        json_array_append_new(disks, disk_to_json(&g_array_index(
                                         manifest->disks, ManifestDisk, i)));
    }
    for (guint i = 0; i < manifest->resources->len; i++) {
        json_array_append_new(
            resources, resource_to_json(&g_array_index(manifest->resources,
                                                       ManifestResource, i)));
    }
    json_t *document = json_pack(
        "{s:s, s:i, s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o}", "format",
        FORMAT_NAME, "version", FORMAT_VERSION, "created", manifest->created,
        "identity", manifest->identity, "order", text_or_null(manifest->order),
        "run-state", manifest->run_state, "qemu", qemu_to_json(manifest),
        "machine", machine_to_json(manifest), "ram-blocks", blocks, "disks",
        disks, "host-resources", resources);
    g_assert(document);
    char *dump = json_dumps(document, JSON_INDENT(2));
    char *text = g_strconcat(dump, "\n", NULL);
    free(dump);
    json_decref(document);
    return text;
}

static bool check_format(const Fields *document, GError **error)
{
    const char *format =
        json_string_value(json_object_get(document->object, "format"));
    uint64_t version;

    if (g_strcmp0(format, FORMAT_NAME) != 0) {
        return fields_fail(document, NULL, FORMATS_ERROR_NOT_THIS, error,
                           "not the manifest of a snapshot");
    }
    if (!fields_number(document, "version", INT32_MAX, &version, error)) {
        return false;
    }
    return version == FORMAT_VERSION ||
           fields_fail(document, "version", FORMATS_ERROR_VERSION, error,
                       "%" G_GUINT64_FORMAT " is not known, only %d; use a "
                       "newer preheat",
                       version, FORMAT_VERSION);
}

/* A name beside the manifest, which leads nowhere else. */
static bool check_order(const Fields *document, const char *order,
                        GError **error)
{
    return !order ||
           (order[0] != '\0' && !strchr(order, '/') &&
            strcmp(order, ".") != 0 && strcmp(order, "..") != 0) ||
           fields_fail(document, "order", FORMATS_ERROR_MALFORMED, error,
                       "\"%s\" is not the name of a file beside it", order);
}

typedef bool ReadEntry(const Fields *fields, GArray *list, GError **error);

static bool read_list(const Fields *document, const char *key, size_t max,
                      ReadEntry *read_entry, GArray *to, GError **error)
{
    const json_t *list;

    if (!fields_list(document, key, max, &list, error)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        Fields entry;

        if (!fields_entry(list, key, i, &entry, error) ||
            !read_entry(&entry, to, error)) {
            return false;
        }
    }
    return true;
}

/* Whether indices of arguments are such. */
static bool check_arguments(const Fields *document, const Manifest *manifest,
                            GError **error)
{
    guint n_arguments = g_strv_length(manifest->qemu_arguments);

    for (guint i = 0; i < manifest->disks->len; i++) {
        const ManifestDisk *disk =
            &g_array_index(manifest->disks, ManifestDisk, i);

        if (disk->has_argument && disk->argument >= n_arguments) {
            return fields_fail(document, "disks", FORMATS_ERROR_MALFORMED,
                               error, "entry %u belongs to argument %zu of %u",
                               i, disk->argument, n_arguments);
        }
    }
    for (guint i = 0; i < manifest->resources->len; i++) {
        const ManifestResource *resource =
            &g_array_index(manifest->resources, ManifestResource, i);

        if (resource->argument >= n_arguments) {
            return fields_fail(document, "host-resources",
                               FORMATS_ERROR_MALFORMED, error,
                               "entry %u belongs to argument %zu of %u", i,
                               resource->argument, n_arguments);
        }
    }
    return true;
}

static bool read_document(const Fields *document, Manifest *manifest,
                          GError **error)
{
    return check_format(document, error) &&
           fields_check_keys(document, document_keys, error) &&
           copy_string(document, "created", &manifest->created, error) &&
           copy_string(document, "identity", &manifest->identity, error) &&
           copy_string_or_null(document, "order", &manifest->order, error) &&
           check_order(document, manifest->order, error) &&
           copy_string(document, "run-state", &manifest->run_state, error) &&
           read_qemu(document, manifest, error) &&
           read_machine(document, manifest, error) &&
           read_list(document, "ram-blocks", MAX_BLOCKS, read_block,
                     manifest->blocks, error) &&
           read_list(document, "disks", MAX_DISKS, read_disk, manifest->disks,
                     error) &&
           read_list(document, "host-resources", MAX_RESOURCES, read_resource,
                     manifest->resources, error) &&
           check_arguments(document, manifest, error);
}

Manifest *manifest_from_text(const char *text, size_t len_bytes, GError **error)
{
    g_autoptr(Manifest) manifest = manifest_new();
    json_error_t syntax;
    json_t *root = json_loadb(text, len_bytes, JSON_REJECT_DUPLICATES, &syntax);
    const Fields document = {.object = root};
    bool ok = json_is_object(root);

    if (!ok) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_NOT_THIS,
                    "not the manifest of a snapshot: %s",
                    root ? "not an object" : syntax.text);
    } else {
        ok = read_document(&document, manifest, error);
    }
    json_decref(root);
    return ok ? g_steal_pointer(&manifest) : NULL;
}
