/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A session as inside QEMU, but in a test: a small snapshot file, and plain
 * mappings for guest RAM.  A session is never freed, so neither is a world.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>
#include <jansson.h>

#include "formats/page-order.h"
#include "formats/ram-image.h"
#include "plugin/session.h"
#include "tests/pager/ram-kinds.h"
#include "tests/plugin/line-client.h"

#define WORLD_PAGE_BYTES UINT64_C(4096)

/* The blocks that are guest RAM here: "pc.ram" of 130 pages, of which 0, 1,
 * 5, 128 and 129 are in the file, and "vga.vram" of 64 pages, all in it.  The
 * snapshot has a third block, "pc.rom", that QEMU would load itself. */
typedef enum {
    WORLD_RAM,
    WORLD_VRAM,
    WORLD_N_BLOCKS,
} WorldBlock;

#define WORLD_N_PAGES         194
#define WORLD_N_PAGES_IN_FILE 69

typedef struct World {
    Session *session;
    LineClient *events;
    char *folder;       /* removed at the program's end */
    char *path;         /* of the snapshot */
    int fd;             /* the same, for writing */
    GBytes *bytes;      /* what was written there */
    RamImage *snapshot; /* opened by the test, for looking things up */
    uint8_t *memory[WORLD_N_BLOCKS];
} World;

/* The memory's pages hold something else than the snapshot's. */
World *world_new(void);

/* The same snapshot, session and memory of its own. */
World *world_new_like(const World *other);

/* cmocka's group teardown: removes what world_new() has written. */
int worlds_remove_files(void **state);

/* How often any session has warned. */
unsigned world_n_warnings(void);

/* The path of a file in the world's folder; for g_free(). */
char *world_file(const World *world, const char *name);

/* The path of a file in a folder of its own there, which is gone once the place
 * has been opened: world_remove_place().  For g_free(). */
char *world_place(const World *world);
void world_remove_place(const World *world);

uint8_t *world_page(const World *world, WorldBlock block, uint64_t page);

/* The page holds what the snapshot has of it. */
bool world_page_is_right(const World *world, WorldBlock block, uint64_t page);

/* Touch the page and see that it is right. */
void world_touch(const World *world, WorldBlock block, uint64_t page);

/* Make all memory what the snapshot has, by writing it. */
void world_fill(const World *world);

/* Cut the file off behind so many pages of the block. */
void world_cut_file(const World *world, WorldBlock block, uint64_t n_pages);

/* Let reads of these pages fail with EIO, or no more. */
void world_break_reads(const World *world, WorldBlock block,
                       uint64_t first_page, uint64_t n_pages);
void world_mend_reads(void);

/* The arguments of "load", with policy; of the other commands. */
json_t *world_load_arguments(const World *world, const char *policy);
json_t *world_attach_arguments(const World *world);
json_t *world_verify_arguments(const World *world);
json_t *world_profile_arguments(const World *world, const char *output);

/* The arguments of "load", with one more, a text. */
json_t *world_load_arguments_with(const World *world, const char *policy,
                                  const char *name, const char *value);

/* Execute the command, which must work; arguments: stolen, NULL: none. */
json_t *world_call(const World *world, const char *command, json_t *arguments);

/* The same with one descriptor called name, which stays the caller's. */
json_t *world_call_with_fd(const World *world, const char *command,
                           json_t *arguments, const char *name, int fd,
                           GError **error);

/* The same, where the answer must be {}. */
void world_do(const World *world, const char *command, json_t *arguments);

/* The same, where the command must fail with a message that has text. */
void world_refuse(const World *world, const char *command, json_t *arguments,
                  const char *text);

/* The same after one value of the video memory in "blocks" was changed. */
void world_refuse_vram(const World *world, const char *command,
                       json_t *arguments, const char *name, json_t *value,
                       const char *text);

void world_load(const World *world, const char *policy);
void world_attach(const World *world);
void world_await(const World *world, const char *goal);

/* "load", which must work but warn; returns the warning, for g_free(). */
char *world_load_warned(const World *world, json_t *arguments);

/* End a recording, or learning, and wait until its order is written. */
void world_end_recording(const World *world);

/* "verify" says that all memory is the snapshot's; once all is loaded. */
void world_assert_equal(const World *world);
void world_assert_loads(const World *world);

/* Load the order, which must work. */
PageOrder *world_load_order(const char *path);

/* The i-th extent is this one page. */
void world_assert_extent(const PageOrder *order, guint i, const char *block,
                         uint64_t page);

/* message has text in it. */
void assert_says(const char *message, const char *text);

/* object.name, a number or a text. */
json_int_t number_in(const json_t *object, const char *name);
const char *text_in(const json_t *object, const char *name);

/* The "state" of the answer to a query. */
void world_assert_state(const World *world, const char *query,
                        const char *state);
