/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "template/template-socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/error.h"

/* Whether somebody listens there. */
static bool is_alive(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool is = fd >= 0 && (connect(fd, (const struct sockaddr *)address,
                                  sizeof *address) == 0 ||
                          errno != ECONNREFUSED);

    if (fd >= 0) {
        close(fd);
    }
    return is;
}

static bool bind_at(int fd, const struct sockaddr_un *address)
{
    mode_t before = umask(0177);
    bool ok = bind(fd, (const struct sockaddr *)address, sizeof *address) == 0;

    umask(before);
    return ok;
}

int template_socket_listen(const char *path, GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat info;

    if (strlen(path) >= sizeof address.sun_path) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "%s: longer than a socket's path may be", path);
        return -1;
    }
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && bind_at(fd, &address);
    if (!ok && errno == EADDRINUSE && lstat(path, &info) == 0 &&
        S_ISSOCK(info.st_mode) && !is_alive(&address)) {
        (void)unlink(path);
        ok = bind_at(fd, &address);
    }
    if (!ok || listen(fd, SOMAXCONN) < 0) {
        util_error_set_errno(error, errno, "%s: cannot listen", path);
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

bool template_socket_is_ours(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}
