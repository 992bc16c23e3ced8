/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A storage device in simulated time: so many requests in service at once,
 * each of which waits out the latency beside the others and is then
 * transferred, after those that began before it unless it is urgent.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#define STORAGE_MAX_QUEUE 256

typedef struct StorageSpec {
    uint64_t bandwidth_bytes_s; /* at least 64 KiB a second */
    uint64_t latency_ns;        /* of each request */
    size_t queue;               /* requests in service, 1…STORAGE_MAX_QUEUE */
} StorageSpec;

/*
 * Read "bandwidth=400M,latency=1ms,queue=8".  bandwidth is in bytes a second
 * with K, M, G (powers of 1024) behind it and must be there; latency takes
 * ns, us, ms, s and is 0 if left out; queue is 1 if left out.
 *
 * Errors are G_OPTION_ERROR_BAD_VALUE.
 */
bool storage_spec_parse(const char *text, StorageSpec *ret_spec,
                        GError **error);

/* Read a time such as "150us" or "1.5ms" into nanoseconds; name is what the
 * error calls it. */
bool storage_time_parse(const char *name, const char *text, uint64_t *ret_ns,
                        GError **error);

/* What the device is doing. */
typedef struct StorageModel {
    StorageSpec spec;
    uint64_t transfer_free_ns; /* when the last transfer ends */
    uint64_t bytes_read;
    size_t n;                           /* requests in service … */
    uint64_t end_ns[STORAGE_MAX_QUEUE]; /* … and when they end */
} StorageModel;

void storage_model_init(StorageModel *model, const StorageSpec *spec);

/* When a request that comes at now_ns could begin.  Calls must not go back in
 * time: requests that have ended by now_ns are forgotten. */
uint64_t storage_model_slot(StorageModel *model, uint64_t now_ns);

/* Begin a read of len_bytes as soon as a slot is free, at now_ns at the
 * earliest; returns when it ends.  An urgent one is transferred ahead of
 * those that are under way; it is taken to be so small that these hardly
 * become later. */
uint64_t storage_model_read(StorageModel *model, uint64_t now_ns,
                            uint64_t len_bytes, bool is_urgent);
