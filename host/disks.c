/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/disks.h"

#include <string.h>
#include <unistd.h>

#include "host/job.h"
#include "util/error.h"
#include "util/file.h"

/* No chain of images is longer. */
#define MAX_CHAIN 200

/* ---- looking ---- */

static void clear_disk(gpointer data)
{
    Disk *disk = data;

    g_free(disk->device);
    g_free(disk->qdev);
    g_free(disk->node);
    g_free(disk->file);
    g_free(disk->shown);
    g_free(disk->format);
    g_strfreev(disk->chain);
    g_free(disk->overlay);
    g_free(disk->overlay_node);
}

/* What QEMU calls an image that was opened otherwise than its own header says:
 * "json:" and its options.  The name of its file, for g_free(); NULL: it is
 * none. */
static char *file_in_json(const char *text)
{
    json_t *options = json_loads(text, 0, NULL);
    const char *driver = NULL;
    const char *file = NULL;

    (void)json_unpack(options, "{s:{s:s, s:s}}", "file", "driver", &driver,
                      "filename", &file);
    char *copy = g_strcmp0(driver, "file") == 0 ? g_strdup(file) : NULL;
    json_decref(options);
    return copy;
}

char *disks_absolute_path(const char *name, const char *directory)
{
    const char *colon = strchr(name, ':');
    const char *slash = strchr(name, '/');

    if (g_str_has_prefix(name, "json:")) {
        g_autofree char *file = file_in_json(name + strlen("json:"));

        return file ? g_canonicalize_filename(file, directory) : NULL;
    }
    if (g_str_has_prefix(name, "file:")) {
        name += strlen("file:");
    } else if (colon && (!slash || colon < slash)) {
        return NULL;
    }
    return name[0] ? g_canonicalize_filename(name, directory) : NULL;
}

static char **query_chain(const json_t *image, const char *directory)
{
    g_autoptr(GPtrArray) chain = g_ptr_array_new_with_free_func(g_free);

    for (size_t i = 0; image && i < MAX_CHAIN; i++) {
        const char *name =
            json_string_value(json_object_get(image, "filename"));
        char *path = name ? disks_absolute_path(name, directory) : NULL;

        if (path) {
            g_ptr_array_add(chain, path);
        }
        image = json_object_get(image, "backing-image");
    }
    g_ptr_array_add(chain, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&chain), FALSE);
}

/* "" counts as missing. */
static char *copy_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text && text[0] ? g_strdup(text) : NULL;
}

static bool add_disk(GArray *disks, const json_t *entry, const char *directory,
                     GError **error)
{
    const json_t *inserted = json_object_get(entry, "inserted");
    Disk disk = {0};

    if (!json_is_object(inserted)) {
        return true;
    }
    disk.device = copy_text(entry, "device");
    disk.qdev = copy_text(entry, "qdev");
    disk.node = copy_text(inserted, "node-name");
    disk.shown = copy_text(inserted, "file");
    disk.format = copy_text(inserted, "drv");
    disk.read_only = json_is_true(json_object_get(inserted, "ro"));
    disk.file = disk.shown ? disks_absolute_path(disk.shown, directory) : NULL;
    disk.chain = query_chain(json_object_get(inserted, "image"), directory);
    if (!disk.node || !disk.shown || !disk.format) {
        clear_disk(&disk);
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_PROTOCOL,
                    "QEMU describes a disk without its node, file and format");
        return false;
    }
    g_array_append_val(disks, disk);
    return true;
}

GArray *disks_query(Rpc *qmp, const char *directory, GError **error)
{
    g_autoptr(GArray) disks = g_array_new(FALSE, FALSE, sizeof(Disk));
    json_t *list;
    bool ok = true;

    g_array_set_clear_func(disks, clear_disk);
    if (!rpc_execute(qmp, "query-block", NULL, &list, error)) {
        return NULL;
    }
    for (size_t i = 0; ok && i < json_array_size(list); i++) {
        ok = add_disk(disks, json_array_get(list, i), directory, error);
    }
    json_decref(list);
    return ok ? g_steal_pointer(&disks) : NULL;
}

const char *disk_name(const Disk *disk)
{
    return disk->device ? disk->device : disk->qdev ? disk->qdev : disk->node;
}

bool disk_is_writable(const Disk *disk)
{
    return !disk->read_only;
}

/* ---- overlays ---- */

/* What an overlay's header can hold. */
#define MAX_BACKING_NAME_BYTES 1023

