/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Source: open(2), "O_DIRECT", and cachestat(2); Linux,
 * include/uapi/linux/mman.h, for what Debian 12's headers do not have yet.
 */
#include "plugin/pager/page-file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <glib.h>

/* What a direct read needs of buffer, length and offset is at most this on
 * nearly all storage; where it is more, the read fails with EINVAL. */
#define DIRECT_BYTES 4096

/* The same on all architectures. */
#define SYS_CACHESTAT 451

typedef struct CacheRange {
    uint64_t off;
    uint64_t len;
} CacheRange;

/* Pages of that range. */
typedef struct CacheCounts {
    uint64_t n_cached;
    uint64_t n_dirty;
    uint64_t n_being_written;
    uint64_t n_evicted;
    uint64_t n_recently_evicted;
} CacheCounts;

/* A description of the same file of our own; where this process may not open
 * the file, or has no /proc, -1. */
static int open_again(int fd, int flags)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);

    return open(path, O_RDONLY | O_CLOEXEC | flags);
}

int page_file_open(int fd, LoadCache cache, PageFile *ret_file)
{
    int own = open_again(fd, 0);

    if (own < 0) {
        own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    }
    if (own < 0) {
        return -errno;
    }
    /* We choose what is read together; the kernel's guesses would only delay
     * the page that somebody waits for.  Advice: may fail. */
    (void)posix_fadvise(own, 0, 0, POSIX_FADV_RANDOM);
    ret_file->fd = own;
    ret_file->direct_fd =
        cache == LOAD_CACHE_BUFFERED ? -1 : open_again(fd, O_DIRECT);
    ret_file->cache = cache;
    atomic_init(&ret_file->shuns_direct, false);
    atomic_init(&ret_file->shuns_warm, false);
    return 0;
}

void page_file_close(PageFile *file)
{
    close(file->fd);
    if (file->direct_fd >= 0) {
        close(file->direct_fd);
    }
}

static int read_fully(int fd, uint8_t *buf, uint64_t len, uint64_t off)
{
    while (len > 0) {
        ssize_t got = pread(fd, buf, len, (off_t)off);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -errno;
        }
        if (got == 0) {
            return -ENODATA;
        }
        buf += got;
        off += (uint64_t)got;
        len -= (uint64_t)got;
    }
    return 0;
}

/* How many bytes of it are in the page cache; -1: the kernel does not tell
 * (before 6.5, or of a file that this user could not write to).  (RWF_NOWAIT
 * would tell, too, but begins to read.) */
static int64_t cached_bytes(const PageFile *file, uint64_t len, uint64_t off)
{
    CacheRange range = {.off = off, .len = len};
    CacheCounts counts;

    if (syscall(SYS_CACHESTAT, file->fd, &range, &counts, 0) < 0) {
        return -1;
    }
    return (int64_t)counts.n_cached * sysconf(_SC_PAGESIZE);
}

/* Whether less than half of it is in the page cache; where that is not known,
 * it counts as there. */
static bool is_cold(const PageFile *file, uint64_t len, uint64_t off)
{
    int64_t n_bytes = cached_bytes(file, len, off);

    return n_bytes >= 0 && (uint64_t)n_bytes * 2 < len;
}

static bool is_to_be_direct(const PageFile *file, const uint8_t *buf,
                            uint64_t len, uint64_t off, bool once)
{
    /* Relaxed: who does not see it fails once more. */
    if (file->direct_fd < 0 ||
        atomic_load_explicit(&file->shuns_direct, memory_order_relaxed) ||
        ((uintptr_t)buf | len | off) % DIRECT_BYTES != 0) {
        return false;
    }
    return file->cache == LOAD_CACHE_DIRECT ||
           (once && is_cold(file, len, off));
}

int page_file_read(PageFile *file, void *buf, uint64_t len, uint64_t off,
                   bool once)
{
    if (is_to_be_direct(file, buf, len, off, once)) {
        int rc = read_fully(file->direct_fd, buf, len, off);

        if (rc == 0) {
            return 0;
        }
        if (rc == -EINVAL || rc == -EOPNOTSUPP) {
            /* Relaxed: as above. */
            atomic_store_explicit(&file->shuns_direct, true,
                                  memory_order_relaxed);
        }
    }
    return read_fully(file->fd, buf, len, off);
}

uint64_t page_file_warm(PageFile *file, void *buf, uint64_t len, uint64_t off)
{
    /* Relaxed: who does not see it reads once more. */
    if (atomic_load_explicit(&file->shuns_warm, memory_order_relaxed) ||
        cached_bytes(file, len, off) >= (int64_t)len) {
        return 0;
    }
    if (read_fully(file->fd, buf, len, off) == 0 &&
        cached_bytes(file, len, off) == 0) {
        /* Relaxed: as above. */
        atomic_store_explicit(&file->shuns_warm, true, memory_order_relaxed);
    }
    return len;
}
