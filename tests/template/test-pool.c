/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pool's machines are shells that say what preheat loadvm would.
 */
#include "tests/util/support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "template/pool.h"
#include "util/clock.h"

#define PATIENCE_MS 60000

/* A machine whose guest runs when it is told to; its QEMU is the shell. */
#define WAITS                                                                  \
    "echo '{\"event\":\"placed\",\"kind\":\"socket\",\"saved\":\"/a\","        \
    "\"path\":\"/b\"}';"                                                       \
    "echo '{\"event\":\"waiting\",\"pid\":'$$'}';"                             \
    "read line <&3 || exit 0;"
#define RUNS                                                                   \
    "echo '{\"event\":\"resumed\",\"pid\":'$$',\"after-ms\":1.5}';"            \
    "exec sleep 60"
#define FAILS "echo '{\"event\":\"failed\",\"error\":\"no such luck\"}'; exit 1"

typedef struct Taker {
    json_t *machine; /* what it got */
    char *refusal;
    bool has_gone; /* and the pool does not know it yet */
} Taker;

typedef struct Fixture {
    Pool *pool;
    char *argv[5]; /* of a machine */
    GPtrArray *said;
    Taker takers[3];
    GArray *pids;   /* of what was given */
    rlim_t max_fds; /* of machines; 0: ours */
} Fixture;

/* ---- no clock ticks here but this ---- */

static uint64_t now_us;

uint64_t __wrap_monotonic_us(void);

uint64_t __wrap_monotonic_us(void)
{
    return now_us;
}

/* ---- the pool's ---- */

static void say(void *opaque, const char *text)
{
    Fixture *fixture = opaque;

    g_ptr_array_add(fixture->said, g_strdup(text));
}

static bool give(void *opaque, void *taker, const json_t *machine)
{
    Fixture *fixture = opaque;
    Taker *self = taker;
    pid_t pid = (pid_t)json_integer_value(json_object_get(machine, "pid"));

    if (self->has_gone) {
        return false;
    }
    assert_null(self->machine);
    self->machine = json_deep_copy(machine);
    g_array_append_val(fixture->pids, pid);
    return true;
}

static void refuse(void *opaque, void *taker, const char *reason)
{
    Taker *self = taker;

    assert_null(self->refusal);
    self->refusal = g_strdup(reason);
}

/* The shell may use "$@" for what the pool adds. */
static void make_pool(Fixture *fixture, unsigned n_machines, const char *script,
                      char *const *sets)
{
    const PoolOptions options = {
        .n_machines = n_machines,
        .program = "/bin/sh",
        .argv = fixture->argv,
        .sets = sets,
        .max_fds = fixture->max_fds,
    };
    const PoolEvents events = {say, give, refuse, fixture};
    const char *const argv[] = {"sh", "-c", script, "sh", NULL};

    memcpy(fixture->argv, argv, sizeof argv);
    fixture->pool = pool_new(&options, &events);
    pool_attend(fixture->pool);
}

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);

    now_us = 1000;
    fixture->said = g_ptr_array_new_with_free_func(g_free);
    fixture->pids = g_array_new(FALSE, FALSE, sizeof(pid_t));
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;

    pool_free(fixture->pool);
    for (guint i = 0; i < fixture->pids->len; i++) {
        kill(g_array_index(fixture->pids, pid_t, i), SIGKILL);
    }
    /* All that the pool has left to others. */
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {
    }
    for (size_t i = 0; i < G_N_ELEMENTS(fixture->takers); i++) {
        json_decref(fixture->takers[i].machine);
        g_free(fixture->takers[i].refusal);
    }
    g_array_unref(fixture->pids);
    g_ptr_array_unref(fixture->said);
    g_free(fixture);
    return 0;
}

