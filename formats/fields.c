/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/fields.h"

static char *path_of(const Fields *fields, const char *key)
{
    GString *path = g_string_new(fields->path);

    if (fields->in_list) {
        g_string_append_printf(path, "[%zu]", fields->index);
    }
    if (key) {
        g_string_append_printf(path, "%s%s", path->len > 0 ? "." : "", key);
    }
    return g_string_free(path, FALSE);
}

void fields_set_error(const Fields *fields, const char *key, FormatsError code,
                      GError **error, const char *format, ...)
{
    g_autofree char *path = path_of(fields, key);
    va_list args;

    va_start(args, format);
    g_autofree char *reason = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, FORMATS_ERROR, (int)code, "%s%s%s", path,
                *path ? ": " : "", reason);
}

static const char *type_name(json_type type)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object",
        [JSON_ARRAY] = "a list",
        [JSON_STRING] = "a string",
        [JSON_INTEGER] = "a whole number",
        [JSON_REAL] = "a decimal fraction",
        [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",
        [JSON_NULL] = "null",
    };

    return names[type];
}

static bool fail_type(const Fields *fields, const char *key, const char *wanted,
                      const json_t *value, GError **error)
{
    if (!value) {
        return fields_fail(fields, key, FORMATS_ERROR_MALFORMED, error,
                           "missing");
    }
    return fields_fail(fields, key, FORMATS_ERROR_MALFORMED, error,
                       "must be %s, is %s", wanted,
                       type_name(json_typeof(value)));
}

static bool get_typed(const Fields *fields, const char *key, json_type type,
                      const json_t **ret_value, GError **error)
{
    const json_t *value = json_object_get(fields->object, key);

    if (!value || json_typeof(value) != type) {
        return fail_type(fields, key, type_name(type), value, error);
    }
    *ret_value = value;
    return true;
}

bool fields_check_keys(const Fields *fields, const char *const *keys,
                       GError **error)
{
    /* Iterating takes a json_t that is not const, and changes nothing. */
    json_t *object = (json_t *)fields->object;

    for (void *i = json_object_iter(object); i;
         i = json_object_iter_next(object, i)) {
        const char *key = json_object_iter_key(i);

        if (!g_strv_contains(keys, key)) {
            g_autofree char *known = g_strjoinv(", ", (char **)keys);

            return fields_fail(fields, key, FORMATS_ERROR_MALFORMED, error,
                               "unknown key; there are %s", known);
        }
    }
    return true;
}

bool fields_has(const Fields *fields, const char *key)
{
    return json_object_get(fields->object, key) != NULL;
}

bool fields_is_null(const Fields *fields, const char *key)
{
    return json_is_null(json_object_get(fields->object, key));
}

bool fields_number(const Fields *fields, const char *key, uint64_t max,
                   uint64_t *ret_number, GError **error)
{
    const json_t *value;

    if (!get_typed(fields, key, JSON_INTEGER, &value, error)) {
        return false;
    }
    json_int_t number = json_integer_value(value);
    if (number < 0 || (uint64_t)number > max) {
        return fields_fail(fields, key, FORMATS_ERROR_MALFORMED, error,
                           "%" JSON_INTEGER_FORMAT
                           " is not from 0 to %" G_GUINT64_FORMAT,
                           number, max);
    }
    *ret_number = (uint64_t)number;
    return true;
}

bool fields_bool(const Fields *fields, const char *key, bool *ret_value,
                 GError **error)
{
    const json_t *value = json_object_get(fields->object, key);

    if (!value || !json_is_boolean(value)) {
        return fail_type(fields, key, "true or false", value, error);
    }
    *ret_value = json_is_true(value);
    return true;
}

bool fields_string(const Fields *fields, const char *key,
                   const char **ret_string, GError **error)
{
    const json_t *value;

    if (!get_typed(fields, key, JSON_STRING, &value, error)) {
        return false;
    }
    *ret_string = json_string_value(value);
    return true;
}

bool fields_string_or_null(const Fields *fields, const char *key,
                           const char **ret_string, GError **error)
{
    if (fields_is_null(fields, key)) {
        *ret_string = NULL;
        return true;
    }
    return fields_string(fields, key, ret_string, error);
}

bool fields_list(const Fields *fields, const char *key, size_t max,
                 const json_t **ret_list, GError **error)
{
    const json_t *list;

    if (!get_typed(fields, key, JSON_ARRAY, &list, error)) {
        return false;
    }
    if (json_array_size(list) > max) {
        return fields_fail(fields, key, FORMATS_ERROR_TOO_LARGE, error,
                           "has %zu entries, more than %zu",
                           json_array_size(list), max);
    }
    *ret_list = list;
    return true;
}

bool fields_document(const json_t *root, Fields *ret_fields, GError **error)
{
    const Fields fields = {.object = root};

    if (!json_is_object(root)) {
        return fail_type(&fields, NULL, "an object", root, error);
    }
    *ret_fields = fields;
    return true;
}

bool fields_object(const Fields *fields, const char *key, Fields *ret_fields,
                   GError **error)
{
    const json_t *object;

    if (!get_typed(fields, key, JSON_OBJECT, &object, error)) {
        return false;
    }
    *ret_fields = (Fields){.object = object, .path = key};
    return true;
}

bool fields_entry(const json_t *list, const char *key, size_t index,
                  Fields *ret_fields, GError **error)
{
    const json_t *entry = json_array_get(list, index);
    const Fields fields = {
        .object = entry, .path = key, .in_list = true, .index = index};

    if (!json_is_object(entry)) {
        return fail_type(&fields, NULL, "an object", entry, error);
    }
    *ret_fields = fields;
    return true;
}
