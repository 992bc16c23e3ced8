# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 at any moment harms no snapshot and stops no next try."""

import os
import signal
import socket

from harness import host, machine
from harness.case import Case
from harness.processes import wait_for_end
from harness.snapshots import digest, snapshot

TESTED = machine.SMALL


def busy(vm):
    """A connection on which the guest has begun to read its whole store."""
    connection = socket.create_connection(("127.0.0.1", vm.port()))
    connection.recv(1)  # it greets: it is there
    connection.sendall(b"SUM\n")
    return connection


class KillLoad(Case):

    def setUp(self):
        super().setUp()
        self.before = digest(snapshot(TESTED))
        self.neighbours = set(snapshot(TESTED).parent.iterdir())

    def assert_unharmed(self):
        self.assertEqual(digest(snapshot(TESTED)), self.before)
        self.assertEqual(set(snapshot(TESTED).parent.iterdir()),
                         self.neighbours)
        self.assert_loads(TESTED)

    def started(self):
        return self.loadvm(TESTED, "--policy", "demand",
                           "--stats", self.tmp / "stats.json")

    def kill_preheat(self, vm):
        vm.process.kill()
        vm.process.wait()
        if vm.qemu_pid is not None:
            wait_for_end(vm.qemu_pid, "QEMU")
        self.assert_unharmed()

    def kill_qemu(self, vm):
        os.kill(vm.qemu_pid, signal.SIGKILL)
        self.assertIn(vm.process.wait(), (-signal.SIGKILL,
                                          128 + signal.SIGKILL))
        self.assert_unharmed()

    def test_preheat_is_killed_at_once(self):
        self.kill_preheat(self.started())

    def test_preheat_is_killed_when_qemu_is_up(self):
        self.kill_preheat(self.started().connect())

    def test_preheat_is_killed_when_the_guest_runs(self):
        self.kill_preheat(self.started().connect().wait_running())

    def test_preheat_is_killed_while_the_guest_answers(self):
        vm = self.started().connect().wait_running()
        with busy(vm):
            self.kill_preheat(vm)

    def test_preheat_is_killed_and_qemu_has_changed_its_user(self):
        self.skip_if(host.lacks_root())
        vm = self.loadvm(TESTED, "--policy", "demand",
                         extra=["-run-with", "user=nobody"])
        self.kill_preheat(vm.connect().wait_running())

    def test_qemu_is_killed_when_it_is_up(self):
        self.kill_qemu(self.started().connect())

    def test_qemu_is_killed_when_the_guest_runs(self):
        self.kill_qemu(self.started().connect().wait_running())

    def test_qemu_is_killed_while_the_guest_answers(self):
        vm = self.started().connect().wait_running()
        with busy(vm):
            self.kill_qemu(vm)


class KillSave(Case):

    def setUp(self):
        super().setUp()
        self.directory = self.tmp / "out"
        self.directory.mkdir()
        self.path = self.directory / "vm.snap"

    def save(self, vm):
        return self.preheat("savevm", "--qmp", vm.qmp_path,
                            "--output", self.path)

    def assert_files(self, *snapshots):
        """There are just these, each with its manifest."""
        expected = [path.with_name(path.name + suffix)
                    for path in snapshots for suffix in ("", ".json")]
        self.assertEqual(expected, sorted(self.directory.iterdir()))

    def assert_saved(self, vm):
        process = self.save(vm)
        self.assertEqual(process.wait(), 0, process.describe())
        self.assertTrue(vm.qmp.execute("query-status")["running"])
        vm.wait_without_fdsets()
        vm.quit()
        self.assert_files(self.path)
        self.assert_loads(TESTED, path=self.path)

    def test_preheat_is_killed_when_the_guest_has_stopped(self):
        vm = self.running(TESTED)
        process = self.save(vm)
        vm.qmp.wait_event("STOP")
        process.kill()
        process.wait()
        self.assertFalse(self.path.exists())
        self.assert_saved(vm)

    def test_preheat_is_killed_and_the_old_snapshot_stays(self):
        vm = self.running(TESTED)
        self.assertEqual(self.save(vm).wait(), 0)
        vm.qmp.wait_event("STOP")
        before = digest(self.path)
        process = self.save(vm)
        vm.qmp.wait_event("STOP")
        process.kill()
        process.wait()
        self.assertEqual(digest(self.path), before)
        self.assert_saved(vm)

    def test_a_save_that_is_interrupted_leaves_nothing(self):
        vm = self.running(TESTED)
        before = vm.qmp.execute("query-migrate-capabilities")
        process = self.save(vm)
        vm.qmp.wait_event("STOP")
        process.kill(signal.SIGTERM)
        # It may have been through before the signal came.
        was_saved = process.wait() == 0
        self.assertTrue(vm.qmp.execute("query-status")["running"])
        vm.wait_without_fdsets()
        self.assertEqual(vm.qmp.execute("query-migrate-capabilities"), before)
        self.assert_files(*[self.path] if was_saved else [])

    def test_the_next_save_sets_back_what_a_killed_one_has_set(self):
        vm = self.running(TESTED)
        vm.qmp.execute("migrate-set-parameters", max_bandwidth=12345678)
        before = [vm.qmp.execute(command) for command in
                  ("query-migrate-capabilities", "query-migrate-parameters")]
        process = self.save(vm)
        vm.qmp.wait_event("STOP")
        process.kill()
        process.wait()
        other = self.tmp / "other.snap"
        self.run_preheat("savevm", "--qmp", vm.qmp_path, "--output", other)
        self.assertTrue(vm.qmp.execute("query-status")["running"])
        self.assertEqual(before, [vm.qmp.execute(command) for command in
                                  ("query-migrate-capabilities",
                                   "query-migrate-parameters")])
        vm.wait_without_fdsets()

    def test_a_guest_that_was_paused_before_stays_so(self):
        vm = self.running(TESTED)
        vm.qmp.execute("stop")
        vm.qmp.events.clear()
        process = self.save(vm)
        vm.qmp.wait_event("MIGRATION")
        process.kill()
        process.wait()
        process = self.save(vm)
        self.assertEqual(process.wait(), 1, process.describe())
        self.assertIn("QMP cont", process.stderr)
        self.assertFalse(vm.qmp.execute("query-status")["running"])

    def test_qemu_is_killed_when_the_guest_has_stopped(self):
        vm = self.running(TESTED)
        process = self.save(vm)
        vm.qmp.wait_event("STOP")
        vm.process.kill()
        self.assertEqual(process.wait(), 1, process.describe())
        self.assertEqual([], list(self.directory.iterdir()))
        self.assert_saved(self.running(TESTED))
