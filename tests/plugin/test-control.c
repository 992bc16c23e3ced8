/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The control socket with commands of the test's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "formats/control-protocol.h"
#include "plugin/control.h"
#include "tests/plugin/line-client.h"

#define NOBODY 65534

/* A server, which is never freed, and the client of its first connection. */
typedef struct World {
    Control *control;
    LineClient *client;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    unsigned n_hangups;
    bool gate_is_shut; /* "pass" waits meanwhile */
    unsigned n_at_gate;
} World;

static World worlds[32];
static unsigned n_worlds;

static void set_gate(World *world, bool shut)
{
    pthread_mutex_lock(&world->lock);
    world->gate_is_shut = shut;
    pthread_cond_broadcast(&world->changed);
    pthread_mutex_unlock(&world->lock);
}

static json_t *pass_gate(World *world)
{
    pthread_mutex_lock(&world->lock);
    world->n_at_gate++;
    pthread_cond_broadcast(&world->changed);
    while (world->gate_is_shut) {
        pthread_cond_wait(&world->changed, &world->lock);
    }
    world->n_at_gate--;
    pthread_mutex_unlock(&world->lock);
    return json_object();
}

#define PASS_COMMAND "{\"execute\": \"pass\"}\n"

static void await_at_gate(World *world, unsigned n)
{
    pthread_mutex_lock(&world->lock);
    while (world->n_at_gate < n) {
        pthread_cond_wait(&world->changed, &world->lock);
    }
    pthread_mutex_unlock(&world->lock);
}

/* What can be read from the descriptor "pipe". */
static json_t *read_pipe(const Descriptors *descriptors)
{
    char byte = '-';
    int fd = descriptors_find(descriptors, "pipe");

    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(read(fd, &byte, 1), 1);
    return json_pack("{s:s#}", "byte", &byte, 1);
}

/* "echo" answers its arguments, "read" reads from what came with it, "pass"
 * waits at the gate; anything else is an error. */
static json_t *handle(void *opaque, const char *command,
                      const json_t *arguments, const Descriptors *descriptors,
                      GError **error)
{
    assert_true(json_is_object(arguments));
    if (strcmp(command, "echo") == 0) {
        return json_deep_copy(arguments);
    }
    if (strcmp(command, "read") == 0) {
        return read_pipe(descriptors);
    }
    if (strcmp(command, "pass") == 0) {
        return pass_gate(opaque);
    }
    g_set_error(error, g_quark_from_static_string("test"), 0, "cannot %s",
                strcmp(command, "latin") == 0 ? "caf\xe9" : command);
    return NULL;
}

static void on_hangup(void *opaque)
{
    World *world = opaque;

    pthread_mutex_lock(&world->lock);
    world->n_hangups++;
    pthread_cond_broadcast(&world->changed);
    pthread_mutex_unlock(&world->lock);
}

static void await_hangup(World *world)
{
    pthread_mutex_lock(&world->lock);
    while (world->n_hangups == 0) {
        pthread_cond_wait(&world->changed, &world->lock);
    }
    assert_int_equal(world->n_hangups, 1);
    pthread_mutex_unlock(&world->lock);
}

static void read_greeting(LineClient *client)
{
    json_t *greeting = line_client_read(client);
    const char *version = NULL;
    int pid = 0;

    assert_int_equal(json_unpack_ex(greeting, NULL, JSON_STRICT,
                                    "{s:{s:s, s:i}}", "preheat", "version",
                                    &version, "pid", &pid),
                     0);
    assert_string_equal(version, PREHEAT_VERSION);
    assert_int_equal(pid, getpid());
    json_decref(greeting);
}

static LineClient *connect_pair(World *world, ControlHangup *hangup)
{
    int fd;
    LineClient *client = line_client_new_pair(&fd);

    assert_int_equal(control_add(world->control, fd, hangup), 0);
    read_greeting(client);
    return client;
}

static World *world_new(void)
{
    assert_true(n_worlds < G_N_ELEMENTS(worlds));
    World *world = &worlds[n_worlds++];

    pthread_mutex_init(&world->lock, NULL);
    pthread_cond_init(&world->changed, NULL);
    world->control = control_new(handle, world);
    world->client = connect_pair(world, on_hangup);
    return world;
}

static void world_end(World *world)
{
    line_client_free(world->client);
    await_hangup(world);
}

