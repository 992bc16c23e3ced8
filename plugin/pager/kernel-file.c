/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/kernel-file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <glib.h>

#define PIECE_BYTES 65536

static const char *const paths[N_KERNEL_FILES] = {
    [KERNEL_FILE_MAPS] = "/proc/self/maps",
    [KERNEL_FILE_SMAPS] = "/proc/self/smaps",
    [KERNEL_FILE_STATUS] = "/proc/self/status",
    [KERNEL_FILE_MOUNTS] = "/proc/self/mountinfo",
};

/* Constant from kernel_files_prepare() to kernel_files_unprepare(); -1: none.
 */
static int kept[N_KERNEL_FILES] = {-1, -1, -1, -1};

static int open_file(KernelFile file)
{
    return open(paths[file], O_RDONLY | O_CLOEXEC);
}

void kernel_files_prepare(void)
{
    for (KernelFile i = 0; i < N_KERNEL_FILES; i++) {
        if (kept[i] < 0) {
            kept[i] = open_file(i);
        }
    }
}

void kernel_files_unprepare(void)
{
    for (KernelFile i = 0; i < N_KERNEL_FILES; i++) {
        if (kept[i] >= 0) {
            close(kept[i]);
            kept[i] = -1;
        }
    }
}

/* From the start, and by position: others may read the same descriptor. */
static char *read_all(int fd)
{
    g_autoptr(GByteArray) text = g_byte_array_new();
    ssize_t got;

    do {
        guint len = text->len;

        g_byte_array_set_size(text, len + PIECE_BYTES);
        got = pread(fd, text->data + len, PIECE_BYTES, len);
        if (got < 0 && errno != EINTR) {
            return NULL;
        }
        g_byte_array_set_size(text, len + (guint)MAX(got, 0));
    } while (got != 0);
    g_byte_array_append(text, (const guint8 *)"", 1);
    return (char *)g_byte_array_free(g_steal_pointer(&text), FALSE);
}

char *kernel_file_read(KernelFile file)
{
    if (kept[file] >= 0) {
        return read_all(kept[file]);
    }
    int fd = open_file(file);
    if (fd < 0) {
        return NULL;
    }
    char *text = read_all(fd);
    int saved = errno;
    close(fd);
    errno = saved;
    return text;
}

const char *kernel_file_path(KernelFile file)
{
    return paths[file];
}
