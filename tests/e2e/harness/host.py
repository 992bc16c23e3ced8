# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""What this host lacks, as reasons to skip a test; None where it has it."""

import ctypes
import functools
import os
import pathlib
import shutil
import subprocess

from . import config

SYS_USERFAULTFD = 323  # on x86-64
USERFAULTFD_DEVICE = "/dev/userfaultfd"


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
