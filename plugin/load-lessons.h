/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a load is to teach, if anything: the order that is recorded during it,
 * or what it learns for the order that it replays.
 *
 * Not thread-safe; but load_lessons_write() may be called by any thread once
 * nobody notes touches any more.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "formats/page-order.h"
#include "formats/ram-image.h"
#include "plugin/load-request.h"
#include "plugin/pager/pager.h"
#include "profiler/orders/recorder.h"

/* All zeroes: nothing. */
typedef struct LoadLessons {
    Destination *record_output; /* NULL: do not record */
    Destination *learn_output;  /* NULL: do not learn */
    Recorder *recorder;
    Recorder *missed; /* both for learning */
    Recorder *unused;
    PageOrder *learn_from; /* what is to be improved */
} LoadLessons;

/* What the request has of it, and what order replays (may be NULL).  What
 * cannot be learned is added to the warnings. */
void load_lessons_init(LoadLessons *lessons, LoadRequest *request,
                       const PageOrder *order, const RamImage *snapshot,
                       char **ret_warning);

/* For the pager; it borrows the recorders. */
PagerObserve load_lessons_observe(const LoadLessons *lessons,
                                  const LoadRequest *request);

/* The observation, which began at begin_us, is over: write what was seen. */
bool load_lessons_write(const LoadLessons *lessons, const RamImage *snapshot,
                        uint64_t begin_us, GError **error);

void load_lessons_clear(LoadLessons *lessons);
