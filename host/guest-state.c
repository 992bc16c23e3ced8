/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/guest-state.h"

#include <string.h>

#include <glib.h>

/*
 * What stands behind the rows: QEMU calls a guest that it has saved
 * "postmigrate", whatever it was before, and there is no way back but "cont".
 *
 * - From there on "cont" lets a guest run that must not ("shutdown",
 *   "internal-error"), or aborts QEMU ("suspended", which it tries to go back
 *   to); a debugger's continue runs it while its disks are inactive.
 * - For the others "cont" does the same as before.
 *
 * Source: QEMU, system/runstate.c, runstate_transitions_def[], and qmp_cont().
 */
static const GuestState states[] = {
    {"running", SAVE_STOP_AND_GO_ON, NULL},
    {"paused", SAVE_AS_IT_STANDS,
     "the guest is paused and stays paused; QEMU calls this \"postmigrate\" "
     "from now on, and saves the guest again only after it has run (QMP cont)"},
    {"prelaunch", SAVE_AS_IT_STANDS,
     "the guest has not run yet (-S) and is not running now; QEMU calls this "
     "\"postmigrate\" from now on"},
    {"io-error", SAVE_AS_IT_STANDS,
     "warning: the guest is stopped because of a disk error, and is saved in "
     "that state: QMP cont lets it try again, here and after a load"},
    {"watchdog", SAVE_AS_IT_STANDS,
     "warning: the guest is stopped because its watchdog has expired, and is "
     "saved in that state"},
    {"guest-panicked", SAVE_AS_IT_STANDS,
     "warning: the guest has crashed (guest-panicked), and is saved in that "
     "state"},
    {"finish-migrate", SAVE_WAIT, NULL},
    {"save-vm", SAVE_WAIT, NULL},
    {"postmigrate", SAVE_REVIVE, NULL},
    {"suspended", SAVE_REFUSE,
     "the guest is suspended (S3), and QEMU cannot wake up a guest that it has "
     "saved: wake it up first (QMP system_wakeup)"},
    {"inmigrate", SAVE_REFUSE,
     "this QEMU is still waiting for an incoming migration: there is no guest "
     "to save yet"},
    {"restore-vm", SAVE_REFUSE,
     "QEMU is loading an internal snapshot, or has failed to load it: there is "
     "no guest to save"},
    {"shutdown", SAVE_REFUSE,
     "the guest has shut down: it could not run after a load"},
    {"internal-error", SAVE_REFUSE,
     "QEMU has stopped the guest because of an internal error: reset it first "
     "(QMP system_reset)"},
    {"debug", SAVE_REFUSE,
     "a debugger has stopped the guest: continue it there first"},
    {"colo", SAVE_REFUSE,
     "the guest is being replicated (COLO): end that first"},
};

const GuestState *guest_state_find(const char *name)
{
    static const GuestState unknown = {
        "", SAVE_REFUSE,
        "the guest is in a state that preheat does not know (QMP "
        "query-status): resume it or pause it first"};

    for (size_t i = 0; i < G_N_ELEMENTS(states); i++) {
        if (strcmp(name, states[i].name) == 0) {
            return &states[i];
        }
    }
    return &unknown;
}
