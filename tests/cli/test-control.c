/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * preheat control, and a plugin that this process plays.  $PREHEAT_PROGRAM is
 * the program's path.
 */
#include "tests/util/support.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "formats/control-protocol.h"
#include "tests/host/fake-peer.h"

/* ESC and CSI, as a byte and as a character: what colours a terminal red. */
#define RED "\033[31m"
#define RED_CSI                                                                \
    "\xc2\x9b"                                                                 \
    "31m"

typedef struct Fixture {
    int listener;
    const char *refusal; /* of every command; NULL: it is answered with red */
    bool hangs_up;       /* instead of answering */
} Fixture;

static json_t *answer(FakePeer *peer, const char *command,
                      const json_t *arguments, const char **ret_refusal,
                      void *opaque)
{
    const Fixture *fixture = opaque;

    if (fixture->hangs_up) {
        fake_peer_close(peer);
    }
    *ret_refusal = fixture->refusal;
    return fixture->refusal ? NULL : json_pack("{s:s}", "text", RED_CSI);
}

/* A GThreadFunc: serve one client. */
static void *serve(void *opaque)
{
    const Fixture *fixture = opaque;
    int fd = accept4(fixture->listener, NULL, NULL, SOCK_CLOEXEC);
    json_t *greeting = json_pack("{s:{s:s, s:i}}", "preheat", "version", "1",
                                 "pid", (int)getpid());

    return fake_peer_new(fd, greeting, answer, opaque);
}

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat ns;

    assert_int_equal(stat("/proc/self/ns/pid", &ns), 0);
    int len = snprintf(address.sun_path + 1, sizeof address.sun_path - 1,
                       CONTROL_SOCKET_NAME_FORMAT, (uintmax_t)ns.st_ino,
                       (int)getpid());
    fixture->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fixture->listener, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
                                      1 + (size_t)len)),
                     0);
    assert_int_equal(listen(fixture->listener, 1), 0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;

    close(fixture->listener);
    g_free(fixture);
    return 0;
}

/* Returns the exit status; what is printed is for g_free(). */
static int control(Fixture *fixture, const char *command, char **ret_out,
                   char **ret_err)
{
    g_autofree char *pid = g_strdup_printf("%d", (int)getpid());
    const char *argv[] = {
        g_getenv("PREHEAT_PROGRAM"), "control", "--pid", pid, command, NULL};
    GThread *thread = g_thread_new("plugin", serve, fixture);
    GError *error = NULL;
    int wait_status;

    g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_DEFAULT, NULL, NULL,
                 ret_out, ret_err, &wait_status, &error);
    assert_no_error(error);
    fake_peer_free(g_thread_join(thread));
    assert_true(WIFEXITED(wait_status));
    return WEXITSTATUS(wait_status);
}

static void a_refusal_does_not_control_the_terminal(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *out = NULL;
    g_autofree char *err = NULL;

    fixture->refusal = "not " RED "so" RED_CSI;
    assert_int_equal(control(fixture, "query-preheat", &out, &err), 1);
    assert_null(strchr(err, '\033'));
    assert_null(strstr(err, RED_CSI));
    assert_non_null(strstr(err, "not \\x1b[31mso\\u{9b}31m"));
}

static void an_answer_does_not_control_the_terminal(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *out = NULL;
    g_autofree char *err = NULL;

    assert_int_equal(control(fixture, "query-preheat", &out, &err), 0);
    assert_string_equal(out, "{\n  \"text\": \"\\u009B31m\"\n}\n");
    assert_string_equal(err, "");
}

static void quit_succeeds_when_qemu_has_ended(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *out = NULL;
    g_autofree char *err = NULL;

    fixture->hangs_up = true;
    assert_int_equal(control(fixture, "quit", &out, &err), 0);
    assert_string_equal(err, "");
    assert_string_equal(out, "{}\n");
}

static void another_command_fails_when_qemu_has_ended(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *out = NULL;
    g_autofree char *err = NULL;

    fixture->hangs_up = true;
    assert_int_equal(control(fixture, "retry", &out, &err), 1);
    assert_non_null(strstr(err, "closed"));
}

static void quit_fails_when_it_is_refused(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *out = NULL;
    g_autofree char *err = NULL;

    fixture->refusal = "no command is called quit";
    assert_int_equal(control(fixture, "quit", &out, &err), 1);
    assert_non_null(strstr(err, fixture->refusal));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_refusal_does_not_control_the_terminal),
        TEST(an_answer_does_not_control_the_terminal),
        TEST(quit_succeeds_when_qemu_has_ended),
        TEST(another_command_fails_when_qemu_has_ended),
        TEST(quit_fails_when_it_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
