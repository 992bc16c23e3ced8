/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/saved-machine.h"

#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "formats/manifest.h"
#include "host/disks.h"
#include "host/machine-manifest.h"
#include "host/machine-outside.h"
#include "host/process-info.h"
#include "host/unix-socket.h"
#include "util/error.h"

struct SavedMachine {
    Rpc *qmp; /* borrowed */
    SavedMachineSay *say;
    void *opaque;
    SaveDisks mode;
    pid_t pid; /* QEMU's */
    GArray *disks;
    Manifest *manifest;      /* NULL: there is none … */
    GError *why_no_manifest; /* … for this reason */
};

const char *save_disks_name(SaveDisks disks)
{
    static const char *const names[] = {
        [SAVE_DISKS_SNAPSHOT] = "snapshot",
        [SAVE_DISKS_LEAVE] = "leave",
        [SAVE_DISKS_REFUSE] = "refuse",
    };

    return names[disks];
}

static void say(const SavedMachine *machine, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

static void say(const SavedMachine *machine, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    machine->say(machine->opaque, text);
}

static bool is_deleted(const Disk *disk, const GStrv open)
{
    g_autofree char *deleted = g_strconcat(disk->file, " (deleted)", NULL);

    for (char **name = open; *name; name++) {
        if (g_str_has_suffix(*name, deleted)) {
            return true;
        }
    }
    return false;
}

/* Whether the disk is a file that QEMU has open and that has no name any more:
 * one of its own, of -snapshot.  What the guest writes is lost at its end then,
 * and nobody can keep it.  (One that we only cannot find may be in another root
 * directory.)  Fails where this does not show: who keeps a copy of the disk
 * need not know it. */
static bool look_for_file(const SavedMachine *machine, const Disk *disk,
                          bool *ret_is_temporary, GError **error)
{
    g_autoptr(GError) local = NULL;

    if (!disk->file || access(disk->file, F_OK) == 0) {
        *ret_is_temporary = false;
        return true;
    }
    g_auto(GStrv) open = process_info_open_files(machine->pid, &local);
    if (!open && machine->mode != SAVE_DISKS_LEAVE) {
        g_set_error(
            error, UTIL_ERROR, UTIL_ERROR_FAILED,
            "the disk %s (%s) is not found, and may be a temporary file of "
            "QEMU (-snapshot) or one in another root directory: QEMU's open "
            "files would tell, but cannot be looked at (%s); save as root, or "
            "use --disks leave and keep a copy yourself",
            disk_name(disk), disk->file, local->message);
        return false;
    }
    *ret_is_temporary = open && is_deleted(disk, open);
    return true;
}

/* A daemon has left the directory that its images' relative names meant: QEMU
 * itself finds none of them again. */
static bool check_name(const SavedMachine *machine, const Disk *disk,
                       GError **error)
{
    if (machine->mode != SAVE_DISKS_SNAPSHOT || !disk->file ||
        g_path_is_absolute(disk->shown) || access(disk->file, F_OK) == 0) {
        return true;
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "the disk %s (%s) would be %s now, which does not exist: with "
                "-daemonize QEMU has left the directory that it was started "
                "in; start it with the absolute path of the disk, or use "
                "--disks leave and keep a copy yourself",
                disk_name(disk), disk->shown, disk->file);
    return false;
}

/* Every load would find it as it was when QEMU was started. */
static void forget_manifest(SavedMachine *machine, const Disk *disk)
{
    if (machine->manifest) {
        g_clear_pointer(&machine->manifest, manifest_free);
        g_set_error(&machine->why_no_manifest, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "what is on the disk %s is not in the snapshot, and does "
                    "not fit its RAM",
                    disk_name(disk));
    }
}

static bool check_disk(SavedMachine *machine, Disk *disk, GError **error)
{
    bool is_temporary;

    if (!disk_is_writable(disk)) {
        return true;
    }
    if (machine->mode == SAVE_DISKS_REFUSE) {
        g_set_error(
            error, UTIL_ERROR, UTIL_ERROR_FAILED,
            "the disk %s (%s) is writable; use --disks snapshot to keep it as "
            "it is at the save, or --disks leave to keep a copy yourself",
            disk_name(disk), disk->shown);
        return false;
    }
    if (!look_for_file(machine, disk, &is_temporary, error)) {
        return false;
    }
    if (is_temporary) {
        say(machine,
            "warning: what the guest has written to the disk %s is in a "
            "temporary file of QEMU (-snapshot), and not in the snapshot",
            disk_name(disk));
        disk->read_only = true;
        forget_manifest(machine, disk);
    } else if (machine->mode == SAVE_DISKS_LEAVE) {
        say(machine,
            "warning: the disk %s (%s) is writable and not in the snapshot: "
            "keep a copy of it as it is now",
            disk_name(disk), disk->shown);
    }
    return is_temporary || check_name(machine, disk, error);
}

static void say_what_is_outside(const SavedMachine *machine)
{
    g_autoptr(GPtrArray) texts = NULL;

    if (!machine->manifest) {
        return;
    }
    texts = machine_outside_find(machine->manifest->qemu_arguments);
    for (guint i = 0; i < texts->len; i++) {
        say(machine, "warning: %s", (char *)texts->pdata[i]);
    }
}

static bool look(SavedMachine *machine, GError **error)
{
    struct ucred peer;

    if (!unix_socket_peer(rpc_fd(machine->qmp), &peer, error)) {
        return false;
    }
    machine->pid = peer.pid;
    g_autofree char *cwd = g_strdup_printf("/proc/%d/cwd", (int)peer.pid);
    g_autofree char *directory = g_file_read_link(cwd, NULL);
    machine->manifest = machine_manifest_collect(machine->qmp, machine->pid,
                                                 &machine->why_no_manifest);
    say_what_is_outside(machine);
    machine->disks =
        disks_query(machine->qmp, directory ? directory : "/", error);
    for (guint i = 0; machine->disks && i < machine->disks->len; i++) {
        if (!check_disk(machine, &g_array_index(machine->disks, Disk, i),
                        error)) {
            return false;
        }
    }
    return machine->disks != NULL;
}

SavedMachine *saved_machine_new(Rpc *qmp, SaveDisks disks,
                                SavedMachineSay *say_it, void *opaque,
                                GError **error)
{
    SavedMachine *machine = g_new0(SavedMachine, 1);

    machine->qmp = qmp;
    machine->mode = disks;
    machine->say = say_it;
    machine->opaque = opaque;
    if (!look(machine, error)) {
        saved_machine_free(machine);
        return NULL;
    }
    return machine;
}

void saved_machine_free(SavedMachine *machine)
{
    if (!machine) {
        return;
    }
    g_clear_pointer(&machine->disks, g_array_unref);
    manifest_free(machine->manifest);
    g_clear_error(&machine->why_no_manifest);
    g_free(machine);
}

/* Part of the names of the overlays: no two saves have the same.  Short: QEMU
 * takes 31 characters for the name of a node. */
static char *new_tag(void)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *seconds = g_date_time_format(now, "%y%m%d-%H%M%S");

    return g_strdup_printf("%s-%03d", seconds,
                           g_date_time_get_microsecond(now) / 1000);
}

