/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A program that takes QEMU's place, and the plugin's in it, as far as
 * preheat loadvm can tell.  $FAKE_QEMU says how it behaves, $FAKE_QEMU_LOG
 * where it writes down what it was told.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>

#include "formats/control-protocol.h"
#include "tests/host/fake-peer.h"

/* The blocks of image_small(), with an address in this process. */
static const char ram_text[] =
    "pc.ram 4 KiB 0x0 0x400 0x400 0x7f0000000000 rw\n"
    "vga.vram 4 KiB 0x0 0x400 0x400 0x7f0000100000 rw\n"
    "pc.rom 4 KiB 0x0 0x400 0x400 0x7f0000200000 ro\n";

/* The same, but the first block is larger than it was. */
static const char other_ram_text[] =
    "pc.ram 4 KiB 0x0 0x200000 0x200000 0x7f0000000000 rw\n"
    "vga.vram 4 KiB 0x0 0x400 0x400 0x7f0000100000 rw\n"
    "pc.rom 4 KiB 0x0 0x400 0x400 0x7f0000200000 ro\n";

/* The same, but the first block has 65 GiB. */
static const char large_ram_text[] =
    "pc.ram 4 KiB 0x0 0x1040000000 0x1040000000 0x7e0000000000 rw\n"
    "vga.vram 4 KiB 0x0 0x400 0x400 0x7f0000100000 rw\n";

/* ready, device-state or loaded, resumed or paused */
#define N_TOLD_MILESTONES 3

static const char *behaviour;
static FILE *log_file;
static FakePeer *qmp;
static FakePeer *control;
static atomic_uint
    n_failed_looks; /* of query-preheat that still say "failed" */
static atomic_uint n_looks;
static atomic_bool was_told_mended; /* by a look */
static unsigned n_waited_looks;     /* … and of these, that somebody waits */
static pid_t launcher;              /* preheat's process */
static bool has_incoming;           /* the monitor's thread's */

static bool behaves(const char *how)
{
    return strcmp(behaviour, how) == 0;
}

/* Both peers' threads write; each line is one call. */
static void note(const char *whose, const char *command,
                 const json_t *arguments)
{
    char *text = arguments ? json_dumps(arguments, JSON_SORT_KEYS) : NULL;

    fprintf(log_file, "%s %s %s\n", whose, command, text ? text : "");
    free(text);
}

static json_t *human(const json_t *arguments)
{
    const char *line =
        json_string_value(json_object_get(arguments, "command-line"));

    if (strcmp(line, "info ramblock") != 0) {
        return json_string("");
    }
    return json_string(behaves("other-ram") ? other_ram_text
                       : behaves("large")   ? large_ram_text
                                            : ram_text);
}

/* Whether what is to be loaded has come, and what it is. */
static void note_incoming(FakePeer *peer)
{
    int fd = fake_peer_fd(peer, 0);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0 || status.st_size == 0 ||
        (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY) {
        fprintf(log_file, "incoming none\n");
        return;
    }
    fprintf(log_file, "incoming whole\nincoming is %ju\n",
            (uintmax_t)status.st_ino);
}

static void send_read_error(bool waited_for)
{
    fake_peer_event(control, CONTROL_EVENT_READ_ERROR,
                    json_pack("{s:s, s:i, s:s, s:s, s:b}", CONTROL_KEY_FILE,
                              "vm.snap", CONTROL_KEY_OFFSET, 4096,
                              CONTROL_KEY_OPERATION, "reading",
                              CONTROL_KEY_ERROR, "Input/output error",
                              CONTROL_KEY_WAITED_FOR, (int)waited_for));
}

static void send_slow_read(bool waited_for)
{
    fake_peer_event(control, CONTROL_EVENT_READ_SLOW,
                    json_pack("{s:s, s:i, s:i, s:b}", CONTROL_KEY_FILE,
                              "vm.snap", CONTROL_KEY_OFFSET, 8192,
                              CONTROL_KEY_SECONDS, 7, CONTROL_KEY_WAITED_FOR,
                              (int)waited_for));
}

