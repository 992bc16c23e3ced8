/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Source: sd_notify(3).  Its section "Notes" promises that the protocol stays
 * as it is, and has a program without libsystemd speak it, which would load
 * more into each `preheat` than this sends.
 */
#include "cli/service.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/text.h"

/* A manager that misses READY=1 ends the service: so it gets this much time
 * where its socket is full. */
#define MAX_WAIT_S 1

/* The length of the address of the socket called name, a path, or "@" and the
 * name of an abstract socket; 0: it is neither. */
static socklen_t set_address(struct sockaddr_un *address, const char *name)
{
    size_t len = strlen(name);

    if ((name[0] != '/' && name[0] != '@') ||
        len >= sizeof(address->sun_path)) {
        return 0;
    }
    memcpy(address->sun_path, name, len + 1);
    if (name[0] == '@') {
        address->sun_path[0] = '\0';
    }
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

/* A manager that does not read in time has its socket full.  What it does not
 * hear it finds out by its own time-outs. */
static void notify(const char *text, int max_wait_s)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval max_wait = {.tv_sec = max_wait_s};
    const char *name = g_getenv("NOTIFY_SOCKET");
    socklen_t len = name ? set_address(&address, name) : 0;
    int flags = MSG_NOSIGNAL | (max_wait_s == 0 ? MSG_DONTWAIT : 0);

    if (len == 0) {
        return;
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    /* Cannot fail for a valid time, of which 0 would be "for ever". */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &max_wait, sizeof(max_wait));
    (void)sendto(fd, text, strlen(text), flags,
                 (const struct sockaddr *)&address, len);
    close(fd);
}

void service_notify(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    notify(text, MAX_WAIT_S);
}

void service_notify_status(const char *text)
{
    g_autofree char *line = text_printable(text);

    /* What follows a newline would be another assignment. */
    g_autofree char *state =
        g_strconcat("STATUS=", g_strdelimit(line, "\n", ' '), NULL);
    notify(state, 0);
}