/* Wait until so much has come that the client has not read. */
static void await_unread(const LineClient *client, int n_bytes)
{
    int unread = 0;

    while (unread < n_bytes) {
        assert_int_equal(ioctl(client->fd, FIONREAD, &unread), 0);
        sched_yield();
    }
}

/* The answer is as expected, which is JSON with single quotes. */
static void assert_answer(json_t *answer, const char *expected)
{
    g_autofree char *text = g_strdelimit(g_strdup(expected), "'", '"');
    json_t *json = json_loads(text, 0, NULL);

    assert_non_null(json);
    if (!json_equal(answer, json)) {
        char *found = json_dumps(answer, JSON_ENCODE_ANY);

        fail_msg("%s\nexpected %s", found ? found : "no answer", text);
    }
    json_decref(json);
    json_decref(answer);
}

static void assert_error(json_t *answer, const char *text)
{
    const json_t *error = json_object_get(answer, "error");
    const char *class = json_string_value(json_object_get(error, "class"));
    const char *desc = json_string_value(json_object_get(error, "desc"));

    assert_non_null(class);
    assert_string_equal(class, "GenericError");
    assert_non_null(desc);
    if (!strstr(desc, text)) {
        fail_msg("\"%s\" does not say \"%s\"", desc, text);
    }
    json_decref(answer);
}

static void send_text(World *world, const char *text)
{
    line_client_send(world->client, text, strlen(text));
}

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

/* ---- descriptors ---- */

#define READ_COMMAND                                                           \
    "{\"execute\": \"read\", \"arguments\": {\"descriptors\": [\"pipe\"]}}\n"

static void send_with(World *world, const char *text, const int *fds,
                      size_t n_fds)
{
    line_client_send_fds(world->client, text, strlen(text), fds, n_fds);
}

/* A pipe's reading end, with one byte in it. */
static int pipe_with(char byte)
{
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(write(fds[1], &byte, 1), 1);
    close(fds[1]);
    return fds[0];
}

/* Send the pipe's writing end along n_fds times; the other end is returned. */
static int send_writing_ends(World *world, const char *text, size_t n_fds)
{
    int fds[2];
    int ends[16];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    for (size_t i = 0; i < n_fds; i++) {
        ends[i] = fds[1];
    }
    send_with(world, text, ends, n_fds);
    close(fds[1]);
    return fds[0];
}

/* Waits until nobody has the pipe's other end any more. */
static void assert_closed(int reading_end)
{
    char byte;

    assert_int_equal(read(reading_end, &byte, 1), 0);
    close(reading_end);
}

static void a_descriptor_reaches_the_command_that_names_it(void **state)
{
    World *world = world_new();
    int fd = pipe_with('x');

    send_with(world, READ_COMMAND, &fd, 1);
    assert_answer(line_client_read(world->client), "{'return': {'byte': 'x'}}");
    close(fd);
    world_end(world);
}

static void descriptors_reach_their_commands_though_these_wait(void **state)
{
    World *world = world_new();
    int one = pipe_with('1');
    int two = pipe_with('2');

    set_gate(world, true);
    send_text(world, PASS_COMMAND);
    send_text(world, "{\"execute\": \"echo\"}\n");
    send_with(world, READ_COMMAND, &one, 1);
    send_text(world, "{\"execute\": \"echo\"}\n");
    send_with(world, READ_COMMAND, &two, 1);
    set_gate(world, false);
    assert_answer(line_client_read(world->client), "{'return': {}}");
    assert_answer(line_client_read(world->client), "{'return': {}}");
    assert_answer(line_client_read(world->client), "{'return': {'byte': '1'}}");
    assert_answer(line_client_read(world->client), "{'return': {}}");
    assert_answer(line_client_read(world->client), "{'return': {'byte': '2'}}");
    close(one);
    close(two);
    world_end(world);
}

static void descriptors_are_closed_once_their_command_is_done(void **state)
{
    World *world = world_new();
    int taken = send_writing_ends(
        world,
        "{\"execute\": \"echo\", \"arguments\": {\"descriptors\": [\"a\"]}}\n",
        1);

    assert_answer(line_client_read(world->client),
                  "{'return': {'descriptors': ['a']}}");
    assert_closed(taken);
    assert_closed(send_writing_ends(world, "{\"execute\": \"echo\"}\n", 3));
    assert_answer(line_client_read(world->client), "{'return': {}}");
    assert_closed(send_writing_ends(world, "nonsense\n", 1));
    assert_error(line_client_read(world->client), "");
    world_end(world);
}

