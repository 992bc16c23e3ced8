/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The order of an image that libvirt has saved: where it is, and whether it is
 * to be recorded or to be improved.
 *
 * It is called IMAGE.order and is beside the image if QEMU's user may write
 * there, or else in a directory for all such orders, with "%" for each "/" of
 * the image's path.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef struct RestoreOrder {
    char *path;    /* NULL: there is no place for it */
    bool is_there; /* to be used; else: to be recorded */
    bool learns;   /* … and to be improved by this load */
    char *warning; /* or NULL */
} RestoreOrder;

/* A load that learns holds some of the order's pages back, to see who needs
 * them: so not all of them do.  An order that is younger stays as it is. */
#define RESTORE_ORDER_LEARN_S 3600

/*
 * Find it.  folder: an absolute path, or NULL.  identity is the image's.
 *
 * An order of an earlier image of this name is used as well, since most of what
 * the guest needs is still in the same place; if something is to be learned, it
 * becomes the order of this image.
 */
void restore_order_find(const char *image_path, const char *folder,
                        const char *identity, RestoreOrder *ret_order);

void restore_order_clear(RestoreOrder *order);
