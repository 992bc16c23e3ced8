/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/rpc.h"

#include <errno.h>
#include <poll.h>

#include "host/json-line.h"
#include "util/error.h"

/* A monitor serves one client after the other, and hands what it has to say
 * to one that is gone to the next.  So each begins to count somewhere else. */
#define IDS_OF_ONE_BITS 20

struct Rpc {
    JsonLine *line;
    char *peer;
    bool closed;
    int interrupt_fd;
    int answer_timeout_ms; /* -1: for ever */
    Rpc *companion;
    GError *wait_error; /* see rpc_end_wait(); or NULL */
    RpcEventFunc on_event;
    void *opaque;
    uint64_t last_id;
    GQueue inbox; /* of json_t: all that came and is no event, in sequence */
    GQueue ahead; /* of Ahead, in the sequence of asking */
};

/* A command that was sent before its answer is wanted. */
typedef struct Ahead {
    uint64_t id;
    char *command;
    json_t *arguments; /* or NULL */
    json_t *answer;    /* NULL: it has not come yet */
    unsigned n_wanted; /* so often it was asked, and not given out yet */
} Ahead;

static void ahead_free(gpointer opaque)
{
    Ahead *ahead = opaque;

    g_free(ahead->command);
    json_decref(ahead->arguments);
    json_decref(ahead->answer);
    g_free(ahead);
}

Rpc *rpc_new(int fd, size_t max_line_bytes, const char *peer)
{
    Rpc *rpc = g_new0(Rpc, 1);

    rpc->line = json_line_new(fd, max_line_bytes);
    rpc->peer = g_strdup(peer);
    rpc->interrupt_fd = -1;
    rpc->answer_timeout_ms = -1;
    rpc->last_id = (uint64_t)g_random_int() << IDS_OF_ONE_BITS;
    g_queue_init(&rpc->inbox);
    g_queue_init(&rpc->ahead);
    return rpc;
}

void rpc_free(Rpc *rpc)
{
    if (!rpc) {
        return;
    }
    g_queue_clear_full(&rpc->inbox, (GDestroyNotify)json_decref);
    g_queue_clear_full(&rpc->ahead, ahead_free);
    json_line_free(rpc->line);
    g_clear_error(&rpc->wait_error);
    g_free(rpc->peer);
    g_free(rpc);
}

int rpc_fd(const Rpc *rpc)
{
    return json_line_fd(rpc->line);
}

void rpc_note_sender(Rpc *rpc)
{
    json_line_note_sender(rpc->line);
}

pid_t rpc_sender(const Rpc *rpc)
{
    return json_line_sender(rpc->line);
}

bool rpc_is_closed(const Rpc *rpc)
{
    return rpc->closed;
}

void rpc_on_event(Rpc *rpc, RpcEventFunc func, void *opaque)
{
    rpc->on_event = func;
    rpc->opaque = opaque;
}

void rpc_set_companion(Rpc *rpc, Rpc *companion)
{
    rpc->companion = companion;
}

void rpc_set_interrupt_fd(Rpc *rpc, int fd)
{
    rpc->interrupt_fd = fd;
}

void rpc_end_wait(Rpc *rpc, const GError *error)
{
    g_clear_error(&rpc->wait_error);
    rpc->wait_error = g_error_copy(error);
}

void rpc_set_answer_timeout(Rpc *rpc, int timeout_ms)
{
    rpc->answer_timeout_ms = timeout_ms;
}

static void take_message(Rpc *rpc, json_t *message)
{
    const char *event = json_string_value(json_object_get(message, "event"));

    if (!event) {
        g_queue_push_tail(&rpc->inbox, message);
        return;
    }
    if (rpc->on_event) {
        rpc->on_event(event, json_object_get(message, "data"), rpc->opaque);
    }
    json_decref(message);
}

static bool take_in(Rpc *rpc, GError **error)
{
    bool ok = json_line_fill(rpc->line, error);

    while (ok) {
        json_t *message;

        ok = json_line_take(rpc->line, &message, error);
        if (!ok || !message) {
            break;
        }
        take_message(rpc, message);
    }
    if (!ok) {
        rpc->closed = true;
        g_prefix_error(error, "%s: ", rpc->peer);
    }
    return ok;
}

static bool check_open(const Rpc *rpc, GError **error)
{
    if (rpc->closed) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_CLOSED,
                    "%s: the connection was closed", rpc->peer);
    }
    return !rpc->closed;
}

static int companion_fd(const Rpc *rpc)
{
    bool usable = rpc->companion && !rpc->companion->closed;

    return usable ? rpc_fd(rpc->companion) : -1;
}

/* Whether there is still something to be waited for. */
static bool check_wait(Rpc *rpc, GError **error)
{
    bool ok = rpc->wait_error == NULL;

    if (!ok) {
        g_propagate_error(error, g_steal_pointer(&rpc->wait_error));
    }
    return ok;
}

