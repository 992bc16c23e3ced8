# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""What people do wrong, and what each of them is told."""

import dataclasses
import os
import shutil
import socket
import struct
import subprocess

from harness import config, host, machine
from harness.case import Case, recorded_order
from harness.snapshots import snapshot

TESTED = machine.SMALL
OTHER = dataclasses.replace(TESTED, name="other-store", store_mib=32)

# Arguments, exit status, and words of the message; what is in braces stands
# for what files() says.
WITHOUT_QEMU = {
    "an order instead of the snapshot": (
        "loadvm {tmp}/vm.order -- qemu", 1,
        ["vm.order: this is a page-access order, not a snapshot",
         "give it to --order"]),
    "a disk instead of the snapshot": (
        "loadvm {tmp}/disk.qcow2 -- qemu", 1,
        ["disk.qcow2: this is a qcow2 disk image, not a snapshot", "--tag"]),
    "a raw disk instead of the snapshot": (
        "loadvm {tmp}/disk.img -- qemu", 1,
        ["disk.img: this is a raw disk image, not a snapshot", "-drive"]),
    "a manifest instead of the snapshot": (
        "loadvm {tmp}/vm.snap.json -- qemu", 1,
        ["this is a snapshot's manifest, not a snapshot",
         'without ".json"']),
    "a program instead of the snapshot": (
        "loadvm /bin/sh -- qemu", 1,
        ["/bin/sh: this is a program or a kernel, not a snapshot"]),
    "a save that was interrupted": (
        "loadvm {tmp}/empty -- qemu", 1,
        ["this is an empty file, not a snapshot", "interrupted"]),
    "a stream instead of a mapped-ram file": (
        "loadvm {tmp}/stream -- {qemu}", 1,
        ["saved without the mapped-ram capability", "save it again"]),
    "an image that libvirt has compressed": (
        "loadvm {tmp}/libvirt -- {qemu}", 1,
        ["its format is zstd", "save_image_format"]),
    "a file that is nothing of ours": (
        "loadvm {tmp}/letter.txt -- {qemu}", 1,
        ["letter.txt: at offset 0", "no QEMU migration stream"]),
    "a snapshot that is not there": (
        "loadvm {tmp}/none.snap -- qemu", 1,
        ["none.snap: cannot", "No such file or directory"]),
    "a folder instead of the snapshot": (
        "loadvm {tmp} -- qemu", 1, ["not a regular file"]),
    "a snapshot where an order belongs": (
        "order show {snapshot}", 1,
        ["this is a snapshot, not a page-access order", "--record"]),
    "an order that needs no import": (
        "order import {tmp}/vm.order -o {tmp}/new.order", 1,
        ["a page-access order, not a page-access order as JSON",
         "needs no import"]),
    "an order where a snapshot belongs": (
        "snapshot info {tmp}/vm.order", 1,
        ["this is a page-access order, not a snapshot"]),
    "a recording over a snapshot": (
        "loadvm {snapshot} --record {tmp}/vm.snap -- qemu", 1,
        ["this is a snapshot, which would be lost"]),
    "an order written over a snapshot": (
        "order trim --bytes 1M {tmp}/vm.order -o {tmp}/vm.snap", 1,
        ["this is a snapshot, which would be lost"]),
    "a folder where the order is to go": (
        "loadvm {snapshot} --record {tmp} -- qemu", 1,
        ["cannot write it", "not a regular file"]),
    "a save over a disk": (
        "savevm --qmp {tmp}/qmp --output {tmp}/disk.qcow2", 1,
        ["disk.qcow2: this is a qcow2 disk image, which would be lost"]),
    "the -- forgotten": (
        "loadvm {snapshot} qemu-system-x86_64 -m 1G", 2,
        ['"--" is missing before QEMU\'s command line',
         "-- qemu-system-x86_64"]),
    "the -- forgotten after run": (
        "run qemu-system-x86_64 -m 1G", 2, ['"--" is missing']),
    "a command mistyped": (
        "lodavm {snapshot} -- qemu", 2, ['did you mean "loadvm"?']),
    "a tag of a snapshot that is no disk": (
        "loadvm {snapshot} --tag t -- qemu", 1,
        ["this is a snapshot, not a qcow2 disk image", "without --tag"]),
    "a policy that there is not": (
        "loadvm {snapshot} --policy fast -- qemu", 2,
        ["order, sequential, demand or full"]),
    "an order without its policy": (
        "loadvm {snapshot} --policy order -- qemu", 2, ["--order FILE"]),
    "QEMU's name mistyped": (
        "loadvm {snapshot} -- qemu-sytem-x86_64", 1,
        ["qemu-sytem-x86_64", "No such file"]),
    "-incoming given as well": (
        "loadvm {snapshot} -- qemu -incoming defer", 2, ["-incoming"]),
    "a QMP socket that is not there": (
        "loadvm {snapshot} --qmp {tmp}/none", 1,
        ["none", "No such file or directory"]),
    "a QMP socket of a QEMU that has ended": (
        "savevm --qmp {tmp}/stale --output {tmp}/new.snap", 1,
        ["stale", "Connection refused"]),
    "a file instead of a QMP socket": (
        "savevm --qmp {tmp}/letter.txt --output {tmp}/new.snap", 1,
        ["letter.txt", "Connection refused"]),
    "a process that is no QEMU": (
        "control --pid {self} retry", 1,
        ["process {self}: no preheat plugin answers", "preheat run"]),
    "both kinds of QEMU at once": (
        "loadvm {snapshot} --qmp {tmp}/qmp -- qemu", 2,
        ["--qmp SOCKET, for"]),
}


