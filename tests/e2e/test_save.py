# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""preheat savevm: the guest, the file, and what else happens to them."""

import json
import os
import pathlib
import shutil
import subprocess

from harness import config, host, machine
from harness.case import Case
from harness.mappedram import MappedRam
from harness.snapshots import digest


class Save(Case):

    def test_a_running_guest_is_saved_and_runs_on(self):
        vm = self.running(machine.SMALL)
        path = self.tmp / "vm.snap"
        self.run_preheat("savevm", "--qmp", vm.qmp_path, "--output", path)
        self.assertTrue(vm.qmp.execute("query-status")["running"])
        self.assert_right(vm, machine.SMALL, "SUM")
        with MappedRam(path) as ram:
            self.assertIn("pc.ram", ram.blocks)

    def test_what_was_saved_answers_rightly_when_loaded(self):
        vm = self.running(machine.TWO_CPUS)
        self.assert_right(vm, machine.TWO_CPUS, "PUT 7")
        path = self.tmp / "vm.snap"
        self.run_preheat("savevm", "--qmp", vm.qmp_path, "--output", path)
        vm.quit()
        loaded = self.loadvm(machine.TWO_CPUS, path=path)
        loaded.connect().wait_running()
        for request in ("GET 7", "SUM"):
            self.assert_right(loaded, machine.TWO_CPUS, request, puts=[7])

    def test_a_stopped_guest_is_saved_and_stays_stopped(self):
        vm = self.running(machine.SMALL)
        vm.qmp.execute("stop")
        path = self.tmp / "vm.snap"
        self.run_preheat("savevm", "--qmp", vm.qmp_path, "--output", path)
        self.assertFalse(vm.qmp.execute("query-status")["running"])
        self.assertTrue(path.exists())

    def test_what_was_set_for_another_kind_of_migration_is_set_aside(self):
        vm = self.running(machine.SMALL)
        vm.qmp.execute("migrate-set-capabilities", capabilities=[
            {"capability": name, "state": name != "mapped-ram"}
            for name in ("mapped-ram", "return-path", "switchover-ack",
                         "postcopy-ram", "postcopy-preempt")])
        before = vm.qmp.execute("query-migrate-capabilities")
        path = self.tmp / "vm.snap"
        self.run_preheat("savevm", "--qmp", vm.qmp_path, "--output", path)
        self.assertEqual(vm.qmp.execute("query-migrate-capabilities"), before)

    def test_a_guest_can_be_saved_twice_in_a_row(self):
        vm = self.running(machine.SMALL)
        path = self.tmp / "vm.snap"
        self.run_preheat("savevm", "--qmp", vm.qmp_path, "--output", path)
        first = digest(path)
        self.assert_right(vm, machine.SMALL, "PUT 3")
        self.run_preheat("savevm", "--qmp", vm.qmp_path, "--output", path)
        self.assertNotEqual(digest(path), first)
        self.assertEqual([path, self.tmp / "vm.snap.json"],
                         sorted(self.tmp.glob("*.snap*")))

    def test_snapshot_and_manifest_are_all_that_is_left(self):
        vm = self.running(machine.SMALL)
        directory = self.tmp / "out"
        directory.mkdir()
        self.run_preheat("savevm", "--qmp", vm.qmp_path,
                         "--output", directory / "vm.snap")
        self.assertEqual([directory / "vm.snap", directory / "vm.snap.json"],
                         sorted(directory.iterdir()))

    def test_a_closed_standard_output_is_not_taken_for_the_monitor(self):
        vm = self.running(machine.SMALL)
        path = self.tmp / "vm.snap"
        process = subprocess.run(
            ["sh", "-c", 'exec "$@" >&-', "sh", config.PREHEAT, "savevm",
             "--qmp", vm.qmp_path, "--output", path],
            stderr=subprocess.PIPE, text=True, check=False)
        self.assertIn("cannot write to standard output", process.stderr)
        self.assertEqual(process.returncode, 1)
        self.assertTrue(vm.qmp.execute("query-status")["running"])

    def test_a_save_does_not_end_with_who_listens(self):
        disk = self.tmp / "disk.img"
        disk.write_bytes(bytes(4 << 20))
        vm = self.qemu(["-accel", "tcg", "-nodefaults", "-display", "none",
                        "-m", "64M", "-drive",
                        f"file={disk},format=raw,if=virtio"]).connect()
        path = self.tmp / "vm.snap"
        reader, writer = os.pipe()
        os.close(reader)
        status = subprocess.run(
            [config.PREHEAT, "savevm", "--qmp", vm.qmp_path, "--output", path],
            stdout=subprocess.DEVNULL, stderr=writer, check=False).returncode
        os.close(writer)
        self.assertEqual(status, 0)
        self.assertTrue(vm.qmp.execute("query-status")["running"])
        self.assertTrue(pathlib.Path(f"{path}.json").exists())

    def assert_saved_from_afar(self, *arguments):
        """A QEMU that could not open the file by its name can be saved."""
        vm = self.qemu(["-accel", "tcg", "-nodefaults", "-display", "none",
                        "-m", "64M", *arguments])
        vm.connect().wait_running()
        path = self.tmp / "vm.snap"
        self.run_preheat("savevm", "--qmp", vm.qmp_path, "--output", path)
        status = path.stat()
        self.assertEqual((status.st_uid, status.st_mode & 0o7777),
                         (os.geteuid(), 0o600))
        self.assertTrue(vm.qmp.execute("query-status")["running"])

    def test_a_qemu_that_gave_up_root_can_be_saved(self):
        self.skip_if(host.lacks_root())
        self.assert_saved_from_afar("-run-with", "user=nobody")

    def test_a_qemu_in_another_root_directory_can_be_saved(self):
        self.skip_if(host.lacks_root())
        directory = self.tmp / "empty"
        directory.mkdir()
        self.assert_saved_from_afar("-run-with", f"chroot={directory}")

    def test_qemu_keeps_nothing_of_a_save(self):
        vm = self.running(machine.SMALL)
        vm.qmp.execute("migrate-set-parameters", max_bandwidth=12345678)
        before = [vm.qmp.execute(command) for command in
                  ("query-migrate-capabilities", "query-migrate-parameters")]
        path = self.tmp / "vm.snap"
        self.run_preheat("savevm", "--qmp", vm.qmp_path, "--output", path)
        self.assertEqual(before, [vm.qmp.execute(command) for command in
                                  ("query-migrate-capabilities",
                                   "query-migrate-parameters")])
        vm.wait_without_fdsets()
        opened = [os.readlink(fd) for fd in
                  pathlib.Path(f"/proc/{vm.qemu_pid}/fd").iterdir()]
        self.assertNotIn(str(path), opened)

    def test_what_was_set_for_fast_saves_does_no_harm(self):
        vm = self.running(machine.SMALL)
        vm.qmp.execute("migrate-set-capabilities", capabilities=[
            {"capability": "mapped-ram", "state": False},
            {"capability": "multifd", "state": True}])
        vm.qmp.execute("migrate-set-parameters", direct_io=True,
                       multifd_compression="zlib")
        before = vm.qmp.execute("query-migrate-parameters")
        path = self.tmp / "vm.snap"
        self.run_preheat("savevm", "--qmp", vm.qmp_path, "--output", path)
        self.assertEqual(vm.qmp.execute("query-migrate-parameters"), before)
        vm.quit()
        loaded = self.loadvm(machine.SMALL, path=path)
        loaded.connect().wait_running()
        self.assert_right(loaded, machine.SMALL, "SUM")

    def test_saves_through_two_monitors_are_one_after_the_other(self):
        vm = self.qemu([*machine.SMALL.arguments(self.tmp), "-qmp",
                        f"unix:{self.tmp}/second,server=on,wait=off"])
        vm.connect().wait_running()
        before = vm.qmp.execute("query-migrate-capabilities")
        for _ in range(5):
            saves = [self.preheat("savevm", "--qmp", monitor, "--output",
                                  self.tmp / f"{monitor.name}.snap")
                     for monitor in (vm.qmp_path, self.tmp / "second")]
            for process in saves:
                self.assertEqual(process.wait(), 0, process.describe())
            self.assertTrue(vm.qmp.execute("query-status")["running"])
            self.assertEqual(vm.qmp.execute("query-migrate-capabilities"),
                             before)

    def test_a_disk_that_gets_full_leaves_the_guest_running(self):
        self.skip_if(host.lacks_root())
        directory = self.tmp / "small"
        directory.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "none",
                           directory], check=False).returncode != 0:
            self.skipTest("nothing can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", directory], check=True)
        vm = self.running(machine.SMALL)
        process = self.run_preheat("savevm", "--qmp", vm.qmp_path, "--output",
                                   directory / "vm.snap", status=1)
        self.assertIn("No space left", process.stderr)
        self.assertTrue(vm.qmp.execute("query-status")["running"])
        self.assertEqual([], list(directory.iterdir()))
        vm.wait_without_fdsets()
        self.assert_right(vm, machine.SMALL, "GET 1")

    def test_a_folder_that_is_removed_meanwhile_is_told_of(self):
        vm = self.running(machine.SMALL)
        directory = self.tmp / "out"
        directory.mkdir()
        process = self.preheat("savevm", "--qmp", vm.qmp_path, "--output",
                               directory / "vm.snap")
        vm.qmp.wait_event("STOP")
        shutil.rmtree(directory)
        self.assertEqual(process.wait(), 1, process.describe())
        self.assertIn("removed or replaced", process.stderr)
        self.assertTrue(vm.qmp.execute("query-status")["running"])

    def test_a_human_monitor_is_told_from_qmp(self):
        vm = self.qemu(["-accel", "tcg", "-nodefaults", "-display", "none",
                        "-monitor",
                        f"unix:{self.tmp}/human,server=on,wait=off"])
        vm.connect()
        process = self.run_preheat("savevm", "--qmp", self.tmp / "human",
                                   "--output", self.tmp / "vm.snap", status=1)
        self.assertIn("human monitor", process.stderr)

    def test_a_directory_that_is_missing_fails_and_the_guest_runs_on(self):
        vm = self.running(machine.SMALL)
        path = self.tmp / "missing" / "vm.snap"
        process = self.run_preheat("savevm", "--qmp", vm.qmp_path,
                                   "--output", path, status=1)
        self.assertIn(str(path.parent), process.stderr)
        self.assertTrue(vm.qmp.execute("query-status")["running"])
        self.assert_right(vm, machine.SMALL, "GET 1")

    def test_a_writable_disk_that_is_left_is_spoken_of(self):
        disk = self.tmp / "disk.img"
        subprocess.run(["truncate", "-s", "1M", disk], check=True)
        arguments = machine.SMALL.arguments(self.tmp) + [
            "-drive", f"file={disk},format=raw,if=none,id=disk",
            "-device", "virtio-blk-pci,drive=disk"]
        vm = self.qemu(arguments).connect()
        path = self.tmp / "vm.snap"
        process = self.run_preheat("savevm", "--qmp", vm.qmp_path,
                                   "--output", path, "--disks", "leave")
        self.assertIn(f"({disk}) is writable", process.stderr)
        self.assertTrue(path.exists())

    def test_a_writable_disk_goes_on_in_an_overlay_at_each_save(self):
        disk = self.tmp / "disk.img"
        subprocess.run(["truncate", "-s", "1M", disk], check=True)
        before = digest(disk)
        vm = self.qemu(machine.SMALL.arguments(self.tmp) + [
            "-drive", f"file={disk},format=raw,if=none,id=disk",
            "-device", "virtio-blk-pci,drive=disk"]).connect()
        images = []
        for name in ("first.snap", "second.snap"):
            path = self.tmp / name
            process = self.run_preheat("savevm", "--qmp", vm.qmp_path,
                                       "--output", path)
            self.assertIn("belongs to the snapshot", process.stderr)
            manifest = json.loads(pathlib.Path(f"{path}.json").read_text())
            images.append(manifest["disks"][0]["file"])
        self.assertEqual(images[0], str(disk))
        self.assertIn(f"{disk}.", images[1])
        self.assertEqual(digest(disk), before)
        self.assertTrue(vm.qmp.execute("query-status")["running"])

    def test_a_socket_that_nobody_serves_fails_with_its_name(self):
        process = self.run_preheat("savevm", "--qmp", self.tmp / "none",
                                   "--output", self.tmp / "vm.snap",
                                   status=1)
        self.assertIn(str(self.tmp / "none"), process.stderr)

    def test_a_guest_that_still_loads_is_saved_whole(self):
        vm = self.loadvm(machine.SMALL, "--policy", "demand")
        vm.connect().wait_running()
        path = self.tmp / "again.snap"
        self.run_preheat("savevm", "--qmp", vm.qmp_path, "--output", path)
        self.assert_right(vm, machine.SMALL, "GET 1")
        vm.quit()
        loaded = self.loadvm(machine.SMALL, path=path)
        loaded.connect().wait_running()
        self.assert_right(loaded, machine.SMALL, "SUM")
