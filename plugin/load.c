/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/load.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "formats/control-protocol.h"
#include "formats/pack.h"
#include "formats/page-order.h"
#include "plugin/load-hints.h"
#include "plugin/load-lessons.h"
#include "plugin/pager/collapse.h"
#include "plugin/pager/huge-policy.h"
#include "plugin/pager/pager-check.h"
#include "plugin/pager/pager-removal.h"
#include "plugin/pager/template-source.h"
#include "profiler/orders/read-ahead.h"
#include "util/clock.h"
#include "util/text.h"
#include "util/thread.h"

/* A guest that uses all processors gets the rest after so long. */
#define REST_PATIENCE_US (UINT64_C(1) * 1000 * 1000)

#define N_FAULT_THREADS  4
#define N_PLACE_THREADS  2
#define SLOW_READ_US     UINT64_C(5000000)
#define MAX_STAGED_BYTES (UINT64_C(512) << 20)

struct Load {
    /* Constant once load_begin() has returned. */
    LoadHost host;
    LoadPolicy policy;
    char *path; /* of the snapshot */
    LoadStats *stats;
    Destination *stats_output;  /* NULL: do not write */
    int template_fd;            /* open for QEMU's life: for so long there is
                                   this clone; -1: no template */
    pthread_mutex_t stats_lock; /* held while the statistics are taken and
                                   written: the last ones stay */
    Pager *pager;               /* NULL: policy full */

    /* The same, and of the pager and what it calls: gone when all is loaded. */
    RamImage *snapshot;
    PageSource *source;
    TemplateSource *template; /* the same; NULL: it is another one */
    Pack *pack;               /* NULL: none */
    LoadLessons lessons;

    _Atomic uint64_t attached_us; /* set before the pager notes anything; 0:
                                     not attached.  Relaxed: the number is all
                                     that is handed over, also to who ends an
                                     observation at that moment */
    _Atomic bool is_abandoned; /* QEMU itself loads.  Relaxed: set and used by
                                  commands that are not two at once, and else
                                  nothing is published by it */
    GArray *attached;          /* of RamPages; the release thread's, once set */
    _Atomic bool full_loaded;  /* policy full: QEMU has loaded it */
    _Atomic bool ending;       /* QEMU ends */
};

/* ---- what the pager calls ---- */

static void on_failed(void *opaque, const PagerFailure *failure)
{
    Load *load = opaque;
    g_autofree char *text = g_strdup_printf(
        "%s: %s at offset %" G_GUINT64_FORMAT " failed: %s", failure->path,
        failure->what, failure->off_bytes, failure->reason);

    control_send_event(
        load->host.control, CONTROL_EVENT_READ_ERROR,
        json_pack("{s:o, s:I, s:s, s:o, s:b}", CONTROL_KEY_FILE,
                  text_to_json(failure->path), CONTROL_KEY_OFFSET,
                  (json_int_t)failure->off_bytes, CONTROL_KEY_OPERATION,
                  failure->what, CONTROL_KEY_ERROR,
                  text_to_json(failure->reason), CONTROL_KEY_WAITED_FOR,
                  (int)failure->waited_for));
    if (failure->waited_for || failure->is_final) {
        ending_page_missing(
            load->host.ending,
            &(EndingTrouble){text, failure->waited_for, !failure->is_final});
    }
}

static void on_slow(void *opaque, const PagerSlowRead *slow)
{
    Load *load = opaque;
    g_autofree char *text =
        g_strdup_printf("%s: reading at offset %" G_GUINT64_FORMAT " has taken "
                        "%" G_GUINT64_FORMAT " s so far%s",
                        slow->path, slow->off_bytes, slow->seconds,
                        slow->waited_for ? ", and the guest waits for it" : "");

    control_send_event(load->host.control, CONTROL_EVENT_READ_SLOW,
                       json_pack("{s:o, s:I, s:I, s:b}", CONTROL_KEY_FILE,
                                 text_to_json(slow->path), CONTROL_KEY_OFFSET,
                                 (json_int_t)slow->off_bytes,
                                 CONTROL_KEY_SECONDS, (json_int_t)slow->seconds,
                                 CONTROL_KEY_WAITED_FOR,
                                 (int)slow->waited_for));
    ending_page_slow(load->host.ending, text);
}

static uint64_t attached_us(const Load *load)
{
    return atomic_load_explicit(&load->attached_us, memory_order_relaxed);
}

static void set_attached_us(Load *load, uint64_t us)
{
    atomic_store_explicit(&load->attached_us, us, memory_order_relaxed);
}

static void on_observed(void *opaque)
{
    Load *load = opaque;
    uint64_t begin_us = attached_us(load);
    g_autoptr(GError) error = NULL;

    /* QEMU may end before there was anything to see: an order that is there
     * stays. */
    if (begin_us != 0 &&
        !load_lessons_write(&load->lessons, load->snapshot, begin_us, &error)) {
        load->host.warn(error->message);
    }
    load_write_stats(load);
}

static void on_loaded(void *opaque)
{
    Load *load = opaque;

    load_write_stats(load);
    control_send_event(load->host.control, CONTROL_EVENT_LOADED,
                       load_query(load));
}

