/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/guest-load-fill.h"

#include <unistd.h>

#include "formats/control-protocol.h"
#include "host/incoming.h"
#include "host/machine-check.h"
#include "host/machine-difference.h"
#include "host/page-wait.h"
#include "host/qemu-args.h"
#include "host/qmp.h"

/* ---- guest RAM ---- */

static json_t *lazy_block_list(const GuestLoad *load)
{
    json_t *list = json_array();

    for (size_t i = 0; i < load->image.snapshot->n_blocks; i++) {
        const RamImageBlock *saved = &load->image.snapshot->blocks[i];
        const RamBlock *block = ram_blocks_find(load->blocks, saved->name);

        if (load->lazy[i]) {
            json_array_append_new(list, ram_block_to_json(block));
        }
    }
    return list;
}

/* Have the plugin take over guest RAM; the answer is not waited for. */
static bool begin_attach(GuestLoad *load, GError **error)
{
    json_t *threads;

    load->lazy = machine_lazy_blocks(load->image.snapshot, load->blocks);
    return qmp_vcpu_threads(machine_qmp(load->machine), &threads, error) &&
           rpc_send(machine_control(load->machine), CONTROL_CMD_ATTACH,
                    json_pack("{s:o, s:o}", CONTROL_KEY_BLOCKS,
                              lazy_block_list(load), CONTROL_KEY_VCPU_THREADS,
                              threads),
                    &load->attach_id, error);
}

static bool load_incoming(const GuestLoad *load, Incoming *incoming,
                          GError **error)
{
    bool ok = incoming_load(incoming, error);

    rpc_forget_ahead(machine_qmp(load->machine));
    if (!ok) {
        g_prefix_error(error, "%s: ", load->options->given_snapshot);
        machine_difference_explain(load->differences, error);
    }
    return ok;
}

static bool load_full(GuestLoad *load, GError **error)
{
    g_autoptr(Incoming) incoming =
        incoming_new(load->machine, load->image.files.snapshot,
                     load_image_off_bytes(&load->image, load->options), error);

    if (!incoming || !load_incoming(load, incoming, error) ||
        !incoming_end(incoming, error) ||
        !guest_load_tell_now(load, MILESTONE_LOADED, error)) {
        return false;
    }
    guest_load_set_loaded(load, NULL);
    return true;
}

static bool load_skeleton(GuestLoad *load, int fd, GError **error)
{
    Rpc *control = machine_control(load->machine);
    g_autoptr(Incoming) incoming =
        incoming_new(load->machine, fd,
                     load_image_off_bytes(&load->image, load->options), error);
    uint64_t id;

    return incoming && rpc_receive(control, load->attach_id, NULL, error) &&
           load_incoming(load, incoming, error) &&
           guest_load_tell_milestone(load, MILESTONE_DEVICE_STATE,
                                     g_get_monotonic_time(), &id, error) &&
           incoming_end(incoming, error) &&
           rpc_receive(control, id, NULL, error);
}

/* While the plugin takes over guest RAM, QEMU is given the skeleton. */
static bool load_lazily(GuestLoad *load, GError **error)
{
    int fd = incoming_make_skeleton(load->image.snapshot, load->lazy, error);
    bool ok = fd >= 0 && load_skeleton(load, fd, error);

    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

/* ---- the guest runs ---- */

static bool wait_for_pages(GuestLoad *load, GError **error)
{
    static const struct {
        LoadGoal goal;
        const char *until;
    } waits[] = {
        [LOAD_WAIT_HOT] = {LOAD_GOAL_HOT,
                           "with --wait hot, the guest runs when the pages of "
                           "the order are loaded"},
        [LOAD_WAIT_ALL] =
            {LOAD_GOAL_ALL,
             "with --wait all, the guest runs when that page is loaded"},
    };
    LoadWait wait = load->options->wait;
    bool ok;

    if (wait == LOAD_WAIT_NONE) {
        return true;
    }
    read_errors_set_waiting(load->read_errors, waits[wait].until);
    ok = page_wait(load->machine, waits[wait].goal, load->options->progress,
                   error);
    read_errors_set_waiting(load->read_errors, NULL);
    return ok;
}

/* Whether the guest is to run, as QEMU itself decides it. */
static bool is_to_run(const GuestLoad *load)
{
    const char *saved = load->image.run_state.name;

    if (load->options->paused ||
        (load->options->qemu_argv &&
         qemu_args_have(load->options->qemu_argv, "-S"))) {
        return false;
    }
    if (load->options->resume || saved[0] == '\0' ||
        g_str_equal(saved, "running") || g_str_equal(saved, "suspended")) {
        return true;
    }
    guest_load_say(
        load,
        "%s: the guest was not running when it was saved (%s), and is not "
        "running now: resume it with QMP cont, or load it with --resume",
        load->options->given_snapshot, saved);
    return false;
}

/* "cont" is the last command that QEMU gets: once the guest runs, somebody may
 * end QEMU, and up to 10.0 at the least it crashes when a command comes while
 * its monitors are cleaned up. */
static bool hand_over(GuestLoad *load, GError **error)
{
    bool run = is_to_run(load);

    if (!read_errors_check_unchanged(load->read_errors, error) ||
        (run &&
         !rpc_execute(machine_qmp(load->machine), "cont", NULL, NULL, error))) {
        return false;
    }
    load->handed_over = true;
    read_errors_set_handed_over(load->read_errors);
    progress_end(load->options->progress);
    load_tell(load->options,
              (LoadNews){.kind = run ? LOAD_NEWS_RESUMED : LOAD_NEWS_PAUSED,
                         .pid = machine_pid(load->machine)});
    return guest_load_tell_now(load, run ? MILESTONE_RESUMED : MILESTONE_PAUSED,
                               error);
}

bool guest_load_begin(GuestLoad *load, GError **error)
{
    uint64_t id;

    return guest_load_tell_milestone(load, MILESTONE_QEMU_READY, load->ready_us,
                                     &id, error) &&
           (load->full || begin_attach(load, error));
}

bool guest_load_complete(GuestLoad *load, GError **error)
{
    return (load->full ? load_full(load, error) : load_lazily(load, error)) &&
           wait_for_pages(load, error) && hand_over(load, error);
}
