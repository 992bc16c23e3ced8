/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A template with clones, all in this process: the template's server with a
 * source that the test can hold up, and pagers that map its memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/mempolicy.h>

#include <cmocka.h>
#include <jansson.h>

#include "formats/template-protocol.h"
#include "plugin/pager/mapping.h"
#include "plugin/pager/pager-fault.h"
#include "plugin/pager/pager-map.h"
#include "plugin/pager/pager-removal.h"
#include "plugin/pager/pager.h"
#include "plugin/pager/template-source.h"
#include "template/template-server.h"
#include "tests/pager/fake-snapshot.h"
#include "tests/pager/ram-kinds.h"
#include "util/clock.h"

#define N_BLOCKS 2
#define N_PAGES  2048 /* of each block; the template holds 2 MiB and more */
#define IDENTITY "0123456789abcdef"

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

typedef struct Fixture {
    RamImage *image;
    char *folder;
    char *path; /* of the socket */
    int interrupt;
    int is_ready;
    pthread_t server;
    bool runs;
} Fixture;

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
    const Fixture *fixture = opaque;
    const TemplateServerOptions options = {
        .socket_path = fixture->path,
        .interrupt_fd = fixture->interrupt,
        .say = say,
        .ready = set_ready,
    };

    (void)template_server_run(fixture->image, NULL, &options, NULL);
    return NULL;
}

static Fixture *fixture_new(void)
{
    Fixture *fixture = g_new0(Fixture, 1);

    fixture->image = fake_snapshot_new(N_BLOCKS, N_PAGES, 4, 11);
    fixture->image->identity = g_strdup(IDENTITY);
    fixture->image->fd = memfd_create("snapshot", MFD_CLOEXEC);
    fake = fake_source_new(fixture->image);
    fixture->folder = g_dir_make_tmp("preheat-template-XXXXXX", NULL);
    fixture->path = g_build_filename(fixture->folder, "socket", NULL);
    fixture->interrupt = eventfd(0, EFD_CLOEXEC);
    ready_event = eventfd(0, EFD_CLOEXEC);
    return fixture;
}

static void start(Fixture *fixture)
{
    uint64_t count;

    assert_int_equal(
        pthread_create(&fixture->server, NULL, run_server, fixture), 0);
    fixture->runs = true;
    assert_int_equal(read(ready_event, &count, sizeof count), sizeof count);
}

static void stop(Fixture *fixture)
{
    const uint64_t one = 1;

    assert_int_equal(write(fixture->interrupt, &one, sizeof one), sizeof one);
    pthread_join(fixture->server, NULL);
    fixture->runs = false;
}

static void fixture_free(Fixture *fixture)
{
    fake_source_open(fake);
    if (fixture->runs) {
        stop(fixture);
    }
    rmdir(fixture->folder);
    close(fixture->interrupt);
    close(ready_event);
    close(fixture->image->fd);
    g_free(fixture->image->identity);
    fake_source_free(fake);
    fake_snapshot_free(fixture->image);
    g_free(fixture->folder);
    g_free(fixture->path);
    g_free(fixture);
}

static int connect_to(const Fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, fixture->path, sizeof address.sun_path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address),
                     0);
    return fd;
}

static char *ask_status(const Fixture *fixture)
{
    const TemplateMessage question = {.kind = TEMPLATE_STATUS};
    int fd = connect_to(fixture);
    TemplateMessage answer;
    char *text;

    assert_int_equal(template_send(fd, &question, NULL, NULL, 0), 0);
    assert_int_equal(template_receive(fd, &answer, &text, NULL), 0);
    assert_int_equal(answer.kind, TEMPLATE_ANSWER);
    close(fd);
    return text;
}

static void await_state(const Fixture *fixture, const char *state)
{
    g_autofree char *wanted =
        g_strdup_printf("\"state\":\"%s\",\"pages\"", state);
    bool is_so = false;

    while (!is_so) {
        g_autofree char *text = ask_status(fixture);

        is_so = strstr(text, wanted) != NULL;
    }
}

/* ---- a clone ---- */

typedef struct Clone {
    const RamImage *image;
    int fd;
    uint8_t *memory[N_BLOCKS];
    TemplateSource *source;
    LoadStats *stats;
    Pager *pager;
    _Atomic unsigned n_failed;
    _Atomic unsigned n_final;
} Clone;

static void on_failed(void *opaque, const PagerFailure *failure)
{
    Clone *clone = opaque;

    atomic_fetch_add(failure->is_final ? &clone->n_final : &clone->n_failed, 1);
}

static void on_full(void *opaque)
{
    Clone *clone = opaque;

    pager_load_rest(clone->pager);
    pager_retry(clone->pager);
}

static void on_gone(void *opaque)
{
    pager_recheck(((Clone *)opaque)->pager);
}

