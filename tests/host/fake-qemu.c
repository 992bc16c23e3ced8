/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A program that takes QEMU's place, and the plugin's in it, as far as
 * preheat loadvm can tell.  $FAKE_QEMU says how it behaves, $FAKE_QEMU_LOG
 * where it writes down what it was told.
 */
#include <signal.h>
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

static const char *behaviour;
static FILE *log_file;
static FakePeer *qmp;
static FakePeer *control;
static unsigned n_failed_looks; /* of query-preheat that still say "failed" */

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
    return json_string(behaves("other-ram") ? other_ram_text : ram_text);
}

static json_t *migrate_incoming(FakePeer *peer, const json_t *arguments)
{
    const char *uri = json_string_value(json_object_get(arguments, "uri"));
    g_autofree char *path =
        g_strndup(uri + strlen("file:"),
                  strlen(uri) - strlen("file:") - strlen(",offset=0"));
    bool failed = behaves("bad-device-state");
    struct stat status;

    fprintf(log_file, "incoming %s\n",
            stat(path, &status) == 0 && status.st_size > 0 ? "whole" : "none");
    fake_peer_event(peer, "MIGRATION", json_pack("{s:s}", "status", "active"));
    fake_peer_event(
        peer, "MIGRATION",
        json_pack("{s:s}", "status", failed ? "failed" : "completed"));
    return json_object();
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
    } else if (strcmp(command, "query-migrate") == 0) {
        return json_pack("{s:s, s:s}", "status", "failed", "error-desc",
                         "load of the clock failed");
    } else if (strcmp(command, "migrate-incoming") == 0) {
        return migrate_incoming(peer, arguments);
    } else if (strcmp(command, "cont") == 0) {
        fake_peer_event(peer, "RESUME", NULL);
    } else if (strcmp(command, "stop") == 0) {
        fake_peer_event(peer, "STOP", NULL);
    }
    return json_object();
}

static json_t *answer_control(FakePeer *peer, const char *command,
                              const json_t *arguments, const char **ret_refusal,
                              void *opaque)
{
    note("control", command, arguments);
    if (strcmp(command, CONTROL_CMD_ATTACH) == 0 && behaves("no-attach")) {
        *ret_refusal = "RAM block pc.ram is mapped from an ordinary file";
        return NULL;
    }
    if (strcmp(command, CONTROL_CMD_LOAD) == 0 && behaves("bad-order")) {
        return json_pack("{s:s}", "warning", "vm.order is torn");
    }
    if (strcmp(command, CONTROL_CMD_QUERY) == 0) {
        bool failed = n_failed_looks > 0 && n_failed_looks-- > 0;

        return json_pack("{s:s}", "state", failed ? "failed" : "loading");
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

static void send_read_error(void)
{
    fake_peer_event(control, CONTROL_EVENT_READ_ERROR,
                    json_pack("{s:s, s:i, s:s, s:s}", "file", "vm.snap",
                              "offset", 4096, "operation", "reading", "error",
                              "Input/output error"));
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

static void live(char **argv)
{
    fake_peer_await(control, CONTROL_CMD_LOAD, 1);
    note_descriptors();
    if (behaves("other-ram") || behaves("no-attach") ||
        behaves("bad-device-state")) {
        fake_peer_await(qmp, "quit", 1);
    } else if (g_strv_contains((const char *const *)argv, "-paused")) {
        /* A read error is looked after when nothing else is to be done. */
        fake_peer_await(qmp, "migrate-incoming", 1);
        send_read_error();
        fake_peer_await(control, CONTROL_CMD_QUERY, 1);
    } else {
        fake_peer_await(qmp, "cont", 1);
        fake_peer_await(control, CONTROL_CMD_MILESTONE, 3);
    }
    if (behaves("read-error")) {
        n_failed_looks = 1;
        send_read_error();
        fake_peer_await(qmp, "stop", 1);
        fake_peer_await(qmp, "cont", 2);
    }
}

static json_t *qmp_greeting(void)
{
    return json_pack("{s:{s:{s:{s:i, s:i}}}}", "QMP", "version", "qemu",
                     "major", 10, "minor", 0);
}

static json_t *plugin_client_greeting(void)
{
    return json_pack("{s:{s:s, s:i}}", "preheat", "version", "0", "pid",
                     (int)getpid());
}

int main(int argc, char **argv)
{
    behaviour = g_getenv("FAKE_QEMU");
    log_file = fopen(g_getenv("FAKE_QEMU_LOG"), "w");
    if (behaves("is-ended")) {
        raise(SIGINT);
    }
    if (behaves("ends-at-once")) {
        return 3;
    }
    control = fake_peer_new(find_number(argv, "control-fd="),
                            plugin_client_greeting(), answer_control, NULL);
    qmp = fake_peer_new(find_number(argv, "id=preheat-qmp,fd="), qmp_greeting(),
                        answer_qmp, NULL);
    live(argv);
    fclose(log_file);
    _exit(behaves("ends-with-7") ? 7 : 0);
}
