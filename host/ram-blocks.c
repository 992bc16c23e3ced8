/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/ram-blocks.h"

#include <inttypes.h>
#include <string.h>

#include "formats/control-protocol.h"
#include "host/qmp.h"
#include "util/error.h"
#include "util/units.h"

/* QEMU, ram_block_format() in system/physmem.c.  A name may have blanks, look
 * like a number, and be longer than its column; what follows it is found from
 * the line's end.  The field before the lengths, the offset in QEMU's own
 * numbering of RAM, says nothing to us. */
static const char line_pattern[] =
    "^\\s*((?<name>\\S.*?)\\s+)?(?<page>\\d+ ([KMGT]i)?B)\\s+0x[[:xdigit:]]+"
    "\\s+0x(?<used>[[:xdigit:]]+)\\s+0x(?<total>[[:xdigit:]]+)"
    "\\s+0x(?<host>[[:xdigit:]]+)\\s+(?<mode>r[ow])\\s*$";

static const char header_pattern[] = "^\\s*Block Name\\s+PSize\\s";

static void clear_block(void *data)
{
    RamBlock *block = data;

    g_free(block->name);
}

static bool fetch_hex(const GMatchInfo *match, const char *field,
                      uint64_t *ret_number)
{
    g_autofree char *digits = g_match_info_fetch_named(match, field);

    return g_ascii_string_to_unsigned(digits, 16, 0, UINT64_MAX, ret_number,
                                      NULL);
}

static bool fetch_page_bytes(const GMatchInfo *match, uint64_t *ret_bytes)
{
    g_autofree char *text = g_match_info_fetch_named(match, "page");
    char *space = strchr(text, ' ');

    memmove(space, space + 1, strlen(space));
    return units_parse_size(text, ret_bytes, NULL);
}

static bool parse_line(const GRegex *regex, const char *line,
                       RamBlock *ret_block)
{
    g_autoptr(GMatchInfo) match = NULL;
    g_autofree char *mode = NULL;
    RamBlock block;

    if (!g_regex_match(regex, line, 0, &match) ||
        !fetch_page_bytes(match, &block.page_bytes) ||
        !fetch_hex(match, "used", &block.used_bytes) ||
        !fetch_hex(match, "total", &block.total_bytes) ||
        !fetch_hex(match, "host", &block.host)) {
        return false;
    }
    mode = g_match_info_fetch_named(match, "mode");
    block.writable = strcmp(mode, "rw") == 0;
    block.name = g_match_info_fetch_named(match, "name");
    *ret_block = block;
    return true;
}

GArray *ram_blocks_parse(const char *text, GError **error)
{
    g_autoptr(GRegex) regex = g_regex_new(line_pattern, 0, 0, NULL);
    g_autoptr(GArray) blocks = g_array_new(FALSE, FALSE, sizeof(RamBlock));
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    g_assert(regex);
    g_array_set_clear_func(blocks, clear_block);
    for (size_t i = 0; lines[i]; i++) {
        RamBlock block;

        if (g_strchomp(lines[i])[0] == '\0' ||
            (i == 0 && g_regex_match_simple(header_pattern, lines[i], 0, 0))) {
            continue;
        }
        if (!parse_line(regex, lines[i], &block)) {
            g_set_error(
                error, UTIL_ERROR, UTIL_ERROR_PROTOCOL,
                "cannot parse this line of QEMU's list of RAM blocks: %s",
                lines[i]);
            return NULL;
        }
        g_array_append_val(blocks, block);
    }
    return g_steal_pointer(&blocks);
}

/* The command's name marks it as unstable, but not what it does: it answers
 * the very text that the human monitor prints, and needs no such monitor. */
static bool query_text(Rpc *qmp, char **ret_text, GError **error)
{
    const char *text;
    json_t *value;

    if (!rpc_execute(qmp, "x-query-ramblock", NULL, &value, error)) {
        return false;
    }
    text = json_string_value(json_object_get(value, "human-readable-text"));
    if (text) {
        *ret_text = g_strdup(text);
    } else {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_REFUSED,
                    "QEMU did not answer x-query-ramblock with a text");
    }
    json_decref(value);
    return text != NULL;
}

GArray *ram_blocks_query(Rpc *qmp, GError **error)
{
    g_autofree char *text = NULL;
    GError *local = NULL;

    if (query_text(qmp, &text, &local)) {
        return ram_blocks_parse(text, error);
    }
    if (!g_error_matches(local, UTIL_ERROR, UTIL_ERROR_REFUSED)) {
        g_propagate_error(error, local);
        return NULL;
    }
    if (!qmp_human(qmp, "info ramblock", &text, error)) {
        g_prefix_error(
            error, "cannot ask QEMU for its RAM blocks (%s): ", local->message);
        g_error_free(local);
        return NULL;
    }
    g_error_free(local);
    return ram_blocks_parse(text, error);
}

const RamBlock *ram_blocks_find(const GArray *blocks, const char *name)
{
    for (guint i = 0; i < blocks->len; i++) {
        const RamBlock *block = &g_array_index(blocks, RamBlock, i);

        if (strcmp(block->name, name) == 0) {
            return block;
        }
    }
    return NULL;
}

json_t *ram_block_to_json(const RamBlock *block)
{
    g_autofree char *host = g_strdup_printf("0x%" PRIx64, block->host);
    json_t *json = json_pack(
        "{s:s, s:s, s:I, s:I}", CONTROL_KEY_NAME, block->name, CONTROL_KEY_HOST,
        host, CONTROL_KEY_LENGTH, (json_int_t)block->used_bytes,
        CONTROL_KEY_PAGE_SIZE, (json_int_t)block->page_bytes);

    g_assert(json);
    return json;
}
