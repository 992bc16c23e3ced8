/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the commands that change some pages of an order share.
 */
#pragma once

#include "cli/command.h"
#include "formats/page-order.h"

/* A new order out of order and a GArray of PageSpan. */
typedef PageOrder *(*RangeChange)(const PageOrder *order, const GArray *ranges);

/* Run command: read the order, change what the options name, write it. */
int range_command_run(const Command *command, RangeChange change, int argc,
                      char **argv);
