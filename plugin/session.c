/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/session.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "formats/control-protocol.h"
#include "formats/ram-image.h"
#include "plugin/arguments.h"
#include "plugin/ending.h"
#include "plugin/load.h"
#include "plugin/privilege.h"
#include "plugin/profile.h"
#include "plugin/verify.h"
#include "util/clock.h"
#include "util/text.h"

/* How long "retry" waits for what it has set off. */
#define MAX_RETRY_US UINT64_C(5000000)

/* How long QEMU's start may be held up for the opening of files. */
#define MAX_OPENING_US UINT64_C(5000000)

struct Session {
    SessionHost host; /* constant, as the next three */
    Control *control;
    Profile *profile;
    Ending *ending;

    pthread_mutex_t lock; /* held while a load begins, and while it takes over
                             RAM: one at a time */
    /* Set once, with the lock held, by release: who acquires it finds it made.
     * Read without the lock, which may be held for long. */
    _Atomic(Load *) load;

    /* Each load has one launcher.  Relaxed: who sets it first goes on alone,
     * and what it then does takes locks. */
    atomic_bool has_launcher;
    atomic_bool was_alone; /* relaxed: set before anybody can adopt */

    pthread_mutex_t opened_lock; /* guards opened */
    pthread_cond_t opened_changed;
    bool opened; /* what the first "load" needs is open */
};

/* The load that has begun, or NULL. */
static Load *begun_load(Session *session)
{
    return atomic_load_explicit(&session->load, memory_order_acquire);
}

static void set_opened(Session *session)
{
    pthread_mutex_lock(&session->opened_lock);
    session->opened = true;
    pthread_cond_broadcast(&session->opened_changed);
    pthread_mutex_unlock(&session->opened_lock);
}

/* "load" in a QEMU that has loaded before. */
static bool refuse_second(const Load *before, GError **error)
{
    g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                "%s is being loaded, or was loaded, in this QEMU, which loads "
                "only once",
                load_snapshot_path(before));
    return false;
}

static Load *begin_load_locked(Session *session, const json_t *arguments,
                               const Descriptors *descriptors,
                               char **ret_warning, GError **error)
{
    const LoadHost host = {session->control, session->ending,
                           session->host.warn};
    const Load *before = begun_load(session);

    if (before) {
        refuse_second(before, error);
        return NULL;
    }
    g_autoptr(LoadRequest) request =
        load_request_new(arguments, descriptors, error);
    set_opened(session);
    return request ? load_begin(request, &host, ret_warning, error) : NULL;
}

/* A connection of its own for the command's descriptor, which stays it. */
static bool add_launcher(Session *session, int fd, GError **error)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    int rc = own < 0
                 ? -errno
                 : control_add(session->control, own, session_launcher_gone);

    if (rc < 0) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "no connection for a launcher: %s", g_strerror(-rc));
    }
    return rc == 0;
}

static void leave_alone(Session *session)
{
    ending_handed_over(session->ending);
    ending_launcher_gone(session->ending, false, false);
    atomic_store_explicit(&session->has_launcher, false, memory_order_relaxed);
}

static bool adopt_locked(Session *session, int fd, GError **error)
{
    const Load *before = begun_load(session);

    if (before) {
        return refuse_second(before, error);
    }
    if (atomic_exchange_explicit(&session->has_launcher, true,
                                 memory_order_relaxed)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "another launcher is about to load into this QEMU");
        return false;
    }
    ending_adopted(session->ending);
    if (!add_launcher(session, fd, error)) {
        leave_alone(session);
        return false;
    }
    return true;
}

static json_t *execute_adopt(Session *session, const json_t *arguments,
                             const Descriptors *descriptors, GError **error)
{
    static const char *const known[] = {CONTROL_KEY_CONTROL, NULL};
    int fd = descriptors_find(descriptors, CONTROL_KEY_CONTROL);

    if (!descriptors_check(descriptors, known, error)) {
        return NULL;
    }
    if (fd < 0) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "the descriptor \"control\" is missing");
        return NULL;
    }
    pthread_mutex_lock(&session->lock);
    bool ok = adopt_locked(session, fd, error);
    pthread_mutex_unlock(&session->lock);
    return ok ? json_object() : NULL;
}

