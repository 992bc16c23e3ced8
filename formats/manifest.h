/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The manifest of a snapshot: the machine that was saved, and its disks.  It
 * lies beside the RAM image as IMAGE.json; docs/manifest-format.md specifies
 * it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "formats/byte-source.h"

#define MANIFEST_SUFFIX ".json"

/* What has become of a disk when the machine was saved. */
typedef enum {
    MANIFEST_DISK_OVERLAY, /* the guest runs on in an overlay: the image is as
                              it was */
    MANIFEST_DISK_LEFT,    /* the guest goes on writing to it */
    MANIFEST_DISK_READ_ONLY,
} ManifestHandling;

typedef struct ManifestDisk {
    char *node;   /* QEMU's node name */
    char *device; /* of -drive: its ID; NULL: none */
    char *qdev;   /* path or ID of the device; NULL: none */
    char *file;   /* absolute: the image that belongs to the snapshot */
    char *format; /* "qcow2" */
    ManifestHandling handling;
    uint64_t len_bytes; /* of the file; this and the next two tell whether it
                           has changed since */
    uint64_t mtime_ns;
    uint64_t inode;
    bool has_argument; /* QEMU was started with it: */
    size_t argument;   /* index into qemu_arguments */
    char *given_file;  /* what that argument calls its file; else NULL */
} ManifestDisk;

typedef struct ManifestBlock {
    char *name;
    uint64_t len_bytes;
    uint64_t page_bytes;
} ManifestBlock;

/* Something outside QEMU that its arguments name, and that two machines cannot
 * share. */
typedef enum {
    MANIFEST_SOCKET,
    MANIFEST_FILE,
    MANIFEST_PID_FILE,
    MANIFEST_LOG,
    MANIFEST_PORT,
    MANIFEST_INTERFACE,
} ManifestResourceKind;

typedef struct ManifestResource {
    size_t argument; /* index into qemu_arguments */
    ManifestResourceKind kind;
    char *value; /* "/run/qmp.sock", "2222" */
} ManifestResource;

/* Strings are not NULL where not said. */
typedef struct Manifest {
    char *created;   /* ISO 8601, UTC */
    char *identity;  /* RamImage.identity */
    char *order;     /* file name beside the manifest; NULL: none */
    char *run_state; /* QMP's RunState that the user had */
    char *qemu_program;
    char *qemu_version;
    char *qemu_directory;
    char **qemu_arguments; /* without the program, and without ours */
    char *machine_type;
    char *accelerator;
    char *cpu_model;
    uint64_t n_cpus;
    GArray *blocks;    /* of ManifestBlock */
    GArray *disks;     /* of ManifestDisk */
    GArray *resources; /* of ManifestResource */
} Manifest;

/* Free what an entry of the list resources has. */
void manifest_resource_clear(gpointer resource);

/* All lists empty, all strings NULL. */
Manifest *manifest_new(void);

/* NULL is fine. */
void manifest_free(Manifest *manifest);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Manifest, manifest_free)

/* "IMAGE.json", for g_free(). */
char *manifest_path(const char *image_path);

/* Read it from path, or from source.  NULL with
 * FORMATS_ERROR, or UTIL_ERROR where it cannot be read; the message begins
 * with the path. */
Manifest *manifest_load(const char *path, GError **error);
Manifest *manifest_load_source(const ByteSource *source, GError **error);

/* As JSON, for g_free().  All strings are UTF-8. */
char *manifest_to_text(const Manifest *manifest);

/* The opposite; len_bytes of text. */
Manifest *manifest_from_text(const char *text, size_t len_bytes,
                             GError **error);

/* Write it to a temporary name beside path, sync, rename.  UTIL_ERROR, or
 * FORMATS_ERROR_UNSUPPORTED for a string that is not UTF-8. */
bool manifest_save(const Manifest *manifest, const char *path, GError **error);

/* What a message calls a disk: "drive0", "/machine/peripheral/d0". */
const char *manifest_disk_name(const ManifestDisk *disk);

/* "overlay", "left", "read-only"; "socket", "file", "pid-file", "log",
 * "port", "interface". */
const char *manifest_handling_name(ManifestHandling handling);
const char *manifest_resource_kind_name(ManifestResourceKind kind);

/* False: that name stands for nothing. */
bool manifest_handling_from_name(const char *name,
                                 ManifestHandling *ret_handling);
bool manifest_resource_kind_from_name(const char *name,
                                      ManifestResourceKind *ret_kind);
