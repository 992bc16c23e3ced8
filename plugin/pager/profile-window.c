/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/profile-window.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "plugin/pager/kernel-features.h"
#include "plugin/pager/resident.h"
#include "plugin/pager/shadow.h"
#include "plugin/pager/uffd.h"
#include "util/clock.h"
#include "util/thread.h"

#define OTHERWISE      "save without --profile"
#define RECORD_INSTEAD "record at a load instead, with preheat loadvm --record"

/* Messages that are read in a row before it is looked whether to close. */
#define MAX_IN_A_ROW 64

#define CALLS_BETWEEN_MESSAGES 16

/* What has to be tried again mostly works some microseconds later; after so
 * many tries, a millisecond is waited between two. */
#define QUICK_TRIES 100

/* So long after a touch the thread looks for the next one before it sleeps: to
 * be woken takes longer than to serve one, where its CPU has gone to sleep too.
 */
#define AWAKE_US 50

/* More than threads wait for a page at the same time as a rule; of any further
 * the page is woken, and the thread faults again. */
#define MAX_WAITING 256

typedef struct WatchedRange {
    char *name;
    uint64_t host;
    uint64_t len_bytes;
    RamKind kind;
    Shadow shadow;   /* of anonymous memory */
    bool registered; /* of shared memory */
} WatchedRange;

/* A fault that is not answered yet. */
typedef struct WaitingFault {
    size_t range;
    uint64_t off_bytes;
    PageAccess access;
    uint32_t thread_id;
    uint64_t begin_us;
} WaitingFault;

struct ProfileWindow {
    uint64_t page_bytes; /* constant, as all down to the thread */
    Recorder *recorder;
    LoadStats *stats;
    WatchedRange *ranges;
    size_t n_ranges;
    int watcher;     /* anonymous memory's userfaultfd; tells of removals */
    int quiet;       /* shared memory's, and for filling shadows; does not */
    int pagemap;     /* resident_open()'s */
    int close_asked; /* eventfd: readable for good once it is time to close */
    pthread_t thread;

    /* The opener's until the thread starts, and then the thread's. */
    WaitingFault waiting[MAX_WAITING];
    size_t n_waiting;
    unsigned n_tries;        /* in a row that did not help */
    uint64_t awake_until_us; /* do not sleep before */
    bool closing;
};

/* ---- first touches ---- */

static int answer_shared(ProfileWindow *window, const WatchedRange *range,
                         uint64_t off_bytes, bool *ret_touched)
{
    uint64_t host = range->host + off_bytes;
    uint64_t done;
    int rc = uffd_continue(window->quiet, host, window->page_bytes, &done);

    *ret_touched = rc == 0;
    /* -EFAULT: punched out of the file since; the kernel fills a new one.
     * -ENOENT: the memory was unplugged. */
    if (rc == UFFD_EXISTS || rc == -EFAULT || rc == -ENOENT) {
        (void)uffd_wake(window->quiet, host, window->page_bytes);
        return 0;
    }
    return rc == 0 ? 0 : UFFD_AGAIN;
}

/* Returns false when it is to be tried again. */
static bool answer(ProfileWindow *window, const WaitingFault *fault)
{
    WatchedRange *range = &window->ranges[fault->range];
    bool touched;
    int rc = range->kind == RAM_SHARED
                 ? answer_shared(window, range, fault->off_bytes, &touched)
                 : shadow_answer(&range->shadow, fault->off_bytes, &touched);

    if (rc != 0) {
        return false;
    }
    if (touched) {
        recorder_note(window->recorder, (uint32_t)fault->range,
                      fault->off_bytes / window->page_bytes, fault->access,
                      fault->begin_us);
    }
    load_stats_fault_end(window->stats, fault->thread_id, fault->begin_us,
                         true);
    return true;
}

/* Returns false for memory that is not ours. */
static bool find_range(const ProfileWindow *window, uint64_t address,
                       WaitingFault *fault)
{
    for (size_t i = 0; i < window->n_ranges; i++) {
        uint64_t off_bytes = address - window->ranges[i].host;

        if (off_bytes < window->ranges[i].len_bytes) {
            fault->range = i;
            fault->off_bytes = off_bytes & -window->page_bytes;
            return true;
        }
    }
    return false;
}

