/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whatever the image says, the state's extents lie within it, do not overlap,
 * and can be read; and whatever somebody writes into the image, a state that
 * is open is read, or refused with a reason.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

#include "formats/qcow2-state.h"
#include "formats/qcow2.h"

static void check_extents(const Qcow2 *qcow2, const GArray *extents)
{
    uint64_t end_bytes = 0;

    for (guint i = 0; i < extents->len; i++) {
        const Qcow2Extent *extent = &g_array_index(extents, Qcow2Extent, i);

        g_assert(extent->len_bytes > 0);
        g_assert(extent->state_off_bytes >= end_bytes);
        g_assert(extent->file_off_bytes < qcow2->source->len_bytes);
        g_assert(extent->len_bytes <=
                 qcow2->source->len_bytes - extent->file_off_bytes);
        end_bytes = extent->state_off_bytes + extent->len_bytes;
    }
}

static void check_state(const Qcow2 *qcow2, const Qcow2Snapshot *snapshot,
                        GBytes *image)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) extents = qcow2_state_extents(qcow2, snapshot, &error);
    uint8_t bytes[64];

    g_assert((extents == NULL) == (error != NULL));
    if (!extents) {
        return;
    }
    check_extents(qcow2, extents);
    /* Of several of one name it is the first, which may have none. */
    g_autoptr(ByteSource) state = qcow2_state_open(
        byte_source_new_memory(image, "fuzz"), snapshot->name, NULL);
    if (!state) {
        return;
    }
    size_t len_bytes = MIN(sizeof bytes, state->len_bytes);
    g_assert(byte_source_read_at(state, bytes, len_bytes,
                                 state->len_bytes - len_bytes, NULL));
}

/* Where in the image, and what, is taken from its end. */
static void write_somewhere(int fd, const uint8_t *data, size_t len_bytes)
{
    const uint8_t *end = data + len_bytes;
    off_t at = (off_t)((end[-1] << 8 | end[-2]) % len_bytes);

    g_assert(pwrite(fd, end - 10, 8, at) == 8);
}

static void check_changing(const uint8_t *data, size_t len_bytes,
                           const char *tag)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    g_autoptr(GError) error = NULL;
    uint8_t byte;

    g_assert(write(fd, data, len_bytes) == (ssize_t)len_bytes);
    g_autoptr(ByteSource) state =
        qcow2_state_open(byte_source_new_fd(fd, "fuzz", NULL), tag, NULL);
    if (state && len_bytes > 16) {
        write_somewhere(fd, data, len_bytes);
        bool ok = byte_source_read_at(state, &byte, 1, 0, &error);

        g_assert(ok == (error == NULL));
        g_clear_error(&error);
        ok = byte_source_check_unchanged(state, &error);
        g_assert(ok == (error == NULL));
    }
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
    g_autoptr(GBytes) bytes = g_bytes_new(data, len_bytes);
    g_autoptr(ByteSource) source = byte_source_new_memory(bytes, "fuzz");
    g_autoptr(GError) error = NULL;
    g_autoptr(Qcow2) qcow2 = qcow2_open(source, &error);

    g_assert((qcow2 == NULL) == (error != NULL));
    for (size_t i = 0; qcow2 && i < qcow2->n_snapshots; i++) {
        check_state(qcow2, &qcow2->snapshots[i], bytes);
        check_changing(data, len_bytes, qcow2->snapshots[i].name);
    }
    return 0;
}
