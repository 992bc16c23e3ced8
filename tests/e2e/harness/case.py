# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""The base class of the tests."""

import functools
import itertools
import json
import os
import pathlib
import shutil
import tempfile
import unittest

from . import config, host, processes
from .processes import Process
from .snapshots import snapshot
from .virtual import Virtual


class Case(unittest.TestCase):
    """A test with a directory of its own that leaves no process behind."""

    maxDiff = None
    _processes = ()

    def setUp(self):
        self.skip_if(host.lacks_qemu())
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="preheat-e2e."))
        self.addCleanup(shutil.rmtree, self.tmp)
        self._processes = []
        self._vms = []
        self._numbers = itertools.count(1)
        self.addCleanup(self._end_processes)

    def _end_processes(self):
        processes.kill_all(processes.children(os.getpid()))
        for process in self._processes:
            process.wait()
        for vm in self._vms:
            vm.close()
        processes.reap_adopted({process.pid for process in self._processes})

    def skip_if(self, reason):
        """Skip this test for a reason of harness/host.py, if there is."""
        if reason is not None:
            self.skipTest(reason)

    def describe(self):
        """What the started programs said, for a failure's report."""
        return "\n".join(process.describe() for process in self._processes)

    def _watch(self, vm):
        self._vms.append(vm)
        self._processes.append(vm.process)
        return vm

    def running(self, machine, **options):
        """A running guest, loaded from machine's snapshot by QEMU itself."""
        vm = self.qemu([*machine.arguments(self.tmp), "-incoming", "defer"],
                       **options)
        vm.connect().load(snapshot(machine))
        vm.qmp.execute("cont")
        return vm.wait_running()

    def qemu(self, arguments, **options):
        """Plain QEMU; not yet connected."""
        return self._watch(Virtual(self.tmp, arguments, **options))

    def loadvm(self, machine, *options, path=None, extra=(), before=(),
               **virtual):
        """`preheat loadvm` of machine's snapshot; not yet connected.

        before   a program that starts preheat, with its arguments
        """
        if "full" not in options:
            self.skip_if(host.lacks_userfaultfd())
        launcher = [*before, config.PREHEAT, "loadvm", "--snapshot",
                    path or snapshot(machine), *options, "--"]
        return self._watch(
            Virtual(self.tmp, [*machine.arguments(self.tmp), *extra],
                    launcher=launcher, **virtual))

    def loadvm_saved(self, path, saved, *options):
        """`preheat loadvm` of the snapshot at path of the Virtual saved,
        with nothing but the snapshot; not yet connected."""
        self.skip_if(host.lacks_userfaultfd())
        return self._watch(
            Virtual(self.tmp, (), saved=saved,
                    launcher=[config.PREHEAT, "loadvm", path, *options]))

    def preheat(self, *arguments, before=()):
        """Start preheat; returns its Process.

        before   a program that starts preheat, with its arguments
        """
        process = Process([*before, config.PREHEAT, *arguments], self.tmp,
                          f"preheat{next(self._numbers)}")
        self._processes.append(process)
        return process

    def run_preheat(self, *arguments, status=0):
        """Run preheat to its end, and check how it ended."""
        process = self.preheat(*arguments)
        self.assertEqual(process.wait(), status, process.describe())
        return process

    def assert_right(self, vm, machine, request, puts=()):
        """The guest's answer to request is right."""
        answer = vm.ask(request, machine.store_mib, puts)
        self.assertTrue(answer["right"], f"{request}: {answer}")
        return answer

    def assert_answers(self, client):
        """The client of vm.start_request() gets its answer."""
        out, err = client.communicate()
        self.assertEqual(client.returncode, 0, out + err)

    def assert_loads(self, machine, *options, **virtual):
        """A load of machine's snapshot works, from start to end."""
        vm = self.loadvm(machine, *options, **virtual)
        vm.connect().wait_running()
        self.assert_right(vm, machine, "GET 1")
        self.assertEqual(vm.quit(), 0)
        return vm

    def assert_says_no_more(self, process):
        """What a load says whose guest runs, and nothing else."""
        self.assertEqual([line for line in process.stderr.splitlines()
                          if not (": the guest runs after " in line or
                                  ": all pages are loaded after " in line)], [])

    def profiled_save(self, vm, path, touches):
        """Save with a profile of at least that many first touches."""
        process = self.preheat("savevm", "--qmp", vm.qmp_path, "--output",
                               path, "--profile=3600", "--json")
        vm.wait_touches(touches)
        self.run_preheat("profile", "stop", "--qmp", vm.qmp_path)
        self.assertEqual(process.wait(), 0, process.describe())
        return json.loads(process.stdout)["profile"]

    def read_json(self, path):
        return json.loads(pathlib.Path(path).read_text())


def record(case, machine, path, request="GET 1"):
    """Record the order of one load with one request into path."""
    vm = case.loadvm(machine, "--record", path, "--record-for", "5")
    vm.connect().wait_running()
    case.assert_right(vm, machine, request)
    vm.wait_loaded("recording")
    case.assertEqual(vm.quit(), 0, vm.process.describe())


@functools.cache
def _order_directory():
    directory = tempfile.TemporaryDirectory(prefix="preheat-orders.")
    # Removed when the interpreter ends.
    return directory


def recorded_order(case, machine):
    """An order recorded once in this run of the tests."""
    path = pathlib.Path(_order_directory().name) / f"{machine.name}.order"
    if not path.exists():
        record(case, machine, path)
    return path
