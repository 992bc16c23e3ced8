/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/snapshot-list.h"

#include <string.h>
#include <sys/stat.h>

#include "formats/byte-source.h"

void snapshot_list_free_entry(gpointer entry)
{
    ListedSnapshot *snapshot = entry;

    g_free(snapshot->name);
    g_free(snapshot->path);
    ram_image_free(snapshot->image);
    manifest_free(snapshot->manifest);
    g_free(snapshot->problem);
    g_free(snapshot);
}

/* The first problem is told. */
static void note(ListedSnapshot *snapshot, const char *problem)
{
    if (!snapshot->problem) {
        snapshot->problem = g_strdup(problem);
    }
}

/* As all that QEMU migrates does. */
static bool begins_as_one(const char *path)
{
    g_autoptr(ByteSource) source = byte_source_open(path, NULL);
    char magic[4];

    return source &&
           byte_source_read_at(source, magic, sizeof(magic), 0, NULL) &&
           memcmp(magic, "QEVM", sizeof(magic)) == 0;
}

/* Whether there is something that is one, be it a broken one. */
static bool look_at_image(ListedSnapshot *snapshot)
{
    g_autoptr(GError) error = NULL;
    struct stat st;

    if (stat(snapshot->path, &st) < 0) {
        note(snapshot, "the RAM image is missing");
        return false;
    }
    if (!begins_as_one(snapshot->path)) {
        return false;
    }
    snapshot->stored_bytes = (uint64_t)st.st_blocks * 512;
    snapshot->image = ram_image_open(snapshot->path, 0, &error);
    if (!snapshot->image) {
        note(snapshot, error->message);
    }
    return true;
}

static bool look_at_manifest(ListedSnapshot *snapshot)
{
    g_autofree char *path = manifest_path(snapshot->path);
    g_autoptr(GError) error = NULL;

    if (!g_file_test(path, G_FILE_TEST_IS_REGULAR)) {
        return false;
    }
    snapshot->manifest = manifest_load(path, &error);
    if (!snapshot->manifest) {
        note(snapshot, error->message);
    } else if (snapshot->image && strcmp(snapshot->manifest->identity,
                                         snapshot->image->identity) != 0) {
        note(snapshot, "the manifest belongs to another snapshot, or the RAM "
                       "image is damaged");
    }
    return snapshot->manifest != NULL;
}

ListedSnapshot *snapshot_list_look(const char *path)
{
    ListedSnapshot *snapshot = g_new0(ListedSnapshot, 1);

    snapshot->path = g_strdup(path);
    snapshot->name = g_path_get_basename(path);
    bool has_image = look_at_image(snapshot);
    bool has_manifest = look_at_manifest(snapshot);
    if (!has_image && !has_manifest) {
        snapshot_list_free_entry(snapshot);
        return NULL;
    }
    return snapshot;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What may be a snapshot: each file, and what a manifest is for, once. */
static GPtrArray *find_names(const char *directory, GError **error)
{
    g_autoptr(GDir) dir = g_dir_open(directory, 0, error);
    g_autoptr(GPtrArray) names = NULL;
    const char *name;

    if (!dir) {
        return NULL;
    }
    names = g_ptr_array_new_with_free_func(g_free);
    while ((name = g_dir_read_name(dir))) {
        char *known = g_strdup(name);

        if (g_str_has_suffix(known, MANIFEST_SUFFIX)) {
            known[strlen(known) - strlen(MANIFEST_SUFFIX)] = '\0';
        }
        if (known[0] == '\0' ||
            g_ptr_array_find_with_equal_func(names, known, g_str_equal, NULL)) {
            g_free(known);
        } else {
            g_ptr_array_add(names, known);
        }
    }
    g_ptr_array_sort(names, compare_names);
    return g_steal_pointer(&names);
}

GPtrArray *snapshot_list(const char *directory, GError **error)
{
    g_autoptr(GPtrArray) names = find_names(directory, error);
    GPtrArray *list;

    if (!names) {
        return NULL;
    }
    list = g_ptr_array_new_with_free_func(snapshot_list_free_entry);
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *path =
            g_build_filename(directory, names->pdata[i], NULL);
        ListedSnapshot *snapshot = snapshot_list_look(path);

        if (snapshot) {
            g_ptr_array_add(list, snapshot);
        }
    }
    return list;
}
