/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/qcow2.h"

#include <string.h>

#include "formats/error.h"
#include "formats/reader.h"

#define MAGIC            0x514649fbu /* "QFI\xfb" */
#define HEADER_LEN_BYTES 104
#define MIN_CLUSTER_BITS 9
#define MAX_CLUSTER_BITS 21
#define ENTRY_LEN_BYTES  8

/* No entry of the table of snapshots is longer: its fixed part, extra data (as
 * much as QEMU takes), ID, name, padding. */
#define MAX_ENTRY_BYTES ((uint64_t)40 + 1024 + 2 * 65535 + 7)

/* Incompatible features, by bit. */
#define FEATURE_DIRTY            0
#define FEATURE_CORRUPT          1
#define FEATURE_EXTERNAL_DATA    2
#define FEATURE_COMPRESSION_TYPE 3
#define FEATURE_EXTENDED_L2      4

#define OFFSET_MASK   UINT64_C(0x00fffffffffffe00)
#define L2_COMPRESSED (UINT64_C(1) << 62)
#define L2_READS_ZERO UINT64_C(1)

/* What the header has beside what Qcow2 keeps. */
typedef struct Header {
    uint32_t version;
    uint32_t crypt_method;
    uint64_t incompatible;
    uint32_t n_snapshots;
    uint64_t snapshots_off_bytes;
} Header;

static bool refuse(GError **error, FormatsError code, const char *text)
{
    g_set_error_literal(error, FORMATS_ERROR, (int)code, text);
    return false;
}

/* Read len_bytes at an offset, which must lie in the image, into new memory,
 * for g_free(); NULL with an error. */
static uint8_t *read_table(const ByteSource *source, const char *what,
                           uint64_t off_bytes, uint64_t len_bytes,
                           GError **error)
{
    if (off_bytes > source->len_bytes ||
        len_bytes > source->len_bytes - off_bytes) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_MALFORMED,
                    "%s at offset %" G_GUINT64_FORMAT
                    " goes beyond the end of the image",
                    what, off_bytes);
        return NULL;
    }
    g_autofree uint8_t *table = g_try_malloc(len_bytes + 1);
    if (!table) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                    "out of memory for %s", what);
        return NULL;
    }
    if (len_bytes > 0 &&
        !byte_source_read_at(source, table, len_bytes, off_bytes, error)) {
        return NULL;
    }
    return g_steal_pointer(&table);
}

/* ---- the header ---- */

static bool skip(Reader *reader, const char *what, size_t len_bytes,
                 GError **error)
{
    const uint8_t *bytes;

    return reader_bytes(reader, what, len_bytes, &bytes, error);
}

static bool check_magic(uint32_t magic, GError **error)
{
    return magic == MAGIC ||
           refuse(error, FORMATS_ERROR_NOT_THIS, "not a qcow2 image");
}

static bool read_header(Reader *reader, Qcow2 *qcow2, Header *header,
                        GError **error)
{
    uint32_t magic;

    return reader_be32(reader, "magic", &magic, error) &&
           check_magic(magic, error) &&
           reader_be32(reader, "version", &header->version, error) &&
           skip(reader, "backing file", 8 + 4, error) &&
           reader_be32(reader, "cluster size", &qcow2->cluster_bits, error) &&
           reader_be64(reader, "disk size", &qcow2->disk_len_bytes, error) &&
           reader_be32(reader, "encryption", &header->crypt_method, error) &&
           skip(reader, "tables", 4 + 8 + 8 + 4, error) &&
           reader_be32(reader, "number of snapshots", &header->n_snapshots,
                       error) &&
           reader_be64(reader, "snapshots' offset",
                       &header->snapshots_off_bytes, error) &&
           (header->version < 3 || reader_be64(reader, "incompatible features",
                                               &header->incompatible, error));
}

