/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/machine-map.h"

#include <string.h>

#include "profiler/orders/error.h"
#include "profiler/orders/ranges.h"

#define ABOVE_4G (UINT64_C(1) << 32)

/* RAM of less than min_split is all below 4 GiB; of more, the first low. */
static const struct {
    uint64_t min_split;
    uint64_t low;
} splits[] = {
    [MACHINE_PC] = {0xe0000000, 0xc0000000},
    [MACHINE_Q35] = {0xb0000000, 0x80000000},
};

bool machine_type_from_name(const char *name, MachineType *ret_type)
{
    if (strcmp(name, "pc") == 0 || g_str_has_prefix(name, "pc-i440fx-")) {
        *ret_type = MACHINE_PC;
        return true;
    }
    if (strcmp(name, "q35") == 0 || g_str_has_prefix(name, "pc-q35-")) {
        *ret_type = MACHINE_Q35;
        return true;
    }
    return false;
}

void machine_map_add(GArray *map, const PageOrder *order, MachineType type,
                     uint32_t main_ram)
{
    uint64_t len_bytes = page_order_block(order, main_ram)->len_bytes;
    MachineMapping low = {
        .len_bytes =
            len_bytes >= splits[type].min_split ? splits[type].low : len_bytes,
        .block = main_ram,
    };
    MachineMapping high = {
        .guest_addr = ABOVE_4G,
        .off_bytes = low.len_bytes,
        .len_bytes = len_bytes - low.len_bytes,
        .block = main_ram,
    };

    g_array_append_val(map, low);
    if (high.len_bytes > 0) {
        g_array_append_val(map, high);
    }
}

/* The part of the mapping that is in the range of addresses, in bytes of its
 * block; false if there is none. */
static bool intersect(const MachineMapping *mapping, uint64_t guest_addr,
                      uint64_t len_bytes, uint64_t *ret_off_bytes,
                      uint64_t *ret_len_bytes)
{
    uint64_t skip_bytes = 0;
    uint64_t gap_bytes = 0;

    if (guest_addr > mapping->guest_addr) {
        skip_bytes = guest_addr - mapping->guest_addr;
    } else {
        gap_bytes = mapping->guest_addr - guest_addr;
    }
    if (skip_bytes >= mapping->len_bytes || gap_bytes >= len_bytes) {
        return false;
    }
    *ret_off_bytes = mapping->off_bytes + skip_bytes;
    *ret_len_bytes =
        MIN(mapping->len_bytes - skip_bytes, len_bytes - gap_bytes);
    return true;
}

bool machine_map_find(const GArray *map, const PageOrder *order,
                      uint64_t guest_addr, uint64_t len_bytes, GArray *ranges,
                      GError **error)
{
    bool found = false;

    for (guint i = 0; i < map->len; i++) {
        const MachineMapping *mapping = &g_array_index(map, MachineMapping, i);
        uint64_t off_bytes;
        uint64_t part_bytes;
        PageSpan span;

        if (!intersect(mapping, guest_addr, len_bytes, &off_bytes,
                       &part_bytes)) {
            continue;
        }
        if (!order_span_of_bytes(order, mapping->block, off_bytes, part_bytes,
                                 &span, error)) {
            return false;
        }
        g_array_append_val(ranges, span);
        found = true;
    }
    if (!found) {
        g_set_error(error, PROFILER_ERROR, PROFILER_ERROR_RANGE,
                    "no RAM is known in the %" G_GUINT64_FORMAT
                    " bytes from guest-physical address 0x%" G_GINT64_MODIFIER
                    "x on",
                    len_bytes, guest_addr);
    }
    return found;
}
