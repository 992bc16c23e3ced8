# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""preheat savevm of guests in each state that QEMU has a name for."""

import re
import subprocess

from harness.case import Case
from harness.processes import Deadline

# Real-mode code that a PC's firmware boots; the port is that of SeaBIOS's
# ACPI power management.
SLEEPS = bytes.fromhex(
    "ba0406"  # mov $0x604, %dx
    "b80024"  # mov $0x2400, %ax: enter S3
    "ef"      # out %ax, %dx
    "f4ebfd")  # hlt, for ever
SHUTS_DOWN = bytes.fromhex("ba0406b80020eff4ebfd")
PANICS = bytes.fromhex(
    "ba0505"  # mov $0x505, %dx: pvpanic
    "b001ee"  # mov $1, %al; out %al, %dx
    "f4ebfd")
WRITES = bytes.fromhex(
    "31c08ed88ec0"  # ds = es = 0
    "bb007c"        # mov $0x7c00, %bx
    "b80103"        # mov $0x0301, %ax: write a sector
    "b90200ba8100"  # the second, of the second disk
    "cd13f4ebfd")   # int $0x13
IDLES = bytes.fromhex("f4ebfd")


def run_state(path):
    """The run state that a snapshot's device state has, and whether it is
    that of a guest that slept before."""
    match = re.search(rb"\x0bglobalstate\0{7}\x01.{4}(.{32})\x01([\0\x01])",
                      path.read_bytes(), re.DOTALL)
    return match[1].rstrip(b"\0").decode(), match[2] == b"\x01"


class States(Case):

    def setUp(self):
        super().setUp()
        self.path = self.tmp / "vm.snap"

    def arguments(self, code, *extra):
        """QEMU's, of a PC that runs code."""
        image = self.tmp / "boot.img"
        if not image.exists():
            image.write_bytes((code.ljust(510, b"\0") + b"\x55\xaa")
                              .ljust(1 << 20, b"\0"))
        disk = ("driver=raw,node-name=boot,read-only=on,file.driver=file,"
                f"file.filename={image}")
        return ["-accel", "tcg", "-m", "64M", "-no-user-config", "-nodefaults",
                "-display", "none", "-blockdev", disk, "-device",
                "virtio-blk-pci,drive=boot,bootindex=0", *extra]

    def started(self, code, *extra):
        return self.qemu(self.arguments(code, *extra)).connect()

    def save(self, vm, status=0):
        return self.run_preheat("savevm", "--qmp", vm.qmp_path, "--output",
                                self.path, "--disks", "leave", status=status)

    def loaded(self, code, *extra):
        """What QEMU itself makes of the snapshot."""
        vm = self.qemu([*self.arguments(code, *extra), "-incoming", "defer"])
        vm.connect().load(self.path)
        return self.status(vm)

    def status(self, vm):
        return vm.qmp.execute("query-status")["status"]

    def await_status(self, vm, status):
        """Its event may have come before anybody listened."""
        deadline = Deadline()
        while self.status(vm) != status:
            deadline.left(f"the status {status}")

    def assert_refused(self, vm, text):
        before = self.status(vm)
        self.assertIn(text, self.save(vm, status=1).stderr)
        self.assertEqual(self.status(vm), before)
        self.assertFalse(self.path.exists())
        vm.wait_without_fdsets()

    def test_a_guest_that_ran_runs_where_it_is_loaded(self):
        vm = self.started(IDLES).wait_running()
        self.save(vm)
        self.assertEqual(self.status(vm), "running")
        self.assertEqual(run_state(self.path), ("running", False))
        self.assertEqual(self.loaded(IDLES), "running")

    def test_a_guest_that_was_paused_is_so_where_it_is_loaded(self):
        vm = self.started(IDLES).wait_running()
        vm.qmp.execute("stop")
        process = self.save(vm)
        self.assertIn("postmigrate", process.stderr)
        self.assertEqual(self.status(vm), "postmigrate")
        self.assertEqual(run_state(self.path), ("paused", False))
        self.assertEqual(self.loaded(IDLES), "paused")
        vm.qmp.execute("cont")
        self.assertEqual(self.status(vm), "running")

    def test_a_guest_that_has_not_run_yet_is_so_where_it_is_loaded(self):
        vm = self.started(IDLES, "-S")
        self.save(vm)
        self.assertEqual(run_state(self.path), ("prelaunch", False))
        self.assertEqual(self.loaded(IDLES), "prelaunch")

    def test_a_guest_that_sleeps_is_refused_and_can_be_woken_up(self):
        vm = self.started(SLEEPS)
        self.await_status(vm, "suspended")
        self.assert_refused(vm, "system_wakeup")
        vm.qmp.execute("system_wakeup")
        vm.qmp.wait_event("WAKEUP")
        self.assertEqual(self.status(vm), "running")

    def test_a_guest_that_was_paused_in_its_sleep_is_refused(self):
        vm = self.started(SLEEPS)
        self.await_status(vm, "suspended")
        vm.qmp.execute("stop")
        self.assert_refused(vm, "paused while it was suspended")
        vm.qmp.execute("cont")
        self.assertEqual(self.status(vm), "suspended")
        vm.qmp.execute("system_wakeup")
        vm.qmp.wait_event("WAKEUP")

    def test_a_guest_that_has_shut_down_is_refused(self):
        vm = self.started(SHUTS_DOWN, "-no-shutdown")
        self.await_status(vm, "shutdown")
        self.assert_refused(vm, "has shut down")

    def test_a_guest_that_crashed_is_saved_with_a_warning(self):
        extra = ["-device", "pvpanic", "-action", "panic=pause"]
        vm = self.started(PANICS, *extra)
        self.await_status(vm, "guest-panicked")
        self.assertIn("warning: the guest has crashed", self.save(vm).stderr)
        self.assertEqual(run_state(self.path), ("guest-panicked", False))
        self.assertEqual(self.loaded(PANICS, *extra), "guest-panicked")

    def test_a_guest_with_a_disk_error_is_saved_and_tries_again(self):
        disk = self.tmp / "disk.img"
        subprocess.run(["truncate", "-s", "1M", disk], check=True)
        vm = self.started(
            WRITES, "-blockdev",
            "driver=raw,node-name=disk,file.driver=blkdebug,"
            "file.inject-error.0.event=write_aio,"
            "file.inject-error.0.once=on,file.image.driver=file,"
            f"file.image.filename={disk}",
            "-device", "ide-hd,drive=disk,werror=stop")
        self.await_status(vm, "io-error")
        self.assertIn("warning: the guest is stopped because of a disk",
                      self.save(vm).stderr)
        self.assertEqual(run_state(self.path), ("io-error", False))
        vm.qmp.execute("cont")
        self.assertEqual(self.status(vm), "running")
