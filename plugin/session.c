/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/session.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "formats/page-order.h"
#include "formats/snapshot.h"
#include "plugin/arguments.h"
#include "plugin/control-protocol.h"
#include "plugin/pager.h"
#include "plugin/profile.h"
#include "plugin/verify.h"
#include "profiler/learn.h"

#define N_FAULT_THREADS   4
#define N_EAGER_THREADS   2
#define MAX_STAGED_BYTES  (UINT64_C(512) << 20)
#define MAX_RECORDED      (UINT64_C(16) << 20)
#define DEFAULT_RECORD_MS 10000

/* A page that so many loads in a row found untouched leaves a learned order;
 * so does what goes beyond this size. */
#define MAX_IDLE_LOADS    3
#define MAX_LEARNED_BYTES (UINT64_C(1) << 30)

struct Session {
    SessionWarn *warn; /* constant */
    Control *control;  /* constant */
    Profile *profile;  /* constant */

    pthread_mutex_t lock; /* held while a load begins; guards loaded, and all
                             below while loaded is false */
    bool begun; /* a load has begun: what follows is constant */
    char *policy;
    char *record_path; /* NULL: do not record */
    char *stats_path;  /* NULL: do not write */
    char *learn_path;  /* NULL: do not learn */
    Snapshot *snapshot;
    PageSource *source;
    LoadStats *stats;
    Recorder *recorder;
    Recorder *missed; /* both for learning */
    Recorder *unused;
    PageOrder *learn_from; /* what is to be improved */
    Pager *pager; /* NULL: policy full */

    uint64_t attached_us; /* set before the pager notes anything */
    bool full_loaded;     /* under lock; policy full: QEMU has loaded it */
};

static void write_stats(Session *session);

/* ---- what the pager calls ---- */

static void on_failed(void *opaque, const PagerFailure *failure)
{
    Session *session = opaque;

    control_send_event(
        session->control, CONTROL_EVENT_READ_ERROR,
        json_pack("{s:s, s:I, s:s, s:s}", "file", failure->path, "offset",
                  (json_int_t)failure->off_bytes, "operation", failure->what,
                  "error", g_strerror(failure->error)));
}

static GArray *recorded_blocks(const Snapshot *snapshot)
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

static void on_recorded(void *opaque)
{
    Session *session = opaque;
    g_autoptr(GArray) blocks = recorded_blocks(session->snapshot);
    g_autoptr(GError) error = NULL;
    g_autoptr(PageOrder) order = recorder_to_order(
        session->recorder, blocks, session->attached_us,
        session->snapshot->identity, PAGE_ORDER_ORIGIN_LOAD, &error);

    if (!order || !page_order_save(order, session->record_path, &error)) {
        session->warn(error->message);
    }
    write_stats(session);
}

static PageOrder *lesson_order(const Session *session, Recorder *recorder,
                               GError **error)
{
    g_autoptr(GArray) blocks = recorded_blocks(session->snapshot);

    return recorder_to_order(recorder, blocks, session->attached_us,
                             session->snapshot->identity,
                             PAGE_ORDER_ORIGIN_LEARNED, error);
}

static bool learn(const Session *session, GError **error)
{
    g_autoptr(PageOrder) missed =
        lesson_order(session, session->missed, error);
    g_autoptr(PageOrder) unused =
        missed ? lesson_order(session, session->unused, error) : NULL;

    if (!unused) {
        return false;
    }
    const LoadLesson lesson = {
        .missed = missed,
        .unused = unused,
        .max_idle_loads = MAX_IDLE_LOADS,
        .max_bytes = MAX_LEARNED_BYTES,
    };
    g_autoptr(PageOrder) order =
        order_learn(session->learn_from, &lesson, error);
    return order && page_order_save(order, session->learn_path, error);
}

static void on_learned(void *opaque)
{
    Session *session = opaque;
    g_autoptr(GError) error = NULL;

    if (!learn(session, &error)) {
        session->warn(error->message);
    }
    write_stats(session);
}

