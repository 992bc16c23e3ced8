# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""One measured load, and what to make of several.

Stands on the end-to-end tests' harness: the same guest, the same way of
starting it, every answer checked.
"""

import ctypes
import json
import mmap
import os
import statistics
import subprocess
import time

from harness import config
from harness.jsonsocket import ConnectionLost
from harness.processes import Process
from harness.snapshots import boot
from harness.virtual import Virtual

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
PR_SET_THP_DISABLE = 41
REQUEST = "GET 1"
RECORD_S = 5

# QEMU's own full load is measured once as it is and once without huge pages,
# whose first touch is slow on some machines: the better one counts.
POLICIES = ("full", "full-4k", "sequential", "demand", "order")

# By an order that was recorded at a load, beside one of the save.
ORDER_AT_LOAD = "order-at-load"


class NoProfile(Exception):
    """This host cannot record in place; the text is preheat's own."""


class Bench:
    """A saved guest with a recorded order, in a directory of its own."""

    def __init__(self, machine, tmp):
        self.machine = machine
        self.tmp = tmp
        self.snapshot = tmp / "vm.snap"
        self.order = tmp / "vm.snap.order"
        self.order_at_load = tmp / "load.order"
        self._n_loads = 0

    def _boot(self, launcher=()):
        return boot(self.machine, self.tmp, launcher=launcher)

    def _savevm(self, vm, *options):
        return Process([config.PREHEAT, "savevm", "--qmp", vm.qmp_path,
                        "--output", self.snapshot, *options],
                       self.tmp, "savevm")

    def _end(self, vm):
        vm.quit()
        vm.close()

    def save_with_profile(self):
        """Save the idle guest, and record on it what a request touches."""
        vm = self._boot([config.PREHEAT, "run", "--"])
        process = self._savevm(vm, f"--profile={RECORD_S}")
        try:
            vm.qmp.wait_event("STOP")
            vm.wait_running()
            self._ask(vm)
            if process.wait() != 0:
                raise NoProfile(process.stderr.strip())
        finally:
            self._end(vm)

    def save(self):
        """Save the idle guest."""
        vm = self._boot()
        process = self._savevm(vm)
        if process.wait() != 0:
            raise RuntimeError(process.describe())
        self._end(vm)

    def record(self, order):
        """Record at a load what a request touches."""
        vm = self._start(["--record", order,
                          "--record-for", str(RECORD_S)])
        self._ask(vm)
        vm.wait_loaded("recording")
        self._end(vm)

    def _start(self, options):
        launcher = [config.PREHEAT, "loadvm", "--snapshot", self.snapshot,
                    *options, "--"]
        vm = Virtual(self.tmp, self.machine.arguments(self.tmp),
                     launcher=launcher, serial=False)
        try:
            return vm.connect().wait_running()
        except ConnectionLost as error:
            raise RuntimeError(vm.process.describe()) from error

    def _ask(self, vm):
        answer = vm.ask(REQUEST, self.machine.store_mib)
        if not answer["right"]:
            raise RuntimeError(f"wrong answer from the guest: {answer}")
        return answer

    def drop_caches(self):
        """Empty the page cache; the programs themselves stay warm, as on a
        host that runs more than one guest."""
        os.sync()
        try:
            with open("/proc/sys/vm/drop_caches", "w") as knob:
                knob.write("1\n")
        except OSError:  # not root, or a read-only /proc
            for path in self._files():
                with open(path, "rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0,
                                     os.POSIX_FADV_DONTNEED)
            return
        for program in (config.QEMU, config.PREHEAT):
            subprocess.run([program, "--version"], check=True,
                           stdout=subprocess.DEVNULL)
        for name in ("vmlinuz", "initrd.gz"):
            (config.GUEST_DIR / name).read_bytes()

    def fill_caches(self):
        """Have all of what is loaded in the page cache."""
        for path in self._files():
            read_data(path)

    def _files(self):
        return [path for path in (self.snapshot, self.order,
                                  self.order_at_load) if path.exists()]

    def load(self, policy, cold):
        """Load by policy and ask one question; all in milliseconds."""
        self._n_loads += 1
        stats_path = self.tmp / f"stats{self._n_loads}.json"
        orders = {"order": self.order, ORDER_AT_LOAD: self.order_at_load}
        order = orders.get(policy)
        options = ["--policy", "order" if order else policy.removesuffix("-4k"),
                   "--stats", stats_path]
        if order:
            options += ["--order", order]
        if cold:
            self.drop_caches()
        cached = cached_share(self.snapshot)
        set_huge_pages(policy != "full-4k")
        start_us = time.monotonic_ns() // 1000
        vm = self._start(options)
        answer = self._ask(vm)
        if order or policy == "sequential":
            vm.wait_loaded()
        self._end(vm)
        set_huge_pages(True)
        stats = json.loads(stats_path.read_text())
        return {
            "policy": policy,
            "cached": cached,
            "qemu-ready-ms": stats["qemu-ready-ms"],
            "resumed-ms": stats["resumed-ms"],
            "ready-to-resumed-ms": (stats["resumed-ms"] -
                                    stats["qemu-ready-ms"]),
            "answer-ms": (answer["answered-us"] - start_us) / 1000,
            "demand-faults": stats["demand-faults"],
            "blocktime-ms": stats["blocktime-ms"],
            "loaded-ms": stats.get("loaded-ms"),
        }


