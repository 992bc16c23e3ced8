/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/qcow2-state.h"

#include <pthread.h>
#include <string.h>

#include "formats/error.h"
#include "formats/qcow2.h"
#include "util/file.h"

/* How often to look again at a table that changes while it is read. */
#define MAX_LOOKS 8

typedef struct StateSource {
    ByteSource base;

    /* Constant. */
    ByteSource *disk; /* owned */
    Qcow2 *qcow2;
    const Qcow2Snapshot *snapshot; /* qcow2's */
    GArray *extents;

    pthread_mutex_t lock; /* guards all below */
    /* What the file had when the snapshot was last found in it: which table is
     * the valid one, and the snapshot's entry there. */
    uint8_t head[QCOW2_SNAPSHOTS_LEN_BYTES];
    uint64_t entry_off_bytes;
    GBytes *entry;
    bool is_gone; /* a read has found that it no longer exists */
} StateSource;

/* ---- where the bytes lie ---- */

/* The last extent that begins at or before off_bytes, or NULL. */
static const Qcow2Extent *find_extent(const GArray *extents, uint64_t off_bytes,
                                      guint *ret_next)
{
    guint low = 0;
    guint high = extents->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;

        if (g_array_index(extents, Qcow2Extent, middle).state_off_bytes <=
            off_bytes) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_next = low;
    return low > 0 ? &g_array_index(extents, Qcow2Extent, low - 1) : NULL;
}

/* How many bytes from off_bytes on can be read in one piece, and where they are
 * in the image; 0: in a hole, which is so long. */
static uint64_t find_piece(const GArray *extents, uint64_t off_bytes,
                           uint64_t max_bytes, uint64_t *ret_file_off_bytes)
{
    guint next;
    const Qcow2Extent *extent = find_extent(extents, off_bytes, &next);

    if (extent && off_bytes - extent->state_off_bytes < extent->len_bytes) {
        uint64_t in_bytes = off_bytes - extent->state_off_bytes;

        *ret_file_off_bytes = extent->file_off_bytes + in_bytes;
        return MIN(max_bytes, extent->len_bytes - in_bytes);
    }
    *ret_file_off_bytes = 0;
    if (next == extents->len) {
        return max_bytes;
    }
    return MIN(max_bytes,
               g_array_index(extents, Qcow2Extent, next).state_off_bytes -
                   off_bytes);
}

static bool read_pieces(const StateSource *source, uint8_t *bytes,
                        size_t len_bytes, uint64_t off_bytes, GError **error)
{
    for (uint64_t done = 0; done < len_bytes;) {
        uint64_t file_off_bytes;
        uint64_t piece = find_piece(source->extents, off_bytes + done,
                                    len_bytes - done, &file_off_bytes);

        if (file_off_bytes == 0) {
            memset(&bytes[done], 0, piece);
        } else if (!byte_source_read_at(source->disk, &bytes[done], piece,
                                        file_off_bytes, error)) {
            return false;
        }
        done += piece;
    }
    return true;
}

/* ---- whether the snapshot is there ---- */

/* What the file says at this moment. */
typedef struct Look {
    ByteSource *disk; /* as long as it is now */
    uint8_t head[QCOW2_SNAPSHOTS_LEN_BYTES];
    Qcow2 *qcow2;
    const Qcow2Snapshot *snapshot; /* ours; NULL: it is not there */
    GBytes *entry;
} Look;

static void look_clear(Look *look)
{
    qcow2_free(look->qcow2);
    g_clear_pointer(&look->entry, g_bytes_unref);
    byte_source_free(look->disk);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Look, look_clear)

static bool is_same(const Qcow2Snapshot *a, const Qcow2Snapshot *b)
{
    return strcmp(a->id, b->id) == 0 && strcmp(a->name, b->name) == 0 &&
           a->date_s == b->date_s && a->date_ns == b->date_ns &&
           a->state_len_bytes == b->state_len_bytes &&
           a->disk_len_bytes == b->disk_len_bytes &&
           a->l1_off_bytes == b->l1_off_bytes &&
           a->l1_n_entries == b->l1_n_entries;
}

static const Qcow2Snapshot *find_same(const Qcow2 *qcow2,
                                      const Qcow2Snapshot *snapshot)
{
    for (size_t i = 0; i < qcow2->n_snapshots; i++) {
        if (is_same(&qcow2->snapshots[i], snapshot)) {
            return &qcow2->snapshots[i];
        }
    }
    return NULL;
}

