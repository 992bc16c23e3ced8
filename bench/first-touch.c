/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a profiling window costs: opening it, one first touch, one touch
 * after that, closing it.  Prints a JSON object a round.
 *
 *     preheat-bench-first-touch [MIB [ROUNDS]]
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "plugin/pager/profile-window.h"
#include "util/clock.h"

#define PAGE_BYTES 4096
#define MAX_NOTED  (1u << 22)
/* So much that every touch is noted. */
#define MAX_MIB ((UINT64_C(2) * MAX_NOTED * PAGE_BYTES) >> 20)

/* The time to read a byte of every other page, in nanoseconds a page: those
 * between stay for the closing to move back. */
static double touch(volatile const uint8_t *memory, uint64_t len_bytes)
{
    uint64_t begin_us = monotonic_us();
    uint64_t n_pages = 0;

    for (uint64_t off = 0; off < len_bytes; off += UINT64_C(2) * PAGE_BYTES) {
        (void)memory[off];
        n_pages++;
    }
    return (double)(monotonic_us() - begin_us) * 1000 / (double)n_pages;
}

static int measure(uint8_t *memory, uint64_t len_bytes)
{
    const PagerRange range = {"ram", (uintptr_t)memory, len_bytes};
    g_autoptr(Recorder) recorder = recorder_new(MAX_NOTED);
    LoadStats *stats = load_stats_new(monotonic_us());
    g_autoptr(GError) error = NULL;
    ProfileWindowCost cost;
    uint64_t begin_us = monotonic_us();
    ProfileWindow *window =
        profile_window_open(&range, 1, recorder, stats, &error);
    uint64_t open_us = monotonic_us() - begin_us;

    if (!window) {
        fprintf(stderr, "%s\n", error->message);
        load_stats_free(stats);
        return 1;
    }
    double first_ns = touch(memory, len_bytes);
    double again_ns = touch(memory, len_bytes);
    profile_window_close(window, &cost);
    load_stats_free(stats);
    printf("{\"mib\": %ju, \"open-us\": %ju, \"first-touch-ns\": %.0f, "
           "\"touch-again-ns\": %.1f, \"close-us\": %ju, "
           "\"huge-pages-split\": %ju}\n",
           (uintmax_t)(len_bytes >> 20), (uintmax_t)open_us, first_ns, again_ns,
           (uintmax_t)cost.close_us, (uintmax_t)cost.huge_pages_split);
    return 0;
}

/* The number that argument i is, from 1 to max; else *number stays. */
static bool parse(int argc, char **argv, int i, uint64_t max, guint64 *number)
{
    return i >= argc ||
           g_ascii_string_to_unsigned(argv[i], 10, 1, max, number, NULL);
}

int main(int argc, char **argv)
{
    guint64 mib = 1024;
    guint64 n_rounds = 5;
    int status = 0;

    if (argc > 3 || !parse(argc, argv, 1, MAX_MIB, &mib) ||
        !parse(argc, argv, 2, INT32_MAX, &n_rounds)) {
        fprintf(stderr, "usage: %s [MIB (at most %ju) [ROUNDS]]\n", argv[0],
                (uintmax_t)MAX_MIB);
        return 2;
    }
    uint64_t len_bytes = mib << 20;
    uint8_t *memory = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        fprintf(stderr, "%s: no %ju MiB of memory: %s\n", argv[0],
                (uintmax_t)mib, strerror(errno));
        return 1;
    }
    for (uint64_t off = 0; off < len_bytes; off += PAGE_BYTES) {
        memory[off] = 1;
    }
    for (guint64 i = 0; i < n_rounds && status == 0; i++) {
        status = measure(memory, len_bytes);
    }
    munmap(memory, len_bytes);
    return status;
}
