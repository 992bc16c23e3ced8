/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The control socket: commands, connections, events.
 */
#include "tests/plugin/control-world.h"

#include <string.h>
#include <unistd.h>

#include "formats/control-protocol.h"

/* ---- commands ---- */

static void a_command_is_answered_with_its_id(void **state)
{
    World *world = world_new();

    assert_answer(line_client_call(world->client,
                                   "{\"execute\": \"echo\", \"arguments\": "
                                   "{\"a\": [1]}, \"id\": {\"n\": null}}"),
                  "{'return': {'a': [1]}, 'id': {'n': null}}");
    world_end(world);
}

static void a_command_without_id_and_arguments_has_neither(void **state)
{
    World *world = world_new();

    assert_answer(line_client_call(world->client, "{\"execute\": \"echo\"}"),
                  "{'return': {}}");
    world_end(world);
}

static void a_command_that_fails_is_answered_with_its_error(void **state)
{
    World *world = world_new();

    assert_answer(
        line_client_call(world->client, "{\"execute\": \"fly\", \"id\": 3}"),
        "{'error': {'class': 'GenericError', "
        "'desc': 'cannot fly'}, 'id': 3}");
    world_end(world);
}

static void a_refusal_that_is_not_utf_8_is_an_answer_all_the_same(void **state)
{
    World *world = world_new();

    assert_answer(
        line_client_call(world->client, "{\"execute\": \"latin\", \"id\": 3}"),
        "{'error': {'class': 'GenericError', "
        "'desc': 'cannot caf\ufffd'}, 'id': 3}");
    world_end(world);
}

static void several_commands_in_one_write_are_answered_in_sequence(void **state)
{
    World *world = world_new();

    send_text(world, "{\"execute\": \"echo\", \"id\": 1}\n"
                     "{\"execute\": \"fly\", \"id\": 2}\n"
                     "{\"execute\": \"echo\", \"id\": 3}\n");
    for (int id = 1; id <= 3; id++) {
        json_t *answer = line_client_read(world->client);

        assert_int_equal(json_integer_value(json_object_get(answer, "id")), id);
        json_decref(answer);
    }
    world_end(world);
}

static void a_command_split_over_writes_is_one_command(void **state)
{
    World *world = world_new();
    const char *text = "{\"execute\": \"echo\", \"id\": \"\u00e9\"}\n";

    for (size_t i = 0; i < strlen(text); i++) {
        line_client_send(world->client, text + i, 1);
    }
    assert_answer(line_client_read(world->client),
                  "{'return': {}, 'id': '\u00e9'}");
    world_end(world);
}

static void what_is_no_command_is_an_error_and_the_next_one_works(void **state)
{
    static const char *const lines[] = {
        "",
        "nonsense",
        "[]",
        "42",
        "{",
        "{}",
        "{\"execute\": 1}",
        "{\"arguments\": {}}",
        "{\"execute\": \"echo\", \"arguments\": []}",
        "{\"execute\": \"echo\", \"arguments\": null}",
        "{\"execute\": \"echo\", \"execute\": \"echo\"}",
        "{\"execute\": \"echo\"} {\"execute\": \"echo\"}",
        "{\"execute\": \"a\\u0000b\"}",
        "\xff\xfe\x80",
        "{\"execute\": \"\xc3\"}",
    };
    World *world = world_new();

    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        assert_error(line_client_call(world->client, lines[i]), "");
        assert_answer(
            line_client_call(world->client, "{\"execute\": \"echo\"}"),
            "{'return': {}}");
    }
    world_end(world);
}

static void a_line_with_a_nul_byte_is_an_error(void **state)
{
    static const char line[] = "{\"execute\"\0: 1}\n";
    World *world = world_new();

    line_client_send(world->client, line, sizeof line - 1);
    assert_error(line_client_read(world->client), "");
    world_end(world);
}

static void an_error_in_an_object_has_the_object_s_id(void **state)
{
    World *world = world_new();

    json_t *answer = line_client_call(world->client, "{\"id\": 7}");
    assert_int_equal(json_integer_value(json_object_get(answer, "id")), 7);
    assert_error(answer, "a command is");
    world_end(world);
}

static void brackets_without_end_are_an_error(void **state)
{
    World *world = world_new();
    g_autofree char *line = g_strnfill(CONTROL_MAX_LINE_BYTES - 10, '[');

    assert_error(line_client_call(world->client, line), "");
    world_end(world);
}

/* A command whose line, newline included, has this length. */
static GString *command_of(size_t len_bytes)
{
    GString *line =
        g_string_new("{\"execute\": \"echo\", \"arguments\": {\"text\": \"");

    while (line->len < len_bytes - strlen("\"}}\n")) {
        g_string_append_c(line, 'x');
    }
    g_string_append(line, "\"}}\n");
    assert_int_equal(line->len, len_bytes);
    return line;
}

static void a_line_of_the_greatest_length_is_carried_out(void **state)
{
    World *world = world_new();
    g_autoptr(GString) line = command_of(CONTROL_MAX_LINE_BYTES);

    line_client_send(world->client, line->str, line->len);
    json_t *answer = line_client_read(world->client);
    assert_non_null(json_object_get(answer, "return"));
    json_decref(answer);
    world_end(world);
}

