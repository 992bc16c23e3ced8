/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One machine of a pool: the process of `preheat loadvm --start-fd` that has
 * started QEMU and loads the guest when it is told to.
 *
 * It has a session of its own, so that what ends the template's terminal or
 * interrupts it leaves alone a machine that somebody uses.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <glib.h>
#include <jansson.h>

typedef enum {
    POOL_MEMBER_STARTING,
    POOL_MEMBER_WAITING,
    POOL_MEMBER_LOADING,
    POOL_MEMBER_TAKEN,
    POOL_MEMBER_KILLED, /* it was not ready in time, and is about to end */
} PoolMemberState;

/* All that is not said to be anybody else's is the pool's. */
typedef struct PoolMember {
    unsigned number;
    PoolMemberState state;
    void *taker;       /* who gets it; NULL: nobody */
    guint64 rank;      /* of those that wait: the lowest is the oldest */
    json_t *placed;    /* the events "placed" so far, without that word */
    char *error;       /* the last event "failed"; NULL: there was none */
    pid_t pid;         /* of loadvm */
    pid_t qemu_pid;    /* 0: not known yet */
    uint64_t limit_us; /* monotonic: one that is starting then has failed */

    int end_fd;    /* readable once it has ended */
    int start_fd;  /* where it is told to load; this and the next: -1 where it
                      is closed */
    int events_fd; /* what it says */
    GString *text; /* of that, what is no whole line yet */
} PoolMember;

/* The descriptor that a member is to have with --start-fd. */
#define POOL_MEMBER_START_FD 3

/* Start program with argv, which ends with NULL.  max_fds: its soft limit of
 * descriptors; 0: ours. */
PoolMember *pool_member_start(const char *program, char *const *argv,
                              rlim_t max_fds, unsigned number, GError **error);

/* Kill it and what it has started: a QEMU that hangs heeds nothing less. */
void pool_member_kill(PoolMember *member);

/* Closes its descriptors: one that waits ends.  NULL is fine. */
void pool_member_free(PoolMember *member);

/* The next of its events that has come, for json_decref(); NULL: none.  What
 * is no event is passed over. */
json_t *pool_member_next_event(PoolMember *member);

/* Have it load.  False: it has ended. */
bool pool_member_load(PoolMember *member);

/* It is somebody's now, and no more is wanted of it but to know when it
 * ends. */
void pool_member_let_go(PoolMember *member);

/* Whether it has ended.  It is a zombie until it is reaped, and what it has
 * said can still be read. */
bool pool_member_has_ended(const PoolMember *member);

/* Reap one that has ended.  Returns why it has, for g_free(). */
char *pool_member_reap(PoolMember *member);
