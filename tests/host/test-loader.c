/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The whole sequence of a load against a program that takes QEMU's place;
 * $FAKE_QEMU_PROGRAM is its path.
 */
#include "tests/util/support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "formats/run-state.h"
#include "host/loader.h"
#include "tests/formats/image.h"

typedef struct Fixture {
    char *directory;
    char *snapshot;
    char *log_path;
    char *log; /* after a load */
    char *argv[3];
    LoadOptions options;
    sigset_t mask;
} Fixture;

/* Tests are one at a time, and in one thread. */
static GString *said;

static void say(const char *text)
{
    g_string_append_printf(said, "%s\n", text);
}

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    const Image image = image_small();

    fixture->directory = make_directory();
    fixture->snapshot = g_build_filename(fixture->directory, "vm.snap", NULL);
    fixture->log_path = g_build_filename(fixture->directory, "log", NULL);
    image_save(&image, fixture->snapshot);
    fixture->argv[0] = g_strdup(g_getenv("FAKE_QEMU_PROGRAM"));
    fixture->options = (LoadOptions){
        .given_snapshot = fixture->snapshot,
        .snapshot = fixture->snapshot,
        .policy = LOAD_POLICY_SEQUENTIAL,
        .plugin = "/plugin.so",
        .qemu_argv = fixture->argv,
        .say = say,
    };
    pthread_sigmask(SIG_SETMASK, NULL, &fixture->mask);
    said = g_string_new(NULL);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;

    pthread_sigmask(SIG_SETMASK, &fixture->mask, NULL);
    g_string_free(said, TRUE);
    g_free(fixture->log);
    g_free(fixture->log_path);
    g_free(fixture->snapshot);
    g_free(fixture->argv[0]);
    remove_directory(fixture->directory);
    g_free(fixture);
    return 0;
}

static bool load(Fixture *fixture, const char *behaviour, int *ret_status,
                 GError **error)
{
    bool ok;

    g_setenv("FAKE_QEMU", behaviour, TRUE);
    g_setenv("FAKE_QEMU_LOG", fixture->log_path, TRUE);
    g_clear_pointer(&fixture->log, g_free);
    ok = loader_run(&fixture->options, ret_status, error);
    assert_true(
        g_file_get_contents(fixture->log_path, &fixture->log, NULL, NULL));
    return ok;
}

static int load_well(Fixture *fixture, const char *behaviour)
{
    GError *error = NULL;
    int status = -1;

    load(fixture, behaviour, &status, &error);
    assert_no_error(error);
    return status;
}

static void load_badly(Fixture *fixture, const char *behaviour, UtilError code,
                       const char *text)
{
    GError *error = NULL;
    int status;

    assert_false(load(fixture, behaviour, &status, &error));
    assert_util_error(error, code, text);
}

static bool was_told(const Fixture *fixture, const char *what)
{
    return strstr(fixture->log, what) != NULL;
}

static void assert_told(const Fixture *fixture, const char *what)
{
    if (!was_told(fixture, what)) {
        fail_msg("not told \"%s\", but:\n%s", what, fixture->log);
    }
}

/* That one was told after the other. */
static void assert_sequence(const Fixture *fixture, const char *one,
                            const char *other)
{
    assert_told(fixture, one);
    assert_told(fixture, other);
    assert_true(strstr(fixture->log, one) < strstr(fixture->log, other));
}

static void the_guest_is_resumed_when_the_device_state_is_loaded(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(load_well(fixture, "ends-with-7"), 7);
    assert_sequence(fixture, "control load", "control attach");
    assert_sequence(fixture, "control attach", "qmp migrate-incoming");
    assert_told(fixture, "incoming whole");
    assert_sequence(fixture, "qmp migrate-incoming", "qmp cont");
    assert_sequence(fixture, "\"qemu-ready\"", "\"resumed\"");
    assert_string_equal(said->str, "");
}