class Mistakes(Case):

    def files(self):
        """What somebody may mix up; returns what stands for their names."""
        shutil.copy(recorded_order(self, TESTED), self.tmp / "vm.order")
        (self.tmp / "disk.qcow2").write_bytes(b"QFI\xfb" + bytes(1020))
        (self.tmp / "disk.img").write_bytes(bytes(510) + b"\x55\xaa" +
                                            bytes(512))
        (self.tmp / "vm.snap.json").write_text(
            '{"format": "preheat-manifest", "version": 1}')
        (self.tmp / "empty").touch()
        (self.tmp / "vm.snap").write_bytes(self.head())
        (self.tmp / "stream").write_bytes(
            self.head().replace(b"mapped-ram", b"mapped-rom"))
        (self.tmp / "libvirt").write_bytes(
            b"LibvirtQemudSave" + struct.pack("=4I", 2, 8, 1, 5) + bytes(68))
        (self.tmp / "letter.txt").write_text("Dear all")
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(self.tmp / "stale"))
        return {"tmp": self.tmp, "snapshot": snapshot(TESTED),
                "self": os.getpid(),
                "qemu": f"{config.QEMU} -nodefaults -display none"}

    def head(self):
        """The beginning of the snapshot."""
        with open(snapshot(TESTED), "rb") as file:
            return file.read(4096)

    def assert_told(self, arguments, status, words):
        process = self.run_preheat(*arguments, status=status)
        for word in words:
            self.assertIn(word, process.stderr)
        # Nothing else: a mistake has one message, and perhaps where to look.
        self.assertLessEqual(len(process.stderr.splitlines()), 2)

    def test_each_mistake_is_told_with_what_to_do(self):
        names = self.files()
        for mistake, (line, status, words) in WITHOUT_QEMU.items():
            with self.subTest(mistake):
                self.assert_told(line.format(**names).split(), status,
                                 [word.format(**names) for word in words])

    # ---- with a QEMU ----

    def qemu_with_monitors(self):
        return self.qemu([*TESTED.arguments(self.tmp), "-monitor",
                          f"unix:{self.tmp}/hmp,server=on,wait=off"]).connect()

    def loadvm_refused(self, *options, arguments=None, status=1):
        return self.run_preheat(
            "loadvm", snapshot(TESTED), *options, "--", config.QEMU,
            *(arguments or TESTED.arguments(self.tmp)), "-serial", "null",
            status=status).stderr

    def test_a_human_monitor_is_no_qmp_socket(self):
        self.qemu_with_monitors()
        self.assert_told(
            ["savevm", "--qmp", self.tmp / "hmp", "--output",
             self.tmp / "new.snap"], 1, ["human monitor", "-qmp"])

    def test_a_profile_needs_the_plugin(self):
        vm = self.qemu_with_monitors()
        self.assert_told(
            ["savevm", "--qmp", vm.qmp_path, "--profile", "--output",
             self.tmp / "new.snap"], 1, ["plugin", "preheat run"])
        self.assertFalse((self.tmp / "new.snap").exists())

    def test_a_save_into_a_folder_has_no_name(self):
        vm = self.qemu_with_monitors()
        self.assert_told(
            ["savevm", "--qmp", vm.qmp_path, "--output", self.tmp], 1,
            [str(self.tmp), "not a regular file"])
        self.assertTrue(vm.qmp.execute("query-status")["running"])

    def test_a_save_into_a_folder_that_is_not_there_is_told(self):
        vm = self.qemu_with_monitors()
        self.assert_told(
            ["savevm", "--qmp", vm.qmp_path, "--output",
             self.tmp / "none" / "vm.snap"], 1,
            ["none/vm.snap", "No such file or directory"])

    def test_another_ram_size_is_told_with_the_right_one(self):
        arguments = ["512M" if word == "256M" else word
                     for word in TESTED.arguments(self.tmp)]
        self.assertIn("start QEMU with -m 256M",
                      self.loadvm_refused(arguments=arguments))

    def test_another_number_of_processors_is_told(self):
        self.skip_if(host.lacks_userfaultfd())
        process = self.run_preheat(
            "loadvm", snapshot(machine.TWO_CPUS), "--", config.QEMU,
            *TESTED.arguments(self.tmp), "-serial", "null", status=1)
        self.assertIn("arguments that it was saved with", process.stderr)

    def test_an_option_that_qemu_does_not_know_is_qemus_to_tell(self):
        said = self.loadvm_refused(arguments=["-no-such-option"])
        self.assertIn("-no-such-option", said)
        self.assertIn("before its monitor answered", said)

    def test_a_taken_port_is_told(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            arguments = [word.replace("tcp:127.0.0.1:0",
                                      f"tcp:127.0.0.1:{port}")
                         for word in TESTED.arguments(self.tmp)]
            said = self.loadvm_refused(arguments=arguments)
        self.assertIn(str(port), said)

    def loaded_with(self, *options):
        """What a load says that works all the same."""
        vm = self.loadvm(TESTED, *options)
        vm.connect().wait_running()
        self.assert_right(vm, TESTED, "GET 1")
        self.assertEqual(vm.quit(), 0)
        return vm.process.stderr

    def test_the_snapshot_as_its_own_order_is_warned_of(self):
        said = self.loaded_with("--order", snapshot(TESTED))
        self.assertIn("warning", said)
        self.assertIn("this is a snapshot, not a page-access order", said)
        self.assertIn("loading without an order", said)

    def test_the_order_of_another_snapshot_is_warned_of(self):
        said = self.loaded_with("--order", recorded_order(self, OTHER))
        self.assertIn("warning", said)
        self.assertIn("recorded for another snapshot", said)

    def test_a_snapshot_that_we_may_not_read_is_told(self):
        self.skip_if(host.lacks_root())
        secret = self.tmp / "secret.snap"
        secret.write_bytes(b"QEVM")
        secret.chmod(0o600)
        self.tmp.chmod(0o755)
        # preheat may lie where a stranger may not look.
        program = shutil.copy(config.PREHEAT, self.tmp / "preheat")
        run = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
             program, "loadvm", secret, "--", "qemu"],
            stderr=subprocess.PIPE, text=True)
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertIn("secret.snap: cannot read: Permission denied",
                      run.stderr)
