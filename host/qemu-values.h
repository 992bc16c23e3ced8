/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The values in an argument of QEMU, "k=v,k=v" or a JSON object.  In the first
 * a comma in a value is written twice; these functions take and
 * return the value itself.
 *
 * Source: QEMU, util/keyval.c.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

/* The value that *text begins with, for g_free(); *text goes on behind its
 * comma. */
char *qemu_values_take(const char **text);

/* The value of key (nested in JSON: "file.filename"), for g_free(); NULL: not
 * there. */
char *qemu_values_get(const char *text, const char *key);

/* text with key having this value instead, wherever it is there, or added; for
 * g_free().  NULL: it is JSON in which key cannot be. */
char *qemu_values_set(const char *text, const char *key, const char *value);

/* Whether a value of text is that word: "server" or "server=on". */
bool qemu_values_have(const char *text, const char *word);

/* text with its commas doubled, for g_free(). */
char *qemu_values_escape(const char *text);
