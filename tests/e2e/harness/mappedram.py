# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""A second, independent reader of QEMU's mapped-ram files.

Written from QEMU's docs/devel/migration/mapped-ram.rst, for the tests only;
it believes what it reads.
"""

import dataclasses
import mmap
import struct

RAM_FLAG_MEM_SIZE = 0x04
RAM_FLAG_EOS = 0x10


@dataclasses.dataclass
class Block:
    name: str
    length: int
    page_bytes: int
    bitmap_offset: int
    pages_offset: int


class MappedRam:
    """The pages of a snapshot: `with MappedRam(path) as ram: ...`."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        self.blocks = {block.name: block for block in self._parse()}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._map.close()

    def _parse(self):
        magic, version = struct.unpack_from(">II", self._map, 0)
        assert (magic, version) == (0x5145564D, 3)
        # The configuration ends where the RAM section begins.
        name = b"\x03ram"
        at = self._map.find(name, 8) + len(name) + 8
        total, = struct.unpack_from(">Q", self._map, at)
        assert total & RAM_FLAG_MEM_SIZE
        left = total & ~0xFFF
        at += 8
        while left > 0:
            block = self._parse_block(at)
            yield block
            left -= block.length
            at = block.pages_offset + block.length
        flags, = struct.unpack_from(">Q", self._map, at)
        assert flags == RAM_FLAG_EOS

    def _parse_block(self, at):
        name_length = self._map[at]
        name = self._map[at + 1:at + 1 + name_length].decode()
        at += 1 + name_length
        length, = struct.unpack_from(">Q", self._map, at)
        _, page_bytes, bitmap, pages = struct.unpack_from(
            ">IQQQ", self._map, at + 8)
        return Block(name, length, page_bytes, bitmap, pages)

    def in_file(self, block, page):
        byte = self._map[block.bitmap_offset + page // 8]
        return bool(byte >> page % 8 & 1)

    def n_in_file(self, block):
        n_pages = block.length // block.page_bytes
        bitmap = self._map[block.bitmap_offset:
                           block.bitmap_offset + (n_pages + 7) // 8]
        return bin(int.from_bytes(bitmap, "little")).count("1")

    def page(self, block, page):
        """The content that the page must have."""
        if not self.in_file(block, page):
            return bytes(block.page_bytes)
        at = block.pages_offset + page * block.page_bytes
        return self._map[at:at + block.page_bytes]

    def differing_pages(self, block, offset, content):
        """The pages of block that differ from content, which is what a
        guest has from offset (a multiple of the page size) on."""
        first = offset // block.page_bytes
        size = block.page_bytes
        for i in range(0, len(content), size):
            page = first + i // size
            if content[i:i + size] != self.page(block, page):
                yield page
