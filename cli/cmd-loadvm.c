/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/image-offset.h"
#include "cli/progress.h"
#include "host/loader.h"
#include "host/qemu-args.h"
#include "util/error.h"
#include "util/file.h"

#define DEFAULT_RECORD_S 10.0
#define MAX_RECORD_S     86400.0

/* The options as they were given. */
typedef struct Given {
    char *snapshot;
    char *absolute_snapshot;
    char *offset;
    char *order;
    char *policy;
    char *wait;
    char *record;
    double record_s;
    gboolean resume;
    gboolean learn;
    char *stats;
    int plugin_api;
} Given;

static void clear_given(Given *given)
{
    g_free(given->snapshot);
    g_free(given->absolute_snapshot);
    g_free(given->offset);
    g_free(given->order);
    g_free(given->policy);
    g_free(given->wait);
    g_free(given->record);
    g_free(given->stats);
}

static bool usage(GError **error, const char *text)
{
    g_set_error_literal(error, UTIL_ERROR, UTIL_ERROR_USAGE, text);
    return false;
}

/* Replace *path, unless it is NULL. */
static bool make_absolute(char **path, GError **error)
{
    char *absolute;

    if (!*path) {
        return true;
    }
    absolute = command_absolute_path(*path, error);
    if (!absolute) {
        return false;
    }
    g_free(*path);
    *path = absolute;
    return true;
}

static bool parse_policy(const Given *given, LoadOptions *options,
                         GError **error)
{
    LoadPolicy policy =
        given->order ? LOAD_POLICY_ORDER : LOAD_POLICY_SEQUENTIAL;

    if (given->policy && !load_policy_from_name(given->policy, &policy)) {
        return usage(error, "--policy is one of order, sequential, demand "
                            "and full");
    }
    if (policy == LOAD_POLICY_ORDER && !given->order) {
        return usage(error, "--policy order needs --order FILE");
    }
    if (policy == LOAD_POLICY_FULL && given->record) {
        return usage(error, "--policy full takes no --record: QEMU touches "
                            "all pages itself");
    }
    options->policy = policy;
    return true;
}

static bool parse_wait(const Given *given, LoadOptions *options, GError **error)
{
    static const char *const waits[] = {
        [LOAD_WAIT_NONE] = "none",
        [LOAD_WAIT_HOT] = "hot",
        [LOAD_WAIT_ALL] = "all",
    };
    size_t wait = 0;

    while (given->wait && wait < G_N_ELEMENTS(waits) &&
           strcmp(given->wait, waits[wait]) != 0) {
        wait++;
    }
    if (wait == G_N_ELEMENTS(waits)) {
        return usage(error, "--wait is one of none, hot and all");
    }
    options->wait = (LoadWait)wait;
    if (wait != LOAD_WAIT_NONE && given->record) {
        return usage(error, "--record needs the running guest: it goes with "
                            "--wait none only");
    }
    if (wait == LOAD_WAIT_HOT && options->policy != LOAD_POLICY_ORDER) {
        return usage(error, "--wait hot needs an order");
    }
    if (wait == LOAD_WAIT_ALL && options->policy == LOAD_POLICY_DEMAND) {
        return usage(error, "--policy demand loads only what is touched: "
                            "--wait all would wait for ever");
    }
    return true;
}

static bool parse_record(const Given *given, LoadOptions *options,
                         GError **error)
{
    if (!(given->record_s > 0 && given->record_s <= MAX_RECORD_S)) {
        return usage(error, "--record-for takes seconds, up to 86400");
    }
    if (given->learn && given->record) {
        return usage(error, "--learn and --record do not go together: "
                            "recording begins anew");
    }
    if (given->learn && options->policy != LOAD_POLICY_ORDER) {
        return usage(error, "--learn needs the order that it is to improve: "
                            "--order FILE, with --policy order");
    }
    options->learn = given->learn;
    options->record = given->record;
    options->record_ms = (int64_t)(given->record_s * 1000);
    return true;
}

/* Known at once, before QEMU is started. */
static bool check_readable(const char *path, GError **error)
{
    if (access(path, R_OK) < 0) {
        util_error_set_errno(error, errno, "%s: cannot read", path);
        return false;
    }
    return true;
}

