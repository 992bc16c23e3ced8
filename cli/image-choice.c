/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/image-choice.h"

#include "util/error.h"

void image_choice_clear(ImageChoice *choice)
{
    g_clear_pointer(&choice->path, g_free);
    g_clear_pointer(&choice->offset, g_free);
    g_clear_pointer(&choice->tag, g_free);
}

bool image_choice_open(const ImageChoice *choice, RamImage **ret_image,
                       GError **error)
{
    RamImage *image = NULL;
    uint64_t off_bytes;

    if (!choice->path && (choice->offset || choice->tag)) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "%s says where in a snapshot's file it is, and needs "
                    "--snapshot FILE",
                    choice->tag ? "--tag" : "--offset");
        return false;
    }
    if (choice->tag && choice->offset) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "--tag cannot be used with --offset: the qcow2 says where "
                    "the snapshot is");
        return false;
    }
    if (!image_offset_parse(choice->offset, &off_bytes, error)) {
        return false;
    }
    if (choice->path) {
        image = image_file_open(choice->path, choice->tag, off_bytes, error);
        if (!image) {
            return false;
        }
    }
    *ret_image = image;
    return true;
}
