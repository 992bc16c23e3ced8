/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What QEMU writes: migration/savevm.c (file header, configuration, section
 * start), migration/ram.c (blocks).  Numbers are big-endian.
 */
#include "formats/ram-image-headers.h"

#include <string.h>

#define STREAM_MAGIC          0x5145564d /* "QEVM" */
#define STREAM_VERSION        3
#define SECTION_SUBSECTION    0x05
#define SECTION_CONFIGURATION 0x07
#define RAM_SECTION_VERSION   4
#define RAM_FLAG_MEM_SIZE     UINT64_C(0x04)
#define RAM_FLAGS_MASK        UINT64_C(0xff) /* below any target page */
#define MAPPED_RAM_VERSION    1
#define PAGES_ALIGNMENT       (UINT64_C(1) << 20)
#define MAX_CAPABILITIES      128
#define UUID_BYTES            16
#define MIN_PAGE_BYTES        UINT64_C(256) /* of the avr target */
#define MAX_PAGE_BYTES        (UINT64_C(1) << 30)

typedef struct Configuration {
    bool has_mapped_ram;
    bool has_ignore_shared;
} Configuration;

static bool read_file_header(Reader *reader, GError **error)
{
    const uint64_t off_bytes = reader_off_bytes(reader);
    uint32_t magic;
    uint32_t version;

    if (!reader_be32(reader, "the magic number", &magic, error)) {
        return false;
    }
    if (magic != STREAM_MAGIC) {
        return reader_fail_at(
            off_bytes, error, FORMATS_ERROR_NOT_THIS,
            "no QEMU migration stream begins here (0x%08x instead of 0x%08x); "
            "if the image begins later in the file, give its offset",
            magic, STREAM_MAGIC);
    }
    if (!reader_be32(reader, "the stream version", &version, error)) {
        return false;
    }
    if (version != STREAM_VERSION) {
        return reader_fail_at(off_bytes + 4, error, FORMATS_ERROR_VERSION,
                              "migration stream version %u, only version %d "
                              "is known",
                              version, STREAM_VERSION);
    }
    return true;
}

static bool read_capabilities(Reader *reader, Configuration *config,
                              GError **error)
{
    const uint64_t off_bytes = reader_off_bytes(reader);
    uint32_t n_capabilities;

    if (!reader_be32(reader, "the number of capabilities", &n_capabilities,
                     error)) {
        return false;
    }
    if (n_capabilities > MAX_CAPABILITIES) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_TOO_LARGE,
                              "%u capabilities, at most %d are accepted",
                              n_capabilities, MAX_CAPABILITIES);
    }
    for (uint32_t i = 0; i < n_capabilities; i++) {
        g_autofree char *name = NULL;
        if (!reader_counted_name(reader, "a capability's name", &name, error)) {
            return false;
        }
        config->has_mapped_ram |= strcmp(name, "mapped-ram") == 0;
        config->has_ignore_shared |= strcmp(name, "x-ignore-shared") == 0;
    }
    return true;
}

static bool skip_target_page_bits(Reader *reader, Configuration *config,
                                  GError **error)
{
    uint32_t target_page_bits;

    return reader_be32(reader, "the target page bits", &target_page_bits,
                       error);
}

static bool skip_uuid(Reader *reader, Configuration *config, GError **error)
{
    const uint8_t *uuid;

    return reader_bytes(reader, "the machine's UUID", UUID_BYTES, &uuid, error);
}

typedef struct Subsection {
    const char *name;
    bool (*read)(Reader *reader, Configuration *config, GError **error);
} Subsection;

static const Subsection subsections[] = {
    {"configuration/target-page-bits", skip_target_page_bits},
    {"configuration/capabilities", read_capabilities},
    {"configuration/uuid", skip_uuid},
};

/* The index in subsections[], or its length. */
static size_t find_subsection(const char *name)
{
    size_t i = 0;

    while (i < G_N_ELEMENTS(subsections) &&
           strcmp(subsections[i].name, name) != 0) {
        i++;
    }
    return i;
}

/* One subsection; seen has a bit for each that was there before. */
static bool read_subsection(Reader *reader, Configuration *config,
                            unsigned *seen, GError **error)
{
    const uint64_t off_bytes = reader_off_bytes(reader);
    g_autofree char *name = NULL;
    uint32_t version;

    if (!reader_counted_name(reader, "a subsection's name", &name, error) ||
        !reader_be32(reader, "a subsection's version", &version, error)) {
        return false;
    }
    size_t i = find_subsection(name);
    if (i == G_N_ELEMENTS(subsections) || version != 1) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_UNSUPPORTED,
                              "subsection \"%s\" version %u is not known", name,
                              version);
    }
    if (*seen & 1u << i) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_MALFORMED,
                              "subsection \"%s\" occurs twice", name);
    }
    *seen |= 1u << i;
    return subsections[i].read(reader, config, error);
}

