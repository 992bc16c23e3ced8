/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Huge pages after a load, on memory that was filled page by page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "plugin/pager/collapse.h"
#include "plugin/pager/mapping.h"

#define PAGE_BYTES 4096
#define HUGE_BYTES (UINT64_C(2) << 20)
#define HUGE_PAGES (HUGE_BYTES / PAGE_BYTES)
#define N_HUGE     16
#define N_PAGES    (N_HUGE * HUGE_PAGES)
#define MAP_BYTES  ((N_HUGE + 2) * HUGE_BYTES)

static const HugePolicy always = {
    .huge_bytes = HUGE_BYTES,
    .anonymous = HUGE_ALWAYS,
    .shared = HUGE_ALWAYS,
};

static _Atomic bool go_on;
static _Atomic bool stop = true;

/* Memory of small pages, of which each has its number in it. */
typedef struct Loaded {
    uint8_t *map;
    uint8_t *memory; /* aligned to a huge page */
    uint64_t in_file[N_PAGES / 64];
} Loaded;

static Loaded *loaded_new(int flags)
{
    Loaded *loaded = g_new0(Loaded, 1);

    /* With room around it, so that it is a mapping of its own. */
    loaded->map =
        mmap(NULL, MAP_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(loaded->map, MAP_FAILED);
    loaded->memory =
        loaded->map + HUGE_BYTES - ((uintptr_t)loaded->map & (HUGE_BYTES - 1));
    assert_ptr_not_equal(mmap(loaded->memory, N_HUGE * HUGE_BYTES,
                              PROT_READ | PROT_WRITE,
                              flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
                         MAP_FAILED);
    assert_int_equal(
        madvise(loaded->memory, N_HUGE * HUGE_BYTES, MADV_NOHUGEPAGE), 0);
    for (uint64_t page = 0; page < N_PAGES; page++) {
        *(uint64_t *)(void *)(loaded->memory + page * PAGE_BYTES) = page + 1;
    }
    assert_int_equal(
        madvise(loaded->memory, N_HUGE * HUGE_BYTES, MADV_HUGEPAGE), 0);
    memset(loaded->in_file, 0xff, sizeof loaded->in_file);
    return loaded;
}

static void loaded_free(Loaded *loaded)
{
    munmap(loaded->map, MAP_BYTES);
    g_free(loaded);
}

static RamPages pages_of(const Loaded *loaded)
{
    return (RamPages){(uintptr_t)loaded->memory, PAGE_BYTES, N_PAGES,
                      loaded->in_file};
}

/* The sum of a field of smaps over the memory's mappings, in bytes. */
static uint64_t bytes_of(const Loaded *loaded, const char *field)
{
    g_autofree char *smaps = NULL;
    Mapping mapping = {0};
    uint64_t kib = 0;
    char *rest;
    const char *line;

    assert_true(g_file_get_contents("/proc/self/smaps", &smaps, NULL, NULL));
    rest = smaps;
    while ((line = mapping_next_line(&rest))) {
        if (!mapping_parse(line, &mapping) &&
            mapping.start < (uintptr_t)loaded->memory + N_HUGE * HUGE_BYTES &&
            mapping.end > (uintptr_t)loaded->memory &&
            g_str_has_prefix(line, field)) {
            kib += g_ascii_strtoull(line + strlen(field), NULL, 10);
        }
    }
    return kib << 10;
}

static void assert_right(const Loaded *loaded, uint64_t page)
{
    assert_int_equal(
        *(const uint64_t *)(const void *)(loaded->memory + page * PAGE_BYTES),
        page + 1);
}

static uint64_t collapse(const Loaded *loaded, const HugePolicy *policy,
                         const _Atomic bool *when)
{
    const RamPages pages = pages_of(loaded);
    Collapse *collapse = collapse_new(policy, &pages, 1);
    uint64_t n_made = collapse ? collapse_run(collapse, when) : 0;

    collapse_free(collapse);
    return n_made;
}

/* All that could be, but for one or two that the system may not have had just
 * then. */
static void assert_made(uint64_t n_made, uint64_t n_possible)
{
    assert_in_range(n_made, n_possible - MIN(n_possible, 2), n_possible);
}

/* ---- the tests ---- */

static void dense_memory_has_huge_pages_afterwards(void **state)
{
    Loaded *loaded = loaded_new(MAP_PRIVATE);

    /* khugepaged may have come to one or two already. */
    assert_in_range(bytes_of(loaded, "AnonHugePages:"), 0,
                    N_HUGE / 2 * HUGE_BYTES);
    assert_made(collapse(loaded, &always, &go_on), N_HUGE);
    assert_in_range(bytes_of(loaded, "AnonHugePages:"),
                    (N_HUGE - 2) * HUGE_BYTES, N_HUGE * HUGE_BYTES);
    for (uint64_t page = 0; page < N_PAGES; page++) {
        assert_right(loaded, page);
    }
    loaded_free(loaded);
}

static void dense_shared_memory_has_huge_pages_afterwards(void **state)
{
    Loaded *loaded = loaded_new(MAP_SHARED);

    assert_made(collapse(loaded, &always, &go_on), N_HUGE);
    assert_in_range(bytes_of(loaded, "ShmemPmdMapped:"),
                    (N_HUGE - 2) * HUGE_BYTES, N_HUGE * HUGE_BYTES);
    for (uint64_t page = 0; page < N_PAGES; page++) {
        assert_right(loaded, page);
    }
    loaded_free(loaded);
}

static void what_was_given_back_meanwhile_stays_away(void **state)
{
    Loaded *loaded = loaded_new(MAP_PRIVATE);
    const RamPages pages = pages_of(loaded);
    Collapse *collapse = collapse_new(&always, &pages, 1);

    assert_non_null(collapse);
    madvise(loaded->memory + 3 * HUGE_BYTES, HUGE_BYTES, MADV_DONTNEED);
    madvise(loaded->memory + 5 * HUGE_BYTES + 7 * PAGE_BYTES, HUGE_BYTES / 4,
            MADV_DONTNEED);
    assert_made(collapse_run(collapse, &go_on), N_HUGE - 2);
    collapse_free(collapse);
    assert_int_equal(bytes_of(loaded, "Rss:"),
                     (N_HUGE - 1) * HUGE_BYTES - HUGE_BYTES / 4);
    assert_right(loaded, 2 * HUGE_PAGES);
    loaded_free(loaded);
}

static void sparse_stretches_stay_small(void **state)
{
    Loaded *loaded = loaded_new(MAP_PRIVATE);

    /* Present, but not from the file. */
    memset(loaded->in_file, 0, HUGE_PAGES / 8 / 2);
    loaded->in_file[HUGE_PAGES / 64 / 2] &= ~UINT64_C(1);
    /* A few are missing there. */
    loaded->in_file[4 * HUGE_PAGES / 64] &= ~UINT64_C(0xff);
    assert_made(collapse(loaded, &always, &go_on), N_HUGE - 1);
    loaded_free(loaded);
}

static void only_whole_huge_pages_of_the_range_are_made(void **state)
{
    Loaded *loaded = loaded_new(MAP_PRIVATE);
    RamPages pages = pages_of(loaded);

    pages.host += PAGE_BYTES;
    pages.n_pages -= 2;
    Collapse *collapse = collapse_new(&always, &pages, 1);
    assert_made(collapse_run(collapse, &go_on), N_HUGE - 2);
    collapse_free(collapse);
    loaded_free(loaded);
}

static void without_a_policy_for_it_nothing_is_done(void **state)
{
    Loaded *loaded = loaded_new(MAP_PRIVATE);
    HugePolicy policy = always;
    const RamPages pages = pages_of(loaded);

    policy.anonymous = HUGE_NEVER;
    assert_null(collapse_new(&policy, &pages, 1));
    policy.anonymous = HUGE_ADVISED;
    assert_made(collapse(loaded, &policy, &go_on), N_HUGE);
    loaded_free(loaded);
}

static void locked_memory_is_left_alone(void **state)
{
    Loaded *loaded = loaded_new(MAP_PRIVATE);

    /* The sanitizers have an mlock() of their own. */
    if (syscall(SYS_mlock, loaded->memory + HUGE_BYTES, HUGE_BYTES) != 0) {
        print_message("skipped: memory cannot be locked here\n");
        skip();
    }
    assert_made(collapse(loaded, &always, &go_on), N_HUGE - 1);
    loaded_free(loaded);
}

static void it_ends_when_it_is_told_to(void **state)
{
    Loaded *loaded = loaded_new(MAP_PRIVATE);

    assert_int_equal(collapse(loaded, &always, &stop), 0);
    loaded_free(loaded);
}

static void memory_that_is_unmapped_meanwhile_does_no_harm(void **state)
{
    Loaded *loaded = loaded_new(MAP_PRIVATE);
    const RamPages pages = pages_of(loaded);
    Collapse *collapse = collapse_new(&always, &pages, 1);

    munmap(loaded->memory + 4 * HUGE_BYTES, (N_HUGE - 4) * HUGE_BYTES);
    assert_made(collapse_run(collapse, &go_on), 4);
    collapse_free(collapse);
    loaded_free(loaded);
}

/* Whether this kernel makes them: it may be too old, or have none. */
static bool have_collapse(void)
{
    HugePolicy policy;
    void *memory;
    bool works = false;

    if (huge_policy_read(HUGE_POLICY_FOLDER, &policy) &&
        policy.huge_bytes == HUGE_BYTES &&
        posix_memalign(&memory, HUGE_BYTES, HUGE_BYTES) == 0) {
        memset(memory, 1, HUGE_BYTES);
        works = madvise(memory, HUGE_BYTES, 25 /* MADV_COLLAPSE */) == 0;
        free(memory);
    }
    if (!works) {
        printf("skipped: needs MADV_COLLAPSE (Linux 6.1) and huge pages of "
               "2 MiB\n");
    }
    return works;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_memory_has_huge_pages_afterwards),
        cmocka_unit_test(dense_shared_memory_has_huge_pages_afterwards),
        cmocka_unit_test(what_was_given_back_meanwhile_stays_away),
        cmocka_unit_test(sparse_stretches_stay_small),
        cmocka_unit_test(only_whole_huge_pages_of_the_range_are_made),
        cmocka_unit_test(without_a_policy_for_it_nothing_is_done),
        cmocka_unit_test(locked_memory_is_left_alone),
        cmocka_unit_test(it_ends_when_it_is_told_to),
        cmocka_unit_test(memory_that_is_unmapped_meanwhile_does_no_harm),
    };

    if (!have_collapse()) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
