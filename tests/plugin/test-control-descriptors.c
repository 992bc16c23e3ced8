/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The control socket: descriptors that come with commands.
 */
#include "tests/plugin/control-world.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "formats/control-protocol.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_descriptor_reaches_the_command_that_names_it),
        cmocka_unit_test(descriptors_reach_their_commands_though_these_wait),
        cmocka_unit_test(descriptors_are_closed_once_their_command_is_done),
        cmocka_unit_test(a_descriptor_of_half_a_command_is_closed_at_the_end),
        cmocka_unit_test(names_that_nothing_came_for_are_an_error),
        cmocka_unit_test(more_descriptors_than_may_come_end_the_connection),
        cmocka_unit_test(descriptors_that_pile_up_end_the_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