def read_data(path):
    """Read a file from end to end, but for its holes."""
    with open(path, "rb", buffering=0) as file:
        fd = file.fileno()
        position, length = 0, os.fstat(fd).st_size
        while position < length:
            try:
                position = os.lseek(fd, position, os.SEEK_DATA)
            except OSError:  # nothing but a hole from here on
                return
            hole = os.lseek(fd, position, os.SEEK_HOLE)
            while position < hole:
                position += len(os.pread(fd, min(hole - position, 1 << 20),
                                         position))


def cached_share(path):
    """The part of a file's contents that is in the page cache, 0 to 1."""
    with open(path, "rb") as file:
        stat = os.fstat(file.fileno())
        length = ctypes.c_size_t(stat.st_size)
        in_core = bytearray(-(-stat.st_size // mmap.PAGESIZE))
        start = LIBC.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED,
                          file.fileno(), ctypes.c_long(0))
        rc = LIBC.mincore(ctypes.c_void_p(start), length,
                          (ctypes.c_char * len(in_core)).from_buffer(in_core))
        error = ctypes.get_errno()
        LIBC.munmap(ctypes.c_void_p(start), length)
    if rc != 0:
        raise OSError(error, f"mincore of {path}: {os.strerror(error)}")
    cached = sum(byte & 1 for byte in in_core) * mmap.PAGESIZE
    return min(cached / (stat.st_blocks * 512), 1)


def set_huge_pages(allowed):
    """Whether programs started from now on may have huge pages."""
    LIBC.prctl(PR_SET_THP_DISABLE, int(not allowed), 0, 0, 0)


def rounds(bench, policies, n_rounds, cold):
    """Loads by all policies, interleaved; yields each as it is done."""
    if not cold:
        bench.fill_caches()
    for i in range(n_rounds):
        for policy in policies:
            yield {"round": i, "cold": cold, **bench.load(policy, cold)}


def median(loads, policy, key):
    """The median of key over the loads by policy, or None."""
    values = [load[key] for load in loads if load["policy"] == policy]
    if not values or None in values:
        return None
    return statistics.median(values)


def ratios(loads, policy, peer, key):
    """key of peer over key of policy, round by round, sorted."""
    by_round = {(load["round"], load["policy"]): load[key]
                for load in loads}
    return sorted(by_round[i, peer] / by_round[i, policy]
                  for i, name in by_round if name == policy)


def best_full(loads):
    """The faster one of QEMU's own full loads, by first answer."""
    measured = {load["policy"] for load in loads}
    return min((policy for policy in ("full", "full-4k")
                if policy in measured), default=None,
               key=lambda policy: median(loads, policy, "answer-ms"))