/* Else nobody could have QEMU migrate through a socket, say. */
static void qemu_migrates_in_its_own_way_again_before_it_resumes(void **state)
{
    static const struct {
        const char *while_loading;
        const char *after;
    } settings[] = {
        {"\"mapped-ram\", \"state\": true", "\"mapped-ram\", \"state\": false"},
        {"\"events\", \"state\": true", "\"events\", \"state\": false"},
        {"\"postcopy-ram\", \"state\": false",
         "\"postcopy-ram\", \"state\": true"},
    };
    Fixture *fixture = *state;

    load_well(fixture, "");
    for (size_t i = 0; i < G_N_ELEMENTS(settings); i++) {
        assert_sequence(fixture, settings[i].while_loading,
                        "qmp migrate-incoming");
        assert_sequence(fixture, "qmp migrate-incoming", settings[i].after);
        assert_sequence(fixture, settings[i].after, "qmp cont");
    }
}

static void the_plugin_is_told_what_was_asked_for(void **state)
{
    Fixture *fixture = *state;

    fixture->options.policy = LOAD_POLICY_ORDER;
    fixture->options.order = "/vm.order";
    fixture->options.record = "/new.order";
    fixture->options.record_ms = 2500;
    fixture->options.stats = "/stats.json";
    fixture->options.start_us = 77;
    load_well(fixture, "");
    assert_told(fixture, "control load {\"descriptors\": [\"snapshot\"], "
                         "\"max-ram\": 68719476736, "
                         "\"offset\": 0, \"order\": \"/vm.order\", "
                         "\"policy\": \"order\", \"record\": \"/new.order\", "
                         "\"record-for\": 2500, \"snapshot\": \"/");
    assert_told(fixture, "\"start-us\": 77, \"stats\": \"/stats.json\"}");
    assert_told(fixture, "\"vcpu-threads\": [11, 12]");
}

/* By the comparison with the manifest, here one of another snapshot, and by
 * what tells the plugin of the vCPUs. */
static void what_two_want_to_know_of_qemu_is_asked_once(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(Manifest) manifest = manifest_new();

    manifest->identity = g_strdup("another");
    fixture->options.manifest = manifest;
    load_well(fixture, "");
    const char *asked = strstr(fixture->log, "qmp query-cpus-fast");
    assert_non_null(asked);
    assert_null(strstr(asked + 1, "qmp query-cpus-fast"));
    assert_told(fixture, "\"vcpu-threads\": [11, 12]");
}

static uintmax_t inode(const char *path)
{
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    return status.st_ino;
}

static void the_plugin_gets_the_files_that_preheat_opened(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *order =
        g_build_filename(fixture->directory, "vm.order", NULL);
    g_autofree char *first =
        g_strdup_printf("descriptor 0 is %ju\n", inode(fixture->snapshot));
    g_autofree char *second = NULL;

    assert_true(g_file_set_contents(order, "hint", -1, NULL));
    second = g_strdup_printf("descriptor 1 is %ju\n", inode(order));
    fixture->options.policy = LOAD_POLICY_ORDER;
    fixture->options.order = order;
    load_well(fixture, "");
    assert_told(fixture, "\"descriptors\": [\"snapshot\", \"order\"]");
    assert_told(fixture, first);
    assert_told(fixture, second);
}

static void a_guest_asked_to_stay_paused_is_not_resumed(void **state)
{
    Fixture *fixture = *state;
    char *argv[] = {fixture->argv[0], (char *)"-S", (char *)"-paused", NULL};

    fixture->options.qemu_argv = argv;
    assert_int_equal(load_well(fixture, ""), 0);
    assert_told(fixture, "incoming whole");
    assert_told(fixture, "control query-preheat");
    assert_false(was_told(fixture, "qmp cont"));
    assert_false(was_told(fixture, "qmp stop"));
}

static void the_guest_waits_for_the_pages_it_is_to_wait_for(void **state)
{
    Fixture *fixture = *state;

    fixture->options.wait = LOAD_WAIT_ALL;
    load_well(fixture, "");
    assert_sequence(fixture, "control wait {\"for\": \"all\"}", "qmp cont");
}

static void with_policy_full_qemu_loads_the_snapshot_itself(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *whole =
        g_strdup_printf("incoming is %ju", inode(fixture->snapshot));

    fixture->options.policy = LOAD_POLICY_FULL;
    load_well(fixture, "full");
    assert_told(fixture, whole);
    assert_false(was_told(fixture, "control attach"));
    assert_sequence(fixture, "\"loaded\"", "\"resumed\"");
}

