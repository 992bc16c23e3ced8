/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/ram-access.h"

#include <string.h>

#include "host/process-info.h"
#include "host/qmp.h"
#include "util/error.h"
#include "util/units.h"

#define SHARES(whose)                                                          \
    whose " maps guest RAM too, and would see zeroes in pages that are "       \
          "not loaded yet"
#define NETWORK_LIST "info network"
#define PINS         "it pins guest RAM for the hardware"
#define BYPASSES                                                               \
    "its other end accesses guest RAM without QEMU, and would see zeroes in "  \
    "pages that are not loaded yet"
#define BLOBS                                                                  \
    "the host's graphics access its blobs in guest RAM (udmabuf), and would "  \
    "see zeroes in pages that are not loaded yet"

/* One search.  A check returns false on an error; who it finds, it notes in
 * access. */
typedef struct Search {
    Rpc *qmp;
    pid_t pid;
    const GArray *blocks;
    GPtrArray *warnings;
    const struct Kind *devices; /* what is looked for among these */
    size_t n_devices;
    RamAccess access;
} Search;

typedef bool Check(Search *search, GError **error);

typedef struct Kind {
    const char *name;     /* how it begins, or, of a block driver, all of it */
    const char *property; /* of a device: it must be true; NULL: always */
    const char *why;
} Kind;

static const Kind device_kinds[] = {
    {"vhost-user-", NULL, SHARES("its backend process")},
    {"cryptodev-vhost-user", NULL, SHARES("its backend process")},
    {"x-pci-proxy-dev", NULL, SHARES("its remote process")},
    {"x-vfio-user-server", NULL, SHARES("its client")},
    {"ivshmem-", NULL,
     "other processes map its memory too, and would see zeroes in pages "
     "that are not loaded yet"},
    {"vhost-vdpa-", NULL, PINS},
    {"vfio-", NULL, PINS},
    {"pvrdma", NULL, PINS},
    {"virtio-gpu", "blob", BLOBS},
    {"virtio-vga", "blob", BLOBS},
};

#define GIVES_BACK                                                             \
    "it gives the guest's memory back to the host, and expects it to be "      \
    "zero afterwards; a clone would find the snapshot's contents there"

static const Kind giving_kinds[] = {
    {"virtio-balloon", "free-page-reporting", GIVES_BACK},
    {"virtio-mem", NULL, GIVES_BACK},
};

/* libblkio's other drivers, io_uring and nvme-io_uring, have the kernel look
 * a request's pages up when it comes. */
static const Kind block_kinds[] = {
    {"nvme", NULL, PINS},
    {"virtio-blk-vfio-pci", NULL, PINS},
    {"virtio-blk-vhost-vdpa", NULL, PINS},
    {"virtio-blk-vhost-user", NULL, SHARES("its backend process")},
};

static const Kind file_kinds[] = {
    {"/dev/vfio/", NULL, PINS},
    {"anon_inode:[vfio-device]", NULL, PINS},
    {"/dev/vhost-vdpa", NULL, PINS},
    {"/dev/udmabuf", NULL, BLOBS},
};

static const Kind *find_kind(const Kind *kinds, size_t n_kinds,
                             const char *name)
{
    for (size_t i = 0; i < n_kinds; i++) {
        if (g_str_has_prefix(name, kinds[i].name)) {
            return &kinds[i];
        }
    }
    return NULL;
}

static bool found(const Search *search)
{
    return search->access.who != NULL;
}

static void note(Search *search, char *who, const char *why)
{
    search->access.who = who;
    search->access.why = why;
}

/* Frees error, the reason. */
static void cannot_look(Search *search, const char *what, GError *error)
{
    if (search->warnings) {
        g_ptr_array_add(
            search->warnings,
            g_strdup_printf("cannot examine QEMU's %s: %s; a device that "
                            "accesses guest RAM without QEMU may go unnoticed",
                            what, error->message));
    }
    g_error_free(error);
}

/* ---- devices and objects ---- */

/* "vfio-pci" of a property "child<vfio-pci>"; NULL for another property. */
static char *child_type(const json_t *property)
{
    static const char child[] = "child<";
    const char *type = json_string_value(json_object_get(property, "type"));

    if (!type || !g_str_has_prefix(type, child) ||
        !g_str_has_suffix(type, ">")) {
        return NULL;
    }
    return g_strndup(type + strlen(child),
                     strlen(type) - strlen(child) - strlen(">"));
}

/* A property that the object does not have is not true. */
static bool property_is_true(Search *search, const char *path,
                             const char *property, bool *ret_is, GError **error)
{
    GError *local = NULL;
    json_t *value = NULL;

    if (!rpc_execute(
            search->qmp, "qom-get",
            json_pack("{s:s, s:s}", "path", path, "property", property), &value,
            &local) &&
        !g_error_matches(local, UTIL_ERROR, UTIL_ERROR_REFUSED)) {
        g_propagate_error(error, local);
        return false;
    }
    g_clear_error(&local);
    *ret_is = json_is_true(value);
    json_decref(value);
    return true;
}

