/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/load-request.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "formats/qcow2-state.h"
#include "plugin/arguments.h"
#include "plugin/pager/pager.h"
#include "util/clock.h"

#define DEFAULT_RECORD_MS 10000

void load_request_free(LoadRequest *request)
{
    if (!request) {
        return;
    }
    byte_source_free(request->snapshot);
    byte_source_free(request->order);
    g_clear_error(&request->order_error);
    byte_source_free(request->pack);
    g_clear_error(&request->pack_error);
    destination_free(request->stats);
    destination_free(request->record);
    destination_free(request->learn);
    if (request->template_fd >= 0) {
        close(request->template_fd);
    }
    g_free(request);
}

/* The paths and the policy, borrowed from the arguments; NULL: not given. */
typedef struct Given {
    const char *snapshot;
    const char *tag;
    const char *order;
    const char *pack;
    const char *pack_use;
    const char *policy;
    const char *cache;
    const char *rest;
    const char *stats;
    const char *record;
    const char *learn;
    const char *template;
} Given;

static bool parse(const json_t *arguments, const Descriptors *descriptors,
                  Given *given, LoadRequest *request, GError **error)
{
    static const char *const known_descriptors[] = {
        CONTROL_KEY_SNAPSHOT, CONTROL_KEY_ORDER, CONTROL_KEY_PACK,
        CONTROL_KEY_TEMPLATE, NULL};
    json_t *names = NULL;
    const Argument known[] = {
        {CONTROL_KEY_SNAPSHOT, ARGUMENT_STRING, true, &given->snapshot},
        {CONTROL_KEY_TAG, ARGUMENT_STRING, false, &given->tag},
        {CONTROL_KEY_OFFSET, ARGUMENT_COUNT, false, &request->offset},
        {CONTROL_KEY_MAX_RAM, ARGUMENT_COUNT, false, &request->max_ram_bytes},
        {CONTROL_KEY_ORDER, ARGUMENT_STRING, false, &given->order},
        {CONTROL_KEY_PACK, ARGUMENT_STRING, false, &given->pack},
        {CONTROL_KEY_PACK_USE, ARGUMENT_STRING, false, &given->pack_use},
        {CONTROL_KEY_POLICY, ARGUMENT_STRING, false, &given->policy},
        {CONTROL_KEY_CACHE, ARGUMENT_STRING, false, &given->cache},
        {CONTROL_KEY_REST, ARGUMENT_STRING, false, &given->rest},
        {CONTROL_KEY_REST_RATE, ARGUMENT_COUNT, false,
         &request->rest_bytes_per_s},
        {CONTROL_KEY_RECORD, ARGUMENT_STRING, false, &given->record},
        {CONTROL_KEY_RECORD_FOR, ARGUMENT_MS, false, &request->record_ms},
        {CONTROL_KEY_LEARN, ARGUMENT_STRING, false, &given->learn},
        {CONTROL_KEY_LEARN_FOR, ARGUMENT_MS, false, &request->learn_ms},
        {CONTROL_KEY_TEMPLATE, ARGUMENT_STRING, false, &given->template},
        {CONTROL_KEY_STATS, ARGUMENT_STRING, false, &given->stats},
        {CONTROL_KEY_START_US, ARGUMENT_COUNT, false, &request->start_us},
        {CONTROL_KEY_DESCRIPTORS, ARGUMENT_ANY, false, &names},
        {NULL},
    };

    return arguments_parse(arguments, known, error) &&
           descriptors_check(descriptors, known_descriptors, error);
}

