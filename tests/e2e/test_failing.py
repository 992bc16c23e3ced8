# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""preheat loadvm where a snapshot cannot be read, or not for a long time."""

import os
import pty
import signal

from harness.faultysnapshot import (FAILED, PAGE_BYTES, STOPPED, TESTED,
                                    FaultyCase, unneeded_pages)
from harness.processes import Deadline, wait_for_end, wait_readable

BLOCKED = "QEMU itself waits for a page that cannot be read"


class Faulty(FaultyCase):

    def load(self, *options, **virtual):
        return self.loadvm(TESTED, *options, path=self.file.path, **virtual)

    def control(self, vm, command):
        self.run_preheat("control", "--pid", vm.qemu_pid, command)

    def retry(self, vm):
        self.file.mend()
        self.control(vm, "retry")
        vm.process.wait_for_text("reading goes on")

    def wait_loading_devices(self, vm):
        """Wait until QEMU has loaded the devices' state."""
        deadline = Deadline()
        while vm.statistics().get("device-state-ms") is None:
            deadline.left("the devices' state")


class Failing(Faulty):

    def setUp(self):
        super().setUp()
        self.pages = unneeded_pages(4)
        self.fail_pages(*self.pages)

    def needs_a_page(self, **virtual):
        """A guest that waits for a page, and who has asked it for that."""
        vm = self.load("--policy", "demand", **virtual)
        vm.connect().wait_running()
        client = vm.start_request("SUM", TESTED.store_mib)
        vm.process.wait_for_text(STOPPED)
        return vm, client

    def test_the_guest_runs_on_until_it_needs_a_page(self):
        vm = self.load("--policy", "sequential").connect().wait_running()
        vm.process.wait_for_text(FAILED)
        self.assert_right(vm, TESTED, "GET 1")
        self.assertNotIn("stopped", vm.process.stderr)
        client = vm.start_request("SUM", TESTED.store_mib)
        vm.process.wait_for_text(STOPPED)
        self.retry(vm)
        self.assert_answers(client)
        vm.wait_loaded()
        self.assertEqual(vm.quit(), 0)

    def test_a_retry_before_the_cause_is_mended_lets_no_guest_run(self):
        vm, client = self.needs_a_page()
        for _ in range(3):
            self.control(vm, "retry")
        self.assertNotIn("goes on", vm.process.stderr)
        self.assertNotIn("runs on", vm.process.stderr)
        self.retry(vm)
        self.assert_answers(client)

    def test_the_guest_does_not_begin_before_its_pages_are_there(self):
        vm = self.load("--wait", "all").connect()
        vm.process.wait_for_text("with --wait all")
        self.assertFalse(vm.qmp.execute("query-status")["running"])
        self.assertNotIn("stopped", vm.process.stderr)
        self.assertNotIn("--pid 0", vm.process.stderr)
        self.file.mend()
        self.control(vm, "retry")
        vm.wait_running()
        self.assert_right(vm, TESTED, "SUM")

    def test_waiting_for_such_pages_can_be_ended(self):
        vm = self.load("--wait", "all").connect()
        vm.process.wait_for_text("with --wait all")
        vm.process.kill(signal.SIGINT)
        self.assertIn(vm.process.wait(), (0, 128 + signal.SIGINT))
        wait_for_end(vm.qemu_pid, "QEMU")

    def test_a_qemu_that_waits_itself_is_ended_by_a_signal(self):
        vm, client = self.needs_a_page()
        vm.process.wait_for_text(BLOCKED)
        vm.process.kill(signal.SIGTERM)
        self.assertEqual(vm.process.wait(), 128 + signal.SIGKILL)
        wait_for_end(vm.qemu_pid, "QEMU")
        client.communicate()

    def test_a_qemu_that_waits_itself_is_ended_by_the_plugin(self):
        stats = self.tmp / "stats.json"
        vm = self.load("--policy", "demand", "--stats", stats)
        vm.connect().wait_running()
        client = vm.start_request("SUM", TESTED.store_mib)
        vm.process.wait_for_text(BLOCKED)
        self.preheat("control", "--pid", vm.qemu_pid, "quit").wait()
        self.assertEqual(vm.process.wait(), 128 + signal.SIGKILL)
        self.assertEqual(self.read_json(stats)["state"], "failed")
        client.communicate()


class Slow(Faulty):

    def setUp(self):
        super().setUp()
        self.page, = unneeded_pages(1)
        self.file.hang(self.page, self.page + PAGE_BYTES)

    def waits(self):
        vm = self.load("--policy", "demand").connect().wait_running()
        client = vm.start_request("SUM", TESTED.store_mib)
        vm.process.wait_for_text("s so far, and QEMU waits for it")
        return vm, client

    def test_a_read_that_takes_long_is_told(self):
        vm, client = self.waits()
        self.file.mend()
        self.assert_answers(client)
        self.assertEqual(vm.quit(), 0)
        self.assertEqual(vm.process.stderr.count("so far"), 1)

    def test_a_qemu_that_waits_for_one_is_ended_by_a_signal(self):
        vm, client = self.waits()
        vm.process.kill(signal.SIGTERM)
        wait_for_end(vm.qemu_pid, "QEMU")
        vm.process.wait()
        client.communicate()

    def test_what_is_waited_for_is_shown_on_a_terminal(self):
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        # Its own standard error is a file.
        shell = ["sh", "-c", f'exec "$@" 2>{os.ttyname(theirs)}', "sh"]
        vm = self.load("--wait", "all", before=shell).connect()
        os.close(theirs)
        shown = ""
        deadline = Deadline()
        while "loading" not in shown or "%" not in shown:
            wait_readable([ours], f"a progress bar, but {shown!r}", deadline)
            shown += os.read(ours, 1000).decode()
        self.file.mend()
        vm.wait_running()
        self.assertEqual(vm.quit(), 0)


class Daemon(Faulty):
    """One that is not our child is not left behind."""

    def waiting(self):
        page, = unneeded_pages(1)
        self.file.hang(page, page + PAGE_BYTES)
        vm = self.load("--wait", "all", extra=["-daemonize"]).connect()
        self.assertNotEqual(vm.qemu_pid, vm.process.pid)
        self.wait_loading_devices(vm)
        return vm

    def end_by(self, number, status):
        vm = self.waiting()
        vm.process.kill(number)
        self.assertEqual(vm.process.wait(), status)
        wait_for_end(vm.qemu_pid, "QEMU")

    def test_a_sigterm_ends_it_before_it_runs(self):
        self.end_by(signal.SIGTERM, 128 + signal.SIGTERM)

    def test_a_sigint_ends_it_before_it_runs(self):
        self.end_by(signal.SIGINT, 128 + signal.SIGINT)

    def test_it_ends_when_preheat_is_killed_before_it_runs(self):
        self.end_by(signal.SIGKILL, -signal.SIGKILL)

    def test_it_runs_on_alone_once_it_runs(self):
        vm = self.waiting()
        self.file.mend()
        self.assertEqual(vm.process.wait(), 0)
        vm.wait_running()
        self.assert_right(vm, TESTED, "SUM")
        vm.qmp.execute("quit")
