/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/qcow2-backing.h"

#include <string.h>

#include "formats/error.h"
#include "formats/qcow2.h"
#include "formats/reader.h"

/* Magic, version, and where the name lies. */
#define HEADER_BYTES 20

/* QEMU's own limit. */
#define MAX_NAME_BYTES 1023

static bool read_name(const ByteSource *source, uint64_t off_bytes,
                      uint32_t len_bytes, char **ret_name, GError **error)
{
    char name[MAX_NAME_BYTES + 1] = "";

    if (len_bytes > MAX_NAME_BYTES) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_MALFORMED,
                    "%s: the name of the backing file is %u bytes long",
                    source->name, len_bytes);
        return false;
    }
    if (!byte_source_read_at(source, name, len_bytes, off_bytes, error)) {
        g_prefix_error(error, "%s: ", source->name);
        return false;
    }
    *ret_name = g_strdup(name);
    return true;
}

bool qcow2_backing_read(const ByteSource *source, char **ret_name,
                        GError **error)
{
    uint8_t header[HEADER_BYTES];
    uint64_t off_bytes;
    uint32_t word;
    Reader reader = reader_make(header, sizeof(header), 0);

    if (!qcow2_is_one(source)) {
        *ret_name = NULL;
        return true;
    }
    if (!byte_source_read_at(source, header, sizeof(header), 0, error) ||
        !reader_be32(&reader, "magic", &word, error) ||
        !reader_be32(&reader, "version", &word, error) ||
        !reader_be64(&reader, "backing file offset", &off_bytes, error) ||
        !reader_be32(&reader, "backing file size", &word, error)) {
        g_prefix_error(error, "%s: ", source->name);
        return false;
    }
    if (off_bytes == 0 || word == 0) {
        *ret_name = NULL;
        return true;
    }
    return read_name(source, off_bytes, word, ret_name, error);
}
