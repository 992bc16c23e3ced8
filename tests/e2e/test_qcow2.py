# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Snapshots inside the guest's own disks: savevm --tag, loadvm --tag.

QEMU before 11.1 writes no such state; there, that is what is tested.
"""

import functools
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

from harness import config, machine
from harness.case import Case
from harness.exact import assert_exact
from harness.qcow2 import extract_state
from harness.virtual import READY

TESTED = machine.SMALL
TAG = "warm"
DISKS = ("d0", "d1")


def load_tests(loader, standard_tests, pattern):
    cases = (New,) if config.qemu_is_since(11, 1) else (Old,)
    return unittest.TestSuite(loader.loadTestsFromTestCase(case)
                              for case in cases)


def disk_arguments(directory):
    for disk in DISKS:
        yield from ("-drive", f"file={directory}/{disk}.qcow2,if=none,"
                    f"id={disk},format=qcow2",
                    "-device", f"virtio-blk-pci,drive={disk}")


class Disks(Case):

    def make_disks(self, size="64M"):
        for disk in DISKS:
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2",
                            self.tmp / f"{disk}.qcow2", size], check=True)

    def boot(self, *extra, disks=True):
        """A freshly booted guest with the plugin and, perhaps, disks."""
        vm = self.qemu(
            [*TESTED.arguments(self.tmp),
             *(disk_arguments(self.tmp) if disks else ()), *extra],
            launcher=[config.PREHEAT, "run", "--"]).connect()
        vm.serial.wait_for(READY)
        return vm

    def save(self, vm, *options, tag=TAG, status=0):
        return self.run_preheat("savevm", "--qmp", vm.qmp_path, "--tag", tag,
                                *options, status=status)

    def qemu_io(self, vm, disk, command):
        """What `qemu-io` says inside QEMU; it tells of patterns that differ.
        """
        return vm.qmp.hmp(f'qemu-io {disk} "{command}"')

    def fill(self, vm, pattern):
        for disk in DISKS:
            self.qemu_io(vm, disk, f"write -P {pattern} 0 1M")

    def assert_filled(self, vm, pattern):
        for disk in DISKS:
            said = self.qemu_io(vm, disk, f"read -P {pattern} 0 1M")
            self.assertNotIn("failed", said)


class Old(Disks):

    def test_a_qemu_that_writes_no_such_state_is_told_with_its_version(self):
        self.make_disks()
        vm = self.boot()
        said = self.save(vm, status=1).stderr
        self.assertIn("needs QEMU 11.1 or newer", said)
        self.assertIn("use savevm --output", said)
        self.assert_right(vm, TESTED, "GET 1")


@functools.cache
def saved_directory():
    # Removed when the interpreter ends.
    return tempfile.TemporaryDirectory(prefix="preheat-qcow2.")


class New(Disks):

    def saved(self):
        """Copies of disks that were filled with 1, saved with a profile, and
        filled with 2 after that."""
        saved = pathlib.Path(saved_directory().name)
        if not list(saved.iterdir()):
            self.save_with_profile(saved)
        for file in saved.iterdir():
            shutil.copy(file, self.tmp)
        return self.tmp / "d0.qcow2", self.tmp / f"d0.qcow2.{TAG}.order"

    def save_with_profile(self, target):
        self.make_disks()
        vm = self.boot()
        self.fill(vm, 1)
        self.assert_right(vm, TESTED, "PUT 7")
        process = self.preheat("savevm", "--qmp", vm.qmp_path, "--tag", TAG,
                               "--profile=3600")
        vm.wait_touches(1)
        self.assert_right(vm, TESTED, "GET 1", puts=[7])
        self.run_preheat("profile", "stop", "--qmp", vm.qmp_path)
        self.assertEqual(process.wait(), 0, process.describe())
        self.fill(vm, 2)
        self.assertEqual(vm.quit(), 0)
        for file in (*(f"{disk}.qcow2" for disk in DISKS),
                     f"d0.qcow2.{TAG}.order"):
            shutil.move(self.tmp / file, target)

    def loaded(self, path, *options, extra=(), tag=TAG):
        return self.loadvm(
            TESTED, "--tag", tag, *options, path=path,
            extra=[*disk_arguments(self.tmp), *extra])

    def test_a_guest_goes_on_after_it_was_saved_into_its_disks(self):
        self.make_disks()
        vm = self.boot()
        before = vm.qmp.execute("query-migrate-capabilities")
        said = self.save(vm).stdout
        self.assertIn("d0.qcow2, snapshot warm: ", said)
        self.assertTrue(vm.qmp.execute("query-status")["running"])
        self.assertEqual(vm.qmp.execute("query-migrate-capabilities"), before)
        self.assertEqual(vm.qmp.execute("query-jobs"), [])
        self.assertEqual(vm.qmp.execute("query-fdsets"), [])
        self.assert_right(vm, TESTED, "GET 1")
        self.assertIn("already exists", self.save(vm, status=1).stderr)
        self.assert_right(vm, TESTED, "GET 2")

    def test_a_guest_that_stands_still_is_saved_as_it_stands(self):
        self.make_disks()
        vm = self.boot()
        vm.qmp.execute("stop")
        self.save(vm)
        self.assertFalse(vm.qmp.execute("query-status")["running"])
        vm.quit()
        vm = self.loaded(self.tmp / "d0.qcow2").connect().wait_prepared()
        self.assertFalse(vm.qmp.execute("query-status")["running"])

    def test_machine_and_disks_are_again_what_was_saved(self):
        path, _ = self.saved()
        vm = self.loaded(path).connect().wait_running()
        self.assert_filled(vm, 1)
        for request in ("GET 7", "SUM"):
            self.assert_right(vm, TESTED, request, puts=[7])
        vm.wait_loaded()
        self.fill(vm, 3)
        self.assertEqual(vm.quit(), 0)
        subprocess.run(["qemu-img", "check", "-q", path], check=True)
        # It can be loaded again, whatever that guest has done.
        vm = self.loaded(path).connect().wait_running()
        self.assert_filled(vm, 1)
        self.assert_right(vm, TESTED, "SUM", puts=[7])

    def test_ram_is_exact(self):
        path, _ = self.saved()
        extract_state(path, TAG, self.tmp / "state")
        vm = self.loaded(path, "--policy", "demand",
                         extra=["-S"]).connect().wait_prepared()
        assert_exact(self, vm, TESTED, self.tmp / "state")
        said = self.run_preheat("snapshot", "verify", "--qmp", vm.qmp_path,
                                "--tag", TAG, path).stdout
        self.assertIn("pages equal", said)

    def demand_faults(self, path, *options):
        vm = self.loaded(path, *options).connect().wait_running()
        self.assert_right(vm, TESTED, "GET 1", puts=[7])
        faults = vm.statistics()["demand-faults"]
        self.assertEqual(vm.quit(), 0)
        return faults

    def test_the_order_recorded_at_the_save_saves_nine_faults_in_ten(self):
        path, order = self.saved()
        without = self.demand_faults(path, "--policy", "demand")
        with_order = self.demand_faults(path, "--order", order,
                                        "--wait", "hot")
        self.assertLess(with_order * 10, without)

    def test_what_the_guest_writes_while_it_loads_changes_nothing(self):
        path, _ = self.saved()
        vm = self.loaded(path, "--policy", "demand").connect().wait_running()
        self.fill(vm, 4)
        # A snapshot more, which reads, and so loads, all of RAM.
        self.assertEqual(vm.qmp.hmp("savevm other"), "")
        self.assert_right(vm, TESTED, "SUM", puts=[7])
        self.run_preheat("control", "--qmp", vm.qmp_path, "load-rest")
        vm.wait_loaded()
        self.assertEqual(vm.quit(), 0)
        self.assertNotIn("deleted", vm.process.stderr)

    def test_a_guest_whose_snapshot_is_deleted_stops_and_sees_nothing(self):
        path, _ = self.saved()
        vm = self.loaded(path, "--policy", "demand").connect().wait_running()
        self.assert_right(vm, TESTED, "GET 1", puts=[7])
        self.assertEqual(vm.qmp.hmp(f"delvm {TAG}"), "")
        client = vm.start_request("SUM", TESTED.store_mib, puts=[7])
        vm.process.wait_for_text("snapshot warm was deleted")
        # A vCPU waits for a page that never comes; so QEMU cannot end.
        vm.process.kill(signal.SIGTERM)
        self.assertEqual(vm.process.wait(), 128 + signal.SIGKILL)
        client.kill()
        client.communicate()

    def test_a_disk_without_the_snapshot_is_refused_by_name(self):
        path, _ = self.saved()
        subprocess.run(["qemu-img", "snapshot", "-d", TAG,
                        self.tmp / "d1.qcow2"], check=True)
        before = path.read_bytes()
        vm = self.loaded(path)
        self.assertEqual(vm.process.wait(), 1)
        self.assertIn("the disk d1: ", vm.process.stderr)
        self.assertIn("no snapshot is called warm", vm.process.stderr)
        self.assertEqual(path.read_bytes(), before)

    def test_a_disk_that_another_qemu_runs_on_is_refused_by_name(self):
        path, _ = self.saved()
        self.boot()
        vm = self.loaded(path)
        self.assertEqual(vm.process.wait(), 1)
        self.assertIn("the disk d0 ", vm.process.stderr)
        self.assertIn("is in use by another program", vm.process.stderr)

    def test_a_machine_without_that_disk_is_refused(self):
        path, _ = self.saved()
        vm = self.loadvm(
            TESTED, "--tag", TAG, path=shutil.copy(path, self.tmp / "copy"),
            extra=disk_arguments(self.tmp))
        self.assertEqual(vm.process.wait(), 1)
        self.assertIn("is not a writable disk of this machine",
                      vm.process.stderr)

    def test_a_writable_raw_disk_is_refused_by_name(self):
        self.make_disks()
        raw = self.tmp / "raw"
        raw.write_bytes(bytes(1 << 20))
        vm = self.boot("-drive", f"file={raw},if=none,id=bad,format=raw",
                       "-device", "virtio-blk-pci,drive=bad")
        said = self.save(vm, status=1).stderr
        self.assertIn(f"the disk bad ({raw}) is writable", said)

    def test_a_machine_without_disks_is_told_what_to_do(self):
        vm = self.boot(disks=False)
        self.assertIn("use savevm --output", self.save(vm, status=1).stderr)

    def test_a_disk_without_a_tag_is_told_as_what_it_is(self):
        path, _ = self.saved()
        vm = self.loadvm(TESTED, path=path, extra=disk_arguments(self.tmp))
        self.assertEqual(vm.process.wait(), 1)
        self.assertIn("a qcow2 disk image", vm.process.stderr)

    def test_a_qemu_that_waits_takes_a_machine_from_its_disks(self):
        path, _ = self.saved()
        vm = self.qemu(
            [*TESTED.arguments(self.tmp), *disk_arguments(self.tmp),
             "-incoming", "defer"],
            launcher=[config.PREHEAT, "run", "--"]).connect()
        self.run_preheat("loadvm", path, "--tag", TAG, "--qmp", vm.qmp_path)
        vm.wait_running()
        self.assert_right(vm, TESTED, "SUM", puts=[7])
        self.assert_filled(vm, 1)

    def run_by_qemu(self):
        """QEMU's own -loadvm, under preheat run."""
        vm = self.qemu(
            [*TESTED.arguments(self.tmp), *disk_arguments(self.tmp),
             "-loadvm", TAG],
            launcher=[config.PREHEAT, "run", "--"]).connect()
        return vm.wait_running()

    def test_qemus_own_loadvm_takes_what_was_saved(self):
        self.saved()
        vm = self.run_by_qemu()
        self.assert_right(vm, TESTED, "GET 7", puts=[7])
        self.assert_filled(vm, 1)

    def test_qemus_own_loadvm_takes_its_older_states_as_well(self):
        self.make_disks()
        vm = self.boot()
        self.assertEqual(vm.qmp.hmp(f"savevm {TAG}"), "")
        self.assertEqual(vm.quit(), 0)
        vm = self.run_by_qemu()
        self.assert_right(vm, TESTED, "GET 1")

    def test_a_guest_loaded_from_its_disk_goes_back_to_it_by_qemus_loadvm(
            self):
        path, _ = self.saved()
        vm = self.loaded(path, "--wait", "all").connect().wait_running()
        self.assert_right(vm, TESTED, "PUT 9", puts=[7])
        self.assertEqual(vm.qmp.hmp(f"loadvm {TAG}"), "")
        self.assert_right(vm, TESTED, "SUM", puts=[7])
