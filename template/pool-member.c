/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "template/pool-member.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/error.h"

/* An event is shorter; what is longer is not kept. */
#define MAX_LINE_BYTES (64 * 1024)

/* ---- the process ---- */

/* The members' ends of what leads to them. */
typedef struct TheirEnds {
    int start_fd;
    int events_fd;
} TheirEnds;

static bool open_ends(PoolMember *member, TheirEnds *ret_theirs)
{
    int start[2], events[2];

    /* A socket: who writes to one that has gone gets no signal. */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, start) < 0) {
        return false;
    }
    if (pipe2(events, O_CLOEXEC) < 0) {
        close(start[0]);
        close(start[1]);
        return false;
    }
    /* Ours alone: it has a description of its own. */
    (void)fcntl(events[0], F_SETFL, O_NONBLOCK);
    member->start_fd = start[0];
    member->events_fd = events[0];
    *ret_theirs = (TheirEnds){start[1], events[1]};
    return true;
}

/* Standard error stays ours.  Everything else of ours is close-on-exec. */
static void set_files(posix_spawn_file_actions_t *files, TheirEnds theirs)
{
    posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY,
                                     0);
    posix_spawn_file_actions_adddup2(files, theirs.events_fd, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(files, theirs.start_fd,
                                     POOL_MEMBER_START_FD);
}

/* A signal that we have blocked, to read it, is to reach it and its QEMU. */
static void set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, pipe;

    sigemptyset(&none);
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &pipe);
    posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID |
                                             POSIX_SPAWN_SETSIGMASK |
                                             POSIX_SPAWN_SETSIGDEF);
}

/* A child has its limit from us: ours is the same while it is started.  Other
 * threads open nothing meanwhile that they could not do without. */
static int spawn_limited(pid_t *ret_pid, const char *program,
                         const posix_spawn_file_actions_t *files,
                         const posix_spawnattr_t *attributes, char *const *argv,
                         rlim_t max_fds)
{
    struct rlimit ours, theirs;
    bool is_other = max_fds > 0 && getrlimit(RLIMIT_NOFILE, &ours) == 0;

    if (is_other) {
        theirs = (struct rlimit){max_fds, ours.rlim_max};
        is_other = setrlimit(RLIMIT_NOFILE, &theirs) == 0;
    }
    int errnum =
        posix_spawn(ret_pid, program, files, attributes, argv, environ);
    if (is_other) {
        (void)setrlimit(RLIMIT_NOFILE, &ours);
    }
    return errnum;
}

/* Not by fork(), which would copy the page tables of a whole image. */
static int spawn(const char *program, char *const *argv, TheirEnds theirs,
                 rlim_t max_fds, pid_t *ret_pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;

    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    set_files(&files, theirs);
    set_attributes(&attributes);
    int errnum =
        spawn_limited(ret_pid, program, &files, &attributes, argv, max_fds);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return errnum;
}

/* Of one that was not reaped, the process ID is nobody else's. */
static int follow(PoolMember *member)
{
    member->end_fd = pidfd_open(member->pid, 0);
    if (member->end_fd >= 0) {
        return 0;
    }
    int errnum = errno;
    kill(member->pid, SIGKILL);
    while (waitpid(member->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return errnum;
}

PoolMember *pool_member_start(const char *program, char *const *argv,
                              rlim_t max_fds, unsigned number, GError **error)
{
    PoolMember *member = g_new0(PoolMember, 1);
    TheirEnds theirs;
    int errnum;

    member->number = number;
    member->placed = json_array();
    member->text = g_string_new(NULL);
    member->end_fd = -1;
    member->start_fd = -1;
    member->events_fd = -1;
    if (open_ends(member, &theirs)) {
        errnum = spawn(program, argv, theirs, max_fds, &member->pid);
        close(theirs.start_fd);
        close(theirs.events_fd);
        errnum = errnum == 0 ? follow(member) : errnum;
    } else {
        errnum = errno;
    }
    if (errnum != 0) {
        util_error_set_errno(error, errnum, "%s: cannot be started", argv[0]);
        pool_member_free(member);
        return NULL;
    }
    return member;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

void pool_member_let_go(PoolMember *member)
{
    member->state = POOL_MEMBER_TAKEN;
    member->taker = NULL;
    close_fd(&member->start_fd);
    close_fd(&member->events_fd);
}

/* It leads its process group, and until it is reaped nobody else has that
 * number. */
void pool_member_kill(PoolMember *member)
{
    kill(-member->pid, SIGKILL);
}

void pool_member_free(PoolMember *member)
{
    if (member) {
        close_fd(&member->start_fd);
        close_fd(&member->events_fd);
        close_fd(&member->end_fd);
        g_string_free(member->text, TRUE);
        json_decref(member->placed);
        g_free(member->error);
        g_free(member);
    }
}

static char *describe_end(const PoolMember *member, int status)
{
    int pid = (int)member->pid;

    if (member->error) {
        return g_strdup(member->error);
    }
    return WIFSIGNALED(status)
               ? g_strdup_printf("preheat loadvm (process %d) was ended by a "
                                 "signal (%s)",
                                 pid, g_strsignal(WTERMSIG(status)))
               : g_strdup_printf("preheat loadvm (process %d) has ended with "
                                 "status %d",
                                 pid, WEXITSTATUS(status));
}

bool pool_member_has_ended(const PoolMember *member)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)member->pid, &info,
                  WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == member->pid;
}

char *pool_member_reap(PoolMember *member)
{
    int status = 0;

    while (waitpid(member->pid, &status, 0) < 0 && errno == EINTR) {
    }
    return describe_end(member, status);
}

/* ---- what is said ---- */

bool pool_member_load(PoolMember *member)
{
    ssize_t sent;

    do {
        sent = send(member->start_fd, "load\n", strlen("load\n"), MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0;
}

/* A whole line, for g_free(), out of text; NULL: there is none. */
static char *cut_line(GString *text)
{
    const char *end = memchr(text->str, '\n', text->len);

    if (!end) {
        return NULL;
    }
    size_t len = (size_t)(end - text->str);
    char *line = g_strndup(text->str, len);
    g_string_erase(text, 0, (gssize)len + 1);
    return line;
}

/* False: nothing has come. */
static bool read_more(PoolMember *member)
{
    char text[4096];
    ssize_t len;

    do {
        len = read(member->events_fd, text, sizeof text);
    } while (len < 0 && errno == EINTR);
    if (len == 0) {
        close_fd(&member->events_fd);
    }
    if (len <= 0) {
        return false;
    }
    if (member->text->len > MAX_LINE_BYTES) {
        g_string_truncate(member->text, 0);
    }
    g_string_append_len(member->text, text, len);
    return true;
}

json_t *pool_member_next_event(PoolMember *member)
{
    json_t *event = NULL;

    while (!event && member->events_fd >= 0) {
        g_autofree char *line = cut_line(member->text);

        if (line) {
            event = json_loads(line, 0, NULL);
        } else if (!read_more(member)) {
            return NULL;
        }
    }
    return event;
}
