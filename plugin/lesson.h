/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Brings what a load has learned into the order that it improves.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "plugin/destination.h"
#include "profiler/orders/learn.h"

/*
 * Improve the order at output by lesson.  Other loads of the snapshot that
 * identity names may have improved it since we read it: it is read again, with
 * the directory locked, so that what they have learned stays.  If it no longer
 * exists, known is improved instead.
 *
 * Fails, among other reasons, if something else is there by now.  May wait for
 * others for some seconds.
 */
bool lesson_write(const LoadLesson *lesson, const char *identity,
                  const PageOrder *known, const PageOrderLimits *limits,
                  const Destination *output, GError **error);
