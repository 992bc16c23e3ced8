# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares a guest's RAM with its snapshot, without preheat's help."""

import random

from .mappedram import MappedRam
from .snapshots import snapshot

SAMPLE_BYTES = 64 << 10


def find_block(ram, name):
    """QEMU names a backend's block "ID" or "/objects/ID"."""
    return ram.blocks.get(name) or ram.blocks[f"/objects/{name}"]


def samples(machine, count):
    """Scattered pieces of the machine's ranges, the same every time."""
    generator = random.Random(1)
    for ram_range in generator.choices(
            machine.ram, [r.length for r in machine.ram], k=count):
        n_pieces = ram_range.length // SAMPLE_BYTES
        offset = generator.randrange(n_pieces) * SAMPLE_BYTES
        yield (ram_range.block, ram_range.address + offset,
               ram_range.offset + offset, SAMPLE_BYTES)


def assert_exact(case, vm, machine, path=None, n_samples=None):
    """All of the stopped guest's RAM, or n_samples pieces of it, is what the
    snapshot has."""
    pieces = (samples(machine, n_samples) if n_samples else
              [(r.block, r.address, r.offset, r.length)
               for r in machine.ram])
    dump = case.tmp / "dump"
    with MappedRam(path or snapshot(machine)) as ram:
        for name, address, offset, length in pieces:
            vm.qmp.execute("pmemsave", val=address, size=length,
                           filename=str(dump))
            content = dump.read_bytes()
            case.assertEqual(len(content), length)
            block = find_block(ram, name)
            differing = list(ram.differing_pages(block, offset, content))
            case.assertEqual([], differing[:10],
                             f"{len(differing)} pages of {block.name}")
            dump.unlink()