static json_t *execute_load(Session *session, const json_t *arguments,
                            const Descriptors *descriptors, GError **error)
{
    g_autofree char *warning = NULL;

    pthread_mutex_lock(&session->lock);
    Load *load =
        begin_load_locked(session, arguments, descriptors, &warning, error);
    if (load) {
        atomic_store_explicit(&session->load, load, memory_order_release);
    }
    pthread_mutex_unlock(&session->lock);
    if (!load) {
        return NULL;
    }
    return warning
               ? json_pack("{s:o}", CONTROL_KEY_WARNING, text_to_json(warning))
               : json_object();
}

static json_t *execute_attach(Session *session, const json_t *arguments,
                              const Descriptors *descriptors, GError **error)
{
    g_autoptr(GArray) ranges = NULL;
    g_autoptr(GArray) threads = NULL;

    if (!arguments_guest(arguments, &ranges, &threads, error)) {
        return NULL;
    }
    privilege_settle();
    pthread_mutex_lock(&session->lock);
    bool ok = load_attach(begun_load(session), ranges, threads, error);
    pthread_mutex_unlock(&session->lock);
    return ok ? json_object() : NULL;
}

static json_t *execute_abandon(Session *session, const json_t *arguments,
                               const Descriptors *descriptors, GError **error)
{
    pthread_mutex_lock(&session->lock);
    bool ok = load_abandon(begun_load(session), error);
    pthread_mutex_unlock(&session->lock);
    return ok ? json_object() : NULL;
}

static json_t *execute_milestone(Session *session, const json_t *arguments,
                                 const Descriptors *descriptors, GError **error)
{
    const char *name = NULL;
    uint64_t time_us = 0;
    Milestone milestone;
    const Argument known[] = {
        {CONTROL_KEY_NAME, ARGUMENT_STRING, true, &name},
        {CONTROL_KEY_TIME_US, ARGUMENT_COUNT, true, &time_us},
        {NULL},
    };

    if (!arguments_parse(arguments, known, error)) {
        return NULL;
    }
    /* Who tells has heard QEMU's monitor. */
    privilege_settle();
    if (!milestone_from_name(name, &milestone)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "unknown milestone %s: it must be qemu-ready, "
                    "device-state, resumed, paused, or with policy full loaded",
                    name);
        return NULL;
    }
    if (!load_milestone(begun_load(session), milestone, time_us, error)) {
        return NULL;
    }
    if (milestone == MILESTONE_RESUMED || milestone == MILESTONE_PAUSED) {
        ending_handed_over(session->ending);
        load_write_stats(begun_load(session));
    }
    return json_object();
}

static json_t *execute_wait(Session *session, const json_t *arguments,
                            const Descriptors *descriptors, GError **error)
{
    const char *name = NULL;
    LoadGoal goal;
    const Argument known[] = {
        {CONTROL_KEY_FOR, ARGUMENT_STRING, true, &name},
        {NULL},
    };

    if (!arguments_parse(arguments, known, error)) {
        return NULL;
    }
    if (!load_goal_from_name(name, &goal)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "unknown goal %s: it must be hot, all or recording", name);
        return NULL;
    }
    Pager *pager = load_pager(begun_load(session));
    if (pager && goal == LOAD_GOAL_ALL) {
        pager_release_rest(pager);
    }
    return !pager || pager_wait(pager, goal, error) ? json_object() : NULL;
}

static json_t *execute_query(Session *session, const json_t *arguments,
                             const Descriptors *descriptors, GError **error)
{
    return load_query(begun_load(session));
}

