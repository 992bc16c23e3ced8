/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A manifest that is accepted is written as a text that is accepted again, and
 * is the same.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "formats/manifest.h"

static Manifest *parse(const void *data, size_t len_bytes)
{
    g_autoptr(GBytes) bytes = g_bytes_new(data, len_bytes);
    g_autoptr(ByteSource) source = byte_source_new_memory(bytes, "fuzz");
    g_autoptr(GError) error = NULL;
    Manifest *manifest = manifest_load_source(source, &error);

    g_assert((manifest == NULL) == (error != NULL));
    return manifest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
    g_autoptr(Manifest) manifest = parse(data, len_bytes);

    if (manifest) {
        g_autofree char *text = manifest_to_text(manifest);
        g_autoptr(Manifest) again = parse(text, strlen(text));
        g_assert(again);
        g_autofree char *second = manifest_to_text(again);
        g_assert(strcmp(text, second) == 0);
    }
    return 0;
}
