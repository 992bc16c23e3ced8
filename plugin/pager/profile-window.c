/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/profile-window.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "plugin/pager/fault-loop.h"
#include "plugin/pager/uffd.h"
#include "util/clock.h"

#define HUGE_BYTES (UINT64_C(2) << 20)
/* What is moved in one call: the kernel holds locks meanwhile. */
#define MOVE_BYTES      (UINT64_C(32) << 20)
#define N_FAULT_THREADS 2

typedef struct WatchedRange {
    char *name;
    uint64_t host;
    uint64_t len_bytes;
    RamKind kind;
    uint64_t shadow;     /* anonymous memory: 0 until mapped */
    uint64_t shadow_map; /* … the mapping, larger for its alignment */
    uint64_t shadow_map_len;
    bool registered;
    bool shadow_registered; /* only while pages are moved into it: whoever
                               reads a hole of it must not wait */
} WatchedRange;

struct ProfileWindow {
    uint64_t page_bytes; /* constant, as all down to the lock */
    Recorder *recorder;
    LoadStats *stats;
    WatchedRange *ranges;
    size_t n_ranges;
    int uffd;
    FaultLoop *fault_loop;
    uint64_t open_us;
    uint64_t opened_at_us;
    uint64_t huge_bytes_before;
    uint64_t pinned_pages;

    pthread_mutex_t copy_lock; /* held while a page is copied back and taken
                                  out of the shadow */
    _Atomic uint64_t copied_pages;
    _Atomic bool closed; /* all is back and unregistered: nobody waits for an
                            answer any more, nor would the kernel take one */
};

static void short_pause(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    nanosleep(&pause, NULL);
}

/* ---- first touches ---- */

static void note(ProfileWindow *window, size_t range, uint64_t off,
                 PageAccess access, uint64_t now_us)
{
    recorder_note(window->recorder, (uint32_t)range, off / window->page_bytes,
                  access, now_us);
}

/* Bring a page back by copying it.  Under the lock, so that of two that want
 * to, the second finds the shadow's page gone, and the memory's page present
 * or rightly zero.
 *
 * move_rc: why the page does not move.  Where the kernel says that its memory
 * has failed, and it cannot be read either, it fails for the guest as it would
 * have without a window.  Reading alone may also fail for want of memory. */
static int copy_back(ProfileWindow *window, const WatchedRange *range,
                     uint64_t off, int move_rc)
{
    void *src = (void *)(uintptr_t)(range->shadow + off);
    uint64_t done;

    pthread_mutex_lock(&window->copy_lock);
    int rc = uffd_copy(window->uffd, range->host + off, src, window->page_bytes,
                       &done);
    if (rc == 0) {
        /* Cannot fail for a page of our own mapping. */
        (void)madvise(src, window->page_bytes, MADV_DONTNEED);
        atomic_fetch_add_explicit(&window->copied_pages, 1,
                                  memory_order_relaxed);
    }
    if (rc == -EFAULT && move_rc == -EFAULT) {
        rc = uffd_poison(window->uffd, range->host + off, window->page_bytes);
    }
    pthread_mutex_unlock(&window->copy_lock);
    if (rc == 0 || rc == UFFD_EXISTS) {
        (void)uffd_wake(window->uffd, range->host + off, window->page_bytes);
        return 0;
    }
    return rc;
}

/* One try to answer a fault in anonymous memory.  Returns 0 when it is
 * answered; sets *ret_touched when this was the page's first touch. */
static int answer_anonymous(ProfileWindow *window, const WatchedRange *range,
                            uint64_t off, bool *ret_touched)
{
    uint64_t host = range->host + off;
    uint64_t done;
    int rc = uffd_move(window->uffd, host, range->shadow + off,
                       window->page_bytes, false, &done);

    *ret_touched = rc == 0;
    if (rc == -ENOENT) {
        rc = uffd_zero(window->uffd, host, window->page_bytes);
    }
    if (rc == UFFD_EXISTS) {
        return uffd_wake(window->uffd, host, window->page_bytes);
    }
    /* -EINVAL: locked since, unlike the shadow. */
    if (rc == -EBUSY || rc == -EFAULT || rc == -EINVAL) {
        *ret_touched = true;
        return copy_back(window, range, off, rc);
    }
    return rc;
}

