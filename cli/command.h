/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a subcommand is, and what all subcommands share.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>
#include <jansson.h>

/* Exit statuses.  A command that runs QEMU ends with QEMU's own. */
#define STATUS_OK     0
#define STATUS_FAILED 1
#define STATUS_USAGE  2

typedef struct Command {
    const char *name;     /* "show" */
    const char *synopsis; /* what follows the name and the options: "FILE" */
    const char *summary;  /* one line, a capital first, no full stop */
    /* argv[0] is the name in full, "preheat order show"; returns the exit
     * status. */
    int (*run)(int argc, char **argv);
} Command;

/* The option --json, for a command's table of them; json: a gboolean *. */
#define COMMAND_JSON_OPTION(json)                                              \
    {                                                                          \
        "json", 0, 0, G_OPTION_ARG_NONE, json, "Print the result as JSON",     \
            NULL                                                               \
    }

/* The user's locale, to be called first.  Where it is plain "C", as it is for
 * many services, arguments are taken for UTF-8 all the same. */
void command_set_locale(void);

/* Run the command of the table (ends with NULL) that argv[1] names; "--help"
 * or "help" lists them, and "help NAME" shows the help of one. */
int command_dispatch(const Command *const *table, int argc, char **argv);

/* Cut argv at the first "--": *argc is lowered, and what follows is returned,
 * or NULL if there is no "--". */
char **command_split(int *argc, char **argv);

/* Whether no "--" is missing: argv has, before it, no word that is QEMU's name.
 * Returns false where one has; a mistake has been reported then, and
 * *ret_status is set. */
bool command_check_split(int argc, char *const *argv, int *ret_status);

/* Parse the options of command out of argc and argv.  Returns false where the
 * command is to end at once with *ret_status: a mistake has been reported
 * then.  At least n_min and at most n_max arguments are to be left (n_max -1:
 * any number); they begin at argv[1]. */
bool command_parse(const Command *command, const GOptionEntry *entries,
                   int n_min, int n_max, int *argc, char ***argv,
                   int *ret_status);

/* Report a mistake in how the command was called.  Returns STATUS_USAGE. */
int command_usage_error(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* Report error, and free it.  Returns the exit status for it. */
int command_fail(GError *error);

/* Tell the user how it goes. */
void command_say(const char *text);

/* Tell the user something that is no error. */
void command_warn(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* Print value as indented JSON on standard output; drops the reference.
 * Returns the exit status. */
int command_print_json(json_t *value);

/* Print a line for people on standard output; what would control a terminal is
 * made visible. */
void command_print(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* End of what was printed: STATUS_OK, or STATUS_FAILED with a message if
 * standard output could not take it all. */
int command_flush(void);

/* path made absolute, for g_free().  UTIL_ERROR_USAGE if it is not UTF-8, which
 * neither JSON nor QEMU's monitor can carry. */
char *command_absolute_path(const char *path, GError **error);
