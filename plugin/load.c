/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/load.h"

#include <stdatomic.h>
#include <string.h>

#include "formats/control-protocol.h"
#include "formats/error.h"
#include "formats/page-order.h"
#include "plugin/arguments.h"
#include "plugin/pager/collapse.h"
#include "plugin/pager/huge-policy.h"
#include "plugin/pager/pager-removal.h"
#include "profiler/orders/learn.h"
#include "profiler/orders/read-ahead.h"
#include "util/clock.h"
#include "util/file.h"
#include "util/text.h"
#include "util/thread.h"

#define N_FAULT_THREADS   4
#define MAX_STAGED_BYTES  (UINT64_C(512) << 20)
#define MAX_RECORDED      (UINT64_C(16) << 20)
#define DEFAULT_RECORD_MS 10000

/* An order beyond this is no help any more, and QEMU's memory not the place
 * for it: it is refused by its header.  One within takes 64 MiB while it is
 * read, and 160 MiB decoded. */
#define MAX_HINT_BYTES   (64 << 20)
#define MAX_HINT_EXTENTS (4u << 20)

/* A page that so many loads in a row found untouched leaves a learned order;
 * so does what goes beyond this size. */
#define MAX_IDLE_LOADS    3
#define MAX_LEARNED_BYTES (UINT64_C(1) << 30)

/* Constant once load_begin() has returned, but for the last two. */
struct Load {
    LoadHost host;
    LoadPolicy policy;
    char *record_path;  /* NULL: do not record */
    char *stats_path;   /* NULL: do not write */
    char *learn_path;   /* NULL: do not learn */
    char *path;         /* the snapshot's */
    RamImage *snapshot; /* NULL: policy full */
    PageSource *source;
    LoadStats *stats;
    Recorder *recorder;
    Recorder *missed; /* both for learning */
    Recorder *unused;
    PageOrder *learn_from; /* what is to be improved */
    Pager *pager;          /* NULL: policy full */

    uint64_t attached_us;     /* set before the pager notes anything */
    GArray *attached;         /* of RamPages; the release thread's, once set */
    _Atomic bool full_loaded; /* policy full: QEMU has loaded it */
    _Atomic bool ending;      /* QEMU ends */
};

static void write_stats(Load *load);

/* ---- what the pager calls ---- */

static void on_failed(void *opaque, const PagerFailure *failure)
{
    Load *load = opaque;
    const char *reason = g_strerror(failure->error);
    g_autofree char *text = g_strdup_printf(
        "%s: %s at offset %" G_GUINT64_FORMAT " failed: %s", failure->path,
        failure->what, failure->off_bytes, reason);

    control_send_event(
        load->host.control, CONTROL_EVENT_READ_ERROR,
        json_pack("{s:o, s:I, s:s, s:o, s:b}", CONTROL_KEY_FILE,
                  text_to_json(failure->path), CONTROL_KEY_OFFSET,
                  (json_int_t)failure->off_bytes, CONTROL_KEY_OPERATION,
                  failure->what, CONTROL_KEY_ERROR, text_to_json(reason),
                  CONTROL_KEY_WAITED_FOR, true));
    ending_page_missing(load->host.ending, text, true);
}

static GArray *recorded_blocks(const RamImage *snapshot)
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

static void on_recorded(Load *load)
{
    /* QEMU ends before there was anything to record: an order that is there
     * stays. */
    if (load->attached_us == 0) {
        return;
    }
    g_autoptr(GArray) blocks = recorded_blocks(load->snapshot);
    g_autoptr(GError) error = NULL;
    g_autoptr(PageOrder) order = recorder_to_order(
        load->recorder, blocks, load->attached_us, load->snapshot->identity,
        PAGE_ORDER_ORIGIN_LOAD, &error);

    if (!order || !page_order_save(order, load->record_path, &error)) {
        load->host.warn(error->message);
    }
    write_stats(load);
}

static PageOrder *lesson_order(const Load *load, Recorder *recorder,
                               GError **error)
{
    g_autoptr(GArray) blocks = recorded_blocks(load->snapshot);

    return recorder_to_order(recorder, blocks, load->attached_us,
                             load->snapshot->identity,
                             PAGE_ORDER_ORIGIN_LEARNED, error);
}

static bool learn(const Load *load, GError **error)
{
    g_autoptr(PageOrder) missed = lesson_order(load, load->missed, error);
    g_autoptr(PageOrder) unused =
        missed ? lesson_order(load, load->unused, error) : NULL;

    if (!unused) {
        return false;
    }
    const LoadLesson lesson = {
        .missed = missed,
        .unused = unused,
        .max_idle_loads = MAX_IDLE_LOADS,
        .max_bytes = MAX_LEARNED_BYTES,
    };
    g_autoptr(PageOrder) order = order_learn(load->learn_from, &lesson, error);
    return order && page_order_save(order, load->learn_path, error);
}

