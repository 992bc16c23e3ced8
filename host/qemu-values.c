/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/qemu-values.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

char *qemu_values_take(const char **text)
{
    GString *value = g_string_new(NULL);
    const char *at = *text;

    while (*at && (*at != ',' || at[1] == ',')) {
        g_string_append_c(value, *at);
        at += *at == ',' ? 2 : 1;
    }
    *text = *at ? at + 1 : at;
    return g_string_free(value, FALSE);
}

char *qemu_values_escape(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);

    return g_strjoinv(",,", parts);
}

bool qemu_values_have(const char *text, const char *word)
{
    bool found = false;

    while (*text && !found) {
        g_autofree char *part = qemu_values_take(&text);

        found = strcmp(part, word) == 0;
    }
    return found;
}

/* ---- k=v ---- */

/* What follows "key=" in part, or NULL. */
static const char *value_of(const char *part, const char *key)
{
    size_t len = strlen(key);

    return strncmp(part, key, len) == 0 && part[len] == '=' ? part + len + 1
                                                            : NULL;
}

static char *get_plain(const char *text, const char *key)
{
    while (*text) {
        g_autofree char *part = qemu_values_take(&text);
        const char *value = value_of(part, key);

        if (value) {
            return g_strdup(value);
        }
    }
    return NULL;
}

static char *set_plain(const char *text, const char *key, const char *value)
{
    g_autofree char *given = g_strdup_printf("%s=%s", key, value);
    g_autofree char *escaped = qemu_values_escape(given);
    g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func(g_free);
    bool found = false;

    while (*text) {
        g_autofree char *part = qemu_values_take(&text);
        bool is_it = value_of(part, key) != NULL;

        found = found || is_it;
        g_ptr_array_add(parts,
                        is_it ? g_strdup(escaped) : qemu_values_escape(part));
    }
    if (!found) {
        g_ptr_array_add(parts, g_strdup(escaped));
    }
    g_ptr_array_add(parts, NULL);
    return g_strjoinv(",", (char **)parts->pdata);
}

/* ---- JSON ---- */

/* The object in which the last part of key is, or would be; NULL: there is
 * none.  ret_name: that part. */
static json_t *find_parent(json_t *root, const char *key, const char **ret_name)
{
    const char *dot;

    while (root && (dot = strchr(key, '.'))) {
        g_autofree char *part = g_strndup(key, (gsize)(dot - key));

        root = json_object_get(root, part);
        key = dot + 1;
    }
    *ret_name = key;
    return json_is_object(root) ? root : NULL;
}

static char *get_json(const char *text, const char *key)
{
    json_t *root = json_loads(text, 0, NULL);
    const char *name;
    json_t *parent = find_parent(root, key, &name);
    char *value = g_strdup(json_string_value(json_object_get(parent, name)));

    json_decref(root);
    return value;
}

static char *set_json(const char *text, const char *key, const char *value)
{
    json_t *root = json_loads(text, 0, NULL);
    const char *name;
    json_t *parent = find_parent(root, key, &name);
    g_autofree char *copy = NULL;

    if (parent && json_object_set_new(parent, name, json_string(value)) == 0) {
        char *dump = json_dumps(root, 0);

        copy = g_strdup(dump);
        free(dump);
    }
    json_decref(root);
    return g_steal_pointer(&copy);
}

/* ---- both ---- */

char *qemu_values_get(const char *text, const char *key)
{
    return text[0] == '{' ? get_json(text, key) : get_plain(text, key);
}

char *qemu_values_set(const char *text, const char *key, const char *value)
{
    return text[0] == '{' ? set_json(text, key, value)
                          : set_plain(text, key, value);
}
