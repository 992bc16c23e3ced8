/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/profile.h"

#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "formats/page-order.h"
#include "formats/ram-image.h"
#include "plugin/arguments.h"
#include "plugin/destination.h"
#include "plugin/pager/profile-window.h"
#include "util/clock.h"
#include "util/thread.h"

#define DEFAULT_MAX_MS 30000
/* First touches of 16 GiB: 100 MiB of memory in QEMU while the window is open.
 */
#define MAX_RECORDED (UINT64_C(4) << 20)

/* First touches have died down when for this long there were fewer new ones
 * than a share of all before, and fewer than a handful at the least. */
#define SETTLE_US        UINT64_C(2000000)
#define SETTLE_SHARE     200 /* a two-hundredth */
#define SETTLE_FEW       16
#define SETTLE_SAMPLE_US UINT64_C(100000)

struct Profile {
    void (*warn)(const char *text); /* constant */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    ProfileState state;
    bool stop;          /* asked to close the window now */
    bool discard;       /* … and to write nothing */
    unsigned n_waiting; /* for the window to close: the next one opens only
                           once they have been told of that one */

    /* Of the present or the last window: set before it opens, and constant
     * while its thread runs. */
    char *output;
    Destination *destination; /* of output; this and the next two: NULL once
                                 DONE */
    RamImage *snapshot;
    GArray *blocks; /* of PageOrderBlock, with names of the snapshot's */
    Recorder *recorder;
    LoadStats *stats;
    ProfileWindow *window; /* closed by the thread */
    uint64_t opened_us;    /* when its pages began to be taken away */
    uint64_t open_us;      /* what profile-start took, from its arrival on: the
                              guest is stopped meanwhile */
    uint64_t min_us;
    uint64_t max_us;
    bool settle;

    uint64_t closed_us; /* once DONE, as all below */
    ProfileWindowCost cost;
    char *failure; /* why there is no order; NULL: there is */
};

Profile *profile_new(void (*warn)(const char *text))
{
    Profile *profile = g_new0(Profile, 1);

    profile->warn = warn;
    pthread_mutex_init(&profile->lock, NULL);
    clock_cond_init(&profile->changed);
    return profile;
}

/* ---- the window's thread ---- */

/* How first touches come in, for telling when they have died down. */
typedef struct Settling {
    uint64_t since_us; /* … this time there were so many */
    size_t count;
} Settling;

static bool is_settled(Settling *settling, size_t count, uint64_t now_us)
{
    size_t few = MAX(settling->count / SETTLE_SHARE, SETTLE_FEW);

    if (count - settling->count > few) {
        settling->since_us = now_us;
        settling->count = count;
    }
    return now_us - settling->since_us >= SETTLE_US;
}

static void await_end_locked(Profile *profile)
{
    Settling settling = {.since_us = profile->opened_us};

    while (!profile->stop) {
        uint64_t now_us = monotonic_us();
        uint64_t age_us = now_us - profile->opened_us;
        bool settled =
            is_settled(&settling, recorder_count(profile->recorder), now_us);

        if (age_us >= profile->max_us ||
            (profile->settle && settled && age_us >= profile->min_us)) {
            return;
        }
        uint64_t end_us = profile->opened_us + profile->max_us;

        clock_cond_wait_until(&profile->changed, &profile->lock,
                              MIN(now_us + SETTLE_SAMPLE_US, end_us));
    }
}

/* The order without the pages that the snapshot does not have: there is
 * nothing to be loaded of these. */
static PageOrder *keep_pages_in_file(const PageOrder *order,
                                     const RamImage *snapshot)
{
    PageOrder *kept = page_order_copy(order);

    g_array_set_size(kept->extents, 0);
    for (guint i = 0; i < order->extents->len; i++) {
        const PageExtent *extent = page_order_extent(order, i);
        const RamImageBlock *block = ram_image_find_block(
            snapshot, page_order_block(order, extent->span.block)->name);

        for (uint64_t j = 0; j < extent->span.n_pages; j++) {
            PageExtent page = *extent;

            page.span.first_page += j;
            page.span.n_pages = 1;
            if (ram_image_block_has_page(block, page.span.first_page)) {
                page_order_append(kept, &page);
            }
        }
    }
    return kept;
}