static bool check_features(uint64_t features, GError **error)
{
    static const struct {
        unsigned bit;
        const char *refusal; /* NULL: changes nothing for us */
    } known[] = {
        {FEATURE_DIRTY, NULL},
        {FEATURE_CORRUPT, "the image is marked corrupt; repair it with "
                          "qemu-img check -r all"},
        {FEATURE_EXTERNAL_DATA, "the image has an external data file, which "
                                "is not supported"},
        {FEATURE_COMPRESSION_TYPE, NULL},
        {FEATURE_EXTENDED_L2, "the image has subclusters (extended_l2=on), "
                              "which are not supported"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
        uint64_t mask = UINT64_C(1) << known[i].bit;

        if ((features & mask) && known[i].refusal) {
            return refuse(error, FORMATS_ERROR_UNSUPPORTED, known[i].refusal);
        }
        features &= ~mask;
    }
    return features == 0 || refuse(error, FORMATS_ERROR_UNSUPPORTED,
                                   "the image has features that are not "
                                   "known; use a newer preheat");
}

static bool check_header(const Qcow2 *qcow2, const Header *header,
                         GError **error)
{
    if (header->version < 2 || header->version > 3) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_VERSION,
                    "qcow2 version %u, which is not known", header->version);
        return false;
    }
    if (!check_features(header->incompatible, error)) {
        return false;
    }
    if (header->crypt_method != 0) {
        return refuse(error, FORMATS_ERROR_UNSUPPORTED,
                      "the image is encrypted, which is not supported");
    }
    if (qcow2->cluster_bits < MIN_CLUSTER_BITS ||
        qcow2->cluster_bits > MAX_CLUSTER_BITS) {
        return refuse(error, FORMATS_ERROR_MALFORMED,
                      "its cluster size is not valid");
    }
    if (qcow2->disk_len_bytes > INT64_MAX / 2) {
        return refuse(error, FORMATS_ERROR_MALFORMED,
                      "its disk size is not valid");
    }
    return header->n_snapshots <= QCOW2_MAX_SNAPSHOTS ||
           refuse(error, FORMATS_ERROR_TOO_LARGE, "too many snapshots");
}

/* ---- the table of snapshots ---- */

static char *take_text(const uint8_t *bytes, size_t len_bytes)
{
    g_autofree char *text = g_strndup((const char *)bytes, len_bytes);

    return g_utf8_make_valid(text, -1);
}

/* The lengths of what follows the fixed part of an entry. */
typedef struct EntryTail {
    uint32_t extra_len_bytes;
    uint16_t id_len_bytes;
    uint16_t name_len_bytes;
} EntryTail;

static bool read_be16(Reader *reader, const char *what, uint16_t *ret_value,
                      GError **error)
{
    const uint8_t *bytes;

    if (!reader_bytes(reader, what, 2, &bytes, error)) {
        return false;
    }
    *ret_value = (uint16_t)(bytes[0] << 8 | bytes[1]);
    return true;
}

static bool read_fixed(Reader *reader, Qcow2Snapshot *snapshot, EntryTail *tail,
                       GError **error)
{
    uint32_t date_s, date_ns, state_len_bytes;

    if (!reader_be64(reader, "snapshot's L1 table", &snapshot->l1_off_bytes,
                     error) ||
        !reader_be32(reader, "snapshot's L1 size", &snapshot->l1_n_entries,
                     error) ||
        !read_be16(reader, "length of snapshot's ID", &tail->id_len_bytes,
                   error) ||
        !read_be16(reader, "length of snapshot's name", &tail->name_len_bytes,
                   error) ||
        !reader_be32(reader, "snapshot's date", &date_s, error) ||
        !reader_be32(reader, "snapshot's date", &date_ns, error) ||
        !skip(reader, "snapshot's clock", 8, error) ||
        !reader_be32(reader, "snapshot's state size", &state_len_bytes,
                     error) ||
        !reader_be32(reader, "length of snapshot's extra data",
                     &tail->extra_len_bytes, error)) {
        return false;
    }
    snapshot->date_s = date_s;
    snapshot->date_ns = date_ns;
    snapshot->state_len_bytes = state_len_bytes;
    return true;
}

/* Two numbers that newer images have: the size of the state in 64 bits, and the
 * size of the disk. */
