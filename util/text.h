/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Text from outside: file names, names in files, answers of a peer.
 */
#pragma once

#include <jansson.h>

/* A copy of text that is safe to print on a terminal.  What would control the
 * terminal, is shown as nothing or turns the direction of writing becomes an
 * escape: \x1b, \u{202e}; and so does a byte that is not UTF-8.  Newlines and
 * tabs stay.  For g_free(). */
char *text_printable(const char *text);

/* A new reference to a JSON text; what is not UTF-8 becomes U+FFFD. */
json_t *text_to_json(const char *text);
