# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""A snapshot that cannot be read everywhere, or not quickly."""

import mmap
import pathlib
import shutil
import struct
import tempfile

from harness import machine
from harness.case import Case
from harness.faultyfile import FaultyFile, lacks_fuse
from harness.snapshots import snapshot

TESTED = machine.SMALL
PAGE_BYTES = 4096
N_STORE_PAGES = (TESTED.store_mib << 20) // PAGE_BYTES

# What preheat says then.
FAILED = "failed: Input/output error"
STOPPED = "The guest needs that page and is stopped"


def mix(x):
    """store_mix() of tests/guest/store.h."""
    mask = (1 << 64) - 1
    x = (x + 0x9E3779B97F4A7C15) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


def pages_of(key):
    """The pages of the store that GET key reads; store_run()."""
    pages = set()
    for run in range(1280):
        value = mix((mix(key) + run) & ((1 << 64) - 1))
        first, length = value % N_STORE_PAGES, 1 + (value >> 32) % 8
        pages |= {(first + i) % N_STORE_PAGES for i in range(length)}
    return pages


def unneeded_pages(count, keys=(1,)):
    """Where in the snapshot pages lie that SUM reads, and GET and PUT of the
    keys do not."""
    needed = set().union(*map(pages_of, keys))
    found = []
    with open(snapshot(TESTED), "rb") as file, \
            mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
        # Apart from each other, so that each is read by itself.
        for page in range(0, N_STORE_PAGES, 1000):
            while page in needed:
                page += 1
            words = struct.pack("<4Q", *(mix(page * PAGE_BYTES // 8 + i)
                                         for i in range(4)))
            found.append(content.find(words))
    return found[:count]


def faulty_snapshot(case):
    """TESTED's, as a FaultyFile, for as long as the case is tested."""
    case.skip_if(lacks_fuse())
    mount = pathlib.Path(tempfile.mkdtemp(prefix="preheat-mount."))
    case.addCleanup(shutil.rmtree, mount)
    file = FaultyFile(snapshot(TESTED), mount / "faulty")
    case.addCleanup(file.close)
    return file


class FaultyCase(Case):
    """A test with such a snapshot."""

    def setUp(self):
        self.file = faulty_snapshot(self)
        # What it registers ends all processes, and is carried out first.
        super().setUp()

    def fail_pages(self, *pages):
        for page in pages:
            self.file.fail(page, page + PAGE_BYTES)
