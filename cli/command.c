/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/command.h"

#include <errno.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/suggest.h"
#include "util/error.h"
#include "util/text.h"

void command_set_locale(void)
{
    setlocale(LC_ALL, "");
    if (g_str_equal(setlocale(LC_CTYPE, NULL), "C")) {
        (void)setlocale(LC_CTYPE, "C.UTF-8");
    }
}

static void print_table(const Command *const *table, const char *name)
{
    printf("Usage:\n  %s COMMAND [OPTIONS…]\n\nCommands:\n", name);
    for (size_t i = 0; table[i]; i++) {
        printf("  %-10s %s\n", table[i]->name, table[i]->summary);
    }
    printf("\nRun \"%s COMMAND --help\" for details.\n", name);
}

static const Command *find_command(const Command *const *table,
                                   const char *name)
{
    for (size_t i = 0; table[i]; i++) {
        if (strcmp(table[i]->name, name) == 0) {
            return table[i];
        }
    }
    return NULL;
}

static int unknown_command(const Command *const *table, const char *name)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *meant;

    for (size_t i = 0; table[i]; i++) {
        g_ptr_array_add(names, (gpointer)table[i]->name);
    }
    meant = suggest(name, (const char *const *)names->pdata, names->len);
    return meant ? command_usage_error(
                       "unknown command \"%s\"; did you mean \"%s\"?", name,
                       meant)
                 : command_usage_error("unknown command \"%s\"", name);
}

/* "help" alone is "--help"; "help NAME…" is "NAME… --help". */
static int help(const Command *const *table, int argc, char **argv)
{
    static char option[] = "--help";

    if (argc > 2) {
        memmove(argv + 1, argv + 2, (size_t)(argc - 2) * sizeof *argv);
        argv[argc - 1] = option;
        return command_dispatch(table, argc, argv);
    }
    print_table(table, argv[0]);
    return command_flush();
}

int command_dispatch(const Command *const *table, int argc, char **argv)
{
    g_autofree char *full_name = NULL;
    const Command *command;

    g_set_prgname(argv[0]);
    if (argc < 2) {
        return command_usage_error("a command is missing");
    }
    if (strcmp(argv[1], "help") == 0) {
        return help(table, argc, argv);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_table(table, argv[0]);
        return command_flush();
    }
    command = find_command(table, argv[1]);
    if (!command) {
        return unknown_command(table, argv[1]);
    }
    full_name = g_strdup_printf("%s %s", argv[0], command->name);
    argv[1] = full_name;
    return command->run(argc - 1, argv + 1);
}

char **command_split(int *argc, char **argv)
{
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            argv[i] = NULL;
            *argc = i;
            return argv + i + 1;
        }
    }
    return NULL;
}

static bool is_qemu(const char *word)
{
    g_autofree char *name = g_path_get_basename(word);

    return g_str_has_prefix(name, "qemu-system-") ||
           strcmp(name, "qemu-kvm") == 0;
}

bool command_check_split(int argc, char *const *argv, int *ret_status)
{
    for (int i = 1; i < argc; i++) {
        if (is_qemu(argv[i])) {
            g_set_prgname(argv[0]);
            *ret_status = command_usage_error(
                "\"--\" is missing before QEMU's command line: -- %s …",
                argv[i]);
            return false;
        }
    }
    return true;
}

bool command_parse(const Command *command, const GOptionEntry *entries,
                   int n_min, int n_max, int *argc, char ***argv,
                   int *ret_status)
{
    g_autoptr(GOptionContext) context = g_option_context_new(command->synopsis);
    g_autoptr(GError) error = NULL;
    int n_left;

    g_set_prgname((*argv)[0]);
    g_option_context_set_summary(context, command->summary);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, &error)) {
        *ret_status = command_usage_error("%s", error->message);
        return false;
    }
    if (*argc > 1 && strcmp((*argv)[1], "--") == 0) {
        (*argc)--;
        (*argv)++;
    }
    n_left = *argc - 1;
    if (n_left < n_min) {
        *ret_status = command_usage_error("an argument is missing");
        return false;
    }
    if (n_max >= 0 && n_left > n_max) {
        *ret_status = command_usage_error("unexpected argument \"%s\"",
                                          (*argv)[n_max + 1]);
        return false;
    }
    return true;
}

static void print_message(const char *kind, const char *format, va_list args)
    G_GNUC_PRINTF(2, 0);

/* What is said may quote a peer, a file or its name. */
static void print_text(const char *kind, const char *text)
{
    g_autofree char *printable = text_printable(text);

    fprintf(stderr, "preheat: %s%s\n", kind, printable);
}

static void print_message(const char *kind, const char *format, va_list args)
{
    g_autofree char *text = g_strdup_vprintf(format, args);

    print_text(kind, text);
}

int command_usage_error(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_message("", format, args);
    va_end(args);
    fprintf(stderr, "Try \"%s --help\".\n", g_get_prgname());
    return STATUS_USAGE;
}

int command_fail(GError *error)
{
    int status = STATUS_FAILED;

    if (g_error_matches(error, UTIL_ERROR, UTIL_ERROR_USAGE) ||
        error->domain == G_OPTION_ERROR) {
        status = command_usage_error("%s", error->message);
    } else {
        command_say(error->message);
    }
    g_error_free(error);
    return status;
}

void command_say(const char *text)
{
    print_text("", text);
}

void command_warn(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_message("warning: ", format, args);
    va_end(args);
}

void command_print(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *printable = text_printable(text);

    puts(printable);
}

int command_print_json(json_t *value)
{
    g_assert(value);
    /* In ASCII: what controls a terminal may be longer than a byte. */
    json_dumpf(value, stdout,
               JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    putchar('\n');
    json_decref(value);
    return command_flush();
}

int command_flush(void)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "preheat: cannot write to standard output: %s\n",
                g_strerror(errno));
        return STATUS_FAILED;
    }
    return STATUS_OK;
}

char *command_absolute_path(const char *path, GError **error)
{
    g_autofree char *absolute = g_canonicalize_filename(path, NULL);

    if (!g_utf8_validate(absolute, -1, NULL)) {
        g_autofree char *shown = g_filename_display_name(path);

        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "%s: the path is not UTF-8, which QEMU's monitor requires; "
                    "rename the file",
                    shown);
        return NULL;
    }
    return g_steal_pointer(&absolute);
}
