/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every state that QEMU's query-status can name, and what a save does to a
 * guest in it, so that the guest is afterwards in the state it was in.
 */
#pragma once

typedef enum {
    /* Stop the guest, save it, let it go on. */
    SAVE_STOP_AND_GO_ON,
    /* It is not running: save it as it is. */
    SAVE_AS_IT_STANDS,
    /* Passes by itself. */
    SAVE_WAIT,
    /* Only where a save that was killed has left it so. */
    SAVE_REVIVE,
    SAVE_REFUSE,
} SaveAction;

typedef struct GuestState {
    const char *name; /* QMP's RunState */
    SaveAction save;
    const char *text; /* why it is refused, or what the user is to know; NULL:
                         nothing */
} GuestState;

/* Of a name that no QEMU up to 11.1 has: a state that is refused. */
const GuestState *guest_state_find(const char *name);
