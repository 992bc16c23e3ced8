/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/load-lessons.h"

#include "plugin/lesson.h"
#include "plugin/load-hints.h"

#define MAX_RECORDED (UINT64_C(16) << 20)

/* A page that so many loads in a row found untouched leaves a learned order;
 * so does what goes beyond this size. */
#define MAX_IDLE_LOADS    3
#define MAX_LEARNED_BYTES (UINT64_C(1) << 30)

/* What is to be improved: the order that is replayed, or one that is still
 * empty if there is no file.  Anything else at that path is somebody's and
 * stays: NULL. */
static PageOrder *order_to_improve(const PageOrder *order, const char *identity,
                                   bool exists)
{
    if (order && g_strcmp0(order->identity, identity) == 0) {
        return page_order_copy(order);
    }
    if (exists) {
        return NULL;
    }
    PageOrder *empty = page_order_new();
    empty->identity = g_strdup(identity);
    return empty;
}

static void prepare_learning(LoadLessons *lessons, LoadRequest *request,
                             const PageOrder *order, const RamImage *snapshot,
                             char **ret_warning)
{
    lessons->learn_from =
        order_to_improve(order, snapshot->identity, request->learn_exists);
    if (!lessons->learn_from) {
        load_hints_warn(ret_warning,
                        g_strdup_printf("%s: not an order of this snapshot, so "
                                        "it is unchanged and nothing is "
                                        "learned",
                                        destination_path(request->learn)));
        return;
    }
    lessons->learn_output = g_steal_pointer(&request->learn);
    lessons->missed = recorder_new(MAX_RECORDED);
    lessons->unused = recorder_new(MAX_RECORDED);
}

void load_lessons_init(LoadLessons *lessons, LoadRequest *request,
                       const PageOrder *order, const RamImage *snapshot,
                       char **ret_warning)
{
    if (request->record) {
        lessons->record_output = g_steal_pointer(&request->record);
        lessons->recorder = recorder_new(MAX_RECORDED);
    }
    if (request->learn) {
        prepare_learning(lessons, request, order, snapshot, ret_warning);
    }
}

PagerObserve load_lessons_observe(const LoadLessons *lessons,
                                  const LoadRequest *request)
{
    if (lessons->recorder) {
        return (PagerObserve){OBSERVE_RECORDING, lessons->recorder, NULL,
                              request->record_ms * 1000};
    }
    if (lessons->missed) {
        return (PagerObserve){OBSERVE_LEARNING, lessons->missed,
                              lessons->unused, request->learn_ms * 1000};
    }
    return (PagerObserve){OBSERVE_NOTHING};
}

static GArray *blocks_of(const RamImage *snapshot)
{
    GArray *blocks = g_array_new(FALSE, FALSE, sizeof(PageOrderBlock));

    for (size_t i = 0; i < snapshot->n_blocks; i++) {
        const PageOrderBlock block = {
            .name = snapshot->blocks[i].name, /* copied by who gets it */
            .len_bytes = snapshot->blocks[i].len_bytes,
            .page_bytes = snapshot->blocks[i].page_bytes,
        };

        g_array_append_val(blocks, block);
    }
    return blocks;
}

static PageOrder *to_order(Recorder *recorder, const RamImage *snapshot,
                           uint64_t begin_us, PageOrderOrigin origin,
                           GError **error)
{
    g_autoptr(GArray) blocks = blocks_of(snapshot);

    return recorder_to_order(recorder, blocks, begin_us, snapshot->identity,
                             origin, error);
}

static bool learn(const LoadLessons *lessons, const RamImage *snapshot,
                  uint64_t begin_us, GError **error)
{
    g_autoptr(PageOrder) missed = to_order(lessons->missed, snapshot, begin_us,
                                           PAGE_ORDER_ORIGIN_LEARNED, error);
    g_autoptr(PageOrder) unused =
        missed ? to_order(lessons->unused, snapshot, begin_us,
                          PAGE_ORDER_ORIGIN_LEARNED, error)
               : NULL;

    if (!unused) {
        return false;
    }
    const LoadLesson lesson = {
        .missed = missed,
        .unused = unused,
        .max_idle_loads = MAX_IDLE_LOADS,
        .max_bytes = MAX_LEARNED_BYTES,
    };
    return lesson_write(&lesson, snapshot->identity, lessons->learn_from,
                        &load_hints_limits, lessons->learn_output, error);
}

bool load_lessons_write(const LoadLessons *lessons, const RamImage *snapshot,
                        uint64_t begin_us, GError **error)
{
    if (!lessons->recorder) {
        return learn(lessons, snapshot, begin_us, error);
    }
    g_autoptr(PageOrder) order = to_order(lessons->recorder, snapshot, begin_us,
                                          PAGE_ORDER_ORIGIN_LOAD, error);
    return order &&
           destination_write_order(lessons->record_output, order, error);
}

void load_lessons_clear(LoadLessons *lessons)
{
    g_clear_pointer(&lessons->record_output, destination_free);
    g_clear_pointer(&lessons->learn_output, destination_free);
    g_clear_pointer(&lessons->recorder, recorder_free);
    g_clear_pointer(&lessons->missed, recorder_free);
    g_clear_pointer(&lessons->unused, recorder_free);
    g_clear_pointer(&lessons->learn_from, page_order_free);
}
