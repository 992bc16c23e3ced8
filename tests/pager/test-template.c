/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What clones have of a template.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/mempolicy.h>

#include <cmocka.h>
#include <jansson.h>

#include "formats/template-protocol.h"
#include "plugin/pager/mapping.h"
#include "plugin/pager/pager-fault.h"
#include "plugin/pager/pager-map.h"
#include "tests/pager/ram-kinds.h"
#include "tests/pager/template-world.h"

static void a_clone_of_a_full_template_has_every_page(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new_full();
    TemplateClone *clone = template_world_clone(world);

    template_clone_await_loaded(clone);
    template_clone_assert_right(clone);
    template_clone_free(clone);
    template_world_free(world);
}

static void a_page_that_is_not_there_yet_is_had_when_it_is_touched(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new_held_up();
    TemplateClone *clone = template_world_clone(world);
    uint64_t page =
        template_world_find_page(world, 1, TEMPLATE_N_PAGES - 200, true);

    assert_true(template_clone_is_right(clone, 1, page));
    assert_true(template_clone_is_right(
        clone, 0, template_world_find_page(world, 0, 900, false)));
    fake_source_open(world->fake);
    template_clone_await_loaded(clone);
    template_clone_assert_right(clone);
    template_clone_free(clone);
    template_world_free(world);
}

static void
a_template_that_is_still_filling_gives_right_pages_to_all(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new();

    template_world_start(world);
    TemplateClone *one = template_world_clone(world);
    TemplateClone *other = template_world_clone(world);
    template_clone_assert_right(one);
    template_clone_assert_right(other);
    template_clone_await_loaded(one);
    template_clone_await_loaded(other);
    template_clone_assert_right(one);
    template_clone_assert_right(other);
    template_clone_free(one);
    template_clone_free(other);
    template_world_free(world);
}

static void what_a_clone_writes_stays_its_own(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new_held_up();
    TemplateClone *one = template_world_clone(world);
    TemplateClone *other = template_world_clone(world);

    for (uint64_t page = 0; page < TEMPLATE_N_PAGES; page += 100) {
        memset(template_clone_page(one, 0, page), 0xaa, FAKE_PAGE_BYTES);
    }
    fake_source_open(world->fake);
    template_clone_await_loaded(other);
    template_clone_assert_right(other);
    template_clone_await_loaded(one);
    for (uint64_t page = 0; page < TEMPLATE_N_PAGES; page += 100) {
        assert_int_equal(*template_clone_page(one, 0, page), 0xaa);
    }
    TemplateClone *later = template_world_clone(world);
    template_clone_assert_right(later);
    template_clone_free(one);
    template_clone_free(other);
    template_clone_free(later);
    template_world_free(world);
}

static void a_fault_that_was_overtaken_brings_no_zeroes(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new_held_up();
    TemplateClone *clone = template_world_clone(world);
    uint64_t page = template_world_find_page(world, 0, 300, true);

    assert_true(template_clone_is_right(clone, 0, page));
    /* It is in the page cache, and nobody has it mapped any more. */
    assert_int_equal(madvise(template_clone_page(clone, 0, page),
                             FAKE_PAGE_BYTES, MADV_DONTNEED),
                     0);
    const UffdFault late = {.address =
                                (uintptr_t)template_clone_page(clone, 0, page)};
    pager_handle_fault(clone->pager, 0, &late);
    assert_true(template_clone_is_right(clone, 0, page));
    template_clone_free(clone);
    template_world_free(world);
}

static void a_page_given_back_is_the_snapshots_when_it_is_touched(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new_held_up();
    TemplateClone *clone = template_world_clone(world);

    assert_int_equal(madvise(clone->memory[0],
                             TEMPLATE_N_PAGES * FAKE_PAGE_BYTES, MADV_DONTNEED),
                     0);
    assert_true(template_clone_is_right(
        clone, 0, template_world_find_page(world, 0, 100, true)));
    fake_source_open(world->fake);
    template_clone_await_loaded(clone);
    template_clone_assert_right(clone);
    template_clone_free(clone);
    template_world_free(world);
}

static void a_page_that_cannot_be_read_comes_after_a_retry(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new();
    uint64_t page = template_world_find_page(world, 0, 700, true);

    fake_source_break(world->fake, 0, page);
    template_world_start(world);
    template_world_await_state(world, "failed");
    TemplateClone *clone = template_world_clone(world);
    /* Only that one is missing; so this waits until the clone has failed. */
    const PageSpan span = {0, page, 1};
    PageRead read = {.span = span};
    PageSource *source = template_source_base(clone->source);
    assert_int_equal(source->read(source, &read), -EIO);
    fake_source_mend(world->fake);
    assert_true(template_clone_is_right(clone, 0, page));
    template_world_await_state(world, "full");
    template_clone_await_loaded(clone);
    template_clone_assert_right(clone);
    template_clone_free(clone);
    template_world_free(world);
}

static void *touch(void *opaque)
{
    volatile uint8_t *page = opaque;

    (void)*page;
    return NULL;
}

