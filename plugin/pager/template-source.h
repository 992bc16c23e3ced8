/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A clone's source of pages: a template, another process that has them in
 * memory which guest RAM is mapped from (formats/template-protocol.h).
 *
 * A read asks the template for the pages that are not there yet, and waits.  A
 * thread takes what the template says.
 */
#pragma once

#include <glib.h>

#include "formats/ram-image.h"
#include "plugin/pager/page-source.h"

typedef struct TemplateSource TemplateSource;

/* Called from a thread of the source's. */
typedef struct TemplateCallbacks {
    /* Every page is there; may be called again. */
    void (*full)(void *opaque);
    /* The template has gone, and pages are missing: check() fails now. */
    void (*gone)(void *opaque);
    void *opaque;
} TemplateCallbacks;

/*
 * Greet the template at the other end of fd, which stays the caller's; to the
 * template the clone is there for as long as it is open.  snapshot must outlive
 * the source, and be the template's.
 *
 * Returns NULL with FORMATS_ERROR.
 */
TemplateSource *template_source_new(const RamImage *snapshot, int fd,
                                    GError **error);

/* Freed by page_source_free(). */
PageSource *template_source_base(TemplateSource *source);

/* Take what the template says from now on; once.  Returns 0 or -errno. */
int template_source_start(TemplateSource *source,
                          const TemplateCallbacks *callbacks);
