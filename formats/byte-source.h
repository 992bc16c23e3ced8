/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where the readers of all formats read bytes from: files for users, memory for
 * tests and fuzzers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

typedef struct ByteSource ByteSource;

/* One kind of source.  Those who read call the functions below instead. */
typedef struct ByteSourceOps {
    /* Read exactly len_bytes, not 0, which lie within the source. */
    bool (*read_at)(const ByteSource *source, void *buffer, size_t len_bytes,
                    uint64_t off_bytes, GError **error);
    /* See byte_source_check_unchanged(); NULL: never changes. */
    bool (*check_unchanged)(const ByteSource *source, GError **error);
    /* See byte_source_advise_random(); NULL: nothing to be done. */
    void (*advise_random)(const ByteSource *source);
    /* Free the source, but for what stands in ByteSource. */
    void (*free)(ByteSource *source);
} ByteSourceOps;

/* A kind of source begins with this, which byte_source_init() fills in as for
 * one without holes and without a file. */
struct ByteSource {
    const ByteSourceOps *ops;
    char *name; /* for messages: a path, as it was given */
    uint64_t len_bytes;
    uint64_t stored_bytes; /* what it takes on disk: less than its length if
                              it has holes; 0 where it is not known */
    int fd;                /* of a file; -1: none.  Owned by the source */
};

/* The regular file at path.  NULL with UTIL_ERROR, which names it. */
ByteSource *byte_source_open(const char *path, GError **error);

/* The regular file that fd, which the caller keeps, leads to: a duplicate of
 * fd is made.  The file is read at offsets, so that nobody's position moves.
 * NULL with UTIL_ERROR, which begins with name. */
ByteSource *byte_source_new_fd(int fd, const char *name, GError **error);

/* These bytes; a reference to them is taken. */
ByteSource *byte_source_new_memory(GBytes *bytes, const char *name);

void byte_source_init(ByteSource *source, const ByteSourceOps *ops,
                      const char *name, uint64_t len_bytes);

/* NULL is fine. */
void byte_source_free(ByteSource *source);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ByteSource, byte_source_free)

/* Read exactly len_bytes.  FORMATS_ERROR_TRUNCATED where the source ends
 * before; UTIL_ERROR where it cannot be read.  Messages do not name it. */
bool byte_source_read_at(const ByteSource *source, void *buffer,
                         size_t len_bytes, uint64_t off_bytes, GError **error);

/* Read what there is at off_bytes, at most max_bytes; errors as above. */
bool byte_source_read_some(const ByteSource *source, void *buffer,
                           size_t max_bytes, uint64_t off_bytes,
                           size_t *ret_len_bytes, GError **error);

/* Those who read choose what is read together: the system's guesses would only
 * delay what somebody waits for.  Advice: may come to nothing. */
void byte_source_advise_random(const ByteSource *source);

/*
 * Whether the source is what it was when it was opened, as far as the file
 * system shows: its length, its mtime and, where no other name, mode or owner
 * explains it, its ctime.  FORMATS_ERROR_CHANGED names the source and what
 * has changed; UTIL_ERROR if the file system cannot say.
 *
 * Not noticed: what changes no time.  That is a write through a mapping until
 * the kernel has come to mark the file, a file system that keeps no times, a
 * change on the device below it, and a write in the same tick of the kernel's
 * clock (some milliseconds) as the last one before the file was opened.
 */
bool byte_source_check_unchanged(const ByteSource *source, GError **error);
