/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/editor.h"

#include <signal.h>
#include <stdlib.h>

#include "util/error.h"

static const char *find_editor(void)
{
    static const char *const variables[] = {"VISUAL", "EDITOR"};

    for (size_t i = 0; i < G_N_ELEMENTS(variables); i++) {
        const char *editor = getenv(variables[i]);

        if (editor && editor[0]) {
            return editor;
        }
    }
    return "vi";
}

/* Runs in the child, before the editor is executed. */
static void default_signals(gpointer data)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
}

/* Through the shell, since the variables may hold options, too. */
static bool spawn(const char *editor, const char *path, GError **error)
{
    g_autofree char *script = g_strdup_printf("exec %s \"$1\"", editor);
    const char *const argv[] = {"sh", "-c", script, "sh", path, NULL};
    int wait_status;

    return g_spawn_sync(NULL, (char **)argv, NULL,
                        G_SPAWN_SEARCH_PATH | G_SPAWN_CHILD_INHERITS_STDIN,
                        default_signals, NULL, NULL, NULL, &wait_status,
                        error) &&
           g_spawn_check_wait_status(wait_status, error);
}

bool editor_run(const char *path, GError **error)
{
    const char *editor = find_editor();
    GError *reason = NULL;
    bool done;
    /* What the user types to interrupt the editor is not for us. */
    void (*on_int)(int) = signal(SIGINT, SIG_IGN);
    void (*on_quit)(int) = signal(SIGQUIT, SIG_IGN);

    done = spawn(editor, path, &reason);
    signal(SIGINT, on_int);
    signal(SIGQUIT, on_quit);
    if (!done) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "the editor \"%s\" failed: %s", editor, reason->message);
        g_error_free(reason);
    }
    return done;
}
