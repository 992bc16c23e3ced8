/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/pager/template-world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "formats/template-protocol.h"
#include "plugin/pager/pager-removal.h"
#include "template/template-server.h"
#include "util/clock.h"

/* The template reads from the test's source, and owns nothing of it: the
 * linker's --wrap puts these in place. */
static FakeSource *fake;

PageSource *__wrap_page_source_new_file(const RamImage *snapshot,
                                        LoadCache cache, GError **error);
void __wrap_page_source_free(PageSource *source);
void __real_page_source_free(PageSource *source);
void __wrap_ram_image_free(RamImage *image);

PageSource *__wrap_page_source_new_file(const RamImage *snapshot,
                                        LoadCache cache, GError **error)
{
    (void)snapshot;
    (void)cache;
    (void)error;
    return fake_source_base(fake);
}

void __wrap_page_source_free(PageSource *source)
{
    if (source != fake_source_base(fake)) {
        __real_page_source_free(source);
    }
}

void __wrap_ram_image_free(RamImage *image)
{
    (void)image;
}

/* ---- the template ---- */

static int ready_event;

static void set_ready(void)
{
    const uint64_t one = 1;

    assert_int_equal(write(ready_event, &one, sizeof one), sizeof one);
}

static void say(const char *text)
{
    (void)text;
}

static void *run_server(void *opaque)
{
    const TemplateWorld *world = opaque;
    const TemplateServerOptions options = {
        .socket_path = world->path,
        .interrupt_fd = world->interrupt,
        .say = say,
        .ready = set_ready,
    };

    (void)template_server_run(world->image, world->order, &options, NULL);
    return NULL;
}

TemplateWorld *template_world_new(void)
{
    TemplateWorld *world = g_new0(TemplateWorld, 1);

    world->image =
        fake_snapshot_new(TEMPLATE_N_BLOCKS, TEMPLATE_N_PAGES, 4, 11);
    world->image->identity = g_strdup("0123456789abcdef");
    world->image->fd = memfd_create("snapshot", MFD_CLOEXEC);
    fake = fake_source_new(world->image);
    world->fake = fake;
    world->folder = g_dir_make_tmp("preheat-template-XXXXXX", NULL);
    world->path = g_build_filename(world->folder, "socket", NULL);
    world->interrupt = eventfd(0, EFD_CLOEXEC);
    ready_event = eventfd(0, EFD_CLOEXEC);
    return world;
}

void template_world_start(TemplateWorld *world)
{
    uint64_t count;

    assert_int_equal(pthread_create(&world->server, NULL, run_server, world),
                     0);
    world->runs = true;
    assert_int_equal(read(ready_event, &count, sizeof count), sizeof count);
}

void template_world_stop(TemplateWorld *world)
{
    const uint64_t one = 1;

    assert_int_equal(write(world->interrupt, &one, sizeof one), sizeof one);
    pthread_join(world->server, NULL);
    world->runs = false;
}

void template_world_free(TemplateWorld *world)
{
    fake_source_open(fake);
    if (world->runs) {
        template_world_stop(world);
    }
    rmdir(world->folder);
    close(world->interrupt);
    close(ready_event);
    close(world->image->fd);
    g_free(world->image->identity);
    page_order_free(world->order);
    fake_source_free(fake);
    fake_snapshot_free(world->image);
    g_free(world->folder);
    g_free(world->path);
    g_free(world);
}

int template_world_connect(const TemplateWorld *world)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, world->path, sizeof address.sun_path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address),
                     0);
    return fd;
}

char *template_world_status(const TemplateWorld *world)
{
    const TemplateMessage question = {.kind = TEMPLATE_STATUS};
    int fd = template_world_connect(world);
    TemplateMessage answer;
    char *text;

    assert_int_equal(template_send(fd, &question, NULL, NULL, 0), 0);
    assert_int_equal(template_receive(fd, &answer, &text, NULL), 0);
    assert_int_equal(answer.kind, TEMPLATE_ANSWER);
    close(fd);
    return text;
}

void template_world_await_state(const TemplateWorld *world, const char *state)
{
    g_autofree char *wanted =
        g_strdup_printf("\"state\":\"%s\",\"pages\"", state);
    bool is_so = false;

    while (!is_so) {
        g_autofree char *text = template_world_status(world);

        is_so = strstr(text, wanted) != NULL;
    }
}

/* ---- a clone ---- */

static void on_failed(void *opaque, const PagerFailure *failure)
{
    TemplateClone *clone = opaque;

    atomic_fetch_add(failure->is_final ? &clone->n_final : &clone->n_failed, 1);
}

static void on_full(void *opaque)
{
    TemplateClone *clone = opaque;

    pager_load_rest(clone->pager);
    pager_retry(clone->pager);
}

static void on_gone(void *opaque)
{
    pager_recheck(((TemplateClone *)opaque)->pager);
}

