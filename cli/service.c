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
#include <sys/un.h>
#include <unistd.h>

#include "util/text.h"

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

void service_notify(const char *format, ...)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *name = g_getenv("NOTIFY_SOCKET");
    socklen_t len = name ? set_address(&address, name) : 0;
    va_list args;

    if (len == 0) {
        return;
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    /* A manager that does not hear it finds out by its own time-outs. */
    (void)sendto(fd, text, strlen(text), MSG_NOSIGNAL,
                 (const struct sockaddr *)&address, len);
    close(fd);
}

void service_notify_status(const char *text)
{
    g_autofree char *line = text_printable(text);

    /* What follows a newline would be another assignment. */
    service_notify("STATUS=%s", g_strdelimit(line, "\n", ' '));
}
