# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares a guest's RAM with its snapshot, without preheat's help."""

import array
import mmap
import random

from .mappedram import MappedRam
from .snapshots import snapshot

SAMPLE_BYTES = 64 << 10
PAGE_BYTES = mmap.PAGESIZE

# Of an entry of /proc/PID/pagemap: the page is there, or was there and is
# swapped out or being moved; and it is a file's.
# Linux, Documentation/admin-guide/mm/pagemap.rst.
PRESENT_OR_SWAPPED = 3 << 62
OF_FILE = 1 << 61


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


def assert_memory_exact(case, memory, machine):
    """A file's contents are what the snapshot has of the only RAM block."""
    with MappedRam(snapshot(machine)) as ram:
        block = ram.blocks[machine.ram[0].block]
        memory.seek(0)
        differing = list(ram.differing_pages(block, 0, memory.read()))
    case.assertEqual([], differing[:10], f"{len(differing)} pages")


def unwritten_pages(vm, host, length):
    """Of memory that a clone maps: the pages that are still its template's."""
    entries = array.array("Q")
    with open(f"/proc/{vm.qemu_pid}/pagemap", "rb") as pagemap:
        pagemap.seek(host // PAGE_BYTES * entries.itemsize)
        entries.frombytes(pagemap.read(
            length // PAGE_BYTES * entries.itemsize))
    return {page for page, entry in enumerate(entries)
            if not entry & PRESENT_OR_SWAPPED or entry & OF_FILE}


def assert_unwritten_exact(case, vm, machine):
    """What the clone, which stands still, has not written in its only RAM
    block is what the snapshot has.  Returns how many pages it has written."""
    with MappedRam(snapshot(machine)) as ram, \
            open(f"/proc/{vm.qemu_pid}/mem", "rb") as memory:
        block = ram.blocks[machine.ram[0].block]
        host, _ = vm.ram_blocks()[block.name]
        unwritten = unwritten_pages(vm, host, block.length)
        memory.seek(host)
        content = memory.read(block.length)
        differing = [page for page in ram.differing_pages(block, 0, content)
                     if page in unwritten]
    case.assertEqual([], differing[:10], f"{len(differing)} pages")
    return block.length // PAGE_BYTES - len(unwritten)
