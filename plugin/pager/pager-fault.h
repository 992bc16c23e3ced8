/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The fault threads' part of the pager.
 */
#pragma once

#include "plugin/pager/uffd.h"

/* Serve the page that somebody waits for: a FaultHandler; opaque is the
 * Pager. */
void pager_handle_fault(void *opaque, unsigned worker, const UffdFault *fault);
