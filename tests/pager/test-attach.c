/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Taking over memory: while it is being touched, when a step of it fails, in
 * many blocks, on an old kernel.  The linker's --wrap puts the test between
 * the pager and what it calls for this.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "plugin/pager/fault-loop.h"
#include "plugin/pager/kernel-features.h"
#include "plugin/pager/mapping.h"
#include "plugin/pager/registration.h"
#include "tests/pager/pager-world.h"
#include "util/clock.h"

/* What discarding, and starting the fault threads, is answered with, unless
 * 0. */
static int discard_rc;
static int start_rc;

/* How many borders there may be; -1: as many as there may be here. */
static int64_t max_borders = -1;

static bool has_old_kernel;

int __real_ram_range_discard(RamKind kind, uint64_t start, uint64_t len_bytes);
int __wrap_ram_range_discard(RamKind kind, uint64_t start, uint64_t len_bytes);
int __real_fault_loop_start_held(int uffd, unsigned n_threads,
                                 const FaultHandlers *handlers,
                                 FaultLoop **ret_loop);
int __wrap_fault_loop_start_held(int uffd, unsigned n_threads,
                                 const FaultHandlers *handlers,
                                 FaultLoop **ret_loop);
uint64_t __real_registration_budget_here(size_t n_blocks);
uint64_t __wrap_registration_budget_here(size_t n_blocks);
bool __real_kernel_feature_is_safe(KernelFeature feature);
bool __wrap_kernel_feature_is_safe(KernelFeature feature);

int __wrap_ram_range_discard(RamKind kind, uint64_t start, uint64_t len_bytes)
{
    if (discard_rc != 0) {
        return discard_rc;
    }
    /* Time enough for whoever touches pages now to get them, if anybody
     * gave them any. */
    for (int i = 0; i < 5000; i++) {
        sched_yield();
    }
    return __real_ram_range_discard(kind, start, len_bytes);
}

int __wrap_fault_loop_start_held(int uffd, unsigned n_threads,
                                 const FaultHandlers *handlers,
                                 FaultLoop **ret_loop)
{
    return start_rc != 0 ? start_rc
                         : __real_fault_loop_start_held(uffd, n_threads,
                                                        handlers, ret_loop);
}

uint64_t __wrap_registration_budget_here(size_t n_blocks)
{
    return max_borders < 0 ? __real_registration_budget_here(n_blocks)
                           : (uint64_t)max_borders;
}

bool __wrap_kernel_feature_is_safe(KernelFeature feature)
{
    return !has_old_kernel && __real_kernel_feature_is_safe(feature);
}

/* ---- a world of several tries ---- */

static bool try_to_attach(World *world, GError **error)
{
    PagerRange ranges[WORLD_N_BLOCKS];

    for (size_t i = 0; i < WORLD_N_BLOCKS; i++) {
        ranges[i].name = world->snapshot->blocks[i].name;
        ranges[i].host = (uintptr_t)world->memory[i];
        ranges[i].len_bytes = world->snapshot->blocks[i].len_bytes;
    }
    return pager_attach(world->pager, ranges, WORLD_N_BLOCKS, NULL, 0, error);
}

/* The memory still has what was in it, and takes what is written to it. */
static bool is_as_it_was(const World *world)
{
    for (size_t block = 0; block < WORLD_N_BLOCKS; block++) {
        for (uint64_t page = 0; page < WORLD_N_PAGES; page++) {
            uint8_t *bytes = world_page(world, block, page);

            if (bytes[0] != 0x55 || bytes[FAKE_PAGE_BYTES - 1] != 0x55) {
                return false;
            }
            bytes[1] = 0x55;
        }
    }
    return true;
}

static size_t count_wrong(const World *world)
{
    size_t n_wrong = 0;

    for (size_t block = 0; block < WORLD_N_BLOCKS; block++) {
        for (uint64_t page = 0; page < WORLD_N_PAGES; page++) {
            n_wrong += !world_page_is_right(world, block, page);
        }
    }
    return n_wrong;
}

/* ---- memory that is touched meanwhile ---- */

typedef struct Toucher {
    World *world;
    bool discards; /* each page that it has touched */
    _Atomic bool end;
    pthread_t thread;
} Toucher;

