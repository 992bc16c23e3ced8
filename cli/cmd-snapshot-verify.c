/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/image-file.h"
#include "cli/image-offset.h"
#include "formats/control-protocol.h"
#include "host/machine-check.h"
#include "host/plugin-client.h"
#include "host/qmp.h"
#include "host/ram-blocks.h"
#include "util/error.h"
#include "util/file.h"
#include "util/text.h"

/* The snapshot that is compared with. */
typedef struct Given {
    const char *path; /* absolute */
    const char *tag;  /* or NULL */
    int fd;           /* of the file */
} Given;

static bool check_paused(Rpc *qmp, GError **error)
{
    g_autofree char *state = NULL;

    if (!qmp_run_state(qmp, &state, error)) {
        return false;
    }
    if (strcmp(state, "running") != 0) {
        return true;
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "the guest is running and changes its RAM meanwhile; pause it "
                "first (QMP stop)");
    return false;
}

/* All of the machine's blocks that migrate, and so are in the snapshot. */
static json_t *block_list(const RamImage *snapshot, const GArray *blocks)
{
    json_t *list = json_array();

    for (guint i = 0; i < blocks->len; i++) {
        const RamBlock *block = &g_array_index(blocks, RamBlock, i);

        if (ram_image_find_block(snapshot, block->name)) {
            json_array_append_new(list, ram_block_to_json(block));
        }
    }
    return list;
}

/* The plugin compares; the answer is its own. */
static bool verify(Rpc *qmp, const RamImage *snapshot, const Given *given,
                   json_t **ret_answer, GError **error)
{
    g_autoptr(GArray) blocks = NULL;
    g_autoptr(Rpc) control = NULL;
    json_t *arguments;

    if (!check_paused(qmp, error)) {
        return false;
    }
    blocks = ram_blocks_query(qmp, error);
    if (!blocks || !machine_check_blocks(snapshot, blocks, LOAD_POLICY_FULL,
                                         NULL, error)) {
        return false;
    }
    control = plugin_client_connect_peer(qmp, error);
    if (!control) {
        return false;
    }
    arguments =
        json_pack("{s:s, s:I, s:o, s:[s]}", CONTROL_KEY_SNAPSHOT, given->path,
                  CONTROL_KEY_OFFSET, (json_int_t)snapshot->image_off_bytes,
                  CONTROL_KEY_BLOCKS, block_list(snapshot, blocks),
                  CONTROL_KEY_DESCRIPTORS, CONTROL_KEY_SNAPSHOT);
    if (given->tag) {
        json_object_set_new(arguments, CONTROL_KEY_TAG,
                            json_string(given->tag));
    }
    return rpc_execute_fds(control, CONTROL_CMD_VERIFY, arguments, &given->fd,
                           1, ret_answer, error);
}

static void print_answer(const json_t *answer)
{
    const json_t *difference = json_object_get(answer, "first-difference");
    g_autofree char *printable = NULL;
    const char *block = "";
    json_int_t page = 0, address = 0, byte = 0;

    if (!difference) {
        printf("all %" JSON_INTEGER_FORMAT " pages equal\n",
               json_integer_value(json_object_get(answer, "pages")));
        return;
    }
    json_unpack((json_t *)difference, "{s:s, s:I, s:I, s:I}", "block", &block,
                "page", &page, "address", &address, "byte", &byte);
    printable = text_printable(block);
    printf("%s: page %" JSON_INTEGER_FORMAT " (offset 0x%" PRIx64
           ") differs at byte %" JSON_INTEGER_FORMAT "; %" JSON_INTEGER_FORMAT
           " pages differ\n",
           printable, page, (uint64_t)address, byte,
           json_integer_value(json_object_get(answer, "pages-differing")));
}

static int finish(json_t *answer, bool json)
{
    bool equal = json_is_true(json_object_get(answer, "equal"));
    int status;

    if (json) {
        status = command_print_json(answer);
    } else {
        print_answer(answer);
        json_decref(answer);
        status = command_flush();
    }
    return status == STATUS_OK && !equal ? STATUS_FAILED : status;
}

static bool verify_given(const char *socket_path, const Given *given,
                         uint64_t off_bytes, json_t **ret_answer,
                         GError **error)
{
    g_autoptr(RamImage) snapshot = image_file_open_fd(
        given->fd, given->path, given->tag, off_bytes, error);
    g_autoptr(Rpc) qmp =
        snapshot ? qmp_connect(socket_path, NULL, error) : NULL;

    return qmp && verify(qmp, snapshot, given, ret_answer, error);
}

static int verify_file(const char *socket_path, const char *file,
                       const char *tag, uint64_t off_bytes, bool json)
{
    GError *error = NULL;
    g_autofree char *path = command_absolute_path(file, &error);
    uint64_t len_bytes;
    Given given = {.path = path,
                   .tag = tag,
                   .fd =
                       path ? file_open_regular(path, &len_bytes, &error) : -1};
    json_t *answer;

    if (given.fd < 0) {
        g_prefix_error(&error, "%s: ", file);
        return command_fail(error);
    }
    bool ok = verify_given(socket_path, &given, off_bytes, &answer, &error);
    close(given.fd);
    return ok ? finish(answer, json) : command_fail(error);
}

static int cmd_snapshot_verify_run(int argc, char **argv)
{
    g_autofree char *socket_path = NULL;
    g_autofree char *offset = NULL;
    g_autofree char *tag = NULL;
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        {"qmp", 0, 0, G_OPTION_ARG_FILENAME, &socket_path,
         "QMP socket of the QEMU with the paused guest", "SOCKET"},
        IMAGE_OFFSET_OPTION(&offset),
        IMAGE_TAG_OPTION(&tag),
        COMMAND_JSON_OPTION(&json),
        {NULL},
    };
    uint64_t off_bytes;
    GError *error = NULL;
    int status;

    if (!command_parse(&cmd_snapshot_verify, entries, 1, 1, &argc, &argv,
                       &status)) {
        return status;
    }
    if (!socket_path) {
        return command_usage_error("--qmp is required");
    }
    if (!image_offset_parse(offset, &off_bytes, &error)) {
        return command_fail(error);
    }
    return verify_file(socket_path, argv[1], tag, off_bytes, json);
}

const Command cmd_snapshot_verify = {
    .name = "verify",
    .synopsis = "--qmp SOCKET FILE",
    .summary = "Compare a paused guest's RAM with a snapshot",
    .run = cmd_snapshot_verify_run,
};
