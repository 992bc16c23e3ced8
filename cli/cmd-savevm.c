/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/interrupts.h"
#include "cli/progress.h"
#include "formats/file-kind.h"
#include "formats/manifest.h"
#include "host/profiling.h"
#include "host/qmp.h"
#include "host/saver.h"
#include "host/tag-saver.h"
#include "util/error.h"
#include "util/units.h"

static json_int_t profile_number(const SaveResult *result, const char *name)
{
    return json_integer_value(json_object_get(result->profile, name));
}

static void print_profile(const SaveResult *result)
{
    command_print(
        "%s: %" JSON_INTEGER_FORMAT
        " first touches recorded in %.2f s; this cost the guest %.1f ms to "
        "begin, %.1f ms to end, and %" JSON_INTEGER_FORMAT " ms of waiting",
        json_string_value(json_object_get(result->profile, "output")),
        profile_number(result, "first-touches"),
        (double)profile_number(result, "window-ms") / 1000,
        (double)result->window_us / 1000,
        (double)profile_number(result, "close-us") / 1000,
        profile_number(result, "blocktime-ms"));
    if (profile_number(result, "pinned-pages") > 0) {
        printf("%" JSON_INTEGER_FORMAT " pages could not be watched and are "
               "not in the order: merged by KSM (QEMU's -machine "
               "mem-merge=off keeps it off), shared with a fork, or pinned\n",
               profile_number(result, "pinned-pages"));
    }
}

static int print_result(const char *output, const SaveResult *result)
{
    g_autofree char *size = units_format_size(result->stored_bytes);

    command_print("%s: %s saved in %.2f s; the guest was stopped for %.2f s",
                  output, size, (double)result->total_us / G_USEC_PER_SEC,
                  (double)result->stopped_us / G_USEC_PER_SEC);
    if (result->profile) {
        print_profile(result);
    }
    return command_flush();
}

static int print_result_json(const char *output, const char *tag,
                             const SaveResult *result)
{
    json_t *json =
        json_pack("{s:s, s:I, s:I, s:I, s:I}", "snapshot", output,
                  "stored-bytes", (json_int_t)result->stored_bytes,
                  "stopped-ms", (json_int_t)(result->stopped_us / 1000),
                  "window-opening-ms", (json_int_t)(result->window_us / 1000),
                  "total-ms", (json_int_t)(result->total_us / 1000));

    if (tag) {
        json_object_set_new(json, "tag", json_string(tag));
    }
    if (result->profile) {
        json_object_set(json, "profile", result->profile);
    }
    return command_print_json(json);
}

static bool parse_disks(const char *text, SaveDisks *ret_disks, GError **error)
{
    for (size_t i = 0; i < N_SAVE_DISKS; i++) {
        if (!text || strcmp(text, save_disks_name((SaveDisks)i)) == 0) {
            *ret_disks = (SaveDisks)i;
            return true;
        }
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                "--disks must be snapshot, leave or refuse");
    return false;
}

/* Where and how to save, as it was given. */
typedef struct Given {
    char *socket_path;
    char *output; /* or … */
    char *tag;
    char *disks;
} Given;

static void given_clear(Given *given)
{
    g_free(given->socket_path);
    g_free(given->output);
    g_free(given->tag);
    g_free(given->disks);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Given, given_clear)

/* What is written beside the snapshot at path replaces nothing else. */
static bool check_beside(const char *path, bool has_order, GError **error)
{
    g_autofree char *manifest = manifest_path(path);
    g_autofree char *order = profile_order_path(path);

    return file_kind_check_beside(manifest, FILE_KIND_MANIFEST, error) &&
           (!has_order ||
            file_kind_check_beside(order, FILE_KIND_ORDER, error));
}

/* Where the snapshot goes, if that is a file of its own: an absolute path, for
 * g_free(). */
static char *output_path(const Given *given, bool has_order,
                         SaveDisks *ret_disks, GError **error)
{
    g_autofree char *path = parse_disks(given->disks, ret_disks, error)
                                ? command_absolute_path(given->output, error)
                                : NULL;

    return path &&
                   file_kind_check_replaceable(path, FILE_KIND_SNAPSHOT,
                                               error) &&
                   check_beside(path, has_order, error)
               ? g_steal_pointer(&path)
               : NULL;
}