static void on_loaded(void *opaque)
{
    Session *session = opaque;

    write_stats(session);
    control_send_event(session->control, CONTROL_EVENT_LOADED, json_object());
}

/* ---- statistics ---- */

static const char *state_of(Session *session)
{
    if (!session->pager) {
        pthread_mutex_lock(&session->lock);
        bool loaded = session->full_loaded;
        pthread_mutex_unlock(&session->lock);
        return loaded ? "loaded" : "loading";
    }
    return pager_state(session->pager);
}

static json_t *stats_json(Session *session)
{
    return load_stats_to_json(session->stats, session->policy,
                              state_of(session));
}

static void write_stats(Session *session)
{
    g_autoptr(GError) error = NULL;

    if (!session->stats_path) {
        return;
    }
    json_t *json = stats_json(session);
    char *text = json_dumps(json, JSON_INDENT(2));
    g_autofree char *line = g_strconcat(text ? text : "{}", "\n", NULL);

    free(text);
    json_decref(json);
    if (!g_file_set_contents_full(session->stats_path, line, -1,
                                  G_FILE_SET_CONTENTS_CONSISTENT, 0644,
                                  &error)) {
        session->warn(error->message);
    }
}

/* ---- load ---- */

/* What "load" was asked for. */
typedef struct LoadRequest {
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

static bool parse_load(const json_t *arguments, LoadRequest *ret_request,
                       GError **error)
{
    LoadRequest request = {
        .policy = "order",
        .record_ms = DEFAULT_RECORD_MS,
        .learn_ms = DEFAULT_RECORD_MS,
        .start_us = monotonic_us(),
    };
    const Argument known[] = {
        {"snapshot", ARGUMENT_STRING, true, &request.snapshot},
        {"offset", ARGUMENT_COUNT, false, &request.offset},
        {"order", ARGUMENT_STRING, false, &request.order},
        {"policy", ARGUMENT_STRING, false, &request.policy},
        {"record", ARGUMENT_STRING, false, &request.record},
        {"record-for", ARGUMENT_COUNT, false, &request.record_ms},
        {"learn", ARGUMENT_STRING, false, &request.learn},
        {"learn-for", ARGUMENT_COUNT, false, &request.learn_ms},
        {"stats", ARGUMENT_STRING, false, &request.stats},
        {"start-us", ARGUMENT_COUNT, false, &request.start_us},
        {NULL},
    };

    if (!arguments_parse(arguments, known, error)) {
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

static bool parse_policy(const char *name, PagerPolicy *ret_policy,
                         bool *ret_full)
{
    static const char *const names[] = {
        [PAGER_POLICY_ORDER] = "order",
        [PAGER_POLICY_SEQUENTIAL] = "sequential",
        [PAGER_POLICY_DEMAND] = "demand",
    };

    *ret_full = strcmp(name, "full") == 0;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *ret_policy = (PagerPolicy)i;
            return true;
        }
    }
    return *ret_full;
}

/* An order is a hint: what is wrong with it is worth a word, not a stop. */
static PageOrder *load_order(const Session *session, const char *path,
                             char **ret_warning)
{
    g_autoptr(GError) error = NULL;
    PageOrder *order = page_order_load(path, &error);

    if (!order) {
        *ret_warning = g_strdup_printf("%s; loading without an order",
                                       error->message);
    } else if (order->identity &&
               strcmp(order->identity, session->snapshot->identity) != 0) {
        *ret_warning = g_strdup_printf(
            "%s: recorded for another snapshot than %s; it may not help",
            path, session->snapshot->path);
    }
    return order;
}

/* What is to be improved: the order that is replayed, if it is this
 * snapshot's, or one that is still empty.  Orders of different snapshots are
 * not mixed. */
static void prepare_learning(Session *session, const PageOrder *order,
                             const char *path)
{
    bool known = order && order->identity &&
                 strcmp(order->identity, session->snapshot->identity) == 0;

    if (known) {
        session->learn_from = page_order_copy(order);
    } else {
        session->learn_from = page_order_new();
        session->learn_from->identity =
            g_strdup(session->snapshot->identity);
    }
    session->learn_path = g_strdup(path);
    session->missed = recorder_new(MAX_RECORDED);
    session->unused = recorder_new(MAX_RECORDED);
}

static bool start_pager(Session *session, const LoadRequest *request,
                        PagerPolicy policy, char **ret_warning,
                        GError **error)
{
    g_autoptr(PageOrder) order = NULL;

    if (request->order && policy == PAGER_POLICY_ORDER) {
        order = load_order(session, request->order, ret_warning);
    }
    session->source = page_source_new_file(session->snapshot, error);
    if (!session->source) {
        return false;
    }
    if (session->record_path) {
        session->recorder = recorder_new(MAX_RECORDED);
    }
    if (request->learn) {
        prepare_learning(session, order, request->learn);
    }
    const PagerConfig config = {
        .snapshot = session->snapshot,
        .source = session->source,
        .order = order,
        .policy = policy,
        .stats = session->stats,
        .recorder = session->recorder,
        .record_us = request->record_ms * 1000,
        .learning = {session->missed, session->unused,
                     request->learn_ms * 1000},
        .max_staged_bytes = MAX_STAGED_BYTES,
        .n_fault_threads = N_FAULT_THREADS,
        .n_eager_threads = N_EAGER_THREADS,
        .callbacks = {on_failed, on_recorded, on_learned, on_loaded, session},
    };
    session->pager = pager_new(&config, error);
    return session->pager != NULL;
}

static void drop_load(Session *session)
{
    page_source_free(session->source);
    session->source = NULL;
    recorder_free(session->recorder);
    session->recorder = NULL;
    g_clear_pointer(&session->missed, recorder_free);
    g_clear_pointer(&session->unused, recorder_free);
    g_clear_pointer(&session->learn_from, page_order_free);
    g_clear_pointer(&session->learn_path, g_free);
    load_stats_free(session->stats);
    session->stats = NULL;
    snapshot_free(session->snapshot);
    session->snapshot = NULL;
    g_clear_pointer(&session->policy, g_free);
    g_clear_pointer(&session->record_path, g_free);
    g_clear_pointer(&session->stats_path, g_free);
}

static bool begin_locked(Session *session, const LoadRequest *request,
                         char **ret_warning, GError **error)
{
    PagerPolicy policy = PAGER_POLICY_ORDER;
    bool full;

    if (session->begun) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "%s is being loaded, or was, in this QEMU",
                    session->snapshot->path);
        return false;
    }
    if (!parse_policy(request->policy, &policy, &full)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "no policy is called %s: order, sequential, demand, full",
                    request->policy);
        return false;
    }
    session->snapshot =
        snapshot_open(request->snapshot, request->offset, error);
    if (!session->snapshot) {
        return false;
    }
    session->policy = g_strdup(request->policy);
    session->record_path = g_strdup(request->record);
    session->stats_path = g_strdup(request->stats);
    session->stats = load_stats_new(request->start_us);
    session->begun =
        full || start_pager(session, request, policy, ret_warning, error);
    if (!session->begun) {
        drop_load(session);
    }
    return session->begun;
}