static json_t *execute_retry(Session *session, const json_t *arguments,
                             const Descriptors *descriptors, GError **error)
{
    Pager *pager = load_pager(begun_load(session));
    uint64_t missing = 0;

    if (pager) {
        pager_retry(pager);
        if (!pager_await_retry(pager, MAX_RETRY_US, &missing, error)) {
            return NULL;
        }
    }
    return json_pack("{s:I}", CONTROL_KEY_MISSING, (json_int_t)missing);
}

static json_t *execute_quit(Session *session, const json_t *arguments,
                            const Descriptors *descriptors, GError **error)
{
    ending_now(session->ending, "\"quit\" was requested");
}

static json_t *verify_answer(const VerifyResult *result)
{
    json_t *answer = json_pack("{s:I, s:b, s:I}", CONTROL_KEY_PAGES,
                               (json_int_t)result->n_pages, CONTROL_KEY_EQUAL,
                               result->n_differing == 0, "pages-differing",
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
                              const Descriptors *descriptors, GError **error)
{
    SnapshotArguments given = {0};
    json_t *blocks = NULL;
    json_t *names = NULL;
    const Argument known[] = {
        {CONTROL_KEY_SNAPSHOT, ARGUMENT_STRING, true, &given.path},
        {CONTROL_KEY_TAG, ARGUMENT_STRING, false, &given.tag},
        {CONTROL_KEY_OFFSET, ARGUMENT_COUNT, false, &given.off_bytes},
        {CONTROL_KEY_BLOCKS, ARGUMENT_ANY, true, &blocks},
        {CONTROL_KEY_DESCRIPTORS, ARGUMENT_ANY, false, &names},
        {NULL},
    };
    VerifyResult result;

    if (!arguments_parse(arguments, known, error)) {
        return NULL;
    }
    g_autoptr(GArray) ranges = arguments_ranges(arguments, error);
    g_autoptr(RamImage) snapshot =
        ranges ? arguments_snapshot(&given, descriptors, error) : NULL;
    if (!snapshot || !verify_ram(snapshot, (PagerRange *)ranges->data,
                                 ranges->len, &result, error)) {
        return NULL;
    }
    return verify_answer(&result);
}

static json_t *execute_load_rest(Session *session, const json_t *arguments,
                                 const Descriptors *descriptors, GError **error)
{
    Load *load = begun_load(session);

    if (load && load_pager(load)) {
        pager_load_rest(load_pager(load));
    }
    return json_object();
}

static json_t *execute_profile_start(Session *session, const json_t *arguments,
                                     const Descriptors *descriptors,
                                     GError **error)
{
    Load *load = begun_load(session);

    if (load && load_is_under_way(load)) {
        g_set_error(
            error, PAGER_ERROR, PAGER_ERROR_STATE,
            "%s is still being loaded; send load-rest and wait for all first",
            load_snapshot_path(load));
        return NULL;
    }
    if (load && load_is_clone(load)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "this machine is a clone, whose memory is mapped from a "
                    "template: first touches of it cannot be seen; profile "
                    "one that was loaded without --template");
        return NULL;
    }
    privilege_settle();
    json_t *answer =
        profile_start(session->profile, arguments, descriptors, error);
    if (answer && session->host.forget_code) {
        session->host.forget_code();
    }
    return answer;
}

static json_t *execute_profile_stop(Session *session, const json_t *arguments,
                                    const Descriptors *descriptors,
                                    GError **error)
{
    return profile_stop(session->profile, arguments, error);
}

static json_t *execute_profile_wait(Session *session, const json_t *arguments,
                                    const Descriptors *descriptors,
                                    GError **error)
{
    return profile_wait(session->profile, arguments, error);
}

static json_t *execute_profile_query(Session *session, const json_t *arguments,
                                     const Descriptors *descriptors,
                                     GError **error)
{
    return profile_query(session->profile, arguments, error);
}

/* ---- the table ---- */

typedef json_t *Execute(Session *session, const json_t *arguments,
                        const Descriptors *descriptors, GError **error);