static bool save_to_file(Machine *machine, const char *path, SaveDisks disks,
                         const TagSaveOptions *common, SaveResult *ret_result,
                         GError **error)
{
    const SaveOptions options = {.output = path,
                                 .disks = disks,
                                 .profile = common->profile,
                                 .interrupt_fd = common->interrupt_fd,
                                 .say = common->say,
                                 .progress = common->progress};

    return saver_run(machine, &options, ret_result, error);
}

static int print(const Given *given, const char *path, const SaveResult *result,
                 bool json)
{
    g_autofree char *name =
        given->tag ? g_strdup_printf("%s, snapshot %s", path, given->tag)
                   : g_strdup(given->output);

    return json ? print_result_json(path, given->tag, result)
                : print_result(name, result);
}

static int save(const Given *given, const ProfileTime *profile, bool json)
{
    g_autoptr(ProgressBar) bar = progress_bar_new();
    g_autoptr(Machine) machine = NULL;
    TagSaveOptions options = {.tag = given->tag,
                              .profile = profile,
                              .say = command_say,
                              .progress = progress_bar_progress(bar)};
    SaveDisks disks = SAVE_DISKS_SNAPSHOT;
    GError *error = NULL;
    g_autofree char *path =
        given->tag ? NULL : output_path(given, profile != NULL, &disks, &error);
    Rpc *qmp = error ? NULL : qmp_connect(given->socket_path, NULL, &error);
    SaveResult result;

    if (!qmp) {
        return command_fail(error);
    }
    machine = machine_new(qmp);
    /* A save does not end half-way with who listens at standard error. */
    signal(SIGPIPE, SIG_IGN);
    options.interrupt_fd = interrupts_open();
    bool ok =
        given->tag
            ? tag_saver_run(machine, &options, &path, &result, &error)
            : save_to_file(machine, path, disks, &options, &result, &error);
    interrupts_close(options.interrupt_fd);
    if (!ok && !given->tag) {
        g_prefix_error(&error, "%s: ", given->output);
    }
    if (!ok) {
        return command_fail(error);
    }
    int status = print(given, path, &result, json);
    json_decref(result.profile);
    return status;
}

/* What --profile was given.  GOption hands its callbacks nothing of ours. */
static struct {
    bool given;
    ProfileTime time;
} profile_option;

static gboolean parse_profile(const char *name, const char *value,
                              gpointer opaque, GError **error)
{
    profile_option.given = true;
    return profile_time_parse(value, &profile_option.time, error);
}

static int cmd_savevm_run(int argc, char **argv)
{
    g_auto(Given) given = {0};
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        {"qmp", 0, 0, G_OPTION_ARG_FILENAME, &given.socket_path,
         "QMP socket of the QEMU that runs the guest", "SOCKET"},
        {"output", 'o', 0, G_OPTION_ARG_FILENAME, &given.output,
         "The file to save to; replaced when the save is complete", "FILE"},
        {"tag", 0, 0, G_OPTION_ARG_STRING, &given.tag,
         "Save into the guest's own qcow2 disks, as an internal snapshot of "
         "this name (QEMU 11.1)",
         "NAME"},
        {"disks", 0, 0, G_OPTION_ARG_STRING, &given.disks,
         "What to do with writable disks: let the guest go on in overlays "
         "(default), leave them to you, or refuse the save",
         "snapshot|leave|refuse"},
        {"profile", 0, G_OPTION_FLAG_OPTIONAL_ARG, G_OPTION_ARG_CALLBACK,
         (gpointer)parse_profile,
         "Then record in which order the guest touches its pages, in "
         "FILE.order or DISK.NAME.order (until that settles, at most 30 s)",
         "SECONDS"},
        COMMAND_JSON_OPTION(&json),
        {NULL},
    };
    int status;

    if (!command_parse(&cmd_savevm, entries, 0, 0, &argc, &argv, &status)) {
        return status;
    }
    if (!given.socket_path || !given.output == !given.tag) {
        return command_usage_error("--qmp is required, and --output or --tag");
    }
    if (given.tag && given.disks) {
        return command_usage_error("--disks needs --output: with --tag, all "
                                   "writable disks get the snapshot");
    }
    return save(&given, profile_option.given ? &profile_option.time : NULL,
                json);
}

const Command cmd_savevm = {
    .name = "savevm",
    .synopsis = "--qmp SOCKET --output FILE|--tag NAME [--profile[=SECONDS]]",
    .summary = "Save a running guest",
    .run = cmd_savevm_run,
};