static void a_descriptor_of_half_a_command_is_closed_at_the_end(void **state)
{
    World *world = world_new();
    int fd = send_writing_ends(world, "{\"execute\": ", 1);

    world_end(world);
    assert_closed(fd);
}

static void names_that_nothing_came_for_are_an_error(void **state)
{
    static const char *const names[] = {
        "[\"a\", \"b\"]", "[\"a\", \"a\"]", "[1]", "{}", "\"a\"", "1",
    };
    World *world = world_new();

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *line = g_strdup_printf(
            "{\"execute\": \"echo\", \"arguments\": {\"descriptors\": %s}}\n",
            names[i]);
        int fd = send_writing_ends(world, line, 1);

        assert_error(line_client_read(world->client), "descriptors");
        assert_closed(fd);
    }
    world_end(world);
}

static void more_descriptors_than_may_come_end_the_connection(void **state)
{
    World *world = world_new();
    int fd = send_writing_ends(world, "{", CONTROL_MAX_DESCRIPTORS + 1);

    assert_error(line_client_read(world->client), "too many descriptors");
    assert_null(line_client_read(world->client));
    assert_closed(fd);
    world_end(world);
}

static void descriptors_that_pile_up_end_the_connection(void **state)
{
    World *world = world_new();
    int one =
        send_writing_ends(world, "{\"execute\": ", CONTROL_MAX_DESCRIPTORS);
    int two = send_writing_ends(world, "1", 1);

    assert_error(line_client_read(world->client), "too many descriptors");
    assert_null(line_client_read(world->client));
    assert_closed(one);
    assert_closed(two);
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

/* ---- the abstract socket ---- */

static bool connect_socket(int fd, pid_t pid)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat ns;

    assert_int_equal(stat("/proc/self/ns/pid", &ns), 0);
    int len =
        snprintf(address.sun_path + 1, sizeof address.sun_path - 1,
                 CONTROL_SOCKET_NAME_FORMAT, (uintmax_t)ns.st_ino, (int)pid);
    return connect(fd, (struct sockaddr *)&address,
                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                               (size_t)len)) == 0;
}

static int connect_to(pid_t pid)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && !connect_socket(fd, pid)) {
        close(fd);
        return -1;
    }
    return fd;
}

static int listen_once(void **state)
{
    World *world = world_new();

    *state = world;
    return control_listen(world->control);
}

static void the_abstract_socket_serves_its_own_user(void **state)
{
    LineClient *clients[3];

    for (size_t i = 0; i < G_N_ELEMENTS(clients); i++) {
        clients[i] = line_client_new(connect_to(getpid()));
        read_greeting(clients[i]);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(clients); i++) {
        assert_answer(line_client_call(clients[i], "{\"execute\": \"echo\"}"),
                      "{'return': {}}");
        line_client_free(clients[i]);
    }
}

static void only_one_listens_on_the_abstract_socket(void **state)
{
    World *world = world_new();

    assert_int_equal(control_listen(world->control), -EADDRINUSE);
    world_end(world);
}

#define MAX_CLIENTS 32

static void for_one_client_too_many_the_idlest_one_goes(void **state)
{
    LineClient *clients[MAX_CLIENTS + 2];

    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        clients[i] = line_client_new(connect_to(getpid()));
        read_greeting(clients[i]);
    }
    for (size_t i = MAX_CLIENTS; i < G_N_ELEMENTS(clients); i++) {
        clients[i] = line_client_new(connect_to(getpid()));
        read_greeting(clients[i]);
    }
    assert_null(line_client_read(clients[0]));
    assert_null(line_client_read(clients[1]));
    for (size_t i = 0; i < G_N_ELEMENTS(clients); i++) {
        if (i > 1) {
            assert_answer(
                line_client_call(clients[i], "{\"execute\": \"echo\"}"),
                "{'return': {}}");
        }
        line_client_free(clients[i]);
    }
}

