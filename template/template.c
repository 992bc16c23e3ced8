/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "template/template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/error.h"
#include "formats/template-protocol.h"
#include "plugin/pager/pager-fault.h"
#include "plugin/pager/pager.h"
#include "profiler/orders/read-ahead.h"
#include "template/hot-runs.h"
#include "util/clock.h"

#define N_FAULT_THREADS 1
#define N_PLACE_THREADS 2
#define SLOW_READ_US    UINT64_C(5000000)

/* Smaller blocks are loaded with the device state (host/machine-check.h). */
#define MIN_BLOCK_BYTES (UINT64_C(2) << 20)

/* A block that is held. */
typedef struct Held {
    size_t block; /* of the image */
    void *memory; /* mapped for writing; the pager's to fill; MAP_FAILED: is
                     not */
    int fd;       /* for writing; -1 once it is sealed */
} Held;

struct Template {
    TemplateEvents events; /* constant, as all but the pager's own */
    RamImage *image;
    PageSource *source;
    LoadStats *stats;
    Pager *pager;
    LoadPolicy policy;
    GArray *held;         /* of Held */
    GArray *fds;          /* of int: see template_fds() */
    TemplateState *state; /* shared */
    size_t state_len_bytes;
};

static bool fail_errno(const Template *template, const char *what,
                       GError **error)
{
    g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_IO, "%s: %s: %s",
                template->image->path, what, g_strerror(errno));
    return false;
}

/* ---- its memory ---- */

/* A memfd of that length, mapped for writing. */
static bool make_memory(const Template *template, const char *name,
                        size_t len_bytes, int *ret_fd, void **ret_memory,
                        GError **error)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0) {
        return fail_errno(template, "no memory file for a template", error);
    }
    *ret_fd = fd;
    if (ftruncate(fd, (off_t)len_bytes) < 0) {
        return fail_errno(template, "no memory for a template", error);
    }
    void *memory =
        mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        return fail_errno(template, "no memory for a template", error);
    }
    *ret_memory = memory;
    return true;
}

/* From now on only the mapping that there is can change what is in it. */
static bool seal(const Template *template, int *fd, GError **error)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", *fd);
    int for_reading = open(path, O_RDONLY | O_CLOEXEC);

    if (for_reading < 0 || fcntl(*fd, F_ADD_SEALS,
                                 F_SEAL_GROW | F_SEAL_SHRINK |
                                     F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) < 0) {
        if (for_reading >= 0) {
            close(for_reading);
        }
        return fail_errno(template, "its memory cannot be sealed", error);
    }
    close(*fd);
    *fd = -1;
    g_array_append_val(template->fds, for_reading);
    return true;
}

static bool is_held(const RamImageBlock *block)
{
    return block->len_bytes >= MIN_BLOCK_BYTES &&
           block->page_bytes == (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool make_blocks(Template *template, GError **error)
{
    const RamImage *image = template->image;

    for (size_t i = 0; i < image->n_blocks; i++) {
        if (!is_held(&image->blocks[i])) {
            continue;
        }
        Held held = {.block = i, .memory = MAP_FAILED, .fd = -1};
        bool ok = make_memory(template, TEMPLATE_MEMORY_NAME,
                              image->blocks[i].len_bytes, &held.fd,
                              &held.memory, error);
        g_array_append_val(template->held, held);
        if (!ok) {
            return false;
        }
    }
    if (template->held->len == 0 || template->held->len > TEMPLATE_MAX_BLOCKS) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_UNSUPPORTED,
                    "%s: %u RAM blocks of 2 MiB or more with pages of this "
                    "host's size; a template takes 1 to %d",
                    image->path, template->held->len, TEMPLATE_MAX_BLOCKS);
        return false;
    }
    return true;
}

/* The first of the descriptors: what clones read headers and devices from. */
static bool add_snapshot(Template *template, GError **error)
{
    int fd = fcntl(template->image->fd, F_DUPFD_CLOEXEC, 0);

    if (fd < 0) {
        return fail_errno(template, "its descriptor cannot be duplicated",
                          error);
    }
    g_array_append_val(template->fds, fd);
    return true;
}

