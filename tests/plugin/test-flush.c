/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * When the plugin has QEMU flush its translations: plugin.c between a QEMU
 * and a session that both are the test's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "plugin/control.h"
#include "plugin/libvirt/restore.h"
#include "plugin/privilege.h"
#include "plugin/session.h"

#define PLUGIN_ID 4711
#define EXPORT    __attribute__((visibility("default")))

typedef void VcpuCallback(unsigned vcpu_index, void *userdata);
typedef void ResetCallback(void *userdata);

extern int qemu_plugin_version;

int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv);

EXPORT void qemu_plugin_register_vcpu_resume_cb(uint64_t id,
                                                VcpuCallback *callback,
                                                void *userdata);
EXPORT void qemu_plugin_reset(uint64_t id, ResetCallback *callback,
                              void *userdata);

/* ---- the session ---- */

static void (*forget_code)(void);

Session *session_new(const SessionHost *host)
{
    forget_code = host->forget_code;
    return NULL;
}

void session_set_control(Session *session, Control *control)
{
}

json_t *session_execute(void *opaque, const char *command,
                        const json_t *arguments, const Descriptors *descriptors,
                        GError **error)
{
    return NULL;
}

void session_launcher_gone(void *opaque)
{
}

void privilege_keep(void)
{
}

void session_await_opened(Session *session)
{
}

void session_without_launcher(Session *session)
{
}

void session_end(void *opaque)
{
}

void restore_prepare(char **argv, const char *plugin)
{
}

bool restore_is_wanted(void)
{
    return false;
}

void restore_start(int control_fd, void (*say)(const char *text))
{
}

Control *control_new(ControlHandler *handler, void *opaque)
{
    return NULL;
}

int control_listen(Control *control)
{
    return 0;
}

int control_add(Control *control, int fd, ControlHangup *hangup)
{
    return 0;
}

/* ---- QEMU ---- */

static struct {
    VcpuCallback *on_resume;
    ResetCallback *on_reset; /* while a reset is pending */
    unsigned n_asked;
    unsigned n_flushed;
} qemu;

void qemu_plugin_register_vcpu_resume_cb(uint64_t id, VcpuCallback *callback,
                                         void *userdata)
{
    assert_int_equal(id, PLUGIN_ID);
    qemu.on_resume = callback;
}

void qemu_plugin_reset(uint64_t id, ResetCallback *callback, void *userdata)
{
    assert_int_equal(id, PLUGIN_ID);
    qemu.n_asked++;
    if (!qemu.on_reset) {
        qemu.on_reset = callback;
    }
}

static void vcpu_resumes(void)
{
    if (qemu.on_resume) {
        qemu.on_resume(0, NULL);
    }
}

static void pending_reset_is_done(void)
{
    ResetCallback *callback = qemu.on_reset;

    assert_non_null(callback);
    qemu.n_flushed++;
    qemu.on_resume = NULL;
    qemu.on_reset = NULL;
    callback(NULL);
}

static void install(int version)
{
    memset(&qemu, 0, sizeof(qemu));
    qemu_plugin_version = version;
    assert_int_equal(qemu_plugin_install(PLUGIN_ID, NULL, 0, NULL), 0);
}

/* ---- when ---- */

static void nothing_is_flushed_without_a_window(void **state)
{
    install(7);
    vcpu_resumes();
    vcpu_resumes();
    assert_int_equal(qemu.n_asked, 0);
}

static void the_first_vcpu_to_resume_has_it_done(void **state)
{
    install(7);
    forget_code();
    assert_int_equal(qemu.n_asked, 0);
    vcpu_resumes();
    vcpu_resumes();
    assert_int_equal(qemu.n_asked, 1);
    pending_reset_is_done();
    vcpu_resumes();
    assert_int_equal(qemu.n_asked, 1);
}

static void each_window_has_its_flush(void **state)
{
    install(7);
    for (unsigned i = 1; i <= 3; i++) {
        forget_code();
        vcpu_resumes();
        pending_reset_is_done();
        assert_int_equal(qemu.n_flushed, i);
    }
}

static void a_flush_wanted_while_one_is_pending_is_not_lost(void **state)
{
    install(7);
    forget_code();
    vcpu_resumes();
    forget_code();
    vcpu_resumes();
    pending_reset_is_done();
    vcpu_resumes();
    pending_reset_is_done();
    assert_int_equal(qemu.n_flushed, 2);
}

static void no_callback_is_left_for_a_reset_to_free(void **state)
{
    install(7);
    forget_code();
    assert_non_null(qemu.on_resume);
    vcpu_resumes();
    assert_null(qemu.on_resume);
}

static void a_qemu_before_11_1_is_asked_as_well(void **state)
{
    install(2);
    forget_code();
    vcpu_resumes();
    assert_int_equal(qemu.n_asked, 1);
}

static void an_interface_that_is_not_known_is_not_used(void **state)
{
    install(8);
    assert_null(forget_code);
    assert_null(qemu.on_resume);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_flushed_without_a_window),
        cmocka_unit_test(the_first_vcpu_to_resume_has_it_done),
        cmocka_unit_test(each_window_has_its_flush),
        cmocka_unit_test(a_flush_wanted_while_one_is_pending_is_not_lost),
        cmocka_unit_test(no_callback_is_left_for_a_reset_to_free),
        cmocka_unit_test(a_qemu_before_11_1_is_asked_as_well),
        cmocka_unit_test(an_interface_that_is_not_known_is_not_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
