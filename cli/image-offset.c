/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/image-offset.h"

#include "util/units.h"

bool image_offset_parse(const char *text, uint64_t *ret_bytes, GError **error)
{
    if (!text) {
        *ret_bytes = 0;
        return true;
    }
    return units_parse_size(text, ret_bytes, error);
}