static void handle_fault(ProfileWindow *window, int uffd,
                         const UffdFault *message)
{
    WaitingFault fault = {
        .access = message->is_write ? PAGE_ACCESS_WRITE : PAGE_ACCESS_READ,
        .thread_id = message->thread_id,
    };

    if (!find_range(window, message->address, &fault)) {
        return;
    }
    fault.begin_us =
        load_stats_fault_begin(window->stats, message->thread_id, true);
    if (answer(window, &fault)) {
        window->n_tries = 0;
    } else if (window->n_waiting < MAX_WAITING) {
        window->waiting[window->n_waiting++] = fault;
    } else {
        load_stats_fault_end(window->stats, fault.thread_id, fault.begin_us,
                             true);
        (void)uffd_wake(uffd, message->address & -window->page_bytes,
                        window->page_bytes);
    }
}

static void retry_waiting(ProfileWindow *window)
{
    size_t kept = 0;

    for (size_t i = 0; i < window->n_waiting; i++) {
        if (answer(window, &window->waiting[i])) {
            window->n_tries = 0;
        } else {
            window->waiting[kept++] = window->waiting[i];
        }
    }
    window->n_waiting = kept;
}

/* ---- the thread ---- */

static void handle_removal(ProfileWindow *window, const UffdRemoval *removal)
{
    for (size_t i = 0; i < window->n_ranges; i++) {
        if (window->ranges[i].kind == RAM_ANONYMOUS) {
            shadow_discard(&window->ranges[i].shadow, removal->start,
                           removal->end);
        }
    }
}

static void read_messages(ProfileWindow *window, int uffd)
{
    UffdMessage message;

    for (int i = 0; i < MAX_IN_A_ROW && uffd_next_message(uffd, &message) == 0;
         i++) {
        if (message.is_removal) {
            handle_removal(window, &message.removal);
        } else {
            handle_fault(window, uffd, &message.fault);
            window->awake_until_us = monotonic_us() + AWAKE_US;
        }
    }
}

/* First what comes in, as it may be a removal that all others wait for. */
static void serve(ProfileWindow *window)
{
    read_messages(window, window->watcher);
    read_messages(window, window->quiet);
    retry_waiting(window);
}

/* Wait until something comes in, or for the next try.  Sets closing when it is
 * time. */
static void await(ProfileWindow *window, bool try_again)
{
    struct pollfd fds[] = {
        {.fd = window->watcher, .events = POLLIN},
        {.fd = window->quiet, .events = POLLIN},
        {.fd = window->closing ? -1 : window->close_asked, .events = POLLIN},
    };
    int timeout_ms = -1;

    if (try_again) {
        timeout_ms = window->n_tries++ < QUICK_TRIES ? 0 : 1;
        sched_yield();
    } else if (monotonic_us() < window->awake_until_us) {
        timeout_ms = 0;
        sched_yield();
    }
    poll(fds, G_N_ELEMENTS(fds), timeout_ms);
    window->closing = window->closing || fds[2].revents != 0;
}

/* Some calls to the kernel, so that the pages between touched ones do not cost
 * a look at the messages each. */
static int empty_some(Shadow *shadow)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < CALLS_BETWEEN_MESSAGES; i++) {
        rc = shadow_empty(shadow);
    }
    return rc;
}

/* Whoever touches the memory, or gives it back, is served all the while. */
static void empty(ProfileWindow *window, Shadow *shadow)
{
    int rc;

    while ((rc = empty_some(shadow)) != SHADOW_EMPTY) {
        if (rc == 0) {
            window->n_tries = 0;
        } else {
            await(window, true);
        }
        serve(window);
    }
}

/* Nothing is watched afterwards: whoever waited goes on. */
static void give_back(ProfileWindow *window)
{
    window->closing = true;
    for (size_t i = 0; i < window->n_ranges; i++) {
        WatchedRange *range = &window->ranges[i];

        empty(window, &range->shadow);
        if (range->registered) {
            /* Wakes everybody; fails only where the memory is gone. */
            (void)uffd_unregister(window->quiet, range->host, range->len_bytes);
        }
    }
    /* Whoever gave something back at the last moment goes on at once. */
    serve(window);
    for (size_t i = 0; i < window->n_waiting; i++) {
        load_stats_fault_end(window->stats, window->waiting[i].thread_id,
                             window->waiting[i].begin_us, true);
    }
}

