/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/snapshot-output.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "formats/byte-source.h"
#include "host/output-file.h"
#include "util/error.h"
#include "util/file.h"

struct SnapshotOutput {
    OutputFile *file;
    int qemu_fd;
};

SnapshotOutput *snapshot_output_new(const char *path, GError **error)
{
    g_autoptr(SnapshotOutput) output = g_new0(SnapshotOutput, 1);

    output->qemu_fd = -1;
    output->file = output_file_new(path, error);
    if (!output->file) {
        return NULL;
    }
    output->qemu_fd = output_file_open(output->file, O_WRONLY, error);
    return output->qemu_fd >= 0 ? g_steal_pointer(&output) : NULL;
}

void snapshot_output_free(SnapshotOutput *output)
{
    if (!output) {
        return;
    }
    if (output->qemu_fd >= 0) {
        close(output->qemu_fd);
    }
    output_file_free(output->file);
    g_free(output);
}

const char *snapshot_output_name(const SnapshotOutput *output)
{
    return output_file_temporary(output->file);
}

int snapshot_output_qemu_fd(const SnapshotOutput *output)
{
    return output->qemu_fd;
}

int snapshot_output_open(const SnapshotOutput *output, GError **error)
{
    return output_file_open(output->file, O_RDONLY, error);
}

static ByteSource *open_source(const SnapshotOutput *output, GError **error)
{
    int fd = snapshot_output_open(output, error);
    ByteSource *source = NULL;

    if (fd >= 0) {
        source = byte_source_new_fd(fd, snapshot_output_name(output), error);
        close(fd);
    }
    return source;
}

bool snapshot_output_rewind(SnapshotOutput *output, RunState *ret_state)
{
    g_autoptr(ByteSource) source = open_source(output, NULL);

    return lseek(output->qemu_fd, 0, SEEK_SET) == 0 && source &&
           source->len_bytes > 0 && run_state_read(source, 0, ret_state);
}

static bool write_running(const SnapshotOutput *output, const RamImage *image,
                          GError **error)
{
    uint64_t off_bytes = image->device_state_off_bytes;
    uint8_t bytes[RUN_STATE_ENCODED_BYTES];
    RunState state;

    if (!run_state_read(image->source, off_bytes, &state) ||
        strcmp(state.name, "paused") != 0) {
        return true;
    }
    run_state_encode("running", bytes);
    return file_write_at(output->qemu_fd, bytes, sizeof bytes,
                         off_bytes + state.off_bytes, error);
}

bool snapshot_output_finish(SnapshotOutput *output, bool was_running,
                            GError **error)
{
    ByteSource *source = open_source(output, error);
    g_autoptr(RamImage) image =
        source ? ram_image_open_source(source, 0, error) : NULL;

    if (!image) {
        g_prefix_error(error, "cannot read back what QEMU wrote: ");
        return false;
    }
    return !was_running || write_running(output, image, error);
}

bool snapshot_output_publish(SnapshotOutput *output, uint64_t *ret_stored_bytes,
                             GError **error)
{
    return output_file_publish(output->file, ret_stored_bytes, error);
}