static json_t *execute_load(Session *session, const json_t *arguments,
                            GError **error)
{
    LoadRequest request;
    g_autofree char *warning = NULL;

    if (!parse_load(arguments, &request, error)) {
        return NULL;
    }
    pthread_mutex_lock(&session->lock);
    bool ok = begin_locked(session, &request, &warning, error);
    pthread_mutex_unlock(&session->lock);
    if (!ok) {
        return NULL;
    }
    return warning ? json_pack("{s:s}", "warning", warning) : json_object();
}

/* ---- the other commands ---- */

static json_t *execute_attach(Session *session, const json_t *arguments,
                              GError **error)
{
    g_autoptr(GArray) ranges = NULL;
    g_autoptr(GArray) threads = NULL;

    if (!session->pager) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "with policy full QEMU itself loads guest RAM");
        return NULL;
    }
    ranges = arguments_ranges(arguments, "blocks", error);
    threads = ranges ? arguments_thread_ids(arguments, "vcpu-threads", error)
                     : NULL;
    if (!threads) {
        return NULL;
    }
    pthread_mutex_lock(&session->lock);
    session->attached_us = monotonic_us();
    bool ok = pager_attach(session->pager, (PagerRange *)ranges->data,
                           ranges->len, (uint32_t *)threads->data,
                           threads->len, error);
    pthread_mutex_unlock(&session->lock);
    return ok ? json_object() : NULL;
}

