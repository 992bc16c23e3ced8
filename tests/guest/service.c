/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The test guest's service: a store of pseudo-random pages behind TCP.
 *
 *   GET key      touch the pages of key    -> OK checksum over them
 *   PUT key      add to every word of them -> OK
 *   SUM          read the whole store      -> OK checksum over it
 *   POKE offset  flip the byte at offset   -> OK its guest-physical address
 *   WHERE offset                           -> OK its guest-physical address
 *   USE mib      write and read back that much free memory -> OK
 *   WRITE number onto the disk, past the page cache -> OK
 *   READ         what is there                      -> OK number
 *   PING                                   -> PONG
 *
 * Numbers in requests are decimal, in answers hexadecimal.  A thread a
 * connection, blocking I/O only: an idle guest touches nothing.
 */
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "store.h"

#define DISK         "/dev/vda"
#define SECTOR_BYTES 512

static uint64_t *store;
static uint64_t store_n_pages;

static uint64_t *page_words(uint64_t page)
{
    return store + page * STORE_PAGE_WORDS;
}

static void fill_store(uint64_t len_bytes)
{
    store = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (store == MAP_FAILED) {
        err(1, "mmap of %" PRIu64 " bytes", len_bytes);
    }
    store_n_pages = len_bytes / STORE_PAGE_BYTES;
    for (uint64_t page = 0; page < store_n_pages; page++) {
        for (unsigned i = 0; i < STORE_PAGE_WORDS; i++) {
            page_words(page)[i] = store_word(page, i);
        }
    }
}

static uint64_t checksum_page(uint64_t sum, uint64_t page)
{
    for (unsigned i = 0; i < STORE_PAGE_WORDS; i++) {
        sum = store_checksum(sum, page_words(page)[i]);
    }
    return sum;
}

static uint64_t add_to_page(uint64_t sum, uint64_t page)
{
    for (unsigned i = 0; i < STORE_PAGE_WORDS; i++) {
        page_words(page)[i] += STORE_PUT_STEP;
    }
    return sum;
}

static uint64_t for_each_page(uint64_t key,
                              uint64_t (*visit)(uint64_t sum, uint64_t page))
{
    uint64_t sum = 0;

    for (unsigned run = 0; run < STORE_SET_RUNS; run++) {
        unsigned len;
        uint64_t first = store_run(key, run, store_n_pages, &len);

        for (unsigned i = 0; i < len; i++) {
            sum = visit(sum, (first + i) % store_n_pages);
        }
    }
    return sum;
}

static uint64_t checksum_store(void)
{
    uint64_t sum = 0;

    for (uint64_t page = 0; page < store_n_pages; page++) {
        sum = checksum_page(sum, page);
    }
    return sum;
}

/* The guest-physical address of a byte of the store, or 0 if the kernel does
 * not tell.  /proc/PID/pagemap: bits 0-54 of an entry are the frame number. */
static uint64_t physical_address(uint64_t off_bytes)
{
    uintptr_t address = (uintptr_t)store + off_bytes;
    uint64_t entry = 0;
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return 0;
    }
    if (pread(fd, &entry, sizeof(entry),
              (off_t)(address / STORE_PAGE_BYTES * sizeof(entry))) !=
        sizeof(entry)) {
        entry = 0;
    }
    close(fd);
    entry &= (UINT64_C(1) << 55) - 1;
    return entry == 0 ? 0
                      : entry * STORE_PAGE_BYTES + address % STORE_PAGE_BYTES;
}

static bool answer_offset(FILE *stream, uint64_t off_bytes, bool flip)
{
    if (off_bytes >= store_n_pages * STORE_PAGE_BYTES) {
        return fputs("ERROR offset beyond the store\n", stream) >= 0;
    }
    if (flip) {
        ((unsigned char *)store)[off_bytes] ^= 0xff;
    }
    return fprintf(stream, "OK %" PRIx64 "\n", physical_address(off_bytes)) > 0;
}