static void one_client_too_many_is_told_where_all_are_busy(void **state)
{
    World *world = *state;
    LineClient *clients[MAX_CLIENTS];
    json_t *complaint = NULL;

    set_gate(world, true);
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        clients[i] = line_client_new(connect_to(getpid()));
        read_greeting(clients[i]);
        line_client_send(clients[i], PASS_COMMAND, strlen(PASS_COMMAND));
    }
    await_at_gate(world, MAX_CLIENTS);
    LineClient *last = line_client_new(connect_to(getpid()));
    complaint = line_client_read(last);
    assert_error(complaint, "too many clients");
    line_client_free(last);
    set_gate(world, false);
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        assert_answer(line_client_read(clients[i]), "{'return': {}}");
        line_client_free(clients[i]);
    }
}

/* Take every descriptor that this process may still have. */
static void take_all_descriptors(GArray *taken)
{
    int fd;

    while ((fd = dup(STDERR_FILENO)) >= 0) {
        g_array_append_val(taken, fd);
    }
    assert_int_equal(errno, EMFILE);
}

static void give_back_descriptors(GArray *taken)
{
    for (guint i = 0; i < taken->len; i++) {
        close(g_array_index(taken, int, i));
    }
    g_array_unref(taken);
}

static void clients_are_served_where_no_descriptors_are_left(void **state)
{
    struct rlimit before, few;
    LineClient *clients[4];
    GArray *taken = g_array_new(FALSE, FALSE, sizeof(int));

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 256;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    for (size_t i = 0; i < G_N_ELEMENTS(clients); i++) {
        clients[i] =
            line_client_new(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    }
    /* The first gets what there is in reserve, and for a further one, the
     * first has to go. */
    for (size_t i = 0; i < G_N_ELEMENTS(clients); i++) {
        take_all_descriptors(taken);
        assert_true(connect_socket(clients[i]->fd, getpid()));
        read_greeting(clients[i]);
        assert_answer(line_client_call(clients[i], "{\"execute\": \"echo\"}"),
                      "{'return': {}}");
    }
    for (size_t i = 0; i < G_N_ELEMENTS(clients); i++) {
        line_client_free(clients[i]);
    }
    give_back_descriptors(taken);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    the_abstract_socket_serves_its_own_user(NULL);
}

/* In a child process: 0 if the socket says nothing to another user. */
static int ask_as_nobody(pid_t pid)
{
    char byte;

    if (setresuid(NOBODY, NOBODY, NOBODY) < 0) {
        return 2;
    }
    int fd = connect_to(pid);
    return fd >= 0 && recv(fd, &byte, 1, 0) == 0 ? 0 : 1;
}

static void another_user_gets_nothing(void **state)
{
    pid_t pid = getpid();
    int status;

    if (geteuid() != 0) {
        print_message("skipped: only root can be another user\n");
        skip();
    }
    pid_t child = fork();
    if (child == 0) {
        _exit(ask_as_nobody(pid));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
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
        cmocka_unit_test(a_descriptor_reaches_the_command_that_names_it),
        cmocka_unit_test(descriptors_reach_their_commands_though_these_wait),
        cmocka_unit_test(descriptors_are_closed_once_their_command_is_done),
        cmocka_unit_test(a_descriptor_of_half_a_command_is_closed_at_the_end),
        cmocka_unit_test(names_that_nothing_came_for_are_an_error),
        cmocka_unit_test(more_descriptors_than_may_come_end_the_connection),
        cmocka_unit_test(descriptors_that_pile_up_end_the_connection),
        cmocka_unit_test(a_hangup_is_told_once),
        cmocka_unit_test(a_hangup_in_the_middle_of_a_line_is_one),
        cmocka_unit_test(what_is_no_socket_counts_as_hung_up),
        cmocka_unit_test(an_event_reaches_every_connection),
        cmocka_unit_test(an_event_without_connections_goes_nowhere),
        cmocka_unit_test(a_client_that_never_reads_is_cut_off),
        cmocka_unit_test(a_client_that_has_not_read_yet_holds_up_nobody),
        /* First, so that no client is about to leave. */
        cmocka_unit_test(for_one_client_too_many_the_idlest_one_goes),
        cmocka_unit_test(the_abstract_socket_serves_its_own_user),
        cmocka_unit_test(one_client_too_many_is_told_where_all_are_busy),
        cmocka_unit_test(clients_are_served_where_no_descriptors_are_left),
        cmocka_unit_test(only_one_listens_on_the_abstract_socket),
        cmocka_unit_test(another_user_gets_nothing),
    };

    return cmocka_run_group_tests(tests, listen_once, NULL);
}
