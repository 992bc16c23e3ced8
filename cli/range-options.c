/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/range-options.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "profiler/orders/machine-map.h"
#include "profiler/orders/ranges.h"
#include "util/error.h"
#include "util/units.h"

/* The block that has all of a PC's memory, unless memory backends were given
 * on QEMU's command line. */
#define MAIN_RAM "pc.ram"

typedef struct AddressRange {
    uint64_t first;
    uint64_t len; /* not 0 */
} AddressRange;

void range_options_clear(RangeOptions *options)
{
    g_clear_pointer(&options->ranges, g_strfreev);
    g_clear_pointer(&options->guest_ranges, g_strfreev);
    g_clear_pointer(&options->maps, g_strfreev);
}

static bool parse_address(const char *text, uint64_t *ret_address,
                          GError **error)
{
    char *end;

    if (!g_str_has_prefix(text, "0x")) {
        return units_parse_size(text, ret_address, error);
    }
    errno = 0;
    *ret_address = g_ascii_strtoull(text + 2, &end, 16);
    if (!g_ascii_isxdigit(text[2]) || *end != '\0' || errno != 0) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "\"%s\" is not a 64-bit address", text);
        return false;
    }
    return true;
}

/* FIRST-LAST or FIRST+LENGTH. */
static bool parse_addresses(const char *text, AddressRange *ret_range,
                            GError **error)
{
    size_t first_len = strcspn(text, "-+");
    g_autofree char *first_text = g_strndup(text, first_len);
    bool has_length = text[first_len] == '+';
    uint64_t first;
    uint64_t last;
    uint64_t len;

    if (text[first_len] == '\0') {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "\"%s\" is not a range of addresses; write FIRST-LAST or "
                    "FIRST+LENGTH",
                    text);
        return false;
    }
    if (!parse_address(first_text, &first, error) ||
        !parse_address(text + first_len + 1, &last, error)) {
        return false;
    }
    len = has_length ? last : last - first + 1;
    if ((!has_length && last < first) || len == 0) {
        g_set_error(
            error, UTIL_ERROR, UTIL_ERROR_USAGE,
            "\"%s\" is not a range of addresses: it is empty, or longer "
            "than 64 bits",
            text);
        return false;
    }
    ret_range->first = first;
    ret_range->len = len;
    return true;
}

/* BLOCK or BLOCK:FIRST-LAST, in bytes; names of blocks may have colons
 * themselves. */
static bool parse_part(const char *text, const PageOrder *order,
                       uint32_t *ret_block, AddressRange *ret_range,
                       GError **error)
{
    int64_t block = page_order_find_block(order, text);
    const char *colon = strrchr(text, ':');
    g_autofree char *name = g_strndup(text, colon ? colon - text : 0);

    if (block >= 0) {
        *ret_block = block;
        ret_range->first = 0;
        ret_range->len = page_order_block(order, block)->len_bytes;
        return true;
    }
    block = colon ? page_order_find_block(order, name) : -1;
    if (block < 0) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "the order has no RAM block \"%s\"; \"preheat order "
                    "show\" lists those that it has",
                    colon ? name : text);
        return false;
    }
    *ret_block = block;
    return parse_addresses(colon + 1, ret_range, error);
}

static bool parse_range(const char *text, const PageOrder *order,
                        PageSpan *ret_range, GError **error)
{
    AddressRange addresses;
    uint32_t block;

    return parse_part(text, order, &block, &addresses, error) &&
           order_span_of_bytes(order, block, addresses.first, addresses.len,
                               ret_range, error);
}

static bool add_machine(const char *name, MachineType type,
                        const PageOrder *order, GArray *map, GError **error)
{
    int64_t main_ram = page_order_find_block(order, MAIN_RAM);

    if (main_ram < 0) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "the map of %s is only known for a machine whose memory is "
                    "the block \"" MAIN_RAM "\", which this order lacks; "
                    "give --map BLOCK:FIRST-LAST@ADDRESS",
                    name);
        return false;
    }
    machine_map_add(map, order, type, main_ram);
    return true;
}

static bool add_mapping(const char *text, const PageOrder *order, GArray *map,
                        GError **error)
{
    const char *at = strrchr(text, '@');
    g_autofree char *part = NULL;
    MachineMapping mapping;
    AddressRange addresses;
    PageSpan unused;

    if (at == NULL) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "\"%s\" is not a map; write pc, q35 or "
                    "BLOCK[:FIRST-LAST]@ADDRESS",
                    text);
        return false;
    }
    part = g_strndup(text, at - text);
    if (!parse_part(part, order, &mapping.block, &addresses, error) ||
        !order_span_of_bytes(order, mapping.block, addresses.first,
                             addresses.len, &unused, error) ||
        !parse_address(at + 1, &mapping.guest_addr, error)) {
        return false;
    }
    mapping.off_bytes = addresses.first;
    mapping.len_bytes = addresses.len;
    g_array_append_val(map, mapping);
    return true;
}

static GArray *parse_maps(char *const *maps, const PageOrder *order,
                          GError **error)
{
    g_autoptr(GArray) map = g_array_new(FALSE, FALSE, sizeof(MachineMapping));

    if (maps == NULL) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "--guest-range needs --map: where the machine has its "
                    "RAM blocks");
        return NULL;
    }
    for (size_t i = 0; maps[i] != NULL; i++) {
        MachineType type;
        bool added = machine_type_from_name(maps[i], &type)
                         ? add_machine(maps[i], type, order, map, error)
                         : add_mapping(maps[i], order, map, error);

        if (!added) {
            return NULL;
        }
    }
    return g_steal_pointer(&map);
}

static bool resolve_guest_ranges(const RangeOptions *options,
                                 const PageOrder *order, GArray *ranges,
                                 GError **error)
{
    g_autoptr(GArray) map = parse_maps(options->maps, order, error);

    if (map == NULL) {
        return false;
    }
    for (size_t i = 0; options->guest_ranges[i] != NULL; i++) {
        AddressRange addresses;

        if (!parse_addresses(options->guest_ranges[i], &addresses, error) ||
            !machine_map_find(map, order, addresses.first, addresses.len,
                              ranges, error)) {
            return false;
        }
    }
    return true;
}

GArray *range_options_resolve(const RangeOptions *options,
                              const PageOrder *order, GError **error)
{
    g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(PageSpan));

    if (options->ranges == NULL && options->guest_ranges == NULL) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "--range or --guest-range is required: which pages");
        return NULL;
    }
    for (size_t i = 0; options->ranges && options->ranges[i] != NULL; i++) {
        PageSpan range;

        if (!parse_range(options->ranges[i], order, &range, error)) {
            return NULL;
        }
        g_array_append_val(ranges, range);
    }
    if (options->guest_ranges != NULL &&
        !resolve_guest_ranges(options, order, ranges, error)) {
        return NULL;
    }
    return g_steal_pointer(&ranges);
}
