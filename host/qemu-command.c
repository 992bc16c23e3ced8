/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/qemu-command.h"

#include <string.h>

#include "host/qemu-values.h"

/* ---- options ---- */

/* Options that take no value; all others do. */
static const char *const flags[] = {
    "S",
    "s",
    "nographic",
    "daemonize",
    "snapshot",
    "enable-kvm",
    "no-reboot",
    "no-shutdown",
    "nodefaults",
    "no-user-config",
    "full-screen",
    "no-fd-bootchk",
    "preconfig",
    "only-migratable",
    "usb",
    "xen-attach",
    "mem-prealloc",
    "no-acpi",
    "no-hpet",
    "singlestep",
    "semihosting",
    "old-param",
    "win2k-hack",
    "xen-domid-restrict",
    "alt-grab",
    "ctrl-grab",
    "no-quit",
    "async-teardown",
    "perfmap",
    "jitdump",
    "enable-sync-profile",
    "h",
    "help",
    "version",
    NULL,
};

GArray *qemu_command_options(char *const *argv)
{
    GArray *options = g_array_new(FALSE, FALSE, sizeof(QemuOption));

    for (size_t i = 0; argv[i]; i++) {
        QemuOption option = {.name = "", .value = argv[i], .argument = i};

        if (argv[i][0] == '-' && argv[i][1] != '\0') {
            option.name = argv[i] + (argv[i][1] == '-' ? 2 : 1);
            option.value = NULL;
            if (!g_strv_contains(flags, option.name) && argv[i + 1]) {
                option.value = argv[++i];
                option.argument = i;
            }
        }
        g_array_append_val(options, option);
    }
    return options;
}

const QemuOption *qemu_command_find(const GArray *options, size_t argument)
{
    for (guint i = 0; i < options->len; i++) {
        const QemuOption *option = &g_array_index(options, QemuOption, i);

        if (option->argument == argument && option->value) {
            return option;
        }
    }
    return NULL;
}

/* ---- disks ---- */

char *qemu_command_disk_file(const QemuOption *option)
{
    static const char *const whole[] = {"",         "hda", "hdb",    "hdc",
                                        "hdd",      "fda", "fdb",    "cdrom",
                                        "mtdblock", "sd",  "pflash", NULL};
    static const char *const keys[] = {"file", "filename", "file.filename"};

    if (!option->value) {
        return NULL;
    }
    if (g_strv_contains(whole, option->name)) {
        return g_strdup(option->value);
    }
    bool is_drive = strcmp(option->name, "drive") == 0;
    if (!is_drive && strcmp(option->name, "blockdev") != 0) {
        return NULL;
    }
    /* The "file" of -blockdev is another node. */
    for (size_t i = is_drive ? 0 : 1; i < G_N_ELEMENTS(keys); i++) {
        char *file = qemu_values_get(option->value, keys[i]);

        if (file) {
            return file;
        }
    }
    return NULL;
}

/* ---- what cannot be shared ---- */

/* Takes over value; NULL is fine. */
static void add(GArray *resources, size_t argument, ManifestResourceKind kind,
                char *value)
{
    if (value && value[0]) {
        const ManifestResource resource = {argument, kind, value};

        g_array_append_val(resources, resource);
    } else {
        g_free(value);
    }
}

/* "host:port", "[::1]:port", ":port": the port, for g_free(). */
static char *port_of(const char *address)
{
    const char *colon = strrchr(address, ':');

    return g_strdup(colon ? colon + 1 : address);
}

/* The part of a short form up to its options, "PATH" of "PATH,server=on". */
static char *first_value(const char *text)
{
    return qemu_values_take(&text);
}

/* The path of "file:PATH", "pipe:PATH" or "/dev/tty", a short form such as
 * -serial takes; NULL: it is another one.  All that follows is the path, commas
 * and all.  Source: QEMU, qemu_chr_parse_compat() in chardev/char.c. */