static void a_qemu_that_ends_at_once_passes_its_status_on(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(load_well(fixture, "ends-at-once"), 3);
    assert_non_null(strstr(said->str, "before its monitor answered"));
    assert_non_null(strstr(said->str, "--plugin-api"));
}

static void a_signal_that_ends_qemu_is_not_laid_on_the_plugin(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(load_well(fixture, "is-ended"), 128 + SIGINT);
    assert_non_null(strstr(said->str, "ended by a signal (Interrupt)"));
    assert_null(strstr(said->str, "plugin"));
}

static void another_machine_is_refused_before_anything_is_lost(void **state)
{
    Fixture *fixture = *state;

    load_badly(fixture, "other-ram", UTIL_ERROR_FAILED,
               "RAM block pc.ram is 1 KiB in the snapshot but 2 MiB");
    assert_false(was_told(fixture, "control attach"));
    assert_told(fixture, "qmp quit");
}

static void ram_that_the_plugin_refuses_is_not_loaded(void **state)
{
    Fixture *fixture = *state;

    load_badly(fixture, "no-attach", UTIL_ERROR_REFUSED, "an ordinary file");
    assert_false(was_told(fixture, "migrate-incoming"));
    assert_told(fixture, "qmp quit");
}

static void a_device_state_that_fails_is_told_with_qemus_reason(void **state)
{
    Fixture *fixture = *state;

    load_badly(fixture, "bad-device-state", UTIL_ERROR_FAILED,
               "load of the clock failed");
    assert_false(was_told(fixture, "qmp cont"));
}

static void a_file_that_is_no_snapshot_ends_qemu(void **state)
{
    Fixture *fixture = *state;
    GError *error = NULL;
    int status;

    assert_true(g_file_set_contents(fixture->snapshot, "text", 4, NULL));
    g_setenv("FAKE_QEMU", "other-ram", TRUE);
    g_setenv("FAKE_QEMU_LOG", fixture->log_path, TRUE);
    assert_false(loader_run(&fixture->options, &status, &error));
    assert_non_null(strstr(error->message, fixture->snapshot));
    g_error_free(error);
}

/* … of which no bitmap is read: with those it would be refused otherwise. */
static void
a_snapshot_of_a_larger_machine_is_refused_by_its_headers(void **state)
{
    Fixture *fixture = *state;
    int fd = image_write_claiming((UINT64_C(4) << 40) / 4096);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    GError *error = NULL;
    int status;

    fixture->options.snapshot = path;
    fixture->options.given_snapshot = path;
    assert_false(load(fixture, "is-larger", &status, &error));
    assert_non_null(strstr(error->message, "it has 4 TiB of RAM, the machine "
                                           "has"));
    assert_told(fixture, "qmp quit");
    g_error_free(error);
    close(fd);
}

/* The plugin is first told the limit for a machine that is not known yet. */
static void a_large_snapshot_is_loaded_once_its_machine_is_known(void **state)
{
    Fixture *fixture = *state;
    int fd = image_write_claiming((UINT64_C(65) << 30) / 4096);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);

    fixture->options.snapshot = path;
    fixture->options.given_snapshot = path;
    assert_int_equal(load_well(fixture, "large"), 0);
    assert_told(fixture, "\"max-ram\": 68719476736,");
    assert_told(fixture, "\"max-ram\": 69793219584,");
    assert_told(fixture, "qmp cont");
    close(fd);
}

static void with_policy_full_qemu_judges_what_we_do_not_understand(void **state)
{
    Fixture *fixture = *state;

    assert_true(g_file_set_contents(fixture->snapshot, "text", 4, NULL));
    fixture->options.policy = LOAD_POLICY_FULL;
    load_well(fixture, "full");
    assert_told(fixture, "incoming whole");
    assert_told(fixture, "qmp cont");
    assert_non_null(strstr(said->str, "QEMU itself will check it"));
}

static void an_order_that_cannot_be_used_is_warned_of(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(load_well(fixture, "bad-order"), 0);
    assert_non_null(strstr(said->str, "warning: vm.order is torn"));
}

static void assert_said(const char *text)
{
    if (!strstr(said->str, text)) {
        fail_msg("not said \"%s\", but:\n%s", text, said->str);
    }
}

/* ---- no name is looked up or parsed ---- */

