/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/plugin/ram-kinds.h"

#include <unistd.h>

RamKind ram_kind_anonymous = RAM_ANONYMOUS;
RamKind ram_kind_shared = RAM_SHARED;

bool have_userfaultfd(UffdCaps needed)
{
    int fd;
    UffdCaps caps;

    if (uffd_open(&fd, &caps) < 0) {
        return false;
    }
    close(fd);
    return (caps & needed) == needed;
}

RamKind ram_kind_of(void **state)
{
    return *(RamKind *)*state;
}