/* Until something has come from a machine. */
static void attend_once(Fixture *fixture)
{
    g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(struct pollfd));

    pool_add_fds(fixture->pool, fds);
    for (guint i = 0; i < fds->len; i++) {
        /* poll() would count those as well. */
        assert_true(g_array_index(fds, struct pollfd, i).fd >= 0);
    }
    assert_true(poll((struct pollfd *)fds->data, fds->len, PATIENCE_MS) > 0);
    pool_attend(fixture->pool);
}

static json_int_t number_of(const Fixture *fixture, const char *key)
{
    json_t *status = pool_status(fixture->pool);
    json_int_t number = json_integer_value(json_object_get(status, key));

    json_decref(status);
    return number;
}

static void attend_until(Fixture *fixture, const char *key, json_int_t number)
{
    while (number_of(fixture, key) != number) {
        attend_once(fixture);
    }
}

static void attend_until_given(Fixture *fixture, const Taker *taker)
{
    while (!taker->machine) {
        attend_once(fixture);
    }
}

/* Of those that are not taken, "1 2". */
static char *numbers(const Fixture *fixture)
{
    json_t *status = pool_status(fixture->pool);
    g_autoptr(GString) text = g_string_new(NULL);
    json_t *machine;
    size_t i;

    json_array_foreach(json_object_get(status, "machines"), i, machine)
    {
        g_string_append_printf(
            text, "%s%d", i > 0 ? " " : "",
            (int)json_integer_value(json_object_get(machine, "number")));
    }
    json_decref(status);
    return g_strdup(text->str);
}

/* Until no machine is left but those that somebody has. */
static void attend_until_gone(Fixture *fixture)
{
    g_autofree char *text = numbers(fixture);

    while (*text != '\0') {
        attend_once(fixture);
        g_free(text);
        text = numbers(fixture);
    }
}

/* Of those. */
static pid_t first_pid(const Fixture *fixture)
{
    json_t *status = pool_status(fixture->pool);
    json_t *machines = json_object_get(status, "machines");
    pid_t pid = (pid_t)json_integer_value(
        json_object_get(json_array_get(machines, 0), "pid"));

    json_decref(status);
    return pid;
}

static char *last_error(const Fixture *fixture)
{
    json_t *status = pool_status(fixture->pool);
    char *text =
        g_strdup(json_string_value(json_object_get(status, "last-error")));

    json_decref(status);
    return text;
}

static void end_machine(Fixture *fixture, guint i)
{
    kill(g_array_index(fixture->pids, pid_t, i), SIGKILL);
    g_array_remove_index(fixture->pids, i);
}

/* ---- the tests ---- */

static void who_takes_a_machine_is_told_what_it_has(void **state)
{
    Fixture *fixture = *state;
    Taker *taker = &fixture->takers[0];

    make_pool(fixture, 1, WAITS RUNS, NULL);
    attend_until(fixture, "waiting", 1);
    pool_take(fixture->pool, taker);
    assert_int_equal(number_of(fixture, "loading"), 1);
    attend_until_given(fixture, taker);
    json_t *expected =
        json_pack("{s:i, s:f, s:[{s:s, s:s, s:s}]}", "pid",
                  (int)g_array_index(fixture->pids, pid_t, 0), "after-ms", 1.5,
                  "placed", "kind", "socket", "saved", "/a", "path", "/b");
    assert_true(json_equal(taker->machine, expected));
    json_decref(expected);
    assert_int_equal(number_of(fixture, "taken"), 1);
}

static void the_oldest_is_taken_first(void **state)
{
    Fixture *fixture = *state;

    make_pool(fixture, 1, WAITS RUNS, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(fixture->takers); i++) {
        g_autofree char *expected = g_strdup_printf("%u", i + 1);

        attend_until(fixture, "waiting", 1);
        assert_owned_text(numbers(fixture), expected);
        pool_take(fixture->pool, &fixture->takers[i]);
        attend_until_given(fixture, &fixture->takers[i]);
    }
}

