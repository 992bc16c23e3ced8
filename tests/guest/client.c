/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Puts requests, one after the other, to the test guest's service as soon as
 * that answers at all, checks the answers against tests/guest/store.h and
 * prints a line of JSON: the last answer, or the first wrong one.  Exit status:
 * 0 right or not to be checked, 1 wrong or none, 2 usage.
 *
 * QEMU accepts connections also while the guest cannot answer, and its
 * user-mode network may then leave them without an answer for minutes.  Hence
 * the prober: it opens further connections meanwhile and goes on with the
 * first one that greets.  Each of them costs the guest some milliseconds of
 * processor time, so the pauses between them grow.  Times are exact only if the
 * guest runs already when this starts.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>
#include <glib-unix.h>

#include "tests/guest/store.h"

#define N_PROBES         16
#define FIRST_PAUSE_US   INT64_C(100000)
#define LONGEST_PAUSE_US INT64_C(1600000)
#define LINE_BYTES       128

typedef struct Prober {
    struct sockaddr_in address;
    struct pollfd probes[N_PROBES]; /* fd -1: free */
    size_t next;                    /* where the next probe goes */
} Prober;

static int option_port;
static int option_timeout_s = 60;
static int option_store_mib = 256;
static char **option_puts;
static char **option_requests;

static const GOptionEntry option_entries[] = {
    {"port", 'p', 0, G_OPTION_ARG_INT, &option_port,
     "Port on 127.0.0.1 that leads to the service", "PORT"},
    {"timeout", 't', 0, G_OPTION_ARG_INT, &option_timeout_s,
     "Give up after this many seconds (60)", "SECONDS"},
    {"store-mib", 0, 0, G_OPTION_ARG_INT, &option_store_mib,
     "Size of the guest's store (256)", "MIB"},
    {"put", 0, 0, G_OPTION_ARG_STRING_ARRAY, &option_puts,
     "A key that was PUT before; once for each time", "KEY"},
    {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &option_requests,
     NULL, "REQUEST..."},
    {NULL},
};

static void prober_init(Prober *prober, int port)
{
    prober->address = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    for (size_t i = 0; i < N_PROBES; i++) {
        prober->probes[i].fd = -1;
    }
    prober->next = 0;
}

static void probe_close(struct pollfd *probe)
{
    if (probe->fd >= 0) {
        close(probe->fd);
    }
    probe->fd = -1;
}

/* Replaces the oldest probe.  A refusal is no error: QEMU is not up yet. */
static void prober_add(Prober *prober)
{
    struct pollfd *probe = &prober->probes[prober->next];

    probe_close(probe);
    probe->events = POLLIN;
    probe->revents = 0;
    probe->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe->fd < 0 ||
        (connect(probe->fd, (const struct sockaddr *)&prober->address,
                 sizeof(prober->address)) < 0 &&
         errno != EINPROGRESS)) {
        probe_close(probe);
    }
    prober->next = (prober->next + 1) % N_PROBES;
}

/* The first probe that has something to read; it is the caller's then.
 * Refused ones are closed.  Returns -1 if there is none. */
static int prober_take_ready(Prober *prober)
{
    for (size_t i = 0; i < N_PROBES; i++) {
        struct pollfd *probe = &prober->probes[i];
        char c;

        if (probe->fd < 0 || probe->revents == 0) {
            continue;
        }
        if (recv(probe->fd, &c, 1, MSG_PEEK) == 1) {
            int fd = probe->fd;

            probe->fd = -1;
            return fd;
        }
        probe_close(probe);
    }
    return -1;
}

/* Returns a connection on which the greeting can be read, or -1 when
 * deadline_us has passed. */
static int connect_to_guest(int port, int64_t deadline_us)
{
    int64_t pause_us = FIRST_PAUSE_US;
    Prober prober;
    int fd = -1;

    prober_init(&prober, port);
    while (fd < 0 && g_get_monotonic_time() < deadline_us) {
        int64_t next_us = g_get_monotonic_time() + pause_us;
        int64_t left_us;

        prober_add(&prober);
        while (fd < 0 && (left_us = next_us - g_get_monotonic_time()) > 0) {
            poll(prober.probes, N_PROBES, (int)(left_us + 999) / 1000);
            fd = prober_take_ready(&prober);
        }
        pause_us = MIN(2 * pause_us, LONGEST_PAUSE_US);
    }
    for (size_t i = 0; i < N_PROBES; i++) {
        probe_close(&prober.probes[i]);
    }
    return fd;
}

/* A stream on fd that stops waiting at deadline_us.  Takes fd over. */
static FILE *stream_new(int fd, int64_t deadline_us)
{
    int64_t until_us = deadline_us - g_get_monotonic_time();
    int64_t left_us = MAX(until_us, 1);
    struct timeval timeout = {.tv_sec = left_us / G_USEC_PER_SEC,
                              .tv_usec = left_us % G_USEC_PER_SEC};

    g_unix_set_fd_nonblocking(fd, FALSE, NULL);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    return fdopen(fd, "r+");
}

/* How often each page was PUT. */
static uint64_t *count_puts(char **keys, uint64_t n_pages)
{
    uint64_t *n_puts = g_new0(uint64_t, n_pages);

    for (char **key = keys; key != NULL && *key != NULL; key++) {
        for (unsigned run = 0; run < STORE_SET_RUNS; run++) {
            unsigned len;
            uint64_t first =
                store_run(strtoull(*key, NULL, 10), run, n_pages, &len);

            for (unsigned i = 0; i < len; i++) {
                n_puts[(first + i) % n_pages]++;
            }
        }
    }
    return n_puts;
}

