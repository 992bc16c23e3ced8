# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a saved guest's files lie: on a local disk, or on one that is made
slow by nbdkit's filters and mounted by nbdfuse."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import subprocess
import tempfile

from harness.processes import Deadline, Process

PROGRAMS = {"nbdkit": "nbdkit", "nbdfuse": "libnbd-bin",
            "fusermount3": "fuse3"}

END_S = 5  # for nbdfuse, when nobody uses its file any more


@dataclasses.dataclass(frozen=True)
class Storage:
    """rate_mb_s: megabytes a second; None: the local disk."""
    name: str
    title: str
    rate_mb_s: int | None = None
    delay_ms: int = 0  # nbdkit knows no less than one

    def lacks(self):
        """Why it is not available here, or None."""
        if self.rate_mb_s is None:
            return None
        for program, package in PROGRAMS.items():
            if shutil.which(program) is None:
                return f"no {program} (Debian package {package})"
        if not os.access("/dev/fuse", os.R_OK | os.W_OK):
            return "no /dev/fuse for this user"
        return None

    @contextlib.contextmanager
    def hold(self, saved):
        """saved as it is found on this storage."""
        if self.rate_mb_s is None:
            yield saved
            return
        with tempfile.TemporaryDirectory(dir=saved.scratch) as directory, \
                contextlib.ExitStack() as mounts:
            directory = pathlib.Path(directory)
            for path in saved.files():
                mounts.enter_context(self._mount(path, directory / path.name))
            yield dataclasses.replace(saved, directory=directory)

    @contextlib.contextmanager
    def _mount(self, path, place):
        place.touch()
        # Without kernel_cache each opening would empty the file's cache, and
        # what was read in advance would be read twice.
        process = Process(
            ["nbdfuse", "-o", "kernel_cache", place, "--command", "nbdkit",
             "-s", "-r", "--filter=rate", "--filter=delay", "file", path,
             # In bits; by default two seconds' worth is not held back.
             f"rate={self.rate_mb_s * 8_000_000}", "burstiness=0.05",
             f"delay-read={self.delay_ms}ms"],
            place.parent.parent, f"nbdfuse-{place.name}")
        try:
            self._wait_mounted(process, place)
            yield
        finally:
            self._unmount(process, place)

    def _unmount(self, process, place):
        """Also where a load that failed still has the file open."""
        subprocess.run(["fusermount3", "-u", "-z", "-q", place], check=False)
        try:
            process.wait(Deadline(END_S))
        except TimeoutError:
            process.kill()
            process.wait()

    def _wait_mounted(self, process, place):
        """nbdfuse does not report when it is ready."""
        deadline = Deadline()
        while place.stat().st_size == 0:
            if process.popen.poll() is not None:
                raise RuntimeError(process.describe())
            deadline.left(f"the mount of {place}")


STORAGES = {storage.name: storage for storage in (
    Storage("local", "a local disk"),
    # The way through nbdfuse and nbdkit takes a tenth of a millisecond.
    Storage("fast-network", "1 GB/s, 0.1 ms a read", 1000),
    Storage("slow-network", "200 MB/s, 1 ms a read", 200, 1),
)}