static bool write_order(const Profile *profile, GError **error)
{
    if (profile->discard) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "%s: not written, as requested", profile->output);
        return false;
    }
    g_autoptr(PageOrder) all = recorder_to_order(
        profile->recorder, profile->blocks, profile->opened_us,
        profile->snapshot->identity, PAGE_ORDER_ORIGIN_SAVE, error);

    if (!all) {
        return false;
    }
    g_autoptr(PageOrder) order = keep_pages_in_file(all, profile->snapshot);
    return destination_write_order(profile->destination, order, error);
}

/* Close what only an open window needs. */
static void forget_files_locked(Profile *profile)
{
    g_clear_pointer(&profile->destination, destination_free);
    g_clear_pointer(&profile->blocks, g_array_unref);
    g_clear_pointer(&profile->snapshot, ram_image_free);
}

static void *profile_thread(void *opaque)
{
    Profile *profile = opaque;
    ProfileWindowCost cost;
    g_autoptr(GError) error = NULL;

    pthread_mutex_lock(&profile->lock);
    await_end_locked(profile);
    profile->state = PROFILE_CLOSING;
    pthread_mutex_unlock(&profile->lock);

    uint64_t closed_us = monotonic_us();
    profile_window_close(profile->window, &cost);
    bool ok = write_order(profile, &error);
    if (!ok && !profile->discard) {
        profile->warn(error->message);
    }

    /* From DONE on the profile is the next window's. */
    pthread_mutex_lock(&profile->lock);
    forget_files_locked(profile);
    profile->window = NULL;
    profile->cost = cost;
    profile->closed_us = closed_us;
    profile->failure = ok ? NULL : g_strdup(error->message);
    profile->state = PROFILE_DONE;
    pthread_cond_broadcast(&profile->changed);
    pthread_mutex_unlock(&profile->lock);
    return NULL;
}

static int start_thread(Profile *profile)
{
    pthread_t thread;
    int rc = thread_start(&thread, "preheat-profile", profile_thread, profile);

    if (rc == 0) {
        pthread_detach(thread);
    }
    return rc;
}

/* ---- profile-start ---- */

static void forget_locked(Profile *profile)
{
    forget_files_locked(profile);
    g_clear_pointer(&profile->output, g_free);
    g_clear_pointer(&profile->recorder, recorder_free);
    g_clear_pointer(&profile->stats, load_stats_free);
    g_clear_pointer(&profile->failure, g_free);
    memset(&profile->cost, 0, sizeof profile->cost);
    profile->state = PROFILE_NONE;
    profile->stop = false;
    profile->discard = false;
}

/* name: the snapshot's own string, as those in blocks. */
static bool has_block(const GArray *blocks, const char *name)
{
    guint i = 0;

    while (i < blocks->len &&
           g_array_index(blocks, PageOrderBlock, i).name != name) {
        i++;
    }
    return i < blocks->len;
}

/* A window tells first touches of the host's pages. */
static bool check_page_size(const RamImageBlock *block, GError **error)
{
    const uint64_t host_page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);

    if (block->page_bytes != host_page_bytes) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SNAPSHOT,
                    "RAM block %s has pages of %" G_GUINT64_FORMAT
                    " bytes and this host has pages of %" G_GUINT64_FORMAT
                    ", so it cannot be loaded lazily, and an order is of no "
                    "use",
                    block->name, block->page_bytes, host_page_bytes);
    }
    return block->page_bytes == host_page_bytes;
}

/* The ranges' blocks, in their sequence, as the order is to have them. */
static GArray *order_blocks(const RamImage *snapshot, const GArray *ranges,
                            GError **error)
{
    g_autoptr(GArray) blocks =
        g_array_new(FALSE, FALSE, sizeof(PageOrderBlock));

    for (guint i = 0; i < ranges->len; i++) {
        const PagerRange *range = &g_array_index(ranges, PagerRange, i);
        const RamImageBlock *found = pager_range_block(range, snapshot, error);

        if (!found || !check_page_size(found, error)) {
            return NULL;
        }
        if (has_block(blocks, found->name)) {
            g_set_error(error, PAGER_ERROR, PAGER_ERROR_RAM,
                        "RAM block %s occurs twice", range->name);
            return NULL;
        }
        const PageOrderBlock block = {found->name, found->len_bytes,
                                      found->page_bytes};
        g_array_append_val(blocks, block);
    }
    return g_steal_pointer(&blocks);
}

