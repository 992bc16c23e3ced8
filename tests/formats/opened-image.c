/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/formats/opened-image.h"

#include <string.h>

RamImage *opened_image_from(GBytes *bytes, uint64_t image_off_bytes,
                            GError **error)
{
    return ram_image_open_source(byte_source_new_memory(bytes, "vm.snap"),
                                 image_off_bytes, error);
}

RamImage *opened_image(const Image *image, GError **error)
{
    g_autoptr(GBytes) bytes = image_bytes(image);

    return opened_image_from(bytes, image->image_off_bytes, error);
}

RamImage *opened_image_valid(const Image *image)
{
    GError *error = NULL;
    RamImage *opened = opened_image(image, &error);

    assert_no_error(error);
    assert_non_null(opened);
    return opened;
}

void opened_image_refuse(const Image *image, FormatsError code,
                         const char *text)
{
    GError *error = NULL;

    assert_null(opened_image(image, &error));
    assert_true(g_str_has_prefix(error->message, "vm.snap: "));
    assert_non_null(strstr(error->message, "offset "));
    assert_error(error, code, text);
}
