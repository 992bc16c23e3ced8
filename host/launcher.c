/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/error.h"

static const int passed_signals[] = {SIGINT,  SIGTERM, SIGHUP,
                                     SIGQUIT, SIGUSR1, SIGUSR2};

/* So many generations may lie between us and whom the child goes on as. */
#define MAX_GENERATIONS 64

struct Launcher {
    GPid pid;
    bool reaped; /* this and the next: set once the thread has ended */
    int status;
    pthread_t thread;  /* passes signals on; ends on SIGRTMIN */
    sigset_t signals;  /* what that thread waits for */
    sigset_t old_mask; /* of the thread that started the child */
    int interrupt_fd;  /* an eventfd */
    /* The last signal that asked to end.  Relaxed: the eventfd, which is
     * written after it and read before it, orders the two. */
    atomic_int interrupt;
    /* A pidfd, or -1; set once.  Released when it is set and acquired where it
     * is read: whoever has the number has the descriptor. */
    atomic_int followed;
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

static int followed_fd(Launcher *launcher)
{
    return atomic_load_explicit(&launcher->followed, memory_order_acquire);
}

void launcher_signal(Launcher *launcher, int signal)
{
    int followed = followed_fd(launcher);

    if (!launcher->reaped) {
        kill(launcher->pid, signal);
    }
    if (followed >= 0) {
        pidfd_send_signal(followed, signal, NULL, 0);
    }
}

/* The child is reaped only after this thread has ended: its process ID is
 * valid here. */
static void *pass_signals(void *opaque)
{
    Launcher *launcher = opaque;
    int signal;

    while (sigwait(&launcher->signals, &signal) == 0 && signal != SIGRTMIN) {
        /* First, so that whoever sees the child end by it knows why. */
        if (asks_to_end(signal)) {
            atomic_store_explicit(&launcher->interrupt, signal,
                                  memory_order_relaxed);
            eventfd_write(launcher->interrupt_fd, 1);
        }
        launcher_signal(launcher, signal);
        if (asks_to_end(signal)) {
            /* One that is stopped could not. */
            launcher_signal(launcher, SIGCONT);
        }
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

/* Nothing is to be undone after an error. */
static bool start(Launcher *launcher, char **argv, const int *keep_fds,
                  size_t n_keep_fds, GError **error)
{
    int errnum;

    if (launcher->interrupt_fd < 0) {
        util_error_set_errno(error, errno, "cannot make an eventfd");
        return false;
    }
    if (!spawn(launcher, argv, keep_fds, n_keep_fds, error)) {
        return false;
    }
    errnum = pthread_create(&launcher->thread, NULL, pass_signals, launcher);
    if (errnum != 0) {
        util_error_set_errno(error, errnum, "cannot start a thread");
        kill(launcher->pid, SIGKILL);
        waitpid(launcher->pid, NULL, 0);
    }
    return errnum == 0;
}

Launcher *launcher_start(char **argv, const int *keep_fds, size_t n_keep_fds,
                         bool becomes_daemon, GError **error)
{
    g_autofree Launcher *launcher = g_new0(Launcher, 1);

    atomic_init(&launcher->followed, -1);
    launcher->interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    block_signals(launcher);
    prctl(PR_SET_CHILD_SUBREAPER, (unsigned long)becomes_daemon, 0, 0, 0);
    if (!start(launcher, argv, keep_fds, n_keep_fds, error)) {
        pthread_sigmask(SIG_SETMASK, &launcher->old_mask, NULL);
        if (launcher->interrupt_fd >= 0) {
            close(launcher->interrupt_fd);
        }
        return NULL;
    }
    return g_steal_pointer(&launcher);
}

/* 0: there is no such process. */
static pid_t parent_of(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)pid);
    g_autofree char *text = NULL;
    const char *name_end;
    int parent = 0;

    if (g_file_get_contents(path, &text, NULL, NULL) &&
        (name_end = strrchr(text, ')')) &&
        sscanf(name_end, ") %*c %d", &parent) != 1) {
        parent = 0;
    }
    return parent;
}

static bool descends_from_us(pid_t pid)
{
    for (int i = 0; i < MAX_GENERATIONS && pid > 1; i++) {
        pid = parent_of(pid);
        if (pid == getpid()) {
            return true;
        }
    }
    return false;
}

static bool has_ended(int pidfd)
{
    struct pollfd fd = {.fd = pidfd, .events = POLLIN};

    return poll(&fd, 1, 0) != 0;
}

bool launcher_follow(Launcher *launcher, pid_t pid)
{
    int pidfd;

    if (pid == launcher->pid) {
        return true;
    }
    pidfd = pidfd_open(pid, 0);
    /* That it has not ended comes last: so what was found is true of it. */
    if (pidfd < 0 || !descends_from_us(pid) || has_ended(pidfd)) {
        if (pidfd >= 0) {
            close(pidfd);
        }
        return false;
    }
    g_assert(followed_fd(launcher) < 0);
    atomic_store_explicit(&launcher->followed, pidfd, memory_order_release);
    return true;
}

int launcher_interrupt_fd(const Launcher *launcher)
{
    return launcher->interrupt_fd;
}

int launcher_take_interrupt(Launcher *launcher)
{
    eventfd_t count;

    if (eventfd_read(launcher->interrupt_fd, &count) < 0) {
        return 0;
    }
    return atomic_load_explicit(&launcher->interrupt, memory_order_relaxed);
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
    if (!launcher) {
        return;
    }
    g_assert(launcher->reaped);
    close(launcher->interrupt_fd);
    if (followed_fd(launcher) >= 0) {
        close(followed_fd(launcher));
    }
    g_free(launcher);
}
