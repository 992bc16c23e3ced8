/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Does the work of `preheat loadvm` inside a QEMU with which libvirt restores a
 * domain: compares the machine with the image, has the
 * plugin take over guest RAM, and watches over the load.  QEMU's own part, and
 * the guest's start, stay libvirt's.
 *
 * It takes two steps.  The plugin's object is preloaded (LD_PRELOAD), so that
 * it is there before main(): then the descriptors are exchanged
 * (restore-swap.h).  When QEMU loads it once more, as its plugin, the load
 * begins, in a thread of its own.
 *
 * Whatever goes wrong before guest RAM was taken over is reported, and QEMU
 * loads the image as it would without preheat.
 */
#pragma once

#include <stdbool.h>

/* The environment variable that asks for it.  Its value is the folder for the
 * orders of images beside which QEMU may not write; anything but an absolute
 * path is no folder. */
#define RESTORE_VARIABLE "PREHEAT_LIBVIRT"

/* Before main(), with its arguments, of which one may be exchanged; plugin: the
 * path by which this object was loaded.  Does nothing where it is not asked
 * for, or there is nothing to restore. */
void restore_prepare(char **argv, const char *plugin);

/* Whether restore_start() has something to do. */
bool restore_is_wanted(void);

/* The plugin is up: begin.  control_fd, taken over: a connection to it; -1:
 * there is none.  say: to whoever looks at QEMU's error output. */
void restore_start(int control_fd, void (*say)(const char *text));
