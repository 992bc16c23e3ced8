/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/pager-map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "plugin/pager/kernel-file.h"
#include "plugin/pager/mapping.h"
#include "plugin/pager/pager-place.h"
#include "plugin/pager/registration.h"

#define WAY_OUT "or load without --template"

/* A part of a block that is mapped: between two holes. */
typedef struct Stretch {
    const PagerBlock *block;
    uint64_t host;
    uint64_t len_bytes;
    void *mapped; /* where it is before it is moved to host */
    bool moved;
} Stretch;

static bool refuse(const char *name, const char *what, GError **error)
{
    g_set_error(error, PAGER_ERROR, PAGER_ERROR_RAM,
                "RAM block %s %s, " WAY_OUT, name, what);
    return false;
}

bool pager_map_check(const char *name, RamKind kind, uint64_t start,
                     GError **error)
{
    if (ram_kind_is_hugetlb(kind)) {
        return refuse(name,
                      "is made of reserved huge pages (hugetlb), and the "
                      "template's memory is not: use memory-backend-ram",
                      error);
    }
    if (kind != RAM_ANONYMOUS) {
        return refuse(name,
                      "is shared memory (share=on), and a clone has its "
                      "changes for itself: use memory-backend-ram",
                      error);
    }
    if (ram_range_is_bound(start)) {
        return refuse(name,
                      "is bound to nodes of this host (host-nodes=), and a "
                      "clone's pages lie where the template has them: leave "
                      "that away and start the template with numactl",
                      error);
    }
    return true;
}

/* ---- what is mapped ---- */

static int compare_holes(const void *a, const void *b)
{
    uint64_t x = ((const RegistrationHole *)a)->start;
    uint64_t y = ((const RegistrationHole *)b)->start;

    return (x > y) - (x < y);
}

static void add_stretch(GArray *stretches, const PagerBlock *block,
                        uint64_t start, uint64_t end)
{
    const Stretch stretch = {
        .block = block,
        .host = start,
        .len_bytes = end - start,
        .mapped = MAP_FAILED,
    };

    if (start < end) {
        g_array_append_val(stretches, stretch);
    }
}

/* What the sorted holes leave of the block. */
static void add_stretches(GArray *stretches, const PagerBlock *block,
                          const GArray *holes)
{
    uint64_t end = block->host + block->layout->len_bytes;
    uint64_t at = block->host;

    for (guint i = 0; i < holes->len; i++) {
        const RegistrationHole *hole =
            &g_array_index(holes, RegistrationHole, i);

        if (hole->start >= at && hole->start < end) {
            add_stretch(stretches, block, at, hole->start);
            at = hole->start + hole->len_bytes;
        }
    }
    add_stretch(stretches, block, at, end);
}

/* ---- mapping ---- */

/* The advice that QEMU gave for the mapping at start, as smaps shows it, and as
 * QEMU does by default where that cannot be seen; for g_free(). */
static char *read_flags(uint64_t start)
{
    g_autofree char *smaps = kernel_file_read(KERNEL_FILE_SMAPS);
    char *rest = smaps;
    Mapping mapping = {0};
    const char *line;

    while (rest && (line = mapping_next_line(&rest))) {
        if (!mapping_parse(line, &mapping) && mapping.start <= start &&
            mapping.end > start && g_str_has_prefix(line, "VmFlags:")) {
            return g_strconcat(line + strlen("VmFlags:"), " ", NULL);
        }
    }
    return g_strdup(" dd ");
}

/* Advice may fail, where the kernel was built without what it is about; but no
 * forked process may fill holes. */
static int advise(const Stretch *stretch, const char *flags)
{
    if (strstr(flags, " dd ")) {
        (void)madvise(stretch->mapped, stretch->len_bytes, MADV_DONTDUMP);
    }
    if (strstr(flags, " mg ")) {
        (void)madvise(stretch->mapped, stretch->len_bytes, MADV_MERGEABLE);
    }
    ram_range_keep_holes(RAM_SHARED, (uintptr_t)stretch->mapped,
                         stretch->len_bytes);
    return madvise(stretch->mapped, stretch->len_bytes, MADV_DONTFORK) == 0
               ? 0
               : -errno;
}

/* Map, advise and register it elsewhere.  Returns 0 or -errno. */
static int prepare(Pager *pager, Stretch *stretch, const char *flags,
                   bool is_full)
{
    PageSource *source = pager->config.source;
    size_t index = (size_t)(stretch->block - pager->blocks);
    int fd = source->memory(source, index);

    stretch->mapped =
        mmap(NULL, stretch->len_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd,
             (off_t)(stretch->host - stretch->block->host));
    if (stretch->mapped == MAP_FAILED) {
        return -errno;
    }
    int rc = advise(stretch, flags);
    if (rc < 0 || is_full) {
        return rc;
    }
    return uffd_register(pager->uffd, (uintptr_t)stretch->mapped,
                         stretch->len_bytes, UFFD_MISSING);
}

