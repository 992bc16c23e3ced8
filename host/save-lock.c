/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/save-lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "host/unix-socket.h"
#include "util/error.h"

#define POLL_MS 100

/* /proc/PID is there for every user, for as long as the process is, and
 * nothing is left behind. */
static int open_process(const Machine *machine)
{
    struct ucred peer;
    g_autofree char *path = NULL;

    if (!unix_socket_peer(rpc_fd(machine_qmp(machine)), &peer, NULL)) {
        return -1;
    }
    path = g_strdup_printf("/proc/%d", (int)peer.pid);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool save_lock_take(Machine *machine, const Progress *progress, int *ret_fd,
                    GError **error)
{
    int fd = open_process(machine);
    bool ok = true;

    while (fd >= 0 && ok && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK) {
            progress_note(progress, "waiting", "another save of this guest");
            ok = machine_pump(machine, POLL_MS, error);
        } else {
            close(fd);
            fd = -1;
        }
    }
    progress_end(progress);
    if (!ok) {
        close(fd);
        return false;
    }
    *ret_fd = fd;
    return true;
}
