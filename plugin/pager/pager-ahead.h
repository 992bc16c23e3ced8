/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where guest RAM is mapped from memory of the source: map the pages that the
 * guest is likely to touch before it does, so that it takes no fault for them.
 */
#pragma once

/* The thread that does so; opaque: the Pager, whose memory is attached.  It
 * ends by itself, and soon: it waits for nothing. */
void *pager_ahead_thread(void *opaque);