static int answer_shared(ProfileWindow *window, const WatchedRange *range,
                         uint64_t off, bool *ret_touched)
{
    uint64_t host = range->host + off;
    uint64_t done;
    int rc = uffd_continue(window->uffd, host, window->page_bytes, &done);

    *ret_touched = rc == 0;
    /* -EFAULT: punched out of the file since; the kernel fills a new one. */
    if (rc == UFFD_EXISTS || rc == -EFAULT) {
        return uffd_wake(window->uffd, host, window->page_bytes);
    }
    return rc;
}

/* Answer a fault, sooner or later: while the kernel says that the mappings
 * change, or has no memory, whoever touched the page waits. */
static bool answer(ProfileWindow *window, const WatchedRange *range,
                   uint64_t off)
{
    bool touched = false;

    for (;;) {
        int rc = range->kind == RAM_SHARED
                     ? answer_shared(window, range, off, &touched)
                     : answer_anonymous(window, range, off, &touched);

        /* -ENOENT: the memory was unplugged.  Acquire: pairs with
         * give_back(). */
        if (rc == 0 || rc == -ENOENT ||
            atomic_load_explicit(&window->closed, memory_order_acquire)) {
            return touched && rc == 0;
        }
        if (rc == UFFD_AGAIN) {
            sched_yield();
        } else {
            short_pause();
        }
    }
}

static void handle_fault(void *opaque, unsigned worker, const UffdFault *fault)
{
    ProfileWindow *window = opaque;
    uint64_t begin_us =
        load_stats_fault_begin(window->stats, fault->thread_id, true);

    for (size_t i = 0; i < window->n_ranges; i++) {
        const WatchedRange *range = &window->ranges[i];
        uint64_t off = (fault->address - range->host) & -window->page_bytes;

        if (off < range->len_bytes && answer(window, range, off)) {
            note(window, i, off,
                 fault->is_write ? PAGE_ACCESS_WRITE : PAGE_ACCESS_READ,
                 begin_us);
        }
    }
    load_stats_fault_end(window->stats, fault->thread_id, begin_us, true);
}

/* ---- huge pages ---- */

static bool overlaps(const ProfileWindow *window, uint64_t start, uint64_t end)
{
    for (size_t i = 0; i < window->n_ranges; i++) {
        const WatchedRange *range = &window->ranges[i];

        if (start < range->host + range->len_bytes && end > range->host) {
            return true;
        }
    }
    return false;
}

/* The bytes of huge pages in the watched ranges; 0 where the kernel does not
 * tell. */
static uint64_t huge_bytes(const ProfileWindow *window)
{
    FILE *smaps = fopen("/proc/self/smaps", "re");
    char line[512];
    uint64_t start;
    uint64_t end;
    uint64_t kib;
    uint64_t sum = 0;
    bool inside = false;

    while (smaps && fgets(line, sizeof line, smaps)) {
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2) {
            inside = overlaps(window, start, end);
        } else if (inside &&
                   sscanf(line, "AnonHugePages: %" SCNu64, &kib) == 1) {
            sum += kib << 10;
        }
    }
    if (smaps) {
        fclose(smaps);
    }
    return sum;
}

/* ---- moving ---- */

/* Move what src has to dst.  A page that cannot be moved is given to
 * stuck(), which says whether to go on.  Returns 0 or -errno. */
typedef bool StuckPage(ProfileWindow *window, size_t range, uint64_t off,
                       int rc);

static int move_range(ProfileWindow *window, size_t index, uint64_t dst,
                      uint64_t src, StuckPage *stuck)
{
    uint64_t len = window->ranges[index].len_bytes;
    uint64_t off = 0;
    uint64_t piece = MOVE_BYTES;

    while (off < len) {
        uint64_t want = MIN(piece, len - off);
        uint64_t done;
        int rc =
            uffd_move(window->uffd, dst + off, src + off, want, true, &done);

        off += done;
        if (rc == 0) {
            piece = MOVE_BYTES;
        } else if (rc == UFFD_AGAIN) {
            sched_yield();
        } else if (rc == -EINVAL && done == 0 && want > window->page_bytes) {
            /* Across a border of two kernel mappings: page by page. */
            piece = window->page_bytes;
        } else if (stuck(window, index, off, rc)) {
            off += window->page_bytes;
            piece = window->page_bytes;
        } else {
            return rc;
        }
    }
    return 0;
}

/* A page that will not leave is pinned or shared: in use; or its memory has
 * failed, and it stays where that is known.  One that is in the shadow already
 * has left: only this moving fills the shadow, and the kernel may have moved
 * more than it told when it said "again". */
