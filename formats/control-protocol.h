/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The control protocol between the preheat program and its plugin inside
 * QEMU: JSON objects, one a line, in QMP's manner.
 *
 *   greeting  {"preheat": {"version": "0.2.0", "pid": 4711}}
 *   command   {"execute": NAME, "arguments": {…}, "id": any}
 *   answer    {"return": {…}, "id": …}
 *         or  {"error": {"class": "GenericError", "desc": TEXT}, "id": …}
 *   event     {"event": NAME, "data": {…},
 *              "timestamp": {"seconds": …, "microseconds": …}}
 *
 * The plugin speaks it on the socket that it inherits as its option
 * control-fd=N, and on an abstract UNIX socket (CONTROL_SOCKET_NAME_FORMAT),
 * where it answers only its own user and root.  Commands of one connection are
 * answered in sequence.  docs/control-protocol.md has the
 * arguments.
 */
#pragma once

#include <stdbool.h>

/* ---- what both sides mean ---- */

/* What is loaded when; the simulator knows the same. */
typedef enum {
    LOAD_POLICY_ORDER,      /* faults, the order, then the rest */
    LOAD_POLICY_SEQUENTIAL, /* faults, and all in the source's sequence */
    LOAD_POLICY_DEMAND,     /* faults only */
    LOAD_POLICY_FULL,       /* QEMU loads everything before the guest runs */
    N_LOAD_POLICIES,
} LoadPolicy;

/* When what nobody waits for is loaded: with an order, all else. */
typedef enum {
    LOAD_REST_IDLE,   /* while the guest leaves processors free, for a time;
                         then at once */
    LOAD_REST_EAGER,  /* at once */
    LOAD_REST_DEMAND, /* only what is touched */
    N_LOAD_RESTS,
} LoadRest;

/* How the snapshot is read. */
typedef enum {
    LOAD_CACHE_AUTO,     /* past the page cache, what is not in it and will not
                            be wanted again; else through it */
    LOAD_CACHE_DIRECT,   /* past it */
    LOAD_CACHE_BUFFERED, /* through it */
} LoadCache;

/* Whether the pack beside the order is read. */
typedef enum {
    LOAD_PACK_AUTO, /* if it is found to be faster than the snapshot */
    LOAD_PACK_ALWAYS,
    LOAD_PACK_NEVER,
    N_LOAD_PACKS,
} LoadPack;

/* What can be waited for. */
typedef enum {
    LOAD_GOAL_HOT,      /* the order's pages are in */
    LOAD_GOAL_ALL,      /* every page is in, and that has been told */
    LOAD_GOAL_RECORDED, /* the recording, or learning, is over and written */
} LoadGoal;

typedef enum {
    LOAD_STATE_IDLE, /* guest RAM has not been taken over */
    LOAD_STATE_LOADING,
    LOAD_STATE_RECORDING, /* prefetching is held off */
    LOAD_STATE_FAILED,    /* pages are missing that cannot be loaded */
    LOAD_STATE_LOADED,
} LoadState;

typedef enum {
    MILESTONE_QEMU_READY,   /* QEMU is ready to load */
    MILESTONE_DEVICE_STATE, /* QEMU has loaded its devices' state */
    MILESTONE_RESUMED,      /* the guest runs */
    MILESTONE_PAUSED,       /* the guest could run, and is to stay paused */
    MILESTONE_ORDER_DONE,   /* the order's pages are in */
    MILESTONE_LOADED,       /* every page is in */
    N_MILESTONES,
} Milestone;

typedef enum {
    PROFILE_NONE,
    PROFILE_OPEN,
    PROFILE_CLOSING, /* the window closes, the order is being written */
    PROFILE_DONE,
} ProfileState;

/* The names that these have on the wire, on the command line and in the
 * statistics.  from_name: false where nothing has that name (also NULL). */
