/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/descriptors.h"

#include <unistd.h>

#include "formats/control-protocol.h"
#include "plugin/pager/pager.h"

static bool bad(GError **error, const char *what)
{
    g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                "argument " CONTROL_KEY_DESCRIPTORS ": %s", what);
    return false;
}

/* names: NULL or of any type. */
static bool take_names(GPtrArray *taken, const json_t *names, GError **error)
{
    if (names && !json_is_array(names)) {
        return bad(error, "not a list of names");
    }
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));

        if (!name) {
            return bad(error, "not a list of names");
        }
        if (g_ptr_array_find_with_equal_func(taken, name, g_str_equal, NULL)) {
            return bad(error, "a name occurs twice");
        }
        g_ptr_array_add(taken, (char *)name);
    }
    return true;
}

Descriptors *descriptors_take(const json_t *arguments, GArray *arrived,
                              GError **error)
{
    const json_t *list = json_object_get(arguments, CONTROL_KEY_DESCRIPTORS);
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    if (!take_names(names, list, error)) {
        return NULL;
    }
    if (names->len > arrived->len) {
        bad(error, "more names than descriptors that came with the command");
        return NULL;
    }
    Descriptors *descriptors = g_new0(Descriptors, 1);
    descriptors->names = g_steal_pointer(&names);
    descriptors->fds = g_array_new(FALSE, FALSE, sizeof(int));
    g_array_append_vals(descriptors->fds, arrived->data,
                        descriptors->names->len);
    g_array_remove_range(arrived, 0, descriptors->names->len);
    return descriptors;
}

void descriptors_free(Descriptors *descriptors)
{
    if (!descriptors) {
        return;
    }
    for (guint i = 0; i < descriptors->fds->len; i++) {
        close(g_array_index(descriptors->fds, int, i));
    }
    g_array_unref(descriptors->fds);
    g_ptr_array_unref(descriptors->names);
    g_free(descriptors);
}

int descriptors_find(const Descriptors *descriptors, const char *name)
{
    guint n_names = descriptors ? descriptors->names->len : 0;

    for (guint i = 0; i < n_names; i++) {
        if (g_str_equal(descriptors->names->pdata[i], name)) {
            return g_array_index(descriptors->fds, int, i);
        }
    }
    return -1;
}

bool descriptors_check(const Descriptors *descriptors, const char *const *known,
                       GError **error)
{
    guint n_names = descriptors ? descriptors->names->len : 0;

    for (guint i = 0; i < n_names; i++) {
        const char *name = descriptors->names->pdata[i];

        if (!g_strv_contains(known, name)) {
            g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                        "descriptor %s: not known", name);
            return false;
        }
    }
    return true;
}
