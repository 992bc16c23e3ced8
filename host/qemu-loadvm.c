/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/qemu-loadvm.h"

#include <string.h>

#include "formats/qcow2-state.h"
#include "formats/ram-image.h"
#include "host/qemu-command.h"

static const char *find_tag(const GArray *options)
{
    const char *tag = NULL;

    for (guint i = 0; i < options->len; i++) {
        const QemuOption *option = &g_array_index(options, QemuOption, i);

        if (strcmp(option->name, "loadvm") == 0) {
            tag = option->value;
        }
    }
    return tag;
}

/* path: NULL is fine. */
static bool has_image(const char *path, const char *tag)
{
    ByteSource *disk = path ? byte_source_open(path, NULL) : NULL;
    ByteSource *state = disk ? qcow2_state_open(disk, tag, NULL) : NULL;
    g_autoptr(RamImage) image =
        state ? ram_image_open_headers(state, 0, NULL) : NULL;

    return image != NULL;
}

bool qemu_loadvm_is_mapped_ram(char *const *argv)
{
    g_autoptr(GArray) options = qemu_command_options(argv + 1);
    const char *tag = find_tag(options);
    bool has = false;

    for (guint i = 0; tag && !has && i < options->len; i++) {
        g_autofree char *path =
            qemu_command_disk_file(&g_array_index(options, QemuOption, i));

        has = has_image(path, tag);
    }
    return has;
}
