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
typedef struct FakeQemu {
    const char *run_state;
    bool was_suspended; /* the device state says so */
    bool has_mapped_ram;
    bool mapped_ram;
    json_int_t max_bandwidth;
    bool writable_disk;
    const char *disk_file;   /* NULL: /dev/null */
    bool writes_disk;        /* when it migrates */
    const char *migration;   /* status; NULL: never any */
    int polls_left;          /* until a migration that is active ends */
    int finalize_polls_left; /* until the end of "finish-migrate" */
    bool writes_garbage;
    const char *outcome;   /* how our migration ends */
    const char *overtaken; /* by somebody else's migration, which puts the
                              guest into this state; NULL: not */
    bool falls_asleep;     /* before our "stop" */
    int interrupt_on_poll; /* an eventfd to raise when we are asked, or -1 */
    bool hangs_up_on_poll;
    bool ends_on_poll;
    bool has_said_so;        /* … in an event */
    bool told_late;          /* … something after that */
    const char *interrupted; /* at this command; NULL: at none */
    int n_interrupts;        /* so many times */
    int interrupt_fd;
    GMutex *blocked; /* … it waits for it; NULL: it does not */

    bool lacks_vmgenid;
    bool takes_no_fd;
    unsigned n_fds; /* that have come */
    char *opaque;   /* of the only descriptor set; NULL: there is none */
    json_int_t fdset_id;
} FakeQemu;

typedef struct Fixture {
    char *directory;
    char *output;
    FakeQemu qemu;
    FakePeer *peer;
    Machine *machine;
    SaveDisks disks;
    const ProfileTime *profile; /* NULL: without */
    bool discarded;             /* the plugin was told to */
    const char *load_state;     /* as the plugin tells it */
    bool interrupt_in_opening;  /* the window */
    bool interrupt_on_wait;     /* for the load's end */
    bool ends_in_window;        /* QEMU does, with an order or without */
    bool has_order;
    char *told_before_window;  /* what QEMU was told before the plugin was to
                                  open a window; NULL: it was not */
    char *state_before_window; /* the run state in the file then */
    bool loses_file;           /* somebody removes it then */
    int64_t looked_at_us;      /* at the window, last */
    int interrupt_fd;          /* each interruption can be read once */
    GString *progress;         /* all that was shown */
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

/* As a save leaves it that was killed, of a guest that ran or did not. */
void put_what_a_killed_save_leaves(Fixture *fixture, bool was_running);

/* The run state in a file, and in the one that was saved; for g_free(). */
char *run_state_in(int fd);
char *saved_run_state(const Fixture *fixture);

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