static void on_learned(Load *load)
{
    g_autoptr(GError) error = NULL;

    if (load->attached_us != 0 && !learn(load, &error)) {
        load->host.warn(error->message);
    }
    write_stats(load);
}

static void on_observed(void *opaque)
{
    Load *load = opaque;

    if (load->recorder) {
        on_recorded(load);
    } else {
        on_learned(load);
    }
}

static void on_loaded(void *opaque)
{
    Load *load = opaque;

    write_stats(load);
    control_send_event(load->host.control, CONTROL_EVENT_LOADED, json_object());
}

/* ---- statistics ---- */

static LoadState state_of(Load *load)
{
    if (load->pager) {
        return pager_state(load->pager);
    }
    return atomic_load_explicit(&load->full_loaded, memory_order_relaxed)
               ? LOAD_STATE_LOADED
               : LOAD_STATE_LOADING;
}

json_t *load_query(Load *load)
{
    return load_stats_to_json(load->stats, load->policy, state_of(load));
}

static void write_stats(Load *load)
{
    g_autoptr(GError) error = NULL;

    if (!load->stats_path) {
        return;
    }
    json_t *json = load_query(load);
    char *text = json_dumps(json, JSON_INDENT(2));
    g_autofree char *line = g_strconcat(text ? text : "{}", "\n", NULL);

    free(text);
    json_decref(json);
    if (!file_replace(load->stats_path, line, strlen(line), &error)) {
        g_prefix_error(&error, "%s: ", load->stats_path);
        load->host.warn(error->message);
    }
}

/* ---- load ---- */

/* What "load" was asked for. */
typedef struct LoadRequest {
    int snapshot_fd; /* this and the next are borrowed; -1: open the path */
    int order_fd;
    const char *snapshot; /* all borrowed from the arguments */
    const char *order;
    const char *policy;
    const char *record;
    const char *stats;
    const char *learn;
    uint64_t offset;
    uint64_t record_ms;
    uint64_t learn_ms;
    uint64_t start_us;
} LoadRequest;

static bool parse_load(const json_t *arguments, const Descriptors *descriptors,
                       LoadRequest *ret_request, GError **error)
{
    static const char *const known_descriptors[] = {CONTROL_KEY_SNAPSHOT,
                                                    CONTROL_KEY_ORDER, NULL};
    json_t *names = NULL;
    LoadRequest request = {
        .snapshot_fd = descriptors_find(descriptors, CONTROL_KEY_SNAPSHOT),
        .order_fd = descriptors_find(descriptors, CONTROL_KEY_ORDER),
        .policy = load_policy_name(LOAD_POLICY_ORDER),
        .record_ms = DEFAULT_RECORD_MS,
        .learn_ms = DEFAULT_RECORD_MS,
        .start_us = monotonic_us(),
    };
    const Argument known[] = {
        {CONTROL_KEY_SNAPSHOT, ARGUMENT_STRING, true, &request.snapshot},
        {CONTROL_KEY_OFFSET, ARGUMENT_COUNT, false, &request.offset},
        {CONTROL_KEY_ORDER, ARGUMENT_STRING, false, &request.order},
        {CONTROL_KEY_POLICY, ARGUMENT_STRING, false, &request.policy},
        {CONTROL_KEY_RECORD, ARGUMENT_STRING, false, &request.record},
        {CONTROL_KEY_RECORD_FOR, ARGUMENT_MS, false, &request.record_ms},
        {CONTROL_KEY_LEARN, ARGUMENT_STRING, false, &request.learn},
        {CONTROL_KEY_LEARN_FOR, ARGUMENT_MS, false, &request.learn_ms},
        {CONTROL_KEY_STATS, ARGUMENT_STRING, false, &request.stats},
        {CONTROL_KEY_START_US, ARGUMENT_COUNT, false, &request.start_us},
        {CONTROL_KEY_DESCRIPTORS, ARGUMENT_ANY, false, &names},
        {NULL},
    };

    if (!arguments_parse(arguments, known, error) ||
        !descriptors_check(descriptors, known_descriptors, error)) {
        return false;
    }
    if (request.learn && request.record) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "either record or learn, not both");
        return false;
    }
    *ret_request = request;
    return true;
}

