/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a demand fault costs while a large, sparse guest is being loaded: with
 * no order, and with an order of many extents that are not in the file, in
 * turns.  Prints a JSON object a round, and the two side by side at the end.
 *
 *     preheat-bench-fault-latency [GIB [EXTENTS [ROUNDS [BUSY_THREADS]]]]
 *
 * Pages come from memory; reading several at once takes a moment longer, as it
 * would from storage, so that the load does not end before the faults do.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "plugin/pager/pager.h"
#include "util/clock.h"

#define PAGE_BYTES UINT64_C(4096)
/* One page in so many of the last of so many parts is in the file. */
#define IN_FILE_STEP UINT64_C(16)
#define N_PARTS      UINT64_C(16)
#define N_TOUCHES    4000
#define READ_NS      200000
#define MAX_BUSY     64

typedef struct Bench {
    uint64_t n_pages;
    uint64_t first_page; /* that is in the file */
    uint64_t n_extents;
    uint64_t *bitmap;
    uint8_t *memory;
    PageSourceBlock block;
    PageSource source;
} Bench;

/* All latencies of one kind of round, in nanoseconds. */
typedef struct Latencies {
    uint64_t *ns;
    size_t n;
} Latencies;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int read_pages(PageSource *source, PageRead *read)
{
    if (read->span.n_pages > 1) {
        const struct timespec pause = {.tv_nsec = READ_NS};

        nanosleep(&pause, NULL);
    }
    memset(read->buf, 0x5a, read->span.n_pages * PAGE_BYTES);
    read->bytes_read = read->span.n_pages * PAGE_BYTES;
    return 0;
}

static void sequence(const PageSource *source, size_t *ret_blocks)
{
    ret_blocks[0] = 0;
}

static void describe(const PageSource *source, size_t block, uint64_t page,
                     PagePlace *ret_place)
{
    *ret_place = (PagePlace){source->name, page * PAGE_BYTES};
}

static bool init(Bench *bench, uint64_t gib, uint64_t n_extents)
{
    uint64_t len_bytes = gib << 30;

    bench->n_pages = len_bytes / PAGE_BYTES;
    bench->n_extents = n_extents;
    bench->bitmap = g_new0(uint64_t, bench->n_pages / 64);
    bench->first_page = bench->n_pages - bench->n_pages / N_PARTS;
    for (uint64_t page = bench->first_page; page < bench->n_pages;
         page += IN_FILE_STEP) {
        bench->bitmap[page / 64] |= UINT64_C(1) << (page % 64);
    }
    bench->memory = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bench->block = (PageSourceBlock){
        .name = "ram",
        .len_bytes = len_bytes,
        .page_bytes = PAGE_BYTES,
        .n_pages = bench->n_pages,
        .n_pages_in_file = bench->n_pages / N_PARTS / IN_FILE_STEP,
        .bitmap = bench->bitmap,
    };
    bench->source = (PageSource){
        .name = "memory",
        .blocks = &bench->block,
        .n_blocks = 1,
        .read = read_pages,
        .sequence = sequence,
        .describe = describe,
    };
    return bench->memory != MAP_FAILED;
}

/* Extents here and there where nothing is in the file. */
static PageOrder *foreign_order(const Bench *bench)
{
    PageOrder *order = page_order_new();
    uint32_t block =
        page_order_add_block(order, "ram", bench->block.len_bytes, PAGE_BYTES);
    uint64_t step = bench->first_page / bench->n_extents;

    for (uint64_t i = 0; i < bench->n_extents; i++) {
        const PageExtent extent = {
            .span = {.block = block,
                     .first_page = i * step,
                     .n_pages = MAX(step / 2, 1)},
            .time_us = i,
        };
        page_order_append(order, &extent);
    }
    return order;
}

static Pager *start(Bench *bench, LoadStats *stats, const PageOrder *order)
{
    const PagerConfig config = {
        .source = &bench->source,
        .order = order ? page_order_copy(order) : NULL,
        .policy = LOAD_POLICY_ORDER,
        .stats = stats,
        .max_staged_bytes = UINT64_C(512) << 20,
        .n_fault_threads = 4,
        .n_eager_threads = 4,
        .n_place_threads = 2,
    };
    const PagerRange range = {"ram", (uintptr_t)bench->memory,
                              bench->block.len_bytes};
    g_autoptr(GError) error = NULL;
    Pager *pager = pager_new(&config, &error);

    if (!pager || !pager_attach(pager, &range, 1, NULL, 0, &error)) {
        fprintf(stderr, "%s\n", error->message);
        exit(1);
    }
    return pager;
}