typedef struct StartRequest {
    SnapshotArguments snapshot;
    const char *output; /* borrowed from the arguments */
    uint64_t min_ms;
    uint64_t max_ms;
    bool settle;
} StartRequest;

static bool parse_start(const json_t *arguments, StartRequest *ret_request,
                        GError **error)
{
    StartRequest request = {.max_ms = DEFAULT_MAX_MS};
    json_t *blocks = NULL;
    json_t *threads = NULL;
    json_t *settle = NULL;
    json_t *names = NULL;
    const Argument known[] = {
        {CONTROL_KEY_SNAPSHOT, ARGUMENT_STRING, true, &request.snapshot.path},
        {CONTROL_KEY_TAG, ARGUMENT_STRING, false, &request.snapshot.tag},
        {CONTROL_KEY_OFFSET, ARGUMENT_COUNT, false,
         &request.snapshot.off_bytes},
        {CONTROL_KEY_OUTPUT, ARGUMENT_STRING, true, &request.output},
        {CONTROL_KEY_MIN_TIME, ARGUMENT_MS, false, &request.min_ms},
        {CONTROL_KEY_MAX_TIME, ARGUMENT_MS, false, &request.max_ms},
        {CONTROL_KEY_SETTLE, ARGUMENT_ANY, false, &settle},
        {CONTROL_KEY_BLOCKS, ARGUMENT_ANY, true, &blocks},
        {CONTROL_KEY_VCPU_THREADS, ARGUMENT_ANY, true, &threads},
        {CONTROL_KEY_DESCRIPTORS, ARGUMENT_ANY, false, &names},
        {NULL},
    };

    if (!arguments_parse(arguments, known, error)) {
        return false;
    }
    request.settle = json_is_true(settle);
    *ret_request = request;
    return true;
}

static void await_told_locked(Profile *profile)
{
    while (profile->state == PROFILE_DONE && profile->n_waiting > 0) {
        pthread_cond_wait(&profile->changed, &profile->lock);
    }
}

/* snapshot and destination: taken over. */
static bool open_locked(Profile *profile, const StartRequest *request,
                        RamImage *snapshot, Destination *destination,
                        const GArray *ranges, const GArray *threads,
                        GError **error)
{
    profile->snapshot = snapshot;
    profile->destination = destination;
    profile->output = g_strdup(request->output);
    profile->blocks = order_blocks(snapshot, ranges, error);
    if (!profile->blocks) {
        return false;
    }
    profile->min_us = request->min_ms * 1000;
    profile->max_us = request->max_ms * 1000;
    profile->settle = request->settle;
    profile->recorder = recorder_new(MAX_RECORDED);
    profile->opened_us = monotonic_us();
    profile->stats = load_stats_new(profile->opened_us);
    load_stats_set_vcpus(profile->stats, (uint32_t *)threads->data,
                         threads->len);
    profile->window =
        profile_window_open((PagerRange *)ranges->data, ranges->len,
                            profile->recorder, profile->stats, error);
    if (!profile->window) {
        return false;
    }
    int rc = start_thread(profile);
    if (rc != 0) {
        profile_window_close(profile->window, &profile->cost);
        profile->window = NULL;
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "no thread for the profiling window: %s", g_strerror(-rc));
        return false;
    }
    profile->state = PROFILE_OPEN;
    return true;
}

json_t *profile_start(Profile *profile, const json_t *arguments,
                      const Descriptors *descriptors, GError **error)
{
    const uint64_t begin_us = monotonic_us();
    StartRequest request;
    g_autoptr(GArray) ranges = NULL;
    g_autoptr(GArray) threads = NULL;
    g_autoptr(RamImage) snapshot = NULL;
    g_autoptr(Destination) destination = NULL;

    if (!parse_start(arguments, &request, error) ||
        !arguments_guest(arguments, &ranges, &threads, error)) {
        return NULL;
    }
    /* Told before a window of minutes, rather than after it. */
    destination = destination_open(request.output, error);
    snapshot = destination
                   ? arguments_snapshot(&request.snapshot, descriptors, error)
                   : NULL;
    if (!snapshot) {
        return NULL;
    }
    pthread_mutex_lock(&profile->lock);
    await_told_locked(profile);
    bool ok =
        profile->state != PROFILE_OPEN && profile->state != PROFILE_CLOSING;
    if (!ok) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "a profiling window is open already; profile-stop closes "
                    "it");
    } else {
        forget_locked(profile);
        ok = open_locked(profile, &request, g_steal_pointer(&snapshot),
                         g_steal_pointer(&destination), ranges, threads, error);
        profile->open_us = monotonic_us() - begin_us;
        if (!ok) {
            forget_locked(profile);
        }
    }
    pthread_mutex_unlock(&profile->lock);
    return ok ? json_object() : NULL;
}

