# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""What this host lacks, as reasons to skip a test; None where it has it."""

import ctypes
import fcntl
import functools
import os
import pathlib
import shutil
import subprocess

from . import config

SYS_USERFAULTFD = 323  # on x86-64
USERFAULTFD_DEVICE = "/dev/userfaultfd"
COMPACT = pathlib.Path("/proc/sys/vm/compact_memory")


def lacks_qemu():
    if shutil.which(config.QEMU) is None:
        return f"{config.QEMU} is not installed"
    return None


def lacks_huge_pages():
    """Those that QEMU asks for, and the kernel makes of small ones (6.1)."""
    setting = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not setting.exists() or "[never]" in setting.read_text():
        return "no transparent huge pages"
    if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 1):
        return "no MADV_COLLAPSE (Linux 6.1)"
    return None


class HugetlbPool:
    """Reserved huge pages, of 2 MiB or so many KiB, while it is open.

    The lock keeps other tests, the unit tests too, from counting on the same
    ones.  The kernel is given as many as it lacks, which takes root.
    """

    def __init__(self, kib=2048):
        self._directory = pathlib.Path(
            f"/sys/kernel/mm/hugepages/hugepages-{kib}kB")
        self._setting = None
        self._before = 0

    def _read(self, name):
        return int((self._directory / name).read_text())

    def n_free(self):
        return self._read("free_hugepages") - self._read("resv_hugepages")

    def lacks(self, n):
        """See that n are free, or say why not."""
        setting = self._directory / "nr_hugepages"
        if not os.access(setting, os.W_OK):
            return "nobody can reserve huge pages of that size here"
        self._setting = open(setting, "r+")
        fcntl.flock(self._setting, fcntl.LOCK_EX)
        self._before = self._read("nr_hugepages")
        self._reserve(n)
        if self.n_free() < n:
            # Memory has been in use for long.
            COMPACT.write_text("1\n")
            self._reserve(n)
        if self.n_free() < n:
            return f"the kernel has no {n} such huge pages to reserve"
        return None

    def _reserve(self, n):
        self._write(self._read("nr_hugepages") + max(0, n - self.n_free()))

    def _write(self, n):
        self._setting.write(f"{n}\n")
        self._setting.flush()

    def close(self):
        if self._setting is not None:
            self._write(self._before)
            self._setting.close()


def lacks_root():
    if os.geteuid() != 0:
        return "not run by root"
    return None


@functools.cache
def lacks_pid_namespaces():
    run = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc",
                          "true"], stderr=subprocess.PIPE, text=True)
    if run.returncode != 0:
        return f"no PID namespaces: {run.stderr.strip()}"
    return None


@functools.cache
def lacks_userfaultfd():
    """Faults that the kernel raises need more than user-mode-only ones."""
    if os.access(USERFAULTFD_DEVICE, os.R_OK | os.W_OK):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(SYS_USERFAULTFD, os.O_CLOEXEC | os.O_NONBLOCK)
    if fd < 0:
        return f"no userfaultfd: {os.strerror(ctypes.get_errno())}"
    os.close(fd)
    return None