static bool check(const Given *given, LoadRequest *request, LoadPack *ret_pack,
                  GError **error)
{
    if (given->policy &&
        !load_policy_from_name(given->policy, &request->policy)) {
        g_set_error(
            error, PAGER_ERROR, PAGER_ERROR_STATE,
            "unknown policy %s: it must be order, sequential, demand or full",
            given->policy);
        return false;
    }
    if (given->cache && !load_cache_from_name(given->cache, &request->cache)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "there is no reading %s: auto, direct, buffered",
                    given->cache);
        return false;
    }
    if (given->rest && !load_rest_from_name(given->rest, &request->rest)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "unknown rest %s: it must be idle, eager or demand",
                    given->rest);
        return false;
    }
    if (given->pack_use && !load_pack_from_name(given->pack_use, ret_pack)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "a pack cannot be used %s: auto, always, never",
                    given->pack_use);
        return false;
    }
    if (given->learn && given->record) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "record cannot be used with learn");
        return false;
    }
    if (given->template && (request->policy != LOAD_POLICY_DEMAND ||
                            given->record || given->learn)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "a template goes with policy demand, and without record "
                    "and learn");
        return false;
    }
    return true;
}

/* A file that came as a descriptor is not looked for by its path. */
static ByteSource *open_source(const Descriptors *descriptors, const char *name,
                               const char *path, GError **error)
{
    int fd = descriptors_find(descriptors, name);

    return fd >= 0 ? byte_source_new_fd(fd, path, error)
                   : byte_source_open(path, error);
}

/* NULL path: nothing is asked for. */
static bool open_output(const char *path, Destination **ret_output,
                        GError **error)
{
    if (!path) {
        return true;
    }
    *ret_output = destination_open(path, error);
    return *ret_output != NULL;
}

/* The command's descriptor stays its own. */
static bool keep_template(const Descriptors *descriptors, LoadRequest *request,
                          GError **error)
{
    int fd = descriptors_find(descriptors, CONTROL_KEY_TEMPLATE);

    if (fd < 0) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "the descriptor template is missing");
        return false;
    }
    request->template_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (request->template_fd < 0) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "the descriptor template cannot be duplicated: %s",
                    g_strerror(errno));
    }
    return request->template_fd >= 0;
}

/* Both are hints: what is wrong with them is told later. */
static void open_hints(const Given *given, const Descriptors *descriptors,
                       LoadPack pack, LoadRequest *request)
{
    if (!given->order || request->policy != LOAD_POLICY_ORDER) {
        return;
    }
    request->order = open_source(descriptors, CONTROL_KEY_ORDER, given->order,
                                 &request->order_error);
    if (given->pack && pack != LOAD_PACK_NEVER) {
        request->pack = open_source(descriptors, CONTROL_KEY_PACK, given->pack,
                                    &request->pack_error);
        request->pack_always = pack == LOAD_PACK_ALWAYS;
    }
}

static bool open_files(const Given *given, const Descriptors *descriptors,
                       LoadPack pack, LoadRequest *request, GError **error)
{
    request->snapshot =
        open_source(descriptors, CONTROL_KEY_SNAPSHOT, given->snapshot, error);
    if (request->snapshot && given->tag) {
        request->snapshot = qcow2_state_open(
            g_steal_pointer(&request->snapshot), given->tag, error);
    }
    if (!request->snapshot) {
        return false;
    }
    if (given->template && !keep_template(descriptors, request, error)) {
        return false;
    }
    open_hints(given, descriptors, pack, request);
    request->learn_exists =
        given->learn && g_file_test(given->learn, G_FILE_TEST_EXISTS);
    return open_output(given->stats, &request->stats, error) &&
           open_output(given->record, &request->record, error) &&
           open_output(given->learn, &request->learn, error);
}

LoadRequest *load_request_new(const json_t *arguments,
                              const Descriptors *descriptors, GError **error)
{
    g_autoptr(LoadRequest) request = g_new0(LoadRequest, 1);
    LoadPack pack = LOAD_PACK_AUTO;
    Given given = {0};

    request->template_fd = -1;
    request->max_ram_bytes = UINT64_MAX;
    request->policy = LOAD_POLICY_ORDER;
    request->cache = LOAD_CACHE_AUTO;
    request->rest = LOAD_REST_IDLE;
    request->record_ms = DEFAULT_RECORD_MS;
    request->learn_ms = DEFAULT_RECORD_MS;
    request->start_us = monotonic_us();
    if (!parse(arguments, descriptors, &given, request, error) ||
        !check(&given, request, &pack, error) ||
        !open_files(&given, descriptors, pack, request, error)) {
        return NULL;
    }
    return g_steal_pointer(&request);
}
