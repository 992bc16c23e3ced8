/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/libvirt/restore-swap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/error.h"

/* Each descriptor: -1, or owned. */
struct RestoreSwap {
    size_t n_images;
    int images[RESTORE_MAX_IMAGES];      /* the real ones */
    int substitutes[RESTORE_MAX_IMAGES]; /* only until they are in place */
    int skeleton;                        /* the same file, to be written */
    int listener;                        /* the real one */
    int placeholder;                     /* only until it is in its place */
    int listener_fd;                     /* the number that QEMU knows it by */
    int holder;                          /* our connection to the placeholder */
    int monitor;                         /* our end */
    int qemu_monitor;                    /* QEMU's; it stays QEMU's */
    char *monitor_argument;
};

static bool fail(GError **error, const char *what)
{
    util_error_set_errno(error, errno, "%s", what);
    return false;
}

/* ---- the image ---- */

/* QEMU's fd sets tell descriptors apart by what they can do: the substitute
 * must be read-only as libvirt's is and, if that is, past the page cache. */
static int open_substitute(int skeleton, int image)
{
    int direct = fcntl(image, F_GETFL) & O_DIRECT;
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", skeleton);

    return open(path, O_RDONLY | O_CLOEXEC | direct);
}

static bool prepare_images(RestoreSwap *swap, const RestoreArgs *args,
                           GError **error)
{
    swap->skeleton = memfd_create("preheat-skeleton", MFD_CLOEXEC);
    if (swap->skeleton < 0) {
        return fail(error, "cannot make a memfd");
    }
    for (size_t i = 0; i < args->n_images; i++) {
        int image = args->image_fds[i];

        swap->images[i] = fcntl(image, F_DUPFD_CLOEXEC, 3);
        if (swap->images[i] < 0) {
            return fail(error, "libvirt's image is not open");
        }
        swap->n_images++;
        swap->substitutes[i] = open_substitute(swap->skeleton, image);
        if (swap->substitutes[i] < 0) {
            return fail(error,
                        "cannot open the memfd in the mode of the image");
        }
    }
    return true;
}

/* ---- the monitors ---- */

/* At a name that nobody can take before us, and that can be told from others
 * by who confines QEMU (AppArmor).  *ret_len: the address's length. */
static int listen_anywhere(struct sockaddr_un *ret_address, socklen_t *ret_len)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int len =
        snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1,
                 "preheat-restore-%08x%08x", g_random_int(), g_random_int());

    *ret_len =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
    if (fd >= 0 && (bind(fd, (struct sockaddr *)&address, *ret_len) < 0 ||
                    listen(fd, 1) < 0)) {
        close(fd);
        return -1;
    }
    *ret_address = address;
    return fd;
}

static bool prepare_listener(RestoreSwap *swap, int listener_fd, GError **error)
{
    struct sockaddr_un address;
    socklen_t len;

    swap->listener_fd = listener_fd;
    swap->listener = fcntl(listener_fd, F_DUPFD_CLOEXEC, 3);
    if (swap->listener < 0) {
        return fail(error, "libvirt's monitor is not open");
    }
    swap->placeholder = listen_anywhere(&address, &len);
    if (swap->placeholder < 0) {
        return fail(error, "cannot listen on an abstract socket");
    }
    swap->holder = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return (swap->holder >= 0 &&
            connect(swap->holder, (struct sockaddr *)&address, len) == 0) ||
           fail(error, "cannot connect to an abstract socket");
}

static bool prepare_monitor(RestoreSwap *swap, GError **error)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        return fail(error, "cannot make a socket pair");
    }
    swap->monitor = fds[0];
    swap->qemu_monitor = fds[1];
    swap->monitor_argument =
        g_strdup_printf("socket,id=" RESTORE_MONITOR ",fd=%d", fds[1]);
    return true;
}

/* ---- the exchange ---- */

