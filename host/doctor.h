/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What preheat can use on this host: the kernel, this user's permissions,
 * QEMU, and what libvirt needs.
 */
#pragma once

#include <glib.h>

typedef enum {
    DOCTOR_OK,
    DOCTOR_NOTE,    /* nothing is wrong, but it is good to know */
    DOCTOR_LIMITED, /* preheat works, but not all of it */
    DOCTOR_FAILED,  /* lazy loading does not work */
} DoctorStatus;

typedef struct DoctorFinding {
    const char *name; /* kebab-case, a constant */
    DoctorStatus status;
    char *text;
    char *advice; /* how to get it; NULL where nothing needs to be done */
} DoctorFinding;

/* "ok", "note", "limited", "failed". */
const char *doctor_status_name(DoctorStatus status);

/* Examine everything.  root: where /etc, /proc and /sys are found ("" but in
 * tests).  qemu: the program to try; plugin: the plugin's file, or NULL where
 * there is none.  Returns a GPtrArray of DoctorFinding, which frees them. */
GPtrArray *doctor_examine(const char *root, const char *qemu,
                          const char *plugin);

/* An empty list of findings, which frees them. */
GPtrArray *doctor_findings_new(void);

/* The parts of it; each adds its findings. */
void doctor_examine_kernel(GPtrArray *findings, const char *root);
void doctor_examine_qemu(GPtrArray *findings, const char *qemu,
                         const char *plugin);
void doctor_examine_libvirt(GPtrArray *findings, const char *root);

/* Add a finding; takes over text and advice. */
void doctor_add(GPtrArray *findings, const char *name, DoctorStatus status,
                char *text, char *advice);

/* The contents of a small file below root, without white space at its end;
 * NULL where it cannot be read.  For g_free(). */
char *doctor_read(const char *root, const char *path);
