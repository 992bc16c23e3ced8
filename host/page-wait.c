/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The commands of one connection are answered in sequence, so a second
 * connection waits, and the first one asks for the progress.  The plugin also
 * notices sooner that we have ended if nothing waits on the first one.
 */
#include "host/page-wait.h"

#include <unistd.h>

#include "util/units.h"

#define WHAT    "loading"
#define POLL_MS 200

static uint64_t count(const json_t *pages, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(pages, name));

    return n > 0 ? (uint64_t)n : 0;
}

static void show_all(const json_t *stats, const Progress *progress)
{
    const json_t *pages = json_object_get(stats, CONTROL_KEY_PAGES);
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t n_placed = count(pages, "by-fault") + count(pages, "by-order") +
                        count(pages, "by-rest");

    progress_bytes(progress, WHAT, n_placed * page_bytes,
                   count(pages, "in-file") * page_bytes);
}

/* How many pages the order has is not told. */
static void show_read(const json_t *stats, const Progress *progress)
{
    g_autofree char *size = units_format_size(count(stats, "bytes-read"));
    g_autofree char *note = g_strconcat(size, " read", NULL);

    progress_note(progress, WHAT, note);
}

static void show(Rpc *control, LoadGoal goal, const Progress *progress)
{
    json_t *stats;

    if (!rpc_execute(control, CONTROL_CMD_QUERY, NULL, &stats, NULL)) {
        return;
    }
    if (goal == LOAD_GOAL_ALL) {
        show_all(stats, progress);
    } else {
        show_read(stats, progress);
    }
    json_decref(stats);
}

bool page_wait(Machine *machine, LoadGoal goal, const Progress *progress,
               GError **error)
{
    Rpc *control = machine_control(machine);
    g_autoptr(Rpc) second = machine_second_control(machine);
    Rpc *waiter = second ? second : control;
    uint64_t id;
    bool ok;

    if (!rpc_send(waiter, CONTROL_CMD_WAIT,
                  json_pack("{s:s}", CONTROL_KEY_FOR, load_goal_name(goal)),
                  &id, error)) {
        return false;
    }
    do {
        bool shows = second && progress;

        ok = rpc_pump(waiter, shows ? POLL_MS : -1, error);
        if (ok && shows && !rpc_has_answer(waiter)) {
            show(control, goal, progress);
        }
    } while (ok && !rpc_has_answer(waiter));
    progress_end(progress);
    return ok && rpc_receive(waiter, id, NULL, error);
}