bool rpc_pump(Rpc *rpc, int timeout_ms, GError **error)
{
    struct pollfd fds[] = {
        {.fd = rpc_fd(rpc), .events = POLLIN},
        {.fd = companion_fd(rpc), .events = POLLIN},
        {.fd = rpc->interrupt_fd, .events = POLLIN},
    };

    if (!check_open(rpc, error) || !check_wait(rpc, error)) {
        return false;
    }
    if (poll(fds, G_N_ELEMENTS(fds), timeout_ms) < 0 && errno != EINTR) {
        util_error_set_errno(error, errno, "%s: poll", rpc->peer);
        return false;
    }
    if (fds[2].revents) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_INTERRUPTED, "interrupted");
        return false;
    }
    if (fds[1].revents) {
        /* Its end shows when it is used itself. */
        take_in(rpc->companion, NULL);
    }
    return (!fds[0].revents || take_in(rpc, error)) && check_wait(rpc, error);
}

/* The next message of the inbox, waited for until deadline_us (monotonic;
 * -1: for ever). */
static json_t *next_message(Rpc *rpc, int64_t deadline_us, GError **error)
{
    while (g_queue_is_empty(&rpc->inbox)) {
        int timeout_ms = -1;

        if (deadline_us >= 0) {
            int64_t left_us = deadline_us - g_get_monotonic_time();

            timeout_ms = (int)((MAX(left_us, 0) + 999) / 1000);
        }
        if (timeout_ms == 0) {
            g_set_error(error, UTIL_ERROR, UTIL_ERROR_TIMEOUT,
                        "%s: no answer in time", rpc->peer);
            return NULL;
        }
        if (!rpc_pump(rpc, timeout_ms, error)) {
            return NULL;
        }
    }
    return g_queue_pop_head(&rpc->inbox);
}

/* Monotonic; -1: for ever, as timeout_ms. */
static int64_t deadline_after(int timeout_ms)
{
    return timeout_ms < 0 ? -1
                          : g_get_monotonic_time() + timeout_ms * INT64_C(1000);
}

/* What a peer says that greets nobody. */
static char *refusal_text(const json_t *message)
{
    const json_t *refusal = json_object_get(message, "error");

    return g_strdup(json_string_value(json_object_get(refusal, "desc")));
}

/* The first message that is no answer: such would be to a client before us. */
static json_t *first_message(Rpc *rpc, int timeout_ms, GError **error)
{
    int64_t deadline_us = deadline_after(timeout_ms);
    json_t *message;

    while ((message = next_message(rpc, deadline_us, error)) &&
           json_object_get(message, "id")) {
        json_decref(message);
    }
    return message;
}

bool rpc_greeting(Rpc *rpc, const char *key, int timeout_ms, json_t **ret_value,
                  GError **error)
{
    json_t *message = first_message(rpc, timeout_ms, error);
    g_autofree char *refusal = NULL;
    json_t *value;

    if (!message) {
        return false;
    }
    value = json_incref(json_object_get(message, key));
    refusal = refusal_text(message);
    json_decref(message);
    if (!value && refusal) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_REFUSED, "%s: %s", rpc->peer,
                    refusal);
        return false;
    }
    if (!value) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_PROTOCOL,
                    "%s: no greeting with \"%s\"; is this the right socket?",
                    rpc->peer, key);
        return false;
    }
    *ret_value = value;
    return true;
}

bool rpc_send(Rpc *rpc, const char *command, json_t *arguments,
              uint64_t *ret_id, GError **error)
{
    return rpc_send_fds(rpc, command, arguments, NULL, 0, ret_id, error);
}

bool rpc_send_fds(Rpc *rpc, const char *command, json_t *arguments,
                  const int *fds, size_t n_fds, uint64_t *ret_id,
                  GError **error)
{
    uint64_t id = rpc->last_id + 1;
    json_t *message =
        json_pack("{s:s, s:I}", "execute", command, "id", (json_int_t)id);
    GError *local = NULL;
    bool ok;

    g_assert(message);
    if (arguments) {
        json_object_set_new(message, "arguments", arguments);
    }
    ok = check_open(rpc, error);
    if (ok && !json_line_send_fds(rpc->line, message, fds, n_fds, &local)) {
        /* Half of a line may have gone out. */
        rpc->closed = rpc->closed ||
                      g_error_matches(local, UTIL_ERROR, UTIL_ERROR_TIMEOUT);
        g_propagate_prefixed_error(error, local, "%s: ", rpc->peer);
        ok = false;
    }
    json_decref(message);
    if (ok) {
        rpc->last_id = id;
        *ret_id = id;
    }
    return ok;
}

/* The command that message answers; 0: none.  An error without an ID answers
 * a command that could not even be read, and so the one that is waited for. */
static uint64_t answered_id(const json_t *message, uint64_t awaited_id)
{
    const json_t *id = json_object_get(message, "id");

    if (!id && json_object_get(message, "error")) {
        return awaited_id;
    }
    return json_is_integer(id) && json_integer_value(id) > 0
               ? (uint64_t)json_integer_value(id)
               : 0;
}

/* Keep the answer where it was asked for ahead; else it is nobody's. */
static void keep_answer(Rpc *rpc, uint64_t id, json_t *message)
{
    for (GList *link = rpc->ahead.head; link; link = link->next) {
        Ahead *ahead = link->data;

        if (ahead->id == id && !ahead->answer) {
            ahead->answer = message;
            return;
        }
    }
    json_decref(message);
}

