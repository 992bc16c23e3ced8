/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * old and the three sets of the lesson are laid over each other; each piece
 * of that becomes an entry of the new order or leaves.  An entry's key is the
 * latest time up to its place in old, which never falls: sorted by key, old
 * keeps its sequence even where its times do not rise, and what is new comes
 * in between by time.
 */
#include "profiler/orders/learn.h"

#include "profiler/orders/match.h"
#include "profiler/orders/overlay.h"
#include "profiler/orders/radix-sort.h"
#include "profiler/orders/segments.h"

/* The lists that are laid over each other. */
enum {
    OLD,
    MISSED,
    USED,
    UNUSED,
    N_LISTS,
};

typedef struct Entry {
    PageExtent extent;
    uint64_t key_us;
    uint64_t sequence; /* among those of one key: old's first */
} Entry;

typedef struct Learning {
    const PageOrder *orders[N_LISTS]; /* USED, UNUSED: may be NULL */
    GArray *lists[N_LISTS];
    uint64_t *keys_us; /* by extent of old */
    uint32_t max_idle_loads;
    GArray *entries; /* of Entry */
} Learning;

static Entry *entry_at(const GArray *entries, size_t i)
{
    return &g_array_index(entries, Entry, i);
}

static void find_keys(Learning *learning)
{
    const PageOrder *old = learning->orders[OLD];
    uint64_t latest_us = 0;

    learning->keys_us = g_new(uint64_t, old->extents->len + 1);
    for (guint i = 0; i < old->extents->len; i++) {
        latest_us = MAX(latest_us, page_order_extent(old, i)->time_us);
        learning->keys_us[i] = latest_us;
    }
}

static void learn_missed(Learning *learning, const OverlayPiece *piece)
{
    const PageSegment *missed = piece->owners[MISSED];
    Entry entry = {
        .extent = *page_order_extent(learning->orders[MISSED], missed->extent),
        .sequence = (uint64_t)UINT32_MAX + missed->extent,
    };

    entry.extent.span = piece->span;
    entry.extent.idle_loads = 0;
    entry.key_us = entry.extent.time_us;
    g_array_append_val(learning->entries, entry);
}

static void learn_known(Learning *learning, const OverlayPiece *piece)
{
    const PageSegment *known = piece->owners[OLD];
    Entry entry = {
        .extent = *page_order_extent(learning->orders[OLD], known->extent),
        .key_us = learning->keys_us[known->extent],
        .sequence = known->extent,
    };
    PageExtent *extent = &entry.extent;

    extent->span = piece->span;
    if (piece->owners[MISSED] != NULL || piece->owners[USED] != NULL) {
        extent->idle_loads = 0;
    } else if (piece->owners[UNUSED] != NULL &&
               extent->idle_loads < UINT32_MAX) {
        extent->idle_loads++;
    }
    if (extent->idle_loads < learning->max_idle_loads) {
        g_array_append_val(learning->entries, entry);
    }
}

/* Whether the miss says when these pages come, not old. */
static bool comes_with_its_miss(const Learning *learning,
                                const OverlayPiece *piece)
{
    const PageSegment *missed = piece->owners[MISSED];
    const PageSegment *known = piece->owners[OLD];

    if (missed == NULL || known == NULL) {
        return missed != NULL;
    }
    return page_order_extent(learning->orders[MISSED], missed->extent)
               ->time_us <
           page_order_extent(learning->orders[OLD], known->extent)->time_us;
}

static void learn_pieces(Learning *learning)
{
    g_autoptr(Overlay) overlay = overlay_new(learning->lists, N_LISTS);
    OverlayPiece piece;

    while (overlay_next(overlay, &piece)) {
        if (comes_with_its_miss(learning, &piece)) {
            learn_missed(learning, &piece);
        } else if (piece.owners[OLD] != NULL) {
            learn_known(learning, &piece);
        }
    }
}

static uint64_t sequence_key(const void *entry)
{
    return ((const Entry *)entry)->sequence;
}

static uint64_t time_key(const void *entry)
{
    return ((const Entry *)entry)->key_us;
}

static uint64_t idle_key(const void *entry)
{
    return ((const Entry *)entry)->extent.idle_loads;
}

static void sort_by_place(GArray *entries)
{
    radix_sort_array(entries, sequence_key);
    radix_sort_array(entries, time_key);
}

/* Leave as many of the entries as have room; the one that crosses the limit
 * is cut. */
static void keep_budget(const PageOrder *learned, GArray *entries,
                        uint64_t max_bytes)
{
    uint64_t bytes_left = max_bytes;

    sort_by_place(entries);
    radix_sort_array(entries, idle_key);
    for (guint i = 0; i < entries->len; i++) {
        PageExtent *extent = &entry_at(entries, i)->extent;
        uint64_t page_bytes =
            page_order_block(learned, extent->span.block)->page_bytes;
        uint64_t n_pages = MIN(extent->span.n_pages, bytes_left / page_bytes);

        if (n_pages < extent->span.n_pages) {
            extent->span.n_pages = n_pages;
            g_array_set_size(entries, n_pages > 0 ? i + 1 : i);
            break;
        }
        bytes_left -= n_pages * page_bytes;
    }
}

static bool collect_lists(Learning *learning, PageOrder *learned,
                          GError **error)
{
    for (size_t i = 0; i < N_LISTS; i++) {
        g_autofree uint32_t *map = NULL;

        if (learning->orders[i] == NULL) {
            learning->lists[i] = g_array_new(FALSE, FALSE, sizeof(PageSegment));
            continue;
        }
        map = order_join_blocks(learned, learning->orders[i], error);
        if (map == NULL) {
            return false;
        }
        learning->lists[i] = order_segments(learning->orders[i], map);
    }
    return true;
}

static void append_entries(PageOrder *learned, GArray *entries)
{
    sort_by_place(entries);
    for (guint i = 0; i < entries->len; i++) {
        page_order_append(learned, &entry_at(entries, i)->extent);
    }
}

static void clear_learning(Learning *learning)
{
    for (size_t i = 0; i < N_LISTS; i++) {
        g_clear_pointer(&learning->lists[i], g_array_unref);
    }
    g_clear_pointer(&learning->keys_us, g_free);
    g_clear_pointer(&learning->entries, g_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Learning, clear_learning)

PageOrder *order_learn(const PageOrder *old, const LoadLesson *lesson,
                       GError **error)
{
    g_autoptr(PageOrder) learned = page_order_new();
    g_auto(Learning) learning = {
        .orders = {old, lesson->missed, lesson->used, lesson->unused},
        .max_idle_loads = lesson->max_idle_loads,
        .entries = g_array_new(FALSE, FALSE, sizeof(Entry)),
    };

    if (!collect_lists(&learning, learned, error)) {
        return NULL;
    }
    find_keys(&learning);
    learn_pieces(&learning);
    keep_budget(learned, learning.entries, lesson->max_bytes);
    append_entries(learned, learning.entries);

    learned->origin = PAGE_ORDER_ORIGIN_LEARNED;
    learned->n_runs = old->n_runs + (old->n_runs < UINT32_MAX);
    if (!page_order_check(learned, error)) {
        return NULL;
    }
    return g_steal_pointer(&learned);
}
