/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/machine-watch.h"

#include "host/machine-check.h"
#include "host/process-info.h"
#include "host/ram-access.h"

struct MachineWatch {
    pid_t pid;
    GArray *lazy;     /* the RAM that is being loaded */
    GStrv open_files; /* when we looked last; NULL: we may not look there */
};

/* Where we may not look, it may be. */
static bool may_be_shared(pid_t pid, const GArray *blocks)
{
    for (guint i = 0; i < blocks->len; i++) {
        const RamBlock *block = &g_array_index(blocks, RamBlock, i);
        ProcessFile file;

        if (!process_info_shared_file(pid, block->host, &file, NULL) ||
            file.id[0] != '\0') {
            return true;
        }
    }
    return false;
}

MachineWatch *machine_watch_new(pid_t pid, const GArray *blocks)
{
    g_autoptr(GArray) lazy = machine_lazy_ram(blocks);
    MachineWatch *watch;

    if (!may_be_shared(pid, lazy)) {
        return NULL;
    }
    watch = g_new0(MachineWatch, 1);
    watch->pid = pid;
    watch->lazy = g_steal_pointer(&lazy);
    watch->open_files = process_info_open_files(pid, NULL);
    return watch;
}

void machine_watch_free(MachineWatch *watch)
{
    if (watch) {
        g_array_unref(watch->lazy);
        g_strfreev(watch->open_files);
        g_free(watch);
    }
}

/* Whether the open files are not what they were. */
static bool files_have_changed(MachineWatch *watch)
{
    g_auto(GStrv) before = watch->open_files;

    watch->open_files = process_info_open_files(watch->pid, NULL);
    return !before || !watch->open_files ||
           !g_strv_equal((const char *const *)before,
                         (const char *const *)watch->open_files);
}

bool machine_watch_look(MachineWatch *watch, Rpc *qmp, char **ret_found,
                        GError **error)
{
    RamAccess access = {NULL, NULL};

    if (files_have_changed(watch) &&
        !ram_access_find(qmp, watch->pid, watch->lazy, NULL, &access, error)) {
        return false;
    }
    *ret_found =
        access.who ? g_strdup_printf(
                         "%s has appeared while guest RAM is being loaded: %s",
                         access.who, access.why)
                   : NULL;
    g_free(access.who);
    return true;
}
