/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU's jobs: background operations and their results.
 *
 * Source: QEMU, qapi/job.json.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "host/rpc.h"

typedef enum {
    JOB_RUNNING,
    JOB_READY, /* it waits for job-complete */
    JOB_CONCLUDED,
} JobState;

/* A job that is over and not dismissed yet has a result: UTIL_ERROR_FAILED with
 * just its reason.  A job that no longer exists is over. */
bool job_query(Rpc *qmp, const char *id, JobState *ret_state, GError **error);

/* Wait until it is in that state, or over. */
bool job_await(Rpc *qmp, const char *id, JobState wanted, GError **error);
