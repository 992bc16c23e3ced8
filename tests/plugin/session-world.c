/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/plugin/session-world.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <glib/gstdio.h>

#include "formats/control-protocol.h"
#include "plugin/pager/load-stats.h"
#include "tests/formats/image.h"
#include "util/clock.h"

#define MAX_WORLDS 64

static World worlds[MAX_WORLDS];
static unsigned n_worlds;
static atomic_uint n_warnings;

/* Reads between these offsets of any file fail; equal: none does. */
static _Atomic uint64_t broken_from;
static _Atomic uint64_t broken_to;

ssize_t __real_pread64(int fd, void *buf, size_t len, off_t off);
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t off);

/* The linker's --wrap puts this before pread(). */
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t off)
{
    if ((uint64_t)off < atomic_load(&broken_to) &&
        (uint64_t)off + len > atomic_load(&broken_from)) {
        errno = EIO;
        return -1;
    }
    return __real_pread64(fd, buf, len, off);
}

static void count_warning(const char *text)
{
    assert_true(strlen(text) > 0);
    atomic_fetch_add(&n_warnings, 1);
}

static void say(const char *text)
{
    fprintf(stderr, "%s\n", text);
}

unsigned world_n_warnings(void)
{
    return atomic_load(&n_warnings);
}

/* The bytes of a snapshot. */
static GBytes *make_image(void)
{
    const Image image = image_valid();
    int fd = image_write(&image);
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    size_t len = (size_t)st.st_size;
    uint8_t *bytes = g_malloc(len);
    assert_int_equal(pread(fd, bytes, len, 0), len);
    close(fd);
    return g_bytes_new_take(bytes, len);
}

static void start_session(World *world)
{
    int fd;

    world->session =
        session_new(&(SessionHost){.warn = count_warning, .say = say});
    Control *control = control_new(session_execute, world->session);
    session_set_control(world->session, control);
    world->events = line_client_new_pair(&fd);
    assert_int_equal(control_add(control, fd, NULL), 0);
    json_decref(line_client_read(world->events));
}