static void qemu_gets_what_it_is_to_load_as_a_descriptor(void **state)
{
    Fixture *fixture = *state;

    load_well(fixture, "");
    assert_sequence(fixture, "qmp add-fd", "qmp migrate-incoming");
    assert_told(fixture, "qmp migrate-incoming {\"exit-on-error\": false, "
                         "\"uri\": \"file:/dev/fdset/5,offset=0\"}");
    assert_sequence(fixture, "qmp migrate-incoming",
                    "qmp remove-fd {\"fdset-id\": 5}");
    assert_sequence(fixture, "qmp remove-fd", "qmp cont");
}

/* ---- the state that the guest was in ---- */

/* Write it into the snapshot's device state as QEMU does. */
static void set_run_state(Fixture *fixture, const char *name)
{
    static const char head[] =
        "\x04\0\0\0\x01\x0bglobalstate\0\0\0\0\0\0\0\x01";
    uint8_t fields[RUN_STATE_ENCODED_BYTES + 68] = "";
    int fd = open(fixture->snapshot, O_WRONLY | O_APPEND);

    run_state_encode(name, fields);
    assert_int_equal(write(fd, head, sizeof(head) - 1), sizeof(head) - 1);
    assert_int_equal(write(fd, fields, sizeof(fields)), sizeof(fields));
    close(fd);
}

static void a_guest_that_was_saved_running_runs(void **state)
{
    Fixture *fixture = *state;

    set_run_state(fixture, "running");
    load_well(fixture, "");
    assert_told(fixture, "qmp cont");
    assert_string_equal(said->str, "");
}

static void a_guest_that_slept_goes_on_sleeping(void **state)
{
    Fixture *fixture = *state;

    set_run_state(fixture, "suspended");
    load_well(fixture, "");
    assert_told(fixture, "qmp cont");
}

static void a_guest_that_its_user_had_paused_stays_paused(void **state)
{
    Fixture *fixture = *state;

    set_run_state(fixture, "paused");
    load_well(fixture, "");
    assert_told(fixture, "\"paused\"");
    assert_false(was_told(fixture, "qmp cont"));
    assert_said("was not running when it was saved (paused)");
    assert_said("--resume");
}

static void so_it_does_with_policy_full(void **state)
{
    Fixture *fixture = *state;

    set_run_state(fixture, "paused");
    fixture->options.policy = LOAD_POLICY_FULL;
    load_well(fixture, "");
    assert_false(was_told(fixture, "qmp cont"));
}

static void a_paused_guest_runs_if_that_is_asked_for(void **state)
{
    Fixture *fixture = *state;

    set_run_state(fixture, "paused");
    fixture->options.resume = true;
    load_well(fixture, "");
    assert_told(fixture, "qmp cont");
    assert_string_equal(said->str, "");
}

/* ---- when reading fails ---- */

static void a_read_error_stops_the_guest_until_it_is_mended(void **state)
{
    Fixture *fixture = *state;
    const char *stop;

    assert_int_equal(load_well(fixture, "read-error"), 0);
    assert_told(fixture, "qmp stop");
    stop = strstr(fixture->log, "qmp stop");
    assert_non_null(strstr(stop, "qmp cont"));
    assert_said("vm.snap: reading at offset 4096 failed: Input/output error");
    assert_said("needs that page and is stopped");
    assert_said("retry");
    assert_said("reading goes on");
}

static void a_page_that_nobody_waits_for_stops_no_guest(void **state)
{
    Fixture *fixture = *state;

    load_well(fixture, "read-error-of-nobody");
    assert_false(was_told(fixture, "qmp stop"));
    assert_said("The guest runs on until it needs that page");
    assert_said("reading goes on");
}

static void the_guest_goes_on_when_the_page_it_waited_for_is_there(void **state)
{
    Fixture *fixture = *state;
    const char *partly, *wholly;

    load_well(fixture, "read-error-of-two");
    assert_said("the pages that the guest waited for are loaded, and it runs "
                "on; other pages still cannot be read");
    partly = strstr(said->str, "the pages that the guest waited for");
    wholly = strstr(said->str, "reading goes on");
    assert_non_null(wholly);
    assert_true(partly < wholly);
}

