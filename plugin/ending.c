/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/ending.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/thread.h"

/* How long writing things down may take before the end.  Storage that hangs may
 * be why QEMU is to end at all. */
#define WRITE_US UINT64_C(3000000)

struct Ending {
    EndingHost host;       /* constant */
    atomic_bool is_ending; /* relaxed: who sets it first goes on alone */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    bool handed_over;
    bool is_alone;
    char *missing;  /* the last trouble's text; NULL: there was none */
    bool can_retry; /* … and its */
    bool written;
};

Ending *ending_new(const EndingHost *host)
{
    Ending *ending = g_new0(Ending, 1);

    ending->host = *host;
    pthread_mutex_init(&ending->lock, NULL);
    clock_cond_init(&ending->changed);
    return ending;
}

/* ---- the end ---- */

/* Something to say, in a thread of its own. */
typedef struct Word {
    Ending *ending;
    char *text;
} Word;

static int start_word(void *(*function)(void *), Ending *ending,
                      const char *text)
{
    Word *word = g_new0(Word, 1);
    pthread_t thread;

    word->ending = ending;
    word->text = g_strdup(text);
    int rc = thread_start(&thread, "preheat-end", function, word);
    if (rc == 0) {
        pthread_detach(thread);
    } else {
        g_free(word->text);
        g_free(word);
    }
    return rc;
}

static void free_word(Word *word)
{
    g_free(word->text);
    g_free(word);
}

static void *write_thread(void *opaque)
{
    Word *word = opaque;
    Ending *ending = word->ending;

    ending->host.say(word->text);
    free_word(word);
    ending->host.write(ending->host.opaque);
    pthread_mutex_lock(&ending->lock);
    ending->written = true;
    pthread_cond_broadcast(&ending->changed);
    pthread_mutex_unlock(&ending->lock);
    return NULL;
}

static void await_written(Ending *ending)
{
    uint64_t until_us = monotonic_us() + WRITE_US;

    pthread_mutex_lock(&ending->lock);
    while (!ending->written && monotonic_us() < until_us) {
        clock_cond_wait_until(&ending->changed, &ending->lock, until_us);
    }
    pthread_mutex_unlock(&ending->lock);
}

_Noreturn void ending_now(Ending *ending, const char *text)
{
    g_autofree char *why =
        g_strdup_printf("%s: ending QEMU (process %d)", text, (int)getpid());

    if (atomic_exchange_explicit(&ending->is_ending, true,
                                 memory_order_relaxed)) {
        /* Another thread is at it. */
        for (;;) {
            pause();
        }
    }
    if (start_word(write_thread, ending, why) == 0) {
        await_written(ending);
    }
    kill(getpid(), SIGKILL);
    /* The first process of a PID namespace survives that. */
    _exit(128 + SIGKILL);
}

static void *end_thread(void *opaque)
{
    const Word *word = opaque;

    ending_now(word->ending, word->text);
}

/* ---- what is said ---- */

static void *say_thread(void *opaque)
{
    Word *word = opaque;

    word->ending->host.say(word->text);
    free_word(word);
    return NULL;
}

/* There is trouble, and no launcher any more. */
static void act(Ending *ending, const EndingTrouble *trouble)
{
    int pid = (int)getpid();
    g_autofree char *retry =
        g_strdup_printf("When you have fixed the cause, run \"preheat control "
                        "--pid %d retry\"; or end",
                        pid);
    g_autofree char *text = NULL;

    if (ending->host.dies_with_launcher && trouble->is_waited_for) {
        text = g_strconcat(trouble->text,
                           ", and QEMU, which waits for that page, cannot end "
                           "with preheat by itself",
                           NULL);
        (void)start_word(end_thread, ending, text);
        return;
    }
    text = g_strdup_printf(
        "%s%s.  preheat no longer watches over QEMU (process %d).  %s it with "
        "\"preheat control --pid %d quit\"",
        trouble->text,
        trouble->is_waited_for ? ", and QEMU waits for that page" : "", pid,
        trouble->can_retry ? retry : "End", pid);
    (void)start_word(say_thread, ending, text);
}

void ending_page_missing(Ending *ending, const EndingTrouble *trouble)
{
    pthread_mutex_lock(&ending->lock);
    g_free(ending->missing);
    ending->missing = g_strdup(trouble->text);
    ending->can_retry = trouble->can_retry;
    bool is_alone = ending->is_alone;
    pthread_mutex_unlock(&ending->lock);
    if (is_alone) {
        act(ending, trouble);
    }
}

void ending_page_slow(Ending *ending, const char *text)
{
    pthread_mutex_lock(&ending->lock);
    bool is_alone = ending->is_alone;
    pthread_mutex_unlock(&ending->lock);
    if (is_alone) {
        (void)start_word(say_thread, ending, text);
    }
}

/* ---- the launcher ---- */

void ending_adopted(Ending *ending)
{
    pthread_mutex_lock(&ending->lock);
    ending->handed_over = false;
    ending->is_alone = false;
    pthread_mutex_unlock(&ending->lock);
}

void ending_handed_over(Ending *ending)
{
    pthread_mutex_lock(&ending->lock);
    ending->handed_over = true;
    pthread_mutex_unlock(&ending->lock);
}

void ending_launcher_gone(Ending *ending, bool is_failed, bool is_waited_for)
{
    pthread_mutex_lock(&ending->lock);
    ending->is_alone = true;
    bool handed_over = ending->handed_over;
    g_autofree char *missing = g_strdup(ending->missing);
    bool can_retry = ending->can_retry;
    pthread_mutex_unlock(&ending->lock);
    if (!handed_over) {
        ending_now(ending, "preheat has ended before the guest was resumed");
    }
    if (is_failed && missing) {
        act(ending, &(EndingTrouble){missing, is_waited_for, can_retry});
    }
    if (ending->host.dies_with_launcher) {
        /* The kernel has sent it as well; but not to a QEMU that has changed
         * its user (-run-with user=), for which it drops that order. */
        kill(getpid(), SIGTERM);
    }
}
