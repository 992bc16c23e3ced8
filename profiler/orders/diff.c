/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pages that follow each other in both orders keep their sequence in both, so
 * the rank correlation is counted over stretches of pages, weighted by their
 * lengths: its cost grows with the number of extents, not of pages.
 */
#include "profiler/orders/diff.h"

#include <math.h>

#include "profiler/orders/match.h"
#include "profiler/orders/normalise.h"
#include "profiler/orders/overlay.h"
#include "profiler/orders/radix-sort.h"
#include "profiler/orders/segments.h"

/* A stretch of pages that lies in one extent of a and in one of b. */
typedef struct CommonPiece {
    PageSpan span;
    uint32_t extent_a;
    uint32_t extent_b;
    size_t rank_b; /* its place among the pieces in the sequence of b */
} CommonPiece;

static CommonPiece *piece_at(const GArray *pieces, size_t i)
{
    return &g_array_index(pieces, CommonPiece, i);
}

static uint64_t page_key(const void *piece)
{
    return ((const CommonPiece *)piece)->span.first_page;
}

static uint64_t extent_a_key(const void *piece)
{
    return ((const CommonPiece *)piece)->extent_a;
}

static uint64_t extent_b_key(const void *piece)
{
    return ((const CommonPiece *)piece)->extent_b;
}

/*
 * The pairs of pages that come the other way round in b, among pieces in the
 * sequence of a: for each piece, the pages of earlier pieces that are behind
 * it in b.  sums is a binary indexed tree (Fenwick 1994) of the pages so far
 * by their rank in b.  In floating point, since there may be 2^63 pairs.
 */
static double count_discordant(const GArray *pieces)
{
    size_t n = pieces->len;
    g_autofree uint64_t *sums = g_new0(uint64_t, n + 1);
    uint64_t n_pages_before = 0;
    double n_discordant = 0;

    for (size_t i = 0; i < n; i++) {
        const CommonPiece *piece = piece_at(pieces, i);
        uint64_t n_pages_ahead = 0;

        for (size_t k = piece->rank_b + 1; k > 0; k -= k & -k) {
            n_pages_ahead += sums[k];
        }
        n_discordant += (double)piece->span.n_pages *
                        (double)(n_pages_before - n_pages_ahead);
        for (size_t k = piece->rank_b + 1; k <= n; k += k & -k) {
            sums[k] += piece->span.n_pages;
        }
        n_pages_before += piece->span.n_pages;
    }
    return n_discordant;
}

static double kendall_tau(GArray *pieces, uint64_t n_pages)
{
    double n_pairs = (double)n_pages * ((double)n_pages - 1) / 2;

    if (n_pages < 2) {
        return NAN;
    }
    radix_sort_array(pieces, page_key);
    radix_sort_array(pieces, extent_b_key);
    for (size_t i = 0; i < pieces->len; i++) {
        piece_at(pieces, i)->rank_b = i;
    }
    radix_sort_array(pieces, page_key);
    radix_sort_array(pieces, extent_a_key);
    return 1 - 2 * count_discordant(pieces) / n_pairs;
}

static OrderDiff *diff_of_segments(const PageOrder *a, const PageOrder *b,
                                   GArray *in_a, GArray *in_b)
{
    g_autoptr(GArray) only_a = g_array_new(FALSE, FALSE, sizeof(PageSegment));
    g_autoptr(GArray) only_b = g_array_new(FALSE, FALSE, sizeof(PageSegment));
    g_autoptr(GArray) common = g_array_new(FALSE, FALSE, sizeof(CommonPiece));
    GArray *const lists[] = {in_a, in_b};
    g_autoptr(Overlay) overlay = overlay_new(lists, G_N_ELEMENTS(lists));
    OrderDiff *diff = g_new0(OrderDiff, 1);
    OverlayPiece piece;

    while (overlay_next(overlay, &piece)) {
        if (piece.owners[1] == NULL) {
            overlay_append_part(&piece, 0, only_a);
        } else if (piece.owners[0] == NULL) {
            overlay_append_part(&piece, 1, only_b);
        } else {
            CommonPiece both = {
                .span = piece.span,
                .extent_a = piece.owners[0]->extent,
                .extent_b = piece.owners[1]->extent,
            };

            g_array_append_val(common, both);
            diff->n_pages_common += piece.span.n_pages;
        }
    }
    diff->tau = kendall_tau(common, diff->n_pages_common);
    diff->only_a = order_of_segments(a, only_a);
    diff->only_b = order_of_segments(b, only_b);
    return diff;
}

OrderDiff *order_diff(const PageOrder *a, const PageOrder *b, GError **error)
{
    g_autoptr(PageOrder) joined = page_order_new();
    g_autofree uint32_t *map_a = order_join_blocks(joined, a, error);
    g_autofree uint32_t *map_b = NULL;
    g_autoptr(GArray) in_a = NULL;
    g_autoptr(GArray) in_b = NULL;
    OrderDiff *diff;
    uint64_t n_all;

    if (map_a == NULL) {
        return NULL;
    }
    map_b = order_join_blocks(joined, b, error);
    if (map_b == NULL) {
        return NULL;
    }
    in_a = order_segments(a, map_a);
    in_b = order_segments(b, map_b);
    diff = diff_of_segments(a, b, in_a, in_b);
    diff->n_pages_a = segments_n_pages(in_a);
    diff->n_pages_b = segments_n_pages(in_b);
    n_all = diff->n_pages_a + diff->n_pages_b - diff->n_pages_common;
    diff->jaccard =
        n_all > 0 ? (double)diff->n_pages_common / (double)n_all : 1;
    return diff;
}

void order_diff_free(OrderDiff *diff)
{
    if (diff == NULL) {
        return;
    }
    page_order_free(diff->only_a);
    page_order_free(diff->only_b);
    g_free(diff);
}
