/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Source: Linux, Documentation/admin-guide/mm/userfaultfd.rst and
 * include/uapi/linux/userfaultfd.h; the names that Debian 12's headers do
 * not have yet are declared here.
 */
#include "plugin/pager/uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/userfaultfd.h>

#ifndef UFFDIO_MOVE
#define UFFD_FEATURE_MOVE                (1 << 16)
#define UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES ((__u64)1 << 1)
struct uffdio_move {
    __u64 dst;
    __u64 src;
    __u64 len;
    __u64 mode;
    __s64 move;
};
#define UFFDIO_MOVE _IOWR(UFFDIO, 0x05, struct uffdio_move)
#endif

#ifndef UFFDIO_POISON
struct uffdio_poison {
    struct uffdio_range range;
    __u64 mode;
    __s64 updated;
};
#define UFFDIO_POISON _IOWR(UFFDIO, 0x08, struct uffdio_poison)
#endif

static int call(int fd, unsigned long request, void *argument)
{
    return ioctl(fd, request, argument) == 0 ? 0 : -errno;
}

/* Of a batch request: how far it came, by what it reports in done (bytes, or
 * a negative errno where nothing was done). */
static int batch_result(int rc, int64_t done, uint64_t *ret_done)
{
    *ret_done = done > 0 ? (uint64_t)done : 0;
    if (rc == -EAGAIN) {
        return UFFD_AGAIN;
    }
    return rc == -EEXIST ? UFFD_EXISTS : rc;
}

/* What uffd_prepare() has opened, or -1: the device; where there is none, a
 * userfaultfd that nobody has yet (an atomic, so that only one takes it). */
static int kept_device = -1;
static _Atomic int kept_uffd = -1;

/* These return a descriptor or -errno. */

static int open_device(void)
{
    int fd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

    return fd >= 0 ? fd : -errno;
}

static int open_by_device(int device)
{
    int fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);

    return fd >= 0 ? fd : -errno;
}

static int open_by_call(void)
{
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

    return fd >= 0 ? fd : -errno;
}

static int open_fd(void)
{
    int kept = atomic_exchange(&kept_uffd, -1);

    if (kept >= 0) {
        return kept;
    }
    if (kept_device >= 0) {
        return open_by_device(kept_device);
    }
    int device = open_device();
    if (device < 0) {
        return open_by_call();
    }
    int fd = open_by_device(device);
    close(device);
    return fd;
}

void uffd_prepare(void)
{
    if (kept_device >= 0 || atomic_load(&kept_uffd) >= 0) {
        return;
    }
    kept_device = open_device();
    if (kept_device < 0) {
        /* The privilege to make the system call is good for one. */
        atomic_store(&kept_uffd, open_by_call());
    }
}

void uffd_unprepare(void)
{
    int kept = atomic_exchange(&kept_uffd, -1);

    if (kept >= 0) {
        close(kept);
    }
    if (kept_device >= 0) {
        close(kept_device);
        kept_device = -1;
    }
}

/* The kernel answers with all that it can do, wanted or not. */
static int open_with(uint64_t features, int *ret_fd, UffdCaps *ret_caps)
{
    struct uffdio_api api = {.api = UFFD_API, .features = features};
    int fd = open_fd();

    if (fd < 0) {
        return fd;
    }
    int rc = call(fd, UFFDIO_API, &api);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    *ret_caps =
        ((api.features & UFFD_FEATURE_MISSING_SHMEM) ? UFFD_CAN_SHARED : 0) |
        ((api.features & UFFD_FEATURE_MINOR_SHMEM) ? UFFD_CAN_MINOR : 0) |
        ((api.features & UFFD_FEATURE_MOVE) ? UFFD_CAN_MOVE : 0);
    return 0;
}

int uffd_open(int *ret_fd, UffdCaps *ret_caps)
{
    return open_with(UFFD_FEATURE_THREAD_ID, ret_fd, ret_caps);
}