static bool check_name(const Disk *disk, GError **error)
{
    if (strlen(disk->shown) <= MAX_BACKING_NAME_BYTES) {
        return true;
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "QEMU calls the disk %s by a name of %zu bytes, which no "
                "overlay can hold (%d at most): it has grown with each save, "
                "as this QEMU was started with a relative name of the image, "
                "or with options for it.  Use --disks leave, or start the "
                "guest anew with %s",
                disk_name(disk), strlen(disk->shown), MAX_BACKING_NAME_BYTES,
                disk->file);
    return false;
}

static bool check_file(const Disk *disk, GError **error)
{
    if (disk->file) {
        return check_name(disk, error);
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "the disk %s (%s) is not a file of this host, so it cannot get "
                "an overlay; use --disks leave and keep a copy yourself",
                disk_name(disk), disk->shown);
    return false;
}

/* "261125-130241-123", as a save makes them. */
#define OVERLAY_SUFFIX "\\.[0-9]{6}-[0-9]{6}-[0-9]{3}\\.qcow2"

size_t disks_stem_len(const char *name)
{
    g_autoptr(GRegex) regex =
        g_regex_new("(" OVERLAY_SUFFIX ")+$", G_REGEX_RAW, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;
    int start = 0;

    g_assert(regex);
    return g_regex_match(regex, name, 0, &match) &&
                   g_match_info_fetch_pos(match, 0, &start, NULL)
               ? (size_t)start
               : strlen(name);
}

static json_t *overlay_action(Disk *disk, const char *tag, guint index)
{
    disk->overlay = g_strdup_printf(
        "%.*s.%s.qcow2", (int)disks_stem_len(disk->file), disk->file, tag);
    disk->overlay_node = g_strdup_printf("preheat-%s-%u", tag, index);
    return json_pack("{s:s, s:{s:s, s:s, s:s, s:s}}", "type",
                     "blockdev-snapshot-sync", "data", "node-name", disk->node,
                     "snapshot-file", disk->overlay, "snapshot-node-name",
                     disk->overlay_node, "format", "qcow2");
}

static void forget_overlay(Disk *disk)
{
    g_clear_pointer(&disk->overlay, g_free);
    g_clear_pointer(&disk->overlay_node, g_free);
    disk->is_unsure = false;
}

static void forget_overlays(GArray *disks)
{
    for (guint i = 0; i < disks->len; i++) {
        forget_overlay(&g_array_index(disks, Disk, i));
    }
}

static json_t *overlay_actions(GArray *disks, const char *tag, GError **error)
{
    json_t *actions = json_array();

    for (guint i = 0; i < disks->len; i++) {
        Disk *disk = &g_array_index(disks, Disk, i);

        if (!disk_is_writable(disk)) {
            continue;
        }
        if (!check_file(disk, error)) {
            json_decref(actions);
            return NULL;
        }
        json_array_append_new(actions, overlay_action(disk, tag, i));
    }
    return actions;
}

/* Whether who opens the overlay finds the image by the name that QEMU has for
 * it: a relative one is taken from where the overlay lies. */
static bool is_found_from_overlay(const Disk *disk)
{
    g_autofree char *folder = g_path_get_dirname(disk->overlay);
    g_autofree char *found = g_canonicalize_filename(disk->shown, folder);

    return strcmp(found, disk->file) == 0;
}

/* QEMU writes into an overlay what it calls the image itself.  Where that is
 * relative to QEMU's working directory, others may not find it.  It is changed
 * only then: QEMU calls an overlay whose header has another name than its own
 * by the names of the whole chain, and that grows with each save. */
static bool fix_backing_files(Rpc *qmp, const GArray *disks, GError **error)
{
    for (guint i = 0; i < disks->len; i++) {
        const Disk *disk = &g_array_index(disks, Disk, i);

        if (disk->overlay && !is_found_from_overlay(disk) &&
            !rpc_execute(qmp, "change-backing-file",
                         json_pack("{s:s, s:s, s:s}", "device",
                                   disk->overlay_node, "image-node-name",
                                   disk->overlay_node, "backing-file",
                                   disk->file),
                         NULL, error)) {
            return false;
        }
    }
    return true;
}

/* QEMU makes them for everybody to read, whatever the images are. */
static void hide_overlays(const GArray *disks)
{
    for (guint i = 0; i < disks->len; i++) {
        const Disk *disk = &g_array_index(disks, Disk, i);

        if (disk->overlay) {
            file_hide_like(disk->overlay, disk->file);
        }
    }
}

static void set_unsure(GArray *disks, bool is_unsure)
{
    for (guint i = 0; i < disks->len; i++) {
        Disk *disk = &g_array_index(disks, Disk, i);

        disk->is_unsure = is_unsure && disk->overlay;
    }
}

static bool execute_actions(Rpc *qmp, GArray *disks, json_t *actions,
                            GError **error)
{
    GError *local = NULL;

    if (json_array_size(actions) == 0) {
        return true;
    }
    set_unsure(disks, true);
    if (!rpc_execute(qmp, "transaction", json_pack("{s:O}", "actions", actions),
                     NULL, &local)) {
        if (g_error_matches(local, UTIL_ERROR, UTIL_ERROR_REFUSED)) {
            forget_overlays(disks);
        }
        g_propagate_error(error, local);
        return false;
    }
    set_unsure(disks, false);
    hide_overlays(disks);
    if (!fix_backing_files(qmp, disks, &local)) {
        if (g_error_matches(local, UTIL_ERROR, UTIL_ERROR_REFUSED)) {
            disks_remove_overlays(qmp, disks, NULL);
        }
        g_propagate_error(error, local);
        return false;
    }
    return true;
}

bool disks_add_overlays(Rpc *qmp, GArray *disks, const char *tag,
                        GError **error)
{
    json_t *actions = overlay_actions(disks, tag, error);

    if (!actions) {
        forget_overlays(disks);
        return false;
    }
    bool ok = execute_actions(qmp, disks, actions, error);
    if (!ok) {
        g_prefix_error(error, "QEMU cannot create overlays for the disks: ");
    }
    json_decref(actions);
    return ok;
}

/* ---- undoing them ---- */

/* Whether the guest's disk goes on in that node. */
static bool look_for_node(Rpc *qmp, const char *node, bool *ret_found,
                          GError **error)
{
    json_t *list;
    bool found = false;

    if (!rpc_execute(qmp, "query-block", NULL, &list, error)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *inserted =
            json_object_get(json_array_get(list, i), "inserted");

        found =
            found ||
            g_strcmp0(json_string_value(json_object_get(inserted, "node-name")),
                      node) == 0;
    }
    json_decref(list);
    *ret_found = found;
    return true;
}

/* Commit the overlay into the image, and go on with that.  Dismissed by
 * itself, a job would take along why it has failed. */
static bool run_commit(Rpc *qmp, const Disk *disk, GError **error)
{
    const char *id = disk->overlay_node;

    if (!rpc_execute(qmp, "block-commit",
                     json_pack("{s:s, s:s, s:s, s:b}", "job-id", id, "device",
                               disk->overlay_node, "base-node", disk->node,
                               "auto-dismiss", 0),
                     NULL, error)) {
        return false;
    }
    bool ok = job_await(qmp, id, JOB_READY, error) &&
              rpc_execute(qmp, "job-complete", json_pack("{s:s}", "id", id),
                          NULL, error) &&
              job_await(qmp, id, JOB_CONCLUDED, error);
    (void)rpc_execute(qmp, "job-dismiss", json_pack("{s:s}", "id", id), NULL,
                      NULL);
    return ok;
}

/* A job that somebody cancels ends well, too. */
static bool commit(Rpc *qmp, const Disk *disk, GError **error)
{
    bool is_left;

    if (!run_commit(qmp, disk, error) ||
        !look_for_node(qmp, disk->overlay_node, &is_left, error)) {
        return false;
    }
    if (is_left) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "the commit has ended, but the guest still uses it");
    }
    return !is_left;
}

static bool remove_overlay(Rpc *qmp, Disk *disk, GError **error)
{
    bool is_there = true;

    if (disk->is_unsure &&
        !look_for_node(qmp, disk->overlay_node, &is_there, error)) {
        g_prefix_error(error, "the disk %s may go on in its overlay %s: ",
                       disk_name(disk), disk->overlay);
        return false;
    }
    if (!is_there) {
        forget_overlay(disk);
        return true;
    }
    if (!commit(qmp, disk, error)) {
        g_prefix_error(error,
                       "the disk %s stays in its overlay %s: ", disk_name(disk),
                       disk->overlay);
        return false;
    }
    /* It is empty of all that matters; a failure leaves a needless file. */
    (void)unlink(disk->overlay);
    forget_overlay(disk);
    return true;
}

bool disks_remove_overlays(Rpc *qmp, GArray *disks, GError **error)
{
    bool ok = true;

    for (guint i = 0; i < disks->len; i++) {
        Disk *disk = &g_array_index(disks, Disk, i);

        if (disk->overlay) {
            /* Of several failures the first is told; all are tried. */
            ok = remove_overlay(qmp, disk, ok ? error : NULL) && ok;
        }
    }
    return ok;
}