/* Reads on after the machine's name, up to the byte that begins the next
 * section. */
static bool read_subsections(Reader *reader, Configuration *config,
                             GError **error)
{
    unsigned seen = 0;
    uint8_t type;

    while (reader_u8(reader, "a section type", &type, error)) {
        if (type != SECTION_SUBSECTION) {
            reader->pos_bytes--;
            return true;
        }
        if (!read_subsection(reader, config, &seen, error)) {
            return false;
        }
    }
    return false;
}

static bool check_configuration(const Configuration *config, uint64_t off_bytes,
                                GError **error)
{
    if (!config->has_mapped_ram) {
        return reader_fail_at(
            off_bytes, error, FORMATS_ERROR_UNSUPPORTED,
            "saved without the mapped-ram capability; load it with QEMU, "
            "and save it again with \"preheat savevm\" (or QMP "
            "migrate-set-capabilities mapped-ram)");
    }
    if (config->has_ignore_shared) {
        return reader_fail_at(
            off_bytes, error, FORMATS_ERROR_UNSUPPORTED,
            "saved with the x-ignore-shared capability, so shared RAM is not "
            "in the file; save it again without");
    }
    return true;
}

static bool read_configuration(Reader *reader, char **ret_machine,
                               GError **error)
{
    const uint64_t off_bytes = reader_off_bytes(reader);
    g_autofree char *machine = NULL;
    Configuration config = {0};
    uint8_t type;
    uint32_t len_bytes;

    if (!reader_u8(reader, "a section type", &type, error)) {
        return false;
    }
    if (type != SECTION_CONFIGURATION) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_MALFORMED,
                              "section type 0x%02x where the configuration "
                              "should begin (0x%02x)",
                              type, SECTION_CONFIGURATION);
    }
    if (!reader_be32(reader, "the length of the machine's name", &len_bytes,
                     error) ||
        !reader_name(reader, "the machine's name", len_bytes, &machine,
                     error) ||
        !read_subsections(reader, &config, error) ||
        !check_configuration(&config, off_bytes, error)) {
        return false;
    }
    *ret_machine = g_steal_pointer(&machine);
    return true;
}

bool ram_image_read_section_header(Reader *reader, RamImageSection *ret_section,
                                   GError **error)
{
    RamImageSection section = {0};

    if (!reader_u8(reader, "a section type", &section.type, error) ||
        !reader_be32(reader, "the section's ID", &section.id, error) ||
        !reader_counted_name(reader, "the section's name", &section.name,
                             error)) {
        return false;
    }
    if (!reader_be32(reader, "the section's instance", &section.instance,
                     error) ||
        !reader_be32(reader, "the section's version", &section.version,
                     error)) {
        g_free(section.name);
        return false;
    }
    *ret_section = section;
    return true;
}

/* Type, section ID, "ram", instance 0, version. */
static bool read_ram_section_header(Reader *reader, GError **error)
{
    const uint64_t off_bytes = reader_off_bytes(reader);
    RamImageSection section;

    if (!ram_image_read_section_header(reader, &section, error)) {
        return false;
    }
    g_autofree char *name = section.name;
    if (section.type != RAM_IMAGE_SECTION_START || strcmp(name, "ram") != 0 ||
        section.instance != 0) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_MALFORMED,
                              "section \"%s\" instance %u where \"ram\" "
                              "instance 0 should begin",
                              name, section.instance);
    }
    if (section.version != RAM_SECTION_VERSION) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_VERSION,
                              "RAM section version %u, only version %d is "
                              "known",
                              section.version, RAM_SECTION_VERSION);
    }
    return true;
}

static bool read_ram_length(Reader *reader, uint64_t *ret_ram_bytes,
                            GError **error)
{
    const uint64_t off_bytes = reader_off_bytes(reader);
    uint64_t value;

    if (!reader_be64(reader, "the length of RAM", &value, error)) {
        return false;
    }
    if ((value & RAM_FLAGS_MASK) != RAM_FLAG_MEM_SIZE) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_MALFORMED,
                              "flags 0x%x where the length of RAM should "
                              "stand (0x%x)",
                              (unsigned)(value & RAM_FLAGS_MASK),
                              (unsigned)RAM_FLAG_MEM_SIZE);
    }
    if (value == RAM_FLAG_MEM_SIZE) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_MALFORMED,
                              "it contains no RAM");
    }
    *ret_ram_bytes = value - RAM_FLAG_MEM_SIZE;
    return true;
}

bool ram_image_read_configuration(Reader *reader, char **ret_machine,
                                  GError **error)
{
    return read_file_header(reader, error) &&
           read_configuration(reader, ret_machine, error);
}

bool ram_image_read_ram_start(Reader *reader, uint64_t *ret_ram_bytes,
                              GError **error)
{
    return read_ram_section_header(reader, error) &&
           read_ram_length(reader, ret_ram_bytes, error);
}