const char *load_policy_name(LoadPolicy policy);
bool load_policy_from_name(const char *name, LoadPolicy *ret_policy);
const char *load_rest_name(LoadRest rest);
bool load_rest_from_name(const char *name, LoadRest *ret_rest);
const char *load_cache_name(LoadCache cache);
bool load_cache_from_name(const char *name, LoadCache *ret_cache);
const char *load_pack_name(LoadPack pack);
bool load_pack_from_name(const char *name, LoadPack *ret_pack);
const char *load_goal_name(LoadGoal goal);
bool load_goal_from_name(const char *name, LoadGoal *ret_goal);
const char *load_state_name(LoadState state);
bool load_state_from_name(const char *name, LoadState *ret_state);
const char *milestone_name(Milestone milestone);
bool milestone_from_name(const char *name, Milestone *ret_milestone);
const char *profile_state_name(ProfileState state);
bool profile_state_from_name(const char *name, ProfileState *ret_state);

/* ---- names of arguments, and of what answers and events have ---- */

#define CONTROL_KEY_BLOCKS            "blocks"
#define CONTROL_KEY_CACHE             "cache"
#define CONTROL_KEY_CONTROL           "control"
#define CONTROL_KEY_DESCRIPTORS       "descriptors"
#define CONTROL_KEY_DISCARD           "discard"
#define CONTROL_KEY_EQUAL             "equal"
#define CONTROL_KEY_ERROR             "error"
#define CONTROL_KEY_FAILED_WAITED_FOR "failed-pages-waited-for"
#define CONTROL_KEY_FILE              "file"
#define CONTROL_KEY_FOR               "for"
#define CONTROL_KEY_HOST              "host"
#define CONTROL_KEY_LEARN             "learn"
#define CONTROL_KEY_LEARN_FOR         "learn-for"
#define CONTROL_KEY_LENGTH            "length"
#define CONTROL_KEY_MAX_RAM           "max-ram"
#define CONTROL_KEY_MAX_TIME          "max-time"
#define CONTROL_KEY_MIN_TIME          "min-time"
#define CONTROL_KEY_MISSING           "missing-pages"
#define CONTROL_KEY_NAME              "name"
#define CONTROL_KEY_OFFSET            "offset"
#define CONTROL_KEY_OPERATION         "operation"
#define CONTROL_KEY_ORDER             "order"
#define CONTROL_KEY_OUTPUT            "output"
#define CONTROL_KEY_PACK              "pack"
#define CONTROL_KEY_PACK_USE          "pack-use"
#define CONTROL_KEY_PAGES             "pages"
#define CONTROL_KEY_PAGE_SIZE         "page-size"
#define CONTROL_KEY_POLICY            "policy"
#define CONTROL_KEY_REST              "rest"
#define CONTROL_KEY_REST_RATE         "rest-rate"
#define CONTROL_KEY_RECORD            "record"
#define CONTROL_KEY_RECORD_FOR        "record-for"
#define CONTROL_KEY_SECONDS           "seconds"
#define CONTROL_KEY_SETTLE            "settle"
#define CONTROL_KEY_SNAPSHOT          "snapshot"
#define CONTROL_KEY_START_US          "start-us"
#define CONTROL_KEY_STATE             "state"
#define CONTROL_KEY_STATS             "stats"
#define CONTROL_KEY_TAG               "tag"
#define CONTROL_KEY_TEMPLATE          "template"
#define CONTROL_KEY_TIME_US           "time-us"
#define CONTROL_KEY_VCPU_THREADS      "vcpu-threads"
#define CONTROL_KEY_WAITED_FOR        "waited-for"
#define CONTROL_KEY_WARNING           "warning"

/* ---- commands ---- */

/*
 * A command may bring open files with it (SCM_RIGHTS, with the first byte of
 * its line).  Its argument "descriptors" has a list of their names, in the
 * sequence in which they were sent.  What no command names is closed; when
 * more than this many have come that no command has taken, the connection
 * ends.
 *
 * Where a descriptor has come, the argument of its name is what messages call
 * it; where none has, the plugin opens that path, as QEMU's process sees it.
 */
#define CONTROL_MAX_DESCRIPTORS 8

/* Length limit of one line, in bytes, newline included. */
#define CONTROL_MAX_LINE_BYTES (1 << 20)

