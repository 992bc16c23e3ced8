/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/load-stats.h"
#include "util/clock.h"

#include <pthread.h>
#include <stdatomic.h>

#include <glib.h>

/* Latencies are counted in buckets of a power of two of microseconds, each
 * split in sub-buckets: percentiles are right to 1/16. */
#define DIST_BUCKETS 24
#define SUB_BUCKETS  16
#define ALL_BUCKETS  (DIST_BUCKETS * SUB_BUCKETS)

typedef struct VcpuStats {
    uint32_t thread_id;
    uint64_t demand_faults;
    uint64_t blocktime_us;
    unsigned n_waiting; /* faults of this thread in service: 0 or 1 */
} VcpuStats;

struct LoadStats {
    uint64_t start_us; /* constant */

    /* Counted by threads of low priority too, which must not hold a lock that
     * a fault needs.  All relaxed: numbers to be shown. */
    _Atomic uint64_t bytes_read;
    _Atomic uint64_t slow_reads;
    _Atomic bool has_pack;
    _Atomic bool pack_used;
    _Atomic uint64_t pack_pages;
    _Atomic uint64_t order_misses;
    _Atomic bool order_abandoned;
    _Atomic uint64_t failed_pages;
    _Atomic uint64_t failed_waited_for;
    _Atomic uint64_t milestones_us[N_MILESTONES]; /* 0: not reached */

    pthread_mutex_t lock; /* guards all below */
    VcpuStats *vcpus;
    size_t n_vcpus;
    size_t n_threads; /* that run vCPUs: one for all under TCG's icount */
    size_t n_threads_waiting;
    uint64_t all_waiting_since_us; /* while all of them wait */
    uint64_t blocktime_us;         /* time in which all vCPUs waited */
    VcpuStats other;
    uint64_t latency[ALL_BUCKETS]; /* of demand faults */
    uint64_t n_latencies;
    uint64_t latency_max_us;
    uint64_t pages_in_file;
    uint64_t pages_by[N_PLACED_BY];
    uint64_t zero_on_fault;
    bool learned;
    uint64_t held_back; /* once learned, as the next */
    uint64_t unused;
    uint64_t huge_pages;
};

LoadStats *load_stats_new(uint64_t start_us)
{
    LoadStats *stats = g_new0(LoadStats, 1);

    stats->start_us = start_us;
    pthread_mutex_init(&stats->lock, NULL);
    return stats;
}

void load_stats_free(LoadStats *stats)
{
    if (stats) {
        pthread_mutex_destroy(&stats->lock);
        g_free(stats->vcpus);
        g_free(stats);
    }
}

/* Where one thread runs all vCPUs, its faults count for the first. */
static VcpuStats *find_vcpu_locked(LoadStats *stats, uint32_t thread_id)
{
    for (size_t i = 0; i < stats->n_vcpus; i++) {
        if (stats->vcpus[i].thread_id == thread_id) {
            return &stats->vcpus[i];
        }
    }
    return NULL;
}

void load_stats_set_vcpus(LoadStats *stats, const uint32_t *thread_ids,
                          size_t n_vcpus)
{
    pthread_mutex_lock(&stats->lock);
    g_free(stats->vcpus);
    stats->vcpus = g_new0(VcpuStats, n_vcpus);
    stats->n_vcpus = n_vcpus;
    stats->n_threads = 0;
    for (size_t i = 0; i < n_vcpus; i++) {
        stats->vcpus[i].thread_id = thread_ids[i];
        stats->n_threads +=
            find_vcpu_locked(stats, thread_ids[i]) == &stats->vcpus[i];
    }
    pthread_mutex_unlock(&stats->lock);
}

void load_stats_set_in_file(LoadStats *stats, uint64_t pages)
{
    pthread_mutex_lock(&stats->lock);
    stats->pages_in_file = pages;
    pthread_mutex_unlock(&stats->lock);
}

void load_stats_learned(LoadStats *stats, uint64_t held_back, uint64_t unused)
{
    pthread_mutex_lock(&stats->lock);
    stats->learned = true;
    stats->held_back = held_back;
    stats->unused = unused;
    pthread_mutex_unlock(&stats->lock);
}

/* A vCPU waits, or no longer does: keep account of the time in which all do. */
static void count_waiting_locked(LoadStats *stats, int change, uint64_t now_us)
{
    if (change < 0 && stats->n_threads_waiting == stats->n_threads) {
        stats->blocktime_us += now_us - stats->all_waiting_since_us;
    }
    stats->n_threads_waiting += (size_t)change;
    if (change > 0 && stats->n_threads_waiting == stats->n_threads) {
        stats->all_waiting_since_us = now_us;
    }
}

uint64_t load_stats_fault_begin(LoadStats *stats, uint32_t thread_id,
                                bool demand)
{
    uint64_t now_us = monotonic_us();

    pthread_mutex_lock(&stats->lock);
    VcpuStats *vcpu = find_vcpu_locked(stats, thread_id);
    (vcpu ? vcpu : &stats->other)->demand_faults += demand;
    stats->zero_on_fault += !demand;
    if (vcpu && vcpu->n_waiting++ == 0) {
        count_waiting_locked(stats, +1, now_us);
    }
    pthread_mutex_unlock(&stats->lock);
    return now_us;
}

