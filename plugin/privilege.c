/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/privilege.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/pager/ram-range.h"

/* What a process may give up. */
typedef struct Identity {
    uid_t user;
    dev_t root_device;
    ino_t root_inode;
} Identity;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards these */
static bool is_kept;
static Identity kept_as;

static Identity who_we_are(void)
{
    struct stat root = {0};

    (void)stat("/", &root);
    return (Identity){geteuid(), root.st_dev, root.st_ino};
}

static bool is_same(const Identity *a, const Identity *b)
{
    return a->user == b->user && a->root_device == b->root_device &&
           a->root_inode == b->root_inode;
}

void privilege_keep(void)
{
    pthread_mutex_lock(&lock);
    kept_as = who_we_are();
    is_kept = true;
    ram_range_prepare();
    pthread_mutex_unlock(&lock);
}

void privilege_settle(void)
{
    const Identity now = who_we_are();

    pthread_mutex_lock(&lock);
    if (is_kept && is_same(&now, &kept_as)) {
        ram_range_unprepare();
    }
    is_kept = false;
    pthread_mutex_unlock(&lock);
}
