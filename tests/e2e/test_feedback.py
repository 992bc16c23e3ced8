# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""What loadvm and savevm tell while they work."""

import json
import os

from harness import config, host, machine
from harness.case import Case
from harness.processes import Deadline, Process, wait_readable
from harness.snapshots import snapshot
from harness.virtual import Virtual

TESTED = machine.SMALL


class Feedback(Case):

    def objects(self, process):
        return [json.loads(line) for line in process.stdout.splitlines()]

    def loadvm_json(self, *arguments):
        return self._watch(Virtual(
            self.tmp, TESTED.arguments(self.tmp), launcher=[
                config.PREHEAT, "loadvm", snapshot(TESTED), "--json",
                *arguments, "--"]))

    def test_a_load_says_when_the_guest_runs_and_when_all_is_loaded(self):
        vm = self.loadvm(TESTED).connect().wait_running()
        vm.process.wait_for_text("all pages are loaded after")
        vm.process.wait_for_text("the guest runs after")
        self.assertEqual(vm.quit(), 0)
        # All may be loaded before the guest runs.
        loaded, runs = sorted(vm.process.stderr.splitlines())
        self.assertIn(f"{snapshot(TESTED)}: the guest runs after", runs)
        self.assertIn("the guest waited for", loaded)

    def test_programs_are_told_an_object_a_line(self):
        self.skip_if(host.lacks_userfaultfd())
        vm = self.loadvm_json().connect().wait_running()
        vm.process.wait_for_text("all pages are loaded")
        self.assertEqual(vm.quit(), 0)
        *first, ended = self.objects(vm.process)
        loaded, resumed = sorted(first, key=lambda told: told["event"])
        self.assertEqual(resumed["event"], "resumed")
        self.assertEqual(resumed["pid"], vm.qemu_pid)
        self.assertEqual(loaded["event"], "loaded")
        self.assertIn("demand-faults", loaded)
        self.assertEqual(ended["event"], "ended")
        self.assertEqual(ended["status"], 0)

    def test_programs_are_told_why_a_load_has_failed(self):
        process = self.run_preheat(
            "loadvm", snapshot(TESTED), "--json", "--", config.QEMU,
            "-nodefaults", "-display", "none", "-m", "1M", status=1)
        failed, = self.objects(process)
        self.assertEqual(failed["event"], "failed")
        self.assertIn("start QEMU with -m 256M", failed["error"])

    def test_what_qemu_prints_does_not_get_between_the_objects(self):
        vm = self.loadvm_json("--policy", "full")
        vm.connect().wait_running()
        self.assertEqual(vm.quit(), 0)
        process = self.run_preheat(
            "loadvm", snapshot(TESTED), "--json", "--", "/bin/sh", "-c",
            "echo noise; exit 3", status=3)
        failed, ended = self.objects(process)
        self.assertEqual((failed["event"], ended["event"]),
                         ("failed", "ended"))
        self.assertIn("noise", process.stderr)

    def ready(self, *arguments, status=0):
        """What comes into --ready-fd, up to its end."""
        reading, writing = os.pipe()
        process = Process(
            [config.PREHEAT, "loadvm", snapshot(TESTED), "--ready-fd",
             str(writing), *arguments], self.tmp, "ready",
            pass_fds=[writing])
        self._processes.append(process)
        os.close(writing)
        self.addCleanup(os.close, reading)
        deadline = Deadline()
        text = b""
        while True:
            wait_readable([reading], "the end of what is told", deadline)
            received = os.read(reading, 100)
            text += received
            if not received:
                return process, text.decode()

    def test_a_descriptor_is_told_that_the_guest_runs(self):
        self.skip_if(host.lacks_userfaultfd())
        # It ends there, though QEMU lives on.
        process, text = self.ready(
            "--", config.QEMU, *TESTED.arguments(self.tmp), "-serial", "null")
        self.assertEqual(text, "resumed\n", process.describe())
        self.assertIsNone(process.popen.poll())

    def test_a_descriptor_of_a_failed_load_is_closed(self):
        process, text = self.ready("--", "/bin/false")
        self.assertEqual(text, "")
        self.assertEqual(process.wait(), 1)

    def test_a_save_with_a_profile_says_at_once_what_to_do(self):
        vm = self._watch(Virtual(
            self.tmp, TESTED.arguments(self.tmp),
            launcher=[config.PREHEAT, "run", "--"]))
        vm.connect()
        process = self.preheat("savevm", "--qmp", vm.qmp_path, "--output",
                               self.tmp / "vm.snap", "--profile=3600")
        process.wait_for_text("use the guest as it will be used")
        self.assertIn("preheat profile stop", process.stderr)
        self.run_preheat("profile", "stop", "--qmp", vm.qmp_path)
        self.assertEqual(process.wait(), 0)
