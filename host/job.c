/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/job.h"

#include "util/error.h"

/* How often to ask how far a job is, where no event tells. */
#define POLL_MS 20

bool job_query(Rpc *qmp, const char *id, JobState *ret_state, GError **error)
{
    JobState state = JOB_CONCLUDED;
    const char *failure = NULL;
    json_t *jobs;

    if (!rpc_execute(qmp, "query-jobs", NULL, &jobs, error)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(jobs); i++) {
        const json_t *job = json_array_get(jobs, i);
        const char *status = json_string_value(json_object_get(job, "status"));

        if (g_strcmp0(json_string_value(json_object_get(job, "id")), id) == 0) {
            failure = json_string_value(json_object_get(job, "error"));
            state = g_strcmp0(status, "ready") == 0       ? JOB_READY
                    : g_strcmp0(status, "concluded") == 0 ? JOB_CONCLUDED
                                                          : JOB_RUNNING;
        }
    }
    if (failure) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED, "%s", failure);
    } else {
        *ret_state = state;
    }
    bool ok = failure == NULL;
    json_decref(jobs);
    return ok;
}

bool job_await(Rpc *qmp, const char *id, JobState wanted, GError **error)
{
    JobState state;

    for (;;) {
        if (!job_query(qmp, id, &state, error)) {
            return false;
        }
        if (state == wanted || state == JOB_CONCLUDED) {
            return true;
        }
        if (!rpc_pump(qmp, POLL_MS, error)) {
            return false;
        }
    }
}
