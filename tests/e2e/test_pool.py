# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines that are started before they are wanted."""

import functools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

from harness import config, host, machine
from harness.case import Case
from harness.jsonsocket import Qmp
from harness.processes import Deadline, Process, wait_for_end
from harness.snapshots import snapshot
from harness.virtual import READY, Virtual
from test_machine import BARE
from test_template import TemplateCase

TESTED = machine.SMALL


@functools.cache
def _directory():
    """Removed when the interpreter ends."""
    return tempfile.TemporaryDirectory(prefix="preheat-pool.")


def saved(case):
    """A snapshot with a manifest, saved once in this run of the tests.

    Every socket of the machine is one that QEMU makes, so that it can be
    started many times.
    """
    tmp = pathlib.Path(_directory().name)
    path = tmp / "vm.snap"
    if path.exists():
        return path
    console = tmp / "console"
    vm = Process([config.QEMU, *TESTED.arguments(tmp),
                  "-serial", f"file:{console}",
                  "-qmp", f"unix:{tmp}/vm.qmp,server=on,wait=off"], tmp, "vm")
    case._processes.append(vm)
    deadline = Deadline()
    while not console.exists() or READY not in console.read_text():
        deadline.left(f"the guest: {vm.describe()}")
    case.run_preheat("savevm", "--qmp", tmp / "vm.qmp", "--output", path)
    vm.kill()
    vm.wait()
    return path


def connect(path, process):
    """A monitor of a QEMU that process is, or has started."""
    deadline = Deadline()
    while process.poll() is None:
        deadline.left("QEMU's monitor")
        try:
            return Qmp.connect(os.fspath(path))
        except OSError:
            pass  # it does not listen yet
    raise RuntimeError(f"ended with status {process.poll()}")


def parent_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text()
               .rpartition(")")[2].split()[1])


class Taken(Virtual):
    """A machine of a pool that is ours now."""

    def __init__(self, template, told):
        self.process = template
        self.qemu_pid = told["pid"]
        path, = [placed["path"] for placed in told["placed"]
                 if placed["kind"] == "socket"]
        self.qmp = Qmp.connect(path)
        self.serial = None
        self._listeners = {}
        self._port = None

    def end(self):
        self.qmp.execute("quit")
        wait_for_end(self.qemu_pid, "QEMU")


class Started(Case):

    def setUp(self):
        super().setUp()
        self.skip_if(host.lacks_userfaultfd())

    def copy_saved(self):
        """saved()'s snapshot, for this test alone."""
        path = self.tmp / "vm.snap"
        for suffix in ("", ".json"):
            shutil.copyfile(f"{saved(self)}{suffix}", f"{path}{suffix}")
        return path

    def bare(self, *arguments):
        """A machine without a guest, whose monitor listens at vm.qmp."""
        vm = Process([config.QEMU, *BARE, *arguments, "-qmp",
                      f"unix:{self.tmp}/vm.qmp,server=on,wait=off"],
                     self.tmp, "bare")
        self._processes.append(vm)
        connect(self.tmp / "vm.qmp", vm.popen).close()
        return vm


