/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The order of an image that libvirt has saved: where it is, and whether it is
 * to be made or to be improved.
 *
 * It is called IMAGE.order and lies beside the image if QEMU's user may write
 * there, or else in a folder for all such orders, with "%" for each "/" of the
 * image's path.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef struct RestoreOrder {
    char *path;    /* NULL: there is no place for it */
    bool is_there; /* to be used and improved; else: to be recorded */
    char *warning; /* or NULL */
} RestoreOrder;

/*
 * Find it.  folder: an absolute path, or NULL.  identity is the image's.
 *
 * An order that belongs to another image of this name, one that the domain was
 * saved to before, is made this one's: most of what the guest needs lies where
 * it was, and learning does the rest.
 */
void restore_order_find(const char *image_path, const char *folder,
                        const char *identity, RestoreOrder *ret_order);

void restore_order_clear(RestoreOrder *order);
