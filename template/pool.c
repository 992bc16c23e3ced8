/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "template/pool.h"

#include <poll.h>
#include <signal.h>
#include <string.h>

#include "template/pool-member.h"
#include "util/clock.h"
#include "util/text.h"

/* After a failure nothing is started for so long, doubled with each failure
 * until a machine waits. */
#define FIRST_PAUSE_US UINT64_C(1000000)
#define MAX_PAUSE_US   UINT64_C(60000000)

#define START_LIMIT_US (POOL_START_LIMIT_S * UINT64_C(1000000))

struct Pool {
    PoolOptions options;
    PoolEvents events;
    GPtrArray *members; /* of PoolMember: all whose process lives */
    GQueue takers;      /* who waits its turn */
    guint64 last_rank;
    uint64_t pause_us; /* 0: the last start went well */
    uint64_t start_us; /* monotonic: nothing is started before */
    char *last_error;  /* NULL: there was none */
    bool was_told;     /* … and the user knows it */
    json_int_t n_failures;
};

static PoolMember *member_at(const Pool *pool, guint i)
{
    return pool->members->pdata[i];
}

static void say(const Pool *pool, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void say(const Pool *pool, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    pool->events.say(pool->events.opaque, text);
}

Pool *pool_new(const PoolOptions *options, const PoolEvents *events)
{
    Pool *pool = g_new0(Pool, 1);

    /* Were it inherited as ignored, no machine could be waited for. */
    signal(SIGCHLD, SIG_DFL);
    pool->options = *options;
    pool->events = *events;
    pool->members =
        g_ptr_array_new_with_free_func((GDestroyNotify)pool_member_free);
    return pool;
}

/* One that is being loaded has no taker any more, and would run on. */
void pool_free(Pool *pool)
{
    if (!pool) {
        return;
    }
    for (guint i = 0; i < pool->members->len; i++) {
        const PoolMember *member = member_at(pool, i);

        if (member->state == POOL_MEMBER_LOADING) {
            kill(member->pid, SIGTERM);
        }
    }
    g_ptr_array_unref(pool->members);
    g_queue_clear(&pool->takers);
    g_free(pool->last_error);
    g_free(pool);
}

static unsigned count(const Pool *pool, PoolMemberState state)
{
    unsigned n = 0;

    for (guint i = 0; i < pool->members->len; i++) {
        n += member_at(pool, i)->state == state;
    }
    return n;
}

/* ---- what goes wrong ---- */

/* Several machines that fail together are one failure to the pauses. */
static void note_failure(Pool *pool, unsigned number, const char *reason)
{
    uint64_t now_us = monotonic_us();

    pool->n_failures++;
    if (!pool->was_told || g_strcmp0(reason, pool->last_error) != 0) {
        g_free(pool->last_error);
        pool->last_error = g_strdup(reason);
        pool->was_told = true;
        say(pool, "machine %u of the pool: %s.  Another one is started", number,
            reason);
    }
    if (now_us >= pool->start_us) {
        pool->pause_us = pool->pause_us == 0
                             ? FIRST_PAUSE_US
                             : MIN(pool->pause_us * 2, MAX_PAUSE_US);
        pool->start_us = now_us + pool->pause_us;
    }
}

/* ---- starting ---- */

static void set_starting(PoolMember *member)
{
    member->state = POOL_MEMBER_STARTING;
    member->limit_us = monotonic_us() + START_LIMIT_US;
}

static bool is_used(const Pool *pool, unsigned number)
{
    bool found = false;

    for (guint i = 0; i < pool->members->len && !found; i++) {
        found = member_at(pool, i)->number == number;
    }
    return found;
}

/* The lowest that is free. */
static unsigned next_number(const Pool *pool)
{
    unsigned number = 1;

    while (is_used(pool, number)) {
        number++;
    }
    return number;
}

/* set with the machine's number in it. */
static char *numbered(const char *set, unsigned number)
{
    const char *equals = strchr(set, '=');
    g_autofree char *text = g_strdup_printf("%u", number);
    g_autoptr(GString) result = g_string_new(equals ? equals : "");

    g_string_replace(result, POOL_NUMBER_MARK, text, 0);
    g_string_prepend_len(result, set,
                         equals ? equals - set : (gssize)strlen(set));
    return g_strdup(result->str);
}

static char **member_argv(const Pool *pool, unsigned number)
{
    g_autoptr(GStrvBuilder) argv = g_strv_builder_new();
    char *const *sets = pool->options.sets;

    g_strv_builder_addv(argv, (const char **)pool->options.argv);
    g_strv_builder_add(argv, "--json");
    g_strv_builder_add(argv, "--start-fd");
    g_strv_builder_add(argv, G_STRINGIFY(POOL_MEMBER_START_FD));
    for (size_t i = 0; sets && sets[i]; i++) {
        g_autofree char *set = numbered(sets[i], number);

        g_strv_builder_add(argv, "--set");
        g_strv_builder_add(argv, set);
    }
    return g_strv_builder_end(argv);
}

static void start_one(Pool *pool)
{
    unsigned number = next_number(pool);
    g_auto(GStrv) argv = member_argv(pool, number);
    g_autoptr(GError) error = NULL;
    PoolMember *member = pool_member_start(
        pool->options.program, argv, pool->options.max_fds, number, &error);

    if (member) {
        set_starting(member);
        g_ptr_array_add(pool->members, member);
    } else {
        note_failure(pool, number, error->message);
    }
}

static bool is_one_missing(const Pool *pool)
{
    return pool->members->len - count(pool, POOL_MEMBER_TAKEN) <
           pool->options.n_machines;
}

/* Not more at once than there are processors: the first are there the
 * sooner. */
static void start_missing(Pool *pool)
{
    while (is_one_missing(pool) && monotonic_us() >= pool->start_us &&
           count(pool, POOL_MEMBER_STARTING) < g_get_num_processors()) {
        start_one(pool);
    }
}

/* Its end, which may be a while in coming, is no second failure. */
static void kill_late(Pool *pool, PoolMember *member)
{
    g_autofree char *reason =
        g_strdup_printf("QEMU was not ready within %d s, and is killed; "
                        "storage that does not answer can be the reason",
                        POOL_START_LIMIT_S);

    pool_member_kill(member);
    member->state = POOL_MEMBER_KILLED;
    note_failure(pool, member->number, reason);
}

static bool is_late(const PoolMember *member)
{
    return member->state == POOL_MEMBER_STARTING &&
           monotonic_us() >= member->limit_us;
}

/* ---- taking ---- */

static PoolMember *oldest_waiting(const Pool *pool)
{
    PoolMember *oldest = NULL;

    for (guint i = 0; i < pool->members->len; i++) {
        PoolMember *member = member_at(pool, i);

        if (member->state == POOL_MEMBER_WAITING &&
            (!oldest || member->rank < oldest->rank)) {
            oldest = member;
        }
    }
    return oldest;
}

static void serve_takers(Pool *pool)
{
    PoolMember *member;

    while (pool->takers.head && (member = oldest_waiting(pool))) {
        if (pool_member_load(member)) {
            member->state = POOL_MEMBER_LOADING;
            member->taker = g_queue_pop_head(&pool->takers);
        } else {
            /* It has ended, as will be seen, and does not wait any more. */
            set_starting(member);
        }
    }
}

void pool_take(Pool *pool, void *taker)
{
    g_queue_push_tail(&pool->takers, taker);
    serve_takers(pool);
}

void pool_forget(Pool *pool, const void *taker)
{
    g_queue_remove(&pool->takers, taker);
    for (guint i = 0; i < pool->members->len; i++) {
        PoolMember *member = member_at(pool, i);

        if (member->taker == taker) {
            member->taker = NULL;
        }
    }
}

/* For its taker; for json_decref(). */
static json_t *describe_machine(const PoolMember *member, const json_t *event)
{
    json_t *machine = json_object();

    json_object_set(machine, "pid", json_object_get(event, "pid"));
    json_object_set(machine, "after-ms", json_object_get(event, "after-ms"));
    json_object_set(machine, "placed", member->placed);
    if (g_strcmp0(json_string_value(json_object_get(event, "event")),
                  "paused") == 0) {
        json_object_set_new(machine, "paused", json_true());
    }
    return machine;
}

/* If whom it was loaded for has gone, it is the next one's. */
static void hand_over(Pool *pool, PoolMember *member, const json_t *event)
{
    json_t *machine = describe_machine(member, event);
    void *taker =
        member->taker ? member->taker : g_queue_pop_head(&pool->takers);

    while (taker && !pool->events.give(pool->events.opaque, taker, machine)) {
        taker = g_queue_pop_head(&pool->takers);
    }
    if (!taker) {
        say(pool,
            "machine %u of the pool: who asked for it has gone; it is ended",
            member->number);
        kill(member->pid, SIGTERM);
    }
    json_decref(machine);
    pool_member_let_go(member);
}

/* ---- what a machine says ---- */

static void take_event(Pool *pool, PoolMember *member, json_t *event)
{
    const char *name = json_string_value(json_object_get(event, "event"));

    if (g_strcmp0(name, "placed") == 0) {
        json_object_del(event, "event");
        json_array_append(member->placed, event);
    } else if (member->state == POOL_MEMBER_STARTING &&
               g_strcmp0(name, "waiting") == 0) {
        member->state = POOL_MEMBER_WAITING;
        member->rank = ++pool->last_rank;
        member->qemu_pid =
            (pid_t)json_integer_value(json_object_get(event, "pid"));
        pool->pause_us = 0;
        pool->was_told = false;
    } else if (g_strcmp0(name, "failed") == 0) {
        g_free(member->error);
        member->error =
            g_strdup(json_string_value(json_object_get(event, "error")));
    } else if (member->state == POOL_MEMBER_LOADING &&
               (g_strcmp0(name, "resumed") == 0 ||
                g_strcmp0(name, "paused") == 0)) {
        hand_over(pool, member, event);
    }
}

static void take_events(Pool *pool, PoolMember *member)
{
    json_t *event;

    while ((event = pool_member_next_event(member))) {
        take_event(pool, member, event);
        json_decref(event);
    }
}

/* Of one that is somebody's, that is nobody else's business; of one that was
 * killed, it was told. */
static void take_end(Pool *pool, PoolMember *member)
{
    g_autofree char *why = pool_member_reap(member);

    if (member->state == POOL_MEMBER_TAKEN ||
        member->state == POOL_MEMBER_KILLED) {
        return;
    }
    note_failure(pool, member->number, why);
    if (member->taker) {
        pool->events.refuse(pool->events.opaque, member->taker, why);
    }
}

void pool_attend(Pool *pool)
{
    /* From the last: one that is taken out leaves those before it alone. */
    for (guint i = pool->members->len; i-- > 0;) {
        PoolMember *member = member_at(pool, i);
        /* First, so that its last words are there. */
        bool has_ended = pool_member_has_ended(member);

        take_events(pool, member);
        if (has_ended) {
            take_end(pool, member);
            g_ptr_array_remove_index(pool->members, i);
        } else if (is_late(member)) {
            kill_late(pool, member);
        }
    }
    start_missing(pool);
    serve_takers(pool);
}

/* ---- waiting ---- */

/* Not one that is closed: poll() takes no more than there may be
 * descriptors. */
static void add_fd(GArray *fds, int fd)
{
    const struct pollfd event = {.fd = fd, .events = POLLIN};

    if (fd >= 0) {
        g_array_append_val(fds, event);
    }
}

void pool_add_fds(const Pool *pool, GArray *fds)
{
    for (guint i = 0; i < pool->members->len; i++) {
        const PoolMember *member = member_at(pool, i);

        add_fd(fds, member->events_fd);
        add_fd(fds, member->end_fd);
    }
}

/* UINT64_MAX: never. */
static uint64_t next_us(const Pool *pool)
{
    bool may_start = is_one_missing(pool) &&
                     count(pool, POOL_MEMBER_STARTING) < g_get_num_processors();
    uint64_t next = may_start ? pool->start_us : UINT64_MAX;

    for (guint i = 0; i < pool->members->len; i++) {
        const PoolMember *member = member_at(pool, i);

        if (member->state == POOL_MEMBER_STARTING) {
            next = MIN(next, member->limit_us);
        }
    }
    return next;
}

int pool_timeout_ms(const Pool *pool)
{
    uint64_t now_us = monotonic_us();
    uint64_t at_us = next_us(pool);

    if (at_us == UINT64_MAX) {
        return -1;
    }
    return now_us >= at_us ? 0 : (int)((at_us - now_us) / 1000 + 1);
}

/* ---- status ---- */

static json_t *list_machines(const Pool *pool)
{
    static const char *const names[] = {
        [POOL_MEMBER_STARTING] = "starting",
        [POOL_MEMBER_WAITING] = "waiting",
        [POOL_MEMBER_LOADING] = "loading",
        [POOL_MEMBER_KILLED] = "killed",
    };
    json_t *list = json_array();

    for (guint i = 0; i < pool->members->len; i++) {
        const PoolMember *member = member_at(pool, i);

        if (member->state != POOL_MEMBER_TAKEN) {
            json_t *machine =
                json_pack("{s:i, s:s}", "number", (int)member->number, "state",
                          names[member->state]);

            if (member->qemu_pid > 0) {
                json_object_set_new(machine, "pid",
                                    json_integer(member->qemu_pid));
            }
            json_array_append_new(list, machine);
        }
    }
    return list;
}

json_t *pool_status(const Pool *pool)
{
    json_t *status =
        json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:o}", "size",
                  (int)pool->options.n_machines, "waiting",
                  (int)count(pool, POOL_MEMBER_WAITING), "starting",
                  (int)count(pool, POOL_MEMBER_STARTING), "loading",
                  (int)count(pool, POOL_MEMBER_LOADING), "taken",
                  (int)count(pool, POOL_MEMBER_TAKEN), "requests",
                  (int)pool->takers.length, "failures", pool->n_failures,
                  "machines", list_machines(pool));

    if (pool->last_error) {
        json_object_set_new(status, "last-error",
                            text_to_json(pool->last_error));
    }
    return status;
}
