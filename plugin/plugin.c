/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The plugin's entry: the only file that knows QEMU's plugin API.
 *
 * It only needs to be loaded, early in QEMU's start and
 * with every accelerator.  Distributions package no header, and the API's
 * version changes while what we need does not; so the few names are declared
 * here, and the version is chosen when we see which QEMU loads us.
 *
 * Under TCG it uses one more function, if QEMU has it: a plugin's reset makes
 * QEMU flush its translations.  Code that is translated already is not read
 * from guest RAM again, so that a profile would lack pages that every load
 * needs.  A reset has to be asked for by a vCPU's thread; the callback for a
 * vCPU that resumes is such a place, and under KVM it is never called.
 *
 * Source: QEMU, include/qemu/qemu-plugin.h and plugins/loader.c.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include <glib.h>

#include "plugin/control.h"
#include "plugin/libvirt/restore.h"
#include "plugin/privilege.h"
#include "plugin/session.h"
#include "plugin/warnings.h"
#include "util/clock.h"
#include "util/text.h"

/* What is to be said when QEMU ends is waited for so long. */
#define LAST_WARNINGS_US UINT64_C(1000000)

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;

/* The beginning of QEMU's structure, which has been the same since 4.2. */
typedef struct qemu_info_t {
    const char *target_name;
    struct {
        int min;
        int cur;
    } version;
} qemu_info_t;

/* QEMU refuses us unless this is between the least version that it still
 * takes and its own. */
EXPORT int qemu_plugin_version;

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                               int argc, char **argv);

/* The API versions that we were tried with, newest first, each with a symbol
 * by which to tell it.  7 added none to those of 6, so a QEMU that knows 6
 * only needs the environment's word.  QEMU 8.2 to 10.2 take 2. */
static const struct {
    int version;
    const char *symbol;
} known_versions[] = {
    {7, "qemu_plugin_set_pc"},
    {2, NULL},
};

static Session *session;
static Warnings *warnings;

/* What callbacks are given differs between the API's versions; ours take
 * nothing of it. */
typedef void Callback(void);

/* userdata is for the callback, and new in version 7: before that it is one
 * argument more than QEMU looks at. */
typedef void Register(qemu_plugin_id_t id, Callback *callback, void *userdata);

static struct {
    qemu_plugin_id_t id;
    Register *register_vcpu_resume_cb;
    Register *reset;
} qemu; /* the functions: NULL where this QEMU has none */

/* A flush of QEMU's translations is to be asked for. */
static _Atomic bool flush_wanted;

static void on_reset(void);

/*
 * QEMU ignores a reset that is asked for while one is pending.  So this
 * callback is gone until on_reset() brings it back, and flush_wanted keeps
 * what comes in between.
 *
 * The reset would take the callback away, too, but while another vCPU might
 * be looking at it.  Here QEMU holds its big lock, and none can.
 */
static void on_vcpu_resume(void)
{
    if (atomic_exchange(&flush_wanted, false)) {
        qemu.register_vcpu_resume_cb(qemu.id, NULL, NULL);
        qemu.reset(qemu.id, on_reset, NULL);
    }
}

static void on_reset(void)
{
    qemu.register_vcpu_resume_cb(qemu.id, on_vcpu_resume, NULL);
}

static void forget_code(void)
{
    atomic_store(&flush_wanted, true);
}

/* What these functions take is known up to this version. */
#define LAST_FLUSH_API 7

static bool find_flush(qemu_plugin_id_t id)
{
    if (qemu_plugin_version > LAST_FLUSH_API) {
        return false;
    }
    qemu.id = id;
    *(void **)&qemu.register_vcpu_resume_cb =
        dlsym(RTLD_DEFAULT, "qemu_plugin_register_vcpu_resume_cb");
    *(void **)&qemu.reset = dlsym(RTLD_DEFAULT, "qemu_plugin_reset");
    return qemu.register_vcpu_resume_cb && qemu.reset;
}

static int choose_version(void)
{
    const char *wanted = getenv("PREHEAT_PLUGIN_API");
    guint64 number;
    size_t i = 0;

    if (wanted &&
        g_ascii_string_to_unsigned(wanted, 10, 1, INT_MAX, &number, NULL)) {
        return (int)number;
    }
    while (known_versions[i].symbol &&
           !dlsym(RTLD_DEFAULT, known_versions[i].symbol)) {
        i++;
    }
    return known_versions[i].version;
}

/* This object's path, as it was loaded. */
static const char *own_path(void)
{
    Dl_info info;

    return dladdr(&qemu_plugin_version, &info) ? info.dli_fname : "";
}

