/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The order goes to a temporary file as JSON, through the editor, and back.
 * The temporary file is removed only where its text is not needed any more:
 * unchanged, written, or discarded by the user.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/editor.h"
#include "cli/order-output.h"
#include "util/error.h"
#include "util/file.h"
#include "util/json-place.h"

typedef struct Edit {
    const char *path; /* of the order file */
    const OrderOutput *to;
    PageOrder *order; /* as it was read */
    char *text;       /* the same as JSON */
    char *temporary;  /* where the user edits it */
} Edit;

static void edit_clear(Edit *edit)
{
    page_order_free(edit->order);
    g_free(edit->text);
    g_free(edit->temporary);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Edit, edit_clear)

static bool begin(Edit *edit, GError **error)
{
    int fd;

    edit->order = page_order_load(edit->path, error);
    if (!edit->order) {
        return false;
    }
    edit->text = page_order_to_json_text(edit->order);
    fd = g_file_open_tmp("preheat-XXXXXX.json", &edit->temporary, error);
    if (fd < 0) {
        return false;
    }
    /* It stays for its owner alone, as the order is. */
    bool ok = file_write_at(fd, edit->text, strlen(edit->text), 0, error);
    close(fd);
    if (!ok) {
        g_prefix_error(error, "%s: ", edit->temporary);
        unlink(edit->temporary);
    }
    return ok;
}

static int end_unchanged(const Edit *edit)
{
    unlink(edit->temporary);
    printf("%s is unchanged\n", edit->path);
    return command_flush();
}

static int end_kept(const Edit *edit, GError *error)
{
    g_prefix_error(&error,
                   "%s is unchanged, the edited text is in %s: ", edit->path,
                   edit->temporary);
    return command_fail(error);
}

/* A mistake of meaning begins with its path in the document; put the line and
 * the column before it, as mistakes of syntax have them. */
static void add_place(GError **error, const char *text)
{
    g_auto(GStrv) parts = g_strsplit((*error)->message, ": ", 2);
    JsonPlace place;

    if (json_place_find(text, parts[0], &place)) {
        g_prefix_error(error, "line %u, column %u: ", place.line, place.column);
    }
}

static PageOrder *parse(const char *text, size_t len, GError **error)
{
    PageOrder *order = page_order_from_json_text(text, len, error);

    if (!order) {
        add_place(error, text);
    }
    return order;
}

/* What the user wants after a mistake: 'e', 'k' or 'd'.  Without anybody to
 * answer, nothing is thrown away. */
static char ask(const Edit *edit, const GError *mistake)
{
    char *answer = NULL;
    size_t size = 0;
    char first = 0;

    fprintf(stderr, "preheat: not a valid order: %s\n", mistake->message);
    while (!first || !strchr("ekd", first)) {
        fprintf(stderr,
                "(e)dit again, (k)eep the text in %s and exit, or (d)iscard "
                "it? ",
                edit->temporary);
        if (getline(&answer, &size, stdin) < 0) {
            fputc('\n', stderr);
            first = 'k';
        } else {
            first = g_ascii_tolower(answer[0]);
        }
    }
    free(answer);
    return first;
}

static bool changed_meanwhile(const Edit *edit, GError **error)
{
    g_autoptr(PageOrder) now = page_order_load(edit->path, error);

    if (!now || page_order_equal(now, edit->order)) {
        return !now;
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "another program has changed the file meanwhile");
    return true;
}

static int finish(const Edit *edit, const PageOrder *edited)
{
    GError *error = NULL;

    if (page_order_equal(edited, edit->order) && !edit->to->path) {
        return end_unchanged(edit);
    }
    if (changed_meanwhile(edit, &error) ||
        !order_output_write(edit->to, edited, edit->path, &error)) {
        return end_kept(edit, error);
    }
    unlink(edit->temporary);
    return STATUS_OK;
}

static bool is_first_text(const Edit *edit, const char *text, size_t len)
{
    return len == strlen(edit->text) && memcmp(text, edit->text, len) == 0;
}

/* Whether the temporary file has the text that it began with. */
static bool is_untouched(const Edit *edit)
{
    g_autofree char *text = NULL;
    size_t len;

    return g_file_get_contents(edit->temporary, &text, &len, NULL) &&
           is_first_text(edit, text, len);
}

static int end_without_editor(const Edit *edit, GError *error)
{
    if (!is_untouched(edit)) {
        return end_kept(edit, error);
    }
    unlink(edit->temporary);
    return command_fail(error);
}

static int edit_until_valid(const Edit *edit)
{
    for (;;) {
        g_autoptr(PageOrder) edited = NULL;
        g_autofree char *text = NULL;
        GError *error = NULL;
        size_t len;

        if (!editor_run(edit->temporary, &error)) {
            return end_without_editor(edit, error);
        }
        if (!g_file_get_contents(edit->temporary, &text, &len, &error)) {
            return end_kept(edit, error);
        }
        if (is_first_text(edit, text, len) && !edit->to->path) {
            return end_unchanged(edit);
        }
        edited = parse(text, len, &error);
        if (edited) {
            return finish(edit, edited);
        }
        switch (ask(edit, error)) {
        case 'd':
            g_error_free(error);
            return end_unchanged(edit);
        case 'k':
            return end_kept(edit, error);
        default:
            g_error_free(error);
        }
    }
}

static int cmd_order_edit_run(int argc, char **argv)
{
    g_auto(OrderOutput) to = {0};
    g_auto(Edit) edit = {.to = &to};
    const GOptionEntry entries[] = {
        ORDER_OUTPUT_OPTIONS(&to),
        {NULL},
    };
    GError *error = NULL;
    int status;

    if (!command_parse(&cmd_order_edit, entries, 1, 1, &argc, &argv, &status)) {
        return status;
    }
    to.in_place |= !to.path;
    edit.path = argv[1];
    if (!order_output_check(&to, &error) || !begin(&edit, &error)) {
        return command_fail(error);
    }
    return edit_until_valid(&edit);
}

const Command cmd_order_edit = {
    .name = "edit",
    .synopsis = "FILE",
    .summary = "Edit an order in a text editor",
    .run = cmd_order_edit_run,
};