/* ---- the other commands ---- */

static void copy_field(json_t *to, const json_t *from, const char *name)
{
    json_object_set(to, name, json_object_get(from, name));
}

static void add_costs_locked(const Profile *profile, json_t *json)
{
    const ProfileWindowCost *cost = &profile->cost;
    json_t *fields = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I}", "window-ms",
        (json_int_t)(profile->closed_us - profile->opened_us) / 1000, "open-us",
        (json_int_t)profile->open_us, "close-us", (json_int_t)cost->close_us,
        "pinned-pages", (json_int_t)cost->pinned_pages, "copied-pages",
        (json_int_t)cost->copied_pages, "huge-pages-split",
        (json_int_t)cost->huge_pages_split);

    json_object_update(json, fields);
    json_decref(fields);
    json_object_set_new(json, CONTROL_KEY_OUTPUT, json_string(profile->output));
    if (profile->failure) {
        json_object_set_new(json, CONTROL_KEY_ERROR,
                            json_string(profile->failure));
    }
}

static json_t *query_locked(const Profile *profile)
{
    json_t *json = json_pack("{s:s}", CONTROL_KEY_STATE,
                             profile_state_name(profile->state));

    if (profile->state == PROFILE_NONE) {
        return json;
    }
    json_t *stats = load_stats_to_json(profile->stats, LOAD_POLICY_DEMAND,
                                       LOAD_STATE_LOADED);
    copy_field(json, stats, "blocktime-ms");
    copy_field(json, stats, "vcpu-blocktime-ms");
    copy_field(json, stats, "other-blocktime-ms");
    copy_field(json, stats, "latency-us");
    copy_field(json, stats, "latency-dist");
    json_decref(stats);
    json_object_set_new(
        json, "first-touches",
        json_integer((json_int_t)recorder_count(profile->recorder)));
    json_object_set_new(
        json, "dropped-touches",
        json_integer((json_int_t)recorder_dropped(profile->recorder)));
    if (profile->state == PROFILE_DONE) {
        add_costs_locked(profile, json);
    }
    return json;
}

static bool is_active_locked(const Profile *profile)
{
    return profile->state == PROFILE_OPEN || profile->state == PROFILE_CLOSING;
}

static json_t *await_and_query_locked(Profile *profile)
{
    profile->n_waiting++;
    while (is_active_locked(profile)) {
        pthread_cond_wait(&profile->changed, &profile->lock);
    }
    profile->n_waiting--;
    pthread_cond_broadcast(&profile->changed);
    return query_locked(profile);
}

static json_t *stop(Profile *profile, bool discard)
{
    pthread_mutex_lock(&profile->lock);
    if (profile->state == PROFILE_OPEN && !profile->stop) {
        profile->stop = true;
        profile->discard = discard;
        pthread_cond_broadcast(&profile->changed);
    }
    json_t *json = await_and_query_locked(profile);
    pthread_mutex_unlock(&profile->lock);
    return json;
}

json_t *profile_stop(Profile *profile, const json_t *arguments, GError **error)
{
    json_t *discard = NULL;
    const Argument known[] = {
        {CONTROL_KEY_DISCARD, ARGUMENT_ANY, false, &discard},
        {NULL},
    };

    return arguments_parse(arguments, known, error)
               ? stop(profile, json_is_true(discard))
               : NULL;
}

json_t *profile_wait(Profile *profile, const json_t *arguments, GError **error)
{
    pthread_mutex_lock(&profile->lock);
    json_t *json = await_and_query_locked(profile);
    pthread_mutex_unlock(&profile->lock);
    return json;
}

json_t *profile_query(Profile *profile, const json_t *arguments, GError **error)
{
    pthread_mutex_lock(&profile->lock);
    json_t *json = query_locked(profile);
    pthread_mutex_unlock(&profile->lock);
    return json;
}

void profile_end(Profile *profile)
{
    json_decref(stop(profile, false));
}
