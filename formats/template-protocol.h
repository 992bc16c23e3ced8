/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a template (`preheat template start`) and its clones say to each other,
 * over a UNIX socket of type SOCK_SEQPACKET, and what lies in the memory that
 * they share.
 *
 * A client begins with HELLO, and the template answers WELCOME:
 *
 *   client                     template
 *   HELLO page=version         WELCOME page=version, text: JSON, files
 *   WANT block page            HAVE block page, or FAILED block page error;
 *                              not always in the sequence of the questions
 *                              FULL, once: every page is there
 *   STATUS                     ANSWER text: JSON
 *   RETRY                      ANSWER
 *   STOP                       ANSWER; then it ends
 *   TAKE                       once a machine of the pool runs its guest:
 *                              ANSWER text: JSON, or FAILED text: why not
 *
 * WELCOME's text is {"snapshot": path, "identity": RamImage.identity, "offset":
 * RamImage.image_off_bytes, "blocks": [index, …]}: the blocks that the template
 * holds, by their index in the image.  Its files, all open for reading only:
 * the snapshot; and for a clone (HELLO block=TEMPLATE_ROLE_CLONE), the shared
 * state and the memory of each of the blocks, in their sequence.
 *
 * The shared state is a TemplateState, and behind it for each block of the
 * image, also for those that are not held, a bitmap of whole 64-bit words: bit
 * i of it is set once page i can be read, because it is in the block's memory
 * or because the snapshot does not have it: it is zero then.  Bits are never
 * cleared.  (A page enters the memory with all of its contents at once.) Behind
 * the bitmaps lie TemplateState.n_runs of TemplateRun: the pages that a guest
 * is likely to touch, by the template's order and in its sequence.
 *
 * Both ends run on one machine: numbers are in its own byte order.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "formats/ram-image.h"

#define TEMPLATE_VERSION 1

/* So many descriptors go with one message (SCM_MAX_FD, less ours). */
#define TEMPLATE_MAX_BLOCKS 200

#define TEMPLATE_MAX_TEXT_BYTES (64 * 1024)

/* So long a template may take to answer what needs no storage: one that is busy
 * for other clones is through by then. */
#define TEMPLATE_PATIENCE_MS 10000

/* What the memory is called in /proc/PID/maps, after "memfd:". */
#define TEMPLATE_MEMORY_NAME "preheat-template"

typedef enum {
    TEMPLATE_HELLO = 1,
    TEMPLATE_WELCOME,
    TEMPLATE_WANT,
    TEMPLATE_HAVE,
    TEMPLATE_FAILED,
    TEMPLATE_FULL,
    TEMPLATE_STATUS,
    TEMPLATE_RETRY,
    TEMPLATE_STOP,
    TEMPLATE_ANSWER,
    TEMPLATE_TAKE,
} TemplateKind;

/* Of HELLO, in block. */
typedef enum {
    TEMPLATE_ROLE_VISITOR,
    TEMPLATE_ROLE_CLONE, /* error: QEMU's process ID, for people */
} TemplateRole;

/* How a message begins; its text follows. */
typedef struct TemplateMessage {
    uint32_t kind;  /* TemplateKind */
    uint32_t error; /* an errno */
    uint64_t block;
    uint64_t page;
} TemplateMessage;

#define TEMPLATE_KEY_SNAPSHOT "snapshot"
#define TEMPLATE_KEY_IDENTITY "identity"
#define TEMPLATE_KEY_OFFSET   "offset"
#define TEMPLATE_KEY_BLOCKS   "blocks"

typedef struct TemplateState {
    _Atomic uint32_t full; /* 1: every page is there */
    uint32_t reserved;
    uint64_t n_runs; /* constant, as the runs */
    uint32_t reserved_too[12];
} TemplateState;

/* Pages next to each other, all of them in the snapshot. */
typedef struct TemplateRun {
    uint64_t block; /* of the image; need not be one that is held */
    uint64_t first_page;
    uint64_t n_pages;
} TemplateRun;

/* Send one message; text may be NULL.  Does not wait: -EAGAIN where the other
 * end does not read.  Returns 0 or -errno. */
int template_send(int fd, const TemplateMessage *message, const char *text,
                  const int *fds, size_t n_fds);

/* Wait until the other end has said something, or has gone, for patience_ms at
 * most.  Returns 0 or -errno; -ETIMEDOUT. */
int template_await(int fd, unsigned patience_ms);

/* What to do with the template at the other end of fd, which does not answer;
 * for g_free(). */
char *template_describe_silence(int fd);

/*
 * Wait for one message.  *ret_text (for g_free(); NULL: not wanted) is "" where
 * there is none.  The files that come are appended to fds, an array of int, or
 * closed where that is NULL.
 * Returns 0 or -errno; -EPIPE: the other end has gone, -EPROTO: that was no
 * message, -EMFILE: there was no room for all of its files.
 */
int template_receive(int fd, TemplateMessage *ret_message, char **ret_text,
                     GArray *fds);

/* Where the bitmap of the image's block begins in the shared state; of
 * n_blocks: where the runs do. */
size_t template_bitmap_off_bytes(const RamImage *image, size_t block);