static void *window_thread(void *opaque)
{
    ProfileWindow *window = opaque;

    while (!window->closing) {
        await(window, window->n_waiting > 0);
        serve(window);
    }
    give_back(window);
    return NULL;
}

/* ---- open and close ---- */

static bool fail(GError **error, const char *name, const char *what, int rc)
{
    g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                "RAM block %s: %s: %s; nothing was changed; " RECORD_INSTEAD,
                name, what, g_strerror(-rc));
    return false;
}

/* What the kernel must have, and be trusted with, to watch memory of a kind. */
typedef struct KernelNeed {
    UffdCaps cap;
    const char *lack; /* what it has not, without the cap */
    const char *name;
    size_t n_features;
    KernelFeature features[2];
} KernelNeed;

static const KernelNeed kernel_needs[] = {
    [RAM_ANONYMOUS] = {UFFD_CAN_MOVE,
                       "UFFDIO_MOVE (needs Linux 6.8)",
                       "UFFDIO_MOVE",
                       2,
                       {KERNEL_MOVE, KERNEL_MOVE_HUGE}},
    [RAM_SHARED] = {UFFD_CAN_MINOR,
                    "minor faults of shared memory (needs Linux 5.14)",
                    "UFFDIO_CONTINUE",
                    1,
                    {KERNEL_CONTINUE}},
};

static bool check_kernel_for(RamKind kind, UffdCaps caps, GError **error)
{
    const KernelNeed *need = &kernel_needs[kind];

    if (!(caps & need->cap)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "this kernel has no %s: " RECORD_INSTEAD, need->lack);
        return false;
    }
    for (size_t i = 0; i < need->n_features; i++) {
        if (!kernel_feature_is_safe(need->features[i])) {
            g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                        "this kernel's %s has known bugs, which %s has "
                        "fixed: " RECORD_INSTEAD,
                        need->name,
                        kernel_feature_safe_since(need->features[i]));
            return false;
        }
    }
    return true;
}

static bool check_kernel(const ProfileWindow *window, UffdCaps caps,
                         GError **error)
{
    for (size_t i = 0; i < window->n_ranges; i++) {
        if (!check_kernel_for(window->ranges[i].kind, caps, error)) {
            return false;
        }
    }
    return true;
}

static bool prepare_range(WatchedRange *range, const PagerRange *from,
                          GError **error)
{
    range->name = g_strdup(from->name);
    range->host = from->host;
    range->len_bytes = from->len_bytes;
    if (!ram_range_check(range->name, range->host, range->len_bytes, OTHERWISE,
                         &range->kind, error)) {
        return false;
    }
    if (ram_kind_is_hugetlb(range->kind)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_RAM,
                    "RAM block %s is made of reserved huge pages (hugetlb), "
                    "whose first touches cannot be watched in "
                    "place: " RECORD_INSTEAD,
                    range->name);
        return false;
    }
    int rc = range->kind == RAM_SHARED
                 ? 0
                 : shadow_map(&range->shadow, range->host, range->len_bytes);

    return rc == 0 ||
           fail(error, range->name, "no room for a shadow of it", rc);
}

/* All that can be done before guest RAM is touched. */
static bool prepare(ProfileWindow *window, const PagerRange *ranges,
                    GError **error)
{
    UffdCaps caps;

    for (size_t i = 0; i < window->n_ranges; i++) {
        if (!prepare_range(&window->ranges[i], &ranges[i], error)) {
            return false;
        }
    }
    if (!ram_range_open_uffd(&window->quiet, &caps, OTHERWISE, error) ||
        !ram_range_open_uffd_with_removals(&window->watcher, &caps, OTHERWISE,
                                           error) ||
        !check_kernel(window, caps, error)) {
        return false;
    }
    window->pagemap = resident_open();
    window->close_asked = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (window->close_asked < 0) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "no eventfd for the profiling window: %s",
                    g_strerror(errno));
        return false;
    }
    return true;
}