static void a_read_error_of_a_paused_guest_stops_nobody(void **state)
{
    Fixture *fixture = *state;
    char *argv[] = {fixture->argv[0], (char *)"-S", (char *)"-paused", NULL};

    fixture->options.qemu_argv = argv;
    load_well(fixture, "");
    assert_said("The guest is paused");
    assert_null(strstr(said->str, "stopped"));
    assert_false(was_told(fixture, "qmp stop"));
}

/* The monitor does not answer yet, and nobody knows QEMU's process. */
static void an_early_read_error_is_told_with_qemus_process(void **state)
{
    Fixture *fixture = *state;

    load_well(fixture, "early-read-error");
    assert_said("the guest will run until it needs that page");
    assert_null(strstr(said->str, "stopped"));
    assert_null(strstr(said->str, "--pid 0"));
    assert_told(fixture, "qmp cont");
    assert_false(was_told(fixture, "qmp stop"));
}

static void a_read_error_of_the_devices_is_told_as_such(void **state)
{
    Fixture *fixture = *state;

    load_well(fixture, "read-error-of-devices");
    assert_said("QEMU needs that page to load the guest's devices");
    assert_null(strstr(said->str, "stopped"));
}

static void a_guest_that_waits_for_all_pages_is_told_to_do_so(void **state)
{
    Fixture *fixture = *state;

    fixture->options.wait = LOAD_WAIT_ALL;
    load_well(fixture, "read-error-while-waiting");
    assert_said("with --wait all, the guest runs when that page is loaded");
    assert_null(strstr(said->str, "stopped"));
    assert_told(fixture, "qmp cont");
}

static void a_slow_read_is_told_once_and_again_when_somebody_waits(void **state)
{
    Fixture *fixture = *state;
    const char *text = "vm.snap: reading at offset 8192 has taken 7 s so far";
    const char *first, *second;

    load_well(fixture, "slow");
    assert_said(text);
    first = strstr(said->str, text);
    second = strstr(first + 1, text);
    assert_non_null(second);
    assert_null(strstr(second + 1, text));
    assert_non_null(strstr(second, "QEMU waits for it"));
    assert_false(was_told(fixture, "qmp stop"));
}

static void a_guest_whose_snapshot_has_changed_is_stopped_for_good(void **state)
{
    Fixture *fixture = *state;

    load_well(fixture, "changed");
    assert_said("vm.snap: its mtime has changed.  The guest is not the one "
                "that was saved");
}

static void one_that_waits_for_a_changed_snapshot_can_be_ended(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(load_well(fixture, "changed-and-blocks"), 128 + SIGKILL);
    assert_said("preheat control --pid");
    assert_told(fixture, "control quit");
}

static void a_guest_is_not_run_on_pages_that_qemu_has_written(void **state)
{
    Fixture *fixture = *state;

    load_badly(fixture, "writes-pages", UTIL_ERROR_REFUSED,
               "QEMU has written to page 7");
    assert_false(was_told(fixture, "qmp cont"));
    assert_told(fixture, "qmp quit");
}

static pid_t daemon_pid(const Fixture *fixture)
{
    const char *found = strstr(fixture->log, "daemon ");

    assert_non_null(found);
    return (pid_t)atoi(found + strlen("daemon "));
}

/* ---- when it is wanted ---- */

/* What happens to a QEMU that waits for a line on a pipe. */
typedef struct Waiting {
    Fixture *fixture;
    int fd;           /* where the line is to go */
    const char *text; /* what goes there; NULL: nothing */
    bool stays_open;  /* it is not closed then */
    int signal;       /* comes then; 0: none */
    void (*meanwhile)(Fixture *fixture);
    int64_t told_us;
    pid_t pid;
    GString *news; /* a letter for each */
} Waiting;

static void on_news(const LoadNews *news, void *opaque)
{
    Waiting *waiting = opaque;

    g_string_append_c(waiting->news, "WRPLFE"[news->kind]);
    waiting->pid = news->pid;
    if (news->kind == LOAD_NEWS_RESUMED) {
        assert_true(news->after_us <=
                    g_get_monotonic_time() - waiting->told_us);
    }
    if (news->kind != LOAD_NEWS_WAITING) {
        return;
    }
    if (waiting->meanwhile) {
        waiting->meanwhile(waiting->fixture);
    }
    waiting->told_us = g_get_monotonic_time();
    if (waiting->text) {
        ssize_t len = (ssize_t)strlen(waiting->text);

        assert_int_equal(write(waiting->fd, waiting->text, (size_t)len), len);
    }
    if (waiting->signal) {
        kill(getpid(), waiting->signal);
    }
    if (!waiting->stays_open) {
        close(waiting->fd);
    }
}

