# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the guests with Debian's programs hold, known to both sides."""

import hashlib

N_ITEMS = 65536
ITEM_BYTES = 4096
N_OF_A_KEY = 1000


def item(number):
    """The content of an item: nothing that compresses."""
    return hashlib.shake_128(str(number).encode()).digest(ITEM_BYTES)


def items_of(key):
    """The items that a key stands for, scattered over all."""
    drawn = hashlib.shake_128(b"key %d" % key).digest(4 * N_OF_A_KEY)
    return [int.from_bytes(drawn[i:i + 4], "big") % N_ITEMS
            for i in range(0, len(drawn), 4)]


def digest(contents):
    """Of the contents of items, one after the other."""
    whole = hashlib.sha256()
    for content in contents:
        whole.update(content)
    return whole.hexdigest()
