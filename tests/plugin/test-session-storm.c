/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Clients that send commands in any sequence, and all at once.  Whatever comes
 * of it, guest RAM is at every moment what the snapshot has: it was before, and
 * what takes it over brings the same.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "formats/control-protocol.h"
#include "tests/plugin/session-world.h"

#define N_ROUNDS   24
#define N_CLIENTS  4
#define N_COMMANDS 60

typedef struct Client {
    World *world;
    unsigned seed;
    _Atomic bool *attached;
    _Atomic unsigned *n_wrong;
    pthread_t thread;
} Client;

static unsigned draw(Client *client, unsigned n)
{
    return (unsigned)rand_r(&client->seed) % n;
}

/* Returns whether it was carried out. */
static bool send(Client *client, const char *command, json_t *arguments)
{
    g_autoptr(GError) error = NULL;
    json_t *given = arguments ? arguments : json_object();
    json_t *answer =
        session_execute(client->world->session, command, given, NULL, &error);
    bool ok = answer != NULL;

    /* An answer, or a reason. */
    if (ok == (error != NULL)) {
        atomic_fetch_add(client->n_wrong, 1);
    }
    if (ok && strcmp(command, CONTROL_CMD_VERIFY) == 0 &&
        !json_is_true(json_object_get(answer, "equal"))) {
        atomic_fetch_add(client->n_wrong, 1);
    }
    json_decref(given);
    json_decref(answer);
    return ok;
}

static void send_load(Client *client)
{
    static const char *const policies[] = {"order", "sequential", "demand"};
    const World *world = client->world;
    const char *policy = policies[draw(client, G_N_ELEMENTS(policies))];
    g_autofree char *output = world_file(world, "of.order");

    if (draw(client, 3) == 0) {
        send(client, CONTROL_CMD_LOAD,
             world_load_arguments_with(
                 world, policy, draw(client, 2) == 0 ? "record" : "learn",
                 output));
    } else {
        send(client, CONTROL_CMD_LOAD, world_load_arguments(world, policy));
    }
}

/* Mostly as it should be; else with something wrong in the second block. */
static void send_attach(Client *client)
{
    json_t *arguments = world_attach_arguments(client->world);
    json_t *blocks = json_object_get(arguments, "blocks");
    json_t *vram = json_array_get(blocks, WORLD_VRAM);

    switch (draw(client, 8)) {
    case 0:
        json_object_set_new(vram, "length", json_integer(4096));
        break;
    case 1:
        json_object_set_new(vram, "host", json_string("0x1000"));
        break;
    case 2:
        json_array_append(blocks, json_array_get(blocks, WORLD_RAM));
        break;
    default:
        break;
    }
    if (send(client, CONTROL_CMD_ATTACH, arguments)) {
        atomic_store(client->attached, true);
    }
}

static void send_milestone(Client *client)
{
    static const char *const names[] = {"qemu-ready", "device-state", "resumed",
                                        "paused",     "loaded",       "order"};

    send(client, CONTROL_CMD_MILESTONE,
         json_pack("{s:s, s:i}", "name",
                   names[draw(client, G_N_ELEMENTS(names))], "time-us", 1));
}

static void send_profile_start(Client *client)
{
    g_autofree char *output = world_file(client->world, "of.profile");

    send(client, CONTROL_CMD_PROFILE_START,
         world_profile_arguments(client->world, output));
}

static void send_plain(Client *client)
{
    static const char *const commands[] = {
        CONTROL_CMD_QUERY,        CONTROL_CMD_RETRY, CONTROL_CMD_PROFILE_QUERY,
        CONTROL_CMD_PROFILE_STOP, CONTROL_CMD_QUERY, CONTROL_CMD_LOAD_REST,
    };

    send(client, commands[draw(client, G_N_ELEMENTS(commands))], NULL);
}

static void touch(Client *client)
{
    WorldBlock block = draw(client, WORLD_N_BLOCKS);
    uint64_t page =
        draw(client, (unsigned)client->world->snapshot->blocks[block].n_pages);

    if (!world_page_is_right(client->world, block, page)) {
        atomic_fetch_add(client->n_wrong, 1);
    }
}

static void send_any(Client *client)
{
    switch (draw(client, 12)) {
    case 0:
        send_load(client);
        break;
    case 1:
    case 2:
        send_attach(client);
        break;
    case 3:
        send_milestone(client);
        break;
    case 4:
        send_profile_start(client);
        break;
    case 5:
        send(client, CONTROL_CMD_VERIFY, world_verify_arguments(client->world));
        break;
    case 6:
        if (draw(client, 4) == 0) {
            send(client, CONTROL_CMD_ABANDON, NULL);
        }
        break;
    case 7:
    case 8:
        send_plain(client);
        break;
    default:
        touch(client);
        break;
    }
}

static void *client_thread(void *opaque)
{
    for (unsigned i = 0; i < N_COMMANDS; i++) {
        send_any(opaque);
    }
    return NULL;
}

static void
guest_ram_is_right_whatever_is_sent_in_whatever_sequence(void **state)
{
    /* The first error makes a lock of GLib's, which ThreadSanitizer does not
     * see. */
    g_autoptr(GError) error =
        g_error_new_literal(PAGER_ERROR, PAGER_ERROR_STATE, "none");

    (void)state;
    for (unsigned round = 0; round < N_ROUNDS; round++) {
        World *world = world_new();
        Client clients[N_CLIENTS];
        _Atomic bool attached = false;
        _Atomic unsigned n_wrong = 0;

        world_fill(world);
        for (unsigned i = 0; i < N_CLIENTS; i++) {
            clients[i] = (Client){.world = world,
                                  .seed = round * 101 + i,
                                  .attached = &attached,
                                  .n_wrong = &n_wrong};
            assert_int_equal(pthread_create(&clients[i].thread, NULL,
                                            client_thread, &clients[i]),
                             0);
        }
        /* QEMU may end at any moment, which has no other effect here. */
        if (round % 2 == 1) {
            session_end(world->session);
        }
        for (unsigned i = 0; i < N_CLIENTS; i++) {
            pthread_join(clients[i].thread, NULL);
        }
        json_decref(world_call(world, CONTROL_CMD_PROFILE_STOP, NULL));
        if (attached) {
            world_do(world, CONTROL_CMD_LOAD_REST, NULL);
            world_await(world, "all");
        }
        world_assert_equal(world);
        assert_int_equal(n_wrong, 0);
        session_end(world->session);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            guest_ram_is_right_whatever_is_sent_in_whatever_sequence),
    };

    if (!have_userfaultfd(0)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, worlds_remove_files);
}
