/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/read-errors.h"

#include <string.h>
#include <unistd.h>

#include "formats/control-protocol.h"
#include "util/error.h"

/* How often to ask whether a failed read has been mended. */
#define MENDED_POLL_MS 250

/* A QEMU that has not stopped the guest after this time waits itself. */
#define STOP_TIMEOUT_US INT64_C(3000000)

/* How long a QEMU that goes on may take to answer when we leave. */
#define LET_GO_TIMEOUT_MS 3000

/* Many reads may be slow at a time: one of them is told. */
#define SLOW_AGAIN_US INT64_C(60000000)

/* How long a QEMU that was asked to end, and for whose pages a read was slow
 * before, has for announcing that, and for what it does then. */
#define ANNOUNCE_END_US INT64_C(2000000)
#define STOP_VCPUS_US   INT64_C(10000000)

struct ReadErrors {
    Machine *machine; /* borrowed */
    SayFunc *say;
    const Progress *progress;
    const char *waiting; /* until when the guest does; NULL: it does not */
    bool handed_over;
    bool is_new;     /* a failure since then, that nothing was done about */
    GPtrArray *held; /* of HeldEvent, until QEMU's process is known; or NULL */

    char *file;      /* that cannot be read; NULL: none */
    bool waited_for; /* a page that cannot be read */
    char *changed;   /* why the snapshot is not what it was; NULL: it is */

    bool ever_stopped;    /* a "stop" was sent */
    bool stop_sent;       /* and not taken back */
    int64_t stop_sent_us; /* monotonic */
    bool stopped;         /* it has had its effect */
    bool said_blocked;    /* … or has none */
    bool slow_waited_for; /* by a read that had taken long, once */
    int64_t said_slow_us; /* 0: not yet */
};

typedef struct HeldEvent {
    char *name;
    json_t *data;
} HeldEvent;

static void free_held(gpointer data)
{
    HeldEvent *event = data;

    g_free(event->name);
    json_decref(event->data);
    g_free(event);
}

/* ---- what is said ---- */

