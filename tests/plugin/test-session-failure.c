/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A load whose snapshot becomes shorter on the way.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "formats/control-protocol.h"
#include "tests/plugin/session-world.h"
#include "util/clock.h"

static void assert_read_error(const World *world, WorldBlock block,
                              uint64_t page, bool waited_for)
{
    json_t *data =
        line_client_read_event(world->events, CONTROL_EVENT_READ_ERROR);

    assert_string_equal(text_in(data, "file"), world->path);
    assert_int_equal(number_in(data, "offset"),
                     world->snapshot->blocks[block].pages_off_bytes +
                         page * WORLD_PAGE_BYTES);
    assert_string_equal(text_in(data, "operation"), "reading");
    assert_true(strlen(text_in(data, "error")) > 0);
    assert_int_equal(json_is_true(json_object_get(data, "waited-for")),
                     waited_for);
    json_decref(data);
    world_assert_state(world, CONTROL_CMD_QUERY, "failed");
}

/* "retry" says that so many pages are missing after it. */
static void retry(const World *world, json_int_t n_missing)
{
    json_t *answer = world_call(world, CONTROL_CMD_RETRY, NULL);

    assert_int_equal(json_object_size(answer), 1);
    assert_int_equal(number_in(answer, "missing-pages"), n_missing);
    json_decref(answer);
}

/* Who waited for a page is woken before the failure counts as mended. */
static void await_loading(const World *world)
{
    bool loading = false;

    while (!loading) {
        json_t *answer = world_call(world, CONTROL_CMD_QUERY, NULL);

        loading = strcmp(text_in(answer, "state"), "loading") == 0;
        json_decref(answer);
    }
}

static void *touch_page_5(void *opaque)
{
    return GINT_TO_POINTER(world_page_is_right(opaque, WORLD_RAM, 5));
}

static void
who_needs_a_page_that_cannot_be_read_waits_until_it_can(void **state)
{
    World *world = world_new();
    pthread_t thread;
    void *right = NULL;

    world_load(world, "demand");
    world_attach(world);
    world_break_reads(world, WORLD_RAM, 5, 1);
    world_touch(world, WORLD_RAM, 1);
    pthread_create(&thread, NULL, touch_page_5, world);
    assert_read_error(world, WORLD_RAM, 5, true);
    world_touch(world, WORLD_RAM, 0);
    assert_int_not_equal(pthread_tryjoin_np(thread, NULL), 0);

    world_mend_reads();
    retry(world, 0);
    pthread_join(thread, &right);
    assert_true(GPOINTER_TO_INT(right));
    await_loading(world);
    world_assert_equal(world);
}

static void a_load_that_failed_is_completed_by_a_retry(void **state)
{
    World *world = world_new();

    world_load(world, "sequential");
    world_break_reads(world, WORLD_VRAM, 10, 1);
    world_attach(world);
    assert_read_error(world, WORLD_VRAM, 10, false);
    for (unsigned i = 0; i < 3; i++) {
        retry(world, 1);
        assert_read_error(world, WORLD_VRAM, 10, false);
    }
    world_mend_reads();
    retry(world, 0);
    world_assert_loads(world);
}

static void
a_snapshot_that_is_cut_while_it_is_loaded_fails_for_good(void **state)
{
    World *world = world_new();

    world_load(world, "sequential");
    world_cut_file(world, WORLD_VRAM, 10);
    world_attach(world);
    json_t *data =
        line_client_read_event(world->events, CONTROL_EVENT_READ_ERROR);
    assert_string_equal(text_in(data, "file"), world->path);
    assert_string_equal(text_in(data, "operation"), "checking");
    assert_non_null(strstr(text_in(data, "error"), world->path));
    json_decref(data);
    world_refuse(world, CONTROL_CMD_RETRY, NULL, world->path);
    world_assert_state(world, CONTROL_CMD_QUERY, "failed");
    world_refuse(world, CONTROL_CMD_WAIT,
                 json_pack("{s:s}", CONTROL_KEY_FOR, "all"), world->path);
}

