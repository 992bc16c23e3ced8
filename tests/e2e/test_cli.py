# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: usage, exit statuses, signals."""

import os
import signal

from harness import config, machine
from harness.case import Case
from harness.jsonsocket import Listener
from harness.processes import wait_for_end
from harness.snapshots import snapshot

USAGE = 2


class Usage(Case):

    def test_no_command_is_a_usage_error(self):
        self.run_preheat(status=USAGE)

    def test_an_unknown_command_is_a_usage_error_with_its_name(self):
        process = self.run_preheat("frobnicate", status=USAGE)
        self.assertIn("frobnicate", process.stderr)

    def test_an_unknown_option_is_a_usage_error_with_its_name(self):
        process = self.run_preheat("loadvm", "--frobnicate", status=USAGE)
        self.assertIn("--frobnicate", process.stderr)

    def test_an_unknown_policy_is_a_usage_error_that_lists_all(self):
        process = self.run_preheat(
            "loadvm", "--snapshot", snapshot(machine.SMALL),
            "--policy", "best", "--", config.QEMU, status=USAGE)
        for policy in ("order", "sequential", "demand", "full"):
            self.assertIn(policy, process.stderr)

    def test_loadvm_without_qemu_is_a_usage_error(self):
        self.run_preheat("loadvm", "--snapshot", snapshot(machine.SMALL),
                         status=USAGE)

    def test_loadvm_without_a_snapshot_is_a_usage_error(self):
        self.run_preheat("loadvm", "--", config.QEMU, status=USAGE)

    def test_savevm_without_an_output_is_a_usage_error(self):
        self.run_preheat("savevm", "--qmp", self.tmp / "qmp", status=USAGE)

    def test_help_names_every_command(self):
        help_text = self.run_preheat("--help").stdout
        for command in ("savevm", "loadvm", "order", "snapshot"):
            self.assertIn(command, help_text)

    def test_every_command_has_help(self):
        for command in (["savevm"], ["loadvm"], ["order", "show"],
                        ["order", "check"], ["snapshot", "info"],
                        ["snapshot", "verify"]):
            with self.subTest(command=command):
                self.assertIn("Usage", self.run_preheat(*command,
                                                        "--help").stdout)

    def test_version_is_told(self):
        self.assertRegex(self.run_preheat("--version").stdout,
                         r"preheat \d+\.\d+\.\d+")

    def test_snapshot_info_lists_the_blocks(self):
        process = self.run_preheat("snapshot", "info",
                                   snapshot(machine.SMALL))
        self.assertIn("pc.ram", process.stdout)


class Status(Case):

    def test_a_missing_snapshot_is_a_failure_with_its_name(self):
        path = self.tmp / "none.snap"
        process = self.run_preheat("loadvm", "--snapshot", path, "--",
                                   config.QEMU, status=1)
        self.assertIn(str(path), process.stderr)

    def test_a_missing_qemu_is_a_failure_with_its_name(self):
        process = self.preheat("loadvm", "--snapshot",
                               snapshot(machine.SMALL), "--",
                               "/missing/qemu")
        self.assertNotEqual(process.wait(), 0)
        self.assertIn("/missing/qemu", process.stderr)

    def test_a_qemu_that_does_not_start_passes_its_message_on(self):
        vm = self.loadvm(machine.SMALL, extra=["-frobnicate"])
        self.assertEqual(vm.process.wait(), 1)
        self.assertIn("frobnicate", vm.process.stderr)

    def test_the_status_of_qemu_is_passed_through(self):
        listener = Listener(self.tmp / "qtest")
        self.addCleanup(listener.close)
        vm = self.loadvm(machine.SMALL, "--wait", "all", extra=[
            "-S", "-device", "isa-debug-exit",
            "-qtest", f"unix:{listener.path}", "-qtest-log", "none"])
        with listener.accept(vm.process) as qtest:
            vm.connect().wait_loaded()
            qtest.sendall(b"outb 0x501 0x20\n")
            self.assertEqual(vm.process.wait(), 0x20 << 1 | 1)


class Signals(Case):

    def check(self, number):
        vm = self.loadvm(machine.SMALL).connect().wait_running()
        os.kill(vm.process.pid, number)
        self.assertEqual(vm.process.wait(), 0, vm.process.describe())
        wait_for_end(vm.qemu_pid, "QEMU")
        self.assertIn("terminating on signal", vm.process.stderr)

    def test_sigterm_ends_qemu_in_order(self):
        self.check(signal.SIGTERM)

    def test_sigint_ends_qemu_in_order(self):
        self.check(signal.SIGINT)

    def test_sighup_ends_qemu_in_order(self):
        self.check(signal.SIGHUP)

    def test_a_qemu_that_quits_while_it_loads_ends_preheat(self):
        vm = self.loadvm(machine.SMALL, "--policy", "demand")
        vm.connect().wait_running()
        self.assertEqual(vm.quit(), 0)
        wait_for_end(vm.qemu_pid, "QEMU")
