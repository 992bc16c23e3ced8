# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""A snapshot is the whole machine: its arguments, its disks, what it is not
to share with another one."""

import json
import os
import pathlib
import shlex
import signal
import socket
import subprocess

from harness import config, machine
from harness.case import Case
from harness.jsonsocket import Qmp
from harness.processes import Deadline, Process
from harness.snapshots import digest
from harness.virtual import READY

RAW_DRIVE = ("-drive", "file={disk},format=raw,if=none,id=d0",
             "-device", "virtio-blk-pci,drive=d0")

# A machine without a guest that would do anything.
BARE = ["-accel", "tcg", "-no-user-config", "-nodefaults", "-display", "none",
        "-m", "64M"]


class Disks(Case):

    def make_disk(self, name="disk.img", form="raw"):
        disk = self.tmp / name
        subprocess.run(["qemu-img", "create", "-q", "-f", form, disk, "4M"],
                       check=True)
        return disk

    def start(self, arguments, **names):
        return self.qemu(arguments + [
            word.format(**names) for word in RAW_DRIVE]).connect()

    def boot(self, disk, words=RAW_DRIVE):
        """A guest with a disk that it has written 1 to."""
        vm = self.qemu(machine.SMALL.arguments(self.tmp) + [
            word.replace("{disk}", str(disk)) for word in words]).connect()
        vm.serial.wait_for(READY)
        self.assert_right(vm, machine.SMALL, "WRITE 1")
        return vm

    def save(self, vm, *options, name="vm.snap"):
        path = self.tmp / name
        self.run_preheat("savevm", "--qmp", vm.qmp_path, "--output", path,
                         *options)
        return path

    def manifest(self, path):
        return json.loads(pathlib.Path(f"{path}.json").read_text())

    def assert_number(self, vm, number):
        answer = self.assert_right(vm, machine.SMALL, "READ")
        self.assertEqual(answer["answer"], f"OK {number:016x}")

    def assert_refused(self, path, *texts, options=()):
        process = self.run_preheat("loadvm", path, *options, status=1)
        for text in texts:
            self.assertIn(text, process.stderr)

    def test_what_the_manifest_has_is_printed(self):
        disk = self.make_disk()
        path = self.save(self.boot(disk))
        manifest = self.manifest(path)
        command = self.run_preheat("snapshot", "args", path).stdout
        self.assertEqual(shlex.split(command)[1:],
                         manifest["qemu"]["arguments"])
        # The manifest itself is as good.
        for name in (path, f"{path}.json"):
            shown = self.run_preheat("snapshot", "show", name).stdout
            self.assertIn(str(disk), shown)
            self.assertEqual(json.loads(self.run_preheat(
                "snapshot", "show", "--json", name).stdout), manifest)

    def test_two_loads_beside_the_saved_guest_have_disks_of_their_own(self):
        disk = self.make_disk()
        saved = self.boot(disk)
        path = self.save(saved)
        before = digest(disk)
        self.assert_right(saved, machine.SMALL, "WRITE 2")
        loads = [self.loadvm_saved(path, saved) for _ in range(2)]
        for number, vm in enumerate(loads, 3):
            vm.connect().wait_running()
            self.assert_number(vm, 1)
            self.assert_right(vm, machine.SMALL, f"WRITE {number}")
            self.assert_right(vm, machine.SMALL, "GET 1")
        for vm, number in zip([saved, *loads], (2, 3, 4)):
            self.assert_number(vm, number)
        folders = [self.folder_of(vm) for vm in loads]
        self.assertNotEqual(*folders)
        for vm, folder in zip(loads, folders):
            self.assertEqual(folder.stat().st_mode & 0o777, 0o700)
            self.assertEqual(vm.quit(), 0)
            self.assertFalse(folder.exists())
        self.assertEqual(digest(disk), before)

    def folder_of(self, vm):
        """Where this load's overlay lies."""
        files = vm.qmp.execute("query-block")
        return pathlib.Path(files[0]["inserted"]["file"]).parent

    def test_a_disk_of_a_relative_name_can_be_saved_again_and_again(self):
        self.make_disk("disk.qcow2", "qcow2")
        vm = Process([config.QEMU, *BARE, "-drive",
                      "file=disk.qcow2,format=qcow2,if=none,id=d0",
                      "-device", "virtio-blk-pci,drive=d0", "-qmp",
                      f"unix:{self.tmp}/vm.qmp,server=on,wait=off"],
                     self.tmp, "bare", cwd=self.tmp)
        self._processes.append(vm)
        deadline = Deadline()
        while not (self.tmp / "vm.qmp").exists():
            deadline.left(f"QEMU's monitor: {vm.describe()}")
        for number in range(12):
            path = self.tmp / f"vm{number}.snap"
            self.run_preheat("savevm", "--qmp", self.tmp / "vm.qmp",
                             "--output", path)
        # Whoever opens the last overlay finds all images, from anywhere.
        last, = [disk["file"] for disk in self.manifest(path)["disks"]]
        chain = json.loads(subprocess.run(
            ["qemu-img", "info", "-U", "--backing-chain", "--output=json",
             last], cwd="/", check=True, stdout=subprocess.PIPE).stdout)
        self.assertEqual(len(chain), 12)

    def test_every_form_of_block_device_opens_an_overlay(self):
        forms = {
            "one node": ("qcow2", [
                "-blockdev",
                '{"driver": "qcow2", "node-name": "d0", "file": '
                '{"driver": "file", "filename": "{disk}"}}']),
            "two nodes": ("raw", [
                "-blockdev", "driver=file,node-name=f,filename={disk}",
                "-blockdev", "driver=raw,node-name=d0,file=f"]),
        }
        for name, (form, words) in forms.items():
            with self.subTest(name):
                disk = self.make_disk(f"{name}.img", form)
                saved = self.boot(disk, [
                    *words, "-device", "virtio-blk-pci,drive=d0"])
                path = self.save(saved, name=f"{name}.snap")
                self.assert_right(saved, machine.SMALL, "WRITE 2")
                saved.quit()
                before = digest(disk)
                vm = self.loadvm_saved(path, saved)
                vm.connect().wait_running()
                self.assert_number(vm, 1)
                self.assert_right(vm, machine.SMALL, "WRITE 3")
                self.assertEqual(vm.quit(), 0, vm.process.describe())
                self.assertEqual(digest(disk), before)

    def test_every_kind_of_disk_gets_an_overlay(self):
        kinds = {
            "ide": ["-hda", "{disk}"],
            "scsi": ["-device", "virtio-scsi-pci,id=s",
                     "-drive", "file.filename={disk},driver=raw,if=none,id=d0",
                     "-device", "scsi-hd,drive=d0,bus=s.0"],
            "pflash": ["-drive", "if=pflash,format=raw,file={disk}"],
            "pflash node": ["-machine", "pflash0=p0", "-blockdev",
                            "driver=raw,node-name=p0,file.driver=file,"
                            "file.filename={disk}"],
        }
        for name, words in kinds.items():
            with self.subTest(name):
                disk = self.make_disk(f"{name}.img")
                vm = self.qemu(BARE + [
                    word.format(disk=disk) for word in words]).connect()
                path = self.save(vm, name=f"{name}.snap")
                loaded = self.loadvm_saved(path, vm).connect().wait_running()
                self.assertTrue(
                    self.folder_of(loaded).name.startswith("preheat-load-"))
                self.assertEqual(loaded.quit(), 0, loaded.process.describe())

    def test_two_disks_and_a_chain_of_overlays(self):
        base = self.make_disk("base.qcow2", "qcow2")
        upper = self.tmp / "upper.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base,
                        "-F", "qcow2", upper], check=True)
        other = self.make_disk("other.img")
        vm = self.qemu(BARE + [
            "-drive", f"file={upper},format=qcow2,if=virtio,id=d0",
            "-drive", f"file={base},format=qcow2,if=virtio,id=d1,readonly=on",
            "-drive", f"file={other},format=raw,if=virtio,id=d2"]).connect()
        self.save(vm, name="first.snap")
        path = self.save(vm)
        vm.quit()
        loaded = self.loadvm_saved(path, vm).connect().wait_running()
        files = {disk["device"]: disk["inserted"]
                 for disk in loaded.qmp.execute("query-block")
                 if "inserted" in disk}
        self.assertEqual(files["d1"]["file"], str(base))
        for name, first in (("d0", upper), ("d2", other)):
            self.assertTrue(files[name]["file"].endswith(f"{name}.qcow2"))
            self.assertEqual(files[name]["backing_file_depth"],
                             3 if name == "d0" else 2)
            self.assertTrue(files[name]["backing_file"].startswith(
                f"{first}."))
        self.assertEqual(loaded.quit(), 0)

    def test_a_load_that_is_saved_again_keeps_its_disks(self):
        saved = self.boot(self.make_disk())
        first = self.save(saved)
        saved.quit()
        vm = self.loadvm_saved(first, saved)
        vm.connect().wait_running()
        self.assert_right(vm, machine.SMALL, "WRITE 5")
        second = self.save(vm, name="second.snap")
        folder = self.folder_of(vm)
        self.addCleanup(subprocess.run, ["rm", "-r", folder], check=True)
        self.assertEqual(vm.quit(), 0)
        self.assertIn(f"{folder} is kept", vm.process.stderr)
        again = self.loadvm_saved(second, vm)
        again.connect().wait_running()
        self.assert_number(again, 5)
        self.assertEqual(again.quit(), 0)

    def test_the_order_of_the_manifest_is_replayed(self):
        saved = self.loadvm(machine.SMALL).connect().wait_running()
        path = self.tmp / "vm.snap"
        process = self.preheat("savevm", "--qmp", saved.qmp_path, "--output",
                               path, "--profile=3600")
        saved.wait_touches(1)
        self.assert_right(saved, machine.SMALL, "GET 1")
        self.run_preheat("profile", "stop", "--qmp", saved.qmp_path)
        self.assertEqual(process.wait(), 0, process.describe())
        saved.quit()
        loaded = self.loadvm_saved(path, saved).connect().wait_running()
        self.assertEqual(loaded.statistics()["policy"], "order")
        self.assert_right(loaded, machine.SMALL, "GET 1")
        self.assertEqual(loaded.quit(), 0)

    def test_programs_are_told_where_a_load_has_what(self):
        monitor = self.tmp / "own.sock"
        vm = self.qemu(BARE + [
            "-drive", f"file={self.make_disk()},format=raw,if=virtio,id=d0",
            "-qmp", f"unix:{monitor},server=on,wait=off"]).connect()
        path = self.save(vm)
        loaded = self.loadvm_saved(path, vm, "--json")
        loaded.connect().wait_running()
        folder = self.folder_of(loaded)
        own = Qmp.connect(str(folder / "own.sock"))
        own.close()
        self.assertEqual(loaded.quit(), 0)
        told = [json.loads(line)
                for line in loaded.process.stdout.splitlines()]
        self.assertEqual(told[:2], [
            {"event": "placed", "kind": "socket", "saved": str(monitor),
             "path": str(folder / "own.sock")},
            {"event": "placed", "kind": "disk", "saved": "d0",
             "path": str(folder / "d0.qcow2")}])
        self.assertIn("resumed", [event["event"] for event in told])

    def test_a_removed_snapshot_takes_no_disk_that_is_needed(self):
        disk = self.make_disk()
        vm = self.start(BARE, disk=disk)
        self.save(vm, name="first.snap")
        path = self.save(vm, name="second.snap")
        frozen = pathlib.Path(self.manifest(path)["disks"][0]["file"])
        listed = json.loads(self.run_preheat("snapshot", "list", "--json",
                                             self.tmp).stdout)
        self.assertEqual([(entry["name"], entry["problem"])
                          for entry in listed],
                         [("first.snap", None), ("second.snap", None)])
        removed = json.loads(self.run_preheat(
            "snapshot", "remove", "--images", "--json", path).stdout)
        self.assertEqual(removed["removed"], [str(path), f"{path}.json"])
        self.assertEqual([kept["file"] for kept in removed["kept"]],
                         [str(frozen)])
        self.assertEqual(vm.quit(), 0)
        self.assertTrue(frozen.exists())
        first = self.tmp / "first.snap"
        self.run_preheat("snapshot", "remove", "--images", first)
        self.assertFalse(first.exists())
        self.assertTrue(disk.exists())

    def test_a_signal_that_ends_a_load_removes_its_disks(self):
        vm = self.start(BARE, disk=self.make_disk())
        path = self.save(vm)
        vm.quit()
        loaded = self.loadvm_saved(path, vm).connect().wait_running()
        folder = self.folder_of(loaded)
        self.assertTrue(folder.exists())
        loaded.process.kill(signal.SIGTERM)
        loaded.process.wait()
        self.assertFalse(folder.exists())

    def test_a_daemon_keeps_its_disks_in_a_folder_that_is_given(self):
        pid_file = self.tmp / "q.pid"
        vm = self.qemu(BARE + [
            "-drive", f"file={self.make_disk()},format=raw,if=virtio,id=d0",
            "-daemonize", "-pidfile", pid_file]).connect()
        path = self.save(vm)
        vm.quit()
        self.assert_refused(path, "--keep-disks DIR")
        kept = self.tmp / "kept"
        loaded = self.loadvm_saved(path, vm, "--keep-disks", kept)
        loaded.connect()
        self.assertEqual(loaded.process.wait(), 0)
        self.assertEqual(self.folder_of(loaded), kept)
        self.assertEqual(int((kept / "q.pid").read_text()), loaded.qemu_pid)
        loaded.quit()

    def test_kept_disks_stay_with_what_was_written(self):
        saved = self.boot(self.make_disk())
        path = self.save(saved)
        saved.quit()
        kept = self.tmp / "kept"
        vm = self.loadvm_saved(path, saved, "--keep-disks", kept)
        vm.connect().wait_running()
        self.assert_right(vm, machine.SMALL, "WRITE 7")
        self.assertEqual(vm.quit(), 0)
        raw = self.tmp / "kept.raw"
        subprocess.run(["qemu-img", "convert", "-O", "raw",
                        kept / "d0.qcow2", raw], check=True)
        self.assertEqual(raw.read_bytes()[:8], (7).to_bytes(8, "little"))
        self.assert_refused(path, "not an empty directory",
                            options=("--keep-disks", kept))

    def test_a_disk_of_the_snapshot_is_written_to_by_no_other_machine(self):
        disk = self.make_disk()
        vm = self.start(BARE, disk=disk)
        path = self.save(vm)
        vm.quit()
        words = [word.format(disk=disk) for word in RAW_DRIVE]
        self.assert_refused(
            path, f"d0 ({disk}) belongs to the snapshot",
            options=("--", config.QEMU, *BARE, *words))
        overlay = self.tmp / "own.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", disk,
                        "-F", "raw", overlay], check=True)
        words = [word.format(disk=overlay).replace("raw", "qcow2")
                 for word in RAW_DRIVE]
        loaded = self.qemu([*BARE, *words], launcher=[
            config.PREHEAT, "loadvm", path, "--"]).connect()
        self.assertEqual(loaded.wait_running().quit(), 0)

    def test_a_load_that_fails_keeps_no_disks(self):
        log = self.tmp / "serial.log"
        vm = self.start(BARE + ["-serial", f"file:{log}"],
                        disk=self.make_disk())
        path = self.save(vm)
        vm.quit()
        kept = self.tmp / "kept"
        self.assert_refused(
            path, "before its monitor answered",
            options=("--keep-disks", kept, "--set", f"{log}=/missing/log"))
        self.assertFalse(kept.exists())

    def test_a_disk_that_has_moved_on_is_refused_by_name(self):
        disk = self.make_disk()
        vm = self.start(BARE, disk=disk)
        path = self.save(vm)
        vm.quit()
        with open(disk, "r+b") as file:
            file.write(b"x")
        self.assert_refused(path, f"disk d0: {disk} has changed since")
        disk.unlink()
        self.assert_refused(path, f"disk d0: {disk} is missing")

    def test_the_saved_guest_that_runs_on_its_image_is_told_as_that(self):
        disk = self.make_disk()
        vm = self.start(BARE, disk=disk)
        path = self.save(vm, "--disks", "leave")
        self.assert_refused(
            path, f"disk d0: {disk} is being written to by process {vm.qemu_pid} ",
            "--disks leave")
        vm.quit()
        loaded = self.loadvm_saved(path, vm)
        loaded.connect().wait_running()
        self.assertEqual(loaded.quit(), 0)

    def test_a_taken_port_is_told_as_that(self):
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
        vm = self.qemu(BARE + [
            "-netdev", f"user,id=n,hostfwd=tcp:127.0.0.1:{port}-:22",
            "-device", "e1000,netdev=n"]).connect()
        path = self.save(vm)
        self.assert_refused(path, f"host port {port} is taken",
                            f"--set {port}=OTHER")
        loaded = self.loadvm_saved(path, vm, "--set", f"{port}=0")
        loaded.connect().wait_running()
        self.assertNotIn(f" {port} ", loaded.qmp.hmp("info usernet"))
        self.assertEqual(loaded.quit(), 0)

    def test_a_port_that_is_taken_is_not_laid_on_the_plugin(self):
        vm = self.qemu(BARE).connect()
        path = self.save(vm)
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
            process = self.run_preheat(
                "loadvm", path, "--", config.QEMU, *BARE, "-netdev",
                f"user,id=n,hostfwd=tcp:127.0.0.1:{port}-:22", status=1)
        self.assertIn(f"host port {port} is taken", process.stderr)
        self.assertNotIn("plugin", process.stderr)

    def test_other_arguments_are_told_by_name(self):
        vm = self.qemu(BARE + ["-device", "e1000,id=nic"]).connect()
        path = self.save(vm)
        vm.quit()
        process = self.run_preheat(
            "loadvm", path, "--", config.QEMU, *BARE, "-cpu", "max",
            "-device", "virtio-rng-pci", "-S", status=1)
        for text in ("-device e1000,id=nic when saved",
                     "-device virtio-rng-pci",
                     "CPU model qemu64-x86_64-cpu when saved, "
                     "max-x86_64-cpu now"):
            self.assertIn(text, process.stderr)

    def test_a_state_that_qemu_refuses_is_told_with_what_differs(self):
        arguments = BARE + ["-device", "virtio-rng-pci,id=r,romfile="]
        vm = self.qemu(arguments).connect()
        path = self.save(vm)
        vm.quit()
        loaded = self.qemu(BARE, launcher=[
            config.PREHEAT, "loadvm", path, "--"])
        self.assertEqual(loaded.process.wait(), 1)
        self.assertIn("The machine is not the one that was saved: -device "
                      "virtio-rng-pci,id=r when saved", loaded.process.stderr)

    def test_a_snapshot_that_has_lost_its_end_is_told_to_be_damaged(self):
        path = self.save(self.qemu(BARE).connect())
        os.truncate(path, path.stat().st_size - 100)
        self.assert_refused(path, "was replaced since, or is damaged")
        listed = self.run_preheat("snapshot", "list", self.tmp).stdout
        self.assertIn("or the RAM image is damaged", listed)

    def test_a_manifest_of_another_snapshot_is_not_followed(self):
        vm = self.start(BARE, disk=self.make_disk())
        path = self.save(vm)
        other = self.save(vm, name="other.snap")
        vm.quit()
        other.replace(path)
        loaded = self.loadvm_saved(path, vm)
        self.assertEqual(loaded.process.wait(), 1)
        self.assertIn("vm.snap.json belongs to another snapshot",
                      loaded.process.stderr)