static size_t latency_bucket(uint64_t us)
{
    uint64_t value = MAX(us, 1);
    unsigned power = 63 - (unsigned)__builtin_clzll(value);

    if (power >= DIST_BUCKETS) {
        return ALL_BUCKETS - 1;
    }
    uint64_t sub = ((value << 4) >> power) & (SUB_BUCKETS - 1);
    return power * SUB_BUCKETS + sub;
}

void load_stats_fault_end(LoadStats *stats, uint32_t thread_id,
                          uint64_t begin_us, bool demand)
{
    uint64_t now_us = monotonic_us();
    uint64_t latency_us = now_us - begin_us;

    pthread_mutex_lock(&stats->lock);
    VcpuStats *vcpu = find_vcpu_locked(stats, thread_id);
    if (vcpu && vcpu->n_waiting > 0 && --vcpu->n_waiting == 0) {
        count_waiting_locked(stats, -1, now_us);
    }
    (vcpu ? vcpu : &stats->other)->blocktime_us += latency_us;
    if (demand) {
        stats->latency[latency_bucket(latency_us)]++;
        stats->n_latencies++;
        stats->latency_max_us = MAX(stats->latency_max_us, latency_us);
    }
    pthread_mutex_unlock(&stats->lock);
}

void load_stats_placed(LoadStats *stats, PlacedBy by, uint64_t pages)
{
    pthread_mutex_lock(&stats->lock);
    stats->pages_by[by] += pages;
    pthread_mutex_unlock(&stats->lock);
}

void load_stats_read(LoadStats *stats, uint64_t bytes)
{
    atomic_fetch_add_explicit(&stats->bytes_read, bytes, memory_order_relaxed);
}

void load_stats_pack_used(LoadStats *stats, bool used)
{
    atomic_store_explicit(&stats->has_pack, true, memory_order_relaxed);
    atomic_store_explicit(&stats->pack_used, used, memory_order_relaxed);
}

void load_stats_pack_pages(LoadStats *stats, uint64_t pages)
{
    atomic_fetch_add_explicit(&stats->pack_pages, pages, memory_order_relaxed);
}

void load_stats_order_missed(LoadStats *stats)
{
    atomic_fetch_add_explicit(&stats->order_misses, 1, memory_order_relaxed);
}

void load_stats_order_abandoned(LoadStats *stats)
{
    atomic_store_explicit(&stats->order_abandoned, true, memory_order_relaxed);
}

void load_stats_slow_read(LoadStats *stats)
{
    atomic_fetch_add_explicit(&stats->slow_reads, 1, memory_order_relaxed);
}

void load_stats_set_failed(LoadStats *stats, uint64_t pages,
                           uint64_t waited_for)
{
    atomic_store_explicit(&stats->failed_pages, pages, memory_order_relaxed);
    atomic_store_explicit(&stats->failed_waited_for, waited_for,
                          memory_order_relaxed);
}

uint64_t load_stats_failed_waited_for(const LoadStats *stats)
{
    return atomic_load_explicit(&stats->failed_waited_for,
                                memory_order_relaxed);
}

void load_stats_huge_pages(LoadStats *stats, uint64_t huge_pages)
{
    pthread_mutex_lock(&stats->lock);
    stats->huge_pages = huge_pages;
    pthread_mutex_unlock(&stats->lock);
}

void load_stats_milestone(LoadStats *stats, Milestone milestone,
                          uint64_t time_us)
{
    uint64_t not_reached = 0;

    atomic_compare_exchange_strong_explicit(
        &stats->milestones_us[milestone], &not_reached, time_us,
        memory_order_relaxed, memory_order_relaxed);
}

static json_t *counter(const _Atomic uint64_t *value)
{
    return json_integer(
        (json_int_t)atomic_load_explicit(value, memory_order_relaxed));
}

static uint64_t demand_faults_locked(const LoadStats *stats)
{
    uint64_t sum = stats->other.demand_faults;

    for (size_t i = 0; i < stats->n_vcpus; i++) {
        sum += stats->vcpus[i].demand_faults;
    }
    return sum;
}

/* The upper end, in microseconds, of the sub-bucket that has the fault which
 * share (of 1) of all faults are no slower than. */
static uint64_t percentile_locked(const LoadStats *stats, double share)
{
    uint64_t total = stats->n_latencies;
    uint64_t seen = 0;

    for (size_t i = 0; i < ALL_BUCKETS && total > 0; i++) {
        seen += stats->latency[i];
        if ((double)seen >= share * (double)total) {
            uint64_t power = i / SUB_BUCKETS;
            uint64_t end = ((SUB_BUCKETS + i % SUB_BUCKETS + 1) << power) / 16;

            return MIN(end, stats->latency_max_us);
        }
    }
    return 0;
}

