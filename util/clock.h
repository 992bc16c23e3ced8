/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Time that only goes on, and waiting for it: CLOCK_MONOTONIC, in
 * microseconds.
 */
#pragma once

#include <pthread.h>
#include <stdint.h>

uint64_t monotonic_us(void);

/* Make changed wait by this clock; for pthread_cond_destroy(). */
void clock_cond_init(pthread_cond_t *changed);

/* Wait for changed, with lock held, at most until until_us. */
void clock_cond_wait_until(pthread_cond_t *changed, pthread_mutex_t *lock,
                           uint64_t until_us);