static bool stuck_in_memory(ProfileWindow *window, size_t index, uint64_t off,
                            int rc)
{
    if (rc == UFFD_EXISTS || rc == -EFAULT) {
        return true;
    }
    if (rc != -EBUSY) {
        return false;
    }
    window->pinned_pages++;
    note(window, index, off, PAGE_ACCESS_UNKNOWN, window->opened_at_us);
    return true;
}

static bool stuck_in_shadow(ProfileWindow *window, size_t index, uint64_t off,
                            int rc)
{
    if (rc == UFFD_EXISTS) {
        return true;
    }
    for (;;) {
        int copied = copy_back(window, &window->ranges[index], off, rc);

        if (copied == 0 || copied == -ENOENT) {
            return true;
        }
        short_pause();
    }
}

/* ---- open and close ---- */

/* As far from a huge page's border as the memory, so that huge pages move
 * whole.  Not accessible before it is unlocked: where all memory of the process
 * is to be locked, the kernel would fill it at once, and so need the guest's
 * memory twice. */
static bool map_shadow(WatchedRange *range)
{
    uint64_t len = range->len_bytes + HUGE_BYTES;
    void *map = mmap(NULL, len, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (map == MAP_FAILED) {
        return false;
    }
    if (munlock(map, len) != 0 ||
        mprotect(map, len, PROT_READ | PROT_WRITE) != 0) {
        int saved = errno;

        munmap(map, len);
        errno = saved;
        return false;
    }
    /* A page shared by fork could not be moved back.  Cannot fail here. */
    (void)madvise(map, len, MADV_DONTFORK);
    range->shadow_map = (uintptr_t)map;
    range->shadow_map_len = len;
    range->shadow = range->shadow_map +
                    ((range->host - range->shadow_map) & (HUGE_BYTES - 1));
    return true;
}

static bool fail(GError **error, const char *name, const char *what, int rc)
{
    g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                "RAM block %s: %s: %s; nothing was changed", name, what,
                g_strerror(-rc));
    return false;
}

static bool watch(ProfileWindow *window, WatchedRange *range, GError **error)
{
    bool anonymous = range->kind == RAM_ANONYMOUS;
    int rc = 0;

    if (anonymous) {
        rc = uffd_register(window->uffd, range->shadow, range->len_bytes,
                           UFFD_MISSING);
        range->shadow_registered = rc == 0;
    }
    if (rc == 0) {
        rc = uffd_register(window->uffd, range->host, range->len_bytes,
                           anonymous ? UFFD_MISSING : UFFD_MINOR);
    }
    range->registered = rc == 0;
    return rc == 0 || fail(error, range->name,
                           "cannot be registered with userfaultfd", rc);
}

static void unregister_shadow(ProfileWindow *window, WatchedRange *range)
{
    if (range->shadow_registered) {
        /* Cannot fail for a mapping of our own. */
        (void)uffd_unregister(window->uffd, range->shadow, range->len_bytes);
        range->shadow_registered = false;
    }
}

static bool take_away(ProfileWindow *window, size_t index, GError **error)
{
    WatchedRange *range = &window->ranges[index];
    int rc;

    if (range->kind == RAM_SHARED) {
        /* Drops the page tables only: the pages are the file's. */
        rc = madvise((void *)(uintptr_t)range->host, range->len_bytes,
                     MADV_DONTNEED) == 0
                 ? 0
                 : -errno;
    } else {
        rc = move_range(window, index, range->shadow, range->host,
                        stuck_in_memory);
    }
    if (rc != 0) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_RAM,
                    "RAM block %s: its pages cannot be taken away (%s); "
                    "record at a load instead, with preheat loadvm --record",
                    range->name,
                    rc == -EINVAL ? "locked by -overcommit mem-lock=on?"
                                  : g_strerror(-rc));
        return false;
    }
    unregister_shadow(window, range);
    return true;
}

static void give_back(ProfileWindow *window)
{
    for (size_t i = 0; i < window->n_ranges; i++) {
        WatchedRange *range = &window->ranges[i];

        unregister_shadow(window, range);
        if (!range->registered) {
            continue;
        }
        if (range->kind == RAM_ANONYMOUS) {
            move_range(window, i, range->host, range->shadow, stuck_in_shadow);
        }
        /* Wakes everybody; fails only where the memory is gone. */
        (void)uffd_unregister(window->uffd, range->host, range->len_bytes);
    }
    /* Release: whoever sees it finds everything unregistered. */
    atomic_store_explicit(&window->closed, true, memory_order_release);
}