static bool read_extra(Reader *reader, uint32_t len_bytes,
                       Qcow2Snapshot *snapshot, GError **error)
{
    const uint8_t *bytes;

    if (!reader_bytes(reader, "snapshot's extra data", len_bytes, &bytes,
                      error)) {
        return false;
    }
    Reader extra = reader_make(bytes, len_bytes, 0);
    return (len_bytes < 8 || reader_be64(&extra, "state size",
                                         &snapshot->state_len_bytes, error)) &&
           (len_bytes < 16 ||
            reader_be64(&extra, "disk size", &snapshot->disk_len_bytes, error));
}

static bool read_snapshot(Reader *reader, Qcow2Snapshot *snapshot,
                          GError **error)
{
    EntryTail tail = {0};
    const uint8_t *id, *name;
    size_t begin_bytes = reader->pos_bytes;

    snapshot->entry_off_bytes = reader_off_bytes(reader);
    if (!read_fixed(reader, snapshot, &tail, error) ||
        !read_extra(reader, tail.extra_len_bytes, snapshot, error) ||
        !reader_bytes(reader, "snapshot's ID", tail.id_len_bytes, &id, error) ||
        !reader_bytes(reader, "snapshot's name", tail.name_len_bytes, &name,
                      error)) {
        return false;
    }
    snapshot->entry_len_bytes = reader->pos_bytes - begin_bytes;
    snapshot->id = take_text(id, tail.id_len_bytes);
    snapshot->name = take_text(name, tail.name_len_bytes);
    /* Entries begin at multiples of 8. */
    size_t padding = (8 - reader->pos_bytes % 8) % 8;
    return reader_left_bytes(reader) < padding ||
           skip(reader, "padding", padding, error);
}

static bool read_snapshots(Qcow2 *qcow2, const Header *header, GError **error)
{
    uint64_t off_bytes = header->snapshots_off_bytes;
    uint64_t left_bytes = qcow2->source->len_bytes > off_bytes
                              ? qcow2->source->len_bytes - off_bytes
                              : 0;

    if (header->n_snapshots == 0) {
        return true;
    }
    uint64_t max_bytes = MIN(header->n_snapshots * MAX_ENTRY_BYTES,
                             (uint64_t)QCOW2_MAX_SNAPSHOT_BYTES);
    uint64_t len_bytes = MIN(left_bytes, max_bytes);
    g_autofree uint8_t *table = read_table(
        qcow2->source, "the table of snapshots", off_bytes, len_bytes, error);
    if (!table) {
        return false;
    }
    Reader reader = reader_make(table, len_bytes, off_bytes);
    qcow2->snapshots = g_new0(Qcow2Snapshot, header->n_snapshots + 1);
    for (; qcow2->n_snapshots < header->n_snapshots; qcow2->n_snapshots++) {
        Qcow2Snapshot *snapshot = &qcow2->snapshots[qcow2->n_snapshots];

        snapshot->disk_len_bytes = qcow2->disk_len_bytes;
        if (!read_snapshot(&reader, snapshot, error)) {
            return false;
        }
    }
    return true;
}

/* ---- open and free ---- */

bool qcow2_is_one(const ByteSource *source)
{
    uint8_t bytes[4];

    return source->len_bytes >= sizeof bytes &&
           byte_source_read_at(source, bytes, sizeof bytes, 0, NULL) &&
           memcmp(bytes, "QFI\xfb", sizeof bytes) == 0;
}

static bool open_image(Qcow2 *qcow2, GError **error)
{
    uint8_t bytes[HEADER_LEN_BYTES] = {0};
    uint64_t len_bytes = MIN(qcow2->source->len_bytes, sizeof bytes);
    Header header = {0};

    if (len_bytes > 0 &&
        !byte_source_read_at(qcow2->source, bytes, len_bytes, 0, error)) {
        return false;
    }
    Reader reader = reader_make(bytes, len_bytes, 0);
    return read_header(&reader, qcow2, &header, error) &&
           check_header(qcow2, &header, error) &&
           read_snapshots(qcow2, &header, error);
}