static void a_clone_that_waits_for_such_a_page_is_told(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new();
    uint64_t page = template_world_find_page(world, 1, 50, true);
    pthread_t toucher;

    fake_source_break(world->fake, 1, page);
    template_world_start(world);
    TemplateClone *clone = template_world_clone(world);
    pthread_create(&toucher, NULL, touch, template_clone_page(clone, 1, page));
    while (atomic_load(&clone->n_failed) == 0) {
        sched_yield();
    }
    assert_int_equal(pager_state(clone->pager), LOAD_STATE_FAILED);
    fake_source_mend(world->fake);
    pager_retry(clone->pager);
    pthread_join(toucher, NULL);
    template_clone_await_loaded(clone);
    template_clone_assert_right(clone);
    template_clone_free(clone);
    template_world_free(world);
}

static void
a_clone_that_misses_pages_is_told_when_the_template_ends(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new_held_up();
    TemplateClone *clone = template_world_clone(world);

    fake_source_break_all(world->fake);
    fake_source_open(world->fake);
    template_world_stop(world);
    while (atomic_load(&clone->n_final) == 0) {
        sched_yield();
    }
    assert_int_equal(pager_state(clone->pager), LOAD_STATE_FAILED);
    assert_false(pager_wait(clone->pager, LOAD_GOAL_ALL, NULL));
    template_clone_free(clone);
    template_world_free(world);
}

static void a_clone_with_all_pages_outlives_the_template(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new_full();
    TemplateClone *clone = template_world_clone(world);

    template_world_stop(world);
    template_clone_await_loaded(clone);
    template_clone_assert_right(clone);
    assert_int_equal(atomic_load(&clone->n_final), 0);
    template_clone_free(clone);
    template_world_free(world);
}

static char *flags_of(const void *address)
{
    g_autofree char *text = NULL;
    Mapping mapping = {0};
    const char *line;

    g_assert_true(g_file_get_contents("/proc/self/smaps", &text, NULL, NULL));
    char *rest = text;
    while ((line = mapping_next_line(&rest))) {
        if (!mapping_parse(line, &mapping) &&
            g_str_has_prefix(line, "VmFlags:") &&
            mapping.start <= (uintptr_t)address &&
            mapping.end > (uintptr_t)address) {
            return g_strconcat(line, " ", NULL);
        }
    }
    return NULL;
}

static void what_was_advised_for_the_memory_still_holds(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new_full();
    TemplateClone *clone = template_world_clone(world);
    g_autofree char *flags = flags_of(clone->memory[0]);

    assert_non_null(strstr(flags, " dd "));
    template_clone_free(clone);
    template_world_free(world);
}

/* It would fill holes that are registered in its parent only. */
static void a_forked_process_has_no_part_in_it(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new_held_up();
    TemplateClone *clone = template_world_clone(world);
    g_autofree char *flags = flags_of(clone->memory[0]);

    assert_non_null(strstr(flags, " dc "));
    template_clone_free(clone);
    template_world_free(world);
}

/* What a client gets of the template, in the sequence of WELCOME. */
static GArray *greet(const TemplateWorld *world, TemplateRole role, int *ret_fd)
{
    const TemplateMessage hello = {
        .kind = TEMPLATE_HELLO, .block = role, .page = TEMPLATE_VERSION};
    GArray *fds = g_array_new(FALSE, FALSE, sizeof(int));
    TemplateMessage welcome;

    *ret_fd = template_world_connect(world);
    assert_int_equal(template_send(*ret_fd, &hello, NULL, NULL, 0), 0);
    assert_int_equal(template_receive(*ret_fd, &welcome, NULL, fds), 0);
    assert_int_equal(welcome.kind, TEMPLATE_WELCOME);
    return fds;
}

static void close_all(GArray *fds)
{
    for (guint i = 0; i < fds->len; i++) {
        close(g_array_index(fds, int, i));
    }
    g_array_unref(fds);
}

static void what_is_handed_out_cannot_be_written_to(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new_held_up();
    int fd;
    GArray *fds = greet(world, TEMPLATE_ROLE_CLONE, &fd);

    assert_int_equal(fds->len, 2 + TEMPLATE_N_BLOCKS);
    for (guint i = 1; i < fds->len; i++) {
        int given = g_array_index(fds, int, i);
        g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", given);
        int writable = open(path, O_RDWR | O_CLOEXEC);

        assert_int_equal(write(given, "x", 1), -1);
        assert_true(writable >= 0);
        assert_int_equal(write(writable, "x", 1), -1);
        assert_ptr_equal(mmap(NULL, FAKE_PAGE_BYTES, PROT_READ | PROT_WRITE,
                              MAP_SHARED, writable, 0),
                         MAP_FAILED);
        assert_int_equal(ftruncate(writable, 0), -1);
        assert_int_equal(fallocate(writable,
                                   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                   0, FAKE_PAGE_BYTES),
                         -1);
        close(writable);
    }
    close_all(fds);
    close(fd);
    template_world_free(world);
}

