/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Why a QEMU has ended before its monitor answered, as far as can be found out
 * afterwards.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

/* For the command line argv with its program; plugin_answered: the plugin was
 * loaded and ran.  A sentence for g_free(); NULL: what QEMU has said itself is
 * all.  May start the program once more, without a machine. */
char *start_failure_explain(char *const *argv, const char *plugin,
                            bool plugin_answered);
