/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/arguments.h"

#include <string.h>

#include "formats/qcow2-state.h"
#include "plugin/pager/pager.h"

#define MAX_MS (INT64_C(30) * 24 * 3600 * 1000)

static bool bad(GError **error, const char *name, const char *what)
{
    g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE, "argument %s: %s", name,
                what);
    return false;
}

static bool take_value(const Argument *argument, json_t *value, GError **error)
{
    switch (argument->type) {
    case ARGUMENT_STRING:
        if (!json_is_string(value)) {
            return bad(error, argument->name, "not a string");
        }
        *(const char **)argument->value = json_string_value(value);
        return true;
    case ARGUMENT_COUNT:
        if (!json_is_integer(value) || json_integer_value(value) < 0) {
            return bad(error, argument->name, "not a whole number from 0 on");
        }
        *(uint64_t *)argument->value = (uint64_t)json_integer_value(value);
        return true;
    case ARGUMENT_MS:
        if (!json_is_integer(value) || json_integer_value(value) < 0 ||
            json_integer_value(value) > MAX_MS) {
            return bad(error, argument->name,
                       "not a number of milliseconds from 0 to 30 days");
        }
        *(uint64_t *)argument->value = (uint64_t)json_integer_value(value);
        return true;
    case ARGUMENT_ANY:
        *(json_t **)argument->value = value;
        return true;
    }
    return false;
}

static const Argument *find_argument(const Argument *known, const char *name)
{
    for (; known->name; known++) {
        if (strcmp(known->name, name) == 0) {
            return known;
        }
    }
    return NULL;
}

bool arguments_parse(const json_t *arguments, const Argument *known,
                     GError **error)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)arguments, name, value)
    {
        const Argument *argument = find_argument(known, name);

        if (!argument) {
            return bad(error, name, "not known");
        }
        if (!take_value(argument, value, error)) {
            return false;
        }
    }
    for (; known->name; known++) {
        if (known->required && !json_object_get(arguments, known->name)) {
            return bad(error, known->name, "missing");
        }
    }
    return true;
}

static bool parse_range(const json_t *json, PagerRange *ret_range,
                        GError **error)
{
    const char *host = NULL;
    uint64_t page_bytes = 0;
    PagerRange range = {0};
    const Argument known[] = {
        {CONTROL_KEY_NAME, ARGUMENT_STRING, true, &range.name},
        {CONTROL_KEY_HOST, ARGUMENT_STRING, true, &host},
        {CONTROL_KEY_LENGTH, ARGUMENT_COUNT, true, &range.len_bytes},
        {CONTROL_KEY_PAGE_SIZE, ARGUMENT_COUNT, false, &page_bytes},
        {NULL},
    };

    if (!arguments_parse(json, known, error)) {
        return false;
    }
    if (!g_str_has_prefix(host, "0x") ||
        !g_ascii_string_to_unsigned(host + 2, 16, 1, UINT64_MAX, &range.host,
                                    NULL)) {
        return bad(error, CONTROL_KEY_HOST,
                   "not an address such as 0x7f0000000000");
    }
    *ret_range = range;
    return true;
}

GArray *arguments_ranges(const json_t *arguments, GError **error)
{
    const json_t *list = json_object_get(arguments, CONTROL_KEY_BLOCKS);
    g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(PagerRange));

    if (!json_is_array(list)) {
        bad(error, CONTROL_KEY_BLOCKS, "not a list of RAM blocks");
        return NULL;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        PagerRange range;

        if (!json_is_object(item)) {
            bad(error, CONTROL_KEY_BLOCKS, "an entry is not an object");
            return NULL;
        }
        if (!parse_range(item, &range, error)) {
            return NULL;
        }
        g_array_append_val(ranges, range);
    }
    return g_steal_pointer(&ranges);
}

static GArray *parse_threads(const json_t *arguments, GError **error)
{
    const json_t *list = json_object_get(arguments, CONTROL_KEY_VCPU_THREADS);
    g_autoptr(GArray) threads = g_array_new(FALSE, FALSE, sizeof(uint32_t));

    if (!json_is_array(list)) {
        bad(error, CONTROL_KEY_VCPU_THREADS, "not a list of thread IDs");
        return NULL;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        json_int_t id = json_integer_value(item);
        uint32_t thread_id = (uint32_t)id;

        if (!json_is_integer(item) || id <= 0 || id > INT32_MAX) {
            bad(error, CONTROL_KEY_VCPU_THREADS, "an entry is not a thread ID");
            return NULL;
        }
        g_array_append_val(threads, thread_id);
    }
    return g_steal_pointer(&threads);
}

bool arguments_guest(const json_t *arguments, GArray **ret_ranges,
                     GArray **ret_threads, GError **error)
{
    g_autoptr(GArray) ranges = arguments_ranges(arguments, error);
    GArray *threads = ranges ? parse_threads(arguments, error) : NULL;

    if (!threads) {
        return false;
    }
    *ret_ranges = g_steal_pointer(&ranges);
    *ret_threads = threads;
    return true;
}

RamImage *arguments_snapshot(const SnapshotArguments *given,
                             const Descriptors *descriptors, GError **error)
{
    static const char *const known[] = {CONTROL_KEY_SNAPSHOT, NULL};
    int fd = descriptors_find(descriptors, CONTROL_KEY_SNAPSHOT);
    ByteSource *source;

    if (!descriptors_check(descriptors, known, error)) {
        return NULL;
    }
    source = fd >= 0 ? byte_source_new_fd(fd, given->path, error)
                     : byte_source_open(given->path, error);
    if (source && given->tag) {
        source = qcow2_state_open(source, given->tag, error);
    }
    return source ? ram_image_open_source(source, given->off_bytes, error)
                  : NULL;
}
