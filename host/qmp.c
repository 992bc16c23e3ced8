/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/qmp.h"

#include <inttypes.h>

#include "host/unix-socket.h"
#include "util/error.h"

/* QEMU's longest answers (of `info ramblock` with 4096 blocks, say) stay far
 * below this. */
#define QMP_MAX_LINE_BYTES (16 << 20)

/* A monitor that serves another client accepts the connection, but greets
 * only when that client is gone. */
#define GREETING_TIMEOUT_MS 10000

Rpc *qmp_new(int fd)
{
    return rpc_new(fd, QMP_MAX_LINE_BYTES, "QEMU");
}

bool qmp_handshake(Rpc *qmp, int timeout_ms, QmpVersion *ret_version,
                   GError **error)
{
    QmpVersion version = {0, 0};
    json_t *greeting;

    if (!rpc_greeting(qmp, "QMP", timeout_ms, &greeting, error)) {
        return false;
    }
    /* A QEMU that hides its version is taken for an old one. */
    json_unpack(greeting, "{s:{s:{s:i, s:i}}}", "version", "qemu", "major",
                &version.major, "minor", &version.minor);
    json_decref(greeting);
    if (!rpc_execute(qmp, "qmp_capabilities", NULL, NULL, error)) {
        return false;
    }
    if (ret_version) {
        *ret_version = version;
    }
    return true;
}

Rpc *qmp_connect(const char *path, QmpVersion *ret_version, GError **error)
{
    g_autoptr(Rpc) qmp = NULL;
    GError *local = NULL;
    int fd;

    if (!unix_socket_connect(path, GREETING_TIMEOUT_MS, &fd, error)) {
        return NULL;
    }
    qmp = qmp_new(fd);
    if (qmp_handshake(qmp, GREETING_TIMEOUT_MS, ret_version, &local)) {
        return g_steal_pointer(&qmp);
    }
    if (g_error_matches(local, UTIL_ERROR, UTIL_ERROR_TIMEOUT)) {
        g_set_error(
            error, UTIL_ERROR, UTIL_ERROR_TIMEOUT,
            "%s: no QMP greeting within %d s; a monitor serves one client at a "
            "time: disconnect the other one, or give QEMU a second -qmp",
            path, GREETING_TIMEOUT_MS / 1000);
        g_error_free(local);
    } else if (g_error_matches(local, UTIL_ERROR, UTIL_ERROR_PROTOCOL)) {
        g_propagate_prefixed_error(
            error, local,
            "%s: this is not a QMP socket (perhaps a human monitor): use the "
            "socket of QEMU's -qmp: ",
            path);
    } else {
        g_propagate_prefixed_error(error, local, "%s: ", path);
    }
    return NULL;
}

static json_t *human_arguments(const char *line)
{
    return json_pack("{s:s}", "command-line", line);
}

bool qmp_human_ask_ahead(Rpc *qmp, const char *line, GError **error)
{
    return rpc_ask_ahead(qmp, "human-monitor-command", human_arguments(line),
                         error);
}

bool qmp_human(Rpc *qmp, const char *line, char **ret_text, GError **error)
{
    json_t *value;
    bool ok;

    if (!rpc_execute(qmp, "human-monitor-command", human_arguments(line),
                     &value, error)) {
        return false;
    }
    ok = json_is_string(value);
    if (ok) {
        *ret_text = g_strdup(json_string_value(value));
    } else {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_PROTOCOL,
                    "QEMU did not answer %s with a text", line);
    }
    json_decref(value);
    return ok;
}

bool qmp_run_state(Rpc *qmp, char **ret_state, GError **error)
{
    const char *state;
    json_t *value;

    if (!rpc_execute(qmp, "query-status", NULL, &value, error)) {
        return false;
    }
    state = json_string_value(json_object_get(value, "status"));
    if (state) {
        *ret_state = g_strdup(state);
    } else {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_PROTOCOL,
                    "QEMU's query-status has no \"status\"");
    }
    json_decref(value);
    return state != NULL;
}

bool qmp_vcpu_threads(Rpc *qmp, json_t **ret_threads, GError **error)
{
    json_t *vcpus, *threads, *vcpu;
    size_t i;

    if (!rpc_execute(qmp, "query-cpus-fast", NULL, &vcpus, error)) {
        return false;
    }
    threads = json_array();
    json_array_foreach(vcpus, i, vcpu)
    {
        json_array_append(threads, json_object_get(vcpu, "thread-id"));
    }
    json_decref(vcpus);
    *ret_threads = threads;
    return true;
}

bool qmp_add_fd(Rpc *qmp, int fd, const char *opaque, int64_t *ret_set,
                GError **error)
{
    json_t *arguments = opaque ? json_pack("{s:s}", "opaque", opaque) : NULL;
    json_t *answer, *set;
    bool ok;

    if (!rpc_execute_fds(qmp, "add-fd", arguments, &fd, 1, &answer, error)) {
        return false;
    }
    set = json_object_get(answer, "fdset-id");
    ok = json_is_integer(set);
    if (ok) {
        *ret_set = json_integer_value(set);
    } else {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_PROTOCOL,
                    "QEMU's add-fd has no \"fdset-id\"");
    }
    json_decref(answer);
    return ok;
}

bool qmp_remove_fd(Rpc *qmp, int64_t set, GError **error)
{
    return rpc_execute(qmp, "remove-fd",
                       json_pack("{s:I}", "fdset-id", (json_int_t)set), NULL,
                       error);
}

char *qmp_fd_uri(int64_t set, uint64_t off_bytes)
{
    return g_strdup_printf("file:/dev/fdset/%" PRId64 ",offset=%" PRIu64, set,
                           off_bytes);
}
