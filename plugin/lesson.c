/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/lesson.h"

#include "plugin/pager/pager.h"

/* Others hold the lock for as long as one order is read and written. */
#define LOCK_MS 5000

/* NULL without an error: nothing is there. */
static PageOrder *read_again(const char *identity,
                             const PageOrderLimits *limits,
                             const Destination *output, GError **error)
{
    g_autoptr(ByteSource) source = NULL;
    g_autoptr(PageOrder) order = NULL;

    if (!destination_read(output, &source, error) || !source) {
        return NULL;
    }
    order = page_order_load_source(source, limits, error);
    if (order && g_strcmp0(order->identity, identity) != 0) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "%s: no longer an order of this snapshot",
                    destination_path(output));
        return NULL;
    }
    return g_steal_pointer(&order);
}

static bool improve(const LoadLesson *lesson, const char *identity,
                    const PageOrder *known, const PageOrderLimits *limits,
                    const Destination *output, GError **error)
{
    g_autoptr(GError) local = NULL;
    g_autoptr(PageOrder) now = read_again(identity, limits, output, &local);
    g_autoptr(PageOrder) order = NULL;

    if (local) {
        g_propagate_prefixed_error(error, g_steal_pointer(&local),
                                   "what this load has learned is lost: ");
        return false;
    }
    order = order_learn(now ? now : known, lesson, error);
    return order && destination_write_order(output, order, error);
}

bool lesson_write(const LoadLesson *lesson, const char *identity,
                  const PageOrder *known, const PageOrderLimits *limits,
                  const Destination *output, GError **error)
{
    bool ok;

    if (!destination_lock(output, LOCK_MS, error)) {
        return false;
    }
    ok = improve(lesson, identity, known, limits, output, error);
    destination_unlock(output);
    return ok;
}
