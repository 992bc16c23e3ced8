# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""A saved guest with its orders."""

import dataclasses
import json
import pathlib
import random
import shutil
import subprocess

from harness import config
from harness.mappedram import MappedRam
from harness.processes import Process
from harness.snapshots import boot
from harness.virtual import Virtual

SNAPSHOT = "vm.snap"
ORDER = "vm.snap.order"
ORDER_AT_LOAD = "load.order"
ORDER_AT_RANDOM = "random.order"  # as many pages, drawn by lot
ORDER_USELESS = "useless.order"   # ten times as many
ORDER_PACKED = "packed.order"     # the recorded one, with its pack
PACK = ORDER_PACKED + ".pack"     # where loadvm looks for it
FILES = (SNAPSHOT, ORDER, ORDER_AT_LOAD, ORDER_AT_RANDOM, ORDER_USELESS,
         ORDER_PACKED, PACK)


class NoProfile(Exception):
    """This host cannot record in place; the text is preheat's own."""


class CutShort(RuntimeError):
    """What was recorded is not all that an answer needs: nothing measured with
    it would be worth anything."""

    def __init__(self, workload):
        super().__init__(
            f"{workload.title}: the answer came after the "
            f"{workload.record_s} s for which first touches were recorded, "
            "so the order lacks pages that it needs.  This machine is slow or "
            "busy: raise record_s of that workload in bench/")


@dataclasses.dataclass(frozen=True)
class Saved:
    """The files of a workload's saved guest, all in one directory.

    directory  where loads find them
    scratch    where they were saved, and can be written
    """
    workload: object
    directory: pathlib.Path
    scratch: pathlib.Path

    @property
    def snapshot(self):
        return self.directory / SNAPSHOT

    def order(self, name):
        return self.directory / name

    def files(self):
        return [path for path in (self.directory / name for name in FILES)
                if path.exists()]

    def stored_bytes(self):
        """What the snapshot takes on disk."""
        return (self.scratch / SNAPSHOT).stat().st_blocks * 512

    # ---- saving ----

    def _savevm(self, vm, *options):
        return Process([config.PREHEAT, "savevm", "--qmp", vm.qmp_path,
                        "--output", self.snapshot, *options],
                       self.directory, "savevm")

    def save(self, at_save=True):
        """Boot, save, and record an order: on the saved guest where that is
        possible and wanted, else at a load.  Returns why not at the save."""
        why = None
        if at_save:
            try:
                self._save_with_profile()
                return None
            except NoProfile as error:
                why = str(error)
        self._save()
        self.record(ORDER)
        return why

    def _save_with_profile(self):
        vm = boot(self.workload.machine, self.directory,
                  launcher=[config.PREHEAT, "run", "--"])
        self.workload.prepare(vm)
        process = self._savevm(vm, f"--profile={self.workload.record_s}")
        try:
            vm.qmp.wait_event("STOP")
            vm.wait_running()
            self.workload.ask(vm)
            if process.popen.poll() == 0:
                raise CutShort(self.workload)
            if process.wait() != 0:
                raise NoProfile(process.stderr.strip())
        finally:
            end(vm)

    def _save(self):
        vm = boot(self.workload.machine, self.directory)
        self.workload.prepare(vm)
        process = self._savevm(vm)
        if process.wait() != 0:
            raise RuntimeError(process.describe())
        end(vm)

    def record(self, name):
        """Record at a load what the workload touches."""
        launcher = [config.PREHEAT, "loadvm", "--snapshot", self.snapshot,
                    "--record", self.order(name), "--record-for",
                    str(self.workload.record_s), "--"]
        vm = Virtual(self.directory,
                     self.workload.machine.arguments(self.directory),
                     launcher=launcher, serial=False)
        vm.connect().wait_running()
        self.workload.ask(vm)
        cut_short = self.order(name).exists()
        vm.wait_loaded("recording")
        end(vm)
        if cut_short:
            raise CutShort(self.workload)

    def draw(self, name, times):
        """Make an order of times as many pages as the recorded one has,
        drawn by lot from those in the snapshot."""
        order = json.loads(preheat("order", "export", self.order(ORDER)))
        pages = self._pages_in_file()
        n_pages = times * sum(extent["count"] for extent in order["extents"])
        generator = random.Random(1)
        drawn = generator.sample(pages, min(n_pages, len(pages)))
        names = sorted({block for block, _ in drawn})
        order["blocks"] = [block for block in self._blocks()
                           if block["name"] in names]
        order["extents"] = [{"block": block, "page": page, "count": 1,
                             "time-us": i}
                            for i, (block, page) in enumerate(drawn)]
        preheat("order", "import", "-o", self.order(name), "-",
                stdin=json.dumps(order))

    def pack(self):
        """Copy the recorded order, and pack its pages beside the copy."""
        shutil.copy(self.order(ORDER), self.order(ORDER_PACKED))
        preheat("order", "pack", self.order(ORDER_PACKED), "--snapshot",
                self.snapshot)

    def _blocks(self):
        with MappedRam(self.snapshot) as ram:
            return [{"name": block.name, "length": block.length,
                     "page-size": block.page_bytes}
                    for block in ram.blocks.values()]

    def _pages_in_file(self):
        with MappedRam(self.snapshot) as ram:
            return [(block.name, page) for block in ram.blocks.values()
                    for page in range(block.length // block.page_bytes)
                    if ram.in_file(block, page)]


def preheat(*arguments, stdin=None):
    """The output of preheat, which must go well."""
    run = subprocess.run([config.PREHEAT, *arguments], input=stdin,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True)
    if run.returncode != 0:
        raise RuntimeError(f"preheat {arguments[0]} {arguments[1]}: "
                           f"{run.stderr.strip()}")
    return run.stdout


def end(vm):
    """End QEMU and release everything."""
    vm.quit()
    vm.close()
