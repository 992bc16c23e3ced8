/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/profiling.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "formats/control-protocol.h"
#include "formats/page-order.h"
#include "formats/qcow2-state.h"
#include "formats/ram-image.h"
#include "host/machine-check.h"
#include "host/plugin-client.h"
#include "host/qmp.h"
#include "host/ram-blocks.h"
#include "util/error.h"

/* The longest time between two looks at an open window. */
#define POLL_MS 100

/* Where a PC has its option ROMs. */
#define OPTION_ROMS_ADDR  0xc0000
#define OPTION_ROMS_BYTES 0x20000

struct Profiling {
    Rpc *qmp; /* borrowed */
    Rpc *control;
    ProfileTime time;
    char *order_path;
    int snapshot_fd; /* -1: the window has not been open */
    char *tag;       /* NULL: the snapshot is a file of its own */
    json_t *blocks;
    json_t *vcpu_threads;
    bool is_pc;
};

bool profile_time_parse(const char *text, ProfileTime *ret_time, GError **error)
{
    ProfileTime time = {true, PROFILE_MIN_MS, PROFILE_MAX_MS};
    char *end = NULL;
    double seconds;

    if (text) {
        seconds = g_ascii_strtod(text, &end);
        if (end == text || *end != '\0' || !(seconds > 0 && seconds <= 3600)) {
            g_set_error(
                error, UTIL_ERROR, UTIL_ERROR_USAGE,
                "--profile must be a number of seconds up to 3600, not %s",
                text);
            return false;
        }
        time = (ProfileTime){false, 0, (int64_t)(seconds * 1000)};
    }
    *ret_time = time;
    return true;
}

char *profile_order_path(const char *snapshot_path)
{
    return g_strconcat(snapshot_path, ".order", NULL);
}

bool profiling_make_quiet(Rpc *control, GError **error)
{
    LoadState state;
    json_t *stats;

    if (!rpc_execute(control, CONTROL_CMD_PROFILE_STOP, NULL, NULL, error) ||
        !rpc_execute(control, CONTROL_CMD_QUERY, NULL, &stats, error)) {
        return false;
    }
    bool known = load_state_from_name(
        json_string_value(json_object_get(stats, CONTROL_KEY_STATE)), &state);
    json_decref(stats);
    if (known && (state == LOAD_STATE_IDLE || state == LOAD_STATE_LOADED)) {
        return true;
    }
    if (known && state == LOAD_STATE_FAILED) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "this guest is still being loaded, and its snapshot cannot "
                    "be read: fix that, run preheat control retry, and then "
                    "save the guest");
        return false;
    }
    return rpc_execute(control, CONTROL_CMD_LOAD_REST, NULL, NULL, error) &&
           rpc_execute(control, CONTROL_CMD_WAIT,
                       json_pack("{s:s}", CONTROL_KEY_FOR,
                                 load_goal_name(LOAD_GOAL_ALL)),
                       NULL, error);
}

/* Every block that would be loaded lazily. */
static json_t *query_blocks(Rpc *qmp, GError **error)
{
    g_autoptr(GArray) blocks = ram_blocks_query(qmp, error);
    json_t *list;

    if (!blocks) {
        return NULL;
    }
    list = json_array();
    for (guint i = 0; i < blocks->len; i++) {
        const RamBlock *block = &g_array_index(blocks, RamBlock, i);

        if (machine_block_is_lazy(block)) {
            json_array_append_new(list, ram_block_to_json(block));
        }
    }
    return list;
}

static bool is_pc(Rpc *qmp)
{
    json_t *type;
    bool is;

    if (!rpc_execute(
            qmp, "qom-get",
            json_pack("{s:s, s:s}", "path", "/machine", "property", "type"),
            &type, NULL)) {
        return false;
    }
    is = json_is_string(type) &&
         g_str_has_prefix(json_string_value(type), "pc-");
    json_decref(type);
    return is;
}

Profiling *profiling_new(Rpc *qmp, Rpc *control, const ProfileTime *time,
                         const char *snapshot_path, GError **error)
{
    g_autoptr(Profiling) profiling = g_new0(Profiling, 1);

    profiling->qmp = qmp;
    profiling->control = control;
    profiling->time = *time;
    profiling->order_path = profile_order_path(snapshot_path);
    profiling->snapshot_fd = -1;
    profiling->blocks = query_blocks(qmp, error);
    if (!profiling->blocks ||
        !qmp_vcpu_threads(qmp, &profiling->vcpu_threads, error)) {
        return NULL;
    }
    profiling->is_pc = is_pc(qmp);
    return g_steal_pointer(&profiling);
}

void profiling_free(Profiling *profiling)
{
    if (profiling) {
        rpc_free(profiling->control);
        if (profiling->snapshot_fd >= 0) {
            close(profiling->snapshot_fd);
        }
        json_decref(profiling->blocks);
        json_decref(profiling->vcpu_threads);
        g_free(profiling->order_path);
        g_free(profiling->tag);
        g_free(profiling);
    }
}