static void start_pager(Clone *clone)
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

static void attach(Clone *clone)
{
    PagerRange ranges[N_BLOCKS];
    g_autoptr(GError) error = NULL;

    for (size_t i = 0; i < N_BLOCKS; i++) {
        ranges[i] = (PagerRange){clone->image->blocks[i].name,
                                 (uintptr_t)clone->memory[i],
                                 clone->image->blocks[i].len_bytes};
    }
    if (!pager_attach(clone->pager, ranges, N_BLOCKS, NULL, 0, &error)) {
        fail_msg("%s", error->message);
    }
    pager_heed_removals(clone->pager);
}

static uint8_t *map_ram(void)
{
    uint8_t *memory =
        mmap(NULL, N_PAGES * FAKE_PAGE_BYTES, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(memory, MAP_FAILED);
    /* What was there before must not show through. */
    memset(memory, 0x55, N_PAGES * FAKE_PAGE_BYTES);
    assert_int_equal(madvise(memory, N_PAGES * FAKE_PAGE_BYTES, MADV_DONTDUMP),
                     0);
    return memory;
}

static Clone *clone_new(const Fixture *fixture)
{
    Clone *clone = g_new0(Clone, 1);
    g_autoptr(GError) error = NULL;

    clone->image = fixture->image;
    clone->fd = connect_to(fixture);
    clone->stats = load_stats_new(monotonic_us());
    for (size_t i = 0; i < N_BLOCKS; i++) {
        clone->memory[i] = map_ram();
    }
    clone->source = template_source_new(fixture->image, clone->fd, &error);
    if (!clone->source) {
        fail_msg("%s", error->message);
    }
    start_pager(clone);
    attach(clone);
    return clone;
}

static void clone_free(Clone *clone)
{
    /* First: it calls the pager. */
    pager_release(clone->pager);
    page_source_free(template_source_base(clone->source));
    pager_free(clone->pager);
    for (size_t i = 0; i < N_BLOCKS; i++) {
        munmap(clone->memory[i], N_PAGES * FAKE_PAGE_BYTES);
    }
    load_stats_free(clone->stats);
    close(clone->fd);
    g_free(clone);
}

static uint8_t *page_of(const Clone *clone, size_t block, uint64_t page)
{
    return clone->memory[block] + page * FAKE_PAGE_BYTES;
}

static bool is_right(const Clone *clone, size_t block, uint64_t page)
{
    return fake_page_is_right(clone->image, block, page,
                              page_of(clone, block, page));
}

static void assert_all_right(const Clone *clone)
{
    for (size_t block = 0; block < N_BLOCKS; block++) {
        for (uint64_t page = 0; page < N_PAGES; page++) {
            if (!is_right(clone, block, page)) {
                fail_msg("block %zu page %d is wrong", block, (int)page);
            }
        }
    }
}

static void await_loaded(const Clone *clone)
{
    g_autoptr(GError) error = NULL;

    if (!pager_wait(clone->pager, LOAD_GOAL_ALL, &error)) {
        fail_msg("%s", error->message);
    }
}

/* The n-th page from first on that is in the file, or is not. */
static uint64_t find_page(const Fixture *fixture, size_t block, uint64_t first,
                          bool in_file)
{
    uint64_t page = first;

    while (ram_image_block_has_page(&fixture->image->blocks[block], page) !=
           in_file) {
        page++;
    }
    return page;
}

/* A template that reads a page only when somebody waits for it. */
static Fixture *held_up(void)
{
    Fixture *fixture = fixture_new();

    fake_source_shut(fake, 2);
    start(fixture);
    fake_source_await_waiting(fake);
    return fixture;
}

static Fixture *full(void)
{
    Fixture *fixture = fixture_new();

    start(fixture);
    await_state(fixture, "full");
    return fixture;
}

/* ---- the tests ---- */

static void a_clone_of_a_full_template_has_every_page(void **state)
{
    (void)state;
    Fixture *fixture = full();
    Clone *clone = clone_new(fixture);

    await_loaded(clone);
    assert_all_right(clone);
    clone_free(clone);
    fixture_free(fixture);
}

static void a_page_that_is_not_there_yet_is_had_when_it_is_touched(void **state)
{
    (void)state;
    Fixture *fixture = held_up();
    Clone *clone = clone_new(fixture);
    uint64_t page = find_page(fixture, 1, N_PAGES - 200, true);

    assert_true(is_right(clone, 1, page));
    assert_true(is_right(clone, 0, find_page(fixture, 0, 900, false)));
    fake_source_open(fake);
    await_loaded(clone);
    assert_all_right(clone);
    clone_free(clone);
    fixture_free(fixture);
}

static void
a_template_that_is_still_filling_gives_right_pages_to_all(void **state)
{
    (void)state;
    Fixture *fixture = fixture_new();

    start(fixture);
    Clone *one = clone_new(fixture);
    Clone *other = clone_new(fixture);
    assert_all_right(one);
    assert_all_right(other);
    await_loaded(one);
    await_loaded(other);
    assert_all_right(one);
    assert_all_right(other);
    clone_free(one);
    clone_free(other);
    fixture_free(fixture);
}

static void what_a_clone_writes_stays_its_own(void **state)
{
    (void)state;
    Fixture *fixture = held_up();
    Clone *one = clone_new(fixture);
    Clone *other = clone_new(fixture);

    for (uint64_t page = 0; page < N_PAGES; page += 100) {
        memset(page_of(one, 0, page), 0xaa, FAKE_PAGE_BYTES);
    }
    fake_source_open(fake);
    await_loaded(other);
    assert_all_right(other);
    await_loaded(one);
    for (uint64_t page = 0; page < N_PAGES; page += 100) {
        assert_int_equal(*page_of(one, 0, page), 0xaa);
    }
    Clone *later = clone_new(fixture);
    assert_all_right(later);
    clone_free(one);
    clone_free(other);
    clone_free(later);
    fixture_free(fixture);
}

static void a_fault_that_was_overtaken_brings_no_zeroes(void **state)
{
    (void)state;
    Fixture *fixture = held_up();
    Clone *clone = clone_new(fixture);
    uint64_t page = find_page(fixture, 0, 300, true);

    assert_true(is_right(clone, 0, page));
    /* It is in the page cache, and nobody has it mapped any more. */
    assert_int_equal(
        madvise(page_of(clone, 0, page), FAKE_PAGE_BYTES, MADV_DONTNEED), 0);
    const UffdFault late = {.address = (uintptr_t)page_of(clone, 0, page)};
    pager_handle_fault(clone->pager, 0, &late);
    assert_true(is_right(clone, 0, page));
    clone_free(clone);
    fixture_free(fixture);
}

static void a_page_given_back_is_the_snapshots_when_it_is_touched(void **state)
{
    (void)state;
    Fixture *fixture = held_up();
    Clone *clone = clone_new(fixture);

    assert_int_equal(
        madvise(clone->memory[0], N_PAGES * FAKE_PAGE_BYTES, MADV_DONTNEED), 0);
    assert_true(is_right(clone, 0, find_page(fixture, 0, 100, true)));
    fake_source_open(fake);
    await_loaded(clone);
    assert_all_right(clone);
    clone_free(clone);
    fixture_free(fixture);
}

static void a_page_that_cannot_be_read_comes_after_a_retry(void **state)
{
    (void)state;
    Fixture *fixture = fixture_new();
    uint64_t page = find_page(fixture, 0, 700, true);

    fake_source_break(fake, 0, page);
    start(fixture);
    await_state(fixture, "failed");
    Clone *clone = clone_new(fixture);
    /* Only that one is missing; so this waits until the clone has failed. */
    const PageSpan span = {0, page, 1};
    PageRead read = {.span = span};
    PageSource *source = template_source_base(clone->source);
    assert_int_equal(source->read(source, &read), -EIO);
    fake_source_mend(fake);
    assert_true(is_right(clone, 0, page));
    await_state(fixture, "full");
    await_loaded(clone);
    assert_all_right(clone);
    clone_free(clone);
    fixture_free(fixture);
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
    Fixture *fixture = fixture_new();
    uint64_t page = find_page(fixture, 1, 50, true);
    pthread_t toucher;

    fake_source_break(fake, 1, page);
    start(fixture);
    Clone *clone = clone_new(fixture);
    pthread_create(&toucher, NULL, touch, page_of(clone, 1, page));
    while (atomic_load(&clone->n_failed) == 0) {
        sched_yield();
    }
    assert_int_equal(pager_state(clone->pager), LOAD_STATE_FAILED);
    fake_source_mend(fake);
    pager_retry(clone->pager);
    pthread_join(toucher, NULL);
    await_loaded(clone);
    assert_all_right(clone);
    clone_free(clone);
    fixture_free(fixture);
}

static void
a_clone_that_misses_pages_is_told_when_the_template_ends(void **state)
{
    (void)state;
    Fixture *fixture = held_up();
    Clone *clone = clone_new(fixture);

    fake_source_break_all(fake);
    fake_source_open(fake);
    stop(fixture);
    while (atomic_load(&clone->n_final) == 0) {
        sched_yield();
    }
    assert_int_equal(pager_state(clone->pager), LOAD_STATE_FAILED);
    assert_false(pager_wait(clone->pager, LOAD_GOAL_ALL, NULL));
    clone_free(clone);
    fixture_free(fixture);
}

static void a_clone_with_all_pages_outlives_the_template(void **state)
{
    (void)state;
    Fixture *fixture = full();
    Clone *clone = clone_new(fixture);

    stop(fixture);
    await_loaded(clone);
    assert_all_right(clone);
    assert_int_equal(atomic_load(&clone->n_final), 0);
    clone_free(clone);
    fixture_free(fixture);
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
    Fixture *fixture = full();
    Clone *clone = clone_new(fixture);
    g_autofree char *flags = flags_of(clone->memory[0]);

    assert_non_null(strstr(flags, " dd "));
    clone_free(clone);
    fixture_free(fixture);
}

/* It would fill holes that are registered in its parent only. */
static void a_forked_process_has_no_part_in_it(void **state)
{
    (void)state;
    Fixture *fixture = held_up();
    Clone *clone = clone_new(fixture);
    g_autofree char *flags = flags_of(clone->memory[0]);

    assert_non_null(strstr(flags, " dc "));
    clone_free(clone);
    fixture_free(fixture);
}

/* What a client gets of the template, in the sequence of WELCOME. */
static GArray *greet(const Fixture *fixture, TemplateRole role, int *ret_fd)
{
    const TemplateMessage hello = {
        .kind = TEMPLATE_HELLO, .block = role, .page = TEMPLATE_VERSION};
    GArray *fds = g_array_new(FALSE, FALSE, sizeof(int));
    TemplateMessage welcome;

    *ret_fd = connect_to(fixture);
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
    Fixture *fixture = held_up();
    int fd;
    GArray *fds = greet(fixture, TEMPLATE_ROLE_CLONE, &fd);

    assert_int_equal(fds->len, 2 + N_BLOCKS);
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
    fixture_free(fixture);
}

static void a_visitor_gets_the_snapshot_alone(void **state)
{
    (void)state;
    Fixture *fixture = full();
    int fd;
    GArray *fds = greet(fixture, TEMPLATE_ROLE_VISITOR, &fd);

    assert_int_equal(fds->len, 1);
    close_all(fds);
    close(fd);
    fixture_free(fixture);
}

static void who_asks_for_what_there_is_not_is_cut_off(void **state)
{
    (void)state;
    Fixture *fixture = held_up();
    const TemplateMessage questions[] = {
        {.kind = TEMPLATE_WANT, .block = N_BLOCKS, .page = 0},
        {.kind = TEMPLATE_WANT, .block = 0, .page = N_PAGES},
        {.kind = TEMPLATE_HAVE, .block = 0, .page = 0},
        {.kind = 99},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(questions); i++) {
        TemplateMessage answer;
        int fd;

        close_all(greet(fixture, TEMPLATE_ROLE_CLONE, &fd));
        assert_int_equal(template_send(fd, &questions[i], NULL, NULL, 0), 0);
        assert_int_equal(template_receive(fd, &answer, NULL, NULL), -EPIPE);
        close(fd);
    }
    fixture_free(fixture);
}

static void a_clone_of_another_snapshot_is_refused(void **state)
{
    (void)state;
    Fixture *fixture = full();
    RamImage other = *fixture->image;
    int fd = connect_to(fixture);
    g_autoptr(GError) error = NULL;

    other.identity = (char *)"another";
    assert_null(template_source_new(&other, fd, &error));
    assert_non_null(strstr(error->message, "another snapshot"));
    close(fd);
    fixture_free(fixture);
}

static void memory_that_is_bound_to_nodes_is_refused(void **state)
{
    (void)state;
    const unsigned long first_node = 1;
    uint8_t *memory = map_ram();
    g_autoptr(GError) error = NULL;

    assert_true(pager_map_check("ram", RAM_ANONYMOUS, (uintptr_t)memory, NULL));
    if (syscall(SYS_mbind, memory, N_PAGES * FAKE_PAGE_BYTES, MPOL_BIND,
                &first_node, 8 * sizeof first_node, 0) < 0) {
        print_message("no memory policies here: %s\n", g_strerror(errno));
        munmap(memory, N_PAGES * FAKE_PAGE_BYTES);
        skip();
    }
    assert_false(
        pager_map_check("ram", RAM_ANONYMOUS, (uintptr_t)memory, &error));
    assert_non_null(strstr(error->message, "without --template"));
    munmap(memory, N_PAGES * FAKE_PAGE_BYTES);
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
    Fixture *fixture = full();
    Clone *clone = clone_new(fixture);
    g_autofree char *text = ask_status(fixture);
    json_t *status = json_loads(text, 0, NULL);

    await_loaded(clone);
    assert_int_equal(json_array_size(json_object_get(status, "clones")), 1);
    json_decref(status);
    clone_free(clone);
    fixture_free(fixture);
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
