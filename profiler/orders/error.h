/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The errors of the operations on orders.
 */
#pragma once

#include <glib.h>

#define PROFILER_ERROR (profiler_error_quark())

typedef enum {
    PROFILER_ERROR_MISMATCH, /* orders that do not belong together */
    PROFILER_ERROR_RANGE,    /* addresses that the order's blocks lack */
} ProfilerError;

GQuark profiler_error_quark(void);
