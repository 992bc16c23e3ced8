/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/block-name.h"

#include <glib.h>

bool block_name_is_valid(const char *name, size_t len_bytes)
{
    if (len_bytes == 0 || len_bytes > BLOCK_NAME_MAX_BYTES ||
        !g_utf8_validate_len(name, len_bytes, NULL)) {
        return false;
    }
    const char *end = name + len_bytes;
    for (const char *p = name; p < end; p = g_utf8_next_char(p)) {
        if (g_unichar_iscntrl(g_utf8_get_char(p))) {
            return false;
        }
    }
    return true;
}
