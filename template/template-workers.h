/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The threads that have the pages that a template's clones wait for.
 *
 * Each waits for one read.  Clones of one snapshot want the same pages at the
 * same time, so a page is read once for all of them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "template/template-client.h"
#include "template/template.h"

/* As many as there ever are: each is a fetcher of the template's. */
#define TEMPLATE_MAX_WORKERS 64

typedef struct TemplateWorkers TemplateWorkers;

/* template, borrowed, is made for so many fetchers.  Returns NULL with
 * UTIL_ERROR. */
TemplateWorkers *template_workers_new(Template *template, GError **error);

/* Reads that are under way come to their end; whoever waits is told nothing
 * more.  NULL is fine. */
void template_workers_free(TemplateWorkers *workers);

/* Have the page, for which template_has(), and tell client.  Of the main
 * thread.  Returns false where it waits for too many. */
bool template_workers_want(TemplateWorkers *workers, TemplateClient *client,
                           size_t block, uint64_t page);
