/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Other files behind the descriptors that a QEMU inherits from libvirt, while
 * guest RAM is being taken over.
 *
 * libvirt tells QEMU by number which descriptor is the image and which one its
 * monitor listens on.  Before main() has looked at them, the first becomes an
 * empty memory file, the skeleton to be, and the second a listener that nobody
 * knows.  libvirt, whose connection waits at the real one, hears nothing of
 * QEMU until that is put back, and then finds a QEMU that is like any other;
 * no byte of what they say is touched.
 *
 * Instead of libvirt we connect to that listener, at once, so that nobody else
 * can: it serves one client at a time.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "plugin/libvirt/restore-args.h"

typedef struct RestoreSwap RestoreSwap;

/* Exchange them.  On an error nothing has changed.  To be called while the
 * process has one thread. */
RestoreSwap *restore_swap_new(const RestoreArgs *args, GError **error);

/* What QEMU's own monitor for us is to be: an argument for -chardev, which
 * stays owned by swap. */
char *restore_swap_monitor_argument(const RestoreSwap *swap);

/* Our end of that monitor; to be taken over once. */
int restore_swap_steal_monitor(RestoreSwap *swap);

/* The real image, and what QEMU has in its place; both stay swap's. */
int restore_swap_image(const RestoreSwap *swap);
int restore_swap_skeleton(const RestoreSwap *swap);

/* Wait until QEMU has accepted our connection.  From then on it ignores the
 * listener until that connection ends, and does nothing with the image until
 * somebody tells it to: a thread may put both back.  QEMU's main thread need
 * not wait. */
void restore_swap_await_qemu(const RestoreSwap *swap);

/* Put the image back, wherever QEMU has duplicates of its descriptor by now. */
bool restore_swap_give_back_image(RestoreSwap *swap, GError **error);

/* Let libvirt speak to QEMU. */
void restore_swap_give_back_listener(RestoreSwap *swap);

/* The skeleton has been loaded: free the memory that it takes. */
void restore_swap_drop_skeleton(const RestoreSwap *swap);

/* Close what is left.  NULL is fine. */
void restore_swap_free(RestoreSwap *swap);
