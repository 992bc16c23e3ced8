/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A warm pool: so many machines of a template are kept started, and each loads
 * its guest for whoever takes it.
 *
 * A machine that was taken is its taker's: it lives on without the pool, which
 * only remembers its number.  It is replaced once its guest runs, and not
 * before: the start of another would take processors from it.  The others end
 * with the pool.
 *
 * One thread uses a Pool, between the waits of its own poll().
 */
#pragma once

#include <stdbool.h>
#include <sys/resource.h>

#include <glib.h>
#include <jansson.h>

typedef struct Pool Pool;

/* Of a machine's number, in what a set makes of a resource. */
#define POOL_NUMBER_MARK "%N"

/* A machine that was started and does not wait by then is killed, and counts as
 * one that has failed. */
#define POOL_START_LIMIT_S 120

/* As many as a template can tell of. */
#define POOL_MAX_MACHINES 256

/* What it points to is borrowed, for as long as there is the pool. */
typedef struct PoolOptions {
    unsigned n_machines;
    /* What keeps a machine: a program and its arguments, which end with NULL;
     * how it is to be told to load, and the sets, follow. */
    const char *program;
    char *const *argv;
    char *const *sets; /* "OLD=NEW", for --set; or NULL */
    rlim_t max_fds;    /* a machine's soft limit of descriptors; 0: ours */
} PoolOptions;

/* Whom the pool tells. */
typedef struct PoolEvents {
    /* The user. */
    void (*say)(void *opaque, const char *text);
    /* taker has a machine, whose guest runs: {"pid", "after-ms", "placed"}, and
     * "paused": true where it only could.  Borrowed.  False: taker has gone. */
    bool (*give)(void *opaque, void *taker, const json_t *machine);
    /* The machine that taker was to get has failed. */
    void (*refuse)(void *opaque, void *taker, const char *reason);
    void *opaque;
} PoolEvents;

/* Nothing is started before pool_attend(). */
Pool *pool_new(const PoolOptions *options, const PoolEvents *events);

/* Machines that wait end, and so does one that is being loaded.  NULL is
 * fine. */
void pool_free(Pool *pool);

/* Add what is to be polled, as struct pollfd, to fds. */
void pool_add_fds(const Pool *pool, GArray *fds);

/* After how many milliseconds pool_attend() has something to do, whatever comes
 * from a descriptor; -1: never. */
int pool_timeout_ms(const Pool *pool);

/* Do what is to be done. */
void pool_attend(Pool *pool);

/* taker, which is not NULL and waits for nothing yet, gets the next machine. */
void pool_take(Pool *pool, void *taker);

/* taker has gone, whether it waits or not. */
void pool_forget(Pool *pool, const void *taker);

/* How it goes, for json_decref(). */
json_t *pool_status(const Pool *pool);
