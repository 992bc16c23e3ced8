/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A template that was stopped: its socket is there, and nobody answers.
 */
#include "host/template-client.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- nobody is patient here ---- */

static bool is_answered; /* by another thread */

int __real_template_await(int fd, unsigned patience_ms);
int __wrap_template_await(int fd, unsigned patience_ms);
int __real_setsockopt(int fd, int level, int name, const void *value,
                      socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *value,
                      socklen_t len);

/* To what nobody answers in time, before it is too late. */
#define FOR_A_MACHINE_MS 7

int __wrap_template_await(int fd, unsigned patience_ms)
{
    if (patience_ms == FOR_A_MACHINE_MS) {
        /* What has come has come a moment later. */
        (void)__real_template_await(fd, TEMPLATE_PATIENCE_MS);
        return -ETIMEDOUT;
    }
    if (is_answered) {
        return __real_template_await(fd, patience_ms);
    }
    assert_int_equal(patience_ms, TEMPLATE_PATIENCE_MS);
    return __real_template_await(fd, 1);
}

int __wrap_setsockopt(int fd, int level, int name, const void *value,
                      socklen_t len)
{
    struct timeval patience = {.tv_usec = 1000};

    if (name == SO_SNDTIMEO) {
        const struct timeval *given = value;

        assert_int_equal(given->tv_sec, TEMPLATE_PATIENCE_MS / 1000);
        value = &patience;
    }
    return __real_setsockopt(fd, level, name, value, len);
}

/* ---- the template ---- */

typedef struct Silent {
    char *folder;
    char *path;
    int listener;
} Silent;

static struct sockaddr_un address_of(const Silent *silent)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    g_strlcpy(address.sun_path, silent->path, sizeof address.sun_path);
    return address;
}

static void silent_init(Silent *silent)
{
    silent->folder = g_dir_make_tmp("preheat-template-XXXXXX", NULL);
    silent->path = g_build_filename(silent->folder, "socket", NULL);
    silent->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    const struct sockaddr_un address = address_of(silent);

    assert_int_equal(bind(silent->listener, (const struct sockaddr *)&address,
                          sizeof address),
                     0);
    assert_int_equal(listen(silent->listener, 0), 0);
}

static void silent_clear(Silent *silent)
{
    close(silent->listener);
    unlink(silent->path);
    rmdir(silent->folder);
    g_free(silent->path);
    g_free(silent->folder);
}

/* ---- the tests ---- */

static void assert_told(const char *path, const GError *error)
{
    g_autofree char *way_out = g_strdup_printf("kill -CONT %d", (int)getpid());

    assert_non_null(strstr(error->message, path));
    assert_non_null(strstr(error->message, way_out));
}

static void a_template_that_does_not_answer_is_not_waited_for(void **state)
{
    (void)state;
    Silent silent;
    g_autoptr(GError) error = NULL;

    silent_init(&silent);
    assert_false(
        template_client_execute(silent.path, TEMPLATE_STATUS, NULL, &error));
    assert_told(silent.path, error);
    silent_clear(&silent);
}

static void its_snapshot_is_not_waited_for_either(void **state)
{
    (void)state;
    Silent silent;
    g_autoptr(GError) error = NULL;

    silent_init(&silent);
    assert_int_equal(
        template_client_snapshot(silent.path, silent.path, "it", &error), -1);
    assert_told(silent.path, error);
    silent_clear(&silent);
}

static void a_machine_is_not_waited_for_where_nobody_answers(void **state)
{
    (void)state;
    Silent silent;
    g_autoptr(GError) error = NULL;
    json_t *machine;

    silent_init(&silent);
    assert_false(template_client_take(silent.path, G_MAXINT, &machine, &error));
    assert_told(silent.path, error);
    silent_clear(&silent);
}

/* What a template says to one who takes, after WELCOME; text: NULL: nothing. */
typedef struct Answer {
    int listener;
    TemplateKind kind;
    const char *text;
} Answer;

static void *answer_thread(void *opaque)
{
    const Answer *self = opaque;
    const TemplateMessage welcome = {.kind = TEMPLATE_WELCOME,
                                     .page = TEMPLATE_VERSION};
    const TemplateMessage answer = {.kind = self->kind};
    TemplateMessage message;
    int fd = accept(self->listener, NULL, NULL);

    (void)template_receive(fd, &message, NULL, NULL);
    (void)template_send(fd, &welcome, NULL, NULL, 0);
    (void)template_receive(fd, &message, NULL, NULL);
    if (self->text && message.kind == TEMPLATE_TAKE) {
        (void)template_send(fd, &answer, self->text, NULL, 0);
        (void)template_receive(fd, &message, NULL, NULL);
    }
    close(fd);
    return NULL;
}

static bool take(TemplateKind kind, const char *text, unsigned for_ms,
                 json_t **ret_machine, GError **error)
{
    Silent silent;
    pthread_t thread;

    silent_init(&silent);
    Answer answer = {silent.listener, kind, text};
    is_answered = true;
    assert_int_equal(pthread_create(&thread, NULL, answer_thread, &answer), 0);
    bool ok = template_client_take(silent.path, for_ms, ret_machine, error);
    pthread_join(thread, NULL);
    is_answered = false;
    silent_clear(&silent);
    return ok;
}

static void a_machine_that_comes_at_the_last_moment_is_taken(void **state)
{
    (void)state;
    json_t *machine;

    assert_true(take(TEMPLATE_ANSWER, "{\"pid\": 7}", FOR_A_MACHINE_MS,
                     &machine, NULL));
    assert_int_equal(json_integer_value(json_object_get(machine, "pid")), 7);
    json_decref(machine);
}

static void why_a_machine_has_failed_is_told(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    json_t *machine;

    assert_false(
        take(TEMPLATE_FAILED, "no such luck", 60000, &machine, &error));
    assert_non_null(strstr(error->message, "no such luck"));
}

static void one_that_knows_of_no_pool_is_told_as_that(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    json_t *machine;

    assert_false(take(TEMPLATE_ANSWER, NULL, 60000, &machine, &error));
    assert_non_null(strstr(error->message, "knows of no pool"));
}

static void an_answer_that_is_no_machine_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "7", "{", "[]"};

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        json_t *machine;

        assert_false(take(TEMPLATE_ANSWER, texts[i], 60000, &machine, &error));
        assert_non_null(strstr(error->message, "no template gives"));
    }
}

static void one_that_takes_no_more_connections_is_not_waited_for(void **state)
{
    (void)state;
    Silent silent;
    g_autoptr(GError) error = NULL;
    int fd;

    silent_init(&silent);
    const struct sockaddr_un address = address_of(&silent);
    int other = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(
        connect(other, (const struct sockaddr *)&address, sizeof address), 0);
    assert_false(template_client_connect(silent.path, &fd, &error));
    assert_non_null(strstr(error->message, silent.path));
    assert_non_null(strstr(error->message, "kill -CONT"));
    close(other);
    silent_clear(&silent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_template_that_does_not_answer_is_not_waited_for),
        cmocka_unit_test(its_snapshot_is_not_waited_for_either),
        cmocka_unit_test(one_that_takes_no_more_connections_is_not_waited_for),
        cmocka_unit_test(a_machine_is_not_waited_for_where_nobody_answers),
        cmocka_unit_test(a_machine_that_comes_at_the_last_moment_is_taken),
        cmocka_unit_test(why_a_machine_has_failed_is_told),
        cmocka_unit_test(one_that_knows_of_no_pool_is_told_as_that),
        cmocka_unit_test(an_answer_that_is_no_machine_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
