# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Started programs, their output, and that none is left behind."""

import ctypes
import os
import pathlib
import select
import signal
import subprocess
import time

from . import config

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Make this process the parent of descendants that lose theirs.

    So a QEMU that outlives a killed preheat can still be seen and reaped.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(
            PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class Deadline:
    """A moment after which waiting is a failure."""

    def __init__(self, seconds=None):
        if seconds is None:
            seconds = config.DEADLINE_S
        self.seconds = seconds
        self.end = time.monotonic() + seconds

    def left(self, what):
        """Seconds left; TimeoutError names what was waited for."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"{what}: not within {self.seconds:g} s")
        return left


def wait_readable(fds, what, deadline):
    """Wait until one of fds can be read; return those that can."""
    ready, _, _ = select.select(fds, [], [], deadline.left(what))
    if not ready:
        deadline.left(what)
    return ready


def wait_for_end(pid, what, deadline=None):
    """Wait until the process has ended (it may stay a zombie)."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        wait_readable([fd], f"the end of {what}", deadline or Deadline())
    finally:
        os.close(fd)


def children(pid):
    """The process IDs of a process's children, zombies left out."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            pass  # that thread has ended
    return [child for child in found if state(child) not in ("Z", None)]


def state(pid):
    """The state letter of /proc/PID/stat, or None if there is none."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return stat.rpartition(")")[2].split()[0]


def memfd_bytes(pid):
    """What the memfds that a process has open take at this moment."""
    memfds = {}
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.readlink(fd).startswith("/memfd:"):
                stat = fd.stat()
                memfds[stat.st_dev, stat.st_ino] = stat.st_blocks * 512
        except FileNotFoundError:
            pass  # closed since it was listed
    return sum(memfds.values())


def kill_all(pids):
    """SIGKILL the given processes and whatever they have started."""
    for pid in pids:
        below = children(pid)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        kill_all(below)


def end_children():
    """SIGKILL all that was started from here, and wait until it is gone."""
    while pids := children(os.getpid()):
        kill_all(pids)
        for pid in pids:
            wait_for_end(pid, "what was killed")


def reap_adopted(started):
    """Reap ended children that were adopted, not started, by us."""
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        pid = int(stat.parent.name)
        if int(fields[1]) == os.getpid() and pid not in started:
            os.waitpid(pid, 0)


class Process:
    """A program with its standard output and error in files."""

    def __init__(self, argv, log_dir, name, **popen):
        self.argv = [str(arg) for arg in argv]
        self.name = name
        self._paths = [pathlib.Path(log_dir) / f"{name}.{kind}"
                       for kind in ("out", "err")]
        with open(self._paths[0], "wb") as out, \
                open(self._paths[1], "wb") as err:
            self.popen = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                **popen)
        self.pid = self.popen.pid

    @property
    def stdout(self):
        return self._paths[0].read_text(errors="replace")

    @property
    def stderr(self):
        return self._paths[1].read_text(errors="replace")

    def wait(self, deadline=None):
        """The exit status (negative: the signal), once it has ended."""
        wait_for_end(self.pid, self.name, deadline)
        return self.popen.wait()

    def wait_for_text(self, text, deadline=None):
        """Wait until it has said text on standard error."""
        deadline = deadline or Deadline()
        while text not in self.stderr:
            deadline.left(f"'{text}' in: {self.stderr}")
            time.sleep(0.01)

    def kill(self, number=signal.SIGKILL):
        self.popen.send_signal(number)

    def describe(self):
        """Command line, status and output, for a failure's report."""
        return (f"{self.name}: {' '.join(self.argv)}\n"
                f"status: {self.popen.poll()}\n"
                f"stdout: {self.stdout}\nstderr: {self.stderr}")
