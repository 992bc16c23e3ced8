/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/error.h"

GQuark profiler_error_quark(void)
{
    return g_quark_from_static_string("preheat-profiler-error-quark");
}
