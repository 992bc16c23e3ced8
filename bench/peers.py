# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Ways of loading a snapshot: preheat's, QEMU's, and others'.

A peer has load(), which ends when the guest runs, and finish(), which waits
until all is loaded, if the peer ever loads all.  Both note what they know of
the moments in the Attempt: qemu-ready-ms, resumed-ms, loaded-ms.
"""

import concurrent.futures
import contextlib
import json
import mmap
import os
import signal
import time

import caches
from harness import config, host
from harness.jsonsocket import Listener
from harness.processes import Process
from saved import (ORDER, ORDER_AT_LOAD, ORDER_AT_RANDOM, ORDER_PACKED,
                   ORDER_USELESS, SNAPSHOT)

PEER_OBJECT = config.BUILD_DIR / "bench" / "libpreheat-bench-peer.so"
INCOMING = ("-incoming", "defer")


class Peer:
    """What all have."""

    huge_pages = True  # whether QEMU may have them
    has_guest = True
    has_usage = True  # whether the memory of QEMU is the peer's doing
    copies_all = True  # whether each guest gets all of RAM for itself

    def __init__(self, title):
        self.title = title

    def lacks(self, guest):
        """Why it cannot be done with this Saved here; None: it can."""
        return None

    @contextlib.contextmanager
    def hold(self, guest):
        """What there is before the clock runs, for all loads of a Saved: the
        processes that hold memory for them."""
        yield []

    def finish(self, attempt):
        """Nothing is loaded after the guest has begun to run."""

    def statistics(self, attempt):
        """What it counts itself, once QEMU has ended."""
        return {}


class Preheat(Peer):
    """`preheat loadvm` with options; order: the name of the file."""

    KEYS = ("qemu-ready-ms", "resumed-ms", "loaded-ms", "demand-faults",
            "blocktime-ms", "bytes-read")

    def __init__(self, title, *options, order=None, loads_all=True):
        super().__init__(title)
        self._options = options
        self._order = order
        self._loads_all = self.copies_all = loads_all

    def lacks(self, guest):
        return host.lacks_userfaultfd()

    def options(self, attempt):
        options = [*self._options, "--stats", attempt.tmp / "stats.json"]
        if self._order:
            options += ["--order", attempt.saved.order(self._order)]
        return options

    def load(self, attempt):
        launcher = [config.PREHEAT, "loadvm", "--snapshot",
                    attempt.saved.snapshot, *self.options(attempt), "--"]
        attempt.launch(launcher).connect().wait_running()

    def finish(self, attempt):
        if self._loads_all:
            attempt.vm.wait_loaded()

    def statistics(self, attempt):
        stats = json.loads((attempt.tmp / "stats.json").read_text())
        return {key: stats[key] for key in self.KEYS
                if stats.get(key) is not None}


class Template(Preheat):
    """A clone of a template that has been filled before."""

    SOCKET = "template.sock"

    def __init__(self, title):
        super().__init__(title)
        self.copies_all = False

    @contextlib.contextmanager
    def hold(self, guest):
        template = Process([config.PREHEAT, "template", "start",
                            guest.snapshot, "--order", guest.order(ORDER),
                            "--socket", guest.scratch / self.SOCKET],
                           guest.scratch, "template")
        try:
            template.wait_for_text("every page is there")
            yield [template.pid]
        finally:
            template.kill(signal.SIGTERM)
            template.wait()

    def options(self, attempt):
        return [*super().options(attempt), "--template",
                attempt.saved.scratch / self.SOCKET]


class Full(Peer):
    """QEMU's own load of everything before the guest runs."""

    def __init__(self, title, *capabilities, huge_pages=True, warm_up=False,
                 **parameters):
        super().__init__(title)
        self.huge_pages = huge_pages
        self._capabilities = capabilities
        self._parameters = parameters
        self._warm_up = warm_up

    def lacks(self, guest):
        if self._parameters.get("direct_io"):
            return caches.lacks_direct(guest.snapshot)
        return None

    def load(self, attempt):
        if self._warm_up:
            attempt.help([config.PREHEAT, "prefetch",
                          attempt.saved.snapshot])
            attempt.wait_helpers()
        vm = attempt.launch(extra=INCOMING).connect()
        attempt.note("qemu-ready-ms")
        vm.load(attempt.saved.snapshot, self._capabilities,
                **self._parameters)
        attempt.note("loaded-ms")
        vm.wait_running()
        attempt.note("resumed-ms")


