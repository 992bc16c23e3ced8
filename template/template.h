/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A template: a snapshot's RAM in memory that many machines map, filled once.
 *
 * Each RAM block that a clone may load lazily lies in a memfd, and the pager
 * fills these as it fills the RAM of one machine: a page enters the memory with
 * all of its contents at once.  Which pages are there shows in memory that is
 * shared as well (formats/template-protocol.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>
#include <jansson.h>

#include "formats/page-order.h"
#include "formats/ram-image.h"
#include "plugin/pager/pager-config.h"

typedef struct Template Template;

/* Called from the template's threads. */
typedef struct TemplateEvents {
    void (*failed)(void *opaque, const PagerFailure *failure);
    /* From one of them, always the same. */
    void (*slow)(void *opaque, const PagerSlowRead *slow);
    void (*full)(void *opaque);
    void *opaque;
} TemplateEvents;

/*
 * Begin to fill a template from image, of which it takes over the ownership,
 * also by a failure, in the sequence of order (may be NULL; not kept).
 * n_fetchers: threads that call template_fetch().
 *
 * Returns NULL with FORMATS_ERROR or PAGER_ERROR.
 */
Template *template_new(RamImage *image, const PageOrder *order,
                       unsigned n_fetchers, const TemplateEvents *events,
                       GError **error);

/* Its threads are ended, the memory is the clones' alone.  NULL is fine. */
void template_free(Template *template);

const RamImage *template_image(const Template *template);

/* What goes with WELCOME to a clone, to a visitor only the first: descriptors
 * that can only read, still the template's; an array of int. */
const GArray *template_fds(const Template *template);

/* WELCOME's text; for free(). */
char *template_welcome(const Template *template);

/* Whether a clone may ask for that page. */
bool template_has(const Template *template, uint64_t block, uint64_t page);

/* Have the page, for which template_has(), now.  fetcher is no other call's at
 * this time.  Returns 0 or -errno. */
int template_fetch(Template *template, unsigned fetcher, size_t block,
                   uint64_t page);

bool template_is_full(const Template *template);

/* After TemplateEvents.full: give back what only filling needs.  Meanwhile
 * others may ask, fetch and retry. */
void template_release(Template *template);

/* After a failure: try again. */
void template_retry(Template *template);

/* A new object: snapshot, identity, state, pages, shared memory, and what
 * filling cost. */
json_t *template_status(Template *template);
