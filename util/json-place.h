/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where a value is in a JSON text: for errors that are found only after the
 * text has been parsed.
 */
#pragma once

#include <stdbool.h>

typedef struct JsonPlace {
    unsigned line; /* from 1 */
    unsigned column;
} JsonPlace;

/*
 * Find "key", "list[3]" or "list[3].key" in text, which is an object in JSON
 * of valid syntax; of a key that is missing in list[3], list[3] itself.
 * Returns false if there is no such value.
 */
bool json_place_find(const char *text, const char *path, JsonPlace *ret_place);
