/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/machine-difference.h"

#include <string.h>

#include "host/machine-manifest.h"
#include "host/qemu-command.h"
#include "host/qemu-values.h"
#include "util/error.h"

/* ---- arguments ---- */

/* What a device is connected to has no part in its state, nor what QEMU
 * numbers anew. */
static const char *const backends[] = {"drive",    "chardev",  "netdev",
                                       "audiodev", "iothread", "bootindex",
                                       "romfile",  NULL};

/* Of a -drive that makes a device, what the device depends on. */
static const char *const drive_keys[] = {"if",   "index", "bus",
                                         "unit", "media", NULL};

/* As much of a part "k=v" as counts: all, the key alone, or NULL. */
typedef const char *FilterPart(char *part);

static const char *filter_device(char *part)
{
    const char *equals = strchr(part, '=');
    g_autofree char *key =
        equals ? g_strndup(part, (gsize)(equals - part)) : NULL;

    return key && g_strv_contains(backends, key) ? NULL : part;
}

static const char *filter_drive(char *part)
{
    g_autofree char *key = g_strndup(part, strcspn(part, "="));

    return g_strv_contains(drive_keys, key) ? part : NULL;
}

/* The type, which QEMU itself is asked for, and the accelerator. */
static const char *filter_machine(char *part)
{
    bool is_type = !strchr(part, '=') || g_str_has_prefix(part, "type=");

    return is_type || g_str_has_prefix(part, "accel=") ? NULL : part;
}

static const char *filter_object(char *part)
{
    return g_str_has_prefix(part, "mem-path=") ? NULL : part;
}

static const char *filter_nothing(char *part)
{
    return part;
}

/* A console that leads elsewhere is the same device. */
static const char *filter_all(char *part)
{
    (void)part;
    return NULL;
}

static const struct {
    const char *name;
    const char *shown; /* the usual one of several names */
    FilterPart *filter;
} compared[] = {
    {"m", "-m", filter_nothing},
    {"smp", "-smp", filter_nothing},
    {"cpu", "-cpu", filter_nothing},
    {"machine", "-machine", filter_machine},
    {"M", "-machine", filter_machine},
    {"device", "-device", filter_device},
    {"drive", "-drive", filter_drive},
    {"object", "-object", filter_object},
    {"numa", "-numa", filter_nothing},
    {"global", "-global", filter_nothing},
    {"vga", "-vga", filter_nothing},
    {"usbdevice", "-usbdevice", filter_nothing},
    {"serial", "-serial", filter_all},
    {"parallel", "-parallel", filter_all},
    {"hda", "-hda", filter_all},
    {"hdb", "-hdb", filter_all},
    {"hdc", "-hdc", filter_all},
    {"hdd", "-hdd", filter_all},
    {"cdrom", "-cdrom", filter_all},
    {"pflash", "-pflash", filter_all},
    {"nodefaults", "-nodefaults", filter_all},
    {"usb", "-usb", filter_all},
};

static int compare_texts(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What counts of value: its parts, but for the first one sorted. */
static char *normalise(const char *value, FilterPart *filter)
{
    g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func(g_free);

    if (value[0] == '{') {
        return g_strdup(filter == filter_all ? "" : value);
    }
    while (*value) {
        g_autofree char *part = qemu_values_take(&value);
        const char *left = filter(part);

        if (left) {
            g_ptr_array_add(parts, qemu_values_escape(left));
        }
    }
    if (parts->len > 1) {
        qsort(parts->pdata + 1, parts->len - 1, sizeof *parts->pdata,
              compare_texts);
    }
    g_ptr_array_add(parts, NULL);
    return g_strjoinv(",", (char **)parts->pdata);
}

/* A -drive of this interface is a backend, and its -device is compared. */
static bool makes_no_device(const QemuOption *option)
{
    g_autofree char *interface = strcmp(option->name, "drive") == 0
                                     ? qemu_values_get(option->value, "if")
                                     : NULL;

    return g_strcmp0(interface, "none") == 0;
}

/* "-device e1000,id=n", for g_free(); NULL: nothing that counts. */
static char *describe_option(const QemuOption *option)
{
    for (size_t i = 0; i < G_N_ELEMENTS(compared); i++) {
        if (strcmp(option->name, compared[i].name) != 0) {
            continue;
        }
        if (!option->value) {
            return g_strdup(compared[i].shown);
        }
        if (makes_no_device(option)) {
            return NULL;
        }
        g_autofree char *value = normalise(option->value, compared[i].filter);
        bool is_empty = value[0] == '\0';
        return is_empty && compared[i].filter != filter_all
                   ? NULL
                   : g_strdup_printf("%s%s%s", compared[i].shown,
                                     is_empty ? "" : " ", value);
    }
    return NULL;
}

static GPtrArray *describe_options(char *const *argv)
{
    g_autoptr(GArray) options = qemu_command_options(argv);
    GPtrArray *described = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < options->len; i++) {
        char *text = describe_option(&g_array_index(options, QemuOption, i));

        if (text) {
            g_ptr_array_add(described, text);
        }
    }
    return described;
}

