/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/template-protocol.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/clock.h"

#define MAX_FDS (TEMPLATE_MAX_BLOCKS + 2)

/* Room for the descriptors of a message, aligned as the kernel wants it. */
typedef union ControlBuffer {
    char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
    struct cmsghdr align;
} ControlBuffer;

static void put_fds(struct msghdr *header, ControlBuffer *control,
                    const int *fds, size_t n_fds)
{
    header->msg_control = control->bytes;
    header->msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
    struct cmsghdr *rights = CMSG_FIRSTHDR(header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
    memcpy(CMSG_DATA(rights), fds, n_fds * sizeof(int));
}

int template_send(int fd, const TemplateMessage *message, const char *text,
                  const int *fds, size_t n_fds)
{
    struct iovec parts[] = {
        {(void *)message, sizeof *message},
        {(void *)text, text ? strlen(text) : 0},
    };
    struct msghdr header = {.msg_iov = parts, .msg_iovlen = 2};
    ControlBuffer control = {0};
    ssize_t sent;

    g_assert(n_fds <= MAX_FDS);
    if (n_fds > 0) {
        put_fds(&header, &control, fds, n_fds);
    }
    do {
        sent = sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        return errno == ECONNRESET ? -EPIPE : -errno;
    }
    return 0;
}

int template_await(int fd, unsigned patience_ms)
{
    struct pollfd event = {.fd = fd, .events = POLLIN};
    uint64_t until_us = monotonic_us() + UINT64_C(1000) * patience_ms;
    int rc;

    do {
        uint64_t now_us = monotonic_us();
        /* Rounded up, not to ask the more often the nearer the end is. */
        uint64_t left_ms =
            now_us < until_us ? (until_us - now_us) / 1000 + 1 : 0;

        rc = poll(&event, 1, (int)MIN(left_ms, (uint64_t)G_MAXINT));
    } while (rc < 0 && errno == EINTR);
    return rc > 0 ? 0 : rc == 0 ? -ETIMEDOUT : -errno;
}

char *template_describe_silence(int fd)
{
    struct ucred peer = {0};
    socklen_t len = sizeof peer;

    /* Cannot fail on a connected socket; and 0 is nobody. */
    (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
    return g_strdup_printf(
        "it (process %d) has not answered for %d s: it was stopped, or hangs.  "
        "Have it go on (kill -CONT %d), or end it (kill -KILL %d) and start "
        "another",
        (int)peer.pid, TEMPLATE_PATIENCE_MS / 1000, (int)peer.pid,
        (int)peer.pid);
}

static void take_fds(struct msghdr *header, GArray *fds)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part;
         part = CMSG_NXTHDR(header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t n_fds = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n_fds; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
            if (fds) {
                g_array_append_val(fds, fd);
            } else {
                close(fd);
            }
        }
    }
}

static ssize_t receive(int fd, struct msghdr *header)
{
    ssize_t got;

    do {
        got = recvmsg(fd, header, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return errno == ECONNRESET ? -EPIPE : -errno;
    }
    return got == 0 ? -EPIPE : got;
}

int template_receive(int fd, TemplateMessage *ret_message, char **ret_text,
                     GArray *fds)
{
    g_autofree char *text = g_malloc(TEMPLATE_MAX_TEXT_BYTES + 1);
    TemplateMessage message;
    struct iovec parts[] = {
        {&message, sizeof message},
        {text, TEMPLATE_MAX_TEXT_BYTES},
    };
    ControlBuffer control;
    struct msghdr header = {
        .msg_iov = parts,
        .msg_iovlen = 2,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    ssize_t got = receive(fd, &header);

    if (got < 0) {
        return (int)got;
    }
    take_fds(&header, fds);
    if (got < (ssize_t)sizeof message || (header.msg_flags & MSG_TRUNC) != 0) {
        return -EPROTO;
    }
    if ((header.msg_flags & MSG_CTRUNC) != 0) {
        return -EMFILE;
    }
    text[got - (ssize_t)sizeof message] = '\0';
    *ret_message = message;
    if (ret_text) {
        *ret_text = g_steal_pointer(&text);
    }
    return 0;
}

size_t template_bitmap_off_bytes(const RamImage *image, size_t block)
{
    size_t off_bytes = sizeof(TemplateState);

    for (size_t i = 0; i < block; i++) {
        off_bytes += (image->blocks[i].n_pages / 64 +
                      (image->blocks[i].n_pages % 64 != 0)) *
                     sizeof(uint64_t);
    }
    return off_bytes;
}
