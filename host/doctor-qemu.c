/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Starts a QEMU without a machine, once without and once with the plugin, and
 * asks it over QMP on its standard streams.
 */
#include "host/doctor.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <gio/gio.h>
#include <jansson.h>

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

/* The reading end of a pipe that has these bytes, few enough to fit in, and
 * then ends; -1: there is none. */
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

static bool try_qemu(const char *qemu, const char *plugin, Trial *trial,
                     GError **error)
{
    const char *const argv[] = {
        qemu,   "-nodefaults", "-machine", "none", "-display",
        "none", "-qmp",        "stdio",    "-S",   plugin ? "-plugin" : NULL,
        plugin, NULL};
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(
        G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
    g_autofree char *out = NULL;
    g_autofree char *err = NULL;

    g_subprocess_launcher_take_stdin_fd(
        launcher, pipe_with("{\"execute\": \"qmp_capabilities\"}\n"
                            "{\"execute\": \"quit\"}\n"));
    g_autoptr(GSubprocess) process =
        g_subprocess_launcher_spawnv(launcher, argv, error);
    if (!process || !g_subprocess_communicate_utf8(process, NULL, NULL, &out,
                                                   &err, error)) {
        return false;
    }
    parse_greeting(out, trial);
    trial->ended_well = g_subprocess_get_successful(process);
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
