/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "Did you mean": the known word that a mistyped one is closest to.
 */
#pragma once

#include <stddef.h>

/* The one of n_words that takes the fewest edits (a letter changed, missing,
 * added, or two swapped) to become typed; NULL where none is close enough to
 * be meant. */
const char *suggest(const char *typed, const char *const *words,
                    size_t n_words);
