# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""A second, independent reader of the machine's state in a qcow2.

Written from QEMU's docs/interop/qcow2.txt, for the tests only; it believes
what it reads.
"""

import struct

OFFSET = 0x00FFFFFFFFFFFE00


def snapshots(image):
    """(name, offset of L1, entries in L1, size of the disk) of each."""
    count, at = struct.unpack_from(">IQ", image, 60)
    for _ in range(count):
        l1, n_l1, id_length, name_length = struct.unpack_from(">QIHH", image,
                                                              at)
        extra_length, = struct.unpack_from(">I", image, at + 36)
        size, = struct.unpack_from(">Q", image, at + 48)
        at += 40 + extra_length + id_length
        yield (image[at:at + name_length].decode(), l1, n_l1, size)
        at = (at + name_length + 7) & ~7


def extract_state(path, tag, target):
    """Write the state of the machine in the snapshot tag to target."""
    image = path.read_bytes()
    bits, = struct.unpack_from(">I", image, 20)
    cluster, entries = 1 << bits, 1 << (bits - 3)
    l1, n_l1, size = next(s[1:] for s in snapshots(image) if s[0] == tag)
    first = -(-size // (cluster * entries))
    with open(target, "wb") as file:
        for i in range(first, n_l1):
            l2 = struct.unpack_from(">Q", image, l1 + i * 8)[0] & OFFSET
            for j in range(entries if l2 else 0):
                at = struct.unpack_from(">Q", image, l2 + j * 8)[0] & OFFSET
                if at:
                    file.seek(((i - first) * entries + j) * cluster)
                    file.write(image[at:at + cluster])
