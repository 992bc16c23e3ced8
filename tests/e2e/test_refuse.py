# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""What cannot be loaded safely is refused, and harms nothing."""

import mmap
import os
import tempfile

from harness import config, host, machine
from harness.case import Case
from harness.processes import wait_for_end
from harness.snapshots import digest, snapshot
from harness.vhostuser import VhostUserBackend
from harness.virtual import Virtual


class Refuse(Case):

    def assert_refused(self, tested, arguments, words, path=None,
                       options=()):
        """loadvm ends with status 1 and says all of words."""
        path = path or snapshot(tested)
        before = digest(path)
        vm = self._watch(Virtual(
            self.tmp, arguments,
            launcher=[config.PREHEAT, "loadvm", "--snapshot", path, *options,
                      "--"]))
        self.assertEqual(vm.process.wait(), 1, vm.process.describe())
        for word in words:
            self.assertIn(word, vm.process.stderr)
        self.assertEqual(digest(path), before)

    def test_another_ram_size_is_named_with_both_lengths(self):
        arguments = ["512M" if arg == "256M" else arg
                     for arg in machine.SMALL.arguments(self.tmp)]
        self.assert_refused(machine.SMALL, arguments,
                            ["pc.ram", "256", "512"])
        self.assert_loads(machine.SMALL)

    def test_qemu_itself_loads_into_more_ram(self):
        arguments = ["512M" if arg == "256M" else arg
                     for arg in machine.SMALL.arguments(self.tmp)]
        vm = self._watch(Virtual(
            self.tmp, arguments,
            launcher=[config.PREHEAT, "loadvm", "--policy", "full",
                      "--snapshot", snapshot(machine.SMALL), "--"]))
        vm.connect().wait_running()
        self.assert_right(vm, machine.SMALL, "SUM")
        self.assertIn("256", vm.process.stderr)
        self.assertIn("start QEMU with -m 256M", vm.process.stderr)
        self.assertEqual(vm.quit(), 0)

    def test_less_ram_than_saved_is_refused_with_any_policy(self):
        arguments = ["128M" if arg == "256M" else arg
                     for arg in machine.SMALL.arguments(self.tmp)]
        self.assert_refused(machine.SMALL, arguments,
                            ["start QEMU with -m 256M"],
                            options=["--policy", "full"])

    def test_a_missing_ram_block_is_named(self):
        arguments = machine.SMALL.arguments(self.tmp)
        self.assert_refused(machine.DIMM, arguments,
                            ["RAM block mem1 ", "not in this machine"])

    def test_ram_in_an_ordinary_file_is_refused_with_a_way_out(self):
        tested = machine.ORDINARY_FILE
        self.assert_refused(tested, tested.arguments(self.tmp),
                            ["RAM block mem ", "ordinary file",
                             "memory-backend-memfd", "--policy full"])

    def test_a_vhost_user_device_is_refused_with_a_way_out(self):
        socket = self.tmp / "vhost"
        backend = VhostUserBackend(socket)
        self.addCleanup(backend.close)
        # Cleanups run in reverse: first QEMU must have ended.
        self.addCleanup(self._end_processes)
        self.assert_refused(machine.MEMFD, [
            *machine.MEMFD.arguments(self.tmp),
            "-chardev", f"socket,id=vhost,path={socket}",
            "-netdev", "vhost-user,id=vhost-net,chardev=vhost",
            "-device", "virtio-net-pci,netdev=vhost-net,romfile="],
            ["vhost-user", "--policy full"])

    def test_ram_that_another_process_maps_is_refused(self):
        with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
            file.truncate(256 * machine.MIB)
            arguments = [arg.replace("mem-path=/dev/shm",
                                     f"mem-path={file.name}")
                         for arg in machine.SHM_FILE.arguments(self.tmp)]
            with mmap.mmap(file.fileno(), machine.MIB):
                self.assert_refused(machine.SHM_FILE, arguments,
                                    [f"process {os.getpid()} ",
                                     "which maps RAM block ",
                                     "--policy full"])

    def test_locked_ram_is_refused(self):
        self.skip_if(host.lacks_root())
        self.assert_refused(machine.SMALL, [
            *machine.SMALL.arguments(self.tmp), "-overcommit", "mem-lock=on"],
            ["is locked (-overcommit mem-lock=on?)", "--policy full"])

    def test_a_vhost_user_backend_that_comes_while_loading_finds_all(self):
        vm = self.loadvm(machine.MEMFD, "--policy", "demand")
        vm.connect().wait_running()
        socket = self.tmp / "vhost"
        backend = VhostUserBackend(socket)
        self.addCleanup(backend.close)
        self.addCleanup(self._end_processes)
        vm.qmp.execute("chardev-add", id="vhost", backend={
            "type": "socket", "data": {
                "server": False,
                "addr": {"type": "unix", "data": {"path": str(socket)}}}})
        vm.qmp.execute("netdev_add", type="vhost-user", id="vhost-net",
                       chardev="vhost")
        # With this policy only preheat has the rest loaded.
        vm.wait_loaded()
        self.assert_right(vm, machine.MEMFD, "SUM")
        self.assertIn("vhost-net (vhost-user) has appeared while",
                      vm.process.stderr)
        self.assertEqual(vm.quit(), 0)

    def test_a_truncated_snapshot_is_refused(self):
        short = self.tmp / "short.snap"
        with open(snapshot(machine.SMALL), "rb") as whole:
            short.write_bytes(whole.read(10 << 20))
        self.assert_refused(machine.SMALL,
                            machine.SMALL.arguments(self.tmp),
                            [str(short)], path=short)

    def test_a_file_that_is_no_snapshot_is_refused(self):
        other = self.tmp / "other.snap"
        other.write_bytes(b"not a snapshot\n" * 1000)
        self.assert_refused(machine.SMALL,
                            machine.SMALL.arguments(self.tmp),
                            [str(other)], path=other)

    def test_a_refused_load_leaves_no_qemu_behind(self):
        arguments = ["512M" if arg == "256M" else arg
                     for arg in machine.SMALL.arguments(self.tmp)]
        launcher = [config.PREHEAT, "loadvm", "--snapshot",
                    snapshot(machine.SMALL), "--"]
        vm = self._watch(Virtual(self.tmp, arguments, launcher=launcher))
        vm.connect()
        self.assertEqual(vm.process.wait(), 1)
        wait_for_end(vm.qemu_pid, "QEMU")