static bool read_head(const ByteSource *disk, uint8_t *ret_head, GError **error)
{
    return byte_source_read_at(disk, ret_head, QCOW2_SNAPSHOTS_LEN_BYTES,
                               QCOW2_SNAPSHOTS_OFF_BYTES, error);
}

static bool read_entry(Look *look, GError **error)
{
    size_t len_bytes = look->snapshot->entry_len_bytes;
    g_autofree uint8_t *bytes = g_malloc(len_bytes);

    if (!byte_source_read_at(look->disk, bytes, len_bytes,
                             look->snapshot->entry_off_bytes, error)) {
        return false;
    }
    look->entry = g_bytes_new_take(g_steal_pointer(&bytes), len_bytes);
    return true;
}

/* ret_is_settled: nobody has written another table meanwhile. */
static bool take_look(const StateSource *source, Look *look,
                      bool *ret_is_settled, GError **error)
{
    uint8_t head[QCOW2_SNAPSHOTS_LEN_BYTES];

    look->disk =
        byte_source_new_fd(source->disk->fd, source->disk->name, error);
    if (!look->disk || !read_head(look->disk, look->head, error)) {
        return false;
    }
    look->qcow2 = qcow2_open(look->disk, error);
    look->snapshot =
        look->qcow2 ? find_same(look->qcow2, source->snapshot) : NULL;
    if (look->snapshot && !read_entry(look, error)) {
        return false;
    }
    if (!read_head(look->disk, head, look->qcow2 ? error : NULL)) {
        return false;
    }
    *ret_is_settled = memcmp(head, look->head, sizeof head) == 0;
    return look->qcow2 != NULL;
}

static void adopt_locked(StateSource *source, const Look *look)
{
    memcpy(source->head, look->head, sizeof source->head);
    source->entry_off_bytes = look->snapshot->entry_off_bytes;
    g_clear_pointer(&source->entry, g_bytes_unref);
    source->entry = g_bytes_ref(look->entry);
}

static bool set_gone_locked(StateSource *source, GError **error)
{
    source->is_gone = true;
    g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_CHANGED,
                "%s was deleted while it was in use", source->base.name);
    return false;
}

/* Look for the snapshot in the whole table.  look: for the caller to clear,
 * with the snapshot where it is there. */
static bool look_again_locked(StateSource *source, Look *look, GError **error)
{
    for (unsigned i = 0; i < MAX_LOOKS; i++) {
        g_autoptr(GError) local = NULL;
        bool is_settled = false;

        look_clear(look);
        *look = (Look){0};
        bool ok = take_look(source, look, &is_settled, &local);
        if (ok && is_settled && look->snapshot) {
            adopt_locked(source, look);
            return true;
        }
        if (ok && is_settled) {
            return set_gone_locked(source, error);
        }
        if (!ok && (is_settled || i + 1 == MAX_LOOKS)) {
            g_propagate_error(error, g_steal_pointer(&local));
            return false;
        }
    }
    g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_IO,
                "%s: the image's table of snapshots keeps changing",
                source->base.name);
    return false;
}

/* The head first: as long as it leads to that table, what stands in the table
 * is what is valid. */
static bool is_as_seen_locked(const StateSource *source)
{
    uint8_t head[QCOW2_SNAPSHOTS_LEN_BYTES];
    gsize len_bytes;
    const void *entry = g_bytes_get_data(source->entry, &len_bytes);
    g_autofree uint8_t *now = g_malloc(len_bytes);

    return file_read_at(source->disk->fd, head, sizeof head,
                        QCOW2_SNAPSHOTS_OFF_BYTES, NULL) &&
           memcmp(head, source->head, sizeof head) == 0 &&
           file_read_at(source->disk->fd, now, len_bytes,
                        source->entry_off_bytes, NULL) &&
           memcmp(now, entry, len_bytes) == 0;
}

static bool check_present(StateSource *source, GError **error)
{
    g_auto(Look) look = {0};

    /* Bytes in memory are nobody else's. */
    if (source->disk->fd < 0) {
        return true;
    }
    pthread_mutex_lock(&source->lock);
    bool ok = source->is_gone ? set_gone_locked(source, error)
              : is_as_seen_locked(source)
                  ? true
                  : look_again_locked(source, &look, error);
    pthread_mutex_unlock(&source->lock);
    return ok;
}

/* ---- as a source of bytes ---- */

