/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The files that libvirt writes when it saves a domain (virsh save, virsh
 * managedsave): a header, the domain's XML, and QEMU's image behind them.
 *
 * Source of the format: libvirt, src/qemu/qemu_saveimage.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "formats/byte-source.h"

/* Whether source begins as such a file does. */
bool libvirt_image_is_one(const ByteSource *source);

/*
 * Where the image begins.  FORMATS_ERROR_NOT_THIS where it is no such file;
 * FORMATS_ERROR_UNSUPPORTED where the image is none that can be loaded lazily,
 * with what to do; FORMATS_ERROR_VERSION; FORMATS_ERROR_MALFORMED.  They begin
 * with the source's name.
 */
bool libvirt_image_find(const ByteSource *source, uint64_t *ret_off_bytes,
                        GError **error);