/* printf() format of the abstract socket's name, without the leading NUL: takes
 * the inode number of QEMU's PID namespace (stat() of /proc/PID/ns/pid) as a
 * uintmax_t, and the process ID that QEMU has there as an int.  Containers with
 * a network namespace in common may have QEMUs of equal IDs. */
#define CONTROL_SOCKET_NAME_FORMAT "preheat-%ju-%d"

/* Watch over the load to come in a QEMU that somebody else has started.
 *   descriptors  "control": a connected socket, on which the plugin greets; it
 *                is the launcher's from now on (see "When something fails")
 * When that connection ends before "load" has worked, QEMU is what it was. */
#define CONTROL_CMD_ADOPT "adopt"

/* Begin: read the snapshot's headers and the order, and hot pages ahead.
 *   descriptors  "snapshot", "order", "pack", "template" (each optional)
 *   snapshot     path, absolute
 *   offset       where the image begins, in bytes (optional, 0)
 *   max-ram      how much RAM the image may have, in bytes: one of more is
 *                refused by its headers (optional)
 *   order        path, absolute (optional)
 *   pack         path, absolute: the order's pack (optional)
 *   pack-use     "auto" (optional, this): if it is found to be faster than the
 *                snapshot; "always" or "never"
 *   policy       "order", "sequential", "demand" or "full"
 *   cache        how to read the snapshot: "auto" (optional, this), "direct" or
 *                "buffered"
 *   rest         with an order, when all else is loaded: "idle" (optional,
 *                this), "eager" or "demand"
 *   rest-rate    how much of the rest may be read, in bytes a second
 *                (optional; no limit)
 *   record       path, absolute: write the order of first touches there
 *                (optional; prefetching is held off while recording)
 *   record-for   milliseconds (optional, 10000)
 *   learn        path, absolute: write there what the order becomes by what
 *                this load shows (optional; not together with record)
 *   learn-for    milliseconds (optional, 10000)
 *   template     path, for messages: map the pages of this template, at whose
 *                socket the descriptor of that name is (optional; with policy
 *                "demand", and without record and learn)
 *   stats        path, absolute: write the statistics there (optional)
 *   start-us     CLOCK_MONOTONIC when preheat started, in microseconds
 * An order or a pack that cannot be used is no error: the answer then has
 * "warning": TEXT. */
#define CONTROL_CMD_LOAD "load"

/* Take over guest RAM: register it, discard it, serve its faults.
 *   blocks       list of {"name", "host" (address, "0x…"), "length" (bytes),
 *                "page-size" (bytes)}: exactly the lazy blocks
 *   vcpu-threads list of thread IDs, by vCPU index
 * On an error nothing has been discarded, except where the text says so. */
#define CONTROL_CMD_ATTACH "attach"

/* Give up a load that has not taken over guest RAM: what was read is freed, and
 * nothing more is read.  QEMU may load the snapshot itself. */
#define CONTROL_CMD_ABANDON "abandon"

/* Tell how far QEMU is; some of it is for the statistics only.
 *   name         "qemu-ready"; "device-state" right after QEMU has loaded it;
 *                "resumed", or "paused" where the guest is not to run yet; and
 *                with policy full "loaded"
 *   time-us      CLOCK_MONOTONIC in microseconds
 * "device-state" is an error before "attach", and if QEMU has written to pages
 * that are not in the skeleton: the guest must not run then.  With "resumed" or
 * "paused" the launcher hands the load over: see "When something fails". */
#define CONTROL_CMD_MILESTONE "milestone"

/* Answer when something is reached: for = "hot" (the order is loaded), "all"
 * (everything is) or "recording" (the recording, or learning, has ended and is
 * written).  An error if it cannot be reached any more. */
#define CONTROL_CMD_WAIT "wait"

/* The statistics, as in docs/statistics.md. */
#define CONTROL_CMD_QUERY "query-preheat"

/* Try all failed pages again now.  Answers after the attempt, or after a few
 * seconds of it: {"missing-pages": how many are still missing}. */