static bool check_lengths(const RamImageBlock *block, uint64_t off_bytes,
                          GError **error)
{
    const uint64_t page_bytes = block->page_bytes;

    if (page_bytes == 0 || (page_bytes & (page_bytes - 1)) != 0) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_MALFORMED,
                              "block \"%s\": page size %" G_GUINT64_FORMAT
                              " is not a power of two",
                              block->name, page_bytes);
    }
    if (page_bytes < MIN_PAGE_BYTES || page_bytes > MAX_PAGE_BYTES) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_UNSUPPORTED,
                              "block \"%s\": pages of %" G_GUINT64_FORMAT
                              " bytes; pages of 256 bytes to 1 GiB are "
                              "supported",
                              block->name, page_bytes);
    }
    if (block->len_bytes == 0 || block->len_bytes % page_bytes != 0) {
        return reader_fail_at(
            off_bytes, error, FORMATS_ERROR_MALFORMED,
            "block \"%s\": length %" G_GUINT64_FORMAT
            " is not a multiple of its page size %" G_GUINT64_FORMAT,
            block->name, block->len_bytes, page_bytes);
    }
    return true;
}

/* In the file follow one another: this header and, without a gap, the
 * bitmap; aligned, the pages and, without a gap, the next header. */
static bool check_areas(const RamImageBlock *block, uint64_t off_bytes,
                        uint64_t header_end_bytes, uint64_t file_len_bytes,
                        GError **error)
{
    uint64_t bitmap_end_bytes;
    uint64_t pages_end_bytes;

    if (__builtin_add_overflow(block->bitmap_off_bytes, block->bitmap_len_bytes,
                               &bitmap_end_bytes) ||
        __builtin_add_overflow(block->pages_off_bytes, block->len_bytes,
                               &pages_end_bytes)) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_MALFORMED,
                              "block \"%s\": its bitmap or its pages end "
                              "beyond 64 bits",
                              block->name);
    }
    if (block->bitmap_off_bytes != header_end_bytes ||
        block->pages_off_bytes < bitmap_end_bytes) {
        return reader_fail_at(
            off_bytes, error, FORMATS_ERROR_MALFORMED,
            "block \"%s\": header (to %" G_GUINT64_FORMAT
            "), bitmap (%" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
            ") and pages (from %" G_GUINT64_FORMAT
            ") do not follow one another",
            block->name, header_end_bytes, block->bitmap_off_bytes,
            bitmap_end_bytes, block->pages_off_bytes);
    }
    if (block->pages_off_bytes % PAGES_ALIGNMENT != 0) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_MALFORMED,
                              "block \"%s\": its pages at %" G_GUINT64_FORMAT
                              " are not aligned to 1 MiB",
                              block->name, block->pages_off_bytes);
    }
    if (pages_end_bytes > file_len_bytes) {
        return reader_fail_at(
            off_bytes, error, FORMATS_ERROR_TRUNCATED,
            "block \"%s\": its pages end at %" G_GUINT64_FORMAT
            ", the file at %" G_GUINT64_FORMAT,
            block->name, pages_end_bytes, file_len_bytes);
    }
    return true;
}

static bool read_block_fields(Reader *reader, RamImageBlock *block,
                              GError **error)
{
    uint32_t version;

    if (!reader_counted_name(reader, "a RAM block's name", &block->name,
                             error) ||
        !reader_be64(reader, "a RAM block's length", &block->len_bytes,
                     error) ||
        !reader_be32(reader, "the mapped-ram version", &version, error)) {
        return false;
    }
    if (version != MAPPED_RAM_VERSION) {
        return reader_fail_at(reader_off_bytes(reader) - 4, error,
                              FORMATS_ERROR_VERSION,
                              "block \"%s\": mapped-ram version %u, only "
                              "version %d is known",
                              block->name, version, MAPPED_RAM_VERSION);
    }
    return reader_be64(reader, "the page size", &block->page_bytes, error) &&
           reader_be64(reader, "the bitmap's offset", &block->bitmap_off_bytes,
                       error) &&
           reader_be64(reader, "the pages' offset", &block->pages_off_bytes,
                       error);
}

bool ram_image_read_block_header(Reader *reader, uint64_t file_len_bytes,
                                 RamImageBlock *ret_block, GError **error)
{
    const uint64_t off_bytes = reader_off_bytes(reader);
    RamImageBlock block = {0};

    if (!read_block_fields(reader, &block, error) ||
        !check_lengths(&block, off_bytes, error)) {
        g_free(block.name);
        return false;
    }
    block.n_pages = block.len_bytes / block.page_bytes;
    block.bitmap_len_bytes =
        (block.n_pages / 64 + (block.n_pages % 64 != 0)) * 8;
    if (!check_areas(&block, off_bytes, reader_off_bytes(reader),
                     file_len_bytes, error)) {
        g_free(block.name);
        return false;
    }
    *ret_block = block;
    return true;
}
