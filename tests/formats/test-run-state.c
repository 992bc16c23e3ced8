/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/formats/support.h"

#include <string.h>

#include "formats/run-state.h"

/* As QEMU 10.0 wrote it: a full section with its number, its name, its
 * instance and its version, then the fields. */
#define HEAD "\x04\0\0\0\x01\x0bglobalstate\0\0\0\0\0\0\0\x01"

static GByteArray *section(const char *name, uint8_t was_suspended)
{
    GByteArray *bytes = g_byte_array_new();
    uint8_t fields[104] = "";

    run_state_encode(name, fields);
    fields[RUN_STATE_ENCODED_BYTES] = 1;
    fields[RUN_STATE_ENCODED_BYTES + 1] = was_suspended;
    g_byte_array_append(bytes, (const uint8_t *)"before", 6);
    g_byte_array_append(bytes, (const uint8_t *)HEAD, sizeof(HEAD) - 1);
    g_byte_array_append(bytes, fields, sizeof(fields));
    g_byte_array_append(bytes, (const uint8_t *)"behind", 6);
    return bytes;
}

static bool find(const GByteArray *bytes, RunState *ret_state)
{
    return run_state_find(bytes->data, bytes->len, ret_state);
}

static void the_run_state_is_found_in_the_device_state(void **state)
{
    g_autoptr(GByteArray) bytes = section("paused", 0);
    RunState found;

    assert_true(find(bytes, &found));
    assert_string_equal(found.name, "paused");
    assert_false(found.was_suspended);
}

static void a_guest_paused_in_its_sleep_is_told_from_one_awake(void **state)
{
    g_autoptr(GByteArray) bytes = section("paused", 1);
    RunState found;

    assert_true(find(bytes, &found));
    assert_true(found.was_suspended);
}

static void the_encoding_is_qemus(void **state)
{
    static const uint8_t qemus[RUN_STATE_ENCODED_BYTES] = "\0\0\0\x08running";
    uint8_t ours[RUN_STATE_ENCODED_BYTES];

    run_state_encode("running", ours);
    assert_memory_equal(ours, qemus, sizeof(ours));
}

static void what_is_encoded_over_it_is_found_in_its_place(void **state)
{
    g_autoptr(GByteArray) bytes = section("paused", 0);
    g_autoptr(GByteArray) expected = section("running", 0);
    RunState found;

    assert_true(find(bytes, &found));
    run_state_encode("running", bytes->data + found.off_bytes);
    assert_memory_equal(bytes->data, expected->data, expected->len);
}

static void a_device_state_without_it_has_none(void **state)
{
    RunState found;

    assert_false(run_state_find((const uint8_t *)"none here", 9, &found));
    assert_false(run_state_find(NULL, 0, &found));
}

static void one_that_is_cut_off_is_none(void **state)
{
    g_autoptr(GByteArray) bytes = section("paused", 0);
    RunState found;

    for (guint len = 0; len < 6 + sizeof(HEAD) - 1 + 38; len++) {
        assert_false(run_state_find(bytes->data, len, &found));
    }
}

/* Each replaces the byte at some offset into the section's fields. */
static void what_qemu_would_not_write_is_none(void **state)
{
    static const struct {
        unsigned off_bytes;
        uint8_t value;
    } faults[] = {
        {3, 1},   /* a name of no length */
        {3, 6},   /* a NUL behind the length */
        {3, 8},   /* a length behind the NUL */
        {0, 1},   /* a length beyond the field */
        {4, 'P'}, /* what no run state has in its name */
        {20, 1},  /* what is behind the name */
    };

    for (size_t i = 0; i < G_N_ELEMENTS(faults); i++) {
        g_autoptr(GByteArray) bytes = section("paused", 0);
        RunState found;

        bytes->data[6 + sizeof(HEAD) - 1 + faults[i].off_bytes] =
            faults[i].value;
        assert_false(find(bytes, &found));
    }
}

static void a_name_by_chance_does_not_hide_the_section(void **state)
{
    g_autoptr(GByteArray) bytes = section("x", 0);
    g_autoptr(GByteArray) real = section("paused", 0);
    RunState found;

    bytes->data[6 + sizeof(HEAD) - 1 + 4] = 'X';
    g_byte_array_append(bytes, real->data, real->len);
    assert_true(find(bytes, &found));
    assert_string_equal(found.name, "paused");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_run_state_is_found_in_the_device_state),
        cmocka_unit_test(a_guest_paused_in_its_sleep_is_told_from_one_awake),
        cmocka_unit_test(the_encoding_is_qemus),
        cmocka_unit_test(what_is_encoded_over_it_is_found_in_its_place),
        cmocka_unit_test(a_device_state_without_it_has_none),
        cmocka_unit_test(one_that_is_cut_off_is_none),
        cmocka_unit_test(what_qemu_would_not_write_is_none),
        cmocka_unit_test(a_name_by_chance_does_not_hide_the_section),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
