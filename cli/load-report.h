/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reports on a load: for the user on standard error, for programs as JSON, one
 * object per line, on standard output, and as a line to a descriptor when the
 * guest is ready.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "host/load-command.h"

typedef struct LoadReport LoadReport;

/* Where nothing was asked for with --ready-fd. */
#define LOAD_REPORT_NO_FD (-1)

/*
 * snapshot (borrowed): as the user wrote it.
 *
 * json: standard output is for us alone from now on, and whatever else goes
 * there, of QEMU say, goes to standard error.
 *
 * ready_fd: taken over; no child gets it.  UTIL_ERROR_USAGE where it cannot be
 * written to, or is a standard stream.
 */
LoadReport *load_report_new(const char *snapshot, bool json, int ready_fd,
                            GError **error);

/* Closes the descriptor.  NULL is fine. */
void load_report_free(LoadReport *report);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(LoadReport, load_report_free)

/* For LoadOptions.tell; opaque is the report. */
void load_report_tell(const LoadNews *news, void *opaque);

/* Whether it was told that there is a guest, be it paused. */
bool load_report_has_guest(const LoadReport *report);

/* This load has something of its own, for SavedCommandOptions.placed; opaque is
 * the report. */
void load_report_placed(const char *kind, const char *saved, const char *now,
                        void *opaque);

/* The command fails for this reason, which the caller says to the user. */
void load_report_failed(LoadReport *report, const char *reason);
