/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "host/plugin-client.h"
#include "host/qmp.h"
#include "host/rpc.h"
#include "tests/host/fake-peer.h"

typedef struct Client {
    Rpc *rpc;
    FakePeer *peer;
    GString *events; /* the names that came */
} Client;

static void note_event(const char *name, const json_t *data, void *opaque)
{
    GString *events = opaque;
    const char *text = json_string_value(json_object_get(data, "text"));

    g_string_append_printf(events, "%s:%s ", name, text ? text : "");
}

/* "echo" answers its arguments, "tell" sends an event first, "bye" hangs up
 * instead of answering. */
static json_t *answer(FakePeer *peer, const char *command,
                      const json_t *arguments, const char **ret_refusal,
                      void *opaque)
{
    if (g_str_equal(command, "echo")) {
        return json_deep_copy(arguments);
    }
    if (g_str_equal(command, "tell")) {
        fake_peer_event(peer, "TOLD", json_pack("{s:s}", "text", "it"));
        fake_peer_event(peer, "BARE", NULL);
        return json_object();
    }
    if (g_str_equal(command, "bye")) {
        fake_peer_close(peer);
    }
    *ret_refusal = "out of coffee";
    return NULL;
}

static Client *client_new(void)
{
    Client *client = g_new0(Client, 1);
    int fd, other;

    make_sockets(&fd, &other);
    client->events = g_string_new(NULL);
    client->peer = fake_peer_new(other, json_pack("{s:{s:i}}", "hello", "n", 1),
                                 answer, NULL);
    client->rpc = rpc_new(fd, 4096, "the kitchen");
    rpc_on_event(client->rpc, note_event, client->events);
    return client;
}

static void client_free(Client *client)
{
    rpc_free(client->rpc);
    fake_peer_free(client->peer);
    g_string_free(client->events, TRUE);
    g_free(client);
}

static void greet(Client *client)
{
    json_t *greeting;
    GError *error = NULL;

    rpc_greeting(client->rpc, "hello", 10000, &greeting, &error);
    assert_no_error(error);
    json_decref(greeting);
}

static int set_up(void **state)
{
    Client *client = client_new();

    greet(client);
    *state = client;
    return 0;
}

static int tear_down(void **state)
{
    client_free(*state);
    return 0;
}

static uint64_t send_echo(Client *client, int n)
{
    GError *error = NULL;
    uint64_t id = 0;

    rpc_send(client->rpc, "echo", json_pack("{s:i}", "n", n), &id, &error);
    assert_no_error(error);
    return id;
}

static int receive_number(Client *client, uint64_t id)
{
    GError *error = NULL;
    json_t *value = NULL;
    int number;

    rpc_receive(client->rpc, id, &value, &error);
    assert_no_error(error);
    number = (int)json_integer_value(json_object_get(value, "n"));
    json_decref(value);
    return number;
}

static void a_command_returns_its_answer(void **state)
{
    Client *client = *state;

    assert_int_equal(receive_number(client, send_echo(client, 42)), 42);
}

static void answers_nobody_wants_are_dropped(void **state)
{
    Client *client = *state;

    send_echo(client, 1);
    send_echo(client, 2);
    assert_int_equal(receive_number(client, send_echo(client, 3)), 3);
}

static int execute_echo(Client *client, int n)
{
    GError *error = NULL;
    json_t *value = NULL;
    int number;

    rpc_execute(client->rpc, "echo", json_pack("{s:i}", "n", n), &value,
                &error);
    assert_no_error(error);
    number = (int)json_integer_value(json_object_get(value, "n"));
    json_decref(value);
    return number;
}

static void ask_ahead(Client *client, int n)
{
    GError *error = NULL;

    rpc_ask_ahead(client->rpc, "echo", json_pack("{s:i}", "n", n), &error);
    assert_no_error(error);
}

static void assert_asked(const Client *client, const char *commands)
{
    g_autofree char *log = fake_peer_log(client->peer);

    assert_string_equal(log, commands);
}

static void what_was_asked_ahead_is_not_asked_again(void **state)
{
    Client *client = *state;

    ask_ahead(client, 1);
    ask_ahead(client, 2);
    assert_int_equal(execute_echo(client, 2), 2);
    assert_int_equal(execute_echo(client, 3), 3);
    assert_int_equal(execute_echo(client, 1), 1);
    assert_asked(client, "echo echo echo");
    /* It has been answered: the next one is a question of its own. */
    assert_int_equal(execute_echo(client, 1), 1);
    assert_asked(client, "echo echo echo echo");
}

