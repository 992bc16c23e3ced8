/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where a machine's RAM blocks lie in guest-physical address space, and which
 * pages of them a range of guest-physical addresses is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "formats/page-order.h"

/* A part of a block that is mapped in one piece. */
typedef struct MachineMapping {
    uint64_t guest_addr;
    uint64_t off_bytes; /* into the block */
    uint64_t len_bytes; /* not 0; off_bytes + len_bytes within the block */
    uint32_t block;
} MachineMapping;

typedef enum {
    MACHINE_PC,  /* i440FX: -machine pc, pc-i440fx-N.N */
    MACHINE_Q35, /* -machine q35, pc-q35-N.N */
} MachineType;

/* The type of the machine of that name, as "q35" or "pc-i440fx-10.0"; false
 * if its map is not known here. */
bool machine_type_from_name(const char *name, MachineType *ret_type);

/*
 * Append to map (a GArray of MachineMapping) where a machine of that type
 * without max-ram-below-4g has the block main_ram, all of its memory.
 *
 * Source: QEMU, pc_init1() in hw/i386/pc_piix.c (machine versions from 2.0
 * on) and pc_q35_init() in hw/i386/pc_q35.c.  Not known is the machine with
 * an AMD processor and about 1 TiB or more, whose upper part goes elsewhere;
 * nor are RAM blocks besides main_ram.
 */
void machine_map_add(GArray *map, const PageOrder *order, MachineType type,
                     uint32_t main_ram);

/*
 * Append to ranges (a GArray of PageRange) the pages that have any of
 * len_bytes bytes (not 0) from guest_addr on; addresses that map has nothing
 * at are passed over.
 *
 * Returns false with PROFILER_ERROR_RANGE if it has nothing at any of them.
 */
bool machine_map_find(const GArray *map, const PageOrder *order,
                      uint64_t guest_addr, uint64_t len_bytes, GArray *ranges,
                      GError **error);
