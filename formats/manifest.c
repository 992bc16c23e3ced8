/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/manifest.h"

#include <string.h>

#include "formats/error.h"
#include "formats/file-kind.h"
#include "util/file.h"

/* A manifest beyond this is none of ours. */
#define MAX_LEN_BYTES (1 << 20)

static const char *const handling_names[] = {
    [MANIFEST_DISK_OVERLAY] = "overlay",
    [MANIFEST_DISK_LEFT] = "left",
    [MANIFEST_DISK_READ_ONLY] = "read-only",
};

static const char *const kind_names[] = {
    [MANIFEST_SOCKET] = "socket",     [MANIFEST_FILE] = "file",
    [MANIFEST_PID_FILE] = "pid-file", [MANIFEST_LOG] = "log",
    [MANIFEST_PORT] = "port",         [MANIFEST_INTERFACE] = "interface",
};

const char *manifest_disk_name(const ManifestDisk *disk)
{
    return disk->device ? disk->device : disk->qdev ? disk->qdev : disk->node;
}

const char *manifest_handling_name(ManifestHandling handling)
{
    return handling_names[handling];
}

/* The index of name in names. */
static bool find_name(const char *const *names, size_t n_names,
                      const char *name, size_t *ret_index)
{
    for (size_t i = 0; i < n_names; i++) {
        if (strcmp(name, names[i]) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

bool manifest_handling_from_name(const char *name,
                                 ManifestHandling *ret_handling)
{
    size_t i;

    if (!find_name(handling_names, G_N_ELEMENTS(handling_names), name, &i)) {
        return false;
    }
    *ret_handling = (ManifestHandling)i;
    return true;
}

bool manifest_resource_kind_from_name(const char *name,
                                      ManifestResourceKind *ret_kind)
{
    size_t i;

    if (!find_name(kind_names, G_N_ELEMENTS(kind_names), name, &i)) {
        return false;
    }
    *ret_kind = (ManifestResourceKind)i;
    return true;
}

const char *manifest_resource_kind_name(ManifestResourceKind kind)
{
    return kind_names[kind];
}

/* ---- memory ---- */

static void clear_block(gpointer data)
{
    g_free(((ManifestBlock *)data)->name);
}

static void clear_disk(gpointer data)
{
    ManifestDisk *disk = data;

    g_free(disk->node);
    g_free(disk->device);
    g_free(disk->qdev);
    g_free(disk->file);
    g_free(disk->format);
    g_free(disk->given_file);
}

void manifest_resource_clear(gpointer resource)
{
    g_free(((ManifestResource *)resource)->value);
}

static GArray *new_list(size_t entry_bytes, GDestroyNotify clear)
{
    GArray *list = g_array_new(FALSE, TRUE, (guint)entry_bytes);

    g_array_set_clear_func(list, clear);
    return list;
}

Manifest *manifest_new(void)
{
    Manifest *manifest = g_new0(Manifest, 1);

    manifest->blocks = new_list(sizeof(ManifestBlock), clear_block);
    manifest->disks = new_list(sizeof(ManifestDisk), clear_disk);
    manifest->resources =
        new_list(sizeof(ManifestResource), manifest_resource_clear);
    return manifest;
}

void manifest_free(Manifest *manifest)
{
    if (!manifest) {
        return;
    }
    g_free(manifest->created);
    g_free(manifest->identity);
    g_free(manifest->order);
    g_free(manifest->run_state);
    g_free(manifest->qemu_program);
    g_free(manifest->qemu_version);
    g_free(manifest->qemu_directory);
    g_strfreev(manifest->qemu_arguments);
    g_free(manifest->machine_type);
    g_free(manifest->accelerator);
    g_free(manifest->cpu_model);
    g_array_unref(manifest->blocks);
    g_array_unref(manifest->disks);
    g_array_unref(manifest->resources);
    g_free(manifest);
}

/* ---- files ---- */

static Manifest *load(const ByteSource *source, GError **error)
{
    g_autofree char *text = NULL;

    if (source->len_bytes == 0 || source->len_bytes > MAX_LEN_BYTES) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_NOT_THIS,
                    "not the manifest of a snapshot: it is empty or too large");
        return NULL;
    }
    text = g_malloc(source->len_bytes);
    return byte_source_read_at(source, text, source->len_bytes, 0, error)
               ? manifest_from_text(text, source->len_bytes, error)
               : NULL;
}

Manifest *manifest_load_source(const ByteSource *source, GError **error)
{
    Manifest *manifest;

    if (!file_kind_expect(source, FILE_KIND_MANIFEST, error)) {
        return NULL;
    }
    manifest = load(source, error);
    if (!manifest) {
        g_prefix_error(error, "%s: ", source->name);
    }
    return manifest;
}

Manifest *manifest_load(const char *path, GError **error)
{
    g_autoptr(ByteSource) source = byte_source_open(path, error);

    return source ? manifest_load_source(source, error) : NULL;
}

char *manifest_path(const char *image_path)
{
    return g_strconcat(image_path, MANIFEST_SUFFIX, NULL);
}

static bool check_utf8(const char *what, const char *text, GError **error)
{
    if (!text || g_utf8_validate(text, -1, NULL)) {
        return true;
    }
    g_autofree char *shown = g_filename_display_name(text);
    g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_UNSUPPORTED,
                "%s \"%s\" is not UTF-8, which a manifest requires; rename it",
                what, shown);
    return false;
}

/* What does not come from QEMU's monitor may be in any encoding. */
static bool check_texts(const Manifest *manifest, GError **error)
{
    for (size_t i = 0; manifest->qemu_arguments[i]; i++) {
        if (!check_utf8("QEMU's argument", manifest->qemu_arguments[i],
                        error)) {
            return false;
        }
    }
    for (guint i = 0; i < manifest->disks->len; i++) {
        const ManifestDisk *disk =
            &g_array_index(manifest->disks, ManifestDisk, i);

        if (!check_utf8("the disk", disk->file, error)) {
            return false;
        }
    }
    return check_utf8("the order", manifest->order, error) &&
           check_utf8("QEMU's program", manifest->qemu_program, error) &&
           check_utf8("QEMU's directory", manifest->qemu_directory, error);
}

bool manifest_save(const Manifest *manifest, const char *path, GError **error)
{
    g_autofree char *text = NULL;

    if (!check_texts(manifest, error)) {
        g_prefix_error(error, "%s: ", path);
        return false;
    }
    text = manifest_to_text(manifest);
    if (!file_replace(path, text, strlen(text), error)) {
        g_prefix_error(error, "%s: ", path);
        return false;
    }
    return true;
}