/* Of a program that was started long ago. */
static void prepare(Waiting *waiting, Fixture *fixture, const char *text)
{
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    *waiting = (Waiting){.fixture = fixture,
                         .fd = fds[1],
                         .text = text,
                         .news = g_string_new(NULL)};
    assert_int_equal(fcntl(fds[1], F_SETFD, FD_CLOEXEC), 0);
    assert_int_equal(fcntl(fds[0], F_SETFD, FD_CLOEXEC), 0);
    fixture->options.start_fd = fds[0];
    fixture->options.start_us = 1;
    fixture->options.tell = on_news;
    fixture->options.tell_opaque = waiting;
}

static void assert_news(Waiting *waiting, const char *expected)
{
    assert_string_equal(waiting->news->str, expected);
    g_string_free(waiting->news, TRUE);
}

static void nothing_is_loaded_until_a_line_comes(void **state)
{
    Fixture *fixture = *state;
    Waiting waiting;

    prepare(&waiting, fixture, "a word\nand more");
    assert_int_equal(load_well(fixture, "ends-with-7"), 7);
    assert_sequence(fixture, "qmp query-status", "control load");
    assert_sequence(fixture, "control load", "control attach");
    assert_told(fixture, "qmp cont");
    assert_true(waiting.pid > 0);
    assert_news(&waiting, "WRE");
}

static void the_time_counts_from_the_line(void **state)
{
    Fixture *fixture = *state;
    Waiting waiting;

    prepare(&waiting, fixture, "\n");
    load_well(fixture, "");
    assert_false(was_told(fixture, "\"start-us\": 1,"));
    assert_news(&waiting, "WRE");
}

static void one_that_is_not_wanted_ends_without_a_word(void **state)
{
    Fixture *fixture = *state;
    Waiting waiting;

    prepare(&waiting, fixture, NULL);
    assert_int_equal(load_well(fixture, "is-not-wanted"), LOADER_NOT_WANTED);
    assert_told(fixture, "qmp quit");
    assert_false(was_told(fixture, "control load"));
    assert_string_equal(said->str, "");
    assert_news(&waiting, "W");
}

static void half_a_line_is_none(void **state)
{
    Fixture *fixture = *state;
    Waiting waiting;

    prepare(&waiting, fixture, "sta");
    assert_int_equal(load_well(fixture, "is-not-wanted"), LOADER_NOT_WANTED);
    assert_news(&waiting, "W");
}

static void a_daemon_that_is_not_wanted_ends(void **state)
{
    Fixture *fixture = *state;
    char *argv[] = {fixture->argv[0], (char *)"-daemonize", NULL};
    Waiting waiting;
    int status;

    prepare(&waiting, fixture, NULL);
    fixture->options.qemu_argv = argv;
    assert_int_equal(load_well(fixture, "is-not-wanted"), LOADER_NOT_WANTED);
    assert_int_equal(waitpid(daemon_pid(fixture), &status, 0),
                     daemon_pid(fixture));
    assert_int_equal(status, 0);
    assert_news(&waiting, "W");
}

static void another_machine_is_refused_before_it_waits(void **state)
{
    Fixture *fixture = *state;
    Waiting waiting;

    prepare(&waiting, fixture, "\n");
    load_badly(fixture, "other-ram", UTIL_ERROR_FAILED, "pc.ram");
    assert_told(fixture, "qmp quit");
    assert_news(&waiting, "");
}

static void one_that_has_got_another_guest_is_not_loaded_into(void **state)
{
    Fixture *fixture = *state;
    Waiting waiting;

    prepare(&waiting, fixture, "\n");
    load_badly(fixture, "has-a-guest", UTIL_ERROR_FAILED, "it has one");
    assert_false(was_told(fixture, "control load"));
    assert_news(&waiting, "W");
}

static void write_to_it(Fixture *fixture)
{
    int fd = open(fixture->snapshot, O_WRONLY | O_APPEND);

    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
}

static void replace_it(Fixture *fixture)
{
    const Image image = image_small();

    assert_int_equal(unlink(fixture->snapshot), 0);
    image_save(&image, fixture->snapshot);
}