bool saved_machine_is_overlay(const char *name)
{
    return disks_stem_len(name) < strlen(name);
}

bool saved_machine_freeze(SavedMachine *machine, GError **error)
{
    g_autofree char *tag = new_tag();

    if (machine->mode == SAVE_DISKS_SNAPSHOT &&
        !disks_add_overlays(machine->qmp, machine->disks, tag, error)) {
        g_prefix_error(error, "the disks cannot get overlays (to save without "
                              "them, use --disks leave): ");
        return false;
    }
    return true;
}

void saved_machine_note_disks(SavedMachine *machine)
{
    /* The RAM is worth more: without a manifest it can still be loaded. */
    if (machine->manifest &&
        !machine_manifest_add_disks(machine->manifest, machine->disks,
                                    &machine->why_no_manifest)) {
        g_clear_pointer(&machine->manifest, manifest_free);
    }
}

bool saved_machine_thaw(SavedMachine *machine, GError **error)
{
    return disks_remove_overlays(machine->qmp, machine->disks, error);
}

static void say_where_disks_go_on(const SavedMachine *machine)
{
    for (guint i = 0; i < machine->disks->len; i++) {
        const Disk *disk = &g_array_index(machine->disks, Disk, i);

        if (disk->overlay) {
            say(machine,
                "the disk %s goes on in %s; %s stays as it was at the save "
                "and belongs to the snapshot",
                disk_name(disk), disk->overlay, disk->file);
        }
    }
}

static bool write_manifest(SavedMachine *machine, const char *path,
                           const RamImage *image, const char *run_state,
                           const char *order, GError **error)
{
    g_autofree char *to = manifest_path(path);

    if (!machine->manifest) {
        g_propagate_error(error, g_steal_pointer(&machine->why_no_manifest));
        return false;
    }
    machine_manifest_set_image(machine->manifest, image);
    machine->manifest->run_state = g_strdup(run_state);
    machine->manifest->order = g_strdup(order);
    return manifest_save(machine->manifest, to, error);
}

void saved_machine_publish(SavedMachine *machine, const char *path,
                           const RamImage *image, const char *run_state,
                           const char *order)
{
    g_autoptr(GError) error = NULL;

    say_where_disks_go_on(machine);
    if (!write_manifest(machine, path, image, run_state, order, &error)) {
        say(machine,
            "warning: the snapshot has no manifest, so loadvm needs QEMU's "
            "arguments: %s",
            error->message);
    }
}
