/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Saves of a QEMU that has the plugin, with a profile.
 */
#include "tests/host/saver-world.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "formats/control-protocol.h"
#include "formats/page-order.h"
#include "formats/ram-image.h"
#include "tests/host/fake-plugin.h"

/* ---- the plugin ---- */

/* An order of what was saved, however empty. */
static void write_order(const Fixture *fixture)
{
    g_autofree char *path = g_strconcat(fixture->output, ".order", NULL);
    g_autoptr(RamImage) snapshot = ram_image_open(fixture->output, 0, NULL);
    g_autoptr(PageOrder) order = page_order_new();

    assert_non_null(snapshot);
    order->identity = g_strdup(snapshot->identity);
    assert_true(page_order_save(order, path, NULL));
}

static void end_in_window(const Fixture *fixture, FakePeer *plugin)
{
    if (fixture->has_order) {
        write_order(fixture);
    }
    fake_peer_close(plugin);
}

static void lose_file(const Fixture *fixture)
{
    g_autofree char *temporary =
        g_strconcat(fixture->output, ".preheat-tmp", NULL);

    assert_int_equal(unlink(temporary), 0);
}

static json_t *answer_as_plugin(FakePeer *peer, const char *command,
                                const json_t *arguments,
                                const char **ret_refusal, void *opaque)
{
    Fixture *fixture = opaque;

    if (json_is_true(json_object_get(arguments, "discard"))) {
        fixture->discarded = true;
    }
    if (g_str_equal(command, CONTROL_CMD_PROFILE_START)) {
        fixture->told_before_window = fake_peer_log(fixture->peer);
        fixture->state_before_window = run_state_in(fake_peer_fd(peer, 0));
        if (fixture->loses_file) {
            lose_file(fixture);
        }
        if (fixture->interrupt_in_opening) {
            eventfd_write(fixture->interrupt_fd, 1);
        }
    }
    if (g_str_equal(command, CONTROL_CMD_WAIT) && fixture->interrupt_on_wait) {
        eventfd_write(fixture->interrupt_fd, 1);
    }
    if (!g_str_equal(command, CONTROL_CMD_PROFILE_QUERY)) {
        return json_pack("{s:s}", "state", fixture->load_state);
    }
    fixture->looked_at_us = g_get_monotonic_time();
    if (fixture->ends_in_window) {
        end_in_window(fixture, peer);
    }
    return json_pack("{s:s}", "state", "done");
}

static bool save_with_profile(Fixture *fixture, SaveResult *ret_result,
                              GError **error)
{
    const ProfileTime time = {.max_ms = 1000};
    FakePlugin *plugin = fake_plugin_new(answer_as_plugin, fixture);

    fixture->profile = &time;
    bool ok = save(fixture, ret_result, error);
    fake_plugin_free(plugin);
    return ok;
}

/* ---- tests ---- */

static void
a_plugin_that_hangs_up_is_said_to_answer_its_user_alone(void **state)
{
    Fixture *fixture = *state;
    const ProfileTime time = {.max_ms = 1000};
    FakePlugin *plugin = fake_plugin_new(NULL, NULL);

    fixture->profile = &time;
    save_badly(fixture, UTIL_ERROR_CLOSED, "the user that QEMU runs as");
    fake_plugin_free(plugin);
}

static void a_paused_guest_is_said_to_have_nothing_to_record(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;

    fixture->qemu.run_state = "paused";
    assert_true(save_with_profile(fixture, &result, NULL));
    assert_non_null(strstr(said->str, "the guest is paused"));
    json_decref(result.profile);
}

static void the_profile_is_not_in_the_time_that_the_save_took(void **state)
{
    Fixture *fixture = *state;
    int64_t start_us = g_get_monotonic_time();
    SaveResult result;

    assert_true(save_with_profile(fixture, &result, NULL));
    assert_true(start_us + result.total_us <= fixture->looked_at_us);
    json_decref(result.profile);
}

static void a_guest_that_is_profiled_hears_no_more(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;

    assert_true(save_with_profile(fixture, &result, NULL));
    json_decref(result.profile);
    assert_true(log_has(fixture, " announce-self "));
    assert_last_command(fixture, " cont");
    assert_false(fixture->discarded);
}

