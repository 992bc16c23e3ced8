/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * preheat's plugin as it is found in the process that serves a fake QMP: the
 * test's own.  One at a time, for one client.
 */
#pragma once

#include "tests/host/fake-peer.h"

typedef struct FakePlugin FakePlugin;

/* Listen; answer NULL: hang up on whoever connects. */
FakePlugin *fake_plugin_new(FakeAnswer *answer, void *opaque);

/* Wait for the client, if none has come yet, and end. */
void fake_plugin_free(FakePlugin *plugin);