static void one_is_replaced_when_its_guest_runs_and_not_before(void **state)
{
    Fixture *fixture = *state;
    Taker *taker = &fixture->takers[0];
    char *directory = make_directory();
    g_autofree char *gate = g_build_filename(directory, "gate", NULL);
    g_autofree char *script =
        g_strdup_printf(WAITS "read line <'%s';" RUNS, gate);

    assert_int_equal(mkfifo(gate, 0600), 0);
    make_pool(fixture, 1, script, NULL);
    attend_until(fixture, "waiting", 1);
    pool_take(fixture->pool, taker);
    pool_attend(fixture->pool);
    assert_int_equal(number_of(fixture, "loading"), 1);
    assert_int_equal(number_of(fixture, "starting"), 0);
    int fd = open(gate, O_WRONLY);
    assert_int_equal(write(fd, "\n", 1), 1);
    attend_until_given(fixture, taker);
    close(fd);
    attend_until(fixture, "waiting", 1);
    assert_owned_text(numbers(fixture), "2");
    assert_int_equal(number_of(fixture, "failures"), 0);
    remove_directory(directory);
}

static void a_number_is_free_again_when_its_machine_has_ended(void **state)
{
    Fixture *fixture = *state;

    make_pool(fixture, 1, WAITS RUNS, NULL);
    pool_take(fixture->pool, &fixture->takers[0]);
    pool_take(fixture->pool, &fixture->takers[1]);
    attend_until_given(fixture, &fixture->takers[1]);
    attend_until(fixture, "waiting", 1);
    assert_owned_text(numbers(fixture), "3");
    end_machine(fixture, 0);
    attend_until(fixture, "taken", 1);
    pool_take(fixture->pool, &fixture->takers[2]);
    attend_until(fixture, "waiting", 1);
    attend_until_given(fixture, &fixture->takers[2]);
    attend_until(fixture, "waiting", 1);
    assert_owned_text(numbers(fixture), "1");
    assert_int_equal(number_of(fixture, "failures"), 0);
}

static void a_machine_gets_its_number_in_what_is_set(void **state)
{
    Fixture *fixture = *state;
    char *const sets[] = {(char *)"tap%N=tap%N", (char *)"22=2%N%N", NULL};

    make_pool(fixture, 1,
              "echo '{\"event\":\"failed\",\"error\":\"'\"$*\"'\"}'; exit 1",
              sets);
    attend_until(fixture, "failures", 1);
    assert_owned_text(last_error(fixture), "--json --start-fd 3 --set "
                                           "tap%N=tap1 --set 22=211");
}

static void
a_machine_has_the_limit_of_descriptors_that_is_asked_for(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *limits = NULL;
    struct rlimit before, after;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    fixture->max_fds = before.rlim_cur - 1;
    limits = g_strdup_printf("%lu %lu", (unsigned long)before.rlim_cur - 1,
                             (unsigned long)before.rlim_max);
    make_pool(fixture, 1,
              "echo '{\"event\":\"failed\",\"error\":\"'"
              "$(prlimit --nofile --raw --noheadings -o SOFT,HARD --pid $$)"
              "'\"}'; exit 1",
              NULL);
    attend_until(fixture, "failures", 1);
    assert_owned_text(last_error(fixture), limits);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
    assert_int_equal(after.rlim_cur, before.rlim_cur);
}

static void it_ends_with_the_pool_unless_somebody_has_it(void **state)
{
    Fixture *fixture = *state;
    int wait_status;

    make_pool(fixture, 1, WAITS RUNS, NULL);
    pool_take(fixture->pool, &fixture->takers[0]);
    attend_until_given(fixture, &fixture->takers[0]);
    attend_until(fixture, "waiting", 1);
    pid_t pid = first_pid(fixture);
    g_clear_pointer(&fixture->pool, pool_free);
    assert_int_equal(waitpid(pid, &wait_status, 0), pid);
    assert_int_equal(wait_status, 0);
    assert_int_equal(kill(g_array_index(fixture->pids, pid_t, 0), 0), 0);
}