/* The answer to command id.  Those to earlier commands are kept, or dropped
 * where nobody will want them, such as those to a client before us. */
static json_t *next_answer(Rpc *rpc, uint64_t id, GError **error)
{
    int64_t deadline_us = deadline_after(rpc->answer_timeout_ms);

    for (;;) {
        json_t *message = next_message(rpc, deadline_us, error);
        uint64_t answered = message ? answered_id(message, id) : 0;

        if (!message || answered == id) {
            return message;
        }
        if (answered == 0) {
            json_decref(message);
            g_set_error(error, UTIL_ERROR, UTIL_ERROR_PROTOCOL,
                        "%s: unexpected answer", rpc->peer);
            return NULL;
        }
        keep_answer(rpc, answered, message);
    }
}

static bool unpack_answer(const Rpc *rpc, const json_t *message,
                          json_t **ret_value, GError **error)
{
    const json_t *refusal = json_object_get(message, "error");
    json_t *value = json_object_get(message, "return");

    if (refusal) {
        const char *text = json_string_value(json_object_get(refusal, "desc"));

        g_set_error(error, UTIL_ERROR, UTIL_ERROR_REFUSED, "%s",
                    text ? text : "no reason given");
        return false;
    }
    if (!value) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_PROTOCOL,
                    "%s: the answer has neither \"return\" nor \"error\"",
                    rpc->peer);
        return false;
    }
    if (ret_value) {
        *ret_value = json_incref(value);
    }
    return true;
}

/* Steals message; NULL is fine, and means that error is set. */
static bool take_answer(const Rpc *rpc, json_t *message, json_t **ret_value,
                        GError **error)
{
    bool ok = message && unpack_answer(rpc, message, ret_value, error);

    json_decref(message);
    return ok;
}

bool rpc_receive(Rpc *rpc, uint64_t id, json_t **ret_value, GError **error)
{
    return take_answer(rpc, next_answer(rpc, id, error), ret_value, error);
}

bool rpc_has_answer(const Rpc *rpc)
{
    return rpc->inbox.length > 0;
}

/* What was asked ahead with this command; or NULL. */
static Ahead *find_ahead(Rpc *rpc, const char *command, const json_t *arguments)
{
    for (GList *link = rpc->ahead.head; link; link = link->next) {
        Ahead *ahead = link->data;

        if (g_str_equal(ahead->command, command) &&
            (ahead->arguments == arguments ||
             json_equal(ahead->arguments, arguments))) {
            return ahead;
        }
    }
    return NULL;
}

bool rpc_ask_ahead(Rpc *rpc, const char *command, json_t *arguments,
                   GError **error)
{
    Ahead *ahead = find_ahead(rpc, command, arguments);

    if (ahead) {
        json_decref(arguments);
        ahead->n_wanted++;
        return true;
    }
    ahead = g_new0(Ahead, 1);
    ahead->command = g_strdup(command);
    ahead->arguments = json_incref(arguments);
    ahead->n_wanted = 1;
    if (!rpc_send(rpc, command, arguments, &ahead->id, error)) {
        ahead_free(ahead);
        return false;
    }
    g_queue_push_tail(&rpc->ahead, ahead);
    return true;
}

void rpc_forget_ahead(Rpc *rpc)
{
    g_queue_clear_full(&rpc->ahead, ahead_free);
}

static bool receive_ahead(Rpc *rpc, Ahead *ahead, json_t **ret_value,
                          GError **error)
{
    if (!ahead->answer) {
        ahead->answer = next_answer(rpc, ahead->id, error);
    }
    json_t *message = json_incref(ahead->answer);

    if (--ahead->n_wanted == 0) {
        g_queue_remove(&rpc->ahead, ahead);
        ahead_free(ahead);
    }
    return take_answer(rpc, message, ret_value, error);
}

static bool name_command(const Rpc *rpc, const char *command, bool ok,
                         GError **error)
{
    if (!ok && error &&
        g_error_matches(*error, UTIL_ERROR, UTIL_ERROR_REFUSED)) {
        g_prefix_error(error, "%s refused %s: ", rpc->peer, command);
    }
    return ok;
}

bool rpc_execute(Rpc *rpc, const char *command, json_t *arguments,
                 json_t **ret_value, GError **error)
{
    Ahead *ahead = find_ahead(rpc, command, arguments);

    if (!ahead) {
        return rpc_execute_fds(rpc, command, arguments, NULL, 0, ret_value,
                               error);
    }
    json_decref(arguments);
    return name_command(rpc, command,
                        receive_ahead(rpc, ahead, ret_value, error), error);
}

bool rpc_execute_fds(Rpc *rpc, const char *command, json_t *arguments,
                     const int *fds, size_t n_fds, json_t **ret_value,
                     GError **error)
{
    uint64_t id;

    return rpc_send_fds(rpc, command, arguments, fds, n_fds, &id, error) &&
           name_command(rpc, command, rpc_receive(rpc, id, ret_value, error),
                        error);
}