static void map_memory(World *world)
{
    for (size_t i = 0; i < WORLD_N_BLOCKS; i++) {
        uint64_t len = world->snapshot->blocks[i].len_bytes;

        world->memory[i] = mmap(NULL, len, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(world->memory[i], MAP_FAILED);
        /* What was there before must not show through. */
        memset(world->memory[i], 0xee, len);
    }
}

static void write_file(const World *world)
{
    size_t len;
    const void *bytes = g_bytes_get_data(world->bytes, &len);

    assert_int_equal(pwrite(world->fd, bytes, len, 0), len);
}

static World *world_on(GBytes *bytes)
{
    g_autoptr(GError) error = NULL;

    assert_true(n_worlds < MAX_WORLDS);
    World *world = &worlds[n_worlds++];
    world->bytes = bytes;
    world->folder = g_dir_make_tmp("preheat-session-XXXXXX", NULL);
    assert_non_null(world->folder);
    world->path = world_file(world, "vm.snap");
    world->fd = open(world->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    write_file(world);
    world->snapshot = ram_image_open(world->path, 0, &error);
    if (!world->snapshot) {
        fail_msg("%s", error->message);
    }
    map_memory(world);
    start_session(world);
    return world;
}

World *world_new(void)
{
    return world_on(make_image());
}

World *world_new_like(const World *other)
{
    return world_on(g_bytes_ref(other->bytes));
}

static void remove_folder(const char *folder)
{
    GDir *dir = g_dir_open(folder, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);

        g_unlink(path);
    }
    g_clear_pointer(&dir, g_dir_close);
    g_rmdir(folder);
}

int worlds_remove_files(void **state)
{
    for (unsigned i = 0; i < n_worlds; i++) {
        remove_folder(worlds[i].folder);
    }
    return 0;
}

char *world_file(const World *world, const char *name)
{
    return g_build_filename(world->folder, name, NULL);
}

char *world_place(const World *world)
{
    g_autofree char *folder = world_file(world, "place");

    assert_int_equal(g_mkdir(folder, 0700), 0);
    return g_build_filename(folder, "file", NULL);
}

void world_remove_place(const World *world)
{
    g_autofree char *folder = world_file(world, "place");

    assert_int_equal(g_rmdir(folder), 0);
}

uint8_t *world_page(const World *world, WorldBlock block, uint64_t page)
{
    return world->memory[block] + page * WORLD_PAGE_BYTES;
}

static uint8_t right_byte(const World *world, WorldBlock block, uint64_t page)
{
    return ram_image_block_has_page(&world->snapshot->blocks[block], page)
               ? image_page_byte(block, page)
               : 0;
}

bool world_page_is_right(const World *world, WorldBlock block, uint64_t page)
{
    const uint8_t *bytes = world_page(world, block, page);
    uint8_t expected = right_byte(world, block, page);

    return bytes[0] == expected &&
           memcmp(bytes, bytes + 1, WORLD_PAGE_BYTES - 1) == 0;
}

void world_touch(const World *world, WorldBlock block, uint64_t page)
{
    assert_true(world_page_is_right(world, block, page));
}

void world_fill(const World *world)
{
    for (unsigned block = 0; block < WORLD_N_BLOCKS; block++) {
        for (uint64_t i = 0; i < world->snapshot->blocks[block].n_pages; i++) {
            memset(world_page(world, block, i), right_byte(world, block, i),
                   WORLD_PAGE_BYTES);
        }
    }
}

void world_cut_file(const World *world, WorldBlock block, uint64_t n_pages)
{
    const RamImageBlock *layout = &world->snapshot->blocks[block];

    assert_int_equal(ftruncate(world->fd, (off_t)(layout->pages_off_bytes +
                                                  n_pages * WORLD_PAGE_BYTES)),
                     0);
}

void world_break_reads(const World *world, WorldBlock block,
                       uint64_t first_page, uint64_t n_pages)
{
    uint64_t off = world->snapshot->blocks[block].pages_off_bytes +
                   first_page * WORLD_PAGE_BYTES;

    atomic_store(&broken_from, off);
    atomic_store(&broken_to, off + n_pages * WORLD_PAGE_BYTES);
}

void world_mend_reads(void)
{
    atomic_store(&broken_to, 0);
}

/* The argument "blocks". */
static json_t *list_blocks(const World *world)
{
    json_t *blocks = json_array();

    for (size_t i = 0; i < WORLD_N_BLOCKS; i++) {
        g_autofree char *host = g_strdup_printf("%p", world->memory[i]);

        json_array_append_new(
            blocks,
            json_pack("{s:s, s:s, s:I, s:I}", "name",
                      world->snapshot->blocks[i].name, "host", host, "length",
                      (json_int_t)world->snapshot->blocks[i].len_bytes,
                      "page-size", (json_int_t)WORLD_PAGE_BYTES));
    }
    return blocks;
}

json_t *world_load_arguments(const World *world, const char *policy)
{
    return json_pack("{s:s, s:s, s:I}", "snapshot", world->path, "policy",
                     policy, "start-us", (json_int_t)monotonic_us());
}

json_t *world_load_arguments_with(const World *world, const char *policy,
                                  const char *name, const char *value)
{
    json_t *arguments = world_load_arguments(world, policy);

    json_object_set_new(arguments, name, json_string(value));
    return arguments;
}

json_t *world_attach_arguments(const World *world)
{
    return json_pack("{s:o, s:[i]}", "blocks", list_blocks(world),
                     "vcpu-threads", (int)gettid());
}

json_t *world_verify_arguments(const World *world)
{
    return json_pack("{s:s, s:o}", "snapshot", world->path, "blocks",
                     list_blocks(world));
}

json_t *world_profile_arguments(const World *world, const char *output)
{
    json_t *arguments = world_attach_arguments(world);

    json_object_set_new(arguments, "snapshot", json_string(world->path));
    json_object_set_new(arguments, "output", json_string(output));
    json_object_set_new(arguments, "max-time", json_integer(3600000));
    return arguments;
}

static json_t *execute(const World *world, const char *command,
                       json_t *arguments, GError **error)
{
    json_t *given = arguments ? arguments : json_object();
    json_t *answer =
        session_execute(world->session, command, given, NULL, error);

    json_decref(given);
    return answer;
}

json_t *world_call_with_fd(const World *world, const char *command,
                           json_t *arguments, const char *name, int fd,
                           GError **error)
{
    g_autoptr(GArray) arrived = g_array_new(FALSE, FALSE, sizeof(int));
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    assert_true(copy >= 0);
    g_array_append_val(arrived, copy);
    json_object_set_new(arguments, CONTROL_KEY_DESCRIPTORS,
                        json_pack("[s]", name));
    Descriptors *descriptors = descriptors_take(arguments, arrived, error);
    assert_non_null(descriptors);
    json_t *answer =
        session_execute(world->session, command, arguments, descriptors, error);
    descriptors_free(descriptors);
    json_decref(arguments);
    return answer;
}

json_t *world_call(const World *world, const char *command, json_t *arguments)
{
    g_autoptr(GError) error = NULL;
    json_t *answer = execute(world, command, arguments, &error);

    if (!answer) {
        fail_msg("%s: %s", command, error->message);
    }
    return answer;
}

void world_do(const World *world, const char *command, json_t *arguments)
{
    json_t *answer = world_call(world, command, arguments);

    assert_int_equal(json_object_size(answer), 0);
    json_decref(answer);
}

void world_refuse(const World *world, const char *command, json_t *arguments,
                  const char *text)
{
    g_autoptr(GError) error = NULL;
    json_t *answer = execute(world, command, arguments, &error);

    assert_null(answer);
    assert_non_null(error);
    assert_says(error->message, text);
}

void world_refuse_vram(const World *world, const char *command,
                       json_t *arguments, const char *name, json_t *value,
                       const char *text)
{
    json_t *blocks = json_object_get(arguments, "blocks");

    json_object_set_new(json_array_get(blocks, WORLD_VRAM), name, value);
    world_refuse(world, command, arguments, text);
}

void world_load(const World *world, const char *policy)
{
    world_do(world, CONTROL_CMD_LOAD, world_load_arguments(world, policy));
}

void world_attach(const World *world)
{
    world_do(world, CONTROL_CMD_ATTACH, world_attach_arguments(world));
}

void world_await(const World *world, const char *goal)
{
    world_do(world, CONTROL_CMD_WAIT, json_pack("{s:s}", "for", goal));
}

char *world_load_warned(const World *world, json_t *arguments)
{
    json_t *answer = world_call(world, CONTROL_CMD_LOAD, arguments);
    char *warning = g_strdup(text_in(answer, "warning"));

    json_decref(answer);
    return warning;
}

void world_end_recording(const World *world)
{
    world_do(world, CONTROL_CMD_LOAD_REST, NULL);
    world_await(world, "recording");
}

void world_assert_equal(const World *world)
{
    json_t *answer =
        world_call(world, CONTROL_CMD_VERIFY, world_verify_arguments(world));

    assert_int_equal(json_object_size(answer), 3);
    assert_int_equal(number_in(answer, "pages"), WORLD_N_PAGES);
    assert_true(json_is_true(json_object_get(answer, "equal")));
    assert_int_equal(number_in(answer, "pages-differing"), 0);
    json_decref(answer);
}

void world_assert_loads(const World *world)
{
    world_await(world, "all");
    world_assert_equal(world);
}

PageOrder *world_load_order(const char *path)
{
    g_autoptr(GError) error = NULL;
    PageOrder *order = page_order_load(path, &error);

    if (!order) {
        fail_msg("%s", error->message);
    }
    return order;
}

void world_assert_extent(const PageOrder *order, guint i, const char *block,
                         uint64_t page)
{
    const PageExtent *extent = page_order_extent(order, i);

    assert_string_equal(page_order_block(order, extent->span.block)->name,
                        block);
    assert_int_equal(extent->span.first_page, page);
    assert_int_equal(extent->span.n_pages, 1);
}

void assert_says(const char *message, const char *text)
{
    if (!strstr(message, text)) {
        fail_msg("\"%s\" does not say \"%s\"", message, text);
    }
}

json_int_t number_in(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    if (!json_is_integer(value)) {
        fail_msg("%s is not there, or no number", name);
    }
    return json_integer_value(value);
}

const char *text_in(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    if (!text) {
        fail_msg("%s is not there, or no text", name);
    }
    return text;
}

void world_assert_state(const World *world, const char *query,
                        const char *state)
{
    json_t *answer = world_call(world, query, NULL);

    assert_string_equal(text_in(answer, "state"), state);
    json_decref(answer);
}