static void one_that_is_being_loaded_ends_with_the_pool(void **state)
{
    Fixture *fixture = *state;
    int wait_status;

    make_pool(fixture, 1, WAITS "exec sleep 60", NULL);
    attend_until(fixture, "waiting", 1);
    pool_take(fixture->pool, &fixture->takers[0]);
    pid_t pid = first_pid(fixture);
    g_clear_pointer(&fixture->pool, pool_free);
    assert_int_equal(waitpid(pid, &wait_status, 0), pid);
    assert_int_equal(wait_status, SIGTERM);
}

/* As a parent may leave it to us. */
static void where_ends_of_children_were_ignored_they_are_seen(void **state)
{
    Fixture *fixture = *state;

    signal(SIGCHLD, SIG_IGN);
    make_pool(fixture, 1, FAILS, NULL);
    attend_until(fixture, "failures", 1);
}

static void a_load_that_fails_is_its_takers_error(void **state)
{
    Fixture *fixture = *state;

    make_pool(fixture, 1, WAITS FAILS, NULL);
    pool_take(fixture->pool, &fixture->takers[0]);
    attend_until(fixture, "failures", 1);
    assert_string_equal(fixture->takers[0].refusal, "no such luck");
    /* The next one need not know. */
    pool_take(fixture->pool, &fixture->takers[1]);
    assert_null(fixture->takers[1].refusal);
}

static void who_has_gone_gives_the_turn_to_the_next(void **state)
{
    Fixture *fixture = *state;

    make_pool(fixture, 1, WAITS RUNS, NULL);
    pool_take(fixture->pool, &fixture->takers[0]);
    pool_take(fixture->pool, &fixture->takers[1]);
    pool_forget(fixture->pool, &fixture->takers[0]);
    attend_until_given(fixture, &fixture->takers[1]);
    assert_int_equal(fixture->pids->len, 1);
    assert_null(fixture->takers[0].machine);
}

static void what_was_loaded_for_one_that_has_gone_is_the_nexts(void **state)
{
    Fixture *fixture = *state;

    make_pool(fixture, 1, WAITS RUNS, NULL);
    attend_until(fixture, "waiting", 1);
    pool_take(fixture->pool, &fixture->takers[0]);
    pool_take(fixture->pool, &fixture->takers[1]);
    assert_int_equal(number_of(fixture, "loading"), 1);
    pool_forget(fixture->pool, &fixture->takers[0]);
    attend_until_given(fixture, &fixture->takers[1]);
    assert_int_equal(fixture->pids->len, 1);
    /* It was not ended. */
    assert_int_equal(fixture->said->len, 0);
}

static void who_is_found_to_have_gone_gives_the_turn_as_well(void **state)
{
    Fixture *fixture = *state;

    make_pool(fixture, 1, WAITS RUNS, NULL);
    attend_until(fixture, "waiting", 1);
    for (size_t i = 0; i < G_N_ELEMENTS(fixture->takers); i++) {
        pool_take(fixture->pool, &fixture->takers[i]);
    }
    fixture->takers[0].has_gone = true;
    fixture->takers[1].has_gone = true;
    attend_until_given(fixture, &fixture->takers[2]);
    assert_int_equal(fixture->said->len, 0);
}

static void what_nobody_wants_any_more_is_ended(void **state)
{
    Fixture *fixture = *state;

    make_pool(fixture, 1, WAITS RUNS, NULL);
    attend_until(fixture, "waiting", 1);
    pool_take(fixture->pool, &fixture->takers[0]);
    pool_forget(fixture->pool, &fixture->takers[0]);
    attend_until(fixture, "taken", 1);
    attend_until(fixture, "taken", 0);
    assert_non_null(strstr(fixture->said->pdata[0], "has gone"));
    assert_int_equal(number_of(fixture, "failures"), 0);
}