static bool prepare_all(Pager *pager, GArray *stretches, bool is_full,
                        GError **error)
{
    g_autofree char *flags = NULL;
    const PagerBlock *flags_of = NULL;

    for (guint i = 0; i < stretches->len; i++) {
        Stretch *stretch = &g_array_index(stretches, Stretch, i);

        if (stretch->block != flags_of) {
            flags_of = stretch->block;
            g_free(flags);
            flags = read_flags(flags_of->host);
        }
        int rc = prepare(pager, stretch, flags, is_full);

        if (rc < 0) {
            g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                        "RAM block %s: the template's memory cannot be "
                        "mapped: %s; load without --template",
                        stretch->block->layout->name, g_strerror(-rc));
            return false;
        }
    }
    return true;
}

/* Nobody may find holes there that are not registered any more. */
static void undo(GArray *stretches)
{
    for (guint i = 0; i < stretches->len; i++) {
        const Stretch *stretch = &g_array_index(stretches, Stretch, i);

        if (stretch->moved) {
            /* There is a mapping already, so there is room for one. */
            (void)!mmap((void *)(uintptr_t)stretch->host, stretch->len_bytes,
                        PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        } else if (stretch->mapped != MAP_FAILED) {
            munmap(stretch->mapped, stretch->len_bytes);
        }
    }
}

static bool fail_moving(const char *name, int error_number, GError **error)
{
    g_set_error(error, PAGER_ERROR, PAGER_ERROR_RAM,
                "RAM block %s: its memory cannot be replaced by the "
                "template's, and memory of other blocks may be lost already: "
                "%s; load without --template",
                name, g_strerror(error_number));
    return false;
}

static bool move_all(Pager *pager, GArray *stretches, GError **error)
{
    for (guint i = 0; i < stretches->len; i++) {
        Stretch *stretch = &g_array_index(stretches, Stretch, i);

        pager->discarded = true;
        if (mremap(stretch->mapped, stretch->len_bytes, stretch->len_bytes,
                   MREMAP_MAYMOVE | MREMAP_FIXED,
                   (void *)(uintptr_t)stretch->host) == MAP_FAILED) {
            return fail_moving(stretch->block->layout->name, errno, error);
        }
        stretch->moved = true;
    }
    return true;
}

static bool discard_holes(Pager *pager, const GArray *holes, GError **error)
{
    for (guint i = 0; i < holes->len; i++) {
        const RegistrationHole *hole =
            &g_array_index(holes, RegistrationHole, i);
        int rc = ram_range_discard(RAM_ANONYMOUS, hole->start, hole->len_bytes);

        pager->discarded = true;
        if (rc < 0) {
            return fail_moving("(a zero part)", -rc, error);
        }
    }
    return true;
}

/* Nobody has to go through them one by one: they are all there. */
static void set_all_placed(Pager *pager)
{
    uint64_t n_placed = 0;

    for (size_t i = 0; i < pager->n_attached_blocks; i++) {
        PageStates *states = &pager->attached_blocks[i]->states;
        PageWindow window;

        for (uint64_t page = 0; page < states->n_pages;
             page += PAGE_WINDOW_MAX_PAGES) {
            uint64_t n_pages =
                MIN(states->n_pages - page, PAGE_WINDOW_MAX_PAGES);

            if (page_states_claim(states, page, n_pages, &window) > 0) {
                n_placed += page_states_take(states, &window);
                page_states_set_placed(states, &window);
            }
        }
    }
    load_stats_placed(pager->config.stats, PLACED_BY_REST, n_placed);
    pager_count_placed(pager, n_placed);
}

bool pager_map_blocks(Pager *pager, const GArray *holes, GError **error)
{
    bool is_full = pager->config.source->is_full(pager->config.source);
    g_autoptr(GArray) stretches = g_array_new(FALSE, FALSE, sizeof(Stretch));
    g_autoptr(GArray) sorted =
        g_array_sized_new(FALSE, FALSE, sizeof(RegistrationHole), holes->len);

    g_array_append_vals(sorted, holes->data, holes->len);
    g_array_sort(sorted, compare_holes);
    for (size_t i = 0; i < pager->n_attached_blocks; i++) {
        add_stretches(stretches, pager->attached_blocks[i], sorted);
    }
    if (!prepare_all(pager, stretches, is_full, error) ||
        !move_all(pager, stretches, error) ||
        !discard_holes(pager, sorted, error)) {
        undo(stretches);
        return false;
    }
    for (size_t i = 0; i < pager->n_attached_blocks; i++) {
        pager->attached_blocks[i]->registered = !is_full;
    }
    if (is_full) {
        set_all_placed(pager);
    }
    return true;
}