static void a_line_that_is_too_long_ends_the_connection(void **state)
{
    World *world = world_new();
    g_autoptr(GString) line = command_of(CONTROL_MAX_LINE_BYTES + 1);

    line_client_send(world->client, line->str, CONTROL_MAX_LINE_BYTES);
    assert_error(line_client_read(world->client), "too long");
    assert_null(line_client_read(world->client));
    world_end(world);
}

/* ---- connections ---- */

static void a_hangup_is_told_once(void **state)
{
    World *world = world_new();
    LineClient *other = connect_pair(world, NULL);

    line_client_free(other);
    line_client_free(world->client);
    await_hangup(world);
}

static void a_hangup_in_the_middle_of_a_line_is_one(void **state)
{
    World *world = world_new();

    send_text(world, "{\"execute\": ");
    world_end(world);
}

static void what_is_no_socket_counts_as_hung_up(void **state)
{
    World *world = world_new();
    int fds[2];

    line_client_free(world->client);
    await_hangup(world);
    world->n_hangups = 0;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(control_add(world->control, fds[0], on_hangup), 0);
    await_hangup(world);
    close(fds[1]);
}

/* ---- events ---- */

static void an_event_reaches_every_connection(void **state)
{
    World *world = world_new();
    LineClient *other = connect_pair(world, NULL);

    control_send_event(world->control, "DAWN", json_pack("{s:i}", "hour", 6));
    assert_answer(line_client_read_event(world->client, "DAWN"), "{'hour': 6}");
    json_t *event = line_client_read(other);
    const char *name = NULL;
    json_int_t seconds = 0;
    json_int_t microseconds = -1;
    assert_int_equal(
        json_unpack_ex(event, NULL, JSON_STRICT, "{s:s, s:{s:i}, s:{s:I, s:I}}",
                       "event", &name, "data", "hour", &(int){0}, "timestamp",
                       "seconds", &seconds, "microseconds", &microseconds),
        0);
    assert_string_equal(name, "DAWN");
    assert_true(seconds > 0);
    assert_in_range(microseconds, 0, 999999);
    json_decref(event);
    line_client_free(other);
    world_end(world);
}

static void an_event_without_connections_goes_nowhere(void **state)
{
    World *world = world_new();

    world_end(world);
    control_send_event(world->control, "DUSK", json_object());
}

static void send_event(World *world)
{
    g_autofree char *filler = g_strnfill(16 << 10, 'x');

    control_send_event(world->control, "NEWS",
                       json_pack("{s:s}", "filler", filler));
}

static void a_client_that_never_reads_is_cut_off(void **state)
{
    World *world = world_new();
    LineClient *reader = connect_pair(world, NULL);

    for (unsigned i = 0; i < 256; i++) {
        send_event(world);
        json_decref(line_client_read_event(reader, "NEWS"));
    }
    await_hangup(world);
    assert_answer(line_client_call(reader, "{\"execute\": \"echo\"}"),
                  "{'return': {}}");
    line_client_free(reader);
    line_client_free(world->client);
}

/* Until the client has read its answer, which is larger than what a socket
 * takes, events reach others, and wait for it. */
static void a_client_that_has_not_read_yet_holds_up_nobody(void **state)
{
    World *world = world_new();
    LineClient *other = connect_pair(world, NULL);
    g_autoptr(GString) line = command_of(CONTROL_MAX_LINE_BYTES);

    line_client_send(world->client, line->str, line->len);
    await_unread(world->client, 64 << 10);
    send_event(world);
    json_decref(line_client_read_event(other, "NEWS"));
    json_t *answer = line_client_read(world->client);
    assert_non_null(json_object_get(answer, "return"));
    json_decref(answer);
    json_decref(line_client_read_event(world->client, "NEWS"));
    line_client_free(other);
    world_end(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_is_answered_with_its_id),
        cmocka_unit_test(a_command_without_id_and_arguments_has_neither),
        cmocka_unit_test(a_command_that_fails_is_answered_with_its_error),
        cmocka_unit_test(a_refusal_that_is_not_utf_8_is_an_answer_all_the_same),
        cmocka_unit_test(
            several_commands_in_one_write_are_answered_in_sequence),
        cmocka_unit_test(a_command_split_over_writes_is_one_command),
        cmocka_unit_test(what_is_no_command_is_an_error_and_the_next_one_works),
        cmocka_unit_test(a_line_with_a_nul_byte_is_an_error),
        cmocka_unit_test(an_error_in_an_object_has_the_object_s_id),
        cmocka_unit_test(brackets_without_end_are_an_error),
        cmocka_unit_test(a_line_of_the_greatest_length_is_carried_out),
        cmocka_unit_test(a_line_that_is_too_long_ends_the_connection),
        cmocka_unit_test(a_hangup_is_told_once),
        cmocka_unit_test(a_hangup_in_the_middle_of_a_line_is_one),
        cmocka_unit_test(what_is_no_socket_counts_as_hung_up),
        cmocka_unit_test(an_event_reaches_every_connection),
        cmocka_unit_test(an_event_without_connections_goes_nowhere),
        cmocka_unit_test(a_client_that_never_reads_is_cut_off),
        cmocka_unit_test(a_client_that_has_not_read_yet_holds_up_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