static void a_snapshot_written_to_meanwhile_is_refused(void **state)
{
    Fixture *fixture = *state;
    Waiting waiting;
    GError *error = NULL;
    int status;

    prepare(&waiting, fixture, "\n");
    waiting.meanwhile = write_to_it;
    assert_false(load(fixture, "waits-in-vain", &status, &error));
    assert_non_null(strstr(error->message, "was written to"));
    g_error_free(error);
    assert_false(was_told(fixture, "control attach"));
    assert_news(&waiting, "W");
}

static void a_snapshot_replaced_meanwhile_is_refused(void **state)
{
    Fixture *fixture = *state;
    Waiting waiting;

    prepare(&waiting, fixture, "\n");
    waiting.meanwhile = replace_it;
    load_badly(fixture, "waits-in-vain", UTIL_ERROR_FAILED,
               "another file is there");
    assert_false(was_told(fixture, "control attach"));
    assert_news(&waiting, "W");
}

static void the_end_of_one_that_waits_is_told(void **state)
{
    Fixture *fixture = *state;
    Waiting waiting;

    prepare(&waiting, fixture, NULL);
    waiting.stays_open = true;
    assert_int_equal(load_well(fixture, "ends-while-it-waits"), 5);
    assert_said("status 5 before the guest was loaded");
    close(waiting.fd);
    g_string_free(waiting.news, TRUE);
}

static void a_signal_ends_one_that_waits(void **state)
{
    Fixture *fixture = *state;
    Waiting waiting;

    prepare(&waiting, fixture, NULL);
    waiting.stays_open = true;
    waiting.signal = SIGTERM;
    assert_int_equal(load_well(fixture, "is-not-wanted"), 128 + SIGTERM);
    close(waiting.fd);
    assert_news(&waiting, "WE");
}

/* ---- the end ---- */

static void send_term(const char *text)
{
    say(text);
    if (strstr(text, "do not answer")) {
        kill(getpid(), SIGTERM);
    }
}

static void a_qemu_that_waits_itself_is_told_of_and_can_be_ended(void **state)
{
    Fixture *fixture = *state;

    fixture->options.say = send_term;
    assert_int_equal(load_well(fixture, "blocks"), 128 + SIGKILL);
    assert_said("QEMU itself waits for a page that cannot be read");
    assert_said("quit");
    assert_told(fixture, "control quit");
}

static void one_that_not_even_the_plugin_can_end_is_killed(void **state)
{
    Fixture *fixture = *state;

    fixture->options.say = send_term;
    assert_int_equal(load_well(fixture, "blocks-for-good"), 128 + SIGKILL);
    assert_told(fixture, "control quit");
}

static void a_signal_ends_a_qemu_in_its_own_way(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(load_well(fixture, "is-ended-by-a-signal"), 128 + SIGTERM);
    assert_false(was_told(fixture, "control quit"));
    assert_false(was_told(fixture, "qmp quit"));
}

static void a_signal_ends_the_waiting_for_pages(void **state)
{
    Fixture *fixture = *state;

    fixture->options.wait = LOAD_WAIT_ALL;
    assert_int_equal(load_well(fixture, "is-to-end-while-waiting"),
                     128 + SIGTERM);
    assert_false(was_told(fixture, "qmp cont"));
}

static void a_signal_ends_a_daemon_before_it_runs(void **state)
{
    Fixture *fixture = *state;
    char *argv[] = {fixture->argv[0], (char *)"-daemonize", NULL};
    int status;

    fixture->options.qemu_argv = argv;
    fixture->options.wait = LOAD_WAIT_ALL;
    assert_int_equal(load_well(fixture, "is-to-end-while-waiting"),
                     128 + SIGTERM);
    assert_int_equal(waitpid(daemon_pid(fixture), &status, 0),
                     daemon_pid(fixture));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGTERM);
}

static void a_daemon_that_ends_before_it_runs_is_a_failure(void **state)
{
    Fixture *fixture = *state;
    char *argv[] = {fixture->argv[0], (char *)"-daemonize", NULL};

    fixture->options.qemu_argv = argv;
    assert_int_equal(load_well(fixture, "ends-unloaded"), 1);
    assert_said("before the guest was loaded");
    waitpid(daemon_pid(fixture), NULL, 0);
}