static json_t *migrate_incoming(FakePeer *peer)
{
    has_incoming = true;
    note_incoming(peer);
    if (behaves("read-error-of-devices")) {
        send_read_error(true);
    }
    /* Two looks: what is under way, and what became of it. */
    fake_peer_event(peer, "MIGRATION", json_pack("{s:s}", "status", "active"));
    return json_object();
}

/* As somebody has set them who means another kind of migration. */
static json_t *capabilities(void)
{
    return json_pack("[{s:s, s:b}, {s:s, s:b}, {s:s, s:b}]", "capability",
                     "mapped-ram", "state", 0, "capability", "events", "state",
                     0, "capability", "postcopy-ram", "state", 1);
}

static json_t *query_migrate(FakePeer *peer)
{
    static unsigned n;

    if (!has_incoming) {
        return json_object();
    }
    const char *ended = behaves("bad-device-state") ? "failed" : "completed";

    if (n++ == 0) {
        fake_peer_event(peer, "MIGRATION", json_pack("{s:s}", "status", ended));
        return json_pack("{s:s}", "status", "active");
    }
    return json_pack("{s:s, s:s}", "status", ended, "error-desc",
                     "load of the clock failed");
}

/* As one whose main loop waits for guest RAM, until the page comes. */
static void stop(FakePeer *peer)
{
    if (behaves("blocks") || behaves("blocks-for-good")) {
        fake_peer_await(control, CONTROL_CMD_QUIT, 1);
    }
    fake_peer_event(peer, "STOP", NULL);
}

static json_t *answer_qmp(FakePeer *peer, const char *command,
                          const json_t *arguments, const char **ret_refusal,
                          void *opaque)
{
    note("qmp", command, arguments);
    if (strcmp(command, "human-monitor-command") == 0) {
        return human(arguments);
    } else if (strcmp(command, "qom-list") == 0) {
        return json_array();
    } else if (strcmp(command, "query-cpus-fast") == 0) {
        return json_pack("[{s:i}, {s:i}]", "thread-id", 11, "thread-id", 12);
    } else if (strcmp(command, "add-fd") == 0) {
        return json_pack("{s:i, s:i}", "fdset-id", 5, "fd", 20);
    } else if (strcmp(command, "query-migrate-capabilities") == 0) {
        return capabilities();
    } else if (strcmp(command, "query-migrate") == 0) {
        return query_migrate(peer);
    } else if (strcmp(command, "migrate-incoming") == 0) {
        return migrate_incoming(peer);
    } else if (strcmp(command, "query-status") == 0) {
        return json_pack("{s:s}", "status",
                         behaves("has-a-guest") ? "running" : "inmigrate");
    } else if (strcmp(command, "cont") == 0) {
        fake_peer_event(peer, "RESUME", NULL);
    } else if (strcmp(command, "stop") == 0) {
        stop(peer);
    }
    return json_object();
}

static json_t *query_preheat(void)
{
    bool failed = n_failed_looks > 0 && n_failed_looks-- > 0;

    was_told_mended |= !failed;
    n_looks++;
    bool waited_for = n_waited_looks > 0 && n_waited_looks-- > 0;

    return json_pack(
        "{s:s, s:i}", CONTROL_KEY_STATE,
        load_state_name(failed ? LOAD_STATE_FAILED : LOAD_STATE_LOADING),
        CONTROL_KEY_FAILED_WAITED_FOR, (int)waited_for);
}

/* For pages, before the guest begins. */
static void wait_for_pages(void)
{
    if (behaves("read-error-while-waiting")) {
        send_read_error(false);
    } else if (behaves("is-to-end-while-waiting")) {
        kill(launcher, SIGTERM);
        pause();
    }
}

static void quit(void)
{
    if (behaves("blocks-for-good")) {
        pause();
    }
    fflush(log_file);
    raise(SIGKILL);
}

