/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The inherited descriptors in the command line of a QEMU with which libvirt
 * restores a domain.
 *
 * Source: libvirt, src/qemu/qemu_process.c (qemuProcessIncomingDefNew()) and
 * src/qemu/qemu_command.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

/* One descriptor that reads through the page cache and, with virsh restore
 * --bypass-cache, one that does not. */
#define RESTORE_MAX_IMAGES 2

/* What stands for preheat's own monitor until the plugin is there: a character
 * device called RESTORE_MONITOR, which a -qmp uses. */
#define RESTORE_MONITOR "preheat-monitor"

typedef struct RestoreArgs {
    int image_fds[RESTORE_MAX_IMAGES];
    size_t n_images;
    int listener_fd;      /* of libvirt's monitor */
    size_t monitor_index; /* of the argument that makes RESTORE_MONITOR */
} RestoreArgs;

/* Whether this QEMU is to load anything at all. */
bool restore_args_loads(char *const *argv);

/* Whether argv has QEMU load the plugin plugin_path, by that very path. */
bool restore_args_have_plugin(char *const *argv, const char *plugin_path);

/* UTIL_ERROR_FAILED says what is missing. */
bool restore_args_find(char *const *argv, RestoreArgs *ret_args,
                       GError **error);
