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

static bool set_address(struct sockaddr_un *address, const char *path)
{
    address->sun_family = AF_UNIX;
    return g_strlcpy(address->sun_path, path, sizeof address->sun_path) <
           sizeof address->sun_path;
}

/* Make room at path, unless what is there is in use, or no socket. */
static bool make_room(const char *path)
{
    struct sockaddr_un address = {0};
    struct stat info;

    if (lstat(path, &info) < 0) {
        return errno == ENOENT;
    }
    if (!S_ISSOCK(info.st_mode) || !set_address(&address, path) ||
        is_alive(&address)) {
        errno = EADDRINUSE;
        return false;
    }
    return unlink(path) == 0;
}

static bool publish(const char *new_path, const char *path)
{
    bool ok = make_room(path) && link(new_path, path) == 0;

    if (!ok && errno == EEXIST) {
        /* Another was quicker. */
        errno = EADDRINUSE;
    }
    return ok;
}

/* Under another name until it listens: who finds it at path can connect, and
 * nobody takes it for one that is left over.  Returns -1 with errno. */
static int listen_at(const char *path, const struct sockaddr_un *new_address)
{
    const char *new_path = new_address->sun_path;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    /* A killed template may have had our process ID. */
    (void)unlink(new_path);
    bool ok = bind_at(fd, new_address) && listen(fd, SOMAXCONN) == 0 &&
              publish(new_path, path);
    int saved = errno;

    (void)unlink(new_path);
    if (!ok) {
        close(fd);
        errno = saved;
    }
    return ok ? fd : -1;
}

int template_socket_listen(const char *path, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(path);
    g_autofree char *new_path =
        g_strdup_printf("%s/.%d", folder, (int)getpid());
    struct sockaddr_un new_address = {0};

    if (strlen(path) >= sizeof new_address.sun_path ||
        !set_address(&new_address, new_path)) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "%s: longer than a socket's path may be", path);
        return -1;
    }
    int fd = listen_at(path, &new_address);
    if (fd < 0) {
        util_error_set_errno(error, errno, "%s: cannot listen", path);
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
