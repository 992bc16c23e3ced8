/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/load-image.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/qcow2-state.h"
#include "host/template-client.h"
#include "util/error.h"
#include "util/file.h"

/* ---- files ---- */

/* QEMU itself may load from what is no regular file, a block device say. */
static int open_any(const char *path, GError **error)
{
    /* Not to wait for somebody at the other end of a pipe. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        util_error_set_errno(error, errno, "cannot open it");
    } else {
        /* Fails nowhere: QEMU finds it as if it had opened it. */
        (void)fcntl(fd, F_SETFL, 0);
    }
    return fd;
}

static bool open_snapshot(LoadImage *image, const LoadOptions *options,
                          GError **error)
{
    uint64_t len_bytes;

    image->files.snapshot =
        options->policy == LOAD_POLICY_FULL
            ? open_any(options->snapshot, error)
            : file_open_regular(options->snapshot, &len_bytes, error);
    if (image->files.snapshot < 0) {
        g_prefix_error(error, "%s: ", options->given_snapshot);
    }
    return image->files.snapshot >= 0;
}

/* The snapshot is the very file that the template has open. */
static bool open_template(LoadImage *image, const LoadOptions *options,
                          GError **error)
{
    image->files.snapshot = template_client_snapshot(
        options->template, options->snapshot, options->given_snapshot, error);
    return image->files.snapshot >= 0 &&
           template_client_connect(options->template, &image->files.template,
                                   error);
}

bool load_image_open(LoadImage *image, const LoadOptions *options,
                     GError **error)
{
    *image = (LoadImage){.files = {-1, -1}};
    return options->template ? open_template(image, options, error)
                             : open_snapshot(image, options, error);
}

void load_image_clear(LoadImage *image)
{
    g_clear_pointer(&image->snapshot, ram_image_free);
    if (image->files.snapshot >= 0) {
        close(image->files.snapshot);
    }
    if (image->files.template >= 0) {
        close(image->files.template);
    }
    image->files = (LoadFiles){-1, -1};
}

/* ---- what it says ---- */

static bool read_image(LoadImage *image, const LoadOptions *options,
                       GError **error)
{
    ByteSource *source = byte_source_new_fd(image->files.snapshot,
                                            options->given_snapshot, error);

    if (source && options->tag) {
        source = qcow2_state_open(source, options->tag, error);
    }
    image->snapshot =
        source ? ram_image_open_headers(source, options->image_off_bytes, error)
               : NULL;
    if (!image->snapshot) {
        return false;
    }
    (void)run_state_read(image->snapshot->source,
                         image->snapshot->device_state_off_bytes,
                         &image->run_state);
    return load_image_is_large(image) ||
           ram_image_read_bitmaps(image->snapshot, error);
}

bool load_image_read(LoadImage *image, const LoadOptions *options,
                     GError **error)
{
    if (read_image(image, options, error)) {
        return true;
    }
    g_clear_pointer(&image->snapshot, ram_image_free);
    return false;
}

static bool is_still_named(const LoadImage *image, const LoadOptions *options)
{
    struct stat held, named;

    return fstat(image->files.snapshot, &held) == 0 &&
           stat(options->snapshot, &named) == 0 &&
           held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

bool load_image_check_unchanged(const LoadImage *image,
                                const LoadOptions *options, GError **error)
{
    if (!is_still_named(image, options)) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "%s: another file is there since QEMU was started",
                    options->given_snapshot);
        return false;
    }
    return !image->snapshot ||
           ram_image_check_unchanged(image->snapshot, error);
}

bool load_image_is_large(const LoadImage *image)
{
    return image->snapshot &&
           image->snapshot->ram_bytes > LOAD_IMAGE_EARLY_RAM_BYTES;
}

bool load_image_read_late(const LoadImage *image, uint64_t machine_ram_bytes,
                          GError **error)
{
    return !load_image_is_large(image) ||
           (ram_image_check_ram(image->snapshot, machine_ram_bytes, error) &&
            ram_image_read_bitmaps(image->snapshot, error));
}

uint64_t load_image_off_bytes(const LoadImage *image,
                              const LoadOptions *options)
{
    return image->snapshot ? image->snapshot->image_off_bytes
                           : options->image_off_bytes;
}
