/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sources of the magic numbers: QEMU, docs/interop/qcow2.rst and
 * migration/qemu-file.h; elf(5); UEFI, "GPT Header"; for our own formats, and
 * libvirt's, their readers.
 */
#include "formats/file-kind.h"

#include <string.h>

#include "formats/error.h"
#include "formats/libvirt-image.h"

/* All that a kind is told by lies here: two sectors. */
#define HEAD_BYTES   1024
#define SECTOR_BYTES 512

typedef struct Magic {
    size_t off_bytes;
    size_t len_bytes;
    const char *bytes;
    FileKind kind;
} Magic;

static const Magic magics[] = {
    {0, 4, "QEVM", FILE_KIND_SNAPSHOT},
    {0, 8, "\x89PHO\r\n\x1a\n", FILE_KIND_ORDER},
    {0, 8, "\x89PHK\r\n\x1a\n", FILE_KIND_PACK},
    {0, 4, "QFI\xfb", FILE_KIND_QCOW2},
    {0, 4,
     "\x7f"
     "ELF",
     FILE_KIND_ELF},
    {SECTOR_BYTES, 8, "EFI PART", FILE_KIND_DISK},
    {SECTOR_BYTES - 2, 2, "\x55\xaa", FILE_KIND_DISK},
};

static const struct {
    const char *text;
    FileKind kind;
} json_formats[] = {
    {"\"preheat-page-order\"", FILE_KIND_ORDER_JSON},
    {"\"preheat-manifest\"", FILE_KIND_MANIFEST},
};

/* With an article. */
static const char *const names[] = {
    [FILE_KIND_EMPTY] = "an empty file",
    [FILE_KIND_SNAPSHOT] = "a snapshot",
    [FILE_KIND_ORDER] = "a page-access order",
    [FILE_KIND_ORDER_JSON] = "a page-access order as JSON",
    [FILE_KIND_MANIFEST] = "a snapshot's manifest",
    [FILE_KIND_PACK] = "an order's pack",
    [FILE_KIND_QCOW2] = "a qcow2 disk image",
    [FILE_KIND_DISK] = "a raw disk image",
    [FILE_KIND_ELF] = "a program or a kernel",
};

/* What to do with one that is not what was wanted; NULL: nothing comes to
 * mind. */
static const char *const advice[N_FILE_KINDS][N_FILE_KINDS] = {
    [FILE_KIND_SNAPSHOT] =
        {
            [FILE_KIND_EMPTY] = "the save is not complete, or was interrupted",
            [FILE_KIND_ORDER] = "give it to --order",
            [FILE_KIND_ORDER_JSON] = "convert it with preheat order import, "
                                     "and give the result to --order",
            [FILE_KIND_MANIFEST] =
                "give the snapshot beside it, without \".json\"",
            [FILE_KIND_QCOW2] = "name the snapshot in it with --tag (qemu-img "
                                "snapshot -l lists them)",
            [FILE_KIND_DISK] =
                "a disk belongs in QEMU's own arguments (-drive), after \"--\"",
            [FILE_KIND_ELF] = "QEMU and its arguments belong after \"--\"",
        },
    [FILE_KIND_ORDER] =
        {
            [FILE_KIND_EMPTY] = "--learn creates a missing one",
            [FILE_KIND_SNAPSHOT] =
                "record its order with loadvm --record or savevm --profile",
            [FILE_KIND_ORDER_JSON] = "convert it with preheat order import",
            [FILE_KIND_MANIFEST] = "the order is the file that it names",
            [FILE_KIND_PACK] = "give the order; its pack is found beside it",
        },
    [FILE_KIND_ORDER_JSON] =
        {
            [FILE_KIND_ORDER] = "it needs no import",
        },
    [FILE_KIND_QCOW2] =
        {
            [FILE_KIND_SNAPSHOT] = "load it without --tag",
            [FILE_KIND_DISK] = "only a qcow2 file contains snapshots",
        },
    [FILE_KIND_MANIFEST] =
        {
            [FILE_KIND_EMPTY] = "save the guest again",
            [FILE_KIND_SNAPSHOT] = "preheat snapshot info shows what is in it",
        },
};

static bool has_magic(const Magic *magic, const uint8_t *head, size_t len_bytes)
{
    return magic->off_bytes + magic->len_bytes <= len_bytes &&
           memcmp(head + magic->off_bytes, magic->bytes, magic->len_bytes) == 0;
}

/* Its "format" comes first in what we write. */
static FileKind kind_of_json(const uint8_t *head, size_t len_bytes)
{
    g_autofree char *text = g_strndup((const char *)head, len_bytes);

    for (size_t i = 0; i < G_N_ELEMENTS(json_formats); i++) {
        if (strstr(text, json_formats[i].text)) {
            return json_formats[i].kind;
        }
    }
    return FILE_KIND_UNKNOWN;
}

FileKind file_kind_of(const ByteSource *source)
{
    uint8_t head[HEAD_BYTES];
    size_t len_bytes;

    if (source->len_bytes == 0) {
        return FILE_KIND_EMPTY;
    }
    if (!byte_source_read_some(source, head, sizeof(head), 0, &len_bytes,
                               NULL)) {
        return FILE_KIND_UNKNOWN;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(magics); i++) {
        if (has_magic(&magics[i], head, len_bytes)) {
            return magics[i].kind;
        }
    }
    if (libvirt_image_is_one(source)) {
        return FILE_KIND_SNAPSHOT;
    }
    return head[0] == '{' ? kind_of_json(head, len_bytes) : FILE_KIND_UNKNOWN;
}

bool file_kind_expect(const ByteSource *source, FileKind wanted, GError **error)
{
    FileKind is = file_kind_of(source);
    const char *then = advice[wanted][is];

    if (is == wanted || is == FILE_KIND_UNKNOWN) {
        return true;
    }
    g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_NOT_THIS,
                "%s: this is %s, not %s%s%s", source->name, names[is],
                names[wanted], then ? "; " : "", then ? then : "");
    return false;
}

bool file_kind_check_replaceable(const char *path, FileKind wanted,
                                 GError **error)
{
    g_autoptr(ByteSource) source = byte_source_open(path, NULL);
    FileKind is = source ? file_kind_of(source) : FILE_KIND_UNKNOWN;

    if (is == wanted || is == FILE_KIND_UNKNOWN || is == FILE_KIND_EMPTY) {
        return true;
    }
    g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_NOT_THIS,
                "%s: this is %s, which would be lost; choose another name, or "
                "remove it first",
                path, names[is]);
    return false;
}

bool file_kind_check_beside(const char *path, FileKind wanted, GError **error)
{
    g_autoptr(ByteSource) source = byte_source_open(path, NULL);
    FileKind is = source ? file_kind_of(source) : FILE_KIND_UNKNOWN;

    if (is == wanted || is == FILE_KIND_EMPTY ||
        (!source && !g_file_test(path, G_FILE_TEST_EXISTS))) {
        return true;
    }
    g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_NOT_THIS,
                "%s: this is not %s, and would be replaced by one; choose "
                "another name, or move it away first",
                path, names[wanted]);
    return false;
}
