/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/libvirt/restore-order.h"

#include <sys/stat.h>
#include <time.h>

#include "formats/page-order.h"
#include "util/file.h"

#define SUFFIX ".order"

/* Where it would be in folder. */
static char *path_in_folder(const char *image_path, const char *folder)
{
    g_autofree char *name = g_strconcat(image_path + 1, SUFFIX, NULL);

    g_strdelimit(name, "/", '%');
    return g_build_filename(folder, name, NULL);
}

static char *find_path(const char *image_path, const char *folder,
                       GError **error)
{
    g_autofree char *beside = g_strconcat(image_path, SUFFIX, NULL);
    g_autofree char *collected = NULL;

    if (file_check_replaceable(beside, folder ? NULL : error)) {
        return g_steal_pointer(&beside);
    }
    collected = folder ? path_in_folder(image_path, folder) : NULL;
    if (collected && file_check_replaceable(collected, error)) {
        return g_steal_pointer(&collected);
    }
    return NULL;
}

/* Make the order at path the image's. */
static bool adopt(PageOrder *order, const char *path, const char *identity,
                  GError **error)
{
    if (g_strcmp0(order->identity, identity) == 0) {
        return true;
    }
    g_free(order->identity);
    order->identity = g_strdup(identity);
    return page_order_save(order, path, error);
}

static bool is_old(const char *path)
{
    struct stat file;

    return stat(path, &file) == 0 &&
           time(NULL) - file.st_mtim.tv_sec >= RESTORE_ORDER_LEARN_S;
}

/* There is something at the order's path. */
static void look_at(RestoreOrder *order, const char *identity)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PageOrder) found = page_order_load(order->path, &error);

    if (!found) {
        order->warning = g_strdup_printf(
            "%s; a new order is recorded in its place", error->message);
        return;
    }
    order->is_there = true;
    if (is_old(order->path)) {
        order->learns = adopt(found, order->path, identity, &error);
        order->warning = error ? g_strdup(error->message) : NULL;
    }
}

void restore_order_find(const char *image_path, const char *folder,
                        const char *identity, RestoreOrder *ret_order)
{
    g_autoptr(GError) error = NULL;
    RestoreOrder order = {.path = find_path(image_path, folder, &error)};

    if (!order.path) {
        order.warning =
            g_strdup_printf("no order is used or recorded: %s", error->message);
    } else if (g_file_test(order.path, G_FILE_TEST_EXISTS)) {
        look_at(&order, identity);
    }
    *ret_order = order;
}

void restore_order_clear(RestoreOrder *order)
{
    g_clear_pointer(&order->path, g_free);
    g_clear_pointer(&order->warning, g_free);
}
