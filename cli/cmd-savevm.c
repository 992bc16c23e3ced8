/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/interrupts.h"
#include "cli/progress.h"
#include "formats/file-kind.h"
#include "host/qmp.h"
#include "host/saver.h"
#include "util/error.h"
#include "util/units.h"

static json_int_t profile_number(const SaveResult *result, const char *name)
{
    return json_integer_value(json_object_get(result->profile, name));
}

static void print_profile(const SaveResult *result)
{
    printf("%s: %" JSON_INTEGER_FORMAT " first touches recorded in %.2f s; "
           "that cost the guest %.1f ms to begin, %.1f ms to end, and "
           "%" JSON_INTEGER_FORMAT " ms of waiting\n",
           json_string_value(json_object_get(result->profile, "output")),
           profile_number(result, "first-touches"),
           (double)profile_number(result, "window-ms") / 1000,
           (double)result->window_us / 1000,
           (double)profile_number(result, "close-us") / 1000,
           profile_number(result, "blocktime-ms"));
    if (profile_number(result, "pinned-pages") > 0) {
        printf("%" JSON_INTEGER_FORMAT " pages could not be watched and are "
               "not in the order: merged by KSM, shared with a fork, or "
               "pinned\n",
               profile_number(result, "pinned-pages"));
    }
}

static int print_result(const char *output, const SaveResult *result)
{
    g_autofree char *size = units_format_size(result->stored_bytes);

    printf("%s: %s saved in %.2f s; the guest stood still for %.2f s\n", output,
           size, (double)result->total_us / G_USEC_PER_SEC,
           (double)result->stopped_us / G_USEC_PER_SEC);
    if (result->profile) {
        print_profile(result);
    }
    return command_flush();
}

static int print_result_json(const char *output, const SaveResult *result)
{
    json_t *json =
        json_pack("{s:s, s:I, s:I, s:I, s:I}", "snapshot", output,
                  "stored-bytes", (json_int_t)result->stored_bytes,
                  "stopped-ms", (json_int_t)(result->stopped_us / 1000),
                  "window-opening-ms", (json_int_t)(result->window_us / 1000),
                  "total-ms", (json_int_t)(result->total_us / 1000));

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
                "--disks is one of snapshot, leave and refuse");
    return false;
}

static int save(const char *socket_path, const char *output, const char *disks,
                const ProfileTime *profile, bool json)
{
    g_autoptr(ProgressBar) bar = progress_bar_new();
    g_autoptr(Machine) machine = NULL;
    g_autofree char *path = NULL;
    SaveOptions options = {.profile = profile,
                           .say = command_say,
                           .progress = progress_bar_progress(bar)};
    SaveResult result;
    Rpc *qmp;
    GError *error = NULL;
    int status;
    bool ok;

    path = parse_disks(disks, &options.disks, &error)
               ? command_absolute_path(output, &error)
               : NULL;
    qmp = path && file_kind_check_replaceable(path, FILE_KIND_SNAPSHOT, &error)
              ? qmp_connect(socket_path, NULL, &error)
              : NULL;
    if (!qmp) {
        return command_fail(error);
    }
    machine = machine_new(qmp);
    options.output = path;
    options.interrupt_fd = interrupts_open();
    ok = saver_run(machine, &options, &result, &error);
    interrupts_close(options.interrupt_fd);
    if (!ok) {
        g_prefix_error(&error, "%s: ", output);
        return command_fail(error);
    }
    status =
        json ? print_result_json(path, &result) : print_result(output, &result);
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
    g_autofree char *socket_path = NULL;
    g_autofree char *output = NULL;
    g_autofree char *disks = NULL;
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        {"qmp", 0, 0, G_OPTION_ARG_FILENAME, &socket_path,
         "QMP socket of the QEMU that runs the guest", "SOCKET"},
        {"output", 'o', 0, G_OPTION_ARG_FILENAME, &output,
         "Where to save to; replaced when the save is complete", "FILE"},
        {"disks", 0, 0, G_OPTION_ARG_STRING, &disks,
         "What becomes of writable disks: the guest goes on in overlays "
         "(default), they are left to you, or the save is refused",
         "snapshot|leave|refuse"},
        {"profile", 0, G_OPTION_FLAG_OPTIONAL_ARG, G_OPTION_ARG_CALLBACK,
         (gpointer)parse_profile,
         "Then record in which order the guest touches its pages, as "
         "FILE.order (until it has settled, at most 30 s)",
         "SECONDS"},
        COMMAND_JSON_OPTION(&json),
        {NULL},
    };
    int status;

    if (!command_parse(&cmd_savevm, entries, 0, 0, &argc, &argv, &status)) {
        return status;
    }
    if (!socket_path || !output) {
        return command_usage_error("--qmp and --output are needed");
    }
    return save(socket_path, output, disks,
                profile_option.given ? &profile_option.time : NULL, json);
}

const Command cmd_savevm = {
    .name = "savevm",
    .synopsis = "--qmp SOCKET --output FILE [--profile[=SECONDS]]",
    .summary = "Save a running guest",
    .run = cmd_savevm_run,
};