static void say(const ReadErrors *errors, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

static void say(const ReadErrors *errors, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    progress_end(errors->progress);
    errors->say(text);
}

static const char *text_of(const json_t *data, const char *key)
{
    const char *text = json_string_value(json_object_get(data, key));

    return text ? text : "?";
}

/* What a page that nobody waits for means. */
static char *outlook(const ReadErrors *errors)
{
    if (errors->handed_over) {
        return g_strdup(machine_runs(errors->machine)
                            ? "The guest runs on until it needs that page."
                            : "The guest is paused; when it runs, it will "
                              "wait for that page once it needs it.");
    }
    if (errors->waiting) {
        return g_strdup_printf("All other pages are loaded; %s.",
                               errors->waiting);
    }
    return g_strdup("All other pages are loaded; the guest will run until it "
                    "needs that page.");
}

static const char *standstill(const ReadErrors *errors)
{
    if (machine_runs(errors->machine)) {
        return "The guest needs that page and is stopped; no wrong data has "
               "reached it.";
    }
    return errors->handed_over || errors->waiting
               ? "QEMU waits for that page; the guest is not running."
               : "QEMU needs that page to load the guest's devices, and waits "
                 "for it.";
}

static void say_failed(const ReadErrors *errors, const json_t *data)
{
    g_autofree char *so =
        errors->waited_for ? g_strdup(standstill(errors)) : outlook(errors);

    say(errors,
        "%s: %s at offset %" JSON_INTEGER_FORMAT
        " failed: %s.  %s  When you have fixed the cause: preheat control "
        "--pid %d retry",
        text_of(data, CONTROL_KEY_FILE), text_of(data, CONTROL_KEY_OPERATION),
        json_integer_value(json_object_get(data, CONTROL_KEY_OFFSET)),
        text_of(data, CONTROL_KEY_ERROR), so,
        (int)machine_pid(errors->machine));
}

/* How to end a QEMU whose monitors answer nobody. */
static char *way_to_end(const ReadErrors *errors)
{
    return g_strdup_printf("end preheat (Ctrl-C, or SIGTERM to process %d), or "
                           "preheat control --pid %d quit",
                           (int)getpid(), (int)machine_pid(errors->machine));
}

static void say_blocked(const ReadErrors *errors)
{
    g_autofree char *way = way_to_end(errors);

    say(errors,
        "%s: QEMU itself waits for a page that cannot be read: its monitors do "
        "not answer until it is loaded.  To end QEMU: %s",
        errors->file, way);
}

static void say_slow(const ReadErrors *errors, const json_t *data, bool waits)
{
    g_autofree char *way = way_to_end(errors);

    say(errors,
        "%s: reading at offset %" JSON_INTEGER_FORMAT " has taken "
        "%" JSON_INTEGER_FORMAT " s so far%s%s",
        text_of(data, CONTROL_KEY_FILE),
        json_integer_value(json_object_get(data, CONTROL_KEY_OFFSET)),
        json_integer_value(json_object_get(data, CONTROL_KEY_SECONDS)),
        waits ? ", and QEMU waits for it: its monitors may not answer until "
                "then.  To end QEMU: "
              : "",
        waits ? way : "");
}

static void say_changed(const ReadErrors *errors)
{
    g_autofree char *way = way_to_end(errors);

    say(errors,
        "%s.  The guest is not the one that was saved: it is stopped, and must "
        "not continue.  To end QEMU, which may wait for a page that never "
        "comes: %s",
        errors->changed, way);
}

/* ---- events ---- */

/* A page that QEMU needs for its devices would never come. */
static void end_load(ReadErrors *errors)
{
    g_autoptr(GError) error = NULL;

    read_errors_check_unchanged(errors, &error);
    rpc_end_wait(machine_qmp(errors->machine), error);
    rpc_end_wait(machine_control(errors->machine), error);
}

static void on_changed(ReadErrors *errors, const json_t *data)
{
    const char *file = text_of(data, CONTROL_KEY_FILE);
    const char *text = text_of(data, CONTROL_KEY_ERROR);

    if (!errors->changed) {
        errors->changed = g_str_has_prefix(text, file)
                              ? g_strdup(text)
                              : g_strdup_printf("%s: %s", file, text);
        if (errors->handed_over) {
            say_changed(errors);
        } else {
            end_load(errors);
        }
    }
}

static void on_failed(ReadErrors *errors, const json_t *data)
{
    if (strcmp(text_of(data, CONTROL_KEY_OPERATION),
               CONTROL_OPERATION_CHECKING) == 0) {
        on_changed(errors, data);
        return;
    }
    errors->waited_for |=
        json_is_true(json_object_get(data, CONTROL_KEY_WAITED_FOR));
    if (!errors->file) {
        errors->file = g_strdup(text_of(data, CONTROL_KEY_FILE));
    }
    errors->is_new = errors->handed_over;
    say_failed(errors, data);
}

static void on_slow(ReadErrors *errors, const json_t *data)
{
    bool waits = json_is_true(json_object_get(data, CONTROL_KEY_WAITED_FOR));
    int64_t now_us = g_get_monotonic_time();

    if (errors->said_slow_us == 0 || (waits && !errors->slow_waited_for) ||
        now_us - errors->said_slow_us > SLOW_AGAIN_US) {
        errors->said_slow_us = now_us;
        say_slow(errors, data, waits);
    }
    errors->slow_waited_for |= waits;
}

static void take(ReadErrors *errors, const char *name, const json_t *data)
{
    if (strcmp(name, CONTROL_EVENT_READ_ERROR) == 0) {
        on_failed(errors, data);
    } else if (strcmp(name, CONTROL_EVENT_READ_SLOW) == 0) {
        on_slow(errors, data);
    }
}

void read_errors_take_event(ReadErrors *errors, const char *name,
                            const json_t *data)
{
    if (errors->held) {
        HeldEvent *event = g_new0(HeldEvent, 1);

        event->name = g_strdup(name);
        event->data = json_deep_copy(data);
        g_ptr_array_add(errors->held, event);
    } else {
        take(errors, name, data);
    }
}

ReadErrors *read_errors_new(Machine *machine, SayFunc *say_func,
                            const Progress *progress)
{
    ReadErrors *errors = g_new0(ReadErrors, 1);

    errors->machine = machine;
    errors->say = say_func;
    errors->progress = progress;
    errors->held = g_ptr_array_new_with_free_func(free_held);
    return errors;
}

static void drop_held(ReadErrors *errors)
{
    g_clear_pointer(&errors->held, g_ptr_array_unref);
}

void read_errors_free(ReadErrors *errors)
{
    if (errors) {
        drop_held(errors);
        g_free(errors->file);
        g_free(errors->changed);
        g_free(errors);
    }
}

void read_errors_announce(ReadErrors *errors)
{
    for (guint i = 0; i < errors->held->len; i++) {
        const HeldEvent *event = errors->held->pdata[i];

        take(errors, event->name, event->data);
    }
    drop_held(errors);
}

void read_errors_set_waiting(ReadErrors *errors, const char *until)
{
    errors->waiting = until;
}

void read_errors_set_handed_over(ReadErrors *errors)
{
    errors->waiting = NULL;
    errors->handed_over = true;
    if (errors->changed) {
        say_changed(errors);
    }
}

bool read_errors_check_unchanged(const ReadErrors *errors, GError **error)
{
    if (errors->changed) {
        g_set_error_literal(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                            errors->changed);
    }
    return errors->changed == NULL;
}

bool read_errors_hold_guest(const ReadErrors *errors)
{
    return errors->stop_sent;
}

void read_errors_set_loaded(ReadErrors *errors)
{
    errors->slow_waited_for = false;
}

/* Whether a read is still slow, or somebody waits for a page of a snapshot
 * that was changed, nobody tells.  But QEMU announces its end as
 * soon as its main loop gets to it, and then stops its vCPUs. */
bool read_errors_block_end(const ReadErrors *errors, int64_t since_us)
{
    int64_t grace_us =
        machine_ends(errors->machine) ? STOP_VCPUS_US : ANNOUNCE_END_US;

    return errors->waited_for ||
           ((errors->slow_waited_for || errors->changed) &&
            since_us > grace_us);
}

/* ---- the guest ---- */

/* Nobody waits for the answer: QEMU may be blocked on guest RAM itself. */
static void send(ReadErrors *errors, const char *command)
{
    uint64_t id;

    if (!machine_ends(errors->machine)) {
        rpc_send(machine_qmp(errors->machine), command, NULL, &id, NULL);
    }
}

static void keep_stopped(ReadErrors *errors)
{
    int64_t now_us = g_get_monotonic_time();

    if (!errors->stop_sent) {
        if (!machine_runs(errors->machine)) {
            return;
        }
        send(errors, "stop");
        errors->stop_sent = true;
        errors->ever_stopped = true;
        errors->stop_sent_us = now_us;
    }
    errors->stopped |= !machine_runs(errors->machine);
    if (!errors->stopped && !errors->said_blocked && errors->file &&
        now_us - errors->stop_sent_us >= STOP_TIMEOUT_US) {
        errors->said_blocked = true;
        say_blocked(errors);
    }
}

static void go_on(ReadErrors *errors)
{
    if (errors->stop_sent) {
        send(errors, "cont");
    }
    errors->stop_sent = false;
    errors->stopped = false;
    errors->said_blocked = false;
}

/* QEMU forgets what it has not come to when its client hangs up.  Commands are
 * carried out in sequence: one that is answered comes after "cont". */
void read_errors_let_go(ReadErrors *errors)
{
    Rpc *qmp = machine_qmp(errors->machine);

    if (!errors->ever_stopped || errors->changed ||
        machine_ends(errors->machine)) {
        return;
    }
    go_on(errors);
    rpc_set_interrupt_fd(qmp, -1);
    rpc_set_answer_timeout(qmp, LET_GO_TIMEOUT_MS);
    if (!rpc_execute(qmp, "query-status", NULL, NULL, NULL)) {
        say(errors, "QEMU waits for the missing page and does not answer: the "
                    "guest will be stopped when that page is loaded; resume it "
                    "with QMP cont");
    }
}

/* What the plugin says of it now. */
static bool query(const ReadErrors *errors, bool *ret_failed,
                  bool *ret_waited_for)
{
    LoadState state;
    json_t *stats;
    bool known;

    if (!rpc_execute(machine_control(errors->machine), CONTROL_CMD_QUERY, NULL,
                     &stats, NULL)) {
        return false;
    }
    known = load_state_from_name(
        json_string_value(json_object_get(stats, CONTROL_KEY_STATE)), &state);
    *ret_failed = known && state == LOAD_STATE_FAILED;
    *ret_waited_for = json_integer_value(json_object_get(
                          stats, CONTROL_KEY_FAILED_WAITED_FOR)) > 0;
    json_decref(stats);
    return known;
}

static void look_whether_mended(ReadErrors *errors)
{
    bool failed, waited_for;

    if (!query(errors, &failed, &waited_for)) {
        return;
    }
    if (!failed) {
        say(errors, "%s: reading goes on", errors->file);
        g_clear_pointer(&errors->file, g_free);
        waited_for = false;
    } else if (errors->stop_sent && !waited_for) {
        say(errors,
            "%s: the pages that the guest waited for are loaded, and it runs "
            "on; other pages still cannot be read",
            errors->file);
    }
    errors->waited_for = waited_for;
    if (!waited_for) {
        go_on(errors);
    }
}

int read_errors_attend(ReadErrors *errors)
{
    if (errors->changed) {
        keep_stopped(errors);
        return -1;
    }
    if (errors->file && !errors->is_new) {
        look_whether_mended(errors);
    }
    errors->is_new = false;
    if (errors->waited_for) {
        keep_stopped(errors);
    }
    return errors->file ? MENDED_POLL_MS : -1;
}
