/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/template-client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/unix-socket.h"
#include "util/error.h"

static bool check_peer(int fd, GError **error)
{
    struct ucred peer;

    if (!unix_socket_peer(fd, &peer, error)) {
        return false;
    }
    if (peer.uid != 0 && peer.uid != geteuid()) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "it is user %u's, and guest RAM comes from it: only your "
                    "own and root's are good",
                    (unsigned)peer.uid);
        return false;
    }
    return true;
}

bool template_client_connect(const char *path, int *ret_fd, GError **error)
{
    int fd;

    if (!unix_socket_connect_packets(path, TEMPLATE_PATIENCE_MS, &fd, error)) {
        return false;
    }
    if (!check_peer(fd, error)) {
        g_prefix_error(error, "%s: ", path);
        close(fd);
        return false;
    }
    *ret_fd = fd;
    return true;
}

static bool fail(const char *path, const char *what, GError **error)
{
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_PROTOCOL, "%s: %s", path, what);
    return false;
}

/* Send the message, and wait for another one; as template_receive(). */
static int ask(int fd, const TemplateMessage *message, unsigned for_ms,
               TemplateMessage *ret_answer, char **ret_text, GArray *fds)
{
    int rc = template_send(fd, message, NULL, NULL, 0);

    if (rc == 0) {
        rc = template_await(fd, for_ms);
    }
    return rc < 0 ? rc : template_receive(fd, ret_answer, ret_text, fds);
}

/* Send the message, and wait for one of the kind that answers it. */
static bool converse(const char *path, const TemplateMessage *message,
                     TemplateKind expected, TemplateMessage *ret_answer,
                     char **ret_text, GArray *fds, GError **error)
{
    int fd;

    if (!template_client_connect(path, &fd, error)) {
        return false;
    }
    int rc = ask(fd, message, TEMPLATE_PATIENCE_MS, ret_answer, ret_text, fds);
    g_autofree char *silence =
        rc == -ETIMEDOUT ? template_describe_silence(fd) : NULL;
    close(fd);
    if (rc < 0) {
        return fail(path, silence ? silence : g_strerror(-rc), error);
    }
    return ret_answer->kind == expected ||
           fail(path, "an answer that no template gives", error);
}

static bool is_same_file(int fd, const char *path, const char *name,
                         GError **error)
{
    struct stat held, named;

    if (stat(path, &named) < 0) {
        util_error_set_errno(error, errno, "%s: cannot find", name);
        return false;
    }
    if (fstat(fd, &held) < 0 || held.st_dev != named.st_dev ||
        held.st_ino != named.st_ino) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "%s: not the file that this template was made from; "
                    "start another template of it",
                    name);
        return false;
    }
    return true;
}

static void close_from(GArray *fds, guint first)
{
    for (guint i = first; i < fds->len; i++) {
        close(g_array_index(fds, int, i));
    }
    g_array_set_size(fds, first);
}

int template_client_snapshot(const char *path, const char *snapshot,
                             const char *name, GError **error)
{
    const TemplateMessage hello = {.kind = TEMPLATE_HELLO,
                                   .block = TEMPLATE_ROLE_VISITOR,
                                   .page = TEMPLATE_VERSION};
    g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(int));
    TemplateMessage welcome;

    if (!converse(path, &hello, TEMPLATE_WELCOME, &welcome, NULL, fds, error)) {
        close_from(fds, 0);
        return -1;
    }
    if (welcome.page != TEMPLATE_VERSION || fds->len == 0) {
        close_from(fds, 0);
        fail(path, "it is of another version of preheat", error);
        return -1;
    }
    close_from(fds, 1);
    int fd = g_array_index(fds, int, 0);
    if (!is_same_file(fd, snapshot, name, error)) {
        close(fd);
        return -1;
    }
    return fd;
}

bool template_client_execute(const char *path, TemplateKind kind,
                             json_t **ret_answer, GError **error)
{
    const TemplateMessage message = {.kind = kind};
    g_autofree char *text = NULL;
    TemplateMessage answer;

    if (!converse(path, &message, TEMPLATE_ANSWER, &answer, &text, NULL,
                  error)) {
        return false;
    }
    if (ret_answer) {
        *ret_answer = json_loads(text, 0, NULL);
    }
    return true;
}

/* ---- a machine of its pool ---- */

/* It answers at all, and in our words. */
static bool check_answers(int fd, GError **error)
{
    const TemplateMessage hello = {.kind = TEMPLATE_HELLO,
                                   .block = TEMPLATE_ROLE_VISITOR,
                                   .page = TEMPLATE_VERSION};
    TemplateMessage welcome;
    int rc = ask(fd, &hello, TEMPLATE_PATIENCE_MS, &welcome, NULL, NULL);
    g_autofree char *silence =
        rc == -ETIMEDOUT ? template_describe_silence(fd) : NULL;

    if (rc < 0) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_PROTOCOL, "%s",
                    silence ? silence : g_strerror(-rc));
        return false;
    }
    if (welcome.kind != TEMPLATE_WELCOME || welcome.page != TEMPLATE_VERSION) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_PROTOCOL,
                    "it is of another version of preheat");
        return false;
    }
    return true;
}

/* A machine that comes just now is not lost: the template can send nothing from
 * now on, and what it has sent is read. */
static int take_late(int fd, TemplateMessage *ret_answer, char **ret_text)
{
    (void)shutdown(fd, SHUT_RD);
    int rc = template_receive(fd, ret_answer, ret_text, NULL);

    return rc == -EPIPE ? -ETIMEDOUT : rc;
}

static bool take(int fd, unsigned for_ms, char **ret_text, GError **error)
{
    const TemplateMessage message = {.kind = TEMPLATE_TAKE};
    g_autofree char *text = NULL;
    TemplateMessage answer;
    int rc = ask(fd, &message, for_ms, &answer, &text, NULL);

    if (rc == -ETIMEDOUT) {
        rc = take_late(fd, &answer, &text);
    }
    if (rc == -ETIMEDOUT) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_TIMEOUT,
                    "no machine of its pool was ready within %g s; preheat "
                    "template status tells how the pool is",
                    for_ms / 1000.0);
    } else if (rc < 0) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_CLOSED,
                    "it has ended, or is of a version of preheat that knows of "
                    "no pool (%s)",
                    g_strerror(-rc));
    } else if (answer.kind == TEMPLATE_FAILED) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_REFUSED, "%s", text);
    } else if (answer.kind != TEMPLATE_ANSWER) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_PROTOCOL,
                    "an answer that no template gives");
    } else {
        *ret_text = g_steal_pointer(&text);
        return true;
    }
    return false;
}

bool template_client_take(const char *path, unsigned for_ms,
                          json_t **ret_machine, GError **error)
{
    g_autofree char *text = NULL;
    int fd;

    if (!template_client_connect(path, &fd, error)) {
        return false;
    }
    bool ok = check_answers(fd, error) && take(fd, for_ms, &text, error);
    close(fd);
    if (!ok) {
        g_prefix_error(error, "%s: ", path);
        return false;
    }
    json_t *machine = json_loads(text, 0, NULL);
    if (!json_is_object(machine)) {
        json_decref(machine);
        return fail(path, "an answer that no template gives", error);
    }
    *ret_machine = machine;
    return true;
}
