/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Starts a QEMU without a machine, once without and once with the plugin, and
 * asks it over QMP on its standard streams.
 */
#include "host/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "util/error.h"
#include "util/file.h"

/* Of what QEMU says, so much is looked at. */
#define MAX_SAID 2000

typedef struct Trial {
    int major; /* 0: it did not answer */
    int minor;
    bool ended_well; /* told to end: it greets before it loads plugins */
    char *said;      /* on standard error, its first line */
} Trial;

static void trial_clear(Trial *trial)
{
    g_free(trial->said);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Trial, trial_clear)

static void parse_greeting(const char *text, Trial *trial)
{
    json_t *greeting = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);

    (void)json_unpack(greeting, "{s:{s:{s:{s:i, s:i}}}}", "QMP", "version",
                      "qemu", "major", &trial->major, "minor", &trial->minor);
    json_decref(greeting);
}

/* Its first line that is no mere warning. */
static char *first_error(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (size_t i = 0; lines[i]; i++) {
        if (lines[i][0] && !strstr(lines[i], "warning:")) {
            return g_strndup(lines[i], MAX_SAID);
        }
    }
    return NULL;
}

/* What QEMU has for its standard streams.  Files take what it says at any
 * length, so that it never waits for us while we wait for its end. */
typedef struct Streams {
    int in, out, err;
} Streams;

static void streams_clear(Streams *streams)
{
    const int fds[] = {streams->in, streams->out, streams->err};

    for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Streams, streams_clear)

/* The reading end of a pipe that has these bytes, few enough to fit in, and
 * then ends; -1 with errno: there is none. */
static int pipe_with(const char *bytes)
{
    size_t len_bytes = strlen(bytes);
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0) {
        return -1;
    }
    bool ok = write(fds[1], bytes, len_bytes) == (ssize_t)len_bytes;
    close(fds[1]);
    if (!ok) {
        close(fds[0]);
    }
    return ok ? fds[0] : -1;
}

static bool streams_open(Streams *streams, GError **error)
{
    streams->in = pipe_with("{\"execute\": \"qmp_capabilities\"}\n"
                            "{\"execute\": \"quit\"}\n");
    streams->out = memfd_create("preheat-qemu-out", MFD_CLOEXEC);
    streams->err = memfd_create("preheat-qemu-err", MFD_CLOEXEC);
    if (streams->in < 0 || streams->out < 0 || streams->err < 0) {
        util_error_set_errno(error, errno,
                             "cannot create its standard streams");
        return false;
    }
    return true;
}

/* Run it to its end. */
static bool run(const char *const *argv, const Streams *streams,
                int *ret_wait_status, GError **error)
{
    GPid pid;

    if (!g_spawn_async_with_pipes_and_fds(
            NULL, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD,
            NULL, NULL, streams->in, streams->out, streams->err, NULL, NULL, 0,
            &pid, NULL, NULL, NULL, error)) {
        return false;
    }
    while (waitpid(pid, ret_wait_status, 0) < 0) {
        if (errno != EINTR) {
            util_error_set_errno(error, errno, "cannot wait for its end");
            return false;
        }
    }
    return true;
}

/* All that was written to the file.  For g_free(). */
static char *read_back(int fd, GError **error)
{
    struct stat st;
    g_autofree char *text = NULL;

    if (!file_stat_regular(fd, &st, error)) {
        return NULL;
    }
    text = g_malloc0((size_t)st.st_size + 1);
    return file_read_at(fd, text, (size_t)st.st_size, 0, error)
               ? g_steal_pointer(&text)
               : NULL;
}

static bool try_qemu(const char *qemu, const char *plugin, Trial *trial,
                     GError **error)
{
    const char *const argv[] = {
        qemu,   "-nodefaults", "-machine", "none", "-display",
        "none", "-qmp",        "stdio",    "-S",   plugin ? "-plugin" : NULL,
        plugin, NULL};
    g_auto(Streams) streams = {-1, -1, -1};
    g_autofree char *out = NULL;
    g_autofree char *err = NULL;
    int wait_status;

    if (!streams_open(&streams, error) ||
        !run(argv, &streams, &wait_status, error)) {
        return false;
    }
    out = read_back(streams.out, error);
    err = out ? read_back(streams.err, error) : NULL;
    if (!err) {
        return false;
    }
    parse_greeting(out, trial);
    trial->ended_well = wait_status == 0;
    trial->said = first_error(err);
    return true;
}

static void examine_plugin(GPtrArray *findings, const char *qemu,
                           const char *plugin)
{
    g_auto(Trial) trial = {0};

    if (!plugin) {
        doctor_add(findings, "qemu-plugin", DOCTOR_FAILED,
                   g_strdup("preheat's plugin for QEMU is not installed"),
                   g_strdup("install it, or set PREHEAT_PLUGIN to its path"));
    } else if (try_qemu(qemu, plugin, &trial, NULL) && trial.major > 0 &&
               trial.ended_well) {
        doctor_add(findings, "qemu-plugin", DOCTOR_OK,
                   g_strdup_printf("%s loads %s", qemu, plugin), NULL);
    } else {
        doctor_add(findings, "qemu-plugin", DOCTOR_FAILED,
                   g_strdup_printf("%s does not load %s: %s", qemu, plugin,
                                   trial.said ? trial.said : "no reason given"),
                   g_strdup("use a QEMU that was built with plugins, as "
                            "distributions build it; if it refuses the API "
                            "version, try --plugin-api"));
    }
}

void doctor_examine_qemu(GPtrArray *findings, const char *qemu,
                         const char *plugin)
{
    g_autoptr(GError) error = NULL;
    g_auto(Trial) trial = {0};

    if (!try_qemu(qemu, NULL, &trial, &error) || trial.major == 0) {
        const char *reason = error        ? error->message
                             : trial.said ? trial.said
                                          : "it does not answer";

        doctor_add(findings, "qemu", DOCTOR_FAILED,
                   g_strdup_printf("%s: %s", qemu, reason),
                   g_strdup("install QEMU 9.0 or later, or name it with "
                            "--qemu"));
        return;
    }
    if (trial.major < 9) {
        doctor_add(
            findings, "qemu", DOCTOR_FAILED,
            g_strdup_printf("%s is QEMU %d.%d, which does not have mapped-ram",
                            qemu, trial.major, trial.minor),
            g_strdup("use QEMU 9.0 or later"));
        return;
    }
    doctor_add(
        findings, "qemu", DOCTOR_OK,
        g_strdup_printf("%s is QEMU %d.%d", qemu, trial.major, trial.minor),
        NULL);
    examine_plugin(findings, qemu, plugin);
}
