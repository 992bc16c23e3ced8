/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the tests of loading need: the whole sequence of a load against a
 * program that takes QEMU's place; $FAKE_QEMU_PROGRAM is its path.
 */
#pragma once

#include "tests/util/support.h"

#include <signal.h>
#include <sys/types.h>

#include "host/loader.h"

typedef struct Fixture {
    char *directory;
    char *snapshot;
    char *log_path;
    char *log; /* after a load */
    char *argv[3];
    LoadOptions options;
    sigset_t mask;
} Fixture;

/* What was said.  Tests are one at a time, and in one thread. */
extern GString *said;

/* The fixture's say. */
void say(const char *text);

int set_up(void **state);
int tear_down(void **state);

/* Load into a fake QEMU of this behaviour (tests/host/fake-qemu.c); its log is
 * the fixture's then. */
bool load(Fixture *fixture, const char *behaviour, int *ret_status,
          GError **error);

/* Returns the status. */
int load_well(Fixture *fixture, const char *behaviour);
void load_badly(Fixture *fixture, const char *behaviour, UtilError code,
                const char *text);

/* By the log. */
bool was_told(const Fixture *fixture, const char *what);
void assert_told(const Fixture *fixture, const char *what);

/* That one was told after the other. */
void assert_sequence(const Fixture *fixture, const char *one,
                     const char *other);

void assert_said(const char *text);

/* Of a QEMU that has become a daemon. */
pid_t daemon_pid(const Fixture *fixture);

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
