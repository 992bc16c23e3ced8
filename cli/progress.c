/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/units.h"

#define BAR_WIDTH  30
#define QUIET_US   (1 * G_USEC_PER_SEC)
#define REDRAW_US  (G_USEC_PER_SEC / 10)
#define ERASE_LINE "\r\033[K"

struct ProgressBar {
    Progress progress;
    bool on_terminal;
    char *what; /* is under way; NULL: nothing */
    bool drawn;
    int64_t next_draw_us;
};

static void end(ProgressBar *bar)
{
    if (bar->drawn) {
        fputs(ERASE_LINE, stderr);
        fflush(stderr);
    }
    bar->drawn = false;
    g_clear_pointer(&bar->what, g_free);
}

static void begin(ProgressBar *bar, const char *what)
{
    if (g_strcmp0(bar->what, what) != 0) {
        end(bar);
        bar->what = g_strdup(what);
        bar->next_draw_us = g_get_monotonic_time() + QUIET_US;
    }
}

static void draw_bytes(const ProgressState *state)
{
    uint64_t done_bytes = MIN(state->done_bytes, state->total_bytes);
    double share = (double)done_bytes / (double)state->total_bytes;
    int filled = (int)(share * BAR_WIDTH);
    g_autofree char *done = units_format_size(done_bytes);
    g_autofree char *total = units_format_size(state->total_bytes);
    char bar[BAR_WIDTH + 1];

    memset(bar, '.', BAR_WIDTH);
    memset(bar, '#', (size_t)filled);
    bar[BAR_WIDTH] = '\0';
    fprintf(stderr, ERASE_LINE "%s [%s] %3d%%  %s of %s", state->what, bar,
            (int)(share * 100), done, total);
}

static void show(const ProgressState *state, void *opaque)
{
    ProgressBar *bar = opaque;
    int64_t now_us = g_get_monotonic_time();

    if (!state) {
        end(bar);
        return;
    }
    begin(bar, state->what);
    if (!bar->on_terminal || now_us < bar->next_draw_us ||
        (!state->note && state->total_bytes == 0)) {
        return;
    }
    if (state->note) {
        fprintf(stderr, ERASE_LINE "%s: %s", state->what, state->note);
    } else {
        draw_bytes(state);
    }
    fflush(stderr);
    bar->drawn = true;
    bar->next_draw_us = now_us + REDRAW_US;
}

ProgressBar *progress_bar_new(void)
{
    ProgressBar *bar = g_new0(ProgressBar, 1);

    bar->progress = (Progress){show, bar};
    bar->on_terminal = isatty(STDERR_FILENO);
    return bar;
}

void progress_bar_free(ProgressBar *bar)
{
    if (bar) {
        end(bar);
        g_free(bar);
    }
}

const Progress *progress_bar_progress(const ProgressBar *bar)
{
    return &bar->progress;
}
