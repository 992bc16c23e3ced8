/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/libvirt-image.h"

#include <string.h>

#include "formats/error.h"

/* Before the file is complete, it begins with another magic of this length. */
#define MAGIC         "LibvirtQemudSave"
#define PARTIAL_MAGIC "LibvirtQemudPart"
#define MAGIC_BYTES   16

/* The magic, and the numbers behind it, of which 15 are spare. */
#define HEADER_BYTES 92

/* Offsets of those that count here. */
#define OFF_VERSION 16
#define OFF_DATA_BYTES                                                         \
    20 /* the XML and what belongs to it: the image's start */
#define OFF_FORMAT 28

#define KNOWN_VERSION 2

/* libvirt's formats by their numbers. */
static const char *const format_names[] = {
    "raw", "gzip", "bzip2", "xz", "lzop", "zstd", "sparse",
};
#define FORMAT_SPARSE 6

/* libvirt writes its numbers as its host has them. */
static uint32_t number_at(const uint8_t *header, size_t off_bytes)
{
    uint32_t number;

    memcpy(&number, header + off_bytes, sizeof(number));
    return number;
}

static bool fail(const ByteSource *source, FormatsError code, GError **error,
                 const char *text)
{
    g_set_error(error, FORMATS_ERROR, code, "%s: %s", source->name, text);
    return false;
}

static bool check_magic(const ByteSource *source, const uint8_t *header,
                        GError **error)
{
    if (memcmp(header, PARTIAL_MAGIC, MAGIC_BYTES) == 0) {
        return fail(source, FORMATS_ERROR_MALFORMED, error,
                    "libvirt has not finished writing this image");
    }
    return memcmp(header, MAGIC, MAGIC_BYTES) == 0 ||
           fail(source, FORMATS_ERROR_NOT_THIS, error,
                "not an image saved by libvirt");
}

static bool check_format(const ByteSource *source, uint32_t format,
                         GError **error)
{
    if (format == FORMAT_SPARSE) {
        return true;
    }
    g_set_error(
        error, FORMATS_ERROR, FORMATS_ERROR_UNSUPPORTED,
        "%s: its format is %s, and only sparse images load lazily; set "
        "save_image_format = \"sparse\" in libvirt's qemu.conf, or save "
        "with virsh save --image-format sparse",
        source->name,
        format < G_N_ELEMENTS(format_names) ? format_names[format]
                                            : "not known");
    return false;
}

bool libvirt_image_is_one(const ByteSource *source)
{
    uint8_t magic[MAGIC_BYTES];

    return source->len_bytes >= HEADER_BYTES &&
           byte_source_read_at(source, magic, sizeof(magic), 0, NULL) &&
           memcmp(magic, MAGIC, sizeof(magic)) == 0;
}

bool libvirt_image_find(const ByteSource *source, uint64_t *ret_off_bytes,
                        GError **error)
{
    uint8_t header[HEADER_BYTES];
    uint64_t off_bytes;

    if (source->len_bytes < sizeof(header)) {
        return fail(source, FORMATS_ERROR_NOT_THIS, error,
                    "not an image saved by libvirt");
    }
    if (!byte_source_read_at(source, header, sizeof(header), 0, error)) {
        g_prefix_error(error, "%s: ", source->name);
        return false;
    }
    if (!check_magic(source, header, error)) {
        return false;
    }
    if (number_at(header, OFF_VERSION) != KNOWN_VERSION) {
        return fail(source, FORMATS_ERROR_VERSION, error,
                    "libvirt has saved it in a format version that preheat "
                    "does not know");
    }
    if (!check_format(source, number_at(header, OFF_FORMAT), error)) {
        return false;
    }
    off_bytes = HEADER_BYTES + (uint64_t)number_at(header, OFF_DATA_BYTES);
    if (off_bytes >= source->len_bytes) {
        return fail(source, FORMATS_ERROR_MALFORMED, error,
                    "it ends before the image that its header describes");
    }
    *ret_off_bytes = off_bytes;
    return true;
}