#define CONTROL_CMD_RETRY "retry"

/* End QEMU at once, whatever it is blocked on: what can be written within a few
 * seconds (statistics, orders) is written, and the process is killed.  There
 * is no answer: the connection ends with QEMU. */
#define CONTROL_CMD_QUIT "quit"

/* Load the rest now, at full speed, whatever the policy is and even while a
 * recording is under way (which ends); does nothing if nothing is loading.
 * Use "wait" for "all" to learn when it is done. */
#define CONTROL_CMD_LOAD_REST "load-rest"

/* Compare guest RAM with a snapshot, page by page; the guest must be paused.
 *   snapshot, offset, blocks as above, but all blocks of the machine
 *   descriptors  "snapshot" (optional)
 * Returns {"pages": compared, "equal": bool} and, if not equal,
 * "first-difference": {"block", "page", "address" (offset into the block),
 * "byte" (offset into the page)} and "pages-differing". */
#define CONTROL_CMD_VERIFY "verify"

/* Open a profiling window over RAM whose snapshot was just taken; the guest is
 * stopped.  Everything is watched when the answer comes.
 *   blocks, vcpu-threads, snapshot, offset   as for "load" and "attach"
 *   descriptors  "snapshot" (optional)
 *   output       path, absolute: the order goes there when the window ends
 *   max-time     milliseconds (optional, 30000): when the window ends
 *   settle       true: end it before that, when first touches have died down
 *   min-time     milliseconds (optional, 0): but not before */
#define CONTROL_CMD_PROFILE_START "profile-start"

/* Close the window now; wait until it is closed; only query it.
 * profile-stop takes
 *   discard      true (optional): write no order
 * Each returns {"state": "none", "profiling", "closing" or "done",
 * "first-touches", "dropped-touches", "blocktime-ms", "vcpu-blocktime-ms",
 * "other-blocktime-ms", "latency-us", "latency-dist"} and, once done,
 * "window-ms", "open-us", "close-us", "pinned-pages", "copied-pages",
 * "huge-pages-split", "output" and, if no order could be written, "error". */
#define CONTROL_CMD_PROFILE_STOP  "profile-stop"
#define CONTROL_CMD_PROFILE_WAIT  "profile-wait"
#define CONTROL_CMD_PROFILE_QUERY "query-profile"

/*
 * When something fails
 *
 * A page that cannot be loaded, after several tries, is put aside: everything
 * else goes on, and whoever touches that page stays blocked.  The state is
 * "failed" as long as there is such a page.  "retry" tries all of them again.
 *
 * The launcher uses control-fd, or the socket that it passed with "adopt".  If
 * that connection ends before the milestone "resumed" or "paused", the plugin
 * ends QEMU like "quit".  After that the load goes on alone: if a page is
 * missing then and somebody waits for it, the plugin says so on QEMU's standard
 * error and in the system's log.
 *
 * Events go to every connection.  The plugin closes one that does not read
 * them.
 */

/* A page cannot be loaded.  Sent for the first such page, for each one that
 * somebody waits for, and again after "retry".
 *   file, offset (bytes), error (text)
 *   operation    "reading", "placing" or CONTROL_OPERATION_CHECKING
 *   waited-for   whether a thread of QEMU is blocked on it: if it is
 *                the main loop, the monitor does not answer any more */
#define CONTROL_EVENT_READ_ERROR "PREHEAT_READ_ERROR"

/* The snapshot was written to while it was loaded, and the guest may have a
 * mixture of two states; or the template has ended before all pages were there.
 * "retry" cannot fix that. */
#define CONTROL_OPERATION_CHECKING "checking"

/* A read takes long, and is still under way.  Sent again every minute.
 *   file, offset (bytes), seconds (so far, a whole number), waited-for */
#define CONTROL_EVENT_READ_SLOW "PREHEAT_READ_SLOW"

/* The load is complete. data: the statistics, as of CONTROL_CMD_QUERY. */
#define CONTROL_EVENT_LOADED "PREHEAT_LOADED"
