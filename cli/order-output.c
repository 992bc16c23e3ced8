/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/order-output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "util/error.h"

void order_output_clear(OrderOutput *to)
{
    g_clear_pointer(&to->path, g_free);
}

bool order_output_check(const OrderOutput *to, GError **error)
{
    if (to->path != NULL && to->in_place) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "--output cannot be used with --in-place");
        return false;
    }
    if (to->path == NULL && !to->in_place) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "--output FILE or --in-place is required: where to write "
                    "the changed order");
        return false;
    }
    return true;
}

/* Give the file at path a second name, path~, in place of what has it. */
static bool keep_backup(const char *path, GError **error)
{
    g_autofree char *backup = g_strdup_printf("%s~", path);
    g_autofree char *temporary =
        g_strdup_printf("%s.preheat-%d", backup, (int)getpid());

    /* As the writing does, keep what a symbolic link leads to. */
    if (linkat(AT_FDCWD, path, AT_FDCWD, temporary, AT_SYMLINK_FOLLOW) != 0) {
        if (errno == ENOENT) {
            return true;
        }
        util_error_set_errno(error, errno,
                             "cannot keep %s as %s, so it is unchanged", path,
                             backup);
        return false;
    }
    if (rename(temporary, backup) != 0) {
        util_error_set_errno(error, errno,
                             "cannot keep %s as %s, so it is unchanged", path,
                             backup);
        unlink(temporary);
        return false;
    }
    /* Renaming one name of a file to another one of it does nothing. */
    unlink(temporary);
    return true;
}

bool order_output_write(const OrderOutput *to, const PageOrder *order,
                        const char *input, GError **error)
{
    const char *path = to->path != NULL ? to->path : input;

    if (to->backup && !keep_backup(path, error)) {
        return false;
    }
    return page_order_save(order, path, error);
}
