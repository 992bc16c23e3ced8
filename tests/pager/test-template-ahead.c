/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What clones map of a template before it is touched.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "formats/page-order.h"
#include "formats/template-protocol.h"
#include "tests/pager/ram-kinds.h"
#include "tests/pager/template-world.h"

/* Of block 1, in the order. */
#define HOT_PAGE    500
#define N_HOT_PAGES 60

/* Whether this process's page tables have the page.  Format: Linux,
 * Documentation/admin-guide/mm/pagemap.rst. */
static bool is_mapped(const void *page)
{
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    uint64_t entry;

    assert_true(fd >= 0);
    assert_int_equal(
        pread(fd, &entry, sizeof entry,
              (off_t)((uintptr_t)page / FAKE_PAGE_BYTES * sizeof entry)),
        sizeof entry);
    close(fd);
    return entry >> 63;
}

static bool is_in_file(const TemplateWorld *world, uint64_t page)
{
    return ram_image_block_has_page(&world->image->blocks[1], page);
}

static PageOrder *make_order(const TemplateWorld *world)
{
    const RamImageBlock *block = &world->image->blocks[1];
    PageOrder *order = page_order_new();
    const PageExtent extent = {
        .span = {0, HOT_PAGE, N_HOT_PAGES},
        .access = PAGE_ACCESS_READ,
    };

    page_order_add_block(order, block->name, block->len_bytes,
                         block->page_bytes);
    page_order_append(order, &extent);
    return order;
}

/* How many of the order's pages are mapped. */
static unsigned count_mapped(const TemplateClone *clone)
{
    unsigned n = 0;

    for (uint64_t page = HOT_PAGE; page < HOT_PAGE + N_HOT_PAGES; page++) {
        n += is_mapped(template_clone_page(clone, 1, page));
    }
    return n;
}

/* The kernel maps what lies around, too, and that may be a zero page. */
static void assert_order_mapped(const TemplateWorld *world,
                                const TemplateClone *clone)
{
    for (uint64_t page = HOT_PAGE; page < HOT_PAGE + N_HOT_PAGES; page++) {
        if (is_in_file(world, page) &&
            !is_mapped(template_clone_page(clone, 1, page))) {
            fail_msg("page %d is not mapped", (int)page);
        }
    }
}

/* ---- the tests ---- */

static void the_orders_pages_are_mapped_before_they_are_touched(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new();

    world->order = make_order(world);
    template_world_start(world);
    template_world_await_state(world, "full");
    TemplateClone *clone = template_world_clone(world);
    template_clone_await_loaded(clone);
    pager_release(clone->pager);
    assert_order_mapped(world, clone);
    assert_false(is_mapped(template_clone_page(clone, 0, HOT_PAGE)));
    assert_false(is_mapped(template_clone_page(clone, 1, 2 * HOT_PAGE)));
    template_clone_assert_right(clone);
    template_clone_free(clone);
    template_world_free(world);
}

static void what_is_not_there_yet_is_left_to_be_touched(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new();

    world->order = make_order(world);
    fake_source_shut(world->fake, 2);
    template_world_start(world);
    fake_source_await_waiting(world->fake);
    TemplateClone *clone = template_world_clone(world);
    pager_release(clone->pager);
    assert_int_equal(count_mapped(clone), 0);
    template_clone_free(clone);
    template_world_free(world);
}

static _Atomic unsigned n_reads;

/* Of a full template: there is nothing to wait for. */
static int count_read(PageSource *source, PageRead *read)
{
    (void)source;
    (void)read;
    atomic_fetch_add(&n_reads, 1);
    return 0;
}

static void a_clone_of_a_full_template_asks_for_no_page(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new_full();
    TemplateClone *clone = template_world_greet(world);

    template_source_base(clone->source)->read = count_read;
    template_clone_attach(clone);
    template_clone_await_loaded(clone);
    assert_int_equal(atomic_load(&n_reads), 0);
    template_clone_assert_right(clone);
    template_clone_free(clone);
    template_world_free(world);
}

/* ---- a template that is wrong ---- */

static int make_file(const void *data, size_t len_bytes, uint64_t total_bytes)
{
    int fd = memfd_create("file", MFD_CLOEXEC);

    assert_int_equal(ftruncate(fd, (off_t)total_bytes), 0);
    assert_int_equal(pwrite(fd, data, len_bytes, 0), len_bytes);
    return fd;
}

/* Full, and with these runs. */
static int make_state(const RamImage *image, const TemplateRun *runs,
                      uint64_t n_runs, uint64_t told_runs)
{
    size_t off_bytes = template_bitmap_off_bytes(image, image->n_blocks);
    size_t len_bytes = off_bytes + n_runs * sizeof *runs;
    g_autofree char *bytes = g_malloc(len_bytes);
    const TemplateState state = {.full = 1, .n_runs = told_runs};

    memset(bytes, 0xff, len_bytes);
    memcpy(bytes, &state, sizeof state);
    memcpy(bytes + off_bytes, runs, n_runs * sizeof *runs);
    return make_file(bytes, len_bytes, len_bytes);
}

static void welcome(const RamImage *image, int fd, int state)
{
    const TemplateMessage message = {.kind = TEMPLATE_WELCOME,
                                     .page = TEMPLATE_VERSION};
    int fds[2 + TEMPLATE_N_BLOCKS] = {make_file("", 1, 1), state};
    g_autofree char *text = g_strdup_printf(
        "{\"identity\": \"%s\", \"blocks\": [0, 1]}", image->identity);

    for (size_t i = 0; i < TEMPLATE_N_BLOCKS; i++) {
        fds[2 + i] = make_file("", 1, image->blocks[i].len_bytes);
    }
    assert_int_equal(
        template_send(fd, &message, text, fds, 2 + TEMPLATE_N_BLOCKS), 0);
    for (size_t i = 0; i < 2 + TEMPLATE_N_BLOCKS; i++) {
        close(fds[i]);
    }
}

static void pages_that_the_snapshot_has_not_are_not_hot(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new();
    const TemplateRun runs[] = {
        {TEMPLATE_N_BLOCKS, 0, 1},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX},
        {0, TEMPLATE_N_PAGES, 1},
        {0, 3, 0},
        {1, TEMPLATE_N_PAGES - 2, UINT64_MAX},
    };
    g_autoptr(GError) error = NULL;
    PageHot at = {0};
    PageSpan span;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    welcome(world->image, ends[1],
            make_state(world->image, runs, G_N_ELEMENTS(runs), UINT64_MAX));
    TemplateSource *source = template_source_new(world->image, ends[0], &error);
    assert_non_null(source);
    const PageSource *base = template_source_base(source);
    assert_true(base->next_hot(base, &at, &span));
    assert_int_equal(span.block, 1);
    assert_int_equal(span.first_page, TEMPLATE_N_PAGES - 2);
    assert_int_equal(span.n_pages, 2);
    assert_false(base->next_hot(base, &at, &span));
    page_source_free(template_source_base(source));
    close(ends[0]);
    close(ends[1]);
    template_world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_orders_pages_are_mapped_before_they_are_touched),
        cmocka_unit_test(what_is_not_there_yet_is_left_to_be_touched),
        cmocka_unit_test(a_clone_of_a_full_template_asks_for_no_page),
        cmocka_unit_test(pages_that_the_snapshot_has_not_are_not_hot),
    };

    return have_userfaultfd(UFFD_CAN_SHARED)
               ? cmocka_run_group_tests(tests, NULL, NULL)
               : 77;
}
