/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/incoming.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "formats/skeleton.h"
#include "host/migration-settings.h"
#include "host/migration.h"
#include "util/error.h"

/* QEMU's fd sets tell descriptors apart by what they can do, and a load asks
 * for one that can only read. */
static int reopen_for_reading(int fd, GError **error)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    int again = open(path, O_RDONLY | O_CLOEXEC);

    if (again < 0) {
        util_error_set_errno(error, errno, "cannot open the skeleton again");
    }
    return again;
}

int incoming_make_skeleton(const RamImage *image, const bool *lazy,
                           GError **error)
{
    int fd = memfd_create("preheat-skeleton", MFD_CLOEXEC);
    int again = -1;

    if (fd < 0) {
        util_error_set_errno(error, errno, "cannot make a memfd");
        return -1;
    }
    if (skeleton_write(image, lazy, fd, error)) {
        again = reopen_for_reading(fd, error);
    }
    close(fd);
    return again;
}

static bool refuse(const char *what, GError **error)
{
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "%s; to load into a QEMU, start it with -incoming defer", what);
    return false;
}

static bool refuse_state(const char *state, GError **error)
{
    g_autofree char *what = g_strdup_printf(
        "this QEMU is not waiting for a guest, it has one (%s)", state);

    return refuse(what, error);
}

bool incoming_check_deferred(Machine *machine, GError **error)
{
    g_autofree char *state = NULL;
    MigrationState migration;

    if (!qmp_run_state(machine_qmp(machine), &state, error)) {
        return false;
    }
    if (strcmp(state, "inmigrate") != 0) {
        return refuse_state(state, error);
    }
    if (!migration_look(machine, &migration, error)) {
        return false;
    }
    switch (migration) {
    case MIGRATION_NONE:
        return true;
    case MIGRATION_FAILED:
        return refuse("an incoming migration of this QEMU has failed before",
                      error);
    default:
        return refuse("this QEMU is waiting for a migration from elsewhere, or "
                      "one has begun",
                      error);
    }
}

static bool migrate(Machine *machine, const char *uri, GError **error)
{
    GError *local = NULL;

    if (!migration_begin_incoming(machine, uri, error)) {
        return false;
    }
    if (migration_complete(machine, NULL, NULL, &local)) {
        return true;
    }
    if (!g_error_matches(local, UTIL_ERROR, UTIL_ERROR_FAILED)) {
        g_propagate_error(error, local);
        return false;
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "QEMU cannot load the device state: %s; start QEMU with the "
                "arguments that it was saved with",
                local->message);
    g_error_free(local);
    return false;
}

struct Incoming {
    Machine *machine;
    MigrationSettings *settings; /* NULL: they are what they were */
    int64_t fd_set;              /* -1: there is none any more */
    char *uri;
};

Incoming *incoming_new(Machine *machine, int fd, uint64_t off_bytes,
                       GError **error)
{
    g_autoptr(Incoming) incoming = g_new0(Incoming, 1);
    Rpc *qmp = machine_qmp(machine);

    incoming->machine = machine;
    incoming->fd_set = -1;
    if (!qmp_add_fd(qmp, fd, NULL, &incoming->fd_set, error)) {
        return NULL;
    }
    incoming->uri = qmp_fd_uri(incoming->fd_set, off_bytes);
    incoming->settings =
        migration_settings_new(qmp, MIGRATION_FROM_FILE, error);
    return incoming->settings &&
                   migration_settings_apply(incoming->settings, qmp, error)
               ? g_steal_pointer(&incoming)
               : NULL;
}

bool incoming_end(Incoming *incoming, GError **error)
{
    g_autoptr(MigrationSettings) settings =
        g_steal_pointer(&incoming->settings);
    Rpc *qmp = machine_qmp(incoming->machine);
    int64_t fd_set = incoming->fd_set;

    incoming->fd_set = -1;
    return (!settings || migration_settings_restore(settings, qmp, error)) &&
           (fd_set < 0 || qmp_remove_fd(qmp, fd_set, error));
}

void incoming_free(Incoming *incoming)
{
    if (incoming) {
        migration_settings_free(incoming->settings);
        g_free(incoming->uri);
        g_free(incoming);
    }
}

bool incoming_load(Incoming *incoming, GError **error)
{
    return migrate(incoming->machine, incoming->uri, error);
}
