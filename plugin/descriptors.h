/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Open files that came with a command: its argument "descriptors" has their
 * names, in the sequence in which they were sent.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>
#include <jansson.h>

typedef struct Descriptors {
    GArray *fds;      /* of int, owned */
    GPtrArray *names; /* of const char *, borrowed from the arguments */
} Descriptors;

/*
 * Take those that the arguments name from the head of arrived, an array of
 * int; what arguments have no names for stays there.
 *
 * Returns NULL with PAGER_ERROR_STATE where the names are no list of texts,
 * one is there twice, or fewer have arrived.
 */
Descriptors *descriptors_take(const json_t *arguments, GArray *arrived,
                              GError **error);

/* Closes all.  NULL is fine. */
void descriptors_free(Descriptors *descriptors);

/* The one called name, still owned by descriptors; -1 where there is none.
 * NULL: none has come. */
int descriptors_find(const Descriptors *descriptors, const char *name);

/* Whether each is called one of known, which NULL ends; PAGER_ERROR_STATE names
 * one that is not. */
bool descriptors_check(const Descriptors *descriptors, const char *const *known,
                       GError **error);