class Pool(Started, TemplateCase):

    def pool(self, size, *options, path=None):
        """A template with so many machines that wait."""
        self.process = self.template("--pool", size, *options,
                                     path=path or saved(self))
        self.wait_for(waiting=size)
        return self.process

    def wait_for(self, **numbers):
        """Until the status says so of the pool; returns it."""
        deadline = Deadline()
        while True:
            pool = self.status()["pool"]
            if all(pool[key] == value for key, value in numbers.items()):
                return pool
            deadline.left(f"{numbers} in {pool}: {self.process.describe()}")

    def numbers(self, pool):
        return {one["number"] for one in pool["machines"]}

    def took(self, process):
        """The machine that `template take --json` has got."""
        self.assertEqual(process.wait(), 0,
                         process.describe() + self.process.describe())
        vm = Taken(self.process, json.loads(process.stdout))
        self._vms.append(vm)
        return vm

    def begin_take(self, *options):
        return self.preheat("template", "take", self.socket, "--json",
                            "--timeout", config.DEADLINE_S, *options)

    def take(self):
        return self.took(self.begin_take())

    def test_a_machine_that_was_taken_has_the_right_guest(self):
        self.pool(2)
        process = self.begin_take()
        vm = self.took(process)
        self.assertLess(json.loads(process.stdout)["after-ms"], 60000)
        self.assertEqual(vm.qmp.execute("query-status")["status"], "running")
        self.assert_right(vm, TESTED, "PUT 1")
        self.assert_right(vm, TESTED, "SUM", puts=[1])
        vm.end()

    def test_a_person_is_told_what_the_machine_has(self):
        self.pool(1)
        taken = self.run_preheat("template", "take", self.socket)
        self.assertRegex(taken.stdout,
                         r"(?m)^the socket /.*vm\.qmp is /.*vm\.qmp$")
        self.assertRegex(taken.stdout,
                         r"(?m)^the guest runs after .* s, in process \d+$")

    def test_two_who_take_at_once_get_two_machines(self):
        self.pool(2)
        processes = [self.begin_take() for _ in range(2)]
        vms = [self.took(process) for process in processes]
        self.assertNotEqual(vms[0].qemu_pid, vms[1].qemu_pid)
        for number, vm in enumerate(vms):
            self.assert_right(vm, TESTED, f"PUT {number}")
        for number, vm in enumerate(vms):
            self.assert_right(vm, TESTED, "SUM", puts=[number])

    def test_who_comes_before_a_machine_waits_gets_one_in_turn(self):
        self.process = self.template("--pool", 1, path=saved(self))
        processes = [self.begin_take() for _ in range(3)]
        vms = [self.took(process) for process in processes]
        self.assertEqual(len({vm.qemu_pid for vm in vms}), 3)

    def test_what_was_taken_is_replaced(self):
        self.pool(2)
        vm = self.take()
        waiting = self.numbers(self.wait_for(waiting=2, taken=1))
        taken, = {1, 2, 3} - waiting
        self.assertIn(3, waiting)
        vm.end()
        pool = self.wait_for(waiting=2, taken=0)
        self.assertEqual(pool["failures"], 0)
        self.take()
        # That number is free again, and the lowest.
        pool = self.wait_for(waiting=2, taken=1)
        self.assertIn(taken, self.numbers(pool))

    def test_one_that_is_killed_while_it_waits_is_replaced(self):
        self.pool(1)
        pid = self.status()["pool"]["machines"][0]["pid"]
        os.kill(pid, signal.SIGKILL)
        self.process.wait_for_text("QEMU was ended by a signal (Killed)")
        pool = self.wait_for(waiting=1, failures=1)
        self.assertNotEqual(pool["machines"][0]["pid"], pid)
        self.assertIn("Killed", pool["last-error"])
        self.assert_right(self.take(), TESTED, "SUM")

    def test_machines_that_wait_end_with_the_template(self):
        for how in signal.SIGKILL, signal.SIGTERM:
            with self.subTest(how.name):
                template = self.pool(2)
                vm = self.take()
                pool = self.wait_for(waiting=2, taken=1)
                template.wait_for_text("every page is there")
                vm.wait_loaded()
                template.kill(how)
                template.wait()
                for one in pool["machines"]:
                    wait_for_end(one["pid"], "a machine that waits")
                self.socket.unlink(missing_ok=True)
                self.assert_right(vm, TESTED, "SUM")
                vm.end()

    def test_a_machine_gets_nothing_of_what_the_template_has_open(self):
        self.pool(1)
        pid = self.status()["pool"]["machines"][0]["pid"]
        launcher = parent_of(pid)
        files = [os.readlink(fd) for fd in
                 pathlib.Path(f"/proc/{launcher}/fd").iterdir()]
        self.assertEqual([file for file in files if "memfd:" in file], [])
        self.assertNotEqual(os.getsid(launcher), os.getsid(self.process.pid))
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        blocked, = [int(line.split()[1], 16) for line in status.splitlines()
                    if line.startswith("SigBlk:")]
        self.assertEqual(blocked & 1 << signal.SIGTERM - 1, 0)

    def test_a_machine_has_the_limits_that_the_template_was_given(self):
        self.process = self.template("--pool", 1, path=saved(self),
                                     before=["prlimit", "--nofile=500:1000"])
        qemu = self.wait_for(waiting=1)["machines"][0]["pid"]
        # QEMU may change its own.
        for pid, limit in (self.process.pid, 1000), (parent_of(qemu), 500):
            limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
            self.assertRegex(limits, rf"Max open files +{limit} +1000 ")

    def test_a_template_without_a_pool_says_what_to_do(self):
        self.template()
        process = self.run_preheat("template", "take", self.socket, status=1)
        self.assertIn("--pool N", process.stderr)

    def test_without_a_manifest_there_is_no_pool(self):
        process = self.run_preheat(
            "template", "start", snapshot(TESTED), "--socket",
            self.tmp / "socket", "--pool", "2", status=1)
        self.assertIn("preheat savevm", process.stderr)
        self.assertIn(f"{snapshot(TESTED)}.json", process.stderr)

    def test_a_set_that_names_nothing_is_told_once(self):
        self.process = self.template("--pool", 1, "--pool-set", "/nothing=%N",
                                     path=saved(self))
        # Tried again after a second.
        pool = self.wait_for(failures=2)
        self.assertIn("--set /nothing=1: must be OLD=NEW", pool["last-error"])
        self.assertEqual(self.process.stderr.count("machine 1 of the pool"),
                         1)
        process = self.run_preheat("template", "take", self.socket,
                                   "--timeout", "0.1", status=1)
        self.assertIn("no machine of its pool was ready within 0.1 s",
                      process.stderr)

    def test_who_has_gone_does_not_wait_any_more(self):
        # None of its machines will ever wait.
        self.process = self.template("--pool", 1, "--pool-set", "/nothing=x",
                                     path=saved(self))
        taker = self.begin_take()
        self.wait_for(requests=1)
        taker.kill()
        taker.wait()
        self.wait_for(requests=0)

    def test_machines_whose_port_is_taken_get_others(self):
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
        self.bare("-netdev", f"user,id=n,hostfwd=tcp:127.0.0.1:{port}-:22",
                  "-device", "e1000,netdev=n")
        path = self.tmp / "vm.snap"
        self.run_preheat("savevm", "--qmp", self.tmp / "vm.qmp", "--output",
                         path)
        # The saved machine has it still.
        self.process = self.template("--pool", 2, path=path)
        pool = self.wait_for(waiting=0, failures=2)
        self.assertIn(f"host port {port} is taken", pool["last-error"])
        self.run_preheat("template", "stop", self.socket)
        self.process.wait()
        self.pool(2, "--pool-set", f"{port}=0", path=path)

    def test_a_snapshot_that_was_replaced_is_the_takers_error(self):
        path = self.copy_saved()
        self.pool(1, path=path)
        copy = self.tmp / "copy.snap"
        shutil.copyfile(path, copy)
        copy.rename(path)
        process = self.run_preheat("template", "take", self.socket, status=1)
        self.assertIn("another file is there", process.stderr)

    def test_a_template_that_was_stopped_is_told_as_that(self):
        template = self.pool(1)
        template.kill(signal.SIGSTOP)
        process = self.run_preheat("template", "take", self.socket, status=1)
        self.assertIn(f"kill -CONT {template.pid}", process.stderr)
        template.kill(signal.SIGCONT)