static void *touch_pages(void *opaque)
{
    Toucher *toucher = opaque;

    for (uint64_t page = 0; !atomic_load(&toucher->end);
         page = (page + 1) % WORLD_N_PAGES) {
        (void)*(volatile uint8_t *)world_page(toucher->world, 0, page);
        if (toucher->discards) {
            __real_ram_range_discard(
                toucher->world->kind,
                (uintptr_t)world_page(toucher->world, 0, page),
                FAKE_PAGE_BYTES);
        }
    }
    return NULL;
}

static void start_touching(Toucher *toucher)
{
    atomic_store(&toucher->end, false);
    assert_int_equal(
        pthread_create(&toucher->thread, NULL, touch_pages, toucher), 0);
}

static void end_touching(Toucher *toucher)
{
    atomic_store(&toucher->end, true);
    pthread_join(toucher->thread, NULL);
}

static void pages_touched_while_memory_is_taken_over_are_right(void **state)
{
    World *world = world_new(ram_kind_of(state), 6);
    Toucher toucher = {.world = world};

    /* Nothing of it is there: each touch is a fault at once. */
    __real_ram_range_discard(world->kind, (uintptr_t)world->memory[0],
                             WORLD_N_PAGES * FAKE_PAGE_BYTES);
    start_touching(&toucher);
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    world_await(world, LOAD_GOAL_ALL);
    end_touching(&toucher);
    assert_int_equal(count_wrong(world), 0);
    world_free(world);
}

/* Each of its faults and removals may come just when that is over. */
static void who_touches_memory_when_it_is_given_back_goes_on(void **state)
{
    for (unsigned i = 0; i < 10; i++) {
        World *world = world_new(ram_kind_of(state), 1);
        Toucher toucher = {.world = world, .discards = true};

        world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
        world_attach(world);
        start_touching(&toucher);
        world_await(world, LOAD_GOAL_ALL);
        pager_release(world->pager);
        end_touching(&toucher);
        world_free(world);
    }
}

/* ---- steps that fail ---- */

static void after_an_attach_that_lost_memory_there_is_no_other(void **state)
{
    World *world = world_new(ram_kind_of(state), 6);
    g_autoptr(GError) first = NULL;
    g_autoptr(GError) second = NULL;

    world_start(world, LOAD_POLICY_DEMAND, NULL);
    discard_rc = -EINVAL;
    assert_false(try_to_attach(world, &first));
    discard_rc = 0;
    assert_true(g_error_matches(first, PAGER_ERROR, PAGER_ERROR_RAM));
    assert_false(try_to_attach(world, &second));
    assert_true(g_error_matches(second, PAGER_ERROR, PAGER_ERROR_STATE));
    world_free(world);
}

static void without_fault_threads_nothing_is_lost(void **state)
{
    World *world = world_new(ram_kind_of(state), 6);
    g_autoptr(GError) error = NULL;

    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    start_rc = -EAGAIN;
    assert_false(try_to_attach(world, &error));
    start_rc = 0;
    assert_true(g_error_matches(error, PAGER_ERROR, PAGER_ERROR_SYSTEM));
    assert_null(strstr(error->message, "lost"));
    assert_true(is_as_it_was(world));
    world_attach(world);
    world_await(world, LOAD_GOAL_ALL);
    assert_int_equal(count_wrong(world), 0);
    world_free(world);
}

/* Addresses that no QEMU would tell. */
static void ranges_that_make_no_sense_are_refused(void **state)
{
    World *world = world_new(ram_kind_of(state), 6);
    const uint64_t len = WORLD_N_PAGES * FAKE_PAGE_BYTES;
    uint64_t first = (uintptr_t)world->memory[0];
    const uint64_t bad[][WORLD_N_BLOCKS] = {
        {first, first},                             /* the same memory twice */
        {first, first + FAKE_PAGE_BYTES},           /* some of it */
        {first, first - FAKE_PAGE_BYTES},           /* the same */
        {first + 512, (uintptr_t)world->memory[1]}, /* not a page's address */
        {first, 0},
        {first, UINT64_MAX - FAKE_PAGE_BYTES + 1}, /* beyond the end of all */
    };

    world_start(world, LOAD_POLICY_DEMAND, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        const PagerRange ranges[WORLD_N_BLOCKS] = {{"block0", bad[i][0], len},
                                                   {"block1", bad[i][1], len}};
        g_autoptr(GError) error = NULL;

        assert_false(pager_attach(world->pager, ranges, WORLD_N_BLOCKS, NULL, 0,
                                  &error));
        assert_true(g_error_matches(error, PAGER_ERROR, PAGER_ERROR_RAM));
    }
    assert_true(is_as_it_was(world));
    world_attach(world);
    assert_int_equal(count_wrong(world), 0);
    world_free(world);
}

