/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/machine-outside.h"

#include <string.h>

#include "host/qemu-command.h"
#include "host/qemu-values.h"

static char *about_tpm(const char *value)
{
    return qemu_values_have(value, "emulator")
               ? g_strdup("the TPM's state is in the snapshot, but each load "
                          "needs its own swtpm, started before it")
               : g_strdup("the host's TPM is not part of the snapshot: the "
                          "guest finds it as it is at the load");
}

static char *about_folder(const char *value)
{
    g_autofree char *path = qemu_values_get(value, "path");

    return path ? g_strdup_printf(
                      "the directory %s that the guest shares (9p) is not part "
                      "of the snapshot: the guest finds what is in it at the "
                      "load",
                      path)
                : NULL;
}

/* The driver of a -device, for g_free(). */
static char *driver_of(const char *value)
{
    return value[0] == '{' ? qemu_values_get(value, "driver")
                           : qemu_values_take(&value);
}

static char *about_device(const char *value)
{
    static const char *const of_host[] = {
        "vfio-pci",     "vfio-ccw",   "vfio-ap", "usb-host",
        "scsi-generic", "scsi-block", NULL};
    g_autofree char *driver = driver_of(value);

    if (driver && g_str_has_prefix(driver, "vhost-user-fs")) {
        return g_strdup_printf(
            "the directory that the guest shares (%s) is not part of the "
            "snapshot: the guest finds what is in it at the load",
            driver);
    }
    return driver && g_strv_contains(of_host, driver)
               ? g_strdup_printf("a device of the host (%s) is not part of the "
                                 "snapshot: the guest finds it as it is at the "
                                 "load",
                                 driver)
               : NULL;
}

GPtrArray *machine_outside_find(char *const *argv)
{
    static const struct {
        const char *option;
        char *(*about)(const char *value);
    } known[] = {
        {"tpmdev", about_tpm},
        {"fsdev", about_folder},
        {"virtfs", about_folder},
        {"device", about_device},
    };
    g_autoptr(GArray) options = qemu_command_options(argv);
    GPtrArray *texts = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < options->len; i++) {
        const QemuOption *option = &g_array_index(options, QemuOption, i);

        for (size_t k = 0; option->value && k < G_N_ELEMENTS(known); k++) {
            char *text = strcmp(option->name, known[k].option) == 0
                             ? known[k].about(option->value)
                             : NULL;

            if (text) {
                g_ptr_array_add(texts, text);
            }
        }
    }
    return texts;
}