/* QEMU reads qemu_plugin_version right after dlopen(), which runs this.  Where
 * we are preloaded, it runs before main(), and in a shell that starts QEMU as
 * well.  glibc gives a constructor what main() gets. */
__attribute__((constructor)) static void on_load(int argc, char **argv)
{
    qemu_plugin_version = choose_version();
    if (dlsym(RTLD_DEFAULT, "qemu_plugin_register_vcpu_resume_cb")) {
        restore_prepare(argv, own_path());
    }
}

/* May wait for whoever reads it; for nobody else, as stderr itself has a
 * lock. */
static void print(const char *text)
{
    g_autofree char *printable = text_printable(text);
    g_autofree char *line = g_strdup_printf("preheat: %s\n", printable);

    (void)!write(STDERR_FILENO, line, strlen(line));
}

static void warn(const char *text)
{
    warnings_add(warnings, text);
}

/* A QEMU that has become a daemon has no error output that anybody sees. */
static void say(const char *text)
{
    g_autofree char *printable = text_printable(text);

    print(text);
    syslog(LOG_DAEMON | LOG_ERR, "preheat: %s", printable);
}

/* Asked in QEMU's main thread, the one that the launcher has started. */
static bool dies_with_launcher(void)
{
    int signal = 0;

    return prctl(PR_GET_PDEATHSIG, &signal) == 0 && signal != 0;
}

static void at_exit(void)
{
    session_end(session);
    warnings_await(warnings, monotonic_us() + LAST_WARNINGS_US);
}

/* -1: not given; -2: not a descriptor. */
static int parse_control_fd(int argc, char **argv)
{
    int fd = -1;

    for (int i = 0; i < argc; i++) {
        guint64 number;

        if (!g_str_has_prefix(argv[i], "control-fd=") ||
            !g_ascii_string_to_unsigned(argv[i] + strlen("control-fd="), 10, 3,
                                        INT32_MAX, &number, NULL) ||
            fcntl((int)number, F_SETFD, FD_CLOEXEC) < 0) {
            fprintf(stderr,
                    "preheat: unknown plugin option %s: the only one is "
                    "control-fd=N, where N is an open socket\n",
                    argv[i]);
            return -2;
        }
        fd = (int)number;
    }
    return fd;
}

/* A launcher that has spoken before QEMU existed has sent "load".  It is
 * carried out while QEMU starts; but when we return, QEMU may change its root
 * or its user, and so what has to be opened is open then. */
static int add_launcher(Control *control, int fd)
{
    struct pollfd spoken = {.fd = fd, .events = POLLIN};
    bool has_spoken = poll(&spoken, 1, 0) > 0;
    int rc = control_add(control, fd, session_launcher_gone);

    if (rc == 0 && has_spoken) {
        session_await_opened(session);
    }
    return rc;
}

/* A connection to control, or -1. */
static int connect_within(Control *control)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        return -1;
    }
    if (control_add(control, fds[0], NULL) < 0) {
        close(fds[1]);
        return -1;
    }
    return fds[1];
}

static int start(int control_fd, bool can_flush)
{
    const SessionHost host = {
        .warn = warn,
        .say = say,
        .forget_code = can_flush ? forget_code : NULL,
        .dies_with_launcher = control_fd >= 0 && dies_with_launcher(),
    };

    privilege_keep();
    warnings = warnings_new(print);
    session = session_new(&host);
    Control *control = control_new(session_execute, session);
    session_set_control(session, control);
    int rc = control_listen(control);

    if (rc < 0) {
        g_autofree char *text =
            g_strdup_printf("no control socket: %s; only the command that "
                            "started this QEMU can reach the plugin",
                            g_strerror(-rc));
        warn(text);
    }
    if (control_fd < 0) {
        session_without_launcher(session);
        if (restore_is_wanted()) {
            restore_start(connect_within(control), warn);
        }
        return 0;
    }
    return add_launcher(control, control_fd);
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                        char **argv)
{
    int control_fd = parse_control_fd(argc, argv);

    if (control_fd == -2) {
        return 1;
    }
    bool can_flush = find_flush(id);
    int rc = start(control_fd, can_flush);
    if (rc < 0) {
        fprintf(stderr, "preheat: the plugin cannot start: %s\n",
                g_strerror(-rc));
        return 1;
    }
    if (can_flush) {
        qemu.register_vcpu_resume_cb(id, on_vcpu_resume, NULL);
    }
    atexit(at_exit);
    return 0;
}
