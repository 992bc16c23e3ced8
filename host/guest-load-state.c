/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/guest-load-state.h"

#include "formats/control-protocol.h"

void guest_load_say(const GuestLoad *load, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    load->options->say(text);
}

void guest_load_set_loaded(GuestLoad *load, const json_t *stats)
{
    load->loaded = true;
    read_errors_set_loaded(load->read_errors);
    progress_end(load->options->progress);
    load_tell(load->options, (LoadNews){.kind = LOAD_NEWS_LOADED,
                                        .pid = machine_pid(load->machine),
                                        .stats = stats});
}

uint64_t guest_load_machine_ram(const GuestLoad *load)
{
    uint64_t ram_bytes = 0;

    for (guint i = 0; i < load->blocks->len; i++) {
        ram_bytes += g_array_index(load->blocks, RamBlock, i).total_bytes;
    }
    return ram_bytes;
}

bool guest_load_tell_milestone(GuestLoad *load, Milestone milestone,
                               int64_t time_us, uint64_t *ret_id,
                               GError **error)
{
    return rpc_send(machine_control(load->machine), CONTROL_CMD_MILESTONE,
                    json_pack("{s:s, s:I}", CONTROL_KEY_NAME,
                              milestone_name(milestone), CONTROL_KEY_TIME_US,
                              (json_int_t)time_us),
                    ret_id, error);
}

bool guest_load_tell_now(GuestLoad *load, Milestone milestone, GError **error)
{
    uint64_t id;

    return guest_load_tell_milestone(load, milestone, g_get_monotonic_time(),
                                     &id, error) &&
           rpc_receive(machine_control(load->machine), id, NULL, error);
}