static bool state_read_at(const ByteSource *base, void *buffer,
                          size_t len_bytes, uint64_t off_bytes, GError **error)
{
    StateSource *source = (StateSource *)base;

    return read_pieces(source, buffer, len_bytes, off_bytes, error) &&
           check_present(source, error);
}

static bool extents_equal(const GArray *a, const GArray *b)
{
    return a->len == b->len &&
           memcmp(a->data, b->data, a->len * sizeof(Qcow2Extent)) == 0;
}

/* A look at its tables, too. */
static bool check_tables(const StateSource *source, const Look *look,
                         GError **error)
{
    g_autoptr(GArray) extents =
        qcow2_state_extents(look->qcow2, look->snapshot, error);

    if (extents && !extents_equal(extents, source->extents)) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_CHANGED,
                    "%s was changed while it was in use: its tables point to "
                    "other clusters",
                    source->base.name);
        return false;
    }
    return extents != NULL;
}

/* One that was deleted since the last read is none of ours any more. */
static bool state_check_unchanged(const ByteSource *base, GError **error)
{
    StateSource *source = (StateSource *)base;
    g_auto(Look) look = {0};
    g_autoptr(GError) local = NULL;

    if (source->disk->fd < 0) {
        return true;
    }
    pthread_mutex_lock(&source->lock);
    bool was_gone = source->is_gone;
    bool ok = was_gone ? set_gone_locked(source, &local)
                       : look_again_locked(source, &look, &local);
    source->is_gone = was_gone;
    pthread_mutex_unlock(&source->lock);
    if (ok) {
        return check_tables(source, &look, error);
    }
    if (!was_gone &&
        g_error_matches(local, FORMATS_ERROR, FORMATS_ERROR_CHANGED)) {
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&local));
    return false;
}

static void state_advise_random(const ByteSource *base)
{
    byte_source_advise_random(((const StateSource *)base)->disk);
}

static void state_free(ByteSource *base)
{
    StateSource *source = (StateSource *)base;

    pthread_mutex_destroy(&source->lock);
    g_clear_pointer(&source->entry, g_bytes_unref);
    g_clear_pointer(&source->extents, g_array_unref);
    qcow2_free(source->qcow2);
    byte_source_free(source->disk);
    g_free(source);
}

static const ByteSourceOps state_ops = {
    .read_at = state_read_at,
    .check_unchanged = state_check_unchanged,
    .advise_random = state_advise_random,
    .free = state_free,
};

/* ---- open ---- */

static bool find_state(StateSource *source, const char *tag, GError **error)
{
    source->qcow2 = qcow2_open(source->disk, error);
    source->snapshot =
        source->qcow2 ? qcow2_find_snapshot(source->qcow2, tag, error) : NULL;
    source->extents =
        source->snapshot
            ? qcow2_state_extents(source->qcow2, source->snapshot, error)
            : NULL;
    return source->extents != NULL;
}

static uint64_t count_stored_bytes(const GArray *extents)
{
    uint64_t bytes = 0;

    for (guint i = 0; i < extents->len; i++) {
        bytes += g_array_index(extents, Qcow2Extent, i).len_bytes;
    }
    return bytes;
}

static void init_base(StateSource *source)
{
    const Qcow2Extent *last =
        &g_array_index(source->extents, Qcow2Extent, source->extents->len - 1);
    g_autofree char *name = g_strdup_printf(
        "%s, snapshot %s", source->disk->name, source->snapshot->name);

    byte_source_init(&source->base, &state_ops, name,
                     last->state_off_bytes + last->len_bytes);
    source->base.stored_bytes =
        MIN(count_stored_bytes(source->extents), source->disk->stored_bytes);
}

/* From here on it is known when the snapshot goes: what was found is still
 * so. */
static bool begin_to_watch(StateSource *source, GError **error)
{
    g_auto(Look) look = {0};

    if (source->disk->fd < 0) {
        return true;
    }
    pthread_mutex_lock(&source->lock);
    bool ok = look_again_locked(source, &look, error);
    pthread_mutex_unlock(&source->lock);
    return ok && check_tables(source, &look, error);
}

ByteSource *qcow2_state_open(ByteSource *disk, const char *tag, GError **error)
{
    StateSource *source = g_new0(StateSource, 1);

    pthread_mutex_init(&source->lock, NULL);
    source->disk = disk;
    if (!find_state(source, tag, error)) {
        state_free(&source->base);
        return NULL;
    }
    init_base(source);
    g_autoptr(ByteSource) base = &source->base;
    return begin_to_watch(source, error) ? g_steal_pointer(&base) : NULL;
}
