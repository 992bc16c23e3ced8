/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/unix-socket.h"

#include <errno.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/error.h"

static void set_connect_error(int type, int error_number, unsigned patience_ms,
                              GError **error)
{
    if (error_number == EAGAIN) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "who listens there has not taken a connection for %g s: "
                    "it was stopped, or hangs; have it go on (kill -CONT), or "
                    "end it and start another%s",
                    patience_ms / 1000.0,
                    type == SOCK_STREAM
                        ? ".  Or it is a monitor, which serves one client at a "
                          "time, and several others wait: disconnect them, or "
                          "give QEMU a second -qmp"
                        : "");
    } else {
        util_error_set_errno(error, error_number, "cannot connect");
    }
}

static bool connect_address(int type, const struct sockaddr_un *address,
                            socklen_t len, unsigned patience_ms, int *ret_fd,
                            GError **error)
{
    /* Holds for connect() as well: unix(7) does not say so, but
     * unix_stream_connect() in net/unix/af_unix.c. */
    const struct timeval patience = {
        .tv_sec = patience_ms / 1000,
        .tv_usec = patience_ms % 1000 * 1000,
    };
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
                             sizeof(patience)) < 0) {
        util_error_set_errno(error, errno, "cannot make a socket");
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    if (connect(fd, (const struct sockaddr *)address, len) < 0) {
        set_connect_error(type, errno, patience_ms, error);
        close(fd);
        return false;
    }
    *ret_fd = fd;
    return true;
}

static bool connect_path(int type, const char *path, unsigned patience_ms,
                         int *ret_fd, GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(address.sun_path)) {
        g_set_error(
            error, UTIL_ERROR, UTIL_ERROR_FAILED,
            "%s: longer than the %zu bytes that the path of a socket may have",
            path, sizeof(address.sun_path) - 1);
        return false;
    }
    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    if (!connect_address(type, &address, sizeof(address), patience_ms, ret_fd,
                         error)) {
        g_prefix_error(error, "%s: ", path);
        return false;
    }
    return true;
}

bool unix_socket_connect(const char *path, unsigned patience_ms, int *ret_fd,
                         GError **error)
{
    return connect_path(SOCK_STREAM, path, patience_ms, ret_fd, error);
}

bool unix_socket_connect_packets(const char *path, unsigned patience_ms,
                                 int *ret_fd, GError **error)
{
    return connect_path(SOCK_SEQPACKET, path, patience_ms, ret_fd, error);
}

bool unix_socket_connect_abstract(const char *name, unsigned patience_ms,
                                  int *ret_fd, GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(name);

    g_assert(len < sizeof(address.sun_path));
    memcpy(address.sun_path + 1, name, len);
    len += offsetof(struct sockaddr_un, sun_path) + 1;
    return connect_address(SOCK_STREAM, &address, (socklen_t)len, patience_ms,
                           ret_fd, error);
}

bool unix_socket_peer(int fd, struct ucred *ret_peer, GError **error)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0) {
        util_error_set_errno(
            error, errno,
            "cannot determine which process is at the other end of the socket");
        return false;
    }
    *ret_peer = peer;
    return true;
}
