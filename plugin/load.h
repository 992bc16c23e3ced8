/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One load of a snapshot, from the control protocol's "load" to its
 * statistics: the pager, and what goes to and comes from files.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>
#include <jansson.h>

#include "plugin/control.h"
#include "plugin/ending.h"
#include "plugin/load-request.h"
#include "plugin/pager/load-stats.h"
#include "plugin/pager/pager.h"

typedef struct Load Load;

/* All borrowed for the process's life. */
typedef struct LoadHost {
    Control *control; /* events go there */
    Ending *ending;   /* gets the messages that nobody else may hear */
    void (*warn)(const char *text);
} LoadHost;

/*
 * Begin what request, of which it steals, asks for.  Never freed: it lives as
 * long as the process.
 *
 * Returns NULL with an error, and then nothing has begun.  *ret_warning (for
 * g_free()) is set if there is a warning and the load goes on.
 */
Load *load_begin(LoadRequest *request, const LoadHost *host, char **ret_warning,
                 GError **error);

/* Attach guest RAM: arrays of PagerRange and of uint32_t.  Not for two
 * threads at once. */
bool load_attach(Load *load, const GArray *ranges, const GArray *thread_ids,
                 GError **error);

/* End it before guest RAM is attached; the same threads as load_attach().
 * Returns false with PAGER_ERROR_STATE if that is too late. */
bool load_abandon(Load *load, GError **error);

/* QEMU has reached a milestone.  Returns false with PAGER_ERROR if that is not
 * one to report, or something is wrong with the guest. */
bool load_milestone(Load *load, Milestone milestone, uint64_t time_us,
                    GError **error);

/* A page cannot be loaded.  *ret_waited_for: somebody waits for such a page. */
bool load_is_failed(const Load *load, bool *ret_waited_for);

/* Pages are missing that only this load can bring. */
bool load_is_under_way(const Load *load);

/* The statistics; a new reference. */
json_t *load_query(Load *load);

/* Whether guest RAM is mapped from a template. */
bool load_is_clone(const Load *load);

/* NULL with policy full. */
Pager *load_pager(const Load *load);

const char *load_snapshot_path(const Load *load);

/* Write the statistics where that is asked for. */
void load_write_stats(Load *load);

/* QEMU ends: write down what is to be written. */
void load_end(Load *load);
