/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reading and writing files at an offset, in full or with an error.
 * Messages do not name the file: the caller prefixes its path.  All errors
 * are UTIL_ERROR_FAILED.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <glib.h>

/* Open a regular file for reading, O_CLOEXEC.  Returns its descriptor, or -1,
 * also where there is something that is no regular file. */
int file_open_regular(const char *path, uint64_t *ret_len_bytes,
                      GError **error);

/* What fstat() says of fd; false where it leads to no regular file. */
bool file_stat_regular(int fd, struct stat *ret_stat, GError **error);

/* Read exactly len_bytes. */
bool file_read_at(int fd, void *buffer, size_t len_bytes, uint64_t off_bytes,
                  GError **error);

/* Write exactly len_bytes. */
bool file_write_at(int fd, const void *buffer, size_t len_bytes,
                   uint64_t off_bytes, GError **error);

/*
 * Where a file is to be written: an opened folder and a name in it.  Opened
 * early, it stays the same place whatever is done to the path afterwards, and
 * needs no path any more (after a chroot, for instance).
 */
typedef struct FilePlace FilePlace;

/*
 * Open the directory of path, and check that a file can be written there, as
 * far as that is known beforehand: we may write to the directory, and what is
 * there, if anything, is a regular file.
 *
 * A symbolic link is followed, so that it stays and what it leads to is
 * written, if the link belongs to us or to root.  One that belongs to anybody
 * else is an error: whoever may write in a folder could otherwise choose which
 * of our files is overwritten.
 *
 * Returns a new place, or NULL.
 */
FilePlace *file_place_open(const char *path, GError **error);

/* NULL is fine. */
void file_place_free(FilePlace *place);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(FilePlace, file_place_free)

/*
 * Write these bytes there, as often as you like: into a new file of another
 * name, synced and renamed, so that a crash leaves the old file or the new one.
 * Symbolic links are not followed any more.  We need the right to write in the
 * folder at that time.
 *
 * A new file is for us alone (mode 0600).  A file that was there hands on its
 * mode and group and, if we are root, its owner; but not a stranger's file in a
 * folder that everybody may write.
 */
bool file_place_write(const FilePlace *place, const void *data,
                      size_t len_bytes, GError **error);

/* What is there now, opened for reading: a regular file, O_CLOEXEC.  ret_fd is
 * -1 where nothing is.  Symbolic links are not followed. */
bool file_place_read(const FilePlace *place, int *ret_fd, GError **error);

/* Wait, timeout_ms at the most, until nobody else has locked a place in that
 * folder, and lock it: so that what is read there can be written anew.  Only
 * those who lock it, too, are kept away.  A file system that knows no such lock
 * is not waited for. */
bool file_place_lock(const FilePlace *place, unsigned timeout_ms,
                     GError **error);

void file_place_unlock(const FilePlace *place);

/* Open, write and free. */
bool file_replace(const char *path, const void *data, size_t len_bytes,
                  GError **error);

/* Open and free. */
bool file_check_replaceable(const char *path, GError **error);

/* Have nobody but its owner do more with the new file at path than with the one
 * at like.  A file of another user is left as it is. */
void file_hide_like(const char *path, const char *like);
