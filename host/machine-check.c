/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/machine-check.h"

#include <string.h>

#include "host/qmp.h"
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

static bool lengths_agree(const RamImageBlock *saved, const RamBlock *block)
{
    if (saved->len_bytes == block->used_bytes) {
        return true;
    }
    /* QEMU resizes what can be resized, and small blocks are loaded by QEMU
     * itself, with its own check. */
    return saved->len_bytes <= block->total_bytes &&
           (block->used_bytes != block->total_bytes ||
            block->total_bytes < LAZY_MIN_BYTES);
}

static bool check_block(const RamImage *snapshot, const RamImageBlock *saved,
                        const GArray *blocks, GError **error)
{
    const RamBlock *block = ram_blocks_find(blocks, saved->name);
    g_autofree char *saved_size = units_format_size(saved->len_bytes);
    g_autofree char *machine_size = NULL;
    g_autofree char *advice = NULL;

    if (!block) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "%s: RAM block %s (%s) is in the snapshot but not in "
                    "this machine; start QEMU with the arguments that it was "
                    "saved with",
                    snapshot->path, saved->name, saved_size);
        return false;
    }
    if (lengths_agree(saved, block)) {
        return true;
    }
    machine_size = units_format_size(block->used_bytes);
    advice = size_advice(saved);
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "%s: RAM block %s is %s in the snapshot but %s in this "
                "machine; %s",
                snapshot->path, saved->name, saved_size, machine_size, advice);
    return false;
}

bool machine_check_blocks(const RamImage *snapshot, const GArray *blocks,
                          GError **error)
{
    for (size_t i = 0; i < snapshot->n_blocks; i++) {
        if (!check_block(snapshot, &snapshot->blocks[i], blocks, error)) {
            return false;
        }
    }
    for (guint i = 0; i < blocks->len; i++) {
        const RamBlock *block = &g_array_index(blocks, RamBlock, i);

        if (block->name[0] && !ram_image_find_block(snapshot, block->name)) {
            g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                        "%s: this machine has a RAM block %s that is not in "
                        "the snapshot; start QEMU with the arguments that it "
                        "was saved with",
                        snapshot->path, block->name);
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

/* QOM types, by how they begin, that cannot live with lazily loaded RAM. */
static const struct {
    const char *prefix;
    const char *reason;
} unsafe_types[] = {
    {"vhost-user-", "its backend process maps guest RAM too, and would see "
                    "pages that are not loaded yet as zeroes"},
    {"vhost-vdpa-", "it pins guest RAM for the hardware"},
    {"vfio-", "it pins guest RAM for the hardware"},
    {"ivshmem-", "other processes map its memory too, and would see pages "
                 "that are not loaded yet as zeroes"},
    {"cryptodev-vhost-user", "its backend process maps guest RAM too, and "
                             "would see pages that are not loaded yet as "
                             "zeroes"},
    {"x-vfio-user-server", "its client maps guest RAM too, and would see "
                           "pages that are not loaded yet as zeroes"},
};

static const char *unsafe_reason(const char *type)
{
    for (size_t i = 0; i < G_N_ELEMENTS(unsafe_types); i++) {
        if (g_str_has_prefix(type, unsafe_types[i].prefix)) {
            return unsafe_types[i].reason;
        }
    }
    return NULL;
}

/* "vfio-pci" of a property "child<vfio-pci>"; NULL for another property. */
static char *child_type(const json_t *property)
{
    static const char child[] = "child<";
    const char *type = json_string_value(json_object_get(property, "type"));

    if (!type || !g_str_has_prefix(type, child) ||
        !g_str_has_suffix(type, ">")) {
        return NULL;
    }
    return g_strndup(type + strlen(child),
                     strlen(type) - strlen(child) - strlen(">"));
}

static bool check_children(const char *path, const json_t *properties,
                           GError **error)
{
    const json_t *property;
    size_t i;

    json_array_foreach(properties, i, property)
    {
        const char *name = json_string_value(json_object_get(property, "name"));
        g_autofree char *type = child_type(property);
        const char *reason = type ? unsafe_reason(type) : NULL;

        if (reason) {
            g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                        "%s/%s (%s): this machine cannot be loaded lazily, "
                        "because %s; " WAY_OUT,
                        path, name ? name : "", type, reason);
            return false;
        }
    }
    return true;
}

/* Devices given with -device, and objects given with -object, are direct
 * children of these, whichever bus they sit on. */
static bool check_container(Rpc *qmp, const char *path, GError **error)
{
    json_t *properties;
    bool ok;

    if (!rpc_execute(qmp, "qom-list", json_pack("{s:s}", "path", path),
                     &properties, error)) {
        return false;
    }
    ok = check_children(path, properties, error);
    json_decref(properties);
    return ok;
}

/* Network backends are no QOM objects; only the human monitor lists them. */
static bool check_network(Rpc *qmp, GError **error)
{
    g_autoptr(GRegex) regex = g_regex_new(
        "(\\S+): index=\\d+,type=(vhost-user|vhost-vdpa)\\b", 0, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;
    g_autofree char *text = NULL;
    g_autofree char *name = NULL;
    g_autofree char *type = NULL;

    g_assert(regex);
    if (!qmp_human(qmp, "info network", &text, error)) {
        return false;
    }
    if (!g_regex_match(regex, text, 0, &match)) {
        return true;
    }
    name = g_match_info_fetch(match, 1);
    type = g_match_info_fetch(match, 2);
    g_set_error(
        error, UTIL_ERROR, UTIL_ERROR_FAILED,
        "network backend %s (%s): this machine cannot be loaded "
        "lazily, because the backend accesses guest RAM past QEMU; " WAY_OUT,
        name, type);
    return false;
}

/* -overcommit mem-lock=on has populated and locked all RAM: discarding it
 * would fail, and its point is lost. */
static bool check_locked(pid_t pid, GError **error)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)pid);
    g_autofree char *text = NULL;
    const char *locked;

    if (!g_file_get_contents(path, &text, NULL, error)) {
        return false;
    }
    locked = strstr(text, "\nVmLck:");
    if (!locked ||
        g_ascii_strtoull(locked + strlen("\nVmLck:"), NULL, 10) == 0) {
        return true;
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "QEMU has locked memory (-overcommit mem-lock=on?), which "
                "cannot be loaded lazily; start it without, or " WAY_OUT);
    return false;
}

bool machine_check_devices(Rpc *qmp, pid_t pid, GError **error)
{
    return check_container(qmp, "/machine/peripheral", error) &&
           check_container(qmp, "/machine/peripheral-anon", error) &&
           check_container(qmp, "/objects", error) &&
           check_network(qmp, error) && check_locked(pid, error);
}
