/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory that is given back while it is being loaded: by a balloon, by free
 * page reporting, by virtio-mem (MADV_DONTNEED, MADV_REMOVE).
 *
 * Pages that were placed are gone, and nothing is left to do.  Those that were
 * not are dropped: they are zero from now on and are not loaded; otherwise the
 * memory would fill up again with what nobody wants.
 *
 * Whoever gives back goes on as soon as the removal has been read, before the
 * pages are dropped.  So a fault may come first, and bring the page from the
 * snapshot; and a thread that had taken the right to place the page before
 * may place it after the memory was taken away.  Then the page has its old
 * contents, and stays.  This is harmless.  Whoever gives memory back may not
 * rely on what it finds there; the page has one content from its first touch
 * on, since only one thread may place it, and once; and few are in that state
 * at a time.
 *
 * Only removals in registered memory are reported, and MADV_DONTNEED of shared
 * memory counts as well, which takes away page tables alone: QEMU does that
 * only after it has punched the pages out of the file.
 *
 * Of reserved huge pages (hugetlb), QEMU gives back by fallocate() alone, which
 * is not reported.  What was not loaded yet is loaded then, and as it was: the
 * guest may not rely on anything else.
 *
 * Memory that is unmapped (a DIMM is unplugged) needs none of this: nobody can
 * touch it, and what is read for it finds no place (placer.h) and counts as
 * placed.
 */
#pragma once

#include <stdbool.h>

#include "plugin/pager/pager-config.h"
#include "plugin/pager/uffd.h"

/* From now on it is the guest who gives memory back.  Before, while QEMU makes
 * its machine and loads the devices, what is discarded is loaded nevertheless:
 * a QEMU that cleared memory in that way before it loads it would else have
 * zeroes there; and so would all of RAM, which pager_attach() discards.  May be
 * called at any time, from any thread; before memory is attached it returns
 * false, and does nothing. */
bool pager_heed_removals(Pager *pager);

/* For the pager's own parts: a RemovalHandler; opaque is the Pager. */
void pager_handle_removal(void *opaque, const UffdRemoval *removal);
