/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The kernel's mappings of this process, as /proc/self/maps and smaps show
 * them, and what file system a mapping's file is on.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The first line of a mapping. */
typedef struct Mapping {
    uint64_t start;
    uint64_t end;
    char perms[5]; /* "rw-p", or 's' for shared */
    dev_t device;  /* its file's; as the next two */
    uint64_t inode;
    const char *path; /* into the text; "" if there is none */
} Mapping;

/* What a mapping's file is on. */
typedef struct MappingFileSystem {
    char *type;      /* "tmpfs", "hugetlbfs", …; NULL: not known */
    char *options;   /* the file system's mount options */
    bool is_kernels; /* the kernel's own tmpfs or hugetlbfs, which is mounted
                        nowhere: memfd, shared anonymous memory, SysV */
} MappingFileSystem;

/* The text's next line without its end, cutting the text there; NULL at the
 * end.  *text goes on behind it. */
char *mapping_next_line(char **text);

/* False: not the first line of a mapping. */
bool mapping_parse(const char *line, Mapping *ret_mapping);

/* Where the mapping's file lives, found by its device: whatever the file is
 * called, and also when it has no name any more or none that this process
 * could find.  For mapping_file_system_clear(). */
void mapping_file_system(const Mapping *mapping,
                         MappingFileSystem *ret_file_system);

/* Whether the mapping's file, which is on hugetlbfs, has no contents.  False
 * also where no open descriptor of this process is its. */
bool mapping_file_is_empty(const Mapping *mapping);

void mapping_file_system_clear(MappingFileSystem *file_system);
