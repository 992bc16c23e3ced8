/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Least significant digit first, one counting sort for each digit in which
 * any keys differ.
 */
#include "profiler/orders/radix-sort.h"

#include <stdbool.h>
#include <string.h>

#define DIGIT_BITS 11
#define N_DIGITS   (1 << DIGIT_BITS)

typedef struct Items {
    char *data;
    size_t n;
    size_t item_bytes;
    RadixKey key;
} Items;

static uint64_t key_at(const Items *items, size_t i)
{
    return items->key(items->data + i * items->item_bytes);
}

/* Whether the items are in sequence; if not, *ret_differing has the bits in
 * which not all keys are the same. */
static bool is_sorted(const Items *items, uint64_t *ret_differing)
{
    uint64_t first = key_at(items, 0);
    uint64_t last = first;
    uint64_t differing = 0;
    bool sorted = true;

    for (size_t i = 1; i < items->n; i++) {
        uint64_t key = key_at(items, i);

        sorted = sorted && key >= last;
        differing |= key ^ first;
        last = key;
    }
    *ret_differing = differing;
    return sorted;
}

static size_t digit_at(const Items *items, size_t i, unsigned shift)
{
    return (key_at(items, i) >> shift) & (N_DIGITS - 1);
}

/* Put the items into to, sorted by the digit at shift. */
static void sort_by_digit(const Items *items, char *to, unsigned shift)
{
    size_t places[N_DIGITS] = {0};
    size_t n_before = 0;

    for (size_t i = 0; i < items->n; i++) {
        places[digit_at(items, i, shift)]++;
    }
    for (size_t digit = 0; digit < N_DIGITS; digit++) {
        size_t count = places[digit];

        places[digit] = n_before;
        n_before += count;
    }
    for (size_t i = 0; i < items->n; i++) {
        size_t place = places[digit_at(items, i, shift)]++;

        memcpy(to + place * items->item_bytes,
               items->data + i * items->item_bytes, items->item_bytes);
    }
}

void radix_sort(void *data, size_t n, size_t item_bytes, RadixKey key)
{
    Items items = {data, n, item_bytes, key};
    g_autofree char *copy = NULL;
    char *to;
    uint64_t differing;

    if (n < 2 || is_sorted(&items, &differing)) {
        return;
    }
    copy = g_malloc_n(n, item_bytes);
    to = copy;
    for (unsigned shift = 0; shift < 64; shift += DIGIT_BITS) {
        if (((differing >> shift) & (N_DIGITS - 1)) != 0) {
            char *from = items.data;

            sort_by_digit(&items, to, shift);
            items.data = to;
            to = from;
        }
    }
    if (items.data == copy) {
        memcpy(data, copy, n * item_bytes);
    }
}

void radix_sort_array(GArray *array, RadixKey key)
{
    radix_sort(array->data, array->len, g_array_get_element_size(array), key);
}