class QemuFast(Peer):
    """Fast snapshot load, by a QEMU that has it."""

    def lacks(self, guest):
        if not config.qemu_is_since(11, 2):
            return f"{config.qemu_version()}: has no fast snapshot load"
        return None

    def load(self, attempt):
        vm = attempt.launch(extra=INCOMING).connect()
        attempt.note("qemu-ready-ms")
        vm.begin_load(attempt.saved.snapshot, ["postcopy-ram"])
        vm.wait_running()
        attempt.note("resumed-ms")

    def finish(self, attempt):
        if attempt.vm.qmp.wait_migration() != "completed":
            raise RuntimeError("QEMU's fast snapshot load has failed")
        attempt.note("loaded-ms")


class Preloaded(Peer):
    """A way of bench/peer, inside QEMU."""

    def __init__(self, title, way, order=None, tells_end=False):
        super().__init__(title)
        self._way = way
        self._order = order
        self._tells_end = self.copies_all = tells_end

    def lacks(self, guest):
        return host.lacks_userfaultfd()

    def _environment(self, attempt, listener):
        variables = {"LD_PRELOAD": PEER_OBJECT, "PREHEAT_BENCH_WAY": self._way,
                     "PREHEAT_BENCH_SOCKET": listener.path,
                     "PREHEAT_BENCH_SNAPSHOT": attempt.saved.snapshot}
        if self._order:
            variables["PREHEAT_BENCH_ORDER"] = attempt.saved.order(self._order)
        return [f"{name}={value}" for name, value in variables.items()]

    def _attach(self, vm, control):
        """Hand guest RAM over; the path of what QEMU is to load."""
        for name, (address, _) in vm.ram_blocks().items():
            control.write(f"{address:x} {name}\n")
        control.write("\n")
        control.flush()
        return control.readline().rstrip()

    def load(self, attempt):
        if self._order:
            attempt.help([config.PREHEAT, "prefetch", attempt.saved.snapshot,
                          "--order", attempt.saved.order(self._order)])
        listener = Listener(attempt.tmp / "peer.sock")
        vm = attempt.launch(["env", *self._environment(attempt, listener)],
                            INCOMING)
        with listener.accept(vm.process) as connection:
            listener.close()
            attempt.control = connection.makefile("rw")
        vm.connect()
        attempt.note("qemu-ready-ms")
        vm.load(self._attach(vm, attempt.control))
        vm.wait_running()
        attempt.note("resumed-ms")

    def finish(self, attempt):
        if self._tells_end:
            word, _, time_us = attempt.control.readline().partition(" ")
            if word != "loaded":
                raise RuntimeError(attempt.vm.process.describe())
            attempt.note("loaded-ms", int(time_us))


class LowerBound(Peer):
    """The guest has all its RAM and only stopped, and so have all that were
    begun with it; QEMU's start is counted, its load is not."""

    has_usage = False

    def load(self, attempt):
        vm = attempt.launch(extra=INCOMING).connect()
        attempt.note("qemu-ready-ms")
        ready = attempt.moment()
        vm.load(attempt.saved.snapshot)
        vm.wait_running()
        vm.qmp.execute("stop")
        attempt.meet()
        attempt.leave_out(ready)
        vm.qmp.execute("cont")
        attempt.note("resumed-ms")

    def finish(self, attempt):
        attempt.noted["processor-s"] = attempt.processor_s()


