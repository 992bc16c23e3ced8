/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/error.h"

G_DEFINE_QUARK(preheat-formats-error-quark, formats_error)