/* The same for what is written in the end; NULL is fine. */
static bool check_replaceable(const char *path, GError **error)
{
    if (path && !file_check_replaceable(path, error)) {
        g_prefix_error(error, "%s: ", path);
        return false;
    }
    return true;
}

static bool parse_given(Given *given, LoadOptions *options, GError **error)
{
    if (!given->snapshot) {
        return usage(error, "--snapshot is needed");
    }
    given->absolute_snapshot = g_strdup(given->snapshot);
    if (!qemu_args_check_given(options->qemu_argv, error) ||
        !make_absolute(&given->absolute_snapshot, error) ||
        !make_absolute(&given->order, error) ||
        !make_absolute(&given->record, error) ||
        !make_absolute(&given->stats, error)) {
        return false;
    }
    options->given_snapshot = given->snapshot;
    options->snapshot = given->absolute_snapshot;
    options->order = given->order;
    options->stats = given->stats;
    options->resume = given->resume;
    return parse_policy(given, options, error) &&
           parse_wait(given, options, error) &&
           parse_record(given, options, error) &&
           image_offset_parse(given->offset, &options->image_off_bytes,
                              error) &&
           qemu_args_check_loadable(options->qemu_argv, error);
}

static int load(Given *given, LoadOptions *options)
{
    g_autoptr(ProgressBar) bar = progress_bar_new();
    g_autofree char *plugin = NULL;
    GError *error = NULL;
    int status;

    if (!parse_given(given, options, &error)) {
        return command_fail(error);
    }
    if (check_readable(given->snapshot, &error) &&
        check_replaceable(given->record, &error) &&
        check_replaceable(given->learn ? given->order : NULL, &error) &&
        check_replaceable(given->stats, &error)) {
        plugin = qemu_args_find_plugin(&error);
    }
    if (!plugin) {
        return command_fail(error);
    }
    options->plugin = plugin;
    options->progress = progress_bar_progress(bar);
    qemu_args_set_plugin_api(given->plugin_api);
    return loader_run(options, &status, &error) ? status : command_fail(error);
}

static int cmd_loadvm_run(int argc, char **argv)
{
    Given given = {.record_s = DEFAULT_RECORD_S};
    const GOptionEntry entries[] = {
        {"snapshot", 0, 0, G_OPTION_ARG_FILENAME, &given.snapshot,
         "Snapshot to load", "FILE"},
        IMAGE_OFFSET_OPTION(&given.offset),
        {"order", 0, 0, G_OPTION_ARG_FILENAME, &given.order,
         "Page-access order to replay", "FILE"},
        {"policy", 0, 0, G_OPTION_ARG_STRING, &given.policy,
         "order, sequential, demand or full (order if there is one, else "
         "sequential)",
         "POLICY"},
        {"wait", 0, 0, G_OPTION_ARG_STRING, &given.wait,
         "Resume the guest when none, the hot or all pages are in (none)",
         "none|hot|all"},
        {"resume", 0, 0, G_OPTION_ARG_NONE, &given.resume,
         "Resume the guest even if it was paused when it was saved", NULL},
        {"record", 0, 0, G_OPTION_ARG_FILENAME, &given.record,
         "Record the order of this guest's first touches", "FILE"},
        {"record-for", 0, 0, G_OPTION_ARG_DOUBLE, &given.record_s,
         "How long to record or to learn (10)", "SECONDS"},
        {"learn", 0, 0, G_OPTION_ARG_NONE, &given.learn,
         "Improve the order by what this load shows; a missing one is begun",
         NULL},
        {"stats", 0, 0, G_OPTION_ARG_FILENAME, &given.stats,
         "Write the load's statistics, as JSON", "FILE"},
        PLUGIN_API_OPTION(&given.plugin_api),
        {NULL},
    };
    LoadOptions options = {.start_us = g_get_monotonic_time(),
                           .say = command_say};
    int status;

    options.qemu_argv = command_split(&argc, argv);
    if (command_parse(&cmd_loadvm, entries, 0, 0, &argc, &argv, &status)) {
        status = load(&given, &options);
    }
    clear_given(&given);
    return status;
}

const Command cmd_loadvm = {
    .name = "loadvm",
    .synopsis = "--snapshot FILE [--order FILE] -- QEMU ARGUMENTS…",
    .summary = "Start QEMU from a snapshot, lazily",
    .run = cmd_loadvm_run,
};