static void
a_snapshot_that_is_written_while_it_is_loaded_is_never_loaded(void **state)
{
    World *world = world_new();

    world_load(world, "demand");
    world_attach(world);
    world_touch(world, WORLD_RAM, 0);
    assert_int_equal(pwrite(world->fd, "", 1, 0), 1);
    world_do(world, CONTROL_CMD_LOAD_REST, NULL);
    json_t *data =
        line_client_read_event(world->events, CONTROL_EVENT_READ_ERROR);
    assert_string_equal(text_in(data, "operation"), "checking");
    json_decref(data);
    world_assert_state(world, CONTROL_CMD_QUERY, "failed");
}

static void
nothing_that_is_written_to_a_snapshot_meanwhile_reaches_the_guest(void **state)
{
    World *world = world_new();

    world_load(world, "demand");
    world_attach(world);
    world_touch(world, WORLD_RAM, 0);
    assert_int_equal(pwrite(world->fd, "", 1, 0), 1);
    world_do(world, CONTROL_CMD_LOAD_REST, NULL);
    json_decref(
        line_client_read_event(world->events, CONTROL_EVENT_READ_ERROR));
    json_t *stats = world_call(world, CONTROL_CMD_QUERY, NULL);
    const json_t *pages = json_object_get(stats, "pages");
    assert_int_equal(number_in(pages, "by-fault"), 1);
    assert_int_equal(number_in(pages, "by-rest"), 0);
    json_decref(stats);
}

static json_t *device_state_arguments(void)
{
    return json_pack("{s:s, s:I}", CONTROL_KEY_NAME,
                     milestone_name(MILESTONE_DEVICE_STATE),
                     CONTROL_KEY_TIME_US, (json_int_t)monotonic_us());
}

static void a_qemu_that_writes_zeroes_to_ram_is_noticed(void **state)
{
    World *world = world_new();

    world_load(world, "demand");
    world_attach(world);
    world_do(world, CONTROL_CMD_MILESTONE, device_state_arguments());
    memset(world->memory[WORLD_RAM], 0,
           world->snapshot->blocks[WORLD_RAM].len_bytes);
    world_refuse(world, CONTROL_CMD_MILESTONE, device_state_arguments(),
                 "--policy full");
}

static void a_snapshot_cut_meanwhile_cannot_be_verified(void **state)
{
    World *world = world_new();
    json_t *arguments = world_verify_arguments(world);

    world_fill(world);
    world_cut_file(world, WORLD_VRAM, 10);
    world_refuse(world, CONTROL_CMD_VERIFY, arguments, world->path);
}

/* In a child process, in which a load has begun: run ends it. */
static void assert_ends(void (*run)(World *world))
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        World *world = world_new();

        world_load(world, "demand");
        world_attach(world);
        run(world);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void lose_launcher(World *world)
{
    worlds_remove_files(NULL);
    session_launcher_gone(world->session);
}

static void qemu_ends_when_its_launcher_goes_before_the_guest_runs(void **state)
{
    assert_ends(lose_launcher);
}

static void *touch_page_0(void *opaque)
{
    return GINT_TO_POINTER(world_page_is_right(opaque, WORLD_VRAM, 0));
}

/* Somebody waits for a page that never comes. */
static void quit(World *world)
{
    pthread_t thread;

    world_cut_file(world, WORLD_VRAM, 0);
    pthread_create(&thread, NULL, touch_page_0, world);
    json_decref(
        line_client_read_event(world->events, CONTROL_EVENT_READ_ERROR));
    worlds_remove_files(NULL);
    world_do(world, CONTROL_CMD_QUIT, NULL);
}

static void qemu_ends_when_told_to_though_it_waits_for_a_page(void **state)
{
    assert_ends(quit);
}

static void tell_milestone(const World *world, const char *name)
{
    world_do(world, CONTROL_CMD_MILESTONE,
             json_pack("{s:s, s:i}", "name", name, "time-us", 1));
}

static void memory_that_qemu_has_written_to_is_noticed(void **state)
{
    World *world = world_new();

    world_load(world, "demand");
    world_attach(world);
    world_touch(world, WORLD_RAM, 5);
    tell_milestone(world, "device-state");
    memset(world_page(world, WORLD_RAM, 5), 0, WORLD_PAGE_BYTES);
    world_refuse(world, CONTROL_CMD_MILESTONE,
                 json_pack("{s:s, s:i}", "name", "device-state", "time-us", 1),
                 "pc.ram");
}