static const char *plain_path(const char *text)
{
    static const char *const prefixes[] = {"file:", "pipe:"};

    if (g_str_has_prefix(text, "mon:")) {
        text += strlen("mon:");
    }
    for (size_t i = 0; i < G_N_ELEMENTS(prefixes); i++) {
        if (g_str_has_prefix(text, prefixes[i])) {
            return text + strlen(prefixes[i]);
        }
    }
    return g_str_has_prefix(text, "/dev/") ? text : NULL;
}

/* The other ones: "unix:PATH,server=on". */
static void add_short_chardev(GArray *resources, size_t argument,
                              const char *text)
{
    static const struct {
        const char *prefix;
        ManifestResourceKind kind;
    } known[] = {
        {"unix:", MANIFEST_SOCKET},
        {"tcp:", MANIFEST_PORT},
        {"telnet:", MANIFEST_PORT},
        {"websocket:", MANIFEST_PORT},
    };
    const char *path = plain_path(text);

    if (path) {
        add(resources, argument, MANIFEST_FILE, g_strdup(path));
        return;
    }
    if (g_str_has_prefix(text, "mon:")) {
        text += strlen("mon:");
    }
    for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
        if (!g_str_has_prefix(text, known[i].prefix)) {
            continue;
        }
        g_autofree char *value = first_value(text + strlen(known[i].prefix));

        add(resources, argument, known[i].kind,
            known[i].kind == MANIFEST_PORT ? port_of(value)
                                           : g_steal_pointer(&value));
        return;
    }
}

static void add_chardev(GArray *resources, size_t argument, const char *text)
{
    g_autofree char *backend = text[0] == '{'
                                   ? qemu_values_get(text, "backend.type")
                                   : first_value(text);
    g_autofree char *path = qemu_values_get(text, "path");
    bool is_socket = g_strcmp0(backend, "socket") == 0;

    if (path) {
        add(resources, argument, is_socket ? MANIFEST_SOCKET : MANIFEST_FILE,
            g_steal_pointer(&path));
    } else if (is_socket && (qemu_values_have(text, "server=on") ||
                             qemu_values_have(text, "server"))) {
        add(resources, argument, MANIFEST_PORT, qemu_values_get(text, "port"));
    }
    add(resources, argument, MANIFEST_LOG, qemu_values_get(text, "logfile"));
}

/* "tcp:ADDRESS:PORT-GUEST:PORT", also without ADDRESS and protocol. */
static char *forwarded_port(const char *rule)
{
    g_auto(GStrv) sides = g_strsplit(rule, "-", 2);

    return sides[0] && sides[1] ? port_of(sides[0]) : NULL;
}

static void add_network(GArray *resources, size_t argument, const char *text)
{
    const char *at = text;

    while (*at) {
        g_autofree char *part = qemu_values_take(&at);

        if (g_str_has_prefix(part, "hostfwd=")) {
            add(resources, argument, MANIFEST_PORT,
                forwarded_port(part + strlen("hostfwd=")));
        } else if (g_str_has_prefix(part, "listen=")) {
            add(resources, argument, MANIFEST_PORT,
                port_of(part + strlen("listen=")));
        } else if (g_str_has_prefix(part, "ifname=")) {
            add(resources, argument, MANIFEST_INTERFACE,
                g_strdup(part + strlen("ifname=")));
        }
    }
}

static void add_vnc(GArray *resources, size_t argument, const char *text)
{
    if (g_str_has_prefix(text, "unix:")) {
        add(resources, argument, MANIFEST_SOCKET,
            first_value(text + strlen("unix:")));
    } else if (strchr(text, ':')) {
        g_autofree char *address = first_value(text);

        add(resources, argument, MANIFEST_PORT, port_of(address));
    }
}

static void add_object(GArray *resources, size_t argument, const char *text)
{
    g_autofree char *type =
        text[0] == '{' ? qemu_values_get(text, "qom-type") : first_value(text);

    if (g_strcmp0(type, "memory-backend-file") == 0) {
        add(resources, argument, MANIFEST_FILE,
            qemu_values_get(text, "mem-path"));
    }
}

static void add_pid_file(GArray *resources, size_t argument, const char *text)
{
    add(resources, argument, MANIFEST_PID_FILE, g_strdup(text));
}

static void add_log(GArray *resources, size_t argument, const char *text)
{
    add(resources, argument, MANIFEST_LOG, g_strdup(text));
}