/* Some cannot be set while guest RAM is watched. */
static void the_settings_are_back_when_the_window_opens(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;

    assert_true(save_with_profile(fixture, &result, NULL));
    json_decref(result.profile);
    assert_settings_are_back(fixture);
    assert_true(
        g_str_has_suffix(g_strchomp(fixture->told_before_window),
                         " migrate-set-capabilities migrate-set-parameters"));
}

static void no_window_opens_for_what_is_no_snapshot(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;

    fixture->qemu.writes_garbage = true;
    assert_false(save_with_profile(fixture, &result, NULL));
    assert_null(fixture->told_before_window);
    assert_string_equal(fixture->qemu.run_state, "running");
}

static void the_order_of_a_snapshot_that_gets_lost_is_discarded(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;

    fixture->loses_file = true;
    assert_false(save_with_profile(fixture, &result, NULL));
    assert_true(fixture->discarded);
    assert_string_equal(fixture->qemu.run_state, "running");
}

/* An order belongs to what the file says in the end. */
static void the_run_state_is_written_before_the_window_opens(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;

    assert_true(save_with_profile(fixture, &result, NULL));
    json_decref(result.profile);
    assert_string_equal(fixture->state_before_window, "running");
}

static void a_signal_while_the_window_opens_costs_just_the_order(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;
    GError *error = NULL;

    fixture->interrupt_in_opening = true;
    assert_false(save_with_profile(fixture, &result, &error));
    assert_util_error(error, UTIL_ERROR_INTERRUPTED, "it has no order");
    assert_string_equal(fixture->qemu.run_state, "running");
    assert_true(fixture->discarded);
    assert_files(fixture, "vm.snap vm.snap.json");
}

static void opening_the_window_is_part_of_the_standstill(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;

    assert_true(save_with_profile(fixture, &result, NULL));
    json_decref(result.profile);
    assert_true(result.window_us > 0);
    assert_true(result.window_us < result.stopped_us);
}

static void assert_not_saved_while(Fixture *fixture, const char *load_state,
                                   UtilError code, const char *text)
{
    SaveResult result;
    GError *error = NULL;

    fixture->load_state = load_state;
    assert_false(save_with_profile(fixture, &result, &error));
    assert_util_error(error, code, text);
    assert_false(log_has(fixture, "stop"));
    assert_files(fixture, "");
}

static void
waiting_for_a_guest_that_still_loads_can_be_interrupted(void **state)
{
    Fixture *fixture = *state;

    fixture->interrupt_on_wait = true;
    assert_not_saved_while(fixture, "loading", UTIL_ERROR_INTERRUPTED,
                           "interrupted");
}

static void a_guest_whose_load_has_failed_is_not_waited_for(void **state)
{
    assert_not_saved_while(*state, "failed", UTIL_ERROR_FAILED,
                           "preheat control retry");
}

static void the_order_of_a_qemu_that_ends_in_the_window_counts(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;
    GError *error = NULL;

    fixture->ends_in_window = true;
    fixture->has_order = true;
    save_with_profile(fixture, &result, &error);
    assert_no_error(error);
    assert_null(result.profile);
    assert_non_null(strstr(said->str, "QEMU has ended"));
}

static void that_a_qemu_which_ended_left_no_order_is_told(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;
    g_autoptr(GError) error = NULL;

    fixture->ends_in_window = true;
    assert_false(save_with_profile(fixture, &result, &error));
    assert_non_null(strstr(error->message, "it has no order"));
    assert_files(fixture, "vm.snap vm.snap.json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_plugin_that_hangs_up_is_said_to_answer_its_user_alone),
        TEST(a_paused_guest_is_said_to_have_nothing_to_record),
        TEST(the_profile_is_not_in_the_time_that_the_save_took),
        TEST(a_guest_that_is_profiled_hears_no_more),
        TEST(the_settings_are_back_when_the_window_opens),
        TEST(no_window_opens_for_what_is_no_snapshot),
        TEST(the_order_of_a_snapshot_that_gets_lost_is_discarded),
        TEST(the_run_state_is_written_before_the_window_opens),
        TEST(a_signal_while_the_window_opens_costs_just_the_order),
        TEST(opening_the_window_is_part_of_the_standstill),
        TEST(waiting_for_a_guest_that_still_loads_can_be_interrupted),
        TEST(a_guest_whose_load_has_failed_is_not_waited_for),
        TEST(the_order_of_a_qemu_that_ends_in_the_window_counts),
        TEST(that_a_qemu_which_ended_left_no_order_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