static void window_free(ProfileWindow *window)
{
    fault_loop_stop(window->fault_loop);
    if (window->uffd >= 0) {
        close(window->uffd);
    }
    for (size_t i = 0; i < window->n_ranges; i++) {
        WatchedRange *range = &window->ranges[i];

        if (range->shadow_map != 0) {
            munmap((void *)(uintptr_t)range->shadow_map, range->shadow_map_len);
        }
        g_free(range->name);
    }
    pthread_mutex_destroy(&window->copy_lock);
    g_free(window->ranges);
    g_free(window);
}

static bool check_kernel(const ProfileWindow *window, UffdCaps caps,
                         GError **error)
{
    for (size_t i = 0; i < window->n_ranges; i++) {
        bool shared = window->ranges[i].kind == RAM_SHARED;

        if (!(caps & (shared ? UFFD_CAN_MINOR : UFFD_CAN_MOVE))) {
            g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                        "this kernel has no %s (needs Linux %s): record at a "
                        "load instead, with preheat loadvm --record",
                        shared ? "minor faults of shared memory"
                               : "UFFDIO_MOVE",
                        shared ? "5.14" : "6.8");
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
    if (!ram_range_check(range->name, range->host, range->len_bytes,
                         &range->kind, error)) {
        return false;
    }
    return range->kind == RAM_SHARED || map_shadow(range) ||
           fail(error, range->name, "no room for a shadow of it", -errno);
}

/* All that the fault threads look at is set here, before they start. */
static bool prepare(ProfileWindow *window, const PagerRange *ranges,
                    GError **error)
{
    UffdCaps caps;

    for (size_t i = 0; i < window->n_ranges; i++) {
        if (!prepare_range(&window->ranges[i], &ranges[i], error)) {
            return false;
        }
    }
    return ram_range_open_uffd(&window->uffd, &caps, "save without --profile",
                               error) &&
           check_kernel(window, caps, error);
}

/* The fault threads come last.  Who touches a page meanwhile waits; and no
 * fault thread reads a hole of a shadow that is still registered, which nobody
 * would answer. */
static bool arm(ProfileWindow *window, GError **error)
{
    for (size_t i = 0; i < window->n_ranges; i++) {
        if (!watch(window, &window->ranges[i], error) ||
            !take_away(window, i, error)) {
            return false;
        }
    }
    int rc = fault_loop_start(window->uffd, N_FAULT_THREADS, handle_fault,
                              window, &window->fault_loop);
    if (rc < 0) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "no fault threads: %s", g_strerror(-rc));
        return false;
    }
    return true;
}

ProfileWindow *profile_window_open(const PagerRange *ranges, size_t n_ranges,
                                   Recorder *recorder, LoadStats *stats,
                                   GError **error)
{
    ProfileWindow *window = g_new0(ProfileWindow, 1);

    window->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    window->recorder = recorder;
    window->stats = stats;
    window->ranges = g_new0(WatchedRange, n_ranges);
    window->n_ranges = n_ranges;
    window->uffd = -1;
    pthread_mutex_init(&window->copy_lock, NULL);

    bool ok = prepare(window, ranges, error);
    if (ok) {
        window->huge_bytes_before = huge_bytes(window);
        window->opened_at_us = monotonic_us();
        ok = arm(window, error);
        window->open_us = monotonic_us() - window->opened_at_us;
    }
    if (!ok) {
        give_back(window);
        window_free(window);
        return NULL;
    }
    return window;
}

void profile_window_close(ProfileWindow *window, ProfileWindowCost *ret_cost)
{
    uint64_t begin_us = monotonic_us();

    give_back(window);
    ret_cost->open_us = window->open_us;
    ret_cost->close_us = monotonic_us() - begin_us;
    ret_cost->pinned_pages = window->pinned_pages;
    ret_cost->copied_pages =
        atomic_load_explicit(&window->copied_pages, memory_order_relaxed);
    uint64_t huge_after = huge_bytes(window);
    ret_cost->huge_pages_split =
        window->huge_bytes_before > huge_after
            ? (window->huge_bytes_before - huge_after) / HUGE_BYTES
            : 0;
    window_free(window);
}