static bool make_state(Template *template, const PageOrder *order,
                       GError **error)
{
    const RamImage *image = template->image;
    g_autoptr(GArray) runs = hot_runs_new(order, image);
    size_t runs_off_bytes = template_bitmap_off_bytes(image, image->n_blocks);
    void *memory;
    int fd = -1;

    template->state_len_bytes =
        runs_off_bytes + runs->len * sizeof(TemplateRun);
    bool ok = make_memory(template, TEMPLATE_MEMORY_NAME,
                          template->state_len_bytes, &fd, &memory, error);
    if (ok) {
        template->state = memory;
        template->state->n_runs = runs->len;
        for (guint i = 0; i < runs->len; i++) {
            ((TemplateRun *)((char *)memory + runs_off_bytes))[i] =
                g_array_index(runs, TemplateRun, i);
        }
        ok = seal(template, &fd, error);
    }
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

/* ---- filling it ---- */

static void on_failed(void *opaque, const PagerFailure *failure)
{
    const Template *template = opaque;

    template->events.failed(template->events.opaque, failure);
}

static void on_slow(void *opaque, const PagerSlowRead *slow)
{
    const Template *template = opaque;

    template->events.slow(template->events.opaque, slow);
}

static void on_loaded(void *opaque)
{
    const Template *template = opaque;

    /* Release: every page is there. */
    atomic_store_explicit(&template->state->full, 1, memory_order_release);
    template->events.full(template->events.opaque);
}

static bool start_pager(Template *template, const PageOrder *order,
                        unsigned n_fetchers, GError **error)
{
    template->policy = order ? LOAD_POLICY_ORDER : LOAD_POLICY_SEQUENTIAL;
    const PagerConfig config = {
        .source = template->source,
        .order = order ? page_order_copy(order) : NULL,
        .policy = template->policy,
        .stats = template->stats,
        .slow_read_us = SLOW_READ_US,
        .rest = LOAD_REST_EAGER,
        .n_fault_threads = N_FAULT_THREADS,
        .n_eager_threads = READ_AHEAD_N_THREADS,
        .n_place_threads = N_PLACE_THREADS,
        .n_fetchers = n_fetchers,
        .placed = (_Atomic uint64_t *)(template->state + 1),
        .callbacks = {.failed = on_failed,
                      .slow = on_slow,
                      .loaded = on_loaded,
                      .opaque = template},
    };

    template->pager = pager_new(&config, error);
    return template->pager != NULL;
}

static bool attach(Template *template, GError **error)
{
    g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(PagerRange));

    for (guint i = 0; i < template->held->len; i++) {
        const Held *held = &g_array_index(template->held, Held, i);
        const RamImageBlock *block = &template->image->blocks[held->block];
        const PagerRange range = {
            .name = block->name,
            .host = (uintptr_t)held->memory,
            .len_bytes = block->len_bytes,
        };

        g_array_append_val(ranges, range);
    }
    return pager_attach(template->pager, (const PagerRange *)ranges->data,
                        ranges->len, NULL, 0, error);
}

/* Attached before, since the pager punches what it takes over. */
static bool seal_blocks(Template *template, GError **error)
{
    for (guint i = 0; i < template->held->len; i++) {
        if (!seal(template, &g_array_index(template->held, Held, i).fd,
                  error)) {
            return false;
        }
    }
    return true;
}

Template *template_new(RamImage *image, const PageOrder *order,
                       unsigned n_fetchers, const TemplateEvents *events,
                       GError **error)
{
    Template *template = g_new0(Template, 1);

    template->events = *events;
    template->image = image;
    template->held = g_array_new(FALSE, FALSE, sizeof(Held));
    template->fds = g_array_new(FALSE, FALSE, sizeof(int));
    template->stats = load_stats_new(monotonic_us());
    template->source = page_source_new_file(image, LOAD_CACHE_BUFFERED, error);
    if (!template->source || !make_blocks(template, error) ||
        !add_snapshot(template, error) || !make_state(template, order, error) ||
        !start_pager(template, order, n_fetchers, error) ||
        !attach(template, error) || !seal_blocks(template, error)) {
        template_free(template);
        return NULL;
    }
    return template;
}

static void free_held(GArray *all)
{
    for (guint i = 0; i < all->len; i++) {
        const Held *held = &g_array_index(all, Held, i);

        if (held->fd >= 0) {
            close(held->fd);
        }
    }
    g_array_unref(all);
}

static void unmap_blocks(Template *template)
{
    for (guint i = 0; i < template->held->len; i++) {
        Held *held = &g_array_index(template->held, Held, i);

        if (held->memory != MAP_FAILED) {
            munmap(held->memory,
                   template->image->blocks[held->block].len_bytes);
            held->memory = MAP_FAILED;
        }
    }
}