static json_t *execute_milestone(Session *session, const json_t *arguments,
                                 GError **error)
{
    static const struct {
        const char *name;
        Milestone milestone;
    } names[] = {
        {"qemu-ready", MILESTONE_QEMU_READY},
        {"resumed", MILESTONE_RESUMED},
        {"loaded", MILESTONE_LOADED},
    };
    const char *name = NULL;
    uint64_t time_us = 0;
    const Argument known[] = {
        {"name", ARGUMENT_STRING, true, &name},
        {"time-us", ARGUMENT_COUNT, true, &time_us},
        {NULL},
    };

    if (!arguments_parse(arguments, known, error)) {
        return NULL;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        bool loaded = names[i].milestone == MILESTONE_LOADED;

        if (strcmp(name, names[i].name) == 0 &&
            !(loaded && session->pager)) {
            load_stats_milestone(session->stats, names[i].milestone, time_us);
            pthread_mutex_lock(&session->lock);
            session->full_loaded |= loaded;
            pthread_mutex_unlock(&session->lock);
            return json_object();
        }
    }
    g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                "no milestone is called %s: qemu-ready, resumed, and with "
                "policy full loaded",
                name);
    return NULL;
}

static json_t *execute_wait(Session *session, const json_t *arguments,
                            GError **error)
{
    static const char *const names[] = {
        [PAGER_GOAL_HOT] = "hot",
        [PAGER_GOAL_ALL] = "all",
        [PAGER_GOAL_RECORDED] = "recording",
    };
    const char *goal = NULL;
    const Argument known[] = {
        {"for", ARGUMENT_STRING, true, &goal},
        {NULL},
    };

    if (!arguments_parse(arguments, known, error)) {
        return NULL;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        if (strcmp(goal, names[i]) == 0) {
            bool ok = !session->pager ||
                      pager_wait(session->pager, (PagerGoal)i, error);

            return ok ? json_object() : NULL;
        }
    }
    g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                "nothing called %s to wait for: hot, all, recording", goal);
    return NULL;
}

static json_t *execute_query(Session *session, const json_t *arguments,
                             GError **error)
{
    return stats_json(session);
}

static json_t *execute_retry(Session *session, const json_t *arguments,
                             GError **error)
{
    if (session->pager) {
        pager_retry(session->pager);
    }
    return json_object();
}

static json_t *verify_answer(const VerifyResult *result)
{
    json_t *answer =
        json_pack("{s:I, s:b, s:I}", "pages", (json_int_t)result->n_pages,
                  "equal", result->n_differing == 0, "pages-differing",
                  (json_int_t)result->n_differing);

    if (result->n_differing > 0) {
        json_object_set_new(
            answer, "first-difference",
            json_pack("{s:s, s:I, s:I, s:I}", "block", result->block, "page",
                      (json_int_t)result->page, "address",
                      (json_int_t)(result->page * result->page_bytes), "byte",
                      (json_int_t)result->byte));
    }
    return answer;
}

static json_t *execute_verify(Session *session, const json_t *arguments,
                              GError **error)
{
    const char *path = NULL;
    uint64_t offset = 0;
    json_t *blocks = NULL;
    const Argument known[] = {
        {"snapshot", ARGUMENT_STRING, true, &path},
        {"offset", ARGUMENT_COUNT, false, &offset},
        {"blocks", ARGUMENT_ANY, true, &blocks},
        {NULL},
    };
    VerifyResult result;

    if (!arguments_parse(arguments, known, error)) {
        return NULL;
    }
    g_autoptr(GArray) ranges = arguments_ranges(arguments, "blocks", error);
    g_autoptr(Snapshot) snapshot =
        ranges ? snapshot_open(path, offset, error) : NULL;
    if (!snapshot ||
        !verify_ram(snapshot, (PagerRange *)ranges->data, ranges->len,
                    &result, error)) {
        return NULL;
    }
    return verify_answer(&result);
}