/* An order is a hint: what is wrong with it is worth a word, not a stop. */
static PageOrder *load_order(const Load *load, const LoadRequest *request,
                             char **ret_warning)
{
    static const PageOrderLimits limits = {MAX_HINT_BYTES, MAX_HINT_EXTENTS};
    g_autoptr(GError) error = NULL;
    const char *path = request->order;
    const int fd = request->order_fd;
    g_autoptr(ByteSource) source = fd >= 0
                                       ? byte_source_new_fd(fd, path, &error)
                                       : byte_source_open(path, &error);
    g_autoptr(PageOrder) order =
        source ? page_order_load_source(source, &limits, &error) : NULL;

    if (g_error_matches(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE)) {
        *ret_warning = g_strdup_printf(
            "%s; too large to load by (preheat order trim makes it smaller); "
            "loading without an order",
            error->message);
    } else if (!order) {
        *ret_warning =
            g_strdup_printf("%s; loading without an order", error->message);
    } else if (order->identity &&
               strcmp(order->identity, load->snapshot->identity) != 0) {
        *ret_warning = g_strdup_printf(
            "%s: recorded for another snapshot than %s; it may not help", path,
            load->snapshot->path);
    }
    return g_steal_pointer(&order);
}

/* What is to be improved: the order that is replayed, or one that is still
 * empty if there is no file.  Anything else at that path is somebody's and
 * stays: NULL. */
static PageOrder *order_to_improve(const Load *load, const PageOrder *order,
                                   const char *path)
{
    const char *identity = load->snapshot->identity;

    if (order && g_strcmp0(order->identity, identity) == 0) {
        return page_order_copy(order);
    }
    if (g_file_test(path, G_FILE_TEST_EXISTS)) {
        return NULL;
    }
    PageOrder *empty = page_order_new();
    empty->identity = g_strdup(identity);
    return empty;
}

static void prepare_learning(Load *load, const PageOrder *order,
                             const char *path, char **ret_warning)
{
    load->learn_from = order_to_improve(load, order, path);
    if (!load->learn_from) {
        g_autofree char *before = *ret_warning;

        *ret_warning = g_strdup_printf(
            "%s: not an order of this snapshot, and left as it is: nothing "
            "will be learned%s%s",
            path, before ? "; " : "", before ? before : "");
        return;
    }
    load->learn_path = g_strdup(path);
    load->missed = recorder_new(MAX_RECORDED);
    load->unused = recorder_new(MAX_RECORDED);
}

static PagerObserve what_to_observe(const Load *load,
                                    const LoadRequest *request)
{
    if (load->recorder) {
        return (PagerObserve){OBSERVE_RECORDING, load->recorder, NULL,
                              request->record_ms * 1000};
    }
    if (load->missed) {
        return (PagerObserve){OBSERVE_LEARNING, load->missed, load->unused,
                              request->learn_ms * 1000};
    }
    return (PagerObserve){OBSERVE_NOTHING};
}

static bool start_pager(Load *load, const LoadRequest *request,
                        char **ret_warning, GError **error)
{
    g_autoptr(PageOrder) order = NULL;

    if (request->order && load->policy == LOAD_POLICY_ORDER) {
        order = load_order(load, request, ret_warning);
    }
    load->source = page_source_new_file(load->snapshot, error);
    if (!load->source) {
        return false;
    }
    if (load->record_path) {
        load->recorder = recorder_new(MAX_RECORDED);
    }
    if (request->learn) {
        prepare_learning(load, order, request->learn, ret_warning);
    }
    const PagerConfig config = {
        .source = load->source,
        .order = order,
        .policy = load->policy,
        .stats = load->stats,
        .observe = what_to_observe(load, request),
        .max_staged_bytes = MAX_STAGED_BYTES,
        .n_fault_threads = N_FAULT_THREADS,
        .n_eager_threads = READ_AHEAD_N_THREADS,
        .callbacks = {on_failed, on_observed, on_loaded, load},
    };
    load->pager = pager_new(&config, error);
    return load->pager != NULL;
}

static void load_free(Load *load)
{
    page_source_free(load->source);
    recorder_free(load->recorder);
    recorder_free(load->missed);
    recorder_free(load->unused);
    page_order_free(load->learn_from);
    load_stats_free(load->stats);
    ram_image_free(load->snapshot);
    g_free(load->path);
    g_free(load->record_path);
    g_free(load->learn_path);
    g_free(load->stats_path);
    g_free(load);
}

static bool open_snapshot(Load *load, const LoadRequest *request,
                          GError **error)
{
    load->snapshot =
        request->snapshot_fd >= 0
            ? ram_image_open_fd(request->snapshot_fd, request->snapshot,
                                request->offset, error)
            : ram_image_open(request->snapshot, request->offset, error);
    return load->snapshot != NULL;
}

/* With policy full QEMU alone looks into the snapshot: it may be one that only
 * QEMU understands. */