static void what_two_ask_ahead_is_asked_once(void **state)
{
    Client *client = *state;

    ask_ahead(client, 1);
    ask_ahead(client, 1);
    assert_int_equal(execute_echo(client, 1), 1);
    assert_int_equal(execute_echo(client, 1), 1);
    assert_asked(client, "echo");
    assert_int_equal(execute_echo(client, 1), 1);
    assert_asked(client, "echo echo");
}

static void what_was_asked_ahead_can_be_refused(void **state)
{
    Client *client = *state;
    GError *error = NULL;

    rpc_ask_ahead(client->rpc, "milk", NULL, &error);
    assert_no_error(error);
    assert_int_equal(execute_echo(client, 1), 1);
    assert_false(rpc_execute(client->rpc, "milk", NULL, NULL, &error));
    assert_util_error(error, UTIL_ERROR_REFUSED,
                      "the kitchen refused milk: out of coffee");
}

static void what_was_asked_ahead_can_be_forgotten(void **state)
{
    Client *client = *state;

    ask_ahead(client, 1);
    rpc_forget_ahead(client->rpc);
    assert_int_equal(execute_echo(client, 1), 1);
    assert_asked(client, "echo echo");
}

static void commands_sent_ahead_are_answered_in_sequence(void **state)
{
    Client *client = *state;
    uint64_t first = send_echo(client, 1);
    uint64_t second = send_echo(client, 2);

    assert_int_equal(receive_number(client, first), 1);
    assert_int_equal(receive_number(client, second), 2);
}

static void a_refusal_names_peer_command_and_reason(void **state)
{
    Client *client = *state;
    GError *error = NULL;

    assert_false(rpc_execute(client->rpc, "brew", NULL, NULL, &error));
    assert_util_error(error, UTIL_ERROR_REFUSED,
                      "the kitchen refused brew: out of coffee");
}

static void events_are_handed_over_while_waiting(void **state)
{
    Client *client = *state;
    GError *error = NULL;

    rpc_execute(client->rpc, "tell", NULL, NULL, &error);
    assert_no_error(error);
    assert_string_equal(client->events->str, "TOLD:it BARE: ");
}

static void the_companions_events_are_not_held_up(void **state)
{
    Client *client = *state;
    Client *companion = client_new();
    GError *error = NULL;
    uint64_t id;

    greet(companion);
    rpc_set_companion(client->rpc, companion->rpc);
    rpc_send(companion->rpc, "tell", NULL, &id, &error);
    assert_no_error(error);
    while (companion->events->len == 0) {
        rpc_pump(client->rpc, -1, &error);
        assert_no_error(error);
    }
    rpc_receive(companion->rpc, id, NULL, &error);
    assert_no_error(error);
    rpc_set_companion(client->rpc, NULL);
    client_free(companion);
}

static void the_companions_end_is_not_ours(void **state)
{
    Client *client = *state;
    Client *companion = client_new();
    GError *error = NULL;

    greet(companion);
    rpc_set_companion(client->rpc, companion->rpc);
    fake_peer_close(companion->peer);
    while (!rpc_is_closed(companion->rpc)) {
        rpc_pump(client->rpc, -1, &error);
        assert_no_error(error);
    }
    assert_int_equal(receive_number(client, send_echo(client, 4)), 4);
    rpc_set_companion(client->rpc, NULL);
    client_free(companion);
}

static void give_up(const char *name, const json_t *data, void *opaque)
{
    g_autoptr(GError) error =
        g_error_new_literal(UTIL_ERROR, UTIL_ERROR_FAILED, "the kitchen burns");

    rpc_end_wait(opaque, error);
}

static void an_interrupt_ends_the_waiting_but_not_the_connection(void **state)
{
    Client *client = *state;
    int interrupt = eventfd(1, EFD_CLOEXEC);
    uint64_t id = send_echo(client, 5);
    GError *error = NULL;

    rpc_set_interrupt_fd(client->rpc, interrupt);
    assert_false(rpc_receive(client->rpc, id, NULL, &error));
    assert_util_error(error, UTIL_ERROR_INTERRUPTED, "interrupted");
    rpc_set_interrupt_fd(client->rpc, -1);
    assert_int_equal(receive_number(client, id), 5);
    close(interrupt);
}