static void start_pager(TemplateClone *clone)
{
    const PagerConfig config = {
        .source = template_source_base(clone->source),
        .policy = LOAD_POLICY_DEMAND,
        .stats = clone->stats,
        .n_fault_threads = 3,
        .n_eager_threads = 2,
        .n_place_threads = 2,
        .callbacks = {.failed = on_failed, .opaque = clone},
    };
    const TemplateCallbacks callbacks = {on_full, on_gone, clone};

    clone->pager = pager_new(&config, NULL);
    assert_non_null(clone->pager);
    assert_int_equal(template_source_start(clone->source, &callbacks), 0);
}

void template_clone_attach(TemplateClone *clone)
{
    PagerRange ranges[TEMPLATE_N_BLOCKS];
    g_autoptr(GError) error = NULL;

    for (size_t i = 0; i < TEMPLATE_N_BLOCKS; i++) {
        ranges[i] = (PagerRange){clone->image->blocks[i].name,
                                 (uintptr_t)clone->memory[i],
                                 clone->image->blocks[i].len_bytes};
    }
    if (!pager_attach(clone->pager, ranges, TEMPLATE_N_BLOCKS, NULL, 0,
                      &error)) {
        fail_msg("%s", error->message);
    }
    pager_heed_removals(clone->pager);
}

uint8_t *template_world_map_ram(void)
{
    uint8_t *memory =
        mmap(NULL, TEMPLATE_N_PAGES * FAKE_PAGE_BYTES, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(memory, MAP_FAILED);
    /* What was there before must not show through. */
    memset(memory, 0x55, TEMPLATE_N_PAGES * FAKE_PAGE_BYTES);
    assert_int_equal(
        madvise(memory, TEMPLATE_N_PAGES * FAKE_PAGE_BYTES, MADV_DONTDUMP), 0);
    return memory;
}

TemplateClone *template_world_greet(const TemplateWorld *world)
{
    TemplateClone *clone = g_new0(TemplateClone, 1);
    g_autoptr(GError) error = NULL;

    clone->image = world->image;
    clone->fd = template_world_connect(world);
    clone->stats = load_stats_new(monotonic_us());
    for (size_t i = 0; i < TEMPLATE_N_BLOCKS; i++) {
        clone->memory[i] = template_world_map_ram();
    }
    clone->source = template_source_new(world->image, clone->fd, &error);
    if (!clone->source) {
        fail_msg("%s", error->message);
    }
    start_pager(clone);
    return clone;
}

TemplateClone *template_world_clone(const TemplateWorld *world)
{
    TemplateClone *clone = template_world_greet(world);

    template_clone_attach(clone);
    return clone;
}

void template_clone_free(TemplateClone *clone)
{
    /* First: it calls the pager. */
    pager_release(clone->pager);
    page_source_free(template_source_base(clone->source));
    pager_free(clone->pager);
    for (size_t i = 0; i < TEMPLATE_N_BLOCKS; i++) {
        munmap(clone->memory[i], TEMPLATE_N_PAGES * FAKE_PAGE_BYTES);
    }
    load_stats_free(clone->stats);
    close(clone->fd);
    g_free(clone);
}

uint8_t *template_clone_page(const TemplateClone *clone, size_t block,
                             uint64_t page)
{
    return clone->memory[block] + page * FAKE_PAGE_BYTES;
}

bool template_clone_is_right(const TemplateClone *clone, size_t block,
                             uint64_t page)
{
    return fake_page_is_right(clone->image, block, page,
                              template_clone_page(clone, block, page));
}

void template_clone_assert_right(const TemplateClone *clone)
{
    for (size_t block = 0; block < TEMPLATE_N_BLOCKS; block++) {
        for (uint64_t page = 0; page < TEMPLATE_N_PAGES; page++) {
            if (!template_clone_is_right(clone, block, page)) {
                fail_msg("block %zu page %d is wrong", block, (int)page);
            }
        }
    }
}

void template_clone_await_loaded(const TemplateClone *clone)
{
    g_autoptr(GError) error = NULL;

    if (!pager_wait(clone->pager, LOAD_GOAL_ALL, &error)) {
        fail_msg("%s", error->message);
    }
}

uint64_t template_world_find_page(const TemplateWorld *world, size_t block,
                                  uint64_t first, bool in_file)
{
    uint64_t page = first;

    while (ram_image_block_has_page(&world->image->blocks[block], page) !=
           in_file) {
        page++;
    }
    return page;
}

TemplateWorld *template_world_new_held_up(void)
{
    TemplateWorld *world = template_world_new();

    fake_source_shut(fake, 2);
    template_world_start(world);
    fake_source_await_waiting(fake);
    return world;
}

TemplateWorld *template_world_new_full(void)
{
    TemplateWorld *world = template_world_new();

    template_world_start(world);
    template_world_await_state(world, "full");
    return world;
}
