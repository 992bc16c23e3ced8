/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/libvirt/restore.h"

#include <stdlib.h>
#include <sys/single_threaded.h>
#include <unistd.h>

#include "formats/libvirt-image.h"
#include "formats/ram-image.h"
#include "plugin/libvirt/restore-args.h"
#include "plugin/libvirt/restore-load.h"
#include "plugin/libvirt/restore-swap.h"
#include "util/error.h"
#include "util/thread.h"

/* Written before QEMU has a second thread. */
static RestoreSwap *swap;
static GError *refusal; /* why there is no swap; NULL: nobody asked for one */

/* What the image's descriptor leads to, for messages and for its order. */
static char *image_path(int fd)
{
    g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd);
    char *path = g_file_read_link(link, NULL);

    return path ? path : g_strdup("the image");
}

static bool check_image(int fd, GError **error)
{
    g_autofree char *path = image_path(fd);
    g_autoptr(ByteSource) source = byte_source_new_fd(fd, path, error);
    uint64_t off_bytes;

    return source && libvirt_image_find(source, &off_bytes, error);
}

/* The plugin itself comes too late: QEMU has looked at its arguments by
 * then.  Its own threads are older than any plugin. */
static bool check_early(GError **error)
{
    if (!__libc_single_threaded) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "the plugin was not preloaded into QEMU; set LD_PRELOAD "
                    "to the path that -plugin has (SELinux and file "
                    "capabilities make the loader ignore it)");
    }
    return __libc_single_threaded;
}

static bool prepare(char **argv, const char *plugin, GError **error)
{
    RestoreArgs args;

    if (!restore_args_have_plugin(argv, plugin)) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "QEMU's -plugin is not %s, unlike LD_PRELOAD", plugin);
        return false;
    }
    if (!check_early(error) || !restore_args_find(argv, &args, error) ||
        !check_image(args.image_fds[0], error)) {
        return false;
    }
    swap = restore_swap_new(&args, error);
    if (swap) {
        argv[args.monitor_index] = restore_swap_monitor_argument(swap);
    }
    return swap != NULL;
}

void restore_prepare(char **argv, const char *plugin)
{
    /* A second time: as QEMU's plugin, of another path than the first. */
    if (getenv(RESTORE_VARIABLE) && restore_args_loads(argv) && !swap) {
        (void)prepare(argv, plugin, &refusal);
    }
}

bool restore_is_wanted(void)
{
    return swap || refusal;
}

static const char *order_folder(void)
{
    const char *value = getenv(RESTORE_VARIABLE);

    return value && g_path_is_absolute(value) ? value : NULL;
}

/* ---- the plugin is up ---- */

static void say_full(void (*say)(const char *text), const GError *error)
{
    g_autofree char *text =
        g_strdup_printf("%s.  QEMU loads the image in full", error->message);

    say(text);
}

static void give_up(void (*say)(const char *text), const GError *why)
{
    g_autoptr(GError) error = NULL;

    say_full(say, why);
    if (!restore_swap_give_back_image(swap, &error)) {
        say(error->message);
    }
}

/* argument: a RestoreJob, owned. */
static void *restore_thread(void *argument)
{
    g_autofree RestoreJob *job = argument;
    g_autofree char *path = image_path(restore_swap_image(swap));
    g_autoptr(GError) error = NULL;

    job->image_path = path;
    RestoreLoad *load = restore_load_begin(job, swap, &error);
    restore_swap_await_qemu(swap);
    if (!load) {
        give_up(job->say, error);
    }
    restore_swap_give_back_listener(swap);
    if (load) {
        restore_load_attend(load);
    }
    restore_swap_free(swap);
    return NULL;
}

static bool start_thread(const RestoreJob *job, GError **error)
{
    RestoreJob *own = g_memdup2(job, sizeof(*job));
    pthread_t thread;
    int rc = thread_start(&thread, "preheat-libvirt", restore_thread, own);

    if (rc < 0) {
        g_free(own);
        util_error_set_errno(error, -rc, "no thread for loading the image");
        return false;
    }
    pthread_detach(thread);
    return true;
}

static void close_unless_none(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

static bool begin(const RestoreJob *job, GError **error)
{
    if (job->control_fd < 0) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "no connection for loading the image");
        return false;
    }
    return start_thread(job, error);
}

void restore_start(int control_fd, void (*say)(const char *text))
{
    const RestoreJob job = {
        .order_folder = order_folder(),
        .control_fd = control_fd,
        .say = say,
    };
    g_autoptr(GError) error = NULL;

    if (!swap) {
        say_full(say, refusal);
        close_unless_none(control_fd);
    } else if (!begin(&job, &error)) {
        give_up(say, error);
        restore_swap_give_back_listener(swap);
        close_unless_none(control_fd);
    }
}