/* What both have, each as often as it is in both, leaves both. */
static void remove_common(GPtrArray *a, GPtrArray *b)
{
    for (guint i = a->len; i > 0; i--) {
        guint j;

        if (g_ptr_array_find_with_equal_func(b, a->pdata[i - 1], g_str_equal,
                                             &j)) {
            g_ptr_array_remove_index(b, j);
            g_ptr_array_remove_index(a, i - 1);
        }
    }
}

/* The option that text begins with, "-smp", is one of texts: its index. */
static bool find_option(const GPtrArray *texts, const char *text,
                        guint *ret_index)
{
    size_t len = strcspn(text, " ");

    for (guint i = 0; i < texts->len; i++) {
        const char *other = texts->pdata[i];

        if (strncmp(other, text, len) == 0 && strcspn(other, " ") == len) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

void machine_difference_arguments(const Manifest *saved, char *const *argv,
                                  GPtrArray *differences)
{
    g_autoptr(GPtrArray) before = describe_options(saved->qemu_arguments);
    g_autoptr(GPtrArray) now = describe_options(argv + 1);
    guint other;

    remove_common(before, now);
    for (guint i = 0; i < before->len; i++) {
        const char *text = before->pdata[i];

        if (find_option(now, text, &other)) {
            g_ptr_array_add(differences,
                            g_strdup_printf("%s when saved, %s now", text,
                                            (char *)now->pdata[other]));
            g_ptr_array_remove_index(now, other);
        } else {
            g_ptr_array_add(
                differences,
                g_strdup_printf("%s when saved, missing now", text));
        }
    }
    for (guint i = 0; i < now->len; i++) {
        g_ptr_array_add(differences,
                        g_strdup_printf("%s now, missing when saved",
                                        (char *)now->pdata[i]));
    }
}

/* ---- QEMU's own words ---- */

static void compare(GPtrArray *differences, const char *what,
                    const char *before, const char *now)
{
    if (strcmp(before, now) != 0) {
        g_ptr_array_add(differences, g_strdup_printf("%s %s when saved, %s now",
                                                     what, before, now));
    }
}

bool machine_difference_ask(const Manifest *saved, Rpc *qmp,
                            GPtrArray *differences, GError **error)
{
    g_autoptr(Manifest) now = manifest_new();

    if (!machine_manifest_ask(now, qmp, error)) {
        return false;
    }
    compare(differences, "machine type", saved->machine_type,
            now->machine_type);
    compare(differences, "CPU model", saved->cpu_model, now->cpu_model);
    compare(differences, "accelerator", saved->accelerator, now->accelerator);
    return true;
}

/* ---- a load ---- */

/* Whether the manifest is of this very snapshot.  One that was left behind by
 * an older one would have other disks. */
static bool check_manifest(const LoadOptions *options, const char *identity,
                           bool *ret_fits, GError **error)
{
    *ret_fits =
        options->manifest && strcmp(options->manifest->identity, identity) == 0;
    if (!options->manifest || *ret_fits) {
        return true;
    }
    g_autofree char *text = g_strdup_printf(
        "%s" MANIFEST_SUFFIX
        " belongs to another snapshot: the file was replaced since, or is "
        "damaged",
        options->given_snapshot);
    if (options->argv_is_saved) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "%s.  Give QEMU's arguments after \"--\"", text);
        return false;
    }
    g_autofree char *warning = g_strdup_printf("warning: %s", text);
    options->say(warning);
    return true;
}

bool machine_difference_tell(const LoadOptions *options, const char *identity,
                             Rpc *qmp, GPtrArray *differences, GError **error)
{
    bool fits;

    if (!check_manifest(options, identity, &fits, error)) {
        return false;
    }
    if (!fits) {
        return true;
    }
    if (options->qemu_argv) {
        machine_difference_arguments(options->manifest, options->qemu_argv,
                                     differences);
    }
    if (!machine_difference_ask(options->manifest, qmp, differences, error)) {
        return false;
    }
    for (guint i = 0; i < differences->len; i++) {
        g_autofree char *text =
            g_strdup_printf("warning: %s", (char *)differences->pdata[i]);

        options->say(text);
    }
    return true;
}

void machine_difference_explain(const GPtrArray *differences, GError **error)
{
    g_autoptr(GPtrArray) texts = g_ptr_array_new();

    if (differences->len == 0 || !error || !*error) {
        return;
    }
    for (guint i = 0; i < differences->len; i++) {
        g_ptr_array_add(texts, differences->pdata[i]);
    }
    g_ptr_array_add(texts, NULL);
    g_autofree char *list = g_strjoinv("; ", (char **)texts->pdata);
    g_autofree char *text =
        g_strdup_printf("%s.  The machine is not the one that was saved: %s",
                        (*error)->message, list);
    g_free((*error)->message);
    (*error)->message = g_steal_pointer(&text);
}