static void a_daemon_is_left_alone_when_it_runs(void **state)
{
    Fixture *fixture = *state;
    char *argv[] = {fixture->argv[0], (char *)"-daemonize", NULL};
    int status;

    fixture->options.qemu_argv = argv;
    assert_int_equal(load_well(fixture, ""), 0);
    assert_int_equal(waitpid(daemon_pid(fixture), &status, 0),
                     daemon_pid(fixture));
    assert_int_equal(status, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_guest_is_resumed_when_the_device_state_is_loaded),
        TEST(qemu_migrates_in_its_own_way_again_before_it_resumes),
        TEST(the_plugin_is_told_what_was_asked_for),
        TEST(what_two_want_to_know_of_qemu_is_asked_once),
        TEST(the_plugin_gets_the_files_that_preheat_opened),
        TEST(a_guest_asked_to_stay_paused_is_not_resumed),
        TEST(the_guest_waits_for_the_pages_it_is_to_wait_for),
        TEST(with_policy_full_qemu_loads_the_snapshot_itself),
        TEST(a_qemu_that_ends_at_once_passes_its_status_on),
        TEST(a_signal_that_ends_qemu_is_not_laid_on_the_plugin),
        TEST(another_machine_is_refused_before_anything_is_lost),
        TEST(ram_that_the_plugin_refuses_is_not_loaded),
        TEST(a_device_state_that_fails_is_told_with_qemus_reason),
        TEST(a_file_that_is_no_snapshot_ends_qemu),
        TEST(a_snapshot_of_a_larger_machine_is_refused_by_its_headers),
        TEST(a_large_snapshot_is_loaded_once_its_machine_is_known),
        TEST(with_policy_full_qemu_judges_what_we_do_not_understand),
        TEST(an_order_that_cannot_be_used_is_warned_of),
        TEST(qemu_gets_what_it_is_to_load_as_a_descriptor),
        TEST(a_guest_that_was_saved_running_runs),
        TEST(a_guest_that_slept_goes_on_sleeping),
        TEST(a_guest_that_its_user_had_paused_stays_paused),
        TEST(so_it_does_with_policy_full),
        TEST(a_paused_guest_runs_if_that_is_asked_for),
        TEST(a_read_error_stops_the_guest_until_it_is_mended),
        TEST(a_page_that_nobody_waits_for_stops_no_guest),
        TEST(the_guest_goes_on_when_the_page_it_waited_for_is_there),
        TEST(a_read_error_of_a_paused_guest_stops_nobody),
        TEST(an_early_read_error_is_told_with_qemus_process),
        TEST(a_read_error_of_the_devices_is_told_as_such),
        TEST(a_guest_that_waits_for_all_pages_is_told_to_do_so),
        TEST(a_slow_read_is_told_once_and_again_when_somebody_waits),
        TEST(a_guest_whose_snapshot_has_changed_is_stopped_for_good),
        TEST(one_that_waits_for_a_changed_snapshot_can_be_ended),
        TEST(a_guest_is_not_run_on_pages_that_qemu_has_written),
        TEST(nothing_is_loaded_until_a_line_comes),
        TEST(the_time_counts_from_the_line),
        TEST(one_that_is_not_wanted_ends_without_a_word),
        TEST(half_a_line_is_none),
        TEST(a_daemon_that_is_not_wanted_ends),
        TEST(another_machine_is_refused_before_it_waits),
        TEST(one_that_has_got_another_guest_is_not_loaded_into),
        TEST(a_snapshot_written_to_meanwhile_is_refused),
        TEST(a_snapshot_replaced_meanwhile_is_refused),
        TEST(the_end_of_one_that_waits_is_told),
        TEST(a_signal_ends_one_that_waits),
        TEST(a_qemu_that_waits_itself_is_told_of_and_can_be_ended),
        TEST(one_that_not_even_the_plugin_can_end_is_killed),
        TEST(a_signal_ends_a_qemu_in_its_own_way),
        TEST(a_signal_ends_the_waiting_for_pages),
        TEST(a_signal_ends_a_daemon_before_it_runs),
        TEST(a_daemon_that_ends_before_it_runs_is_a_failure),
        TEST(a_daemon_is_left_alone_when_it_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
