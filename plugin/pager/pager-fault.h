/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The fault threads' part of the pager: what somebody waits for.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "plugin/pager/pager-config.h"
#include "plugin/pager/uffd.h"

/* Serve the page that somebody waits for: a FaultHandler; opaque is the
 * Pager. */
void pager_handle_fault(void *opaque, unsigned worker, const UffdFault *fault);

/*
 * Have a page now, as if it had been touched: it is placed when this returns 0.
 * It is a page of an attached block; fetcher, below config.n_fetchers, is no
 * other call's at this time.
 * Returns -errno where it cannot be had just now; it is then tried again as any
 * page that has failed.  -ESHUTDOWN: all is loaded and pager_release() has been
 * called, or nothing is attached yet.
 */
int pager_fetch(Pager *pager, unsigned fetcher, size_t block, uint64_t page);
