/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/commands.h"
#include "cli/image-file.h"
#include "cli/image-offset.h"
#include "formats/ram-image.h"
#include "util/units.h"

static void print_blocks(const RamImage *image)
{
    printf("\n%-36s %10s %10s %12s %10s\n", "block", "size", "page",
           "pages stored", "stored");
    for (size_t i = 0; i < image->n_blocks; i++) {
        const RamImageBlock *block = &image->blocks[i];
        g_autofree char *size = units_format_size(block->len_bytes);
        g_autofree char *page = units_format_size(block->page_bytes);
        g_autofree char *stored =
            units_format_size(block->n_pages_in_file * block->page_bytes);

        printf("%-36s %10s %10s %12" PRIu64 " %10s\n", block->name, size, page,
               block->n_pages_in_file, stored);
    }
}

static int print_text(const RamImage *image)
{
    g_autofree char *state = units_format_size(image->device_state_len_bytes);
    g_autofree char *file = units_format_size(image->file_len_bytes);

    printf("machine       %s\n", image->machine);
    printf("identity      %s\n", image->identity);
    printf("file          %s, image at %" PRIu64 "\n", file,
           image->image_off_bytes);
    printf("device state  %s\n", state);
    print_blocks(image);
    return command_flush();
}

static json_t *blocks_json(const RamImage *image)
{
    json_t *list = json_array();

    for (size_t i = 0; i < image->n_blocks; i++) {
        const RamImageBlock *block = &image->blocks[i];

        json_array_append_new(
            list, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "name",
                            block->name, "length", (json_int_t)block->len_bytes,
                            "page-size", (json_int_t)block->page_bytes, "pages",
                            (json_int_t)block->n_pages, "pages-in-file",
                            (json_int_t)block->n_pages_in_file, "pages-offset",
                            (json_int_t)block->pages_off_bytes));
    }
    return list;
}

static int print_json(const RamImage *image)
{
    return command_print_json(json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:o}", "machine", image->machine, "identity",
        image->identity, "file-length", (json_int_t)image->file_len_bytes,
        "offset", (json_int_t)image->image_off_bytes, "device-state-length",
        (json_int_t)image->device_state_len_bytes, "blocks",
        blocks_json(image)));
}

static int cmd_snapshot_info_run(int argc, char **argv)
{
    g_autofree char *offset = NULL;
    g_autofree char *tag = NULL;
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        IMAGE_OFFSET_OPTION(&offset),
        IMAGE_TAG_OPTION(&tag),
        COMMAND_JSON_OPTION(&json),
        {NULL},
    };
    g_autoptr(RamImage) image = NULL;
    uint64_t off_bytes;
    GError *error = NULL;
    int status;

    if (!command_parse(&cmd_snapshot_info, entries, 1, 1, &argc, &argv,
                       &status)) {
        return status;
    }
    if (!image_offset_parse(offset, &off_bytes, &error)) {
        return command_fail(error);
    }
    image = image_file_open(argv[1], tag, off_bytes, &error);
    if (!image) {
        return command_fail(error);
    }
    return json ? print_json(image) : print_text(image);
}

const Command cmd_snapshot_info = {
    .name = "info",
    .synopsis = "FILE",
    .summary = "Print what is in a snapshot",
    .run = cmd_snapshot_info_run,
};