static bool begin(Load *load, const LoadRequest *request, char **ret_warning,
                  GError **error)
{
    LoadPolicy policy;

    if (!load_policy_from_name(request->policy, &policy)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "no policy is called %s: order, sequential, demand, full",
                    request->policy);
        return false;
    }
    load->path = g_strdup(request->snapshot);
    load->policy = policy;
    load->record_path = g_strdup(request->record);
    load->stats_path = g_strdup(request->stats);
    load->stats = load_stats_new(request->start_us);
    return policy == LOAD_POLICY_FULL ||
           (open_snapshot(load, request, error) &&
            start_pager(load, request, ret_warning, error));
}

/* NULL: the memory would have no huge pages, or they cannot be made. */
static Collapse *plan_huge_pages(const Load *load)
{
    HugePolicy policy;

    return huge_policy_read(HUGE_POLICY_FOLDER, &policy)
               ? collapse_new(&policy, (const RamPages *)load->attached->data,
                              load->attached->len)
               : NULL;
}

/* Waits for the load's end, to give back what only loading needs, and to make
 * the huge pages that the memory would have had: QEMU is then a QEMU as any
 * other. */
static void *release_thread(void *opaque)
{
    Load *load = opaque;
    Collapse *huge_pages = plan_huge_pages(load);

    if (pager_wait(load->pager, LOAD_GOAL_ALL, NULL)) {
        pager_release(load->pager);
        page_source_free(load->source);
        load->source = NULL;
        if (huge_pages) {
            load_stats_huge_pages(load->stats,
                                  collapse_run(huge_pages, &load->ending));
        }
    }
    collapse_free(huge_pages);
    return NULL;
}

static GArray *attached_pages(const Load *load, const GArray *ranges)
{
    GArray *attached = g_array_new(FALSE, FALSE, sizeof(RamPages));

    for (guint i = 0; i < ranges->len; i++) {
        const PagerRange *range = &g_array_index(ranges, PagerRange, i);
        const RamImageBlock *block =
            ram_image_find_block(load->snapshot, range->name);
        const RamPages pages = {range->host, block->page_bytes, block->n_pages,
                                block->bitmap};

        g_array_append_val(attached, pages);
    }
    return attached;
}

static void release_when_loaded(Load *load)
{
    pthread_t thread;

    /* Without that thread more memory stays in use, and that is all. */
    if (thread_start(&thread, "preheat-load", release_thread, load) == 0) {
        pthread_detach(thread);
    }
}

Load *load_begin(const json_t *arguments, const Descriptors *descriptors,
                 const LoadHost *host, char **ret_warning, GError **error)
{
    LoadRequest request;

    if (!parse_load(arguments, descriptors, &request, error)) {
        return NULL;
    }
    Load *load = g_new0(Load, 1);
    load->host = *host;
    if (!begin(load, &request, ret_warning, error)) {
        load_free(load);
        return NULL;
    }
    return load;
}

bool load_attach(Load *load, const GArray *ranges, const GArray *thread_ids,
                 GError **error)
{
    if (!load->pager) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "with policy full QEMU itself loads guest RAM");
        return false;
    }
    /* The attempt that works counts; one after it is refused. */
    bool first = load->attached_us == 0;
    if (first) {
        load->attached_us = monotonic_us();
    }
    bool ok = pager_attach(load->pager, (const PagerRange *)ranges->data,
                           ranges->len, (const uint32_t *)thread_ids->data,
                           thread_ids->len, error);
    if (ok) {
        load->attached = attached_pages(load, ranges);
        release_when_loaded(load);
    } else if (first) {
        load->attached_us = 0;
    }
    return ok;
}

/* Those that the plugin finds out by itself are not told. */
static bool is_told(const Load *load, Milestone milestone)
{
    return milestone == MILESTONE_LOADED ? load->pager == NULL
                                         : milestone != MILESTONE_ORDER_DONE;
}

bool load_milestone(Load *load, Milestone milestone, uint64_t time_us,
                    GError **error)
{
    if (!is_told(load, milestone)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "the milestone %s is not told to the plugin, except for "
                    "loaded with policy full",
                    milestone_name(milestone));
        return false;
    }
    load_stats_milestone(load->stats, milestone, time_us);
    if (milestone == MILESTONE_DEVICE_STATE && load->pager) {
        pager_heed_removals(load->pager);
    }
    if (milestone == MILESTONE_LOADED) {
        /* Relaxed: nothing else is published by it. */
        atomic_store_explicit(&load->full_loaded, true, memory_order_relaxed);
    }
    return true;
}

bool load_is_stuck(const Load *load)
{
    return load->pager && pager_state(load->pager) == LOAD_STATE_FAILED;
}

Pager *load_pager(const Load *load)
{
    return load->pager;
}

const char *load_snapshot_path(const Load *load)
{
    return load->path;
}

void load_end(Load *load)
{
    /* Relaxed: nothing else is published by it. */
    atomic_store_explicit(&load->ending, true, memory_order_relaxed);
    if (load->pager) {
        pager_end_observation(load->pager);
    }
    write_stats(load);
}
