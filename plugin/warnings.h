/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Warnings, written one after the other by a thread of their own.  Standard
 * error may be a full pipe that nobody reads: no thread that loads a guest is
 * to wait for that.
 */
#pragma once

#include <stdint.h>

typedef struct Warnings Warnings;

/* write may block.  Never freed: it lives as long as the process. */
Warnings *warnings_new(void (*write)(const char *text));

/* Have text written.  It is lost where no thread can be started, or very many
 * wait already.  Does not block. */
void warnings_add(Warnings *warnings, const char *text);

/* Wait until all are written, at most until until_us of the monotonic clock. */
void warnings_await(Warnings *warnings, uint64_t until_us);
