/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/run-state.h"

#include <string.h>

#include <glib.h>

#include "formats/reader.h"

/* A full section's head, but for its type and number before that: counted
 * name, instance 0, version 1. */
static const char head[] = "\013globalstate\0\0\0\0\0\0\0\1";
#define HEAD_BYTES (sizeof(head) - 1)

/* QEMU writes the section before those of all ordinary devices. */
#define WITHIN_BYTES (UINT64_C(4) << 20)

/* A name of a run state and, up to the end, zeroes. */
static bool is_name(const uint8_t *bytes, uint32_t size)
{
    for (uint32_t i = 0; i < RUN_STATE_NAME_BYTES; i++) {
        bool in_name = i + 1 < size;

        if (in_name ? !g_ascii_islower(bytes[i]) && bytes[i] != '-'
                    : bytes[i] != 0) {
            return false;
        }
    }
    return size > 1 && size <= RUN_STATE_NAME_BYTES;
}

static bool parse(const uint8_t *bytes, size_t len_bytes, RunState *ret_state)
{
    Reader reader = reader_make(bytes, len_bytes, 0);
    uint8_t has_was_suspended;
    uint8_t was_suspended;
    const uint8_t *name;
    uint32_t size;

    if (!reader_be32(&reader, "its size", &size, NULL) ||
        !reader_bytes(&reader, "its name", RUN_STATE_NAME_BYTES, &name, NULL) ||
        !reader_u8(&reader, "a flag", &has_was_suspended, NULL) ||
        !reader_u8(&reader, "a flag", &was_suspended, NULL) ||
        !is_name(name, size)) {
        return false;
    }
    memcpy(ret_state->name, name, RUN_STATE_NAME_BYTES);
    ret_state->was_suspended = has_was_suspended && was_suspended;
    return true;
}

bool run_state_find(const uint8_t *bytes, size_t len_bytes, RunState *ret_state)
{
    const uint8_t *end = bytes + len_bytes;
    const uint8_t *at = bytes;

    while ((at = memmem(at, (size_t)(end - at), head, HEAD_BYTES))) {
        at += HEAD_BYTES;
        if (parse(at, (size_t)(end - at), ret_state)) {
            ret_state->off_bytes = (size_t)(at - bytes);
            return true;
        }
    }
    return false;
}

bool run_state_read(const ByteSource *source, uint64_t off_bytes,
                    RunState *ret_state)
{
    size_t len_bytes = (size_t)MIN(source->len_bytes - off_bytes, WITHIN_BYTES);
    g_autofree uint8_t *bytes = g_malloc(len_bytes);

    return byte_source_read_at(source, bytes, len_bytes, off_bytes, NULL) &&
           run_state_find(bytes, len_bytes, ret_state);
}

void run_state_encode(const char *name,
                      uint8_t ret_bytes[RUN_STATE_ENCODED_BYTES])
{
    uint32_t size = GUINT32_TO_BE((uint32_t)strlen(name) + 1);

    g_assert(strlen(name) < RUN_STATE_NAME_BYTES);
    memset(ret_bytes, 0, RUN_STATE_ENCODED_BYTES);
    memcpy(ret_bytes, &size, sizeof(size));
    memcpy(ret_bytes + sizeof(size), name, strlen(name));
}
