/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/qemu-args.h"

#include <string.h>

#include "host/qemu-values.h"
#include "util/error.h"
#include "util/own-file.h"

#define PLUGIN_FILE "libpreheat-plugin.so"
#define MAPPED_RAM  "migration.mapped-ram=on"

bool qemu_args_have(char *const *argv, const char *option)
{
    for (size_t i = 1; argv[0] && argv[i]; i++) {
        const char *arg = argv[i];

        if (strcmp(arg, option) == 0 ||
            (arg[0] == '-' && strcmp(arg + 1, option) == 0)) {
            return true;
        }
    }
    return false;
}

bool qemu_args_check_given(char *const *argv, GError **error)
{
    if (!argv || !argv[0]) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "QEMU's command line is missing: write it after \"--\"");
        return false;
    }
    return true;
}

bool qemu_args_check_loadable(char *const *argv, GError **error)
{
    static const char *const ours[] = {"-incoming", "-loadvm"};

    for (size_t i = 0; i < G_N_ELEMENTS(ours); i++) {
        if (qemu_args_have(argv, ours[i])) {
            g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                        "omit %s: the guest comes from the snapshot", ours[i]);
            return false;
        }
    }
    return true;
}

char *qemu_args_find_plugin(GError **error)
{
    const char *given = g_getenv("PREHEAT_PLUGIN");
    const char *installed = PREHEAT_PLUGIN_DIR "/" PLUGIN_FILE;
    char *found;

    if (given && given[0]) {
        return g_canonicalize_filename(given, NULL);
    }
    found = own_file_find("../plugin/" PLUGIN_FILE, installed);
    if (!found) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "the plugin for QEMU is not at %s; install it, or set "
                    "PREHEAT_PLUGIN to its path",
                    installed);
    }
    return found;
}

static GPtrArray *copy_args(char *const *argv)
{
    GPtrArray *args = g_ptr_array_new_with_free_func(g_free);

    for (size_t i = 0; argv[i]; i++) {
        g_ptr_array_add(args, g_strdup(argv[i]));
    }
    return args;
}

static void add(GPtrArray *args, const char *option, char *value)
{
    g_ptr_array_add(args, g_strdup(option));
    if (value) {
        g_ptr_array_add(args, value);
    }
}

static void add_plugin(GPtrArray *args, const char *plugin, const char *options)
{
    g_autofree char *escaped = qemu_values_escape(plugin);

    add(args, "-plugin", g_strconcat(escaped, options, NULL));
}

static char **finish(GPtrArray *args)
{
    g_ptr_array_add(args, NULL);
    return (char **)g_ptr_array_free(args, FALSE);
}

char **qemu_args_for_run(char *const *argv, const char *plugin)
{
    GPtrArray *args = copy_args(argv);

    add_plugin(args, plugin, "");
    return finish(args);
}

char **qemu_args_for_load(char *const *argv, const char *plugin, int control_fd,
                          int qmp_fd)
{
    GPtrArray *args = copy_args(argv);
    g_autofree char *options = g_strdup_printf(",control-fd=%d", control_fd);

    add_plugin(args, plugin, options);
    add(args, "-chardev",
        g_strdup_printf("socket,id=preheat-qmp,fd=%d", qmp_fd));
    /* Not -mon: QEMU 11.1 warns that it is deprecated. */
    add(args, "-qmp", g_strdup("chardev:preheat-qmp"));
    add(args, "-incoming", g_strdup("defer"));
    add(args, "-S", NULL);
    return finish(args);
}

char **qemu_args_with_mapped_ram(char *const *argv)
{
    GPtrArray *args = copy_args(argv);

    add(args, "-global", g_strdup(MAPPED_RAM));
    return finish(args);
}

static bool is_our_plugin(char *const *argv)
{
    return argv[0] && strcmp(argv[0], "-plugin") == 0 && argv[1] &&
           strstr(argv[1], "/" PLUGIN_FILE);
}

/* How many arguments from argv[0] on are ours; 0: it is somebody else's. */
static size_t count_ours(char *const *argv)
{
    const char *value = argv[1];

    if (!value) {
        return 0;
    }
    if (is_our_plugin(argv)) {
        return 2;
    }
    if (strcmp(argv[0], "-global") == 0) {
        return strcmp(value, MAPPED_RAM) == 0 && is_our_plugin(argv + 2) ? 2
                                                                         : 0;
    }
    if (strcmp(argv[0], "-chardev") == 0) {
        return g_str_has_prefix(value, "socket,id=preheat-qmp,") ? 2 : 0;
    }
    if (strcmp(argv[0], "-qmp") == 0 &&
        strcmp(value, "chardev:preheat-qmp") == 0) {
        /* … and "-incoming defer -S", which follow it. */
        return 2 + MIN(g_strv_length((char **)argv + 2), 3);
    }
    return 0;
}

char **qemu_args_without_ours(char *const *argv)
{
    GPtrArray *args = g_ptr_array_new_with_free_func(g_free);

    while (*argv) {
        size_t n_ours = count_ours(argv);

        if (n_ours == 0) {
            g_ptr_array_add(args, g_strdup(*argv));
        }
        argv += MAX(n_ours, 1);
    }
    return finish(args);
}

void qemu_args_set_plugin_api(int version)
{
    g_autofree char *text = g_strdup_printf("%d", version);

    if (version > 0) {
        g_setenv("PREHEAT_PLUGIN_API", text, TRUE);
    }
}
