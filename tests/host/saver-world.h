/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the tests of saving need: a fake QEMU, and a save of its guest.
 */
#pragma once

#include "tests/util/support.h"

#include "host/saver.h"
#include "tests/host/fake-peer.h"

/* The fake QEMU's state; its thread's alone while it runs. */
typedef struct Machine {
    const char *run_state;
    bool has_mapped_ram;
    bool mapped_ram;
    json_int_t max_bandwidth;
    bool writable_disk;
    const char *migration;   /* status; NULL: never any */
    int polls_left;          /* until a migration that is active ends */
    int finalize_polls_left; /* until the end of "finish-migrate" */
    bool writes_garbage;
    const char *outcome;   /* how our migration ends */
    int interrupt_on_poll; /* an eventfd to raise when we are asked, or -1 */
    bool hangs_up_on_poll;
    bool ends_on_poll;
    bool has_said_so; /* … in an event */
    bool told_late;   /* … something after that */
} Machine;

typedef struct Fixture {
    char *directory;
    char *output;
    Machine machine;
    FakePeer *peer;
    Rpc *qmp;
    const ProfileTime *profile; /* NULL: without */
    int listener;               /* the plugin's, or -1 */
    bool discarded;             /* the plugin was told to */
    const char *load_state;     /* as the plugin tells it */
    bool interrupt_on_wait;     /* for the load's end */
    bool ends_in_window;        /* QEMU does, with an order or without */
    bool has_order;
    char *told_before_window; /* what QEMU was told before the plugin was to
                                 open a window; NULL: it was not */
    int64_t looked_at_us;     /* at the window, last */
    int interrupt_fd;
} Fixture;

/* What the save said.  Tests are one at a time, and in one thread. */
extern GString *said;

/* cmocka's, with a Fixture as the state: a guest that runs. */
int set_up(void **state);
int tear_down(void **state);

bool save(Fixture *fixture, SaveResult *ret_result, GError **error);
SaveResult save_well(Fixture *fixture);
void save_badly(Fixture *fixture, UtilError code, const char *text);

/* Whether QEMU was given these commands, with blanks between them. */
bool log_has(Fixture *fixture, const char *commands);
void assert_last_command(Fixture *fixture, const char *command);

/* names: all that is in the output's directory, with blanks between them. */
void assert_files(Fixture *fixture, const char *names);
void put_old_file(Fixture *fixture, const char *name);
void assert_settings_are_back(Fixture *fixture);

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
