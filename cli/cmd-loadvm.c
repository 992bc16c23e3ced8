/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/image-offset.h"
#include "cli/interrupts.h"
#include "cli/load-report.h"
#include "cli/progress.h"
#include "cli/saved-load.h"
#include "formats/file-kind.h"
#include "host/attach.h"
#include "host/loader.h"
#include "host/qemu-args.h"
#include "util/error.h"
#include "util/file.h"
#include "util/units.h"

#define DEFAULT_RECORD_S 10.0
#define MAX_RECORD_S     86400.0

/* The options as they were given. */
typedef struct Given {
    char *snapshot;
    char *absolute_snapshot;
    char *tag;
    char *offset;
    char *order;
    char *template;
    char *policy;
    char *pack;
    char *wait;
    char *record;
    double record_s;
    char *cache;
    char *rest;
    char *rest_rate;
    gboolean resume;
    gboolean paused;
    gboolean learn;
    char *qmp;
    gboolean stay;
    gboolean json;
    int ready_fd;
    int start_fd;
    char *stats;
    int plugin_api;
    SavedLoad saved;
    bool was_loaded;
} Given;

static void clear_given(Given *given)
{
    g_free(given->snapshot);
    g_free(given->absolute_snapshot);
    g_free(given->tag);
    g_free(given->offset);
    g_free(given->order);
    g_free(given->template);
    g_free(given->policy);
    g_free(given->pack);
    g_free(given->wait);
    g_free(given->cache);
    g_free(given->rest);
    g_free(given->rest_rate);
    g_free(given->record);
    g_free(given->stats);
    g_free(given->qmp);
    saved_load_clear(&given->saved, given->was_loaded);
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

#define WHY_NOT_READ                                                           \
    "the template reads the snapshot, by the order that it was started with"
#define WHY_NOT_SEEN                                                           \
    "what is mapped from a template is touched unseen; record or learn at a "  \
    "load without it"

static bool parse_template(const Given *given, LoadOptions *options,
                           GError **error)
{
    const struct {
        const char *name;
        bool is_given;
        const char *why_not;
    } others[] = {
        {"--order", given->order != NULL, WHY_NOT_READ},
        {"--policy", given->policy != NULL, WHY_NOT_READ},
        {"--rest", given->rest != NULL, WHY_NOT_READ},
        {"--rest-rate", given->rest_rate != NULL, WHY_NOT_READ},
        {"--record", given->record != NULL, WHY_NOT_SEEN},
        {"--learn", given->learn, WHY_NOT_SEEN},
        {"--tag", given->tag != NULL,
         "a machine that is loaded from its disk goes on with that disk, so "
         "there can be only one; save it with preheat savevm, to a file of its "
         "own"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
        if (others[i].is_given) {
            g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                        "%s does not go with --template: %s", others[i].name,
                        others[i].why_not);
            return false;
        }
    }
    options->template = given->template;
    options->policy = LOAD_POLICY_DEMAND;
    return true;
}

static bool parse_policy(const Given *given, LoadOptions *options,
                         GError **error)
{
    LoadPolicy policy =
        given->order ? LOAD_POLICY_ORDER : LOAD_POLICY_SEQUENTIAL;

    if (given->template) {
        return parse_template(given, options, error);
    }
    if (given->policy && !load_policy_from_name(given->policy, &policy)) {
        return usage(error,
                     "--policy must be order, sequential, demand or full");
    }
    if (policy == LOAD_POLICY_ORDER && !given->order) {
        return usage(error, "--policy order needs --order FILE");
    }
    if (policy == LOAD_POLICY_FULL && given->record) {
        return usage(error, "--policy full cannot be used with --record: QEMU "
                            "touches all pages itself");
    }
    options->policy = policy;
    return true;
}

static bool parse_cache(const Given *given, LoadOptions *options,
                        GError **error)
{
    if (given->cache && !load_cache_from_name(given->cache, &options->cache)) {
        return usage(error, "--cache is one of auto, direct and buffered");
    }
    return true;
}

static bool parse_pack(const Given *given, LoadOptions *options, GError **error)
{
    if (given->pack && !load_pack_from_name(given->pack, &options->pack)) {
        return usage(error, "--pack is one of auto, always and never");
    }
    if (given->pack && options->policy != LOAD_POLICY_ORDER) {
        return usage(error, "--pack is about the pack of an order: it needs an "
                            "order");
    }
    return true;
}

static bool parse_rest(const Given *given, LoadOptions *options, GError **error)
{
    if (given->rest && !load_rest_from_name(given->rest, &options->rest)) {
        return usage(error, "--rest must be idle, eager or demand");
    }
    if (given->rest && options->policy != LOAD_POLICY_ORDER) {
        return usage(error, "--rest needs an order: it is about the pages that "
                            "the order does not have");
    }
    if (given->rest_rate &&
        !units_parse_size(given->rest_rate, &options->rest_bytes_per_s,
                          error)) {
        g_prefix_error(error, "--rest-rate: ");
        return false;
    }
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
        return usage(error, "--wait must be none, hot or all");
    }
    options->wait = (LoadWait)wait;
    if (wait != LOAD_WAIT_NONE && given->record) {
        return usage(error,
                     "--record needs the running guest: use --wait none");
    }
    if (wait == LOAD_WAIT_HOT && options->policy != LOAD_POLICY_ORDER) {
        return usage(error, "--wait hot needs an order");
    }
    if (wait == LOAD_WAIT_ALL && !given->template &&
        (options->policy == LOAD_POLICY_DEMAND ||
         options->rest == LOAD_REST_DEMAND)) {
        return usage(error, "with demand only pages that the guest touches are "
                            "loaded: --wait all would wait forever");
    }
    return true;
}