static void an_event_can_end_the_waiting_but_not_the_connection(void **state)
{
    Client *client = *state;
    Client *companion = client_new();
    GError *error = NULL;

    greet(companion);
    rpc_set_companion(client->rpc, companion->rpc);
    rpc_on_event(companion->rpc, give_up, client->rpc);
    fake_peer_event(companion->peer, "FIRE", NULL);
    /* Nobody was asked. */
    assert_false(rpc_receive(client->rpc, 4711, NULL, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "the kitchen burns");
    assert_int_equal(receive_number(client, send_echo(client, 6)), 6);
    rpc_set_companion(client->rpc, NULL);
    client_free(companion);
}

static void a_peer_that_hangs_up_ends_the_waiting(void **state)
{
    Client *client = *state;
    GError *error = NULL;
    uint64_t id;

    assert_false(rpc_execute(client->rpc, "bye", NULL, NULL, &error));
    assert_util_error(error, UTIL_ERROR_CLOSED, "the kitchen");
    assert_true(rpc_is_closed(client->rpc));
    error = NULL;
    assert_false(rpc_send(client->rpc, "echo", NULL, &id, &error));
    assert_util_error(error, UTIL_ERROR_CLOSED, "the kitchen");
}

static void a_greeting_of_another_protocol_is_an_error(void **state)
{
    Client *client = client_new();
    json_t *greeting = NULL;
    GError *error = NULL;

    assert_false(rpc_greeting(client->rpc, "QMP", -1, &greeting, &error));
    assert_util_error(error, UTIL_ERROR_PROTOCOL, "\"QMP\"");
    client_free(client);
}

static void a_peer_that_says_nothing_is_not_waited_for_for_ever(void **state)
{
    json_t *greeting = NULL;
    GError *error = NULL;
    int fd, other;
    Rpc *rpc;

    make_sockets(&fd, &other);
    rpc = rpc_new(fd, 4096, "the cellar");
    assert_false(rpc_greeting(rpc, "QMP", 1, &greeting, &error));
    assert_util_error(error, UTIL_ERROR_TIMEOUT, "the cellar");
    rpc_free(rpc);
    close(other);
}

/* A peer that says just this, whatever it is asked. */
static Rpc *rpc_to_parrot(const char *text, int *ret_other)
{
    int fd;

    make_sockets(&fd, ret_other);
    assert_int_equal(write(*ret_other, text, strlen(text)), strlen(text));
    return rpc_new(fd, 4096, "the parrot");
}

static void what_answers_nothing_that_was_asked_is_an_error(void **state)
{
    static const char *const texts[] = {
        "{}\n",
        "{\"return\": {}}\n",
        "{\"return\": {}, \"id\": \"1\"}\n",
        "{\"return\": {}, \"id\": -1}\n",
        "{\"preheat\": {\"version\": \"1\"}}\n",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        int other;
        Rpc *rpc = rpc_to_parrot(texts[i], &other);
        GError *error = NULL;

        assert_false(rpc_execute(rpc, "echo", NULL, NULL, &error));
        assert_util_error(error, UTIL_ERROR_PROTOCOL, "the parrot");
        rpc_free(rpc);
        close(other);
    }
}

/* QEMU's monitor has such for the next client when one was killed. */
static void answers_to_a_client_before_us_are_not_taken_for_ours(void **state)
{
    static const char stale[] = "{\"return\": {\"whose\": \"theirs\"}, "
                                "\"id\": 40}\n";
    static const char more[] = "{\"return\": {\"whose\": \"theirs\"}, "
                               "\"id\": 1}\n";
    json_t *value;
    int fd, other;
    FakePeer *peer;
    GError *error = NULL;
    Rpc *rpc;

    make_sockets(&fd, &other);
    assert_int_equal(write(other, stale, strlen(stale)), strlen(stale));
    peer = fake_peer_new(other, json_pack("{s:{}}", "hello"), answer, NULL);
    assert_int_equal(write(other, more, strlen(more)), strlen(more));
    rpc = rpc_new(fd, 4096, "the kitchen");
    rpc_greeting(rpc, "hello", 10000, &value, &error);
    assert_no_error(error);
    json_decref(value);
    rpc_execute(rpc, "echo", json_pack("{s:s}", "whose", "ours"), &value,
                &error);
    assert_no_error(error);
    assert_string_equal(json_string_value(json_object_get(value, "whose")),
                        "ours");
    json_decref(value);
    rpc_free(rpc);
    fake_peer_free(peer);
}

static void
an_answer_that_does_not_come_is_waited_for_as_long_as_set(void **state)
{
    int other;
    Rpc *rpc = rpc_to_parrot("", &other);
    GError *error = NULL;

    rpc_set_answer_timeout(rpc, 1);
    assert_false(rpc_execute(rpc, "echo", NULL, NULL, &error));
    assert_util_error(error, UTIL_ERROR_TIMEOUT, "the parrot");
    rpc_free(rpc);
    close(other);
}

static void a_peer_that_refuses_instead_of_greeting_is_quoted(void **state)
{
    int other;
    Rpc *rpc = rpc_to_parrot(
        "{\"error\": {\"class\": \"GenericError\", \"desc\": \"full up\"}}\n",
        &other);
    json_t *greeting = NULL;
    GError *error = NULL;

    assert_false(rpc_greeting(rpc, "hello", -1, &greeting, &error));
    assert_util_error(error, UTIL_ERROR_REFUSED, "the parrot: full up");
    rpc_free(rpc);
    close(other);
}

/* Of a QEMU in a container it would be another one. */
static void qemus_process_is_who_has_sent_the_greeting(void **state)
{
    int fd, other;
    Rpc *control;
    FakePeer *peer;
    pid_t pid = 0;
    GError *error = NULL;

    make_sockets(&fd, &other);
    control = plugin_client_new(fd);
    peer = fake_peer_new(other, json_pack("{s:{s:i}}", "preheat", "pid", 1),
                         answer, NULL);
    plugin_client_greeting(control, &pid, &error);
    assert_no_error(error);
    assert_int_equal(pid, getpid());
    rpc_free(control);
    fake_peer_free(peer);
}

static void an_event_before_the_greeting_is_none(void **state)
{
    g_autoptr(GString) events = g_string_new(NULL);
    int other;
    Rpc *rpc =
        rpc_to_parrot("{\"event\": \"EARLY\"}\n{\"hello\": {}}\n", &other);
    json_t *greeting;
    GError *error = NULL;

    rpc_on_event(rpc, note_event, events);
    rpc_greeting(rpc, "hello", -1, &greeting, &error);
    assert_no_error(error);
    assert_string_equal(events->str, "EARLY: ");
    json_decref(greeting);
    rpc_free(rpc);
    close(other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_command_returns_its_answer),
        cmocka_unit_test(qemus_process_is_who_has_sent_the_greeting),
        TEST(an_event_before_the_greeting_is_none),
        TEST(answers_nobody_wants_are_dropped),
        TEST(what_was_asked_ahead_is_not_asked_again),
        TEST(what_two_ask_ahead_is_asked_once),
        TEST(what_was_asked_ahead_can_be_refused),
        TEST(what_was_asked_ahead_can_be_forgotten),
        TEST(commands_sent_ahead_are_answered_in_sequence),
        TEST(a_refusal_names_peer_command_and_reason),
        TEST(events_are_handed_over_while_waiting),
        TEST(the_companions_events_are_not_held_up),
        TEST(the_companions_end_is_not_ours),
        TEST(an_interrupt_ends_the_waiting_but_not_the_connection),
        TEST(an_event_can_end_the_waiting_but_not_the_connection),
        TEST(a_peer_that_hangs_up_ends_the_waiting),
        cmocka_unit_test(a_greeting_of_another_protocol_is_an_error),
        cmocka_unit_test(a_peer_that_says_nothing_is_not_waited_for_for_ever),
        cmocka_unit_test(what_answers_nothing_that_was_asked_is_an_error),
        cmocka_unit_test(answers_to_a_client_before_us_are_not_taken_for_ours),
        cmocka_unit_test(
            an_answer_that_does_not_come_is_waited_for_as_long_as_set),
        cmocka_unit_test(a_peer_that_refuses_instead_of_greeting_is_quoted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
