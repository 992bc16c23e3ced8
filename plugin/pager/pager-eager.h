/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The eager threads' part of the pager.
 */
#pragma once

/* A thread; opaque is its EagerThread. */
void *pager_eager_thread(void *opaque);
