/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/pager/ram-kinds.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

RamKind ram_kind_anonymous = RAM_ANONYMOUS;
RamKind ram_kind_shared = RAM_SHARED;
RamKind ram_kind_hugetlb = RAM_HUGETLB;
RamKind ram_kind_hugetlb_shared = RAM_HUGETLB_SHARED;

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/"

bool have_userfaultfd(UffdCaps needed)
{
    int fd;
    UffdCaps caps;

    if (uffd_open(&fd, &caps) == 0) {
        close(fd);
        if ((caps & needed) == needed) {
            return true;
        }
    }
    printf("skipped: userfaultfd%s%s is not to be had here\n",
           needed & UFFD_CAN_MOVE ? " with MOVE (Linux 6.8)" : "",
           needed & UFFD_CAN_MINOR ? " and minor faults" : "");
    return false;
}

static uint64_t read_number(const char *path)
{
    g_autofree char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL)
               ? g_ascii_strtoull(text, NULL, 10)
               : 0;
}

static void write_number(int fd, uint64_t number)
{
    g_autofree char *text = g_strdup_printf("%" PRIu64, number);

    /* Who reads it back sees whether it was done. */
    (void)!write(fd, text, strlen(text));
}

uint64_t hugetlb_pool_n_free(void)
{
    uint64_t n_free = read_number(POOL "free_hugepages");
    uint64_t n_promised = read_number(POOL "resv_hugepages");

    return n_free > n_promised ? n_free - n_promised : 0;
}

/* As many as it takes for n free ones. */
static void reserve(const HugetlbPool *pool, uint64_t n)
{
    uint64_t n_free = hugetlb_pool_n_free();

    if (n_free < n && pool->setting >= 0) {
        write_number(pool->setting,
                     read_number(POOL "nr_hugepages") + n - n_free);
    }
}

/* Memory has been in use for long. */
static void compact(void)
{
    int fd = open("/proc/sys/vm/compact_memory", O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        write_number(fd, 1);
        close(fd);
    }
}

bool hugetlb_pool_open(HugetlbPool *pool, uint64_t n)
{
    *pool =
        (HugetlbPool){.setting = open(POOL "nr_hugepages", O_RDWR | O_CLOEXEC)};
    if (pool->setting >= 0) {
        flock(pool->setting, LOCK_EX);
    }
    pool->n_before = read_number(POOL "nr_hugepages");
    reserve(pool, n);
    if (hugetlb_pool_n_free() < n && pool->setting >= 0) {
        compact();
        reserve(pool, n);
    }
    if (hugetlb_pool_n_free() >= n) {
        return true;
    }
    printf("skipped: there are no %" PRIu64 " free huge pages (hugetlb), and "
           "none to be had; root may reserve some\n",
           n);
    hugetlb_pool_close(pool);
    return false;
}

void hugetlb_pool_close(HugetlbPool *pool)
{
    if (pool->setting >= 0) {
        write_number(pool->setting, pool->n_before);
        close(pool->setting);
        pool->setting = -1;
    }
}

RamKind ram_kind_of(void **state)
{
    return *(RamKind *)*state;
}
