/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A template with clones, all in this process: the template's server with a
 * source that the test can hold up, and pagers that map its memory.
 *
 * To be linked with --wrap for page_source_new_file, page_source_free and
 * ram_image_free.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/pager/pager.h"
#include "plugin/pager/template-source.h"
#include "tests/pager/fake-snapshot.h"

#define TEMPLATE_N_BLOCKS 2
/* Of each block; the template holds those of 2 MiB and more. */
#define TEMPLATE_N_PAGES 2048

typedef struct TemplateWorld {
    RamImage *image;
    FakeSource *fake; /* what the template reads from */
    PageOrder *order; /* owned; NULL, until a test sets it */
    char *folder;
    char *path; /* of the socket */
    int interrupt;
    pthread_t server;
    bool runs;
} TemplateWorld;

/* There is one at a time. */
TemplateWorld *template_world_new(void);
void template_world_free(TemplateWorld *world);

/* Start the template, which can be connected to then; end it. */
void template_world_start(TemplateWorld *world);
void template_world_stop(TemplateWorld *world);

/* A template that reads a page only when somebody waits for it; one that has
 * all of them. */
TemplateWorld *template_world_new_held_up(void);
TemplateWorld *template_world_new_full(void);

int template_world_connect(const TemplateWorld *world);

/* What `preheat template status` prints; for g_free(). */
char *template_world_status(const TemplateWorld *world);
void template_world_await_state(const TemplateWorld *world, const char *state);

/* The next page from first on that is in the file, or is not. */
uint64_t template_world_find_page(const TemplateWorld *world, size_t block,
                                  uint64_t first, bool in_file);

/* Memory as QEMU has it for a block, with something in it. */
uint8_t *template_world_map_ram(void);

typedef struct TemplateClone {
    const RamImage *image;
    int fd;
    uint8_t *memory[TEMPLATE_N_BLOCKS];
    TemplateSource *source;
    LoadStats *stats;
    Pager *pager;
    _Atomic unsigned n_failed;
    _Atomic unsigned n_final;
} TemplateClone;

/* One that has come to the template; and has its memory mapped from it.  Both
 * in one. */
TemplateClone *template_world_greet(const TemplateWorld *world);
void template_clone_attach(TemplateClone *clone);
TemplateClone *template_world_clone(const TemplateWorld *world);
void template_clone_free(TemplateClone *clone);

uint8_t *template_clone_page(const TemplateClone *clone, size_t block,
                             uint64_t page);

/* Whether the page holds what the snapshot has of it. */
bool template_clone_is_right(const TemplateClone *clone, size_t block,
                             uint64_t page);
void template_clone_assert_right(const TemplateClone *clone);

void template_clone_await_loaded(const TemplateClone *clone);
