/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which pages clones map before their guests touch them.
 */
#pragma once

#include <glib.h>

#include "formats/page-order.h"
#include "formats/ram-image.h"

/* The pages of order (NULL: none) that image has, and near ones between them,
 * in the sequence that a load reads them in; an array of TemplateRun. */
GArray *hot_runs_new(const PageOrder *order, const RamImage *image);
