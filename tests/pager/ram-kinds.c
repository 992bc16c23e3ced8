/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/pager/ram-kinds.h"

#include <stdio.h>
#include <unistd.h>

RamKind ram_kind_anonymous = RAM_ANONYMOUS;
RamKind ram_kind_shared = RAM_SHARED;

bool have_userfaultfd(UffdCaps needed)
{
    int fd;
    UffdCaps caps;

    if (uffd_open(&fd, &caps) == 0) {
        close(fd);
        if ((caps & needed) == needed) {
            return true;
        }
    }
    printf("skipped: userfaultfd%s%s is not to be had here\n",
           needed & UFFD_CAN_MOVE ? " with MOVE (Linux 6.8)" : "",
           needed & UFFD_CAN_MINOR ? " and minor faults" : "");
    return false;
}

RamKind ram_kind_of(void **state)
{
    return *(RamKind *)*state;
}
