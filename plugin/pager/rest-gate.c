/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/rest-gate.h"

#include <time.h>

#include <glib.h>

#include "util/thread.h"

/* Over so long the vCPUs' use of processors is looked at. */
#define WINDOW_US 4000

/* What must be free, in hundredths of a processor: room for reading and
 * placing.  Where there is only one, most of it. */
#define MIN_FREE      150
#define MIN_FREE_OF_1 75
#define ONE_PROCESSOR 100

struct RestGate {
    clockid_t *clocks; /* of the vCPUs' processor time */
    size_t n_clocks;
    unsigned n_processors;
    uint64_t patience_us;
    uint64_t max_bytes_per_s; /* 0: no limit */
    uint64_t next_read_us;    /* … by which nothing is read before this */
    bool is_released;
    bool is_open;
    uint64_t begin_us;  /* when it was asked first; 0: not yet */
    uint64_t window_us; /* when the window began … */
    uint64_t used_ns;   /* … and what the vCPUs had used by then */
};

/* The kernel's number for the clock of a thread of this process, as
 * pthread_getcpuclockid() makes it (include/linux/posix-timers_types.h). */
static clockid_t thread_clock(uint32_t thread_id)
{
    const clockid_t per_thread = 4;
    const clockid_t scheduler = 2;

    return (clockid_t)(~(uint32_t)thread_id << 3) | per_thread | scheduler;
}

RestGate *rest_gate_new(const uint32_t *thread_ids, size_t n_threads,
                        unsigned n_processors, uint64_t patience_us,
                        uint64_t max_bytes_per_s)
{
    RestGate *gate = g_new0(RestGate, 1);

    gate->clocks = g_new(clockid_t, n_threads);
    gate->n_clocks = n_threads;
    for (size_t i = 0; i < n_threads; i++) {
        gate->clocks[i] = thread_clock(thread_ids[i]);
    }
    gate->n_processors = n_processors > 0 ? n_processors : thread_count_cpus();
    gate->patience_us = patience_us;
    gate->max_bytes_per_s = max_bytes_per_s;
    return gate;
}

void rest_gate_free(RestGate *gate)
{
    if (gate) {
        g_free(gate->clocks);
        g_free(gate);
    }
}

void rest_gate_release(RestGate *gate)
{
    gate->is_released = true;
}

/* A vCPU that was unplugged uses nothing any more. */
static uint64_t used_ns(const RestGate *gate)
{
    uint64_t sum_ns = 0;

    for (size_t i = 0; i < gate->n_clocks; i++) {
        struct timespec time;

        if (clock_gettime(gate->clocks[i], &time) == 0) {
            sum_ns +=
                (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
        }
    }
    return sum_ns;
}

static bool has_room(const RestGate *gate, uint64_t in_us, uint64_t by_ns)
{
    uint64_t all = (uint64_t)gate->n_processors * ONE_PROCESSOR;
    uint64_t used = by_ns / 1000 * ONE_PROCESSOR / in_us;
    uint64_t needed = gate->n_processors == 1 ? MIN_FREE_OF_1 : MIN_FREE;

    return used + needed <= all;
}

static void begin_window(RestGate *gate, uint64_t now_us, uint64_t now_ns)
{
    gate->window_us = now_us;
    gate->used_ns = now_ns;
}

/* Whether the guest leaves room. */
static bool guest_permits(RestGate *gate, uint64_t now_us,
                          uint64_t *ret_again_us)
{
    if (gate->begin_us == 0) {
        gate->begin_us = now_us;
        begin_window(gate, now_us, used_ns(gate));
    }
    if (now_us - gate->begin_us >= gate->patience_us) {
        return true;
    }
    if (!gate->is_released) {
        *ret_again_us = now_us + WINDOW_US;
        return false;
    }
    if (now_us - gate->window_us >= WINDOW_US) {
        uint64_t now_ns = used_ns(gate);
        /* Less than before: a vCPU has gone. */
        uint64_t by_ns = now_ns > gate->used_ns ? now_ns - gate->used_ns : 0;

        gate->is_open = has_room(gate, now_us - gate->window_us, by_ns);
        begin_window(gate, now_us, now_ns);
    }
    *ret_again_us = gate->window_us + WINDOW_US;
    return gate->is_open;
}

bool rest_gate_limit_permits(const RestGate *gate, uint64_t now_us,
                             uint64_t *ret_again_us)
{
    if (now_us < gate->next_read_us) {
        *ret_again_us = gate->next_read_us;
        return false;
    }
    return true;
}

bool rest_gate_is_open(RestGate *gate, uint64_t now_us, uint64_t *ret_again_us)
{
    return guest_permits(gate, now_us, ret_again_us) &&
           rest_gate_limit_permits(gate, now_us, ret_again_us);
}

void rest_gate_note_read(RestGate *gate, uint64_t now_us, uint64_t n_bytes)
{
    if (gate->max_bytes_per_s > 0) {
        gate->next_read_us = MAX(gate->next_read_us, now_us) +
                             n_bytes * 1000000 / gate->max_bytes_per_s;
    }
}