static void a_visitor_gets_the_snapshot_alone(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new_full();
    int fd;
    GArray *fds = greet(world, TEMPLATE_ROLE_VISITOR, &fd);

    assert_int_equal(fds->len, 1);
    close_all(fds);
    close(fd);
    template_world_free(world);
}

static void who_asks_for_what_there_is_not_is_cut_off(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new_held_up();
    const TemplateMessage questions[] = {
        {.kind = TEMPLATE_WANT, .block = TEMPLATE_N_BLOCKS, .page = 0},
        {.kind = TEMPLATE_WANT, .block = 0, .page = TEMPLATE_N_PAGES},
        {.kind = TEMPLATE_HAVE, .block = 0, .page = 0},
        {.kind = 99},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(questions); i++) {
        TemplateMessage answer;
        int fd;

        close_all(greet(world, TEMPLATE_ROLE_CLONE, &fd));
        assert_int_equal(template_send(fd, &questions[i], NULL, NULL, 0), 0);
        assert_int_equal(template_receive(fd, &answer, NULL, NULL), -EPIPE);
        close(fd);
    }
    template_world_free(world);
}

static void a_clone_of_another_snapshot_is_refused(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new_full();
    RamImage other = *world->image;
    int fd = template_world_connect(world);
    g_autoptr(GError) error = NULL;

    other.identity = (char *)"another";
    assert_null(template_source_new(&other, fd, &error));
    assert_non_null(strstr(error->message, "another snapshot"));
    close(fd);
    template_world_free(world);
}

static void memory_that_is_bound_to_nodes_is_refused(void **state)
{
    (void)state;
    const unsigned long first_node = 1;
    uint8_t *memory = template_world_map_ram();
    g_autoptr(GError) error = NULL;

    assert_true(pager_map_check("ram", RAM_ANONYMOUS, (uintptr_t)memory, NULL));
    if (syscall(SYS_mbind, memory, TEMPLATE_N_PAGES * FAKE_PAGE_BYTES,
                MPOL_BIND, &first_node, 8 * sizeof first_node, 0) < 0) {
        print_message("no memory policies here: %s\n", g_strerror(errno));
        munmap(memory, TEMPLATE_N_PAGES * FAKE_PAGE_BYTES);
        skip();
    }
    assert_false(
        pager_map_check("ram", RAM_ANONYMOUS, (uintptr_t)memory, &error));
    assert_non_null(strstr(error->message, "without --template"));
    munmap(memory, TEMPLATE_N_PAGES * FAKE_PAGE_BYTES);
}

static void memory_of_another_kind_is_refused_with_a_way_out(void **state)
{
    static const RamKind kinds[] = {RAM_SHARED, RAM_HUGETLB,
                                    RAM_HUGETLB_SHARED};
    static const char *const reasons[] = {"share=on", "hugetlb", "hugetlb"};

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autoptr(GError) error = NULL;

        assert_false(pager_map_check("ram", kinds[i], 0, &error));
        assert_non_null(strstr(error->message, reasons[i]));
        assert_non_null(strstr(error->message, "without --template"));
    }
}

static void a_template_knows_its_clones(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new_full();
    TemplateClone *clone = template_world_clone(world);
    g_autofree char *text = template_world_status(world);
    json_t *status = json_loads(text, 0, NULL);

    template_clone_await_loaded(clone);
    assert_int_equal(json_array_size(json_object_get(status, "clones")), 1);
    json_decref(status);
    template_clone_free(clone);
    template_world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clone_of_a_full_template_has_every_page),
        cmocka_unit_test(
            a_page_that_is_not_there_yet_is_had_when_it_is_touched),
        cmocka_unit_test(
            a_template_that_is_still_filling_gives_right_pages_to_all),
        cmocka_unit_test(what_a_clone_writes_stays_its_own),
        cmocka_unit_test(a_fault_that_was_overtaken_brings_no_zeroes),
        cmocka_unit_test(a_page_given_back_is_the_snapshots_when_it_is_touched),
        cmocka_unit_test(a_page_that_cannot_be_read_comes_after_a_retry),
        cmocka_unit_test(a_clone_that_waits_for_such_a_page_is_told),
        cmocka_unit_test(
            a_clone_that_misses_pages_is_told_when_the_template_ends),
        cmocka_unit_test(a_clone_with_all_pages_outlives_the_template),
        cmocka_unit_test(what_was_advised_for_the_memory_still_holds),
        cmocka_unit_test(a_forked_process_has_no_part_in_it),
        cmocka_unit_test(what_is_handed_out_cannot_be_written_to),
        cmocka_unit_test(a_visitor_gets_the_snapshot_alone),
        cmocka_unit_test(who_asks_for_what_there_is_not_is_cut_off),
        cmocka_unit_test(a_clone_of_another_snapshot_is_refused),
        cmocka_unit_test(memory_that_is_bound_to_nodes_is_refused),
        cmocka_unit_test(memory_of_another_kind_is_refused_with_a_way_out),
        cmocka_unit_test(a_template_knows_its_clones),
    };

    return have_userfaultfd(UFFD_CAN_SHARED)
               ? cmocka_run_group_tests(tests, NULL, NULL)
               : 77;
}
