/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/plugin-client.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/control-protocol.h"
#include "host/unix-socket.h"
#include "util/error.h"

#define GREETING_TIMEOUT_MS 10000

Rpc *plugin_client_new(int fd)
{
    Rpc *control = rpc_new(fd, CONTROL_MAX_LINE_BYTES, "the preheat plugin");

    rpc_note_sender(control);
    return control;
}

bool plugin_client_greeting(Rpc *control, pid_t *ret_pid, GError **error)
{
    json_t *greeting;
    pid_t pid;

    if (!rpc_greeting(control, "preheat", GREETING_TIMEOUT_MS, &greeting,
                      error)) {
        return false;
    }
    json_decref(greeting);
    if (!ret_pid) {
        return true;
    }
    pid = rpc_sender(control);
    if (pid <= 0) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_PROTOCOL,
                    "QEMU's process cannot be seen from here: it is in "
                    "another PID namespace");
        return false;
    }
    *ret_pid = pid;
    return true;
}

/* Any process can listen on an abstract name: make sure that it is QEMU. */
static bool check_listener(int fd, pid_t pid, uid_t owner, GError **error)
{
    struct ucred peer;
    bool trusted;

    if (!unix_socket_peer(fd, &peer, error)) {
        return false;
    }
    if (peer.pid != pid) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "process %d is listening instead", (int)peer.pid);
        return false;
    }
    trusted = geteuid() == 0 || peer.uid == geteuid() || peer.uid == 0 ||
              peer.uid == owner;
    if (!trusted) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "it belongs to another user (UID %u)", peer.uid);
    }
    return trusted;
}

/* The plugin hangs up on whom it does not serve, without a word. */
static void explain_hanging_up(const Rpc *control, GError **error)
{
    if (rpc_is_closed(control)) {
        g_prefix_error(error, "the plugin answers only root and the user that "
                              "QEMU runs as, or QEMU has ended: ");
    }
}

/* The ID that process pid has in its own PID namespace.  Where that cannot be
 * found out, it is taken for ours. */
static int inner_pid(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)pid);
    g_autofree char *status = NULL;
    const char *ids = NULL;
    int inner = (int)pid;

    if (g_file_get_contents(path, &status, NULL, NULL)) {
        ids = strstr(status, "\nNSpid:");
    }
    if (ids) {
        /* From our namespace inwards. */
        ids += strlen("\nNSpid:");
        while (*ids == '\t') {
            inner = (int)strtol(ids, (char **)&ids, 10);
        }
    }
    return inner;
}

static char *socket_name(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/ns/pid", (int)pid);
    struct stat ns;

    if (stat(path, &ns) < 0 && stat("/proc/self/ns/pid", &ns) < 0) {
        ns.st_ino = 0;
    }
    return g_strdup_printf(CONTROL_SOCKET_NAME_FORMAT, (uintmax_t)ns.st_ino,
                           inner_pid(pid));
}

Rpc *plugin_client_connect(pid_t pid, uid_t owner, GError **error)
{
    g_autofree char *name = socket_name(pid);
    g_autoptr(Rpc) control = NULL;
    int fd;

    if (!unix_socket_connect_abstract(name, GREETING_TIMEOUT_MS, &fd, error)) {
        g_prefix_error(
            error,
            "process %d: no preheat plugin answers; start QEMU with \"preheat "
            "run --\", or with -plugin …/libpreheat-plugin.so: ",
            (int)pid);
        return NULL;
    }
    control = plugin_client_new(fd);
    if (!check_listener(fd, pid, owner, error) ||
        !plugin_client_greeting(control, NULL, error)) {
        explain_hanging_up(control, error);
        g_prefix_error(error, "process %d: ", (int)pid);
        return NULL;
    }
    return g_steal_pointer(&control);
}

static Rpc *connect_peer(int qmp_fd, GError **error)
{
    struct ucred peer;

    if (!unix_socket_peer(qmp_fd, &peer, error)) {
        return NULL;
    }
    return plugin_client_connect(peer.pid, peer.uid, error);
}

Rpc *plugin_client_connect_by_qmp(const char *path, GError **error)
{
    Rpc *control;
    int fd;

    if (!unix_socket_connect(path, GREETING_TIMEOUT_MS, &fd, error)) {
        return NULL;
    }
    control = connect_peer(fd, error);
    close(fd);
    if (!control) {
        g_prefix_error(error, "%s: ", path);
    }
    return control;
}

Rpc *plugin_client_connect_peer(const Rpc *qmp, GError **error)
{
    return connect_peer(rpc_fd(qmp), error);
}