static uint64_t expect_page(uint64_t sum, uint64_t page, uint64_t n_puts)
{
    for (unsigned i = 0; i < STORE_PAGE_WORDS; i++) {
        sum =
            store_checksum(sum, store_word(page, i) + n_puts * STORE_PUT_STEP);
    }
    return sum;
}

static uint64_t expect_get(uint64_t key, const uint64_t *n_puts,
                           uint64_t n_pages)
{
    uint64_t sum = 0;

    for (unsigned run = 0; run < STORE_SET_RUNS; run++) {
        unsigned len;
        uint64_t first = store_run(key, run, n_pages, &len);

        for (unsigned i = 0; i < len; i++) {
            uint64_t page = (first + i) % n_pages;

            sum = expect_page(sum, page, n_puts[page]);
        }
    }
    return sum;
}

static uint64_t expect_sum(const uint64_t *n_puts, uint64_t n_pages)
{
    uint64_t sum = 0;

    for (uint64_t page = 0; page < n_pages; page++) {
        sum = expect_page(sum, page, n_puts[page]);
    }
    return sum;
}

/* The only right answer, or NULL if every "OK" is. */
static char *expect_answer(const char *request)
{
    uint64_t n_pages = ((uint64_t)option_store_mib << 20) / STORE_PAGE_BYTES;
    g_autofree uint64_t *n_puts = count_puts(option_puts, n_pages);

    if (strcmp(request, "PING") == 0) {
        return g_strdup("PONG");
    }
    if (strcmp(request, "SUM") == 0) {
        return g_strdup_printf("OK %016" PRIx64, expect_sum(n_puts, n_pages));
    }
    if (g_str_has_prefix(request, "GET ")) {
        uint64_t key = strtoull(request + strlen("GET "), NULL, 10);

        return g_strdup_printf("OK %016" PRIx64,
                               expect_get(key, n_puts, n_pages));
    }
    return NULL;
}

/* Returns false if the connection broke or the time is up. */
static bool greet(FILE *stream)
{
    char greeting[LINE_BYTES];

    return fgets(greeting, sizeof(greeting), stream) != NULL &&
           g_str_has_prefix(greeting, STORE_GREETING);
}

/* As above.  ret_answer: LINE_BYTES. */
static bool ask(FILE *stream, const char *request, char *ret_answer)
{
    if (fprintf(stream, "%s\n", request) < 0 || fflush(stream) != 0 ||
        fgets(ret_answer, LINE_BYTES, stream) == NULL) {
        return false;
    }
    g_strchomp(ret_answer);
    return true;
}

static bool is_right(const char *request, const char *answer)
{
    g_autofree char *expected = expect_answer(request);

    return expected != NULL ? strcmp(answer, expected) == 0
                            : g_str_has_prefix(answer, "OK");
}

/* The first request whose answer is wrong, or else the last one.  Called when
 * the time has been taken, since knowing what is right takes a while. */
static size_t find_wrong(char *const *requests, size_t n_requests,
                         char (*answers)[LINE_BYTES])
{
    size_t i = 0;

    while (i + 1 < n_requests && is_right(requests[i], answers[i])) {
        i++;
    }
    return i;
}

static int print_answer(char *const *requests, char (*answers)[LINE_BYTES],
                        int64_t start_us, int64_t answered_us)
{
    size_t i = find_wrong(requests, g_strv_length((char **)requests), answers);
    bool right = is_right(requests[i], answers[i]);

    printf("{\"answer\": \"%s\", \"right\": %s, \"ms\": %.3f, "
           "\"answered-us\": %" PRId64 "}\n",
           answers[i], right ? "true" : "false",
           (double)(answered_us - start_us) / 1000, answered_us);
    return right ? 0 : 1;
}

static int run(char *const *requests)
{
    int64_t start_us = g_get_monotonic_time();
    int64_t deadline_us = start_us + option_timeout_s * G_USEC_PER_SEC;
    int fd = connect_to_guest(option_port, deadline_us);
    g_autofree char(*answers)[LINE_BYTES] =
        g_malloc0_n(g_strv_length((char **)requests), LINE_BYTES);
    FILE *stream;
    bool answered;

    if (fd < 0) {
        fprintf(stderr, "no connection within %d s\n", option_timeout_s);
        return 1;
    }
    stream = stream_new(fd, deadline_us);
    answered = greet(stream);
    for (size_t i = 0; answered && requests[i] != NULL; i++) {
        answered = ask(stream, requests[i], answers[i]);
    }
    int64_t answered_us = g_get_monotonic_time();
    fclose(stream);
    if (!answered) {
        fprintf(stderr, "the connection broke, or no answer within %d s\n",
                option_timeout_s);
        return 1;
    }
    return print_answer(requests, answers, start_us, answered_us);
}

int main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;

    g_option_context_add_main_entries(context, option_entries, NULL);
    g_option_context_set_summary(
        context, "REQUEST is PING, GET KEY, PUT KEY, SUM, POKE OFFSET, "
                 "WHERE OFFSET, USE MIB, WRITE NUMBER or READ, each as one "
                 "argument.");
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        fprintf(stderr, "%s\n", error->message);
        return 2;
    }
    if (option_port <= 0 || option_port > UINT16_MAX || option_timeout_s <= 0 ||
        option_store_mib <= 0 || option_requests == NULL) {
        fprintf(stderr, "usage: preheat-guest-client --port=PORT REQUEST...\n");
        return 2;
    }
    return run(option_requests);
}