/* With each failure the pause is twice as long. */
static void one_that_fails_is_tried_again_later_and_later(void **state)
{
    static const unsigned pauses_s[] = {1, 2, 4, 8, 16, 32, 60, 60};
    Fixture *fixture = *state;

    make_pool(fixture, 1, FAILS, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(pauses_s); i++) {
        attend_until(fixture, "failures", (json_int_t)i + 1);
        now_us += pauses_s[i] * UINT64_C(1000000) - 1;
        assert_int_equal(pool_timeout_ms(fixture->pool), 1);
        pool_attend(fixture->pool);
        assert_int_equal(number_of(fixture, "starting"), 0);
        now_us++;
        assert_int_equal(pool_timeout_ms(fixture->pool), 0);
        pool_attend(fixture->pool);
        assert_int_equal(number_of(fixture, "starting"), 1);
    }
    assert_int_equal(fixture->said->len, 1);
    assert_non_null(strstr(fixture->said->pdata[0], "no such luck"));
}

static void two_that_fail_at_once_are_one_failure_to_the_pause(void **state)
{
    Fixture *fixture = *state;

    if (g_get_num_processors() < 2) {
        skip(); /* the second is started after the first */
    }
    make_pool(fixture, 2, FAILS, NULL);
    attend_until(fixture, "failures", 2);
    assert_int_equal(pool_timeout_ms(fixture->pool), 1001);
}

static void one_that_ends_while_it_waits_is_told_and_replaced(void **state)
{
    Fixture *fixture = *state;

    make_pool(fixture, 1, WAITS RUNS, NULL);
    attend_until(fixture, "waiting", 1);
    kill(first_pid(fixture), SIGKILL);
    attend_until(fixture, "failures", 1);
    assert_non_null(strstr(fixture->said->pdata[0], "by a signal (Killed)"));
    now_us += 1000000;
    pool_attend(fixture->pool);
    attend_until(fixture, "waiting", 1);
    assert_owned_text(numbers(fixture), "1");
}

/* Reads what it writes when it runs. */
static void await_byte(int fd)
{
    struct pollfd event = {.fd = fd, .events = POLLIN};
    char byte;

    assert_int_equal(poll(&event, 1, PATIENCE_MS), 1);
    assert_int_equal(read(fd, &byte, 1), 1);
}

/* Whoever had it open for writing has ended. */
static void await_end(int fd)
{
    struct pollfd event = {.fd = fd, .events = POLLIN};

    assert_int_equal(poll(&event, 1, PATIENCE_MS), 1);
    assert_true(event.revents & POLLHUP);
}

static void
one_that_is_not_ready_in_time_is_killed_with_its_qemu_and_replaced(void **state)
{
    Fixture *fixture = *state;
    char *directory = make_directory();
    g_autofree char *fifo = g_build_filename(directory, "fifo", NULL);
    /* Hangs, the first time. */
    g_autofree char *script =
        g_strdup_printf("test -p '%s' || exit 1; trap '' TERM; exec 4>'%s';"
                        "rm '%s'; sh -c 'echo >&4; exec sleep 1000'; exit 0",
                        fifo, fifo, fifo);

    assert_int_equal(mkfifo(fifo, 0600), 0);
    int fd = open(fifo, O_RDONLY | O_NONBLOCK);
    make_pool(fixture, 1, script, NULL);
    await_byte(fd);
    now_us += POOL_START_LIMIT_S * UINT64_C(1000000) - 1;
    assert_int_equal(pool_timeout_ms(fixture->pool), 1);
    pool_attend(fixture->pool);
    assert_int_equal(fixture->said->len, 0);
    now_us++;
    assert_int_equal(pool_timeout_ms(fixture->pool), 0);
    pool_attend(fixture->pool);
    assert_non_null(strstr(fixture->said->pdata[0], "not ready within"));
    await_end(fd);
    attend_until_gone(fixture);
    assert_int_equal(number_of(fixture, "failures"), 1);
    assert_int_equal(pool_timeout_ms(fixture->pool), 1001);
    now_us += 1000000;
    pool_attend(fixture->pool);
    attend_until(fixture, "failures", 2);
    close(fd);
    remove_directory(directory);
}

