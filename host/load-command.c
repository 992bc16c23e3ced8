/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/load-command.h"

#include <unistd.h>

#include "util/file.h"

static json_t *load_arguments(const LoadOptions *options,
                              uint64_t max_ram_bytes)
{
    json_t *arguments =
        json_pack("{s:s, s:I, s:s, s:I, s:I}", CONTROL_KEY_SNAPSHOT,
                  options->snapshot, CONTROL_KEY_OFFSET,
                  (json_int_t)options->image_off_bytes, CONTROL_KEY_POLICY,
                  load_policy_name(options->policy), CONTROL_KEY_START_US,
                  (json_int_t)options->start_us, CONTROL_KEY_MAX_RAM,
                  (json_int_t)MIN(max_ram_bytes, (uint64_t)G_MAXINT64));

    g_assert(arguments);
    if (options->tag) {
        json_object_set_new(arguments, CONTROL_KEY_TAG,
                            json_string(options->tag));
    }
    if (options->order) {
        json_object_set_new(arguments, CONTROL_KEY_ORDER,
                            json_string(options->order));
    }
    if (options->cache != LOAD_CACHE_AUTO) {
        json_object_set_new(arguments, CONTROL_KEY_CACHE,
                            json_string(load_cache_name(options->cache)));
    }
    if (options->rest != LOAD_REST_IDLE) {
        json_object_set_new(arguments, CONTROL_KEY_REST,
                            json_string(load_rest_name(options->rest)));
    }
    if (options->rest_bytes_per_s > 0) {
        json_object_set_new(
            arguments, CONTROL_KEY_REST_RATE,
            json_integer((json_int_t)MIN(options->rest_bytes_per_s,
                                         (uint64_t)G_MAXINT64)));
    }
    if (options->record) {
        json_object_set_new(arguments, CONTROL_KEY_RECORD,
                            json_string(options->record));
        json_object_set_new(arguments, CONTROL_KEY_RECORD_FOR,
                            json_integer(options->record_ms));
    }
    if (options->learn) {
        json_object_set_new(arguments, CONTROL_KEY_LEARN,
                            json_string(options->order));
        json_object_set_new(arguments, CONTROL_KEY_LEARN_FOR,
                            json_integer(options->record_ms));
    }
    if (options->template) {
        json_object_set_new(arguments, CONTROL_KEY_TEMPLATE,
                            json_string(options->template));
    }
    if (options->stats) {
        json_object_set_new(arguments, CONTROL_KEY_STATS,
                            json_string(options->stats));
    }
    return arguments;
}

void load_tell(const LoadOptions *options, LoadNews news)
{
    news.after_us = g_get_monotonic_time() - options->start_us;
    if (options->tell) {
        options->tell(&news, options->tell_opaque);
    }
}

bool load_command_send(Rpc *control, const LoadOptions *options,
                       const LoadFiles *files, uint64_t max_ram_bytes,
                       uint64_t *ret_id, GError **error)
{
    json_t *arguments = load_arguments(options, max_ram_bytes);
    json_t *names = json_array();
    uint64_t order_len;
    int order_fd = -1;
    int fds[3];
    size_t n_fds = 0;
    bool ok;

    if (options->policy != LOAD_POLICY_FULL) {
        json_array_append_new(names, json_string(CONTROL_KEY_SNAPSHOT));
        fds[n_fds++] = files->snapshot;
    }
    if (files->template >= 0) {
        json_array_append_new(names, json_string(CONTROL_KEY_TEMPLATE));
        fds[n_fds++] = files->template;
    }
    if (options->order) {
        order_fd = file_open_regular(options->order, &order_len, NULL);
    }
    if (order_fd >= 0) {
        json_array_append_new(names, json_string(CONTROL_KEY_ORDER));
        fds[n_fds++] = order_fd;
    }
    json_object_set_new(arguments, CONTROL_KEY_DESCRIPTORS, names);
    ok = rpc_send_fds(control, CONTROL_CMD_LOAD, arguments, fds, n_fds, ret_id,
                      error);
    if (order_fd >= 0) {
        close(order_fd);
    }
    return ok;
}