static json_t *answer_control(FakePeer *peer, const char *command,
                              const json_t *arguments, const char **ret_refusal,
                              void *opaque)
{
    const char *name =
        json_string_value(json_object_get(arguments, CONTROL_KEY_NAME));

    note("control", command, arguments);
    if (strcmp(command, CONTROL_CMD_ATTACH) == 0 && behaves("no-attach")) {
        *ret_refusal = "RAM block pc.ram is mapped from an ordinary file";
        return NULL;
    }
    if (strcmp(command, CONTROL_CMD_LOAD) == 0 && behaves("large") &&
        json_integer_value(json_object_get(arguments, CONTROL_KEY_MAX_RAM)) <
            INT64_C(65) << 30) {
        *ret_refusal = "it has more RAM than that";
        return NULL;
    }
    if (strcmp(command, CONTROL_CMD_LOAD) == 0 && behaves("bad-order")) {
        return json_pack("{s:s}", "warning", "vm.order is torn");
    }
    if (strcmp(command, CONTROL_CMD_MILESTONE) == 0 &&
        behaves("ends-resumed") &&
        g_strcmp0(name, milestone_name(MILESTONE_RESUMED)) == 0) {
        _exit(0);
    }
    if (strcmp(command, CONTROL_CMD_MILESTONE) == 0 &&
        behaves("writes-pages") &&
        g_strcmp0(name, milestone_name(MILESTONE_DEVICE_STATE)) == 0) {
        *ret_refusal = "QEMU has written to page 7 of pc.ram";
        return NULL;
    }
    if (strcmp(command, CONTROL_CMD_QUERY) == 0) {
        return query_preheat();
    } else if (strcmp(command, CONTROL_CMD_WAIT) == 0) {
        wait_for_pages();
    } else if (strcmp(command, CONTROL_CMD_QUIT) == 0) {
        quit();
    }
    return json_object();
}

/* The number behind key in some argument of argv. */
static int find_number(char **argv, const char *key)
{
    for (; *argv; argv++) {
        const char *found = strstr(*argv, key);

        if (found) {
            return atoi(found + strlen(key));
        }
    }
    return -1;
}

/* What has come with "load", by its inode. */
static void note_descriptors(void)
{
    struct stat status;

    for (unsigned i = 0; fake_peer_fd(control, i) >= 0; i++) {
        if (fstat(fake_peer_fd(control, i), &status) == 0) {
            fprintf(log_file, "descriptor %u is %ju\n", i,
                    (uintmax_t)status.st_ino);
        }
    }
}

static bool has_argument(char **argv, const char *name)
{
    return g_strv_contains((const char *const *)argv, name);
}

/* Until somebody ends it. */
static void live_on(void)
{
    for (;;) {
        pause();
    }
}

static void fail_once_it_runs(bool waited_for, unsigned n_failed,
                              unsigned n_waited)
{
    n_failed_looks = n_failed;
    n_waited_looks = n_waited;
    send_read_error(waited_for);
}

static void await_mended_look(void)
{
    unsigned n = n_looks;

    while (!was_told_mended) {
        fake_peer_await(control, CONTROL_CMD_QUERY, n + 1);
        n = n_looks;
    }
    fake_peer_await(control, CONTROL_CMD_QUERY, n_looks);
}

