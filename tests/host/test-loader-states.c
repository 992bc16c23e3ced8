/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guests are in the state that they were saved in.
 */
#include <fcntl.h>
#include <unistd.h>

#include "formats/run-state.h"
#include "tests/host/loader-world.h"

/* Write it into the snapshot's device state as QEMU does. */
static void set_run_state(Fixture *fixture, const char *name)
{
    static const char head[] =
        "\x04\0\0\0\x01\x0bglobalstate\0\0\0\0\0\0\0\x01";
    uint8_t fields[RUN_STATE_ENCODED_BYTES + 68] = "";
    int fd = open(fixture->snapshot, O_WRONLY | O_APPEND);

    run_state_encode(name, fields);
    assert_int_equal(write(fd, head, sizeof(head) - 1), sizeof(head) - 1);
    assert_int_equal(write(fd, fields, sizeof(fields)), sizeof(fields));
    close(fd);
}

static void a_guest_that_was_saved_running_runs(void **state)
{
    Fixture *fixture = *state;

    set_run_state(fixture, "running");
    load_well(fixture, "");
    assert_told(fixture, "qmp cont");
    assert_string_equal(said->str, "");
}

static void a_guest_that_slept_goes_on_sleeping(void **state)
{
    Fixture *fixture = *state;

    set_run_state(fixture, "suspended");
    load_well(fixture, "");
    assert_told(fixture, "qmp cont");
}

static void a_guest_that_its_user_had_paused_stays_paused(void **state)
{
    Fixture *fixture = *state;

    set_run_state(fixture, "paused");
    load_well(fixture, "");
    assert_told(fixture, "\"paused\"");
    assert_false(was_told(fixture, "qmp cont"));
    assert_said("was not running when it was saved (paused)");
    assert_said("--resume");
}

static void so_it_does_with_policy_full(void **state)
{
    Fixture *fixture = *state;

    set_run_state(fixture, "paused");
    fixture->options.policy = LOAD_POLICY_FULL;
    load_well(fixture, "");
    assert_false(was_told(fixture, "qmp cont"));
}

static void a_paused_guest_runs_if_that_is_asked_for(void **state)
{
    Fixture *fixture = *state;

    set_run_state(fixture, "paused");
    fixture->options.resume = true;
    load_well(fixture, "");
    assert_told(fixture, "qmp cont");
    assert_string_equal(said->str, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_guest_that_was_saved_running_runs),
        TEST(a_guest_that_slept_goes_on_sleeping),
        TEST(a_guest_that_its_user_had_paused_stays_paused),
        TEST(so_it_does_with_policy_full),
        TEST(a_paused_guest_runs_if_that_is_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
