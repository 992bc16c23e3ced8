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

/* Replace what is at path by these bytes, or make it: written to a temporary
 * name beside it, synced, renamed, so that a crash leaves the old file or the
 * new one.  A file that was there hands on its permissions and, where we may
 * give it away, its owner; a symbolic link stays, and what it leads to is
 * replaced.  What is no regular file is left alone, with an error. */
bool file_replace(const char *path, const void *data, size_t len_bytes,
                  GError **error);

/* Whether file_replace() may go well, as far as can be told beforehand. */
bool file_check_replaceable(const char *path, GError **error);
