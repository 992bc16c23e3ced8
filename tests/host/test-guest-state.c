/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include "host/guest-state.h"

/* QMP's RunState. */
static const char *const names[] = {
    "debug",      "inmigrate",   "internal-error", "io-error",
    "paused",     "postmigrate", "prelaunch",      "finish-migrate",
    "restore-vm", "running",     "save-vm",        "shutdown",
    "suspended",  "watchdog",    "guest-panicked", "colo",
};

static void every_state_of_qemu_has_its_row(void **state)
{
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        assert_string_equal(guest_state_find(names[i])->name, names[i]);
    }
}

static void what_is_refused_or_peculiar_is_said(void **state)
{
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        const GuestState *row = guest_state_find(names[i]);

        assert_true(row->text || (row->save != SAVE_REFUSE &&
                                  row->save != SAVE_AS_IT_STANDS));
    }
}

static void a_state_of_a_later_qemu_is_refused(void **state)
{
    assert_int_equal(guest_state_find("levitating")->save, SAVE_REFUSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_of_qemu_has_its_row),
        cmocka_unit_test(what_is_refused_or_peculiar_is_said),
        cmocka_unit_test(a_state_of_a_later_qemu_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
