# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a process has taken so far: processor time and memory."""

import ctypes
import os
import pathlib
import time

LIBC = ctypes.CDLL(None, use_errno=True)
KIB_FIELDS = {
    "status": {"VmHWM": "peak-mib", "VmRSS": "resident-mib"},
    "smaps_rollup": {"Pss": "pss-mib", "Pss_Shmem": "shared-mib",
                     "AnonHugePages": "huge-mib"},
}


def processor_s(pid):
    """Of all threads, also those that have ended, and of a zombie."""
    clock = ctypes.c_int()
    error = LIBC.clock_getcpuclockid(pid, ctypes.byref(clock))
    if error != 0:
        raise OSError(error, f"processor time of process {pid}: "
                      f"{os.strerror(error)}")
    return time.clock_gettime(clock.value)


def memory(pid):
    """In MiB: resident (and at most so far), proportional (and of it in
    memfds and the like), in huge pages."""
    found = {}
    for name, fields in KIB_FIELDS.items():
        text = pathlib.Path(f"/proc/{pid}/{name}").read_text()
        for line in text.splitlines():
            field, _, rest = line.partition(":")
            if field in fields:
                found[fields[field]] = int(rest.split()[0]) / 1024
    return found
