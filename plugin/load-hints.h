/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The order and the pack of a load.  Both are hints: what is wrong with them is
 * worth a word, not a stop.
 */
#pragma once

#include "formats/pack.h"
#include "formats/page-order.h"
#include "formats/ram-image.h"
#include "plugin/load-request.h"

/* An order beyond this is no help any more, and QEMU's memory not the place
 * for it: it is refused by its header.  One within takes 64 MiB while it is
 * read, and 160 MiB decoded. */
extern const PageOrderLimits load_hints_limits;

/* The order that the request has for the snapshot; NULL: none, or it is of no
 * use.  A warning is added to those in *ret_warning. */
PageOrder *load_hints_order(const LoadRequest *request,
                            const RamImage *snapshot, char **ret_warning);

/* The same of the pack, which the request has no longer. */
Pack *load_hints_pack(LoadRequest *request, const RamImage *snapshot,
                      char **ret_warning);

/* Add text, taken over, to the warnings. */
void load_hints_warn(char **ret_warning, char *text);
