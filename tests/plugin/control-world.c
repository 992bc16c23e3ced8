/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/plugin/control-world.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static World worlds[32];
static unsigned n_worlds;

void set_gate(World *world, bool shut)
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

void await_at_gate(World *world, unsigned n)
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

void on_hangup(void *opaque)
{
    World *world = opaque;

    pthread_mutex_lock(&world->lock);
    world->n_hangups++;
    pthread_cond_broadcast(&world->changed);
    pthread_mutex_unlock(&world->lock);
}

void await_hangup(World *world)
{
    pthread_mutex_lock(&world->lock);
    while (world->n_hangups == 0) {
        pthread_cond_wait(&world->changed, &world->lock);
    }
    assert_int_equal(world->n_hangups, 1);
    pthread_mutex_unlock(&world->lock);
}

void read_greeting(LineClient *client)
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

LineClient *connect_pair(World *world, ControlHangup *hangup)
{
    int fd;
    LineClient *client = line_client_new_pair(&fd);

    assert_int_equal(control_add(world->control, fd, hangup), 0);
    read_greeting(client);
    return client;
}

World *world_new(void)
{
    assert_true(n_worlds < G_N_ELEMENTS(worlds));
    World *world = &worlds[n_worlds++];

    pthread_mutex_init(&world->lock, NULL);
    pthread_cond_init(&world->changed, NULL);
    world->control = control_new(handle, world);
    world->client = connect_pair(world, on_hangup);
    return world;
}

void world_end(World *world)
{
    line_client_free(world->client);
    await_hangup(world);
}

void await_unread(const LineClient *client, int n_bytes)
{
    int unread = 0;

    while (unread < n_bytes) {
        assert_int_equal(ioctl(client->fd, FIONREAD, &unread), 0);
        sched_yield();
    }
}

void assert_answer(json_t *answer, const char *expected)
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

void assert_error(json_t *answer, const char *text)
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

void send_text(World *world, const char *text)
{
    line_client_send(world->client, text, strlen(text));
}
