/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every subcommand; cmd-NAME.c defines it.  The tables that list them are in
 * main.c, cmd-order.c, cmd-profile.c and cmd-snapshot.c.
 */
#pragma once

#include "cli/command.h"

extern const Command cmd_control;
extern const Command cmd_doctor;
extern const Command cmd_loadvm;
extern const Command cmd_order;
extern const Command cmd_order_check;
extern const Command cmd_order_diff;
extern const Command cmd_order_drop;
extern const Command cmd_order_edit;
extern const Command cmd_order_export;
extern const Command cmd_order_import;
extern const Command cmd_order_merge;
extern const Command cmd_order_pack;
extern const Command cmd_order_pin;
extern const Command cmd_order_plot;
extern const Command cmd_order_show;
extern const Command cmd_order_simulate;
extern const Command cmd_order_sort;
extern const Command cmd_order_stat;
extern const Command cmd_order_trim;
extern const Command cmd_prefetch;
extern const Command cmd_profile;
extern const Command cmd_run;
extern const Command cmd_savevm;
extern const Command cmd_snapshot;
extern const Command cmd_snapshot_args;
extern const Command cmd_snapshot_info;
extern const Command cmd_snapshot_list;
extern const Command cmd_snapshot_remove;
extern const Command cmd_snapshot_show;
extern const Command cmd_snapshot_verify;
extern const Command cmd_template;
extern const Command cmd_template_start;
extern const Command cmd_template_take;