static void memory_that_another_userfaultfd_watches_is_refused(void **state)
{
    World *world = world_new(ram_kind_of(state), 6);
    g_autoptr(GError) error = NULL;
    UffdCaps caps;
    int uffd;

    /* The last block's last page: all else has been registered by then. */
    assert_int_equal(uffd_open(&uffd, &caps), 0);
    assert_int_equal(
        uffd_register(
            uffd,
            (uintptr_t)world_page(world, WORLD_N_BLOCKS - 1, WORLD_N_PAGES - 1),
            FAKE_PAGE_BYTES, UFFD_MISSING),
        0);
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    assert_false(try_to_attach(world, &error));
    assert_non_null(strstr(error->message, "another userfaultfd"));
    assert_true(is_as_it_was(world));
    close(uffd);
    world_attach(world);
    world_await(world, LOAD_GOAL_ALL);
    assert_int_equal(count_wrong(world), 0);
    world_free(world);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#else
#define HAS_SANITIZER 0
#endif

/* Sanitizers need more address space than this leaves. */
#if !HAS_SANITIZER
static uint64_t address_space_bytes(void)
{
    g_autofree char *text = NULL;

    g_file_get_contents("/proc/self/statm", &text, NULL, NULL);
    return g_ascii_strtoull(text, NULL, 10) * FAKE_PAGE_BYTES;
}

/* Room for a few buffers, and for no thread's stack. */
static int attach_without_address_space(RamKind kind)
{
    World *world = world_new(kind, 6);
    g_autoptr(GError) error = NULL;

    world_start(world, LOAD_POLICY_DEMAND, NULL);
    uint64_t limit = address_space_bytes() + (UINT64_C(1) << 20);
    const struct rlimit few = {limit, limit};
    if (setrlimit(RLIMIT_AS, &few) != 0 || try_to_attach(world, &error)) {
        return 1;
    }
    return strstr(error->message, "lost") || !is_as_it_was(world) ? 2 : 0;
}

static void without_address_space_for_threads_nothing_is_lost(void **state)
{
    int status;

    pid_t pid = fork();
    if (pid == 0) {
        _exit(attach_without_address_space(ram_kind_of(state)));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}
#endif

/* ---- mappings ---- */

#define MANY_BLOCKS  40
#define CHUNK_PAGES  512 /* of 2 MiB */
#define MANY_N_PAGES (32 * CHUNK_PAGES)

/* Every other chunk of each block has pages in the file. */
static RamImage *fragmented_snapshot(void)
{
    RamImage *snapshot = fake_snapshot_new(MANY_BLOCKS, MANY_N_PAGES, 0, 1);

    for (size_t i = 0; i < MANY_BLOCKS; i++) {
        RamImageBlock *block = &snapshot->blocks[i];

        for (uint64_t page = 3; page < MANY_N_PAGES; page += 2 * CHUNK_PAGES) {
            block->bitmap[page / 64] |= UINT64_C(1) << (page % 64);
            block->n_pages_in_file++;
        }
    }
    return snapshot;
}

/* Those that are in the memory, or cross its borders. */
static size_t count_mappings(const uint8_t *memory, uint64_t len_bytes)
{
    g_autofree char *maps = NULL;
    Mapping mapping;
    size_t n = 0;
    char *rest;
    const char *line;

    assert_true(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
    rest = maps;
    while ((line = mapping_next_line(&rest))) {
        n += mapping_parse(line, &mapping) &&
             mapping.start < (uintptr_t)memory + len_bytes &&
             mapping.end > (uintptr_t)memory;
    }
    return n;
}

static Pager *start_pager(FakeSource *source, LoadStats *stats)
{
    const PagerConfig config = {
        .source = fake_source_base(source),
        .policy = LOAD_POLICY_DEMAND,
        .stats = stats,
        .n_fault_threads = 2,
        .n_eager_threads = 2,
        .n_place_threads = 2,
    };
    g_autoptr(GError) error = NULL;
    Pager *pager = pager_new(&config, &error);

    assert_non_null(pager);
    return pager;
}

static void many_blocks_keep_to_one_budget_of_mappings(void **state)
{
    const uint64_t len = MANY_N_PAGES * FAKE_PAGE_BYTES;
    RamImage *snapshot = fragmented_snapshot();
    FakeSource *source = fake_source_new(snapshot);
    LoadStats *stats = load_stats_new(monotonic_us());
    Pager *pager = start_pager(source, stats);
    /* With room in between, that each is a mapping of its own. */
    const uint64_t all_bytes = MANY_BLOCKS * (len + FAKE_PAGE_BYTES);
    uint8_t *memory =
        mmap(NULL, all_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    PagerRange ranges[MANY_BLOCKS];
    g_autoptr(GError) error = NULL;

    for (size_t i = 0; i < MANY_BLOCKS; i++) {
        uint8_t *start = memory + i * (len + FAKE_PAGE_BYTES);

        assert_int_equal(mprotect(start, len, PROT_READ | PROT_WRITE), 0);
        ranges[i] =
            (PagerRange){snapshot->blocks[i].name, (uintptr_t)start, len};
    }
    size_t n_before = count_mappings(memory, all_bytes);
    max_borders = 100;
    if (!pager_attach(pager, ranges, MANY_BLOCKS, NULL, 0, &error)) {
        fail_msg("%s", error->message);
    }
    max_borders = -1;
    assert_in_range(count_mappings(memory, all_bytes), n_before + 90,
                    n_before + 100);
    for (size_t i = 0; i < MANY_BLOCKS; i++) {
        for (uint64_t page = 0; page < MANY_N_PAGES; page += 101) {
            assert_true(fake_page_is_right(
                snapshot, i, page,
                (uint8_t *)(uintptr_t)ranges[i].host + page * FAKE_PAGE_BYTES));
        }
    }
    pager_load_rest(pager);
    assert_true(pager_wait(pager, LOAD_GOAL_ALL, &error));
    pager_release(pager);
    assert_int_equal(count_mappings(memory, all_bytes), n_before);
    pager_free(pager);
    munmap(memory, all_bytes);
    load_stats_free(stats);
    fake_source_free(source);
    fake_snapshot_free(snapshot);
}

/* ---- an old kernel ---- */

/* Whether the mapping at the address has the flag, in smaps' terms. */
static bool has_flag(const void *address, const char *flag)
{
    g_autofree char *smaps = NULL;
    Mapping mapping = {0};
    char *rest;
    const char *line;

    assert_true(g_file_get_contents("/proc/self/smaps", &smaps, NULL, NULL));
    rest = smaps;
    while ((line = mapping_next_line(&rest))) {
        if (!mapping_parse(line, &mapping) &&
            g_str_has_prefix(line, "VmFlags:") &&
            (uintptr_t)address >= mapping.start &&
            (uintptr_t)address < mapping.end) {
            return strstr(line, flag) != NULL;
        }
    }
    return false;
}

static void
shared_memory_has_no_huge_pages_while_an_old_kernel_loads_it(void **state)
{
    RamKind kind = ram_kind_of(state);

    if (access("/sys/kernel/mm/transparent_hugepage", F_OK) != 0) {
        print_message("skipped: this kernel has no huge pages\n");
        skip();
    }
    World *world = world_new(kind, 6);
    has_old_kernel = true;
    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    assert_int_equal(has_flag(world_page(world, 0, 7), " nh"),
                     kind == RAM_SHARED);
    pager_load_rest(world->pager);
    world_await(world, LOAD_GOAL_ALL);
    pager_release(world->pager);
    has_old_kernel = false;
    assert_false(has_flag(world_page(world, 0, 7), " nh"));
    assert_int_equal(has_flag(world_page(world, 0, 7), " hg"),
                     kind == RAM_SHARED);
    assert_int_equal(count_wrong(world), 0);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOR_BOTH_KINDS(pages_touched_while_memory_is_taken_over_are_right),
        FOR_BOTH_KINDS(who_touches_memory_when_it_is_given_back_goes_on),
        FOR_BOTH_KINDS(after_an_attach_that_lost_memory_there_is_no_other),
        FOR_BOTH_KINDS(without_fault_threads_nothing_is_lost),
        FOR_BOTH_KINDS(ranges_that_make_no_sense_are_refused),
        FOR_BOTH_KINDS(memory_that_another_userfaultfd_watches_is_refused),
#if !HAS_SANITIZER
        FOR_BOTH_KINDS(without_address_space_for_threads_nothing_is_lost),
#endif
        cmocka_unit_test(many_blocks_keep_to_one_budget_of_mappings),
        FOR_BOTH_KINDS(
            shared_memory_has_no_huge_pages_while_an_old_kernel_loads_it),
    };

    if (!have_userfaultfd(0)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