static json_t *execute_load_rest(Session *session, const json_t *arguments,
                                 GError **error)
{
    if (session->pager) {
        pager_load_rest(session->pager);
    }
    return json_object();
}

static json_t *execute_profile_start(Session *session,
                                     const json_t *arguments, GError **error)
{
    if (session->pager &&
        strcmp(pager_state(session->pager), "loaded") != 0) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "%s is still being loaded; first load-rest, and wait for "
                    "all",
                    session->snapshot->path);
        return NULL;
    }
    return profile_start(session->profile, arguments, error);
}

static json_t *execute_profile_stop(Session *session, const json_t *arguments,
                                    GError **error)
{
    return profile_stop(session->profile, arguments, error);
}

static json_t *execute_profile_wait(Session *session, const json_t *arguments,
                                    GError **error)
{
    return profile_wait(session->profile, arguments, error);
}

static json_t *execute_profile_query(Session *session,
                                     const json_t *arguments, GError **error)
{
    return profile_query(session->profile, arguments, error);
}

/* ---- the table ---- */

typedef json_t *Execute(Session *session, const json_t *arguments,
                        GError **error);

static const struct {
    const char *name;
    Execute *execute;
    bool needs_load; /* only after "load" */
} commands[] = {
    {CONTROL_CMD_LOAD, execute_load, false},
    {CONTROL_CMD_ATTACH, execute_attach, true},
    {CONTROL_CMD_MILESTONE, execute_milestone, true},
    {CONTROL_CMD_WAIT, execute_wait, true},
    {CONTROL_CMD_QUERY, execute_query, true},
    {CONTROL_CMD_RETRY, execute_retry, true},
    {CONTROL_CMD_LOAD_REST, execute_load_rest, false},
    {CONTROL_CMD_VERIFY, execute_verify, false},
    {CONTROL_CMD_PROFILE_START, execute_profile_start, false},
    {CONTROL_CMD_PROFILE_STOP, execute_profile_stop, false},
    {CONTROL_CMD_PROFILE_WAIT, execute_profile_wait, false},
    {CONTROL_CMD_PROFILE_QUERY, execute_profile_query, false},
};

static bool has_begun(Session *session)
{
    pthread_mutex_lock(&session->lock);
    bool begun = session->begun;
    pthread_mutex_unlock(&session->lock);
    return begun;
}

json_t *session_execute(void *opaque, const char *command,
                        const json_t *arguments, GError **error)
{
    Session *session = opaque;

    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(command, commands[i].name) != 0) {
            continue;
        }
        if (commands[i].needs_load && !has_begun(session)) {
            if (commands[i].execute == execute_query) {
                return json_pack("{s:s}", "state", "idle");
            }
            g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                        "no snapshot is being loaded in this QEMU");
            return NULL;
        }
        return commands[i].execute(session, arguments, error);
    }
    g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                "no command is called %s", command);
    return NULL;
}

Session *session_new(SessionWarn *warn)
{
    Session *session = g_new0(Session, 1);

    session->warn = warn;
    session->profile = profile_new(warn);
    pthread_mutex_init(&session->lock, NULL);
    return session;
}

void session_set_control(Session *session, Control *control)
{
    session->control = control;
}

void session_launcher_gone(void *opaque)
{
    Session *session = opaque;

    if (has_begun(session) && session->pager &&
        strcmp(pager_state(session->pager), "failed") == 0) {
        kill(getpid(), SIGKILL);
    }
}

void session_end(Session *session)
{
    profile_end(session->profile);
    if (!has_begun(session)) {
        return;
    }
    if (session->pager) {
        pager_end_recording(session->pager);
        pager_end_learning(session->pager);
    }
    write_stats(session);
}
