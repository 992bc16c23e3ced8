/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who is connected to a template: a clone, or somebody who asks about it.  It
 * is there for as long as somebody has a reference.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include <glib.h>

#include "formats/template-protocol.h"

typedef struct TemplateClient {
    _Atomic unsigned n_refs;
    unsigned n_wanted; /* pages that it waits for: the workers', under their
                          lock */
    int fd;            /* constant */
    bool is_clone;     /* this and below: the main thread's */
    bool takes;        /* it waits for a machine */
    pid_t pid;
} TemplateClient;

/* Takes over fd.  References are counted, and any thread may have some. */
TemplateClient *template_client_new(int fd);
TemplateClient *template_client_ref(TemplateClient *client);
void template_client_unref(TemplateClient *client);

/* Whoever does not read is treated as gone: its end is found by poll().
 * Returns false there. */
bool template_client_answer(const TemplateClient *client,
                            const TemplateMessage *message, const char *text);
bool template_client_answer_kind(const TemplateClient *client,
                                 TemplateKind kind, const char *text);