int uffd_open_with_removals(int *ret_fd, UffdCaps *ret_caps)
{
    return open_with(UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_EVENT_REMOVE |
                         UFFD_FEATURE_EVENT_REMAP,
                     ret_fd, ret_caps);
}

int uffd_register(int fd, uint64_t start, uint64_t len, UffdMode mode)
{
    struct uffdio_register argument = {
        .range = {.start = start, .len = len},
        .mode = mode == UFFD_MINOR ? UFFDIO_REGISTER_MODE_MINOR
                                   : UFFDIO_REGISTER_MODE_MISSING,
    };

    return call(fd, UFFDIO_REGISTER, &argument);
}

int uffd_unregister(int fd, uint64_t start, uint64_t len)
{
    struct uffdio_range argument = {.start = start, .len = len};

    return call(fd, UFFDIO_UNREGISTER, &argument);
}

int uffd_copy(int fd, uint64_t dst, const void *src, uint64_t len,
              uint64_t *ret_done)
{
    struct uffdio_copy argument = {
        .dst = dst,
        .src = (uintptr_t)src,
        .len = len,
        .mode = UFFDIO_COPY_MODE_DONTWAKE,
    };
    int rc = call(fd, UFFDIO_COPY, &argument);

    return batch_result(rc, argument.copy, ret_done);
}

int uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len, bool skip_holes,
              uint64_t *ret_done)
{
    struct uffdio_move argument = {
        .dst = dst,
        .src = src,
        .len = len,
        .mode = skip_holes ? UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES : 0,
    };
    int rc = call(fd, UFFDIO_MOVE, &argument);

    return batch_result(rc, argument.move, ret_done);
}

int uffd_continue(int fd, uint64_t start, uint64_t len, uint64_t *ret_done)
{
    struct uffdio_continue argument = {
        .range = {.start = start, .len = len},
    };
    int rc = call(fd, UFFDIO_CONTINUE, &argument);

    return batch_result(rc, argument.mapped, ret_done);
}

int uffd_zero(int fd, uint64_t start, uint64_t len)
{
    struct uffdio_zeropage argument = {
        .range = {.start = start, .len = len},
    };
    uint64_t done;
    int rc = call(fd, UFFDIO_ZEROPAGE, &argument);

    return batch_result(rc, argument.zeropage, &done);
}

int uffd_poison(int fd, uint64_t start, uint64_t len)
{
    struct uffdio_poison argument = {
        .range = {.start = start, .len = len},
    };
    uint64_t done;
    int rc = call(fd, UFFDIO_POISON, &argument);

    return batch_result(rc, argument.updated, &done);
}

int uffd_wake(int fd, uint64_t start, uint64_t len)
{
    struct uffdio_range argument = {.start = start, .len = len};

    return call(fd, UFFDIO_WAKE, &argument);
}

int uffd_next_message(int fd, UffdMessage *ret_message)
{
    for (;;) {
        struct uffd_msg message;
        ssize_t got = read(fd, &message, sizeof message);

        if (got < 0) {
            return errno == EAGAIN || errno == EINTR ? UFFD_AGAIN : -errno;
        }
        if (got != (ssize_t)sizeof message) {
            return -EIO;
        }
        if (message.event == UFFD_EVENT_PAGEFAULT) {
            ret_message->is_removal = false;
            ret_message->fault = (UffdFault){
                .address = message.arg.pagefault.address,
                .is_write = (message.arg.pagefault.flags &
                             UFFD_PAGEFAULT_FLAG_WRITE) != 0,
                .thread_id = message.arg.pagefault.feat.ptid,
            };
            return 0;
        }
        if (message.event == UFFD_EVENT_REMOVE) {
            ret_message->is_removal = true;
            ret_message->removal = (UffdRemoval){
                .start = message.arg.remove.start,
                .end = message.arg.remove.end,
            };
            return 0;
        }
    }
}
