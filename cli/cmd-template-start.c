/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/image-file.h"
#include "cli/image-offset.h"
#include "cli/interrupts.h"
#include "cli/service.h"
#include "formats/file-kind.h"
#include "formats/manifest.h"
#include "formats/page-order.h"
#include "template/template-server.h"
#include "util/error.h"

/* The options as they were given. */
typedef struct Given {
    char *offset;
    char *order;
    char *socket;
    int n_machines;
    char **sets;
} Given;

static void given_clear(Given *given)
{
    g_free(given->offset);
    g_free(given->order);
    g_free(given->socket);
    g_strfreev(given->sets);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Given, given_clear)

/* An order is a hint: what is wrong with it is worth a word. */
static PageOrder *load_order(const char *path, const RamImage *image)
{
    g_autoptr(GError) error = NULL;
    PageOrder *order = path ? page_order_load(path, &error) : NULL;

    if (error) {
        command_warn("%s; filling without an order", error->message);
    } else if (order && order->identity &&
               strcmp(order->identity, image->identity) != 0) {
        command_warn("%s: recorded for another snapshot than %s; it may not "
                     "help",
                     path, image->path);
    }
    return order;
}

/* What people are told is what the service manager shows of the service. */
static void say(const char *text)
{
    command_say(text);
    service_notify_status(text);
}

static void tell_ready(void)
{
    service_notify("READY=1\nSTATUS=clones may connect; it is being filled");
}

static void tell_ending(void)
{
    service_notify("STOPPING=1");
}

/* A machine that is loaded from its disk goes on with that very disk, reverted,
 * so that there is but one at a time. */
static bool check_kind(const char *path, GError **error)
{
    g_autoptr(ByteSource) source = byte_source_open(path, NULL);

    if (source && file_kind_of(source) == FILE_KIND_QCOW2) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "%s: this is a disk; a machine that is loaded from a "
                    "snapshot in its disk goes on with that disk, so there can "
                    "be only one, and a template is for many: save the machine "
                    "with preheat savevm, to a file of its own",
                    path);
        return false;
    }
    return true;
}

/* ---- the pool ---- */

static bool check_pool(const Given *given, GError **error)
{
    if (given->n_machines < 0 || given->n_machines > POOL_MAX_MACHINES) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "--pool must be a number of machines up to %d",
                    POOL_MAX_MACHINES);
        return false;
    }
    if (given->sets && given->n_machines == 0) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "--pool-set is for the machines of a pool: it needs --pool "
                    "N");
        return false;
    }
    return true;
}

/* Of each machine the pool starts, QEMU's arguments are there. */
static bool check_manifest(const char *path, GError **error)
{
    g_autofree char *manifest_file = manifest_path(path);

    if (!g_file_test(manifest_file, G_FILE_TEST_EXISTS)) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "--pool starts machines from the manifest, and there is no "
                    "%s: save the machine with preheat savevm, which writes "
                    "it, or start QEMUs yourself, as docs/warm-pool.md shows",
                    manifest_file);
        return false;
    }
    g_autoptr(Manifest) manifest = manifest_load(manifest_file, error);
    return manifest != NULL;
}

/* How a machine is loaded; for g_strfreev(). */
static char **pool_argv(const char *path, const char *socket_path,
                        const Given *given)
{
    g_autoptr(GStrvBuilder) argv = g_strv_builder_new();

    g_strv_builder_add_many(argv, "preheat", "loadvm", "--snapshot", path,
                            "--template", socket_path, NULL);
    if (given->offset) {
        g_strv_builder_add_many(argv, "--offset", given->offset, NULL);
    }
    return g_strv_builder_end(argv);
}

static bool serve(const char *path, RamImage *image, const Given *given,
                  GError **error)
{
    g_autoptr(PageOrder) order = load_order(given->order, image);
    g_auto(GStrv) argv = pool_argv(path, given->socket, given);
    const PoolOptions pool = {
        .n_machines = (unsigned)given->n_machines,
        .program = "/proc/self/exe",
        .argv = argv,
        .sets = given->sets,
    };
    const TemplateServerOptions options = {
        .socket_path = given->socket,
        .pool = pool.n_machines > 0 ? &pool : NULL,
        .interrupt_fd = interrupts_open(),
        .say = say,
        .ready = tell_ready,
        .ending = tell_ending,
    };
    bool ok = template_server_run(image, order, &options, error);

    interrupts_close(options.interrupt_fd);
    return ok;
}

static bool start(const char *snapshot, const Given *given, GError **error)
{
    g_autofree char *path = command_absolute_path(snapshot, error);
    uint64_t off_bytes;

    if (!path || !image_offset_parse(given->offset, &off_bytes, error) ||
        !check_pool(given, error) || !check_kind(path, error) ||
        (given->n_machines > 0 && !check_manifest(path, error))) {
        return false;
    }
    RamImage *image = image_file_open(path, NULL, off_bytes, error);
    return image && serve(path, image, given, error);
}

static int cmd_template_start_run(int argc, char **argv)
{
    g_auto(Given) given = {0};
    const GOptionEntry entries[] = {
        {"socket", 0, 0, G_OPTION_ARG_FILENAME, &given.socket,
         "Where clones find it", "PATH"},
        {"order", 0, 0, G_OPTION_ARG_FILENAME, &given.order,
         "Fill it in the sequence of this page-access order", "FILE"},
        IMAGE_OFFSET_OPTION(&given.offset),
        {"pool", 0, 0, G_OPTION_ARG_INT, &given.n_machines,
         "Keep so many machines started, for preheat template take", "N"},
        {"pool-set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &given.sets,
         "Replace a port, interface, socket or file of the saved machine in "
         "them; %N is the machine's number",
         "OLD=NEW"},
        {NULL},
    };
    GError *error = NULL;
    int status;

    if (!command_parse(&cmd_template_start, entries, 1, 1, &argc, &argv,
                       &status)) {
        return status;
    }
    if (!given.socket) {
        return command_usage_error("--socket is needed");
    }
    /* Machines do not end with who listens at standard error. */
    signal(SIGPIPE, SIG_IGN);
    return start(argv[1], &given, &error) ? STATUS_OK : command_fail(error);
}

const Command cmd_template_start = {
    .name = "start",
    .synopsis = "FILE --socket PATH",
    .summary = "Hold a snapshot in memory until it is stopped",
    .run = cmd_template_start_run,
};