static void a_load_that_was_handed_over_goes_on_alone(void **state)
{
    static const char *const milestones[] = {"resumed", "paused"};

    for (size_t i = 0; i < G_N_ELEMENTS(milestones); i++) {
        World *world = world_new();

        world_load(world, "demand");
        world_attach(world);
        tell_milestone(world, milestones[i]);
        session_launcher_gone(world->session);
        world_do(world, CONTROL_CMD_LOAD_REST, NULL);
        world_assert_loads(world);
    }
}

/* ---- a QEMU that somebody else has started ---- */

static World *world_without_launcher(void)
{
    World *world = world_new();

    session_without_launcher(world->session);
    return world;
}

/* Our end of the launcher's connection; NULL where that is refused. */
static LineClient *try_to_adopt(const World *world)
{
    g_autoptr(GError) error = NULL;
    int fd;
    LineClient *launcher = line_client_new_pair(&fd);
    json_t *answer = world_call_with_fd(world, CONTROL_CMD_ADOPT, json_object(),
                                        CONTROL_KEY_CONTROL, fd, &error);

    close(fd);
    if (!answer) {
        line_client_free(launcher);
        return NULL;
    }
    json_decref(answer);
    json_decref(line_client_read(launcher));
    return launcher;
}

static LineClient *adopt(const World *world)
{
    LineClient *launcher = try_to_adopt(world);

    assert_non_null(launcher);
    return launcher;
}

static void lose_who_adopted(World *world)
{
    world = world_without_launcher();
    LineClient *launcher = adopt(world);

    world_load(world, "demand");
    world_attach(world);
    worlds_remove_files(NULL);
    line_client_free(launcher);
    pause();
}

static void qemu_ends_when_who_adopted_it_goes_too_early(void **state)
{
    assert_ends(lose_who_adopted);
}

static void a_qemu_that_was_adopted_in_vain_is_what_it_was(void **state)
{
    World *world = world_without_launcher();
    LineClient *launcher = adopt(world);

    line_client_free(launcher);
    do {
        launcher = try_to_adopt(world);
    } while (!launcher);
    world_load(world, "demand");
    world_attach(world);
    tell_milestone(world, "resumed");
    line_client_free(launcher);
    world_do(world, CONTROL_CMD_LOAD_REST, NULL);
    world_assert_loads(world);
}

static void a_qemu_has_one_launcher_at_a_time(void **state)
{
    World *started = world_new();
    World *found = world_without_launcher();
    LineClient *launcher = adopt(found);

    assert_null(try_to_adopt(started));
    assert_null(try_to_adopt(found));
    world_refuse(found, CONTROL_CMD_ADOPT, NULL, "descriptor \"control\"");
    line_client_free(launcher);
}

static void a_qemu_that_loads_is_not_adopted(void **state)
{
    World *world = world_without_launcher();

    world_load(world, "demand");
    assert_null(try_to_adopt(world));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* They fork, so they come before any thread. */
        cmocka_unit_test(
            qemu_ends_when_its_launcher_goes_before_the_guest_runs),
        cmocka_unit_test(qemu_ends_when_told_to_though_it_waits_for_a_page),
        cmocka_unit_test(qemu_ends_when_who_adopted_it_goes_too_early),
        cmocka_unit_test(
            who_needs_a_page_that_cannot_be_read_waits_until_it_can),
        cmocka_unit_test(a_load_that_failed_is_completed_by_a_retry),
        cmocka_unit_test(memory_that_qemu_has_written_to_is_noticed),
        cmocka_unit_test(a_load_that_was_handed_over_goes_on_alone),
        cmocka_unit_test(a_qemu_that_was_adopted_in_vain_is_what_it_was),
        cmocka_unit_test(a_qemu_has_one_launcher_at_a_time),
        cmocka_unit_test(a_qemu_that_loads_is_not_adopted),
        cmocka_unit_test(
            a_snapshot_that_is_cut_while_it_is_loaded_fails_for_good),
        cmocka_unit_test(
            a_snapshot_that_is_written_while_it_is_loaded_is_never_loaded),
        cmocka_unit_test(
            nothing_that_is_written_to_a_snapshot_meanwhile_reaches_the_guest),
        cmocka_unit_test(a_qemu_that_writes_zeroes_to_ram_is_noticed),
        cmocka_unit_test(a_snapshot_cut_meanwhile_cannot_be_verified),
    };

    if (!have_userfaultfd(0)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, worlds_remove_files);
}