static bool check_child(Search *search, const char *container,
                        const json_t *child, GError **error)
{
    const char *name = json_string_value(json_object_get(child, "name"));
    g_autofree char *type = child_type(child);
    g_autofree char *path =
        g_strdup_printf("%s/%s", container, name ? name : "");
    const Kind *kind =
        type ? find_kind(search->devices, search->n_devices, type) : NULL;
    bool is = true;

    if (kind && kind->property &&
        !property_is_true(search, path, kind->property, &is, error)) {
        return false;
    }
    if (kind && is) {
        note(search, g_strdup_printf("%s (%s)", path, type), kind->why);
    }
    return true;
}

/* Devices given with -device, and objects given with -object, are direct
 * children of these, whichever bus they sit on.  What the machine or an older
 * option makes (-vga) shows in the files that QEMU opens for it. */
static const char *const containers[] = {
    "/machine/peripheral",
    "/machine/peripheral-anon",
    "/objects",
};

static json_t *container_arguments(const char *path)
{
    return json_pack("{s:s}", "path", path);
}

static bool check_container(Search *search, const char *path, GError **error)
{
    json_t *children, *child;
    bool ok = true;
    size_t i;

    if (!rpc_execute(search->qmp, "qom-list", container_arguments(path),
                     &children, error)) {
        return false;
    }
    json_array_foreach(children, i, child)
    {
        ok = ok && (found(search) || check_child(search, path, child, error));
    }
    json_decref(children);
    return ok;
}

static bool check_objects(Search *search, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(containers) && !found(search); i++) {
        if (!check_container(search, containers[i], error)) {
            return false;
        }
    }
    return true;
}

/* ---- block devices ---- */

static void check_block_node(Search *search, const json_t *node)
{
    const char *name = json_string_value(json_object_get(node, "node-name"));
    const char *driver = json_string_value(json_object_get(node, "drv"));

    for (size_t i = 0; driver && i < G_N_ELEMENTS(block_kinds); i++) {
        if (strcmp(driver, block_kinds[i].name) == 0) {
            note(search,
                 g_strdup_printf("block device %s (%s)", name ? name : "",
                                 driver),
                 block_kinds[i].why);
            return;
        }
    }
}

static json_t *block_node_arguments(void)
{
    return json_pack("{s:b}", "flat", 1);
}

static bool check_block_nodes(Search *search, GError **error)
{
    json_t *nodes, *node;
    size_t i;

    if (!rpc_execute(search->qmp, "query-named-block-nodes",
                     block_node_arguments(), &nodes, error)) {
        return false;
    }
    json_array_foreach(nodes, i, node)
    {
        if (!found(search)) {
            check_block_node(search, node);
        }
    }
    json_decref(nodes);
    return true;
}

/* ---- network backends ---- */

/* They are no QOM objects, and no query of QMP's lists them.  passt's says
 * "type=passt,vhost-user,connected to pid 4711" if it is one. */
