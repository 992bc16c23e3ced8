/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/suggest.h"

#include <string.h>

#include <glib.h>

/* Longer words are not compared: nobody has mistyped one of ours. */
#define MAX_LEN 32

/* So many edits a word of this length may be away and still be meant. */
static size_t max_edits(size_t len)
{
    return len < 4 ? 1 : len < 8 ? 2 : 3;
}

/* The optimal string alignment distance. */
static size_t distance(const char *a, size_t len_a, const char *b, size_t len_b)
{
    size_t d[MAX_LEN + 1][MAX_LEN + 1];

    for (size_t i = 0; i <= len_a; i++) {
        d[i][0] = i;
    }
    for (size_t j = 0; j <= len_b; j++) {
        d[0][j] = j;
    }
    for (size_t i = 1; i <= len_a; i++) {
        for (size_t j = 1; j <= len_b; j++) {
            size_t changed = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            size_t best = MIN(d[i - 1][j], d[i][j - 1]) + 1;

            d[i][j] = MIN(best, changed);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
                a[i - 2] == b[j - 1]) {
                d[i][j] = MIN(d[i][j], d[i - 2][j - 2] + 1);
            }
        }
    }
    return d[len_a][len_b];
}

const char *suggest(const char *typed, const char *const *words, size_t n_words)
{
    size_t len = strlen(typed);
    size_t best = len <= MAX_LEN ? max_edits(len) + 1 : 0;
    const char *found = NULL;

    for (size_t i = 0; i < n_words; i++) {
        size_t word_len = strlen(words[i]);

        if (word_len > MAX_LEN || len > MAX_LEN) {
            continue;
        }
        size_t edits = distance(typed, len, words[i], word_len);
        if (edits < best) {
            best = edits;
            found = words[i];
        }
    }
    return found;
}