/* Drop the page tables; the pages are the file's. */
static int unmap_shared(ProfileWindow *window, WatchedRange *range)
{
    int rc =
        uffd_register(window->quiet, range->host, range->len_bytes, UFFD_MINOR);

    range->registered = rc == 0;
    if (rc == 0 && madvise((void *)(uintptr_t)range->host, range->len_bytes,
                           MADV_DONTNEED) != 0) {
        rc = -errno;
    }
    return rc;
}

static bool take_away(ProfileWindow *window, WatchedRange *range,
                      GError **error)
{
    int rc = range->kind == RAM_SHARED
                 ? unmap_shared(window, range)
                 : shadow_fill(&range->shadow, window->pagemap, window->watcher,
                               window->quiet);

    if (rc != 0) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_RAM,
                    "RAM block %s: its pages cannot be moved away "
                    "(%s); " RECORD_INSTEAD,
                    range->name,
                    rc == -EINVAL  ? "locked by -overcommit mem-lock=on?"
                    : rc == -EBUSY ? "watched by another userfaultfd?"
                                   : g_strerror(-rc));
    }
    return rc == 0;
}

/* The thread comes last.  Who touches a page meanwhile waits, and so does who
 * gives memory back. */
static bool arm(ProfileWindow *window, GError **error)
{
    for (size_t i = 0; i < window->n_ranges; i++) {
        if (!take_away(window, &window->ranges[i], error)) {
            return false;
        }
    }
    int rc =
        thread_start(&window->thread, "preheat-window", window_thread, window);
    if (rc < 0) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "no thread for the profiling window: %s; nothing was "
                    "changed; " RECORD_INSTEAD,
                    g_strerror(-rc));
    }
    return rc == 0;
}

static void close_unless_none(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

static ProfileWindow *window_new(size_t n_ranges, Recorder *recorder,
                                 LoadStats *stats)
{
    ProfileWindow *window = g_new0(ProfileWindow, 1);

    window->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    window->recorder = recorder;
    window->stats = stats;
    window->ranges = g_new0(WatchedRange, n_ranges);
    window->n_ranges = n_ranges;
    window->watcher = window->quiet = -1;
    window->pagemap = window->close_asked = -1;
    return window;
}

static void window_free(ProfileWindow *window)
{
    /* Lets go who gives memory back and was not read: all is back, and is
     * emptied by the kernel where it lies. */
    close_unless_none(window->watcher);
    close_unless_none(window->quiet);
    close_unless_none(window->pagemap);
    close_unless_none(window->close_asked);
    for (size_t i = 0; i < window->n_ranges; i++) {
        shadow_unmap(&window->ranges[i].shadow);
        g_free(window->ranges[i].name);
    }
    g_free(window->ranges);
    g_free(window);
}

ProfileWindow *profile_window_open(const PagerRange *ranges, size_t n_ranges,
                                   Recorder *recorder, LoadStats *stats,
                                   GError **error)
{
    ProfileWindow *window = window_new(n_ranges, recorder, stats);

    if (!prepare(window, ranges, error) || !arm(window, error)) {
        /* There is no thread that would do it. */
        give_back(window);
        window_free(window);
        return NULL;
    }
    return window;
}

void profile_window_close(ProfileWindow *window, ProfileWindowCost *ret_cost)
{
    const uint64_t one = 1;
    uint64_t begin_us = monotonic_us();
    ProfileWindowCost cost = {0};
    uint64_t huge_bytes_split = 0;

    /* Cannot fail: the counter is 0 and only ever written here. */
    ssize_t written = write(window->close_asked, &one, sizeof one);
    g_assert(written == (ssize_t)sizeof one);
    pthread_join(window->thread, NULL);
    cost.close_us = monotonic_us() - begin_us;
    for (size_t i = 0; i < window->n_ranges; i++) {
        const Shadow *shadow = &window->ranges[i].shadow;

        cost.pinned_pages += shadow->unmovable_pages;
        cost.copied_pages += shadow->copied_pages;
        huge_bytes_split += shadow->huge_bytes_filled - shadow->huge_bytes_left;
    }
    cost.huge_pages_split = huge_bytes_split / HUGE_PAGE_BYTES;
    window_free(window);
    *ret_cost = cost;
}
