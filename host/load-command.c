/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/load-command.h"

#include <unistd.h>

#include "formats/pack.h"
#include "util/file.h"

static json_t *load_arguments(const LoadOptions *options,
                              uint64_t max_ram_bytes)
{
    json_t *arguments =
        json_pack("{s:s, s:I, s:s, s:I, s:I}", CONTROL_KEY_SNAPSHOT,
                  options->snapshot, CONTROL_KEY_OFFSET,
                  (json_int_t)options->image_off_bytes, CONTROL_KEY_POLICY,
                  load_policy_name(options->policy), CONTROL_KEY_START_US,
                  (json_int_t)options->start_us, CONTROL_KEY_MAX_RAM,
                  (json_int_t)MIN(max_ram_bytes, (uint64_t)G_MAXINT64));

    g_assert(arguments);
    if (options->tag) {
        json_object_set_new(arguments, CONTROL_KEY_TAG,
                            json_string(options->tag));
    }
    if (options->order) {
        json_object_set_new(arguments, CONTROL_KEY_ORDER,
                            json_string(options->order));
    }
    if (options->cache != LOAD_CACHE_AUTO) {
        json_object_set_new(arguments, CONTROL_KEY_CACHE,
                            json_string(load_cache_name(options->cache)));
    }
    if (options->rest != LOAD_REST_IDLE) {
        json_object_set_new(arguments, CONTROL_KEY_REST,
                            json_string(load_rest_name(options->rest)));
    }
    if (options->rest_bytes_per_s > 0) {
        json_object_set_new(
            arguments, CONTROL_KEY_REST_RATE,
            json_integer((json_int_t)MIN(options->rest_bytes_per_s,
                                         (uint64_t)G_MAXINT64)));
    }
    if (options->record) {
        json_object_set_new(arguments, CONTROL_KEY_RECORD,
                            json_string(options->record));
        json_object_set_new(arguments, CONTROL_KEY_RECORD_FOR,
                            json_integer(options->record_ms));
    }
    if (options->learn) {
        json_object_set_new(arguments, CONTROL_KEY_LEARN,
                            json_string(options->order));
        json_object_set_new(arguments, CONTROL_KEY_LEARN_FOR,
                            json_integer(options->record_ms));
    }
    if (options->template) {
        json_object_set_new(arguments, CONTROL_KEY_TEMPLATE,
                            json_string(options->template));
    }
    if (options->stats) {
        json_object_set_new(arguments, CONTROL_KEY_STATS,
                            json_string(options->stats));
    }
    return arguments;
}

void load_tell(const LoadOptions *options, LoadNews news)
{
    news.after_us = g_get_monotonic_time() - options->start_us;
    if (options->tell) {
        options->tell(&news, options->tell_opaque);
    }
}

/* The files that go with the command. */
typedef struct Files {
    json_t *names;
    GArray *fds; /* of int; the first n_borrowed of them are not ours */
    guint n_borrowed;
} Files;

static void add_file(Files *files, const char *name, int fd)
{
    if (fd >= 0) {
        json_array_append_new(files->names, json_string(name));
        g_array_append_val(files->fds, fd);
    }
}

static int open_file(const char *path)
{
    uint64_t len_bytes;

    return file_open_regular(path, &len_bytes, NULL);
}

/* Guest memory comes from it: it must be of somebody who could have written the
 * snapshot as well. */
static bool is_trusted(int pack_fd, int snapshot_fd)
{
    struct stat pack, snapshot;

    return fstat(pack_fd, &pack) == 0 && fstat(snapshot_fd, &snapshot) == 0 &&
           (pack.st_uid == snapshot.st_uid || pack.st_uid == geteuid() ||
            pack.st_uid == 0);
}

static void add_pack(const LoadOptions *options, int snapshot_fd,
                     json_t *arguments, Files *files)
{
    g_autofree char *path = g_strconcat(options->order, PACK_SUFFIX, NULL);

    if (options->pack == LOAD_PACK_NEVER ||
        !g_file_test(path, G_FILE_TEST_EXISTS)) {
        return;
    }
    int fd = open_file(path);
    if (fd >= 0 && !is_trusted(fd, snapshot_fd)) {
        g_autofree char *text = g_strdup_printf(
            "warning: %s belongs neither to you nor to the snapshot's owner; "
            "loading without the pack",
            path);

        close(fd);
        if (options->say) {
            options->say(text);
        }
        return;
    }
    json_object_set_new(arguments, CONTROL_KEY_PACK, json_string(path));
    json_object_set_new(arguments, CONTROL_KEY_PACK_USE,
                        json_string(load_pack_name(options->pack)));
    add_file(files, CONTROL_KEY_PACK, fd);
}

static void close_files(Files *files)
{
    for (guint i = files->n_borrowed; i < files->fds->len; i++) {
        close(g_array_index(files->fds, int, i));
    }
    g_array_unref(files->fds);
}

bool load_command_send(Rpc *control, const LoadOptions *options,
                       const LoadFiles *files, uint64_t max_ram_bytes,
                       uint64_t *ret_id, GError **error)
{
    json_t *arguments = load_arguments(options, max_ram_bytes);
    Files sent = {json_array(), g_array_new(FALSE, FALSE, sizeof(int)), 0};

    if (options->policy != LOAD_POLICY_FULL) {
        add_file(&sent, CONTROL_KEY_SNAPSHOT, files->snapshot);
    }
    add_file(&sent, CONTROL_KEY_TEMPLATE, files->template);
    sent.n_borrowed = sent.fds->len;
    if (options->order) {
        add_file(&sent, CONTROL_KEY_ORDER, open_file(options->order));
    }
    if (options->order && options->policy == LOAD_POLICY_ORDER) {
        add_pack(options, files->snapshot, arguments, &sent);
    }
    json_object_set_new(arguments, CONTROL_KEY_DESCRIPTORS, sent.names);
    bool ok =
        rpc_send_fds(control, CONTROL_CMD_LOAD, arguments,
                     (const int *)sent.fds->data, sent.fds->len, ret_id, error);
    close_files(&sent);
    return ok;
}
