/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/phase-options.h"

#include "profiler/orders/phases.h"
#include "util/units.h"

void phase_options_clear(PhaseOptions *phase)
{
    g_clear_pointer(&phase->size_text, g_free);
    g_clear_pointer(&phase->gap_text, g_free);
}

bool phase_options_parse(PhaseOptions *phase, GError **error)
{
    phase->max_bytes = ORDER_PHASE_BYTES;
    phase->quiet_us = ORDER_PHASE_QUIET_US;
    return (phase->size_text == NULL ||
            units_parse_size(phase->size_text, &phase->max_bytes, error)) &&
           (phase->gap_text == NULL ||
            units_parse_time(phase->gap_text, &phase->quiet_us, error));
}
