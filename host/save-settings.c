/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/save-settings.h"

void save_settings_clear(SaveSettings *settings)
{
    g_clear_pointer(&settings->left, save_mark_free);
    g_clear_pointer(&settings->mark, save_mark_free);
    g_clear_pointer(&settings->settings, migration_settings_free);
}

bool save_settings_look_for_left(SaveSettings *settings, GError **error)
{
    g_autoptr(MigrationSettings) now = NULL;

    if (!save_mark_find(settings->qmp, &settings->left, error)) {
        return false;
    }
    if (!settings->left) {
        return true;
    }
    now = migration_settings_new(settings->qmp, MIGRATION_TO_FILE, error);
    settings->cut_short =
        now && settings->left->was_running && migration_settings_are_set(now);
    return now != NULL;
}

bool save_settings_take_over_left(SaveSettings *settings, GError **error)
{
    return !settings->left ||
           migration_settings_restore(settings->left->settings, settings->qmp,
                                      error);
}

void save_settings_forget_left(SaveSettings *settings)
{
    if (settings->left) {
        (void)save_mark_remove(settings->left, settings->qmp, NULL);
    }
}

bool save_settings_mark(SaveSettings *settings, int fd, bool was_running,
                        GError **error)
{
    settings->settings =
        migration_settings_new(settings->qmp, MIGRATION_TO_FILE, error);
    settings->mark = settings->settings
                         ? save_mark_put(settings->qmp, fd, was_running,
                                         settings->settings, error)
                         : NULL;
    return settings->mark != NULL;
}

bool save_settings_apply(SaveSettings *settings, GError **error)
{
    /* Whatever becomes of it: to set back what is so already does no harm. */
    settings->is_changed = true;
    return migration_settings_apply(settings->settings, settings->qmp, error);
}

bool save_settings_restore(SaveSettings *settings, GError **error)
{
    if (settings->is_changed &&
        !migration_settings_restore(settings->settings, settings->qmp, error)) {
        g_prefix_error(error, "cannot restore QEMU's migration settings: ");
        return false;
    }
    settings->is_changed = false;
    return true;
}

void save_settings_remove_mark(SaveSettings *settings)
{
    if (settings->mark && !settings->is_changed) {
        (void)save_mark_remove(settings->mark, settings->qmp, NULL);
    }
}