static const struct {
    const char *name;
    Execute *execute;
    bool needs_load; /* only after "load" */
} commands[] = {
    {CONTROL_CMD_ADOPT, execute_adopt, false},
    {CONTROL_CMD_LOAD, execute_load, false},
    {CONTROL_CMD_ATTACH, execute_attach, true},
    {CONTROL_CMD_ABANDON, execute_abandon, true},
    {CONTROL_CMD_MILESTONE, execute_milestone, true},
    {CONTROL_CMD_WAIT, execute_wait, true},
    {CONTROL_CMD_QUERY, execute_query, true},
    {CONTROL_CMD_RETRY, execute_retry, true},
    {CONTROL_CMD_QUIT, execute_quit, false},
    {CONTROL_CMD_LOAD_REST, execute_load_rest, false},
    {CONTROL_CMD_VERIFY, execute_verify, false},
    {CONTROL_CMD_PROFILE_START, execute_profile_start, false},
    {CONTROL_CMD_PROFILE_STOP, execute_profile_stop, false},
    {CONTROL_CMD_PROFILE_WAIT, execute_profile_wait, false},
    {CONTROL_CMD_PROFILE_QUERY, execute_profile_query, false},
};

static json_t *carry_out(Session *session, const char *command,
                         const json_t *arguments,
                         const Descriptors *descriptors, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(command, commands[i].name) != 0) {
            continue;
        }
        if (commands[i].needs_load && !begun_load(session)) {
            if (commands[i].execute == execute_query) {
                return json_pack("{s:s}", CONTROL_KEY_STATE,
                                 load_state_name(LOAD_STATE_IDLE));
            }
            g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                        "no snapshot is being loaded in this QEMU");
            return NULL;
        }
        return commands[i].execute(session, arguments, descriptors, error);
    }
    g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE, "unknown command %s",
                command);
    return NULL;
}

json_t *session_execute(void *opaque, const char *command,
                        const json_t *arguments, const Descriptors *descriptors,
                        GError **error)
{
    Session *session = opaque;
    json_t *answer = carry_out(session, command, arguments, descriptors, error);

    /* Whatever the command was: there is nothing to wait for. */
    set_opened(session);
    return answer;
}

Session *session_new(const SessionHost *host)
{
    Session *session = g_new0(Session, 1);
    const EndingHost ending_host = {
        .say = host->say,
        .write = session_end,
        .opaque = session,
        .dies_with_launcher = host->dies_with_launcher,
    };

    session->host = *host;
    atomic_init(&session->has_launcher, true);
    session->profile = profile_new(host->warn);
    session->ending = ending_new(&ending_host);
    pthread_mutex_init(&session->lock, NULL);
    pthread_mutex_init(&session->opened_lock, NULL);
    clock_cond_init(&session->opened_changed);
    return session;
}

void session_await_opened(Session *session)
{
    uint64_t until_us = monotonic_us() + MAX_OPENING_US;

    pthread_mutex_lock(&session->opened_lock);
    while (!session->opened && monotonic_us() < until_us) {
        clock_cond_wait_until(&session->opened_changed, &session->opened_lock,
                              until_us);
    }
    pthread_mutex_unlock(&session->opened_lock);
}

void session_set_control(Session *session, Control *control)
{
    session->control = control;
}

void session_without_launcher(Session *session)
{
    atomic_store_explicit(&session->was_alone, true, memory_order_relaxed);
    leave_alone(session);
}

void session_launcher_gone(void *opaque)
{
    Session *session = opaque;
    Load *load = begun_load(session);

    if (!load &&
        atomic_load_explicit(&session->was_alone, memory_order_relaxed)) {
        /* Nothing has come of it: this QEMU is what it was. */
        leave_alone(session);
        return;
    }
    bool is_waited_for = false;
    bool is_failed = load && load_is_failed(load, &is_waited_for);
    ending_launcher_gone(session->ending, is_failed, is_waited_for);
}

void session_end(void *opaque)
{
    Session *session = opaque;
    Load *load = begun_load(session);

    profile_end(session->profile);
    if (load) {
        load_end(load);
    }
}