/* Whether len_bytes of the kernel's free memory hold what is written there. */
static bool use_memory(uint64_t len_bytes)
{
    uint64_t n_words = len_bytes / sizeof(uint64_t);
    uint64_t *words = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t n_right = 0;

    if (words == MAP_FAILED) {
        return false;
    }
    for (uint64_t i = 0; i < n_words; i++) {
        n_right += words[i] == 0;
        words[i] = ~i;
    }
    for (uint64_t i = 0; i < n_words; i++) {
        n_right += words[i] == ~i;
    }
    munmap(words, len_bytes);
    return n_right == 2 * n_words;
}

/* Read, or write, the number at the beginning of the disk. */
static bool use_disk(bool write_it, uint64_t *number)
{
    _Alignas(SECTOR_BYTES)
        uint64_t sector[SECTOR_BYTES / sizeof(uint64_t)] = {*number};
    int fd = open(DISK, O_RDWR | O_DIRECT | O_SYNC | O_CLOEXEC);
    ssize_t n = -1;

    if (fd >= 0) {
        n = write_it ? pwrite(fd, sector, sizeof(sector), 0)
                     : pread(fd, sector, sizeof(sector), 0);
        close(fd);
    }
    *number = sector[0];
    return n == sizeof(sector);
}

static bool answer(FILE *stream, const char *line)
{
    char command[8] = "";
    uint64_t argument = 0;

    sscanf(line, "%7s %" SCNu64, command, &argument);
    if (strcmp(command, "GET") == 0) {
        return fprintf(stream, "OK %016" PRIx64 "\n",
                       for_each_page(argument, checksum_page)) > 0;
    }
    if (strcmp(command, "PUT") == 0) {
        for_each_page(argument, add_to_page);
        return fputs("OK\n", stream) >= 0;
    }
    if (strcmp(command, "SUM") == 0) {
        return fprintf(stream, "OK %016" PRIx64 "\n", checksum_store()) > 0;
    }
    if (strcmp(command, "POKE") == 0 || strcmp(command, "WHERE") == 0) {
        return answer_offset(stream, argument, command[0] == 'P');
    }
    if (strcmp(command, "USE") == 0) {
        return fputs(use_memory(argument << 20) ? "OK\n" : "ERROR\n", stream) >=
               0;
    }
    if (strcmp(command, "WRITE") == 0 || strcmp(command, "READ") == 0) {
        return use_disk(command[0] == 'W', &argument)
                   ? fprintf(stream, "OK %016" PRIx64 "\n", argument) > 0
                   : fputs("ERROR disk\n", stream) >= 0;
    }
    if (strcmp(command, "PING") == 0) {
        return fputs("PONG\n", stream) >= 0;
    }
    return fputs("ERROR unknown command\n", stream) >= 0;
}

/* arg is the connection's FILE, owned. */
static void *serve(void *arg)
{
    FILE *stream = arg;
    char line[128];

    fprintf(stream, "%s %" PRIu64 "\n", STORE_GREETING, store_n_pages);
    while (fflush(stream) == 0 && fgets(line, sizeof(line), stream) != NULL &&
           answer(stream, line)) {
    }
    fclose(stream);
    return NULL;
}

static int listen_on_port(void)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(STORE_PORT),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) < 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, SOMAXCONN) < 0) {
        err(1, "listening on port %d", STORE_PORT);
    }
    return fd;
}

/* A client that has gone again already is nobody's error. */
static void accept_one(int listener, const pthread_attr_t *attr)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    FILE *stream = fd < 0 ? NULL : fdopen(fd, "r+");
    pthread_t thread;

    if (stream != NULL && pthread_create(&thread, attr, serve, stream) != 0) {
        fclose(stream);
    }
}

int main(int argc, char **argv)
{
    pthread_attr_t detached;
    uint64_t store_mib;
    int fd;

    if (argc != 2 || (store_mib = strtoull(argv[1], NULL, 10)) == 0) {
        errx(2, "usage: service MIB");
    }
    /* Clients close connections that they have no use for. */
    signal(SIGPIPE, SIG_IGN);
    fill_store(store_mib << 20);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    fd = listen_on_port();
    printf("preheat-guest: ready\n");
    fflush(stdout);
    for (;;) {
        accept_one(fd, &detached);
    }
}
