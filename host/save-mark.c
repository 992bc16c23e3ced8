/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/save-mark.h"

#include <inttypes.h>
#include <string.h>

#include "host/qmp.h"

/* What follows is JSON. */
#define PREFIX "preheat-savevm "

/* What QEMU keeps with the descriptor, and hands out unchanged ("opaque"). */
static char *encode(bool was_running, const MigrationSettings *settings)
{
    json_t *json = json_pack("{s:b, s:o}", "running", (int)was_running,
                             "settings", migration_settings_to_json(settings));
    char *text = json_dumps(json, JSON_COMPACT);
    char *opaque = g_strconcat(PREFIX, text, NULL);

    /* free(), not g_free(): jansson has allocated it. */
    free(text);
    json_decref(json);
    return opaque;
}

/* NULL if it is none of ours. */
static SaveMark *decode(const char *opaque, int64_t fdset_id)
{
    SaveMark *mark = NULL;
    MigrationSettings *settings;
    json_t *json;

    if (!opaque || !g_str_has_prefix(opaque, PREFIX)) {
        return NULL;
    }
    json = json_loads(opaque + strlen(PREFIX), 0, NULL);
    settings = migration_settings_from_json(json_object_get(json, "settings"));
    if (settings) {
        mark = g_new0(SaveMark, 1);
        mark->fdset_id = fdset_id;
        mark->was_running = json_is_true(json_object_get(json, "running"));
        mark->settings = settings;
    }
    json_decref(json);
    return mark;
}

static SaveMark *find_in_set(const json_t *set)
{
    const json_t *fd;
    size_t i;

    json_array_foreach(json_object_get(set, "fds"), i, fd)
    {
        SaveMark *mark =
            decode(json_string_value(json_object_get(fd, "opaque")),
                   json_integer_value(json_object_get(set, "fdset-id")));

        if (mark) {
            return mark;
        }
    }
    return NULL;
}

bool save_mark_find(Rpc *qmp, SaveMark **ret_mark, GError **error)
{
    SaveMark *mark = NULL;
    const json_t *set;
    json_t *sets;
    size_t i;

    if (!rpc_execute(qmp, "query-fdsets", NULL, &sets, error)) {
        return false;
    }
    json_array_foreach(sets, i, set)
    {
        mark = mark ? mark : find_in_set(set);
    }
    json_decref(sets);
    *ret_mark = mark;
    return true;
}

SaveMark *save_mark_put(Rpc *qmp, int fd, bool was_running,
                        const MigrationSettings *settings, GError **error)
{
    g_autofree char *opaque = encode(was_running, settings);
    SaveMark *mark;
    int64_t set;

    if (!qmp_add_fd(qmp, fd, opaque, &set, error)) {
        g_prefix_error(
            error,
            "cannot pass the file to QEMU (is the socket QEMU's own, and not a "
            "relay's?  Does AppArmor or SELinux forbid it?): ");
        return NULL;
    }
    mark = g_new0(SaveMark, 1);
    mark->fdset_id = set;
    mark->was_running = was_running;
    return mark;
}

char *save_mark_path(const SaveMark *mark)
{
    return g_strdup_printf("/dev/fdset/%" PRId64, mark->fdset_id);
}

bool save_mark_remove(const SaveMark *mark, Rpc *qmp, GError **error)
{
    return qmp_remove_fd(qmp, mark->fdset_id, error);
}

void save_mark_free(SaveMark *mark)
{
    if (mark) {
        migration_settings_free(mark->settings);
        g_free(mark);
    }
}
