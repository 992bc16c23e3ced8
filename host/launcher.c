/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/error.h"

static const int passed_signals[] = {SIGINT,  SIGTERM, SIGHUP,
                                     SIGQUIT, SIGUSR1, SIGUSR2};

struct Launcher {
    GPid pid;
    bool reaped;
    int status;           /* once reaped */
    pthread_t thread;     /* passes signals on; ends on SIGRTMIN */
    sigset_t signals;     /* what that thread waits for */
    sigset_t old_mask;    /* of the thread that started the child */
    atomic_bool hopeless; /* relaxed: a flag that guards nothing else */
};

/* What the child does between fork and exec: only async-signal-safe calls. */
typedef struct ChildSetup {
    pid_t parent;
    const sigset_t *mask;
    const int *keep_fds;
    size_t n_keep_fds;
} ChildSetup;

static void set_up_child(void *data)
{
    const ChildSetup *setup = data;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != setup->parent) {
        _exit(128 + SIGTERM);
    }
    for (size_t i = 0; i < setup->n_keep_fds; i++) {
        fcntl(setup->keep_fds[i], F_SETFD, 0);
    }
    sigprocmask(SIG_SETMASK, setup->mask, NULL);
}

static bool spawn(Launcher *launcher, char **argv, const int *keep_fds,
                  size_t n_keep_fds, GError **error)
{
    ChildSetup setup = {
        .parent = getpid(),
        .mask = &launcher->old_mask,
        .keep_fds = keep_fds,
        .n_keep_fds = n_keep_fds,
    };
    GSpawnFlags flags = G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD |
                        G_SPAWN_CHILD_INHERITS_STDIN |
                        G_SPAWN_LEAVE_DESCRIPTORS_OPEN;

    return g_spawn_async(NULL, argv, NULL, flags, set_up_child, &setup,
                         &launcher->pid, error);
}

static bool asks_to_end(int signal)
{
    return signal != SIGUSR1 && signal != SIGUSR2;
}

/* The child is reaped only after this thread has ended: its process ID is
 * valid here. */
static void *pass_signals(void *opaque)
{
    Launcher *launcher = opaque;
    int signal;

    while (sigwait(&launcher->signals, &signal) == 0 && signal != SIGRTMIN) {
        if (asks_to_end(signal) &&
            atomic_load_explicit(&launcher->hopeless, memory_order_relaxed)) {
            signal = SIGKILL;
        }
        kill(launcher->pid, signal);
    }
    return NULL;
}

static void block_signals(Launcher *launcher)
{
    sigemptyset(&launcher->signals);
    sigaddset(&launcher->signals, SIGRTMIN);
    for (size_t i = 0; i < G_N_ELEMENTS(passed_signals); i++) {
        sigaddset(&launcher->signals, passed_signals[i]);
    }
    pthread_sigmask(SIG_BLOCK, &launcher->signals, &launcher->old_mask);
    /* Were it inherited as ignored, no child could be waited for. */
    signal(SIGCHLD, SIG_DFL);
}

Launcher *launcher_start(char **argv, const int *keep_fds, size_t n_keep_fds,
                         GError **error)
{
    g_autofree Launcher *launcher = g_new0(Launcher, 1);
    int errnum;

    block_signals(launcher);
    if (!spawn(launcher, argv, keep_fds, n_keep_fds, error)) {
        pthread_sigmask(SIG_SETMASK, &launcher->old_mask, NULL);
        return NULL;
    }
    errnum = pthread_create(&launcher->thread, NULL, pass_signals, launcher);
    if (errnum != 0) {
        util_error_set_errno(error, errnum, "cannot start a thread");
        kill(launcher->pid, SIGKILL);
        waitpid(launcher->pid, NULL, 0);
        pthread_sigmask(SIG_SETMASK, &launcher->old_mask, NULL);
        return NULL;
    }
    return g_steal_pointer(&launcher);
}

void launcher_set_hopeless(Launcher *launcher, bool hopeless)
{
    atomic_store_explicit(&launcher->hopeless, hopeless, memory_order_relaxed);
}

void launcher_signal(Launcher *launcher, int signal)
{
    if (!launcher->reaped) {
        kill(launcher->pid, signal);
    }
}

static int shell_status(int wait_status)
{
    if (WIFSIGNALED(wait_status)) {
        return 128 + WTERMSIG(wait_status);
    }
    return WEXITSTATUS(wait_status);
}

int launcher_wait(Launcher *launcher)
{
    siginfo_t info;
    int wait_status = 0;

    if (launcher->reaped) {
        return launcher->status;
    }
    while (waitid(P_PID, (id_t)launcher->pid, &info, WEXITED | WNOWAIT) < 0 &&
           errno == EINTR) {
    }
    pthread_kill(launcher->thread, SIGRTMIN);
    pthread_join(launcher->thread, NULL);
    while (waitpid(launcher->pid, &wait_status, 0) < 0 && errno == EINTR) {
    }
    launcher->status = shell_status(wait_status);
    launcher->reaped = true;
    return launcher->status;
}

void launcher_free(Launcher *launcher)
{
    g_assert(!launcher || launcher->reaped);
    g_free(launcher);
}
