/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/text.h"

#include <stdbool.h>

#include <glib.h>

static bool is_harmless(gunichar c)
{
    return g_unichar_isprint(c) || c == '\n' || c == '\t';
}

/* Append what stands at text; returns what follows it. */
static const char *append_printable(GString *printable, const char *text)
{
    gunichar c = g_utf8_get_char_validated(text, -1);

    /* Larger values say what is wrong. */
    if (c > 0x10ffff) {
        g_string_append_printf(printable, "\\x%02x", (unsigned char)*text);
        return text + 1;
    }
    if (is_harmless(c)) {
        g_string_append_unichar(printable, c);
    } else if (c < 0x80) {
        g_string_append_printf(printable, "\\x%02x", c);
    } else {
        g_string_append_printf(printable, "\\u{%x}", c);
    }
    return g_utf8_next_char(text);
}

char *text_printable(const char *text)
{
    GString *printable = g_string_new(NULL);

    while (*text) {
        text = append_printable(printable, text);
    }
    return g_string_free(printable, FALSE);
}

json_t *text_to_json(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);

    return json_string(valid);
}
