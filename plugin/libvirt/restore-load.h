/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The sequence of a lazy load in which QEMU's own part is done by somebody
 * else, libvirt.
 */
#pragma once

#include <glib.h>

#include "plugin/libvirt/restore-swap.h"

typedef struct RestoreJob {
    const char *image_path;   /* for messages, and for its order */
    const char *order_folder; /* see restore_order_find() */
    int control_fd;           /* a connection to the plugin; taken over */
    void (*say)(const char *text);
} RestoreJob;

typedef struct RestoreLoad RestoreLoad;

/*
 * Wait until QEMU's monitor answers, take over guest RAM, and write the
 * skeleton.  job's strings and swap are borrowed.
 *
 * On an error guest RAM is QEMU's, and nothing is loaded.
 */
RestoreLoad *restore_load_begin(const RestoreJob *job, RestoreSwap *swap,
                                GError **error);

/* Look after the load until all is loaded and the guest runs, or QEMU ends;
 * frees load. */
void restore_load_attend(RestoreLoad *load);
