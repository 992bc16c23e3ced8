# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Snapshots of the machines, saved once by QEMU alone and kept."""

import functools
import hashlib
import pathlib
import tempfile

from . import config
from .virtual import READY, Virtual


def boot(machine, tmp, **options):
    """A freshly booted guest whose service listens."""
    vm = Virtual(tmp, machine.arguments(tmp), **options).connect()
    vm.serial.wait_for(READY)
    return vm


@functools.cache
def snapshot(machine):
    """The path of a snapshot of machine, taken while it was idle."""
    directory = config.CACHE_DIR / "snapshots"
    kept = directory / f"{machine.name}-{machine.fingerprint()}"
    if not kept.exists():
        directory.mkdir(parents=True, exist_ok=True)
        # The whole pattern: one machine's name may begin another's.
        for old in directory.glob(f"{machine.name}-{'[0-9a-f]' * 16}"):
            old.unlink()
        with tempfile.TemporaryDirectory(prefix="preheat-") as tmp:
            tmp = pathlib.Path(tmp)
            vm = boot(machine, tmp)
            part = directory / f".{machine.name}.part"
            vm.save(part)
            vm.quit()
            vm.close()
            part.rename(kept)
    return kept


def digest(path):
    """The SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
