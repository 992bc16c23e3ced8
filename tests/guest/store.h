/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The test guest's data store: what every word of it must be, and which
 * pages a key stands for.  Guest and host client share this, so that the
 * client can tell a right answer from a wrong one without asking anybody.
 */
#pragma once

#include <stdint.h>

#define STORE_PORT        7
#define STORE_PAGE_BYTES  4096
#define STORE_PAGE_WORDS  (STORE_PAGE_BYTES / 8)
#define STORE_GREETING    "preheat-guest"
#define STORE_SET_RUNS    1280 /* about 22 MiB a key */
#define STORE_MAX_RUN_LEN 8

/* What one PUT adds to each word of a page. */
#define STORE_PUT_STEP UINT64_C(0x9e3779b97f4a7c15)

/* The finaliser of splitmix64 (Steele, Lea, Flood: OOPSLA 2014): a bijection
 * whose values do not compress. */
static inline uint64_t store_mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* The content of a word before the first PUT. */
static inline uint64_t store_word(uint64_t page, unsigned word)
{
    return store_mix(page * STORE_PAGE_WORDS + word);
}

/* One step of the checksum (FNV-1a on words).  A bijection of sum for any
 * word, so a single wrong word can never cancel out. */
static inline uint64_t store_checksum(uint64_t sum, uint64_t word)
{
    return (sum ^ word) * UINT64_C(0x100000001b3);
}

/* The run-th run of pages of key; it wraps around at the end of the store.
 * The runs of a key may overlap. */
static inline uint64_t store_run(uint64_t key, unsigned run, uint64_t n_pages,
                                 unsigned *ret_len)
{
    uint64_t hash = store_mix(store_mix(key) + run);

    *ret_len = 1 + (unsigned)(hash >> 32) % STORE_MAX_RUN_LEN;
    return hash % n_pages;
}
