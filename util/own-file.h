/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Files that belong to the running program.
 */
#pragma once

/* The path of a file that the running program needs: beside, which starts at
 * the directory of the program ("../plugin/x.so"), as in a build tree, or else
 * installed, an absolute path.  For g_free(); NULL if it is at neither. */
char *own_file_find(const char *beside, const char *installed);