static void on_pack_failed(void *opaque, const char *reason)
{
    Load *load = opaque;
    g_autofree char *text =
        g_strdup_printf("%s; loading on without the pack", reason);

    load->host.warn(text);
}

/* ---- what the template's source calls ---- */

static void on_template_full(void *opaque)
{
    Load *load = opaque;

    pager_load_rest(load->pager);
    pager_retry(load->pager);
}

static void on_template_gone(void *opaque)
{
    Load *load = opaque;

    pager_recheck(load->pager);
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

void load_write_stats(Load *load)
{
    const Destination *output = load->stats_output;
    g_autoptr(GError) error = NULL;

    if (!output) {
        return;
    }
    pthread_mutex_lock(&load->stats_lock);
    json_t *json = load_query(load);
    char *text = json_dumps(json, JSON_INDENT(2));
    g_autofree char *line = g_strconcat(text ? text : "{}", "\n", NULL);

    free(text);
    json_decref(json);
    if (!destination_write(output, line, strlen(line), &error)) {
        load->host.warn(error->message);
    }
    pthread_mutex_unlock(&load->stats_lock);
}

/* ---- load ---- */

static bool open_source(Load *load, LoadCache cache, GError **error)
{
    if (load->template_fd < 0) {
        load->source = page_source_new_file(load->snapshot, cache, error);
        return load->source != NULL;
    }
    load->template =
        template_source_new(load->snapshot, load->template_fd, error);
    if (load->template) {
        load->source = template_source_base(load->template);
    }
    return load->template != NULL;
}

static bool listen_to_template(Load *load, GError **error)
{
    const TemplateCallbacks callbacks = {on_template_full, on_template_gone,
                                         load};
    int rc =
        load->template ? template_source_start(load->template, &callbacks) : 0;

    if (rc < 0) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "no thread for a template: %s", g_strerror(-rc));
        g_clear_pointer(&load->pager, pager_free);
    }
    return rc == 0;
}

static bool start_pager(Load *load, LoadRequest *request, char **ret_warning,
                        GError **error)
{
    g_autoptr(PageOrder) order =
        load_hints_order(request, load->snapshot, ret_warning);

    if (order) {
        load->pack = load_hints_pack(request, load->snapshot, ret_warning);
    }
    if (!open_source(load, request->cache, error)) {
        return false;
    }
    load_lessons_init(&load->lessons, request, order, load->snapshot,
                      ret_warning);
    const PagerConfig config = {
        .source = load->source,
        .order = g_steal_pointer(&order),
        .pack = load->pack,
        .pack_always = request->pack_always,
        .policy = load->policy,
        .stats = load->stats,
        .observe = load_lessons_observe(&load->lessons, request),
        .max_staged_bytes = MAX_STAGED_BYTES,
        .slow_read_us = SLOW_READ_US,
        .rest = request->rest,
        .rest_patience_us = REST_PATIENCE_US,
        .rest_bytes_per_s = request->rest_bytes_per_s,
        .n_fault_threads = N_FAULT_THREADS,
        .n_eager_threads = READ_AHEAD_N_THREADS,
        .n_place_threads = N_PLACE_THREADS,
        .callbacks = {on_failed, on_slow, on_observed, on_loaded,
                      on_pack_failed, load},
    };
    load->pager = pager_new(&config, error);
    return load->pager && listen_to_template(load, error);
}

/* Free what only loading needs. */
static void free_sources(Load *load)
{
    g_clear_pointer(&load->source, page_source_free);
    load->template = NULL;
    g_clear_pointer(&load->pack, pack_free);
    g_clear_pointer(&load->snapshot, ram_image_free);
    load_lessons_clear(&load->lessons);
    /* It points into the snapshot. */
    g_clear_pointer(&load->attached, g_array_unref);
}

static void load_free(Load *load)
{
    free_sources(load);
    load_stats_free(load->stats);
    destination_free(load->stats_output);
    if (load->template_fd >= 0) {
        close(load->template_fd);
    }
    pthread_mutex_destroy(&load->stats_lock);
    g_free(load->path);
    g_free(load);
}

static bool read_snapshot(Load *load, LoadRequest *request, GError **error)
{
    load->snapshot = ram_image_open_headers(g_steal_pointer(&request->snapshot),
                                            request->offset, error);
    return load->snapshot &&
           ram_image_check_ram(load->snapshot, request->max_ram_bytes, error) &&
           ram_image_read_bitmaps(load->snapshot, error);
}

static bool begin(Load *load, LoadRequest *request, char **ret_warning,
                  GError **error)
{
    load->path = g_strdup(request->snapshot->name);
    load->policy = request->policy;
    load->stats = load_stats_new(request->start_us);
    load->stats_output = g_steal_pointer(&request->stats);
    load->template_fd = request->template_fd;
    request->template_fd = -1;
    if (load->policy == LOAD_POLICY_FULL) {
        /* QEMU alone looks into the snapshot: it may be one that only QEMU
         * understands. */
        return true;
    }
    return read_snapshot(load, request, error) &&
           start_pager(load, request, ret_warning, error);
}

