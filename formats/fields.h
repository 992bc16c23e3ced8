/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reading the fields of a JSON object that somebody else has written.  Errors
 * are FORMATS_ERROR_MALFORMED where not said otherwise, and begin with the
 * field's path: "disks[3].file: must be a string, is null".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>
#include <jansson.h>

#include "formats/error.h"

/* An object of the document that is being read. */
typedef struct Fields {
    const json_t *object; /* borrowed */
    const char *path;     /* "disks", "qemu"; NULL: the document itself */
    bool in_list;         /* of a list at path, this one: */
    size_t index;
} Fields;

/* Each of these returns false with an error.  Strings and values that they
 * return belong to the document. */

/* keys ends with NULL: no others may be there. */
bool fields_check_keys(const Fields *fields, const char *const *keys,
                       GError **error);
bool fields_number(const Fields *fields, const char *key, uint64_t max,
                   uint64_t *ret_number, GError **error);
bool fields_bool(const Fields *fields, const char *key, bool *ret_value,
                 GError **error);
bool fields_string(const Fields *fields, const char *key,
                   const char **ret_string, GError **error);
/* NULL where it is null. */
bool fields_string_or_null(const Fields *fields, const char *key,
                           const char **ret_string, GError **error);
/* A list of at most max entries. */
bool fields_list(const Fields *fields, const char *key, size_t max,
                 const json_t **ret_list, GError **error);
/* The document itself. */
bool fields_document(const json_t *root, Fields *ret_fields, GError **error);
/* The object at key of the document itself. */
bool fields_object(const Fields *fields, const char *key, Fields *ret_fields,
                   GError **error);
/* Entry index of list, which is at key of the document itself. */
bool fields_entry(const json_t *list, const char *key, size_t index,
                  Fields *ret_fields, GError **error);

bool fields_has(const Fields *fields, const char *key);
bool fields_is_null(const Fields *fields, const char *key);

/* Set an error that begins with the path of key, or of the object where key is
 * NULL. */
void fields_set_error(const Fields *fields, const char *key, FormatsError code,
                      GError **error, const char *format, ...)
    G_GNUC_PRINTF(5, 6);

/* The same, as an expression that is false: for return, and so that the
 * compiler knows that no ret_value is missing. */
#define fields_fail(...) (fields_set_error(__VA_ARGS__), false)