bool profiling_start(Profiling *profiling, int snapshot_fd, const char *name,
                     const char *tag, GError **error)
{
    profiling->snapshot_fd = fcntl(snapshot_fd, F_DUPFD_CLOEXEC, 0);
    profiling->tag = g_strdup(tag);
    json_t *arguments = json_pack(
        "{s:s, s:[s], s:s, s:b, s:I, s:I, s:O, s:O}", CONTROL_KEY_SNAPSHOT,
        name, CONTROL_KEY_DESCRIPTORS, CONTROL_KEY_SNAPSHOT, CONTROL_KEY_OUTPUT,
        profiling->order_path, CONTROL_KEY_SETTLE, profiling->time.settle,
        CONTROL_KEY_MIN_TIME, (json_int_t)profiling->time.min_ms,
        CONTROL_KEY_MAX_TIME, (json_int_t)profiling->time.max_ms,
        CONTROL_KEY_BLOCKS, profiling->blocks, CONTROL_KEY_VCPU_THREADS,
        profiling->vcpu_threads);

    if (tag) {
        json_object_set_new(arguments, CONTROL_KEY_TAG, json_string(tag));
    }
    return rpc_execute_fds(profiling->control, CONTROL_CMD_PROFILE_START,
                           arguments, &snapshot_fd, 1, NULL, error);
}

/* Source: QEMU, vapic_map_rom_writable() and the reading of rom_state in
 * hw/i386/vapic.c, which is where pmemsave looks as well. */
static void read_option_roms(Rpc *qmp)
{
    (void)rpc_execute(qmp, "pmemsave",
                      json_pack("{s:i, s:i, s:s}", "val", OPTION_ROMS_ADDR,
                                "size", OPTION_ROMS_BYTES, "filename",
                                "/dev/null"),
                      NULL, NULL);
}

/* Source: QEMU, the defaults of the migration parameters announce-*. */
static void announce(Rpc *qmp)
{
    (void)rpc_execute(qmp, "announce-self",
                      json_pack("{s:i, s:i, s:i, s:i}", "initial", 50, "max",
                                550, "rounds", 5, "step", 100),
                      NULL, NULL);
}

void profiling_act_loaded(Profiling *profiling)
{
    if (profiling->is_pc) {
        read_option_roms(profiling->qmp);
    }
    announce(profiling->qmp);
}

void profiling_discard(Profiling *profiling)
{
    (void)rpc_execute(profiling->control, CONTROL_CMD_PROFILE_STOP,
                      json_pack("{s:b}", CONTROL_KEY_DISCARD, 1), NULL, NULL);
}

static void show(const Progress *progress, const json_t *info, int64_t begin_us)
{
    g_autofree char *text = g_strdup_printf(
        "%" JSON_INTEGER_FORMAT " first touches in %.0f s",
        json_integer_value(json_object_get(info, "first-touches")),
        (double)(g_get_monotonic_time() - begin_us) / G_USEC_PER_SEC);

    progress_note(progress, "profiling", text);
}

/* Returns false when the window is closed, or with an error. */
static bool is_open(Profiling *profiling, const Progress *progress,
                    int64_t begin_us, GError **error)
{
    ProfileState state;
    json_t *info;
    bool open;

    if (!rpc_execute(profiling->control, CONTROL_CMD_PROFILE_QUERY, NULL, &info,
                     error)) {
        return false;
    }
    open = profile_state_from_name(
               json_string_value(json_object_get(info, CONTROL_KEY_STATE)),
               &state) &&
           state == PROFILE_OPEN;
    show(progress, info, begin_us);
    json_decref(info);
    return open;
}

/* Whether the order of a QEMU that has ended is there: its plugin writes it
 * down before. */
static bool has_order(const Profiling *profiling)
{
    ByteSource *source =
        byte_source_new_fd(profiling->snapshot_fd, "snapshot", NULL);

    if (source && profiling->tag) {
        source = qcow2_state_open(source, profiling->tag, NULL);
    }
    g_autoptr(RamImage) image =
        source ? ram_image_open_source(source, 0, NULL) : NULL;
    g_autoptr(PageOrder) order =
        image ? page_order_load(profiling->order_path, NULL) : NULL;

    return order && g_strcmp0(order->identity, image->identity) == 0;
}

static bool await_end(Profiling *profiling, bool at_once,
                      const Progress *progress, json_t **ret_result,
                      GError **error)
{
    int64_t begin_us = g_get_monotonic_time();
    GError *local = NULL;

    while (!at_once && is_open(profiling, progress, begin_us, &local) &&
           rpc_pump(profiling->control, POLL_MS, &local)) {
    }
    rpc_set_interrupt_fd(profiling->control, -1);
    progress_end(progress);
    if (local && !g_error_matches(local, UTIL_ERROR, UTIL_ERROR_INTERRUPTED)) {
        g_propagate_error(error, local);
        return false;
    }
    g_clear_error(&local);
    return rpc_execute(profiling->control, CONTROL_CMD_PROFILE_STOP, NULL,
                       ret_result, error);
}

bool profiling_finish(Profiling *profiling, bool at_once,
                      const Progress *progress, json_t **ret_result,
                      GError **error)
{
    GError *local = NULL;
    json_t *result = NULL;
    const char *failure;

    if (!await_end(profiling, at_once, progress, &result, &local)) {
        if (!g_error_matches(local, UTIL_ERROR, UTIL_ERROR_CLOSED) ||
            !has_order(profiling)) {
            g_propagate_error(error, local);
            return false;
        }
        g_error_free(local);
        *ret_result = NULL;
        return true;
    }
    failure = json_string_value(json_object_get(result, CONTROL_KEY_ERROR));
    if (failure) {
        g_set_error_literal(error, UTIL_ERROR, UTIL_ERROR_FAILED, failure);
        json_decref(result);
        return false;
    }
    *ret_result = result;
    return true;
}