Qcow2 *qcow2_open(ByteSource *source, GError **error)
{
    g_autoptr(Qcow2) qcow2 = g_new0(Qcow2, 1);

    qcow2->source = source;
    if (!open_image(qcow2, error)) {
        g_prefix_error(error, "%s: ", source->name);
        return NULL;
    }
    return g_steal_pointer(&qcow2);
}

void qcow2_free(Qcow2 *qcow2)
{
    if (!qcow2) {
        return;
    }
    /* One more: it may be half read. */
    for (size_t i = 0; qcow2->snapshots && i <= qcow2->n_snapshots; i++) {
        g_free(qcow2->snapshots[i].id);
        g_free(qcow2->snapshots[i].name);
    }
    g_free(qcow2->snapshots);
    g_free(qcow2);
}

/* ---- one snapshot ---- */

static void set_not_found(const Qcow2 *qcow2, const char *tag, GError **error)
{
    g_autoptr(GString) names = g_string_new(NULL);

    for (size_t i = 0; i < qcow2->n_snapshots; i++) {
        g_string_append_printf(names, "%s%s", i > 0 ? ", " : "",
                               qcow2->snapshots[i].name);
    }
    g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_UNSUPPORTED,
                "%s: no snapshot is called %s; there %s %s",
                qcow2->source->name, tag,
                qcow2->n_snapshots == 1 ? "is" : "are",
                qcow2->n_snapshots > 0 ? names->str : "none");
}

const Qcow2Snapshot *qcow2_find_snapshot(const Qcow2 *qcow2, const char *tag,
                                         GError **error)
{
    for (size_t i = 0; i < qcow2->n_snapshots; i++) {
        if (strcmp(qcow2->snapshots[i].name, tag) == 0) {
            return &qcow2->snapshots[i];
        }
    }
    for (size_t i = 0; i < qcow2->n_snapshots; i++) {
        if (strcmp(qcow2->snapshots[i].id, tag) == 0) {
            return &qcow2->snapshots[i];
        }
    }
    set_not_found(qcow2, tag, error);
    return NULL;
}

/* What walking a snapshot's tables needs. */
typedef struct Walk {
    const Qcow2 *qcow2;
    uint64_t cluster_bytes;
    uint64_t n_l2_entries; /* in one L2 table */
    uint64_t l2_bytes;     /* of all L2 tables so far */
    GArray *extents;
} Walk;

/* The image may end within its last cluster; the rest of that is zero. */
static void add_cluster(Walk *walk, uint64_t state_off_bytes,
                        uint64_t file_off_bytes)
{
    uint64_t left_bytes = walk->qcow2->source->len_bytes - file_off_bytes;
    uint64_t len_bytes = MIN(walk->cluster_bytes, left_bytes);
    GArray *extents = walk->extents;
    Qcow2Extent *last = extents->len > 0 ? &g_array_index(extents, Qcow2Extent,
                                                          extents->len - 1)
                                         : NULL;

    if (last && last->state_off_bytes + last->len_bytes == state_off_bytes &&
        last->file_off_bytes + last->len_bytes == file_off_bytes) {
        last->len_bytes += len_bytes;
        return;
    }
    const Qcow2Extent extent = {.state_off_bytes = state_off_bytes,
                                .file_off_bytes = file_off_bytes,
                                .len_bytes = len_bytes};
    g_array_append_val(extents, extent);
}

/* An entry's offset, checked to be that of a cluster in the image. */
static bool take_offset(const Walk *walk, const char *what, uint64_t entry,
                        uint64_t *ret_off_bytes, GError **error)
{
    uint64_t off_bytes = entry & OFFSET_MASK;

    if (off_bytes % walk->cluster_bytes != 0 ||
        off_bytes >= walk->qcow2->source->len_bytes) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_MALFORMED,
                    "%s is at offset %" G_GUINT64_FORMAT
                    ", which is not the start of a cluster in the image",
                    what, off_bytes);
        return false;
    }
    *ret_off_bytes = off_bytes;
    return true;
}

