/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The options that say where one phase of an order ends.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

typedef struct PhaseOptions {
    char *size_text;
    char *gap_text;
    uint64_t max_bytes; /* set by phase_options_parse() */
    uint64_t quiet_us;
} PhaseOptions;

/* The options, for a command's table of them. */
/* clang-format off */
#define PHASE_OPTIONS(phase)                                             \
    {"phase-size", 0, 0, G_OPTION_ARG_STRING, &(phase)->size_text,       \
     "Largest size of a phase (default: 8M)", "SIZE"},                           \
    {"phase-gap", 0, 0, G_OPTION_ARG_STRING, &(phase)->gap_text,         \
     "End a phase after TIME without a first touch (default: 20ms)", "TIME"}
/* clang-format on */

void phase_options_clear(PhaseOptions *phase);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PhaseOptions, phase_options_clear)

/* Set max_bytes and quiet_us by the options or to what the plugin uses. */
bool phase_options_parse(PhaseOptions *phase, GError **error);
