/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/load-report.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "cli/command.h"
#include "util/error.h"
#include "util/text.h"

struct LoadReport {
    const char *snapshot;
    int json_fd;  /* -1: none is wanted */
    int ready_fd; /* likewise, and once it has been written to */
    bool has_guest;
};

/* ---- where it goes ---- */

/* Who does not read it any more does not want it. */
static void write_all(int fd, const char *text)
{
    size_t len = strlen(text);

    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, text + done, len - done);

        if (n > 0) {
            done += (size_t)n;
        } else if (errno != EINTR) {
            return;
        }
    }
}

static bool check_ready_fd(int fd, GError **error)
{
    int flags = fcntl(fd, F_GETFL);

    if (fd <= STDERR_FILENO || flags < 0 || (flags & O_ACCMODE) == O_RDONLY) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "--ready-fd %d: must be 3 or larger, open and writable",
                    fd);
        return false;
    }
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

static bool take_stdout(LoadReport *report, GError **error)
{
    report->json_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (report->json_fd < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        util_error_set_errno(error, errno, "standard output");
        return false;
    }
    return true;
}

LoadReport *load_report_new(const char *snapshot, bool json, int ready_fd,
                            GError **error)
{
    g_autoptr(LoadReport) report = g_new0(LoadReport, 1);

    report->snapshot = snapshot;
    report->json_fd = -1;
    report->ready_fd = LOAD_REPORT_NO_FD;
    if (ready_fd != LOAD_REPORT_NO_FD) {
        if (!check_ready_fd(ready_fd, error)) {
            return NULL;
        }
        report->ready_fd = ready_fd;
    }
    if (json && !take_stdout(report, error)) {
        return NULL;
    }
    /* The guest does not end with who listens, at standard error say.  QEMU
     * ignores it, too. */
    signal(SIGPIPE, SIG_IGN);
    return g_steal_pointer(&report);
}

static void close_ready_fd(LoadReport *report)
{
    if (report->ready_fd >= 0) {
        close(report->ready_fd);
    }
    report->ready_fd = LOAD_REPORT_NO_FD;
}

void load_report_free(LoadReport *report)
{
    if (report) {
        close_ready_fd(report);
        if (report->json_fd >= 0) {
            close(report->json_fd);
        }
        g_free(report);
    }
}

/* ---- for programs ---- */

/* Steals object. */
static void print_json(const LoadReport *report, json_t *object)
{
    char *text = json_dumps(object, JSON_ENSURE_ASCII);
    g_autofree char *line = g_strconcat(text ? text : "{}", "\n", NULL);

    write_all(report->json_fd, line);
    free(text);
    json_decref(object);
}

static void add_stats(json_t *object, const json_t *stats)
{
    static const char *const names[] = {"demand-faults", "blocktime-ms",
                                        "bytes-read"};

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        json_t *value = json_object_get(stats, names[i]);

        if (value) {
            json_object_set(object, names[i], value);
        }
    }
}

static json_t *news_to_json(const LoadNews *news)
{
    static const char *const names[] = {
        [LOAD_NEWS_WAITING] = "waiting", [LOAD_NEWS_RESUMED] = "resumed",
        [LOAD_NEWS_PAUSED] = "paused",   [LOAD_NEWS_LOADED] = "loaded",
        [LOAD_NEWS_FAILED] = "failed",   [LOAD_NEWS_ENDED] = "ended",
    };
    json_t *object = json_pack("{s:s, s:f}", "event", names[news->kind],
                               "after-ms", (double)news->after_us / 1000);

    if (news->pid > 0) {
        json_object_set_new(object, "pid", json_integer(news->pid));
    }
    if (news->reason) {
        json_object_set_new(object, "error", text_to_json(news->reason));
    }
    if (news->kind == LOAD_NEWS_ENDED) {
        json_object_set_new(object, "status",
                            news->status >= 0 ? json_integer(news->status)
                                              : json_null());
    }
    add_stats(object, news->stats);
    return object;
}

static void tell_ready(LoadReport *report, LoadNewsKind kind)
{
    if (report->ready_fd >= 0) {
        write_all(report->ready_fd,
                  kind == LOAD_NEWS_RESUMED ? "resumed\n" : "paused\n");
        close_ready_fd(report);
    }
}

void load_report_failed(LoadReport *report, const char *reason)
{
    if (report && report->json_fd >= 0) {
        print_json(report, json_pack("{s:s, s:o}", "event", "failed", "error",
                                     text_to_json(reason)));
    }
}

/* ---- for the user ---- */

static char *loaded_text(const json_t *stats)
{
    json_int_t n_faults =
        json_integer_value(json_object_get(stats, "demand-faults"));
    json_int_t blocked_ms =
        json_integer_value(json_object_get(stats, "blocktime-ms"));

    return stats ? g_strdup_printf(
                       "; the guest waited for %" JSON_INTEGER_FORMAT
                       " pages and was blocked for %" JSON_INTEGER_FORMAT
                       " ms in total",
                       n_faults, blocked_ms)
                 : g_strdup("");
}

static void say_news(const LoadReport *report, const LoadNews *news)
{
    double after_s = (double)news->after_us / G_USEC_PER_SEC;
    g_autofree char *text = NULL;

    if (news->kind == LOAD_NEWS_WAITING) {
        text = g_strdup_printf("%s: QEMU (process %d) is started, and waits to "
                               "be told to load",
                               report->snapshot, (int)news->pid);
    } else if (news->kind == LOAD_NEWS_RESUMED) {
        text = g_strdup_printf("%s: the guest runs after %.3f s",
                               report->snapshot, after_s);
    } else if (news->kind == LOAD_NEWS_PAUSED) {
        text = g_strdup_printf(
            "%s: the guest is loaded after %.3f s, and stays paused",
            report->snapshot, after_s);
    } else if (news->kind == LOAD_NEWS_LOADED) {
        g_autofree char *stats = loaded_text(news->stats);

        text = g_strdup_printf("%s: all pages are loaded after %.3f s%s",
                               report->snapshot, after_s, stats);
    }
    if (text) {
        command_say(text);
    }
}

void load_report_tell(const LoadNews *news, void *opaque)
{
    LoadReport *report = opaque;

    say_news(report, news);
    if (news->kind == LOAD_NEWS_RESUMED || news->kind == LOAD_NEWS_PAUSED) {
        report->has_guest = true;
        tell_ready(report, news->kind);
    }
    if (report->json_fd >= 0) {
        print_json(report, news_to_json(news));
    }
}

bool load_report_has_guest(const LoadReport *report)
{
    return report->has_guest;
}

void load_report_placed(const char *kind, const char *saved, const char *now,
                        void *opaque)
{
    const LoadReport *report = opaque;
    g_autofree char *text =
        g_strdup_printf("the %s %s is %s", kind, saved, now);

    command_say(text);
    if (report->json_fd >= 0) {
        print_json(report, json_pack("{s:s, s:s, s:o, s:o}", "event", "placed",
                                     "kind", kind, "saved", text_to_json(saved),
                                     "path", text_to_json(now)));
    }
}