static bool walk_entry(Walk *walk, uint64_t entry, uint64_t state_off_bytes,
                       GError **error)
{
    uint64_t off_bytes;

    if (entry & L2_COMPRESSED) {
        return refuse(error, FORMATS_ERROR_UNSUPPORTED,
                      "the machine state is in compressed clusters, which are "
                      "not supported");
    }
    if ((entry & OFFSET_MASK) == 0 || (entry & L2_READS_ZERO)) {
        return true;
    }
    if (!take_offset(walk, "a cluster", entry, &off_bytes, error)) {
        return false;
    }
    add_cluster(walk, state_off_bytes, off_bytes);
    return walk->extents->len <= QCOW2_MAX_EXTENTS ||
           refuse(error, FORMATS_ERROR_TOO_LARGE,
                  "the machine state is in too many pieces");
}

static bool walk_l2(Walk *walk, uint64_t l1_entry, uint64_t state_off_bytes,
                    GError **error)
{
    uint64_t off_bytes;

    if ((l1_entry & OFFSET_MASK) == 0) {
        return true;
    }
    walk->l2_bytes += walk->cluster_bytes;
    if (walk->l2_bytes > QCOW2_MAX_L2_BYTES) {
        return refuse(error, FORMATS_ERROR_TOO_LARGE,
                      "the tables of the machine state are too large");
    }
    if (!take_offset(walk, "an L2 table", l1_entry, &off_bytes, error)) {
        return false;
    }
    g_autofree uint8_t *table =
        read_table(walk->qcow2->source, "an L2 table", off_bytes,
                   walk->cluster_bytes, error);
    if (!table) {
        return false;
    }
    Reader reader = reader_make(table, walk->cluster_bytes, off_bytes);
    for (uint64_t i = 0; i < walk->n_l2_entries; i++) {
        uint64_t entry;

        if (!reader_be64(&reader, "L2 entry", &entry, error) ||
            !walk_entry(walk, entry, state_off_bytes + i * walk->cluster_bytes,
                        error)) {
            return false;
        }
    }
    return true;
}

static bool walk_l1(Walk *walk, const Qcow2Snapshot *snapshot, GError **error)
{
    uint64_t l2_covers_bytes = walk->n_l2_entries * walk->cluster_bytes;
    uint64_t first = snapshot->disk_len_bytes / l2_covers_bytes +
                     (snapshot->disk_len_bytes % l2_covers_bytes != 0);
    uint64_t len_bytes = (uint64_t)snapshot->l1_n_entries * ENTRY_LEN_BYTES;

    if (len_bytes > QCOW2_MAX_L1_BYTES) {
        return refuse(error, FORMATS_ERROR_TOO_LARGE,
                      "the snapshot's L1 table is too large");
    }
    g_autofree uint8_t *table =
        read_table(walk->qcow2->source, "the snapshot's L1 table",
                   snapshot->l1_off_bytes, len_bytes, error);
    if (!table) {
        return false;
    }
    Reader reader = reader_make(table, len_bytes, snapshot->l1_off_bytes);
    for (uint64_t i = 0; i < snapshot->l1_n_entries; i++) {
        uint64_t entry;

        if (!reader_be64(&reader, "L1 entry", &entry, error) ||
            (i >= first &&
             !walk_l2(walk, entry, (i - first) * l2_covers_bytes, error))) {
            return false;
        }
    }
    return true;
}

GArray *qcow2_state_extents(const Qcow2 *qcow2, const Qcow2Snapshot *snapshot,
                            GError **error)
{
    g_autoptr(GArray) extents = g_array_new(FALSE, FALSE, sizeof(Qcow2Extent));
    uint64_t cluster_bytes = UINT64_C(1) << qcow2->cluster_bits;
    Walk walk = {.qcow2 = qcow2,
                 .cluster_bytes = cluster_bytes,
                 .n_l2_entries = cluster_bytes / ENTRY_LEN_BYTES,
                 .extents = extents};
    bool ok = walk_l1(&walk, snapshot, error);

    if (ok && extents->len == 0) {
        ok = refuse(error, FORMATS_ERROR_UNSUPPORTED,
                    "it has no machine state: only disks were saved");
    }
    if (!ok) {
        g_prefix_error(error, "%s, snapshot %s: ", qcow2->source->name,
                       snapshot->name);
        return NULL;
    }
    return g_steal_pointer(&extents);
}