static void live_after_resuming(void)
{
    if (behaves("read-error")) {
        fail_once_it_runs(true, 1, 1);
        fake_peer_await(qmp, "stop", 1);
        fake_peer_await(qmp, "cont", 2);
    } else if (behaves("read-error-of-two")) {
        /* Other pages are not there before the guest goes on. */
        fail_once_it_runs(true, UINT_MAX, 1);
        fake_peer_await(qmp, "cont", 2);
        n_failed_looks = 0;
        await_mended_look();
    } else if (behaves("read-error-of-nobody")) {
        fail_once_it_runs(false, 1, 0);
        fake_peer_await(control, CONTROL_CMD_QUERY, 2);
    } else if (behaves("blocks") || behaves("blocks-for-good")) {
        fail_once_it_runs(true, UINT_MAX, UINT_MAX);
        live_on();
    } else if (behaves("slow")) {
        send_slow_read(false);
        send_slow_read(false);
        send_slow_read(true);
    } else if (behaves("changed") || behaves("changed-and-blocks")) {
        fake_peer_event(control, CONTROL_EVENT_READ_ERROR,
                        json_pack("{s:s, s:s, s:s}", CONTROL_KEY_FILE,
                                  "vm.snap", CONTROL_KEY_OPERATION,
                                  CONTROL_OPERATION_CHECKING, CONTROL_KEY_ERROR,
                                  "its mtime has changed"));
        fake_peer_await(qmp, "stop", 1);
        if (behaves("changed-and-blocks")) {
            kill(launcher, SIGTERM);
            live_on();
        }
    } else if (behaves("is-ended-by-a-signal")) {
        kill(launcher, SIGTERM);
        live_on();
    }
}

static void live(char **argv)
{
    if (behaves("is-not-wanted") || behaves("has-a-guest") ||
        behaves("waits-in-vain")) {
        fake_peer_await(qmp, "quit", 1);
        return;
    }
    if (behaves("other-ram")) {
        fake_peer_await(qmp, "quit", 1);
        return;
    }
    fake_peer_await(control, CONTROL_CMD_LOAD, 1);
    note_descriptors();
    if (behaves("no-attach") || behaves("is-larger") ||
        behaves("bad-device-state") || behaves("writes-pages")) {
        fake_peer_await(qmp, "quit", 1);
        return;
    }
    fake_peer_await(control, CONTROL_CMD_MILESTONE, N_TOLD_MILESTONES);
    if (has_argument(argv, "-paused")) {
        /* A read error is looked after when nothing else is to be done. */
        send_read_error(false);
        fake_peer_await(control, CONTROL_CMD_QUERY, 1);
    } else {
        live_after_resuming();
    }
}

static json_t *qmp_greeting(void)
{
    return json_pack("{s:{s:{s:{s:i, s:i}}}}", "QMP", "version", "qemu",
                     "major", 10, "minor", 0);
}

static json_t *plugin_greeting(void)
{
    return json_pack("{s:{s:s, s:i}}", "preheat", "version", "0", "pid",
                     (int)getpid());
}

/* As QEMU does it: what was started ends well, and another process goes on. */
static void become_daemon(void)
{
    if (fork() != 0) {
        _exit(0);
    }
    setsid();
    fprintf(log_file, "daemon %d\n", (int)getpid());
}

int main(int argc, char **argv)
{
    behaviour = g_getenv("FAKE_QEMU");
    log_file = fopen(g_getenv("FAKE_QEMU_LOG"), "w");
    setlinebuf(log_file);
    launcher = getppid();
    if (behaves("blocks") || behaves("blocks-for-good") ||
        behaves("changed-and-blocks")) {
        /* As where the main loop, which would take it, is blocked. */
        signal(SIGTERM, SIG_IGN);
    }
    if (behaves("is-ended")) {
        raise(SIGINT);
    }
    if (behaves("ends-at-once")) {
        return 3;
    }
    if (has_argument(argv, "-daemonize")) {
        become_daemon();
    }
    control = fake_peer_new(find_number(argv, "control-fd="), plugin_greeting(),
                            answer_control, NULL);
    if (behaves("early-read-error")) {
        send_read_error(false);
    }
    qmp = fake_peer_new(find_number(argv, "id=preheat-qmp,fd="), qmp_greeting(),
                        answer_qmp, NULL);
    if (behaves("ends-while-it-waits")) {
        fake_peer_await(qmp, "query-cpus-fast", 1);
        fclose(log_file);
        _exit(5);
    }
    if (behaves("ends-unloaded")) {
        fake_peer_await(control, CONTROL_CMD_ATTACH, 1);
        _exit(0);
    }
    live(argv);
    fclose(log_file);
    _exit(behaves("ends-with-7") ? 7 : 0);
}