/* NULL: the memory would have no huge pages, or they cannot be made, or it is
 * the template's. */
static Collapse *plan_huge_pages(Load *load)
{
    if (load->template_fd >= 0) {
        return NULL;
    }
    g_autoptr(GArray) attached = g_steal_pointer(&load->attached);
    HugePolicy policy;

    return huge_policy_read(HUGE_POLICY_FOLDER, &policy)
               ? collapse_new(&policy, (const RamPages *)attached->data,
                              attached->len)
               : NULL;
}

/* Waits for the load's end, to give back what only loading needs, and to make
 * the huge pages that the memory would have had: QEMU is then a QEMU as any
 * other. */
static void *release_thread(void *opaque)
{
    Load *load = opaque;

    if (pager_wait(load->pager, LOAD_GOAL_ALL, NULL)) {
        /* Not before: it takes a time that the guest would wait. */
        Collapse *huge_pages = plan_huge_pages(load);

        /* Its callback needs them; there is nothing left to observe. */
        pager_end_observation(load->pager);
        pager_release(load->pager);
        free_sources(load);
        if (huge_pages) {
            load_stats_huge_pages(load->stats,
                                  collapse_run(huge_pages, &load->ending));
        }
        collapse_free(huge_pages);
    }
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

Load *load_begin(LoadRequest *request, const LoadHost *host, char **ret_warning,
                 GError **error)
{
    Load *load = g_new0(Load, 1);

    load->host = *host;
    load->template_fd = -1;
    pthread_mutex_init(&load->stats_lock, NULL);
    if (!begin(load, request, ret_warning, error)) {
        load_free(load);
        return NULL;
    }
    return load;
}

static bool is_abandoned(const Load *load)
{
    return atomic_load_explicit(&load->is_abandoned, memory_order_relaxed);
}

bool load_attach(Load *load, const GArray *ranges, const GArray *thread_ids,
                 GError **error)
{
    if (!load->pager) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "with policy full QEMU itself loads guest RAM");
        return false;
    }
    if (is_abandoned(load)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "%s: this load was abandoned", load->path);
        return false;
    }
    /* The attempt that works counts; one after it is refused. */
    bool first = attached_us(load) == 0;
    if (first) {
        set_attached_us(load, monotonic_us());
    }
    bool ok = pager_attach(load->pager, (const PagerRange *)ranges->data,
                           ranges->len, (const uint32_t *)thread_ids->data,
                           thread_ids->len, error);
    if (ok) {
        load->attached = attached_pages(load, ranges);
        release_when_loaded(load);
    } else if (first) {
        set_attached_us(load, 0);
    }
    return ok;
}

bool load_abandon(Load *load, GError **error)
{
    if (attached_us(load) != 0) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "%s: guest RAM is attached, and only this load can fill it",
                    load->path);
        return false;
    }
    if (load->pager && !is_abandoned(load)) {
        pager_end_observation(load->pager);
        pager_release(load->pager);
        free_sources(load);
    }
    atomic_store_explicit(&load->is_abandoned, true, memory_order_relaxed);
    return true;
}

/* Those that the plugin finds out by itself are not told. */
static bool is_told(const Load *load, Milestone milestone)
{
    return milestone == MILESTONE_LOADED ? load->pager == NULL
                                         : milestone != MILESTONE_ORDER_DONE;
}

static bool note_device_state(Load *load, GError **error)
{
    if (!pager_check_untouched(load->pager, error)) {
        return false;
    }
    if (!pager_heed_removals(load->pager)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "%s: QEMU cannot have loaded the device state before guest "
                    "RAM is attached; send attach first",
                    load->path);
        return false;
    }
    return true;
}

bool load_milestone(Load *load, Milestone milestone, uint64_t time_us,
                    GError **error)
{
    if (!is_told(load, milestone)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "the milestone %s cannot be reported, except loaded with "
                    "policy full",
                    milestone_name(milestone));
        return false;
    }
    if (milestone == MILESTONE_DEVICE_STATE && load->pager &&
        !note_device_state(load, error)) {
        return false;
    }
    if ((milestone == MILESTONE_RESUMED || milestone == MILESTONE_PAUSED) &&
        load->pager) {
        pager_release_rest(load->pager);
    }
    load_stats_milestone(load->stats, milestone, time_us);
    if (milestone == MILESTONE_LOADED) {
        /* Relaxed: nothing else is published by it. */
        atomic_store_explicit(&load->full_loaded, true, memory_order_relaxed);
    }
    return true;
}

bool load_is_failed(const Load *load, bool *ret_waited_for)
{
    *ret_waited_for = load_stats_failed_waited_for(load->stats) > 0;
    return load->pager && pager_state(load->pager) == LOAD_STATE_FAILED;
}

bool load_is_clone(const Load *load)
{
    return load->template_fd >= 0;
}

bool load_is_under_way(const Load *load)
{
    return load->pager && !is_abandoned(load) &&
           pager_state(load->pager) != LOAD_STATE_LOADED;
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
    load_write_stats(load);
}
