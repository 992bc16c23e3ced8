/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the command "load" requests.  All files that the load will read, and all
 * directories that it will write to, are open: QEMU may give up its user or its
 * root after that.
 */
#pragma once

#include <stdint.h>

#include <glib.h>
#include <jansson.h>

#include "formats/byte-source.h"
#include "formats/control-protocol.h"
#include "plugin/descriptors.h"
#include "plugin/destination.h"

typedef struct LoadRequest {
    ByteSource *snapshot;
    uint64_t offset;
    LoadCache cache;
    LoadRest rest;
    uint64_t rest_bytes_per_s; /* 0: no limit */
    uint64_t max_ram_bytes;    /* an image of more is refused */
    LoadPolicy policy;
    ByteSource *order;   /* NULL: none … */
    GError *order_error; /* … or it cannot be opened, for this reason */
    ByteSource *pack;    /* the same of the order's pack */
    GError *pack_error;
    bool pack_always;
    int template_fd;    /* connected to a template; -1: none */
    Destination *stats; /* each NULL: not asked for */
    Destination *record;
    Destination *learn; /* not together with record */
    bool learn_exists;  /* there is something at that path */
    uint64_t record_ms;
    uint64_t learn_ms;
    uint64_t start_us;
} LoadRequest;

/* NULL with PAGER_ERROR_STATE, FORMATS_ERROR or UTIL_ERROR. */
LoadRequest *load_request_new(const json_t *arguments,
                              const Descriptors *descriptors, GError **error);

/* Closes what nobody has stolen.  NULL is fine. */
void load_request_free(LoadRequest *request);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(LoadRequest, load_request_free)
