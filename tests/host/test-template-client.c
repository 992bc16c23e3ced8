/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A template that was stopped: its socket is there, and nobody answers.
 */
#include "host/template-client.h"

#include <errno.h>
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

int __real_template_await(int fd, unsigned patience_ms);
int __wrap_template_await(int fd, unsigned patience_ms);
int __real_setsockopt(int fd, int level, int name, const void *value,
                      socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *value,
                      socklen_t len);

int __wrap_template_await(int fd, unsigned patience_ms)
{
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