void template_free(Template *template)
{
    if (!template) {
        return;
    }
    pager_free(template->pager);
    unmap_blocks(template);
    if (template->state) {
        munmap(template->state, template->state_len_bytes);
    }
    free_held(template->held);
    for (guint i = 0; i < template->fds->len; i++) {
        close(g_array_index(template->fds, int, i));
    }
    g_array_unref(template->fds);
    page_source_free(template->source);
    load_stats_free(template->stats);
    ram_image_free(template->image);
    g_free(template);
}

/* ---- while it is there ---- */

const RamImage *template_image(const Template *template)
{
    return template->image;
}

const GArray *template_fds(const Template *template)
{
    return template->fds;
}

char *template_welcome(const Template *template)
{
    const RamImage *image = template->image;
    json_t *blocks = json_array();

    for (guint i = 0; i < template->held->len; i++) {
        const Held *held = &g_array_index(template->held, Held, i);

        json_array_append_new(blocks, json_integer((json_int_t)held->block));
    }
    json_t *json = json_pack(
        "{s:s, s:s, s:I, s:o}", TEMPLATE_KEY_SNAPSHOT, image->path,
        TEMPLATE_KEY_IDENTITY, image->identity, TEMPLATE_KEY_OFFSET,
        (json_int_t)image->image_off_bytes, TEMPLATE_KEY_BLOCKS, blocks);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

bool template_has(const Template *template, uint64_t block, uint64_t page)
{
    for (guint i = 0; i < template->held->len; i++) {
        const Held *held = &g_array_index(template->held, Held, i);

        if (held->block == block) {
            return page < template->image->blocks[block].n_pages;
        }
    }
    return false;
}

bool template_is_full(const Template *template)
{
    /* Acquire: every page is seen. */
    return atomic_load_explicit(&template->state->full, memory_order_acquire) !=
           0;
}

int template_fetch(Template *template, unsigned fetcher, size_t block,
                   uint64_t page)
{
    int rc = pager_fetch(template->pager, fetcher, block, page);

    return rc == -ESHUTDOWN && template_is_full(template) ? 0 : rc;
}

void template_release(Template *template)
{
    (void)pager_wait(template->pager, LOAD_GOAL_ALL, NULL);
    pager_release(template->pager);
    unmap_blocks(template);
}

void template_retry(Template *template)
{
    pager_retry(template->pager);
}

/* ---- numbers ---- */

static uint64_t n_there(const Template *template, size_t block)
{
    const RamImageBlock *layout = &template->image->blocks[block];
    const _Atomic uint64_t *bits =
        (const _Atomic uint64_t *)((const char *)template->state +
                                   template_bitmap_off_bytes(template->image,
                                                             block));
    uint64_t n = 0;

    for (uint64_t i = 0; i < layout->n_pages / 64 + (layout->n_pages % 64 != 0);
         i++) {
        /* Relaxed: a number to look at. */
        uint64_t word = atomic_load_explicit(&bits[i], memory_order_relaxed);

        n += (uint64_t)__builtin_popcountll(word & layout->bitmap[i]);
    }
    return n;
}

static const char *state_name(const Template *template)
{
    if (template_is_full(template)) {
        return "full";
    }
    return pager_state(template->pager) == LOAD_STATE_FAILED ? "failed"
                                                             : "filling";
}

json_t *template_status(Template *template)
{
    const RamImage *image = template->image;
    uint64_t n_in_file = 0;
    uint64_t n_in = 0;
    uint64_t shared_bytes = 0;

    for (guint i = 0; i < template->held->len; i++) {
        size_t block = g_array_index(template->held, Held, i).block;
        struct stat info;

        n_in_file += image->blocks[block].n_pages_in_file;
        n_in += n_there(template, block);
        /* Behind the snapshot and the state; cannot fail. */
        if (fstat(g_array_index(template->fds, int, i + 2), &info) == 0) {
            shared_bytes += (uint64_t)info.st_blocks * 512;
        }
    }
    return json_pack("{s:s, s:s, s:s, s:{s:I, s:I}, s:I, s:o}", "snapshot",
                     image->path, "identity", image->identity, "state",
                     state_name(template), "pages", "in-file",
                     (json_int_t)n_in_file, "in", (json_int_t)n_in,
                     "shared-bytes", (json_int_t)shared_bytes, "load",
                     load_stats_to_json(template->stats, template->policy,
                                        pager_state(template->pager)));
}