static void close_one(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

/* None of these fails: both descriptors are open.  They are inherited ones, and
 * stay so: QEMU wants them without FD_CLOEXEC. */
static void exchange(RestoreSwap *swap, const RestoreArgs *args)
{
    for (size_t i = 0; i < args->n_images; i++) {
        dup2(swap->substitutes[i], args->image_fds[i]);
        close_one(&swap->substitutes[i]);
    }
    dup2(swap->placeholder, args->listener_fd);
    close_one(&swap->placeholder);
}

static RestoreSwap *new_empty(void)
{
    RestoreSwap *swap = g_new0(RestoreSwap, 1);

    swap->skeleton = swap->listener = swap->placeholder = swap->holder = -1;
    swap->monitor = swap->qemu_monitor = -1;
    for (size_t i = 0; i < RESTORE_MAX_IMAGES; i++) {
        swap->images[i] = swap->substitutes[i] = -1;
    }
    return swap;
}

RestoreSwap *restore_swap_new(const RestoreArgs *args, GError **error)
{
    RestoreSwap *swap = new_empty();

    if (!prepare_images(swap, args, error) ||
        !prepare_listener(swap, args->listener_fd, error) ||
        !prepare_monitor(swap, error)) {
        close_one(&swap->qemu_monitor);
        restore_swap_free(swap);
        return NULL;
    }
    exchange(swap, args);
    return swap;
}

void restore_swap_free(RestoreSwap *swap)
{
    if (!swap) {
        return;
    }
    for (size_t i = 0; i < RESTORE_MAX_IMAGES; i++) {
        close_one(&swap->images[i]);
        close_one(&swap->substitutes[i]);
    }
    close_one(&swap->skeleton);
    close_one(&swap->listener);
    close_one(&swap->placeholder);
    close_one(&swap->holder);
    close_one(&swap->monitor);
    g_free(swap->monitor_argument);
    g_free(swap);
}

char *restore_swap_monitor_argument(const RestoreSwap *swap)
{
    return swap->monitor_argument;
}

int restore_swap_steal_monitor(RestoreSwap *swap)
{
    int fd = swap->monitor;

    swap->monitor = -1;
    return fd;
}

int restore_swap_image(const RestoreSwap *swap)
{
    return swap->images[0];
}

int restore_swap_skeleton(const RestoreSwap *swap)
{
    return swap->skeleton;
}

/* ---- and back ---- */

static bool is_same_file(int fd, const struct stat *file)
{
    struct stat found;

    return fstat(fd, &found) == 0 && found.st_dev == file->st_dev &&
           found.st_ino == file->st_ino;
}

/* The image that is open as fd is; they were told apart by O_DIRECT before. */
static int image_like(const RestoreSwap *swap, int fd)
{
    int direct = fcntl(fd, F_GETFL) & O_DIRECT;

    for (size_t i = 0; i < swap->n_images; i++) {
        if ((fcntl(swap->images[i], F_GETFL) & O_DIRECT) == direct) {
            return swap->images[i];
        }
    }
    return swap->images[0];
}

/* Another file behind fd, which stays open all the time. */
static bool put_in_place(int file, int fd)
{
    int flags = fcntl(fd, F_GETFD);

    return dup3(file, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0) >= 0;
}

void restore_swap_await_qemu(const RestoreSwap *swap)
{
    char first;

    /* It greets whom it has accepted. */
    while (read(swap->holder, &first, 1) < 0 && errno == EINTR) {
    }
}

bool restore_swap_give_back_image(RestoreSwap *swap, GError **error)
{
    DIR *folder = opendir("/proc/self/fd");
    const struct dirent *entry;
    struct stat skeleton;
    bool ok = folder && fstat(swap->skeleton, &skeleton) == 0;

    while (ok && (entry = readdir(folder))) {
        int fd = atoi(entry->d_name);

        if (entry->d_name[0] != '.' && fd != swap->skeleton &&
            is_same_file(fd, &skeleton)) {
            ok = put_in_place(image_like(swap, fd), fd);
        }
    }
    if (!ok) {
        fail(error, "cannot return the image to QEMU");
    }
    if (folder) {
        closedir(folder);
    }
    return ok;
}

void restore_swap_give_back_listener(RestoreSwap *swap)
{
    /* The blocking mode is the file's. */
    (void)fcntl(swap->listener, F_SETFL, fcntl(swap->listener_fd, F_GETFL));
    (void)put_in_place(swap->listener, swap->listener_fd);
    close_one(&swap->listener);
    close_one(&swap->holder);
}

void restore_swap_drop_skeleton(const RestoreSwap *swap)
{
    /* Only memory is lost where that fails. */
    (void)!ftruncate(swap->skeleton, 0);
}