typedef void AddResources(GArray *resources, size_t argument, const char *text);

GArray *qemu_command_resources(char *const *argv)
{
    static const struct {
        const char *option;
        AddResources *add;
    } known[] = {
        {"qmp", add_short_chardev},
        {"qmp-pretty", add_short_chardev},
        {"monitor", add_short_chardev},
        {"serial", add_short_chardev},
        {"parallel", add_short_chardev},
        {"debugcon", add_short_chardev},
        {"gdb", add_short_chardev},
        {"qtest", add_short_chardev},
        {"chardev", add_chardev},
        {"netdev", add_network},
        {"nic", add_network},
        {"net", add_network},
        {"vnc", add_vnc},
        {"object", add_object},
        {"pidfile", add_pid_file},
        {"D", add_log},
    };
    GArray *resources = g_array_new(FALSE, FALSE, sizeof(ManifestResource));
    g_autoptr(GArray) options = qemu_command_options(argv);

    g_array_set_clear_func(resources, manifest_resource_clear);
    for (guint i = 0; i < options->len; i++) {
        const QemuOption *option = &g_array_index(options, QemuOption, i);

        for (size_t k = 0; option->value && k < G_N_ELEMENTS(known); k++) {
            if (strcmp(option->name, known[k].option) == 0) {
                known[k].add(resources, option->argument, option->value);
            }
        }
    }
    return resources;
}

/* ---- naming something else ---- */

/* Whether c may stand beside value: it does not make it part of a longer one.
 * Behind a port there may be a dash, "2222-:22". */
static bool is_border(char c, const char *value)
{
    bool is_number = strspn(value, "0123456789") == strlen(value);

    return c == '\0' || (c == '-' && is_number) ||
           !(g_ascii_isalnum(c) || strchr("/._-", c));
}

/* Of a rule "hostfwd=tcp:ADDRESS:2222-:22", the port of the host. */
static const char *find_forwarded(const char *text, const char *value)
{
    g_autofree char *in_rule = g_strdup_printf(":%s-", value);
    const char *found = strstr(text, in_rule);

    return found ? found + 1 : NULL;
}

/* Where text names value, and not just something that has it in it. */
static const char *find_value(const char *text, const char *value)
{
    const char *forwarded = find_forwarded(text, value);
    const char *found = strstr(text, value);

    while (found && ((found > text && !is_border(found[-1], value)) ||
                     !is_border(found[strlen(value)], value))) {
        found = strstr(found + 1, value);
    }
    return forwarded ? forwarded : found;
}

static char *replace_at(const char *text, const char *at, size_t len,
                        const char *replacement)
{
    g_autofree char *before = g_strndup(text, (gsize)(at - text));

    return g_strconcat(before, replacement, at + len, NULL);
}

/* The same where a key says what value is: something else may be called so as
 * well, "socket,id=q,path=q".  NULL: none of these does. */
static char *replace_by_key(const char *argument, const char *value,
                            const char *replacement)
{
    static const char *const keys[] = {"path", "logfile", "port", "mem-path",
                                       "ifname"};

    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        g_autofree char *now = qemu_values_get(argument, keys[i]);

        if (g_strcmp0(now, value) == 0) {
            return qemu_values_set(argument, keys[i], replacement);
        }
    }
    return NULL;
}

char *qemu_command_replace(const char *argument, const char *value,
                           const char *replacement)
{
    const char *path = plain_path(argument);

    if (strcmp(argument, value) == 0) {
        return g_strdup(replacement);
    }
    if (path && strcmp(path, value) == 0) {
        return replace_at(argument, path, strlen(path), replacement);
    }
    char *by_key = replace_by_key(argument, value, replacement);
    if (by_key) {
        return by_key;
    }
    bool is_json = argument[0] == '{';
    g_autofree char *escaped =
        is_json ? g_strdup(value) : qemu_values_escape(value);
    g_autofree char *put =
        is_json ? g_strdup(replacement) : qemu_values_escape(replacement);
    const char *at = find_value(argument, escaped);

    return at ? replace_at(argument, at, strlen(escaped), put) : NULL;
}
