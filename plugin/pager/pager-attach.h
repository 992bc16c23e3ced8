/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pager attaches memory, and releases it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "formats/ram-image.h"
#include "plugin/pager/pager-config.h"

/* The snapshot's block that range is.  Returns NULL with PAGER_ERROR_SNAPSHOT
 * where there is none of its name and length. */
const RamImageBlock *pager_range_block(const PagerRange *range,
                                       const RamImage *snapshot,
                                       GError **error);

/*
 * Take over the ranges, lazily loaded from here on: their contents are
 * discarded, and each first touch waits for the page.  Blocks that are not
 * among the ranges are not loaded.  thread_ids: the vCPUs', for the
 * statistics.  Once only.
 *
 * Returns false with PAGER_ERROR; nothing has been discarded then, except
 * where the message says so.
 */
bool pager_attach(Pager *pager, const PagerRange *ranges, size_t n_ranges,
                  const uint32_t *thread_ids, size_t n_threads, GError **error);

/* For the pager's own parts: unregister everything, end the fault threads,
 * close the userfaultfd; also after half an attach. */
void pager_give_back(Pager *pager);