class Raw(Peer):
    """The snapshot's bytes, read by four threads and thrown away: past the
    page cache, or, warm, from it.  No guest."""

    has_guest = False
    has_usage = False
    N_THREADS = 4
    PIECE_BYTES = 1 << 20

    def lacks(self, guest):
        return caches.lacks_direct(guest.snapshot)

    def load(self, attempt):
        before_s = time.process_time()
        fd = os.open(attempt.saved.snapshot,
                     os.O_RDONLY | (os.O_DIRECT if attempt.cold else 0))
        pieces = self._pieces(attempt.saved)
        try:
            with concurrent.futures.ThreadPoolExecutor(
                    self.N_THREADS) as threads:
                for _ in threads.map(self._read, [fd] * self.N_THREADS,
                                     (pieces[i::self.N_THREADS]
                                      for i in range(self.N_THREADS))):
                    pass
        finally:
            os.close(fd)
        attempt.note("loaded-ms")
        attempt.noted["processor-s"] = time.process_time() - before_s

    def _pieces(self, saved):
        """Not every storage tells where a file has holes: its origin does."""
        with open(saved.scratch / SNAPSHOT, "rb") as file:
            return list(caches.data_pieces(file.fileno(), self.PIECE_BYTES))

    def _read(self, fd, pieces):
        with mmap.mmap(-1, self.PIECE_BYTES) as buffer:  # page aligned
            for offset, length in pieces:
                # Whole pages; what is behind the file's end does not come.
                part = memoryview(buffer)[:-(-length // mmap.PAGESIZE) *
                                          mmap.PAGESIZE]
                if os.preadv(fd, [part], offset) <= 0:
                    raise OSError(f"nothing to be read at {offset}")
                part.release()


# In the sequence of the tables.
PEERS = {
    "order": Preheat("preheat, by order", "--policy", "order",
                     order=ORDER),
    "order-at-load": Preheat("preheat, by an order recorded at a load",
                             "--policy", "order", order=ORDER_AT_LOAD),
    "order-eager": Preheat("preheat, by order, the rest at once", "--policy",
                           "order", "--rest", "eager", order=ORDER),
    "order-demand": Preheat("preheat, by order, the rest on demand",
                            "--policy", "order", "--rest", "demand",
                            order=ORDER, loads_all=False),
    "pack": Preheat("preheat, by order, its pages from a pack", "--policy",
                    "order", "--pack", "always", order=ORDER_PACKED),
    "pack-auto": Preheat("preheat, by order, from its pack if that is faster",
                         "--policy", "order", order=ORDER_PACKED),
    "template": Template("preheat, clone of a filled template"),
    "sequential": Preheat("preheat, no order", "--policy", "sequential"),
    "demand": Preheat("preheat, on demand only", "--policy", "demand",
                      loads_all=False),
    "random": Preheat("preheat, by as many pages drawn by lot", "--policy",
                      "order", order=ORDER_AT_RANDOM),
    "useless": Preheat("preheat, by ten times as many drawn by lot",
                       "--policy", "order", order=ORDER_USELESS),
    "reap": Preheat("recorded set read before resume (REAP's way)",
                    "--policy", "order", "--wait", "hot", order=ORDER),
    "full": Full("QEMU full load"),
    "full-4k": Full("QEMU full load, 4 KiB pages", huge_pages=False),
    "multifd": Full("QEMU full load, multifd, 4 channels", "multifd",
                    multifd_channels=4),
    "multifd-direct": Full("QEMU full load, multifd, direct I/O", "multifd",
                           multifd_channels=4, direct_io=True),
    "warm-up": Full("file read first, then QEMU full load", warm_up=True),
    "fast": Preloaded("fast snapshot load's algorithm", "fast",
                      tells_end=True),
    "qemu-fast": QemuFast("QEMU's fast snapshot load"),
    "private": Preloaded("private mapping, order read ahead", "private",
                         order=ORDER),
    "lower-bound": LowerBound("lower bound: QEMU's start, stop and cont"),
    "raw": Raw("raw reading, no guest"),
}

# QEMU's own full load as it is and without huge pages, whose first touch is
# slow on some machines: the better one counts.
FULL = ("full", "full-4k")