static bool parse_record(const Given *given, LoadOptions *options,
                         GError **error)
{
    if (!(given->record_s > 0 && given->record_s <= MAX_RECORD_S)) {
        return usage(error,
                     "--record-for must be a number of seconds up to 86400");
    }
    if (given->learn && given->record) {
        return usage(
            error,
            "--learn cannot be used with --record, which begins a new order");
    }
    if (given->learn && options->policy != LOAD_POLICY_ORDER) {
        return usage(error, "--learn needs the order to improve: --order FILE, "
                            "with --policy order");
    }
    options->learn = given->learn;
    options->record = given->record;
    options->record_ms = (int64_t)(given->record_s * 1000);
    return true;
}

static bool parse_tag(const Given *given, GError **error)
{
    if (given->tag && g_strcmp0(given->policy, "full") == 0) {
        return usage(error, "--policy full cannot be used with --tag: to have "
                            "QEMU load everything "
                            "itself, use preheat run -- QEMU … -loadvm NAME");
    }
    if (given->tag && (given->saved.sets || given->saved.keep_disks)) {
        return usage(
            error,
            "--set and --keep-disks are only for a load that takes QEMU's "
            "arguments from the manifest, and with --tag there is none");
    }
    if (given->tag && given->offset) {
        return usage(error, "--tag cannot be used with --offset: the qcow2 "
                            "says where the snapshot is");
    }
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
static bool check_replaceable(const char *path, FileKind kind, GError **error)
{
    if (path && !file_kind_check_replaceable(path, kind, error)) {
        return false;
    }
    if (path && !file_check_replaceable(path, error)) {
        g_prefix_error(error, "%s: ", path);
        return false;
    }
    return true;
}

/* Which QEMU it is, and what its guest is to do. */
static bool parse_qemu(const Given *given, LoadOptions *options, GError **error)
{
    if (given->resume && given->paused) {
        return usage(error, "--resume cannot be used with --paused");
    }
    options->resume = given->resume;
    options->paused = given->paused;
    options->qmp_path = given->qmp;
    options->stay = given->stay;
    if (!given->qmp) {
        return given->stay
                   ? usage(error, "--stay needs --qmp: loadvm always stays "
                                  "with a QEMU that it has started")
                   : !options->qemu_argv ||
                         qemu_args_check_loadable(options->qemu_argv, error);
    }
    if (options->qemu_argv) {
        return usage(
            error,
            "--qmp SOCKET, for a QEMU that is running, cannot be used with "
            "\"--\" and the command line of a QEMU to start");
    }
    if (given->plugin_api != 0) {
        return usage(
            error,
            "--plugin-api is for a QEMU to start; give it to preheat run");
    }
    return true;
}

static bool parse_start(const Given *given, LoadOptions *options,
                        GError **error)
{
    int flags;

    if (given->start_fd == LOAD_REPORT_NO_FD) {
        return true;
    }
    if (given->qmp) {
        return usage(error, "--start-fd is for a QEMU that loadvm starts; one "
                            "at --qmp waits by itself");
    }
    flags = fcntl(given->start_fd, F_GETFL);
    if (given->start_fd <= STDERR_FILENO ||
        given->start_fd == given->ready_fd || flags < 0 ||
        (flags & O_ACCMODE) == O_WRONLY ||
        fcntl(given->start_fd, F_SETFD, FD_CLOEXEC) < 0) {
        g_set_error(
            error, UTIL_ERROR, UTIL_ERROR_USAGE,
            "--start-fd %d: must be 3 or larger, open and readable, and "
            "not that of --ready-fd",
            given->start_fd);
        return false;
    }
    options->start_fd = given->start_fd;
    return true;
}

/* Where QEMU's command line comes from the manifest, so does the order.  What
 * lies in a disk has none. */
static bool open_saved(Given *given, const LoadOptions *options, GError **error)
{
    if (given->tag) {
        return given->qmp || qemu_args_check_given(options->qemu_argv, error);
    }
    if (given->qmp) {
        return saved_load_open_beside(&given->saved, given->snapshot, error);
    }
    if (!saved_load_open(&given->saved, given->snapshot, options->qemu_argv,
                         error)) {
        return false;
    }
    if (!options->qemu_argv && !given->order && !given->record &&
        !given->template &&
        (!given->policy ||
         strcmp(given->policy, load_policy_name(LOAD_POLICY_ORDER)) == 0)) {
        given->order = saved_load_order(&given->saved, given->snapshot);
    }
    return true;
}

static bool parse_given(Given *given, LoadOptions *options, GError **error)
{
    if (!given->snapshot) {
        return usage(error, "the snapshot is missing");
    }
    given->absolute_snapshot = g_strdup(given->snapshot);
    if (!parse_qemu(given, options, error) ||
        !parse_start(given, options, error) ||
        !open_saved(given, options, error) ||
        !make_absolute(&given->saved.keep_disks, error) ||
        !make_absolute(&given->absolute_snapshot, error) ||
        !make_absolute(&given->order, error) ||
        !make_absolute(&given->template, error) ||
        !make_absolute(&given->record, error) ||
        !make_absolute(&given->stats, error)) {
        return false;
    }
    options->given_snapshot = given->snapshot;
    options->snapshot = given->absolute_snapshot;
    options->tag = given->tag;
    options->order = given->order;
    options->stats = given->stats;
    return parse_policy(given, options, error) &&
           parse_pack(given, options, error) &&
           parse_rest(given, options, error) &&
           parse_cache(given, options, error) && parse_tag(given, error) &&
           parse_wait(given, options, error) &&
           parse_record(given, options, error) &&
           image_offset_parse(given->offset, &options->image_off_bytes, error);
}

/* A QEMU that runs. */
static bool load_into_running(LoadOptions *options, int *ret_status,
                              GError **error)
{
    g_autoptr(GError) local = NULL;

    options->interrupt_fd = interrupts_open();
    *ret_status = STATUS_OK;
    if (!attach_run(options, &local) &&
        g_error_matches(local, UTIL_ERROR, UTIL_ERROR_INTERRUPTED)) {
        *ret_status = 128 + interrupts_take(options->interrupt_fd);
        g_clear_error(&local);
    }
    interrupts_close(options->interrupt_fd);
    if (local) {
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
    }
    return true;
}

static bool start_and_load(Given *given, LoadOptions *options, int *ret_status,
                           GError **error)
{
    g_autofree char *plugin = qemu_args_find_plugin(error);
    g_auto(GStrv) argv = NULL;

    if (options->tag) {
        argv = qemu_args_with_mapped_ram(options->qemu_argv);
        options->qemu_argv = argv;
    }
    options->plugin = plugin;
    qemu_args_set_plugin_api(given->plugin_api);
    if (!plugin || !saved_load_prepare(&given->saved, options, error)) {
        return false;
    }
    bool ok = loader_run(options, ret_status, error);
    /* Else nobody misses its disks. */
    given->was_loaded = load_report_has_guest(options->tell_opaque);
    if (ok && *ret_status == LOADER_NOT_WANTED) {
        *ret_status = STATUS_OK;
    }
    return ok;
}

/* A file that was mistaken for a snapshot is no reason to start QEMU.  With
 * policy full only QEMU itself has to know it, and what is no regular file is
 * told of later. */
static bool check_kind(const Given *given, const LoadOptions *options,
                       GError **error)
{
    g_autoptr(ByteSource) source = byte_source_open(given->snapshot, NULL);

    return !source || options->policy == LOAD_POLICY_FULL ||
           options->image_off_bytes > 0 ||
           file_kind_expect(source,
                            given->tag ? FILE_KIND_QCOW2 : FILE_KIND_SNAPSHOT,
                            error);
}

static bool check_files(const Given *given, const LoadOptions *options,
                        GError **error)
{
    return check_readable(given->snapshot, error) &&
           check_kind(given, options, error) &&
           check_replaceable(given->record, FILE_KIND_ORDER, error) &&
           check_replaceable(given->learn ? given->order : NULL,
                             FILE_KIND_ORDER, error) &&
           check_replaceable(given->stats, FILE_KIND_UNKNOWN, error);
}

static bool load(Given *given, LoadOptions *options, int *ret_status,
                 GError **error)
{
    g_autoptr(ProgressBar) bar = progress_bar_new();

    if (!parse_given(given, options, error) ||
        !check_files(given, options, error)) {
        return false;
    }
    options->progress = progress_bar_progress(bar);
    return given->qmp ? load_into_running(options, ret_status, error)
                      : start_and_load(given, options, ret_status, error);
}

static int load_and_report(Given *given, LoadOptions *options)
{
    GError *error = NULL;
    g_autoptr(LoadReport) report =
        load_report_new(given->snapshot, given->json, given->ready_fd, &error);
    int status;

    options->tell = load_report_tell;
    options->tell_opaque = report;
    if (report && load(given, options, &status, &error)) {
        return status;
    }
    load_report_failed(report, error->message);
    return command_fail(error);
}

/* argument: the snapshot where it stands alone, else NULL. */
static int load_given(Given *given, const char *argument, LoadOptions *options)
{
    if (argument) {
        given->snapshot = g_strdup(argument);
    }
    return load_and_report(given, options);
}

static int cmd_loadvm_run(int argc, char **argv)
{
    Given given = {.record_s = DEFAULT_RECORD_S,
                   .ready_fd = LOAD_REPORT_NO_FD,
                   .start_fd = LOAD_REPORT_NO_FD};
    const GOptionEntry entries[] = {
        {"snapshot", 0, 0, G_OPTION_ARG_FILENAME, &given.snapshot,
         "Snapshot to load, the same as SNAPSHOT", "FILE"},
        {"tag", 0, 0, G_OPTION_ARG_STRING, &given.tag,
         "SNAPSHOT is a qcow2 disk of the guest: revert its disks to this "
         "snapshot, and load the machine from it",
         "NAME"},
        IMAGE_OFFSET_OPTION(&given.offset),
        {"order", 0, 0, G_OPTION_ARG_FILENAME, &given.order,
         "Page-access order to replay", "FILE"},
        {"template", 0, 0, G_OPTION_ARG_FILENAME, &given.template,
         "Map the pages of the template that listens on this socket", "SOCKET"},
        {"policy", 0, 0, G_OPTION_ARG_STRING, &given.policy,
         "order, sequential, demand or full (default: order if there is one, "
         "else sequential)",
         "POLICY"},
        {"pack", 0, 0, G_OPTION_ARG_STRING, &given.pack,
         "Read the order's pages from its pack, ORDER.pack, if that is found "
         "to be faster (auto), always, or never",
         "auto|always|never"},
        {"wait", 0, 0, G_OPTION_ARG_STRING, &given.wait,
         "Resume the guest when none, the hot or all pages are loaded "
         "(default: none)",
         "none|hot|all"},
        {"cache", 0, 0, G_OPTION_ARG_STRING, &given.cache,
         "Read the snapshot past the page cache where it is not in it and "
         "will not be wanted again, always, or never (auto)",
         "auto|direct|buffered"},
        {"rest", 0, 0, G_OPTION_ARG_STRING, &given.rest,
         "When to load the pages that are not in the order: while the guest "
         "leaves CPUs free, at once, or when it touches them (default: idle)",
         "idle|eager|demand"},
        {"rest-rate", 0, 0, G_OPTION_ARG_STRING, &given.rest_rate,
         "Read at most this much of the rest per second", "BYTES"},
        {"resume", 0, 0, G_OPTION_ARG_NONE, &given.resume,
         "Resume the guest even if it was paused when it was saved", NULL},
        {"paused", 0, 0, G_OPTION_ARG_NONE, &given.paused,
         "Load the guest and do not resume it", NULL},
        {"qmp", 0, 0, G_OPTION_ARG_FILENAME, &given.qmp,
         "Load into the waiting QEMU (-incoming defer) that listens on this "
         "QMP socket",
         "SOCKET"},
        {"stay", 0, 0, G_OPTION_ARG_NONE, &given.stay,
         "With --qmp: stay until all pages are loaded", NULL},
        {"record", 0, 0, G_OPTION_ARG_FILENAME, &given.record,
         "Record the order of this guest's first touches", "FILE"},
        {"record-for", 0, 0, G_OPTION_ARG_DOUBLE, &given.record_s,
         "How long to record or to learn (default: 10)", "SECONDS"},
        {"learn", 0, 0, G_OPTION_ARG_NONE, &given.learn,
         "Improve the order by what this load shows; create it if it is "
         "missing",
         NULL},
        {"ready-fd", 0, 0, G_OPTION_ARG_INT, &given.ready_fd,
         "Write a line to this descriptor when the guest runs", "N"},
        {"start-fd", 0, 0, G_OPTION_ARG_INT, &given.start_fd,
         "Start QEMU, and load when a line comes from this descriptor; end if "
         "it is closed",
         "N"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &given.json,
         "Print events as JSON, one object per line", NULL},
        {"stats", 0, 0, G_OPTION_ARG_FILENAME, &given.stats,
         "Write the statistics of the load as JSON", "FILE"},
        SAVED_LOAD_OPTIONS(&given.saved),
        PLUGIN_API_OPTION(&given.plugin_api),
        {NULL},
    };
    LoadOptions options = {.start_us = g_get_monotonic_time(),
                           .say = command_say};
    int status;

    options.qemu_argv = command_split(&argc, argv);
    if (command_check_split(argc, argv, &status) &&
        command_parse(&cmd_loadvm, entries, 0, 1, &argc, &argv, &status)) {
        status =
            argc > 1 && given.snapshot
                ? command_usage_error("unexpected argument \"%s\"", argv[1])
                : load_given(&given, argv[1], &options);
    }
    clear_given(&given);
    return status;
}

const Command cmd_loadvm = {
    .name = "loadvm",
    .synopsis = "SNAPSHOT [-- QEMU ARGUMENTS…|--qmp SOCKET]",
    .summary = "Load a snapshot lazily, into a new QEMU or one that waits",
    .run = cmd_loadvm_run,
};