static json_t *latency_dist_locked(const LoadStats *stats)
{
    json_t *list = json_array();

    for (size_t i = 0; i < DIST_BUCKETS; i++) {
        uint64_t sum = 0;

        for (size_t j = 0; j < SUB_BUCKETS; j++) {
            sum += stats->latency[i * SUB_BUCKETS + j];
        }
        json_array_append_new(list, json_integer((json_int_t)sum));
    }
    return list;
}

static json_t *vcpu_list_locked(const LoadStats *stats, bool blocktime)
{
    json_t *list = json_array();

    for (size_t i = 0; i < stats->n_vcpus; i++) {
        const VcpuStats *vcpu = &stats->vcpus[i];
        uint64_t value =
            blocktime ? vcpu->blocktime_us / 1000 : vcpu->demand_faults;

        json_array_append_new(list, json_integer((json_int_t)value));
    }
    return list;
}

static json_t *milestone_of(const LoadStats *stats, Milestone milestone)
{
    uint64_t time_us = atomic_load_explicit(&stats->milestones_us[milestone],
                                            memory_order_relaxed);

    return time_us == 0
               ? json_null()
               : json_integer((json_int_t)(time_us - stats->start_us) / 1000);
}

static json_t *learned_locked(const LoadStats *stats, uint64_t pages)
{
    return stats->learned ? json_integer((json_int_t)pages) : json_null();
}

static json_t *pages_locked(const LoadStats *stats)
{
    uint64_t late = stats->pages_by[PLACED_LATE];
    uint64_t by_fault = stats->pages_by[PLACED_BY_FAULT] + late;

    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "in-file",
                     (json_int_t)stats->pages_in_file, "by-fault",
                     (json_int_t)by_fault, "late", (json_int_t)late, "by-order",
                     (json_int_t)stats->pages_by[PLACED_BY_ORDER], "by-rest",
                     (json_int_t)stats->pages_by[PLACED_BY_REST], "given-back",
                     (json_int_t)stats->pages_by[PLACED_NEVER], "zero-on-fault",
                     (json_int_t)stats->zero_on_fault, "held-back",
                     learned_locked(stats, stats->held_back), "unused",
                     learned_locked(stats, stats->unused));
}

static json_t *pack_of(const LoadStats *stats)
{
    if (!atomic_load_explicit(&stats->has_pack, memory_order_relaxed)) {
        return json_null();
    }
    return json_pack(
        "{s:b, s:o}", "used",
        (int)atomic_load_explicit(&stats->pack_used, memory_order_relaxed),
        "pages", counter(&stats->pack_pages));
}

static json_t *latency_locked(const LoadStats *stats)
{
    return json_pack("{s:I, s:I, s:I}", "p50",
                     (json_int_t)percentile_locked(stats, 0.50), "p99",
                     (json_int_t)percentile_locked(stats, 0.99), "max",
                     (json_int_t)stats->latency_max_us);
}

json_t *load_stats_to_json(LoadStats *stats, LoadPolicy policy, LoadState state)
{
    pthread_mutex_lock(&stats->lock);
    json_t *json = json_pack(
        "{s:s, s:s, s:I, s:o, s:I, s:I, s:o, s:I, s:o, s:o, s:o, s:o,"
        " s:b, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o}",
        CONTROL_KEY_POLICY, load_policy_name(policy), CONTROL_KEY_STATE,
        load_state_name(state), "demand-faults",
        (json_int_t)demand_faults_locked(stats), "vcpu-demand-faults",
        vcpu_list_locked(stats, false), "other-demand-faults",
        (json_int_t)stats->other.demand_faults, "blocktime-ms",
        (json_int_t)stats->blocktime_us / 1000, "vcpu-blocktime-ms",
        vcpu_list_locked(stats, true), "other-blocktime-ms",
        (json_int_t)stats->other.blocktime_us / 1000, "latency-us",
        latency_locked(stats), "latency-dist", latency_dist_locked(stats),
        "pages", pages_locked(stats), "order-misses",
        counter(&stats->order_misses), "order-abandoned",
        (int)atomic_load_explicit(&stats->order_abandoned,
                                  memory_order_relaxed),
        "pack", pack_of(stats), "bytes-read", counter(&stats->bytes_read),
        "slow-reads", counter(&stats->slow_reads), "failed-pages",
        counter(&stats->failed_pages), CONTROL_KEY_FAILED_WAITED_FOR,
        counter(&stats->failed_waited_for), "huge-pages",
        (json_int_t)stats->huge_pages, "qemu-ready-ms",
        milestone_of(stats, MILESTONE_QEMU_READY), "device-state-ms",
        milestone_of(stats, MILESTONE_DEVICE_STATE), "resumed-ms",
        milestone_of(stats, MILESTONE_RESUMED), "order-done-ms",
        milestone_of(stats, MILESTONE_ORDER_DONE), "loaded-ms",
        milestone_of(stats, MILESTONE_LOADED));
    pthread_mutex_unlock(&stats->lock);
    return json;
}
