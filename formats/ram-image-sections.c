/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/ram-image-sections.h"

#include <string.h>

#include "formats/error.h"
#include "formats/ram-image-headers.h"

#define SECTION_HEADER_MAX_BYTES (1 + 4 + 1 + 255 + 4 + 4)

/* The section's counted name, after its type and ID. */
static const char ram_mark[] = "\3ram";
#define RAM_MARK_BYTES        (sizeof(ram_mark) - 1)
#define BEFORE_RAM_MARK_BYTES (1 + 4)

typedef struct Search {
    Reader window;
    uint64_t file_len_bytes;
    uint64_t end_bytes; /* where it ends, in the window */
    bool has_header;
    uint64_t header_off_bytes; /* of the first section header */
    bool has_block;
    uint64_t block_off_bytes; /* of the first one that a block follows */
} Search;

/* Look at one place that has the mark; false when it is the second one that a
 * fitting block follows. */
static bool look_at(Search *search, size_t pos_bytes)
{
    Reader reader = search->window;
    RamImageBlock block;
    uint64_t ram_bytes;

    reader.pos_bytes = pos_bytes;
    const uint64_t off_bytes = reader_off_bytes(&reader);
    if (!ram_image_read_ram_start(&reader, &ram_bytes, NULL)) {
        return true;
    }
    if (!search->has_header) {
        search->has_header = true;
        search->header_off_bytes = off_bytes;
    }
    if (!ram_image_read_block_header(&reader, search->file_len_bytes, &block,
                                     NULL)) {
        return true;
    }
    g_free(block.name);
    if (block.len_bytes > ram_bytes) {
        return true;
    }
    if (search->has_block) {
        return false;
    }
    search->has_block = true;
    search->block_off_bytes = off_bytes;
    /* From there on are pages, which may look like anything. */
    search->end_bytes =
        MIN(search->end_bytes,
            block.pages_off_bytes - search->window.base_off_bytes);
    return true;
}

/* What is searched is mostly zeroes, which memchr() passes over several times
 * as fast as memmem() does. */
static const uint8_t *find_mark(const uint8_t *at, size_t len_bytes)
{
    while (len_bytes >= RAM_MARK_BYTES) {
        const uint8_t *found =
            memchr(at, ram_mark[0], len_bytes - RAM_MARK_BYTES + 1);

        if (!found || memcmp(found, ram_mark, RAM_MARK_BYTES) == 0) {
            return found;
        }
        len_bytes -= (size_t)(found - at) + 1;
        at = found + 1;
    }
    return NULL;
}

/* Every place with the mark; false if two have a fitting block. */
static bool look_everywhere(Search *search)
{
    const uint8_t *data = search->window.data;
    uint64_t from = BEFORE_RAM_MARK_BYTES;

    while (from < search->end_bytes) {
        const uint8_t *mark = find_mark(data + from, search->end_bytes - from);
        if (!mark) {
            return true;
        }
        from = (uint64_t)(mark - data) + 1;
        if (!look_at(search, from - 1 - BEFORE_RAM_MARK_BYTES)) {
            return false;
        }
    }
    return true;
}

static bool search_ram(const ByteSource *source, uint64_t off_bytes,
                       const char *name, uint64_t *ret_off_bytes,
                       GError **error)
{
    g_autofree void *buffer = g_malloc(RAM_IMAGE_SECTIONS_MAX_BYTES);
    size_t len_bytes;

    if (!byte_source_read_some(source, buffer, RAM_IMAGE_SECTIONS_MAX_BYTES,
                               off_bytes, &len_bytes, error)) {
        return false;
    }
    Search search = {
        .window = reader_make(buffer, len_bytes, off_bytes),
        .file_len_bytes = source->len_bytes,
        .end_bytes = len_bytes,
    };
    if (!look_everywhere(&search)) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_MALFORMED,
                              "after section \"%s\" there are two places "
                              "where RAM could begin",
                              name);
    }
    if (!search.has_header) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_UNSUPPORTED,
                              "section \"%s\" comes before RAM, and no RAM "
                              "section is found in the %d MiB after it",
                              name, RAM_IMAGE_SECTIONS_MAX_BYTES >> 20);
    }
    *ret_off_bytes =
        search.has_block ? search.block_off_bytes : search.header_off_bytes;
    return true;
}

/* A section begins here, which is RAM's or has RAM's somewhere after it. */
static bool find_from_section(const ByteSource *source, Reader *reader,
                              uint64_t *ret_off_bytes, GError **error)
{
    const uint64_t off_bytes = reader_off_bytes(reader);
    RamImageSection section;

    if (!ram_image_read_section_header(reader, &section, error)) {
        return false;
    }
    g_autofree char *name = section.name;
    if (section.type == RAM_IMAGE_SECTION_START && strcmp(name, "ram") == 0) {
        *ret_off_bytes = off_bytes;
        return true;
    }
    return search_ram(source, off_bytes, name, ret_off_bytes, error);
}

/* Pass over the commands at *off_bytes; each is its type, two numbers of 16
 * bits, and as many bytes as the second of them says.  Sets type to that of
 * what follows, and reader to it. */
static bool skip_commands(const ByteSource *source, uint64_t *off_bytes,
                          uint8_t buffer[SECTION_HEADER_MAX_BYTES],
                          Reader *ret_reader, uint8_t *ret_type, GError **error)
{
    const uint64_t end_bytes = *off_bytes + RAM_IMAGE_SECTIONS_MAX_BYTES;
    uint32_t command;
    uint8_t type;

    while (*off_bytes < end_bytes) {
        size_t len_bytes;
        if (!byte_source_read_some(source, buffer, SECTION_HEADER_MAX_BYTES,
                                   *off_bytes, &len_bytes, error)) {
            return false;
        }
        Reader reader = reader_make(buffer, len_bytes, *off_bytes);
        *ret_reader = reader;
        if (!reader_u8(&reader, "a section type", &type, error)) {
            return false;
        }
        if (type != RAM_IMAGE_COMMAND) {
            *ret_type = type;
            return true;
        }
        if (!reader_be32(&reader, "a command", &command, error)) {
            return false;
        }
        *off_bytes = reader_off_bytes(&reader) + (command & 0xffff);
    }
    return reader_fail_at(*off_bytes, error, FORMATS_ERROR_MALFORMED,
                          "only commands where RAM should begin");
}

bool ram_image_find_ram(const ByteSource *source, uint64_t off_bytes,
                        uint64_t *ret_off_bytes, GError **error)
{
    uint8_t buffer[SECTION_HEADER_MAX_BYTES];
    Reader reader;
    uint8_t type;

    if (!skip_commands(source, &off_bytes, buffer, &reader, &type, error)) {
        return false;
    }
    if (type != RAM_IMAGE_SECTION_START && type != RAM_IMAGE_SECTION_FULL) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_MALFORMED,
                              "section type 0x%02x where the RAM section "
                              "should begin (0x%02x)",
                              type, RAM_IMAGE_SECTION_START);
    }
    return find_from_section(source, &reader, ret_off_bytes, error);
}
