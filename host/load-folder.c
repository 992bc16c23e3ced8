/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/load-folder.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/saved-machine.h"
#include "util/error.h"

#define NAME_PREFIX "preheat-load-"

/* A folder in use is locked before it is as old as that. */
#define YOUNG_S 60

struct LoadFolder {
    char *path;
    int fd; /* of the folder, locked */
    bool stays;
    GHashTable *places; /* set of paths handed out */
};

/* ---- removing ---- */

/* A name that preheat savevm gives to what it puts on an image. */
static char *find_saved(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        if (saved_machine_is_overlay(name)) {
            return g_build_filename(path, name, NULL);
        }
    }
    return NULL;
}

/* No folder is in it: QEMU makes none. */
static void remove_folder(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *file = g_build_filename(path, name, NULL);

        (void)unlink(file);
    }
    /* What is left is the user's to look at. */
    (void)rmdir(path);
}

/* The folder opened and locked; -1: it is none of ours, or in use. */
static int lock_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    struct stat st;

    if (fd < 0) {
        return -1;
    }
    if (fstat(fd, &st) < 0 || st.st_uid != geteuid() ||
        flock(fd, LOCK_EX | LOCK_NB) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* One that was just made may not be locked yet. */
static bool is_young(int fd)
{
    struct stat st;

    return fstat(fd, &st) < 0 ||
           st.st_mtim.tv_sec > g_get_real_time() / G_USEC_PER_SEC - YOUNG_S;
}

/* Folders that nobody uses any more. */
static void remove_left_behind(const char *parent)
{
    g_autoptr(GDir) dir = g_dir_open(parent, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(parent, name, NULL);
        int fd = g_str_has_prefix(name, NAME_PREFIX) ? lock_folder(path) : -1;

        if (fd >= 0) {
            g_autofree char *saved = find_saved(path);

            if (!saved && !is_young(fd)) {
                remove_folder(path);
            }
            close(fd);
        }
    }
}

/* ---- making ---- */

static char *make_temporary(GError **error)
{
    const char *given = g_getenv("TMPDIR");
    const char *parent = given && given[0] ? given : "/var/tmp";
    g_autofree char *absolute = g_canonicalize_filename(parent, NULL);
    char *path = g_build_filename(absolute, NAME_PREFIX "XXXXXX", NULL);

    remove_left_behind(absolute);
    if (!mkdtemp(path)) {
        util_error_set_errno(error, errno,
                             "%s: cannot create a directory for this load (set "
                             "TMPDIR to use another place)",
                             absolute);
        g_free(path);
        return NULL;
    }
    return path;
}

static bool is_empty(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);

    return dir && !g_dir_read_name(dir);
}

static char *make_kept(const char *kept, GError **error)
{
    if (mkdir(kept, 0700) < 0 && errno != EEXIST) {
        util_error_set_errno(error, errno, "%s: cannot create this directory",
                             kept);
        return NULL;
    }
    if (!is_empty(kept)) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "%s: not an empty directory; each load that keeps its "
                    "disks needs a directory of its own",
                    kept);
        return NULL;
    }
    return g_canonicalize_filename(kept, NULL);
}

LoadFolder *load_folder_new(const char *kept, GError **error)
{
    char *path = kept ? make_kept(kept, error) : make_temporary(error);

    if (!path) {
        return NULL;
    }
    LoadFolder *folder = g_new0(LoadFolder, 1);
    folder->path = path;
    /* Without the lock somebody else's next load may remove a folder that is in
     * use; if that is impossible, TMPDIR is on a file system without. */
    folder->fd = lock_folder(path);
    folder->stays = kept != NULL;
    folder->places =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return folder;
}

void load_folder_free(LoadFolder *folder)
{
    if (!folder) {
        return;
    }
    g_autofree char *saved = find_saved(folder->path);
    if (!folder->stays && !saved) {
        remove_folder(folder->path);
    }
    if (folder->fd >= 0) {
        close(folder->fd);
    }
    g_hash_table_unref(folder->places);
    g_free(folder->path);
    g_free(folder);
}

void load_folder_discard(LoadFolder *folder)
{
    folder->stays = false;
}

const char *load_folder_path(const LoadFolder *folder)
{
    return folder->path;
}

char *load_folder_place(LoadFolder *folder, const char *name)
{
    char *path = g_build_filename(folder->path, name, NULL);

    for (unsigned n = 2; g_hash_table_contains(folder->places, path); n++) {
        g_free(path);
        path = g_strdup_printf("%s/%u-%s", folder->path, n, name);
    }
    g_hash_table_add(folder->places, g_strdup(path));
    return path;
}

char *load_folder_find_saved(const LoadFolder *folder)
{
    return find_saved(folder->path);
}