/* Touch pages that are in the file, here and there. */
static void touch(const Bench *bench, uint32_t seed, Latencies *latencies)
{
    GRand *random = g_rand_new_with_seed(seed);
    uint64_t n_in_file = bench->block.n_pages_in_file;

    for (unsigned i = 0; i < N_TOUCHES; i++) {
        uint64_t page = bench->first_page +
                        (uint64_t)(g_rand_double(random) * (double)n_in_file) *
                            IN_FILE_STEP;
        uint64_t begin_ns = now_ns();

        (void)*(volatile const uint8_t *)(bench->memory + page * PAGE_BYTES);
        latencies->ns[latencies->n++] = now_ns() - begin_ns;
    }
    g_rand_free(random);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Touches of pages that were there cost next to nothing: those that did are
 * the slowest, as many as there were demand faults. */
static void print(const char *name, const uint64_t *ns, size_t n,
                  uint64_t n_faults, double ms)
{
    g_autofree uint64_t *sorted = g_memdup2(ns, n * sizeof *ns);

    qsort(sorted, n, sizeof *sorted, compare);
    const uint64_t *faults = sorted + (n - MIN(n, n_faults));
    n = MIN(n, n_faults);
    printf("{\"order\": \"%s\", \"faults\": %zu, \"p50-us\": %.1f, "
           "\"p99-us\": %.1f, \"max-us\": %.1f, \"pager-new-ms\": %.1f}\n",
           name, n, n ? (double)faults[n / 2] / 1000 : 0,
           n ? (double)faults[n * 99 / 100] / 1000 : 0,
           n ? (double)faults[n - 1] / 1000 : 0, ms);
    fflush(stdout);
}

static uint64_t demand_faults(LoadStats *stats)
{
    json_t *json =
        load_stats_to_json(stats, LOAD_POLICY_ORDER, LOAD_STATE_LOADING);
    uint64_t n =
        (uint64_t)json_integer_value(json_object_get(json, "demand-faults"));

    json_decref(json);
    return n;
}

/* Returns how many demand faults there were. */
static uint64_t measure(Bench *bench, const PageOrder *order, uint32_t seed,
                        const char *name, Latencies *all)
{
    LoadStats *stats = load_stats_new(monotonic_us());
    size_t before = all->n;
    uint64_t begin_ns = now_ns();
    Pager *pager = start(bench, stats, order);
    double ms = (double)(now_ns() - begin_ns) / 1e6;

    touch(bench, seed, all);
    uint64_t n_faults = demand_faults(stats);
    print(name, all->ns + before, all->n - before, n_faults, ms);
    pager_free(pager);
    load_stats_free(stats);
    madvise(bench->memory, bench->block.len_bytes, MADV_DONTNEED);
    return n_faults;
}

static _Atomic bool is_over;

static void *spin(void *opaque)
{
    while (!atomic_load_explicit(&is_over, memory_order_relaxed)) {
    }
    return NULL;
}

static void run(Bench *bench, guint64 n_rounds)
{
    g_autoptr(PageOrder) order = foreign_order(bench);
    Latencies all[2] = {{g_new(uint64_t, n_rounds * N_TOUCHES), 0},
                        {g_new(uint64_t, n_rounds * N_TOUCHES), 0}};
    uint64_t n_faults[2] = {0, 0};

    for (guint64 i = 0; i < n_rounds; i++) {
        n_faults[0] += measure(bench, NULL, (uint32_t)i, "none", &all[0]);
        n_faults[1] += measure(bench, order, (uint32_t)i, "foreign", &all[1]);
    }
    print("none, all rounds", all[0].ns, all[0].n, n_faults[0], 0);
    print("foreign, all rounds", all[1].ns, all[1].n, n_faults[1], 0);
    g_free(all[0].ns);
    g_free(all[1].ns);
}

/* The number that argument i is, from min to max; else *number stays. */
static bool parse(int argc, char **argv, int i, uint64_t min, uint64_t max,
                  guint64 *number)
{
    return i >= argc ||
           g_ascii_string_to_unsigned(argv[i], 10, min, max, number, NULL);
}

int main(int argc, char **argv)
{
    guint64 gib = 64;
    guint64 n_extents = 100000;
    guint64 n_rounds = 3;
    guint64 n_busy = 0;
    pthread_t busy[MAX_BUSY];
    Bench bench;

    if (argc > 5 || !parse(argc, argv, 1, 1, 4096, &gib) ||
        !parse(argc, argv, 2, 1, 1 << 17, &n_extents) ||
        !parse(argc, argv, 3, 1, 1000, &n_rounds) ||
        !parse(argc, argv, 4, 0, MAX_BUSY, &n_busy)) {
        fprintf(stderr, "usage: %s [GIB [EXTENTS [ROUNDS [BUSY_THREADS]]]]\n",
                argv[0]);
        return 2;
    }
    if (!init(&bench, gib, n_extents)) {
        fprintf(stderr, "%s: no %" PRIu64 " GiB of addresses: %s\n", argv[0],
                gib, strerror(errno));
        return 1;
    }
    for (guint64 i = 0; i < n_busy; i++) {
        pthread_create(&busy[i], NULL, spin, NULL);
    }
    run(&bench, n_rounds);
    atomic_store(&is_over, true);
    for (guint64 i = 0; i < n_busy; i++) {
        pthread_join(busy[i], NULL);
    }
    munmap(bench.memory, bench.block.len_bytes);
    g_free(bench.bitmap);
    return 0;
}
