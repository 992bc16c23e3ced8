/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the tests of util/, host/ and cli/ share.
 */
#pragma once

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>

#include "util/error.h"

/* error is set, has the code, and its message contains text; frees it. */
void assert_util_error(GError *error, UtilError code, const char *text);

/* error is not set; fails with its message. */
void assert_no_error(const GError *error);

/* text, which is freed, is as expected; NULL: so is it. */
void assert_owned_text(char *text, const char *expected);

/* A new, empty directory, and its end with all files in it. */
char *make_directory(void);
void remove_directory(char *path);

/* The names of the files in a directory, sorted, with blanks between them. */
char *list_directory(const char *path);

/* A port of 127.0.0.1 at which somebody listens until the socket, which is
 * returned, is closed. */
int hold_tcp_port(unsigned *ret_port);

/* A connected pair of stream sockets. */
void make_sockets(int *ret_one, int *ret_other);
