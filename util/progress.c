/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/units.h"

#define BAR_WIDTH  30
#define QUIET_US   (1 * G_USEC_PER_SEC)
#define REDRAW_US  (G_USEC_PER_SEC / 10)
#define ERASE_LINE "\r\033[K"

struct Progress {
    char *what;
    bool on_terminal;
    bool drawn;
    int64_t next_draw_us;
};

Progress *progress_new(const char *what)
{
    Progress *progress = g_new0(Progress, 1);

    progress->what = g_strdup(what);
    progress->on_terminal = isatty(STDERR_FILENO);
    progress->next_draw_us = g_get_monotonic_time() + QUIET_US;
    return progress;
}

static void draw(const Progress *progress, uint64_t done_bytes,
                 uint64_t total_bytes)
{
    double share = (double)done_bytes / (double)total_bytes;
    int filled = (int)(share * BAR_WIDTH);
    g_autofree char *done = units_format_size(done_bytes);
    g_autofree char *total = units_format_size(total_bytes);
    char bar[BAR_WIDTH + 1];

    memset(bar, '.', BAR_WIDTH);
    memset(bar, '#', (size_t)filled);
    bar[BAR_WIDTH] = '\0';
    fprintf(stderr, ERASE_LINE "%s [%s] %3d%%  %s of %s", progress->what, bar,
            (int)(share * 100), done, total);
    fflush(stderr);
}

/* Whether it is time to draw; the caller then does. */
static bool is_due(Progress *progress)
{
    int64_t now_us = g_get_monotonic_time();

    if (!progress->on_terminal || now_us < progress->next_draw_us) {
        return false;
    }
    progress->drawn = true;
    progress->next_draw_us = now_us + REDRAW_US;
    return true;
}

void progress_note(Progress *progress, const char *text)
{
    if (is_due(progress)) {
        fprintf(stderr, ERASE_LINE "%s: %s", progress->what, text);
        fflush(stderr);
    }
}

void progress_update(Progress *progress, uint64_t done_bytes,
                     uint64_t total_bytes)
{
    if (total_bytes > 0 && is_due(progress)) {
        draw(progress, MIN(done_bytes, total_bytes), total_bytes);
    }
}

void progress_free(Progress *progress)
{
    if (!progress) {
        return;
    }
    if (progress->drawn) {
        fputs(ERASE_LINE, stderr);
        fflush(stderr);
    }
    g_free(progress->what);
    g_free(progress);
}
