/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The options of a load, and the command that passes them to the plugin.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

#include "formats/control-protocol.h"
#include "formats/manifest.h"
#include "host/progress.h"
#include "host/rpc.h"

typedef enum {
    LOAD_WAIT_NONE,
    LOAD_WAIT_HOT, /* for the order's pages */
    LOAD_WAIT_ALL, /* for every page */
} LoadWait;

/* What becomes of a load, as it happens. */
typedef enum {
    LOAD_NEWS_WAITING, /* QEMU is there, and waits for start_fd */
    LOAD_NEWS_RESUMED, /* the guest runs */
    LOAD_NEWS_PAUSED,  /* it could, and is to stay paused */
    LOAD_NEWS_LOADED,  /* every page is in */
    LOAD_NEWS_FAILED,  /* QEMU ended before the guest was loaded */
    LOAD_NEWS_ENDED,   /* QEMU has ended */
} LoadNewsKind;

typedef struct LoadNews {
    LoadNewsKind kind;
    pid_t pid;           /* QEMU's; 0: not known */
    int64_t after_us;    /* since LoadOptions.start_us */
    const json_t *stats; /* loaded: the plugin's statistics; NULL: none */
    const char *reason;  /* failed: why, for the user */
    int status;          /* ended: QEMU's, as a shell has it; -1: not known */
} LoadNews;

typedef struct LoadOptions {
    const char *given_snapshot; /* as the user wrote it, for messages */
    const char *snapshot;       /* this and all other paths are absolute */
    const char *tag; /* of a snapshot in a qcow2; NULL: a file of its own */
    uint64_t image_off_bytes;
    const char *order;    /* or NULL */
    LoadPack pack;        /* of the one beside the order */
    const char *template; /* its socket's path, and policy demand; or NULL */
    LoadPolicy policy;
    LoadCache cache;
    LoadRest rest;             /* where there is an order */
    uint64_t rest_bytes_per_s; /* 0: no limit */
    LoadWait wait;
    const char *record; /* or NULL */
    int64_t record_ms;
    bool resume;       /* also a guest that did not run when it was saved */
    bool paused;       /* do not resume it */
    bool learn;        /* improve the order at order, for record_ms */
    const char *stats; /* or NULL */

    /* Either a QEMU that we start … */
    const char *plugin;
    const Manifest *manifest; /* of the snapshot; or NULL */
    char **qemu_argv;
    bool argv_is_saved; /* it comes from the manifest */
    /* With QEMU started, wait for a line on this descriptor, which is taken
     * over, before anything is loaded; 0: load at once. */
    int start_fd;
    /* … or one that listens on this QMP socket. */
    const char *qmp_path;
    int interrupt_fd; /* readable when we are asked to end */
    bool stay;        /* until all is loaded */

    int64_t start_us; /* monotonic: when the program was started, or the line
                         has come */
    /* Tell the user what comes up on the way. */
    void (*say)(const char *text);
    const Progress *progress; /* of what is waited for; or NULL */
    /* Hears the news, which are borrowed; or NULL. */
    void (*tell)(const LoadNews *news, void *opaque);
    void *tell_opaque;
} LoadOptions;

/* Tell news, of which after_us is filled in, to whoever hears them. */
void load_tell(const LoadOptions *options, LoadNews news);

/* What is open for it. */
typedef struct LoadFiles {
    int snapshot;
    int template; /* connected to options' template, for the plugin to speak
                     on; -1: none */
} LoadFiles;

/* Send the plugin its command, and with it the files: what is opened twice
 * could be two files.  An order is a hint, and so is the pack beside it: where
 * one cannot be opened, the plugin warns of it.  It refuses a snapshot with
 * more RAM than max_ram_bytes by its headers.  With policy full, only QEMU gets
 * the snapshot. */
bool load_command_send(Rpc *control, const LoadOptions *options,
                       const LoadFiles *files, uint64_t max_ram_bytes,
                       uint64_t *ret_id, GError **error);
