/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/host-resource.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/qemu-values.h"

/* VNC counts displays from this port on. */
#define VNC_FIRST_PORT 5900

/* What a QEMU would listen at. */
typedef struct Listening {
    char *address; /* NULL: any */
    char *port;    /* decimal */
    int type;      /* SOCK_STREAM or SOCK_DGRAM */
} Listening;

static void listening_clear(Listening *listening)
{
    g_free(listening->address);
    g_free(listening->port);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Listening, listening_clear)

static bool is_one_of(const char *name, const char *const *names)
{
    return g_strv_contains(names, name);
}

static bool is_network(const QemuOption *option)
{
    static const char *const names[] = {"netdev", "nic", "net", NULL};

    return is_one_of(option->name, names);
}

bool host_resource_is_made(const QemuOption *option, ManifestResourceKind kind)
{
    static const char *const always[] = {"vnc", "gdb", NULL};

    if (kind != MANIFEST_SOCKET && kind != MANIFEST_PORT) {
        return true;
    }
    return is_network(option) || is_one_of(option->name, always) ||
           qemu_values_have(option->value, "server=on") ||
           qemu_values_have(option->value, "server");
}

/* ---- ports ---- */

/* The host of "HOST:PORT" or "[HOST]:PORT", for g_free(); NULL: any. */
static char *host_of(const char *address)
{
    const char *colon = strrchr(address, ':');
    size_t len = colon ? (size_t)(colon - address) : 0;

    if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
        address++;
        len -= 2;
    }
    return len > 0 ? g_strndup(address, len) : NULL;
}

/* "tcp:ADDRESS:PORT-…" is a rule for port. */
static bool parse_rule(const char *rule, const char *port, Listening *listening)
{
    g_auto(GStrv) sides = g_strsplit(rule, "-", 2);
    const char *address = strchr(sides[0], ':');
    const char *colon = strrchr(sides[0], ':');

    if (!colon || strcmp(colon + 1, port) != 0) {
        return false;
    }
    listening->type = g_str_has_prefix(rule, "udp:") ? SOCK_DGRAM : SOCK_STREAM;
    listening->address = host_of(address + 1);
    /* QEMU's user network listens at IPv4 addresses. */
    if (!listening->address) {
        listening->address = g_strdup("0.0.0.0");
    }
    return true;
}

static void parse_network(const char *text, const char *port,
                          Listening *listening)
{
    while (*text) {
        g_autofree char *part = qemu_values_take(&text);

        if (g_str_has_prefix(part, "hostfwd=") &&
            parse_rule(part + strlen("hostfwd="), port, listening)) {
            return;
        }
    }
}

static void parse_short(const char *text, Listening *listening)
{
    g_autofree char *first = qemu_values_take(&text);
    const char *address = strchr(first, ':');

    if (g_str_has_prefix(first, "mon:") && address) {
        address = strchr(address + 1, ':');
    }
    listening->address = address ? host_of(address + 1) : NULL;
}

static void parse_vnc(const char *text, const char *display,
                      Listening *listening)
{
    g_autofree char *first = qemu_values_take(&text);

    listening->address = host_of(first);
    g_free(listening->port);
    listening->port = g_strdup_printf("%d", VNC_FIRST_PORT + atoi(display));
}

/* port: as option has it; name: what it is to be instead. */
static void parse_listening(const QemuOption *option, const char *port,
                            const char *name, Listening *listening)
{
    listening->type = SOCK_STREAM;
    listening->port = g_strdup(name);
    if (is_network(option)) {
        parse_network(option->value, port, listening);
    } else if (strcmp(option->name, "vnc") == 0) {
        parse_vnc(option->value, name, listening);
    } else if (strcmp(option->name, "chardev") == 0) {
        listening->address = qemu_values_get(option->value, "host");
    } else {
        parse_short(option->value, listening);
    }
}

/* 0, or an errno. */
static int try_address(const struct addrinfo *at)
{
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, 0);
    int errnum;

    if (fd < 0) {
        return errno;
    }
    /* As QEMU does: what only has ended lately is no hindrance. */
    if (at->ai_socktype == SOCK_STREAM) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    }
    if (at->ai_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int));
    }
    errnum = bind(fd, at->ai_addr, at->ai_addrlen) == 0 ? 0 : errno;
    close(fd);
    return errnum;
}

/* QEMU is content with one address of several. */
static bool all_are_taken(const Listening *listening)
{
    const struct addrinfo hints = {.ai_socktype = listening->type,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    bool is_taken = false;
    bool is_free = false;

    if (getaddrinfo(listening->address, listening->port, &hints, &found) != 0) {
        return false;
    }
    for (const struct addrinfo *at = found; at; at = at->ai_next) {
        int errnum = try_address(at);

        is_free = is_free || errnum == 0;
        is_taken = is_taken || errnum == EADDRINUSE;
    }
    freeaddrinfo(found);
    return is_taken && !is_free;
}

static bool port_is_taken(const QemuOption *option, const char *port,
                          const char *name)
{
    g_auto(Listening) listening = {0};
    /* With it QEMU looks for a free one from there on. */
    g_autofree char *to = qemu_values_get(option->value, "to");

    if (name[strspn(name, "0123456789")] || to) {
        return false;
    }
    parse_listening(option, port, name, &listening);
    return strcmp(listening.port, "0") != 0 && all_are_taken(&listening);
}

/* ---- interfaces ---- */

/* A tap that a process has open has a carrier. */
static bool interface_is_taken(const char *name)
{
    g_autofree char *folder = g_build_filename("/sys/class/net", name, NULL);
    g_autofree char *flags = g_build_filename(folder, "tun_flags", NULL);
    g_autofree char *carrier = g_build_filename(folder, "carrier", NULL);
    g_autofree char *text = NULL;

    return g_file_test(flags, G_FILE_TEST_EXISTS) &&
           g_file_get_contents(carrier, &text, NULL, NULL) && text[0] == '1';
}

/* ---- both ---- */

bool host_resource_is_taken(const QemuOption *option,
                            const ManifestResource *resource, const char *name)
{
    if (resource->kind == MANIFEST_INTERFACE) {
        return interface_is_taken(name);
    }
    return resource->kind == MANIFEST_PORT &&
           host_resource_is_made(option, MANIFEST_PORT) &&
           port_is_taken(option, resource->value, name);
}

char *host_resource_describe(ManifestResourceKind kind, const char *value)
{
    static const char *const names[] = {
        [MANIFEST_SOCKET] = "socket",
        [MANIFEST_FILE] = "file",
        [MANIFEST_PID_FILE] = "pid file",
        [MANIFEST_LOG] = "log file",
        [MANIFEST_PORT] = "host port",
        [MANIFEST_INTERFACE] = "network interface",
    };

    return g_strdup_printf("%s %s", names[kind], value);
}

char *host_resource_find_taken(char *const *argv)
{
    g_autoptr(GArray) options = qemu_command_options(argv);
    g_autoptr(GArray) resources = qemu_command_resources(argv);

    for (guint i = 0; i < resources->len; i++) {
        const ManifestResource *resource =
            &g_array_index(resources, ManifestResource, i);
        const QemuOption *option =
            qemu_command_find(options, resource->argument);

        if (option &&
            host_resource_is_taken(option, resource, resource->value)) {
            return host_resource_describe(resource->kind, resource->value);
        }
    }
    return NULL;
}