static void check_network_list(Search *search, const char *text)
{
    g_autoptr(GRegex) regex =
        g_regex_new("(\\S+): index=\\d+,type=(vhost-user|vhost-vdpa|"
                    "[^, ]+,vhost-user)\\b",
                    0, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;

    g_assert(regex);
    if (g_regex_match(regex, text, 0, &match)) {
        g_autofree char *name = g_match_info_fetch(match, 1);
        g_autofree char *type = g_match_info_fetch(match, 2);

        note(search, g_strdup_printf("network backend %s (%s)", name, type),
             BYPASSES);
    }
}

static bool is_on(const char *value)
{
    return !g_str_equal(value, "off") && !g_str_equal(value, "no") &&
           !g_str_equal(value, "false") && !g_str_equal(value, "n");
}

static bool is_direct_type(const char *type)
{
    return g_str_equal(type, "vhost-user") || g_str_equal(type, "vhost-vdpa");
}

static bool is_direct_json(const char *argument)
{
    json_t *json = json_loads(argument, 0, NULL);
    const char *type = json_string_value(json_object_get(json, "type"));
    bool is = (type && is_direct_type(type)) ||
              json_is_true(json_object_get(json, "vhost-user"));

    json_decref(json);
    return is;
}

/* An argument such as "vhost-user,id=net0" or "passt,vhost-user=on". */
static bool is_direct_backend(const char *argument)
{
    g_auto(GStrv) options = g_strsplit(argument, ",", -1);

    if (argument[0] == '{') {
        return is_direct_json(argument);
    }
    for (size_t i = 0; options[i]; i++) {
        const char *option = options[i];

        if ((i == 0 && is_direct_type(option)) ||
            (g_str_has_prefix(option, "type=") &&
             is_direct_type(option + strlen("type="))) ||
            (i > 0 && g_str_equal(option, "vhost-user")) ||
            (g_str_has_prefix(option, "vhost-user=") &&
             is_on(option + strlen("vhost-user=")))) {
            return true;
        }
    }
    return false;
}

static bool makes_backend(const char *option)
{
    option += g_str_has_prefix(option, "--");
    return g_str_equal(option, "-netdev") || g_str_equal(option, "-nic") ||
           g_str_equal(option, "-net");
}

const char *ram_access_by_arguments(GStrv arguments)
{
    for (size_t i = 0; arguments[i] && arguments[i + 1]; i++) {
        if (makes_backend(arguments[i]) &&
            is_direct_backend(arguments[i + 1])) {
            return arguments[i + 1];
        }
    }
    return NULL;
}

/* Without a human monitor QEMU's arguments must do. */
static void check_arguments(Search *search)
{
    GError *error = NULL;
    g_auto(GStrv) arguments = process_info_arguments(search->pid, &error);
    const char *who = arguments ? ram_access_by_arguments(arguments) : NULL;

    if (!arguments) {
        cannot_look(search, "network backends", error);
    } else if (who) {
        note(search, g_strdup_printf("network backend %s", who), BYPASSES);
    }
}

static bool check_network(Search *search, GError **error)
{
    GError *local = NULL;
    g_autofree char *text = NULL;

    if (qmp_human(search->qmp, NETWORK_LIST, &text, &local)) {
        check_network_list(search, text);
        return true;
    }
    if (!g_error_matches(local, UTIL_ERROR, UTIL_ERROR_REFUSED)) {
        g_propagate_error(error, local);
        return false;
    }
    g_error_free(local);
    check_arguments(search);
    return true;
}

/* ---- what the kernel says ---- */

const char *ram_access_by_file(const char *name)
{
    const Kind *kind = find_kind(file_kinds, G_N_ELEMENTS(file_kinds), name);

    return kind ? kind->why : NULL;
}

static bool check_open_files(Search *search, GError **error)
{
    GError *local = NULL;
    g_auto(GStrv) names = process_info_open_files(search->pid, &local);

    if (!names) {
        cannot_look(search, "open files", local);
        return true;
    }
    for (size_t i = 0; names[i] && !found(search); i++) {
        const char *why = ram_access_by_file(names[i]);

        if (why) {
            note(search, g_strdup_printf("QEMU's open file %s", names[i]), why);
        }
    }
    return true;
}

static bool check_locked_memory(Search *search, GError **error)
{
    GError *local = NULL;
    uint64_t locked_bytes;

    if (!process_info_locked_memory(search->pid, &locked_bytes, &local)) {
        cannot_look(search, "locked memory", local);
    } else if (locked_bytes > 0) {
        g_autofree char *size = units_format_size(locked_bytes);

        note(search,
             g_strdup_printf("%s of QEMU's memory is locked (-overcommit "
                             "mem-lock=on?)",
                             size),
             "locked memory cannot be discarded");
    }
    return true;
}

/* A memfd is shared by QEMU's own devices only, which have been looked for. */
static bool check_shared_block(Search *search, const RamBlock *block)
{
    g_autofree char *name = NULL;
    GError *local = NULL;
    ProcessFile file;
    pid_t other;

    if (!process_info_shared_file(search->pid, block->host, &file, &local)) {
        cannot_look(search, "mappings", local);
        return false;
    }
    other =
        file.has_name ? process_info_other_user(search->pid, &file, &name) : 0;
    if (other > 0) {
        note(search,
             g_strdup_printf("process %d (%s), which maps RAM block %s",
                             (int)other, name, block->name),
             "it would see zeroes in pages that are not loaded yet");
    }
    return true;
}

static bool check_shared_memory(Search *search, GError **error)
{
    bool can_look = true;

    for (guint i = 0; i < search->blocks->len && can_look && !found(search);
         i++) {
        can_look = check_shared_block(
            search, &g_array_index(search->blocks, RamBlock, i));
    }
    return true;
}

bool ram_access_ask_ahead(Rpc *qmp, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(containers); i++) {
        if (!rpc_ask_ahead(qmp, "qom-list", container_arguments(containers[i]),
                           error)) {
            return false;
        }
    }
    return rpc_ask_ahead(qmp, "query-named-block-nodes", block_node_arguments(),
                         error) &&
           qmp_human_ask_ahead(qmp, NETWORK_LIST, error);
}

bool ram_access_find(Rpc *qmp, pid_t pid, const GArray *blocks,
                     GPtrArray *warnings, RamAccess *ret_access, GError **error)
{
    /* What has a name to tell comes first. */
    static Check *const checks[] = {
        check_objects,    check_block_nodes,   check_network,
        check_open_files, check_locked_memory, check_shared_memory,
    };
    Search search = {.qmp = qmp,
                     .pid = pid,
                     .blocks = blocks,
                     .warnings = warnings,
                     .devices = device_kinds,
                     .n_devices = G_N_ELEMENTS(device_kinds)};

    for (size_t i = 0; i < G_N_ELEMENTS(checks) && !found(&search); i++) {
        if (!checks[i](&search, error)) {
            return false;
        }
    }
    *ret_access = search.access;
    return true;
}

bool ram_access_find_giver(Rpc *qmp, RamAccess *ret_access, GError **error)
{
    Search search = {.qmp = qmp,
                     .devices = giving_kinds,
                     .n_devices = G_N_ELEMENTS(giving_kinds)};

    if (!check_objects(&search, error)) {
        return false;
    }
    *ret_access = search.access;
    return true;
}
