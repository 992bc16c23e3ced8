/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Several lists of segments laid over each other: which of them have which
 * pages.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "profiler/orders/segments.h"

typedef struct Overlay Overlay;

/* A stretch of pages throughout which the same segments lie. */
typedef struct OverlayPiece {
    PageSpan span;
    /* owners[i]: the segment of list i, or NULL; owned by the Overlay and
     * good until its next step. */
    const PageSegment *const *owners;
} OverlayPiece;

/* Lay the n lists (each as order_segments() makes them, of one numbering of
 * blocks) over each other; they must outlive the Overlay. */
Overlay *overlay_new(GArray *const *lists, size_t n);

/* NULL is fine. */
void overlay_free(Overlay *overlay);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Overlay, overlay_free)

/* The next piece by address; false after the last one.  Each page that is in
 * any list is in exactly one piece. */
bool overlay_next(Overlay *overlay, OverlayPiece *ret_piece);

/* Append to segments the part of owners[i], not NULL, that piece is. */
void overlay_append_part(const OverlayPiece *piece, size_t i, GArray *segments);
