/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/machine-check.h"

#include <string.h>
#include <unistd.h>

#include "host/ram-access.h"
#include "util/error.h"
#include "util/units.h"

#define WAY_OUT "load it with --policy full"

/* How to give a machine the RAM that the snapshot's block has. */
static char *size_advice(const RamImageBlock *block)
{
    g_autofree char *size = units_format_option(block->len_bytes);

    if (g_str_has_suffix(block->name, ".ram")) {
        return g_strdup_printf("start QEMU with -m %s", size);
    }
    return g_strdup_printf("start QEMU with a size of %s for it", size);
}

/* QEMU itself compares no lengths when it loads a mapped-ram file: it reads
 * each page that is in the file to its place, and fails at one beyond the
 * block's used length. */
static bool pages_fit(const RamImageBlock *saved, const RamBlock *block)
{
    for (uint64_t page = block->used_bytes / saved->page_bytes;
         page < saved->n_pages; page++) {
        if (ram_image_block_has_page(saved, page)) {
            return false;
        }
    }
    return true;
}

/* What QEMU can resize, as it does with ACPI tables, may have another length.
 * It has room left, or it is just as long as it can be. */
static bool is_resizable(const RamImageBlock *saved, const RamBlock *block)
{
    return block->used_bytes != block->total_bytes &&
           saved->len_bytes <= block->total_bytes;
}

static char *describe_lengths(const RamImage *snapshot,
                              const RamImageBlock *saved, const RamBlock *block)
{
    g_autofree char *saved_size = units_format_size(saved->len_bytes);
    g_autofree char *machine_size = units_format_size(block->used_bytes);

    return g_strdup_printf("%s: RAM block %s is %s in the snapshot but %s in "
                           "this machine",
                           snapshot->path, saved->name, saved_size,
                           machine_size);
}

static bool check_length(const RamImage *snapshot, const RamImageBlock *saved,
                         const RamBlock *block, LoadPolicy policy,
                         GPtrArray *warnings, GError **error)
{
    bool fits = pages_fit(saved, block);
    g_autofree char *lengths = NULL;
    g_autofree char *advice = NULL;

    if (fits &&
        (saved->len_bytes == block->used_bytes || is_resizable(saved, block))) {
        return true;
    }
    lengths = describe_lengths(snapshot, saved, block);
    advice = size_advice(saved);
    if (fits && policy == LOAD_POLICY_FULL) {
        if (warnings) {
            g_ptr_array_add(warnings,
                            g_strdup_printf("%s, which QEMU itself accepts; %s",
                                            lengths, advice));
        }
        return true;
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED, "%s; %s", lengths,
                advice);
    return false;
}

static bool check_page_size(const RamImage *snapshot,
                            const RamImageBlock *saved, const RamBlock *block,
                            LoadPolicy policy, GError **error)
{
    uint64_t host_page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    g_autofree char *saved_size = NULL;
    g_autofree char *host_size = NULL;

    if (policy == LOAD_POLICY_FULL || saved->page_bytes == host_page_bytes ||
        !machine_block_is_lazy(block)) {
        return true;
    }
    saved_size = units_format_size(saved->page_bytes);
    host_size = units_format_size(host_page_bytes);
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "%s: RAM block %s has pages of %s and this host has pages of "
                "%s, so it cannot be loaded lazily; " WAY_OUT,
                snapshot->path, saved->name, saved_size, host_size);
    return false;
}

static bool check_block(const RamImage *snapshot, const RamImageBlock *saved,
                        const GArray *blocks, LoadPolicy policy,
                        GPtrArray *warnings, GError **error)
{
    const RamBlock *block = ram_blocks_find(blocks, saved->name);

    if (!block) {
        g_autofree char *size = units_format_size(saved->len_bytes);

        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "%s: RAM block %s (%s) is in the snapshot but not in "
                    "this machine; start QEMU with the arguments that it was "
                    "saved with",
                    snapshot->path, saved->name, size);
        return false;
    }
    return check_length(snapshot, saved, block, policy, warnings, error) &&
           check_page_size(snapshot, saved, block, policy, error);
}

bool machine_check_blocks(const RamImage *snapshot, const GArray *blocks,
                          LoadPolicy policy, GPtrArray *warnings,
                          GError **error)
{
    for (size_t i = 0; i < snapshot->n_blocks; i++) {
        if (!check_block(snapshot, &snapshot->blocks[i], blocks, policy,
                         warnings, error)) {
            return false;
        }
    }
    return true;
}

bool machine_block_is_lazy(const RamBlock *block)
{
    return block->name[0] != '\0' && block->writable &&
           block->used_bytes >= LAZY_MIN_BYTES;
}

bool *machine_lazy_blocks(const RamImage *snapshot, const GArray *blocks)
{
    bool *lazy = g_new0(bool, snapshot->n_blocks);

    for (size_t i = 0; i < snapshot->n_blocks; i++) {
        const RamImageBlock *saved = &snapshot->blocks[i];
        const RamBlock *block = ram_blocks_find(blocks, saved->name);

        lazy[i] = block && machine_block_is_lazy(block) &&
                  saved->len_bytes == block->used_bytes;
    }
    return lazy;
}

GArray *machine_lazy_ram(const GArray *blocks)
{
    GArray *lazy = g_array_new(FALSE, FALSE, sizeof(RamBlock));

    for (guint i = 0; i < blocks->len; i++) {
        const RamBlock *block = &g_array_index(blocks, RamBlock, i);

        if (machine_block_is_lazy(block)) {
            g_array_append_val(lazy, *block);
        }
    }
    return lazy;
}

bool machine_check_devices(Rpc *qmp, pid_t pid, const GArray *blocks,
                           GPtrArray *warnings, GError **error)
{
    g_autoptr(GArray) lazy = machine_lazy_ram(blocks);
    RamAccess access;

    if (!ram_access_find(qmp, pid, lazy, warnings, &access, error)) {
        return false;
    }
    if (!access.who) {
        return true;
    }
    g_set_error(
        error, UTIL_ERROR, UTIL_ERROR_FAILED,
        "%s: this machine cannot be loaded lazily, because %s; " WAY_OUT,
        access.who, access.why);
    g_free(access.who);
    return false;
}

bool machine_check_clonable(Rpc *qmp, GError **error)
{
    RamAccess access;

    if (!ram_access_find_giver(qmp, &access, error)) {
        return false;
    }
    if (!access.who) {
        return true;
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "%s: this machine cannot be a clone, because %s; load it "
                "without --template, or save one without that device",
                access.who, access.why);
    g_free(access.who);
    return false;
}
