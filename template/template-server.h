/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A template's socket: it hands the template's memory to clones, has the pages
 * that they wait for, and answers questions about it
 * (formats/template-protocol.h).
 *
 * One thread reads what clients say; what may wait for storage is done by
 * others.  A client that does not read is cut off.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "formats/page-order.h"
#include "formats/ram-image.h"
#include "template/pool.h"

typedef struct TemplateServerOptions {
    const char *socket_path;
    const PoolOptions *pool; /* machines to be kept started; NULL: none */
    int interrupt_fd;        /* readable when we are asked to end; -1: never */
    /* Tell the user; from any thread. */
    void (*say)(const char *text);
    /* The socket can be connected to, and: can no longer.  Each may be NULL. */
    void (*ready)(void);
    void (*ending)(void);
} TemplateServerOptions;

/*
 * Serve a template of image, of which it takes over the ownership, filled in
 * the sequence of order (or NULL), until a client or a signal asks to end:
 * returns true then.  Returns false with an error where it could not begin, or
 * the snapshot was changed.
 */
bool template_server_run(RamImage *image, const PageOrder *order,
                         const TemplateServerOptions *options, GError **error);
