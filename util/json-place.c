/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/json-place.h"

#include <stdint.h>
#include <string.h>

#include <glib.h>

static const char *skip_space(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

/* p is at the opening quote. */
static const char *skip_string(const char *p)
{
    p++;
    while (*p != '\0' && *p != '"') {
        p += *p == '\\' && p[1] != '\0' ? 2 : 1;
    }
    return *p == '"' ? p + 1 : p;
}

/* To the comma or the closing bracket after the value at p. */
static const char *skip_value(const char *p)
{
    int depth = 0;

    while (*p != '\0' && (depth > 0 || strchr(",]}", *p) == NULL)) {
        if (*p == '"') {
            p = skip_string(p);
            continue;
        }
        depth += *p == '{' || *p == '[';
        depth -= *p == '}' || *p == ']';
        p++;
    }
    return p;
}

/* The place of key in the object at p, or NULL. */
static const char *find_key(const char *p, const char *key, size_t key_len)
{
    p = skip_space(p);
    while (*p == '{' || *p == ',') {
        const char *start = skip_space(p + 1);

        if (*start != '"') {
            return NULL;
        }
        p = skip_string(start);
        if ((size_t)(p - start) == key_len + 2 &&
            strncmp(start + 1, key, key_len) == 0) {
            return start;
        }
        p = skip_value(p);
    }
    return NULL;
}

/* The value of the member whose key is at p. */
static const char *value_of_key(const char *p)
{
    p = skip_space(skip_string(p));
    return skip_space(*p == ':' ? p + 1 : p);
}

/* The item of that index of the list at p, or NULL. */
static const char *find_item(const char *p, uint64_t index)
{
    if (*p != '[') {
        return NULL;
    }
    p = skip_space(p + 1);
    for (uint64_t i = 0; i < index; i++) {
        p = skip_value(p);
        if (*p != ',') {
            return NULL;
        }
        p = skip_space(p + 1);
    }
    return p;
}

static const char *find(const char *text, const char *path)
{
    size_t name_len = strcspn(path, "[");
    const char *key = find_key(text, path, name_len);
    const char *item;
    const char *in_item;
    char *end;
    uint64_t index;

    if (key == NULL || path[name_len] == '\0') {
        return key;
    }
    index = g_ascii_strtoull(path + name_len + 1, &end, 10);
    item = find_item(value_of_key(key), index);
    if (item == NULL || !g_str_has_prefix(end, "].")) {
        return item;
    }
    in_item = find_key(item, end + 2, strlen(end + 2));
    return in_item != NULL ? in_item : item;
}

bool json_place_find(const char *text, const char *path, JsonPlace *ret_place)
{
    const char *found = find(text, path);
    const char *line_start = text;
    unsigned line = 1;

    if (found == NULL) {
        return false;
    }
    for (const char *p = text; p < found; p++) {
        if (*p == '\n') {
            line++;
            line_start = p + 1;
        }
    }
    ret_place->line = line;
    ret_place->column = g_utf8_strlen(line_start, found - line_start) + 1;
    return true;
}