class Start(Started):
    """preheat loadvm --start-fd"""

    def waiting(self, path):
        """A load that waits; returns its Process and where the line goes."""
        reading, writing = os.pipe()
        process = Process([config.PREHEAT, "loadvm", path, "--json",
                           "--start-fd", str(reading)], self.tmp, "waiting",
                          pass_fds=[reading])
        self._processes.append(process)
        os.close(reading)
        deadline = Deadline()
        while not self.told(process, "waiting"):
            deadline.left(f"QEMU: {process.describe()}")
        return process, writing

    def told(self, process, event):
        return [told for told in map(json.loads, process.stdout.splitlines())
                if told["event"] == event]

    def test_one_that_is_told_to_loads(self):
        process, writing = self.waiting(saved(self))
        os.write(writing, b"now\n")
        deadline = Deadline()
        while not self.told(process, "resumed"):
            deadline.left(f"the guest: {process.describe()}")
        os.close(writing)
        told = {"pid": self.told(process, "resumed")[0]["pid"],
                "placed": self.told(process, "placed")}
        vm = Taken(process, told)
        self._vms.append(vm)
        self.assert_right(vm, TESTED, "SUM")
        vm.end()
        self.assertEqual(process.wait(), 0)

    def test_one_that_is_not_wanted_leaves_nothing(self):
        process, writing = self.waiting(saved(self))
        folder = pathlib.Path(self.told(process, "placed")[0]["path"]).parent
        self.assertTrue(folder.exists())
        os.close(writing)
        self.assertEqual(process.wait(), 0)
        self.assertFalse(folder.exists())
        # The last that was said.
        self.assertRegex(process.stderr.splitlines()[-1],
                         "^preheat: .* waits to be told to load$")

    def tell_in_vain(self, process, writing, why):
        """Tell a load that waits to begin; it refuses."""
        os.write(writing, b"\n")
        os.close(writing)
        self.assertEqual(process.wait(), 1)
        self.assertIn(why, process.stderr)

    def test_a_snapshot_that_changed_while_it_waited_is_refused(self):
        path = self.copy_saved()
        process, writing = self.waiting(path)
        with open(path, "ab") as file:
            file.write(b"x")
        self.tell_in_vain(process, writing, "was written to")

    def test_a_disk_that_changed_while_it_waited_is_refused(self):
        disk = self.tmp / "disk.img"
        disk.write_bytes(bytes(1 << 20))
        path = self.tmp / "vm.snap"
        vm = self.bare("-drive", f"file={disk},format=raw,if=none,id=d0",
                       "-device", "virtio-blk-pci,drive=d0")
        self.run_preheat("savevm", "--qmp", self.tmp / "vm.qmp", "--output",
                         path)
        vm.kill()
        vm.wait()
        process, writing = self.waiting(path)
        with open(disk, "r+b") as file:
            file.write(b"x")
        self.tell_in_vain(process, writing,
                          f"disk d0: {disk} has changed since")

    def test_a_guest_does_not_end_with_who_listens(self):
        for options in ((), ("--json",)):
            with self.subTest(options):
                reading, writing = os.pipe()
                os.close(reading)
                self.write_nowhere(writing, options)

    def write_nowhere(self, writing, options):
        """A load whose standard output and error nobody reads."""
        process = subprocess.Popen(
            [config.PREHEAT, "loadvm", saved(self), *options, "--set",
             f"{_directory().name}/vm.qmp={self.tmp}/own.qmp"],
            stdin=subprocess.DEVNULL, stdout=writing, stderr=writing)
        os.close(writing)
        self.addCleanup(process.wait)
        qmp = connect(self.tmp / "own.qmp", process)
        self.addCleanup(qmp.close)
        deadline = Deadline()
        while not qmp.execute("query-status")["running"]:
            deadline.left("the guest")
        qmp.execute("quit")
        self.assertEqual(process.wait(), 0)