static void one_that_waits_may_do_so_for_ever(void **state)
{
    Fixture *fixture = *state;

    make_pool(fixture, 1, WAITS RUNS, NULL);
    attend_until(fixture, "waiting", 1);
    now_us += 10 * POOL_START_LIMIT_S * UINT64_C(1000000);
    assert_int_equal(pool_timeout_ms(fixture->pool), -1);
    pool_attend(fixture->pool);
    assert_int_equal(number_of(fixture, "waiting"), 1);
}

static void a_program_that_is_not_there_is_a_failure(void **state)
{
    Fixture *fixture = *state;
    char *const argv[] = {(char *)"preheat", NULL};
    const PoolOptions options = {
        .n_machines = 3, .program = "/nowhere/preheat", .argv = argv};
    const PoolEvents events = {say, give, refuse, fixture};

    fixture->pool = pool_new(&options, &events);
    pool_attend(fixture->pool);
    assert_int_equal(number_of(fixture, "failures"), 1);
    assert_non_null(strstr(fixture->said->pdata[0], "No such file"));
    assert_int_equal(pool_timeout_ms(fixture->pool), 1001);
}

static void what_is_no_event_is_passed_over(void **state)
{
    Fixture *fixture = *state;

    make_pool(fixture, 1,
              "echo noise; echo '[]'; echo '{}'; echo '{\"event\":7}';"
              "head -c 300000 /dev/zero | tr '\\0' x; echo;" WAITS RUNS,
              NULL);
    attend_until(fixture, "waiting", 1);
}

static unsigned n_open(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    unsigned n = 0;

    while (g_dir_read_name(dir)) {
        n++;
    }
    return n;
}

static void
machines_that_have_ended_leave_no_descriptor_and_no_zombie(void **state)
{
    Fixture *fixture = *state;
    unsigned before = n_open();

    make_pool(fixture, 1, WAITS FAILS, NULL);
    for (int i = 1; i <= 5; i++) {
        Taker taker = {0};

        pool_take(fixture->pool, &taker);
        attend_until(fixture, "failures", i);
        g_free(taker.refusal);
        assert_int_equal(n_open(), before);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
        now_us += 60000000;
        pool_attend(fixture->pool);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_takes_a_machine_is_told_what_it_has),
        TEST(the_oldest_is_taken_first),
        TEST(one_is_replaced_when_its_guest_runs_and_not_before),
        TEST(a_number_is_free_again_when_its_machine_has_ended),
        TEST(a_machine_gets_its_number_in_what_is_set),
        TEST(a_machine_has_the_limit_of_descriptors_that_is_asked_for),
        TEST(it_ends_with_the_pool_unless_somebody_has_it),
        TEST(one_that_is_being_loaded_ends_with_the_pool),
        TEST(where_ends_of_children_were_ignored_they_are_seen),
        TEST(a_load_that_fails_is_its_takers_error),
        TEST(who_has_gone_gives_the_turn_to_the_next),
        TEST(what_was_loaded_for_one_that_has_gone_is_the_nexts),
        TEST(who_is_found_to_have_gone_gives_the_turn_as_well),
        TEST(what_nobody_wants_any_more_is_ended),
        TEST(one_that_fails_is_tried_again_later_and_later),
        TEST(two_that_fail_at_once_are_one_failure_to_the_pause),
        TEST(one_that_ends_while_it_waits_is_told_and_replaced),
        TEST(
            one_that_is_not_ready_in_time_is_killed_with_its_qemu_and_replaced),
        TEST(one_that_waits_may_do_so_for_ever),
        TEST(a_program_that_is_not_there_is_a_failure),
        TEST(what_is_no_event_is_passed_over),
        TEST(machines_that_have_ended_leave_no_descriptor_and_no_zombie),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
