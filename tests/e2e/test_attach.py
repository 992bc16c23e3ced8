# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads into QEMUs that somebody else has started."""

import dataclasses
import signal

from harness import config, host, machine
from harness.case import Case, recorded_order
from harness.faultysnapshot import (PAGE_BYTES, TESTED, faulty_snapshot,
                                    unneeded_pages)
from harness.processes import wait_for_end
from harness.snapshots import digest, snapshot
from harness.virtual import Virtual

POOL = dataclasses.replace(TESTED, name="pool", store_mib=16,
                           memory=("-m", "128M"),
                           ram=machine.pc_ram(128 * machine.MIB))
N_POOL = 20


class Attach(Case):

    def setUp(self):
        super().setUp()
        self.skip_if(host.lacks_userfaultfd())

    def warm(self, tested=TESTED, extra=("-incoming", "defer"),
             launcher=(config.PREHEAT, "run", "--"), **virtual):
        """A QEMU that waits for a guest; not yet connected."""
        return self._watch(Virtual(
            self.tmp, [*tested.arguments(self.tmp), *extra],
            launcher=launcher, **virtual))

    def attach(self, vm, *options, path=None, status=0, tested=TESTED):
        return self.run_preheat("loadvm", path or snapshot(tested), "--qmp",
                                vm.qmp_path, *options, status=status)

    def assert_refused(self, vm, *words, **attach):
        process = self.attach(vm, status=1, **attach)
        for word in words:
            self.assertIn(word, process.stderr)
        return process

    def assert_warm(self, vm):
        """It is still what it was, and takes a load."""
        self.assertEqual(vm.qmp.execute("query-status")["status"],
                         "inmigrate")
        self.attach(vm)
        vm.wait_running()
        self.assert_right(vm, TESTED, "GET 1")

    def test_a_pool_of_warm_qemus_takes_one_snapshot(self):
        before = digest(snapshot(POOL))
        order = recorded_order(self, POOL)
        vms = [self.warm(POOL) for _ in range(N_POOL)]
        for vm in vms:
            vm.connect()
        for vm in vms:
            self.attach(vm, "--order", order, tested=POOL)
        for vm in vms:
            vm.wait_running()
            self.assert_right(vm, POOL, "GET 1")
        for vm in vms:
            vm.wait_loaded()
            self.assert_right(vm, POOL, "SUM")
            self.assertEqual(vm.quit(), 0)
        self.assertEqual(digest(snapshot(POOL)), before)

    def test_a_qemu_that_a_manager_started_stopped_is_resumed(self):
        plugin = config.BUILD_DIR / "plugin" / "libpreheat-plugin.so"
        vm = self.warm(extra=["-S", "-plugin", plugin, "-incoming", "defer"],
                       launcher=()).connect()
        self.attach(vm)
        vm.wait_running()
        self.assert_right(vm, TESTED, "SUM")
        self.assertEqual(vm.quit(), 0)

    def test_a_guest_that_is_to_stay_paused_does(self):
        vm = self.warm().connect()
        self.attach(vm, "--paused")
        self.assertEqual(vm.qmp.execute("query-status")["status"], "paused")
        vm.qmp.execute("cont")
        self.assert_right(vm, TESTED, "SUM")

    def test_one_who_stays_leaves_when_all_is_loaded(self):
        vm = self.warm().connect()
        self.attach(vm, "--stay")
        self.assertEqual(vm.statistics()["state"], "loaded")
        self.assert_right(vm, TESTED, "SUM")

    def test_one_who_waits_resumes_the_guest_when_all_is_loaded(self):
        vm = self.warm().connect()
        self.attach(vm, "--wait", "all")
        self.assertEqual(vm.statistics()["state"], "loaded")
        self.assert_right(vm, TESTED, "SUM")

    def test_qemu_itself_loads_where_that_is_asked_for(self):
        vm = self.warm().connect()
        self.attach(vm, "--policy", "full")
        vm.wait_running()
        self.assert_right(vm, TESTED, "SUM")

    # ---- refusals, after which QEMU is what it was ----

    def test_a_qemu_without_the_plugin_is_refused(self):
        vm = self.warm(launcher=()).connect()
        self.assert_refused(vm, f"process {vm.qemu_pid}", "plugin",
                            "preheat run")
        self.assertEqual(vm.qmp.execute("query-status")["status"],
                         "inmigrate")

    def test_a_qemu_that_has_a_guest_is_refused(self):
        vm = self.warm(extra=()).connect()
        self.assert_refused(vm, "has one (running)", "-incoming defer")
        self.assertTrue(vm.qmp.execute("query-status")["running"])

    def test_a_qemu_that_waits_for_another_is_refused(self):
        vm = self.warm(extra=["-incoming",
                              f"unix:{self.tmp / 'incoming'}"]).connect()
        self.assert_refused(vm, "is waiting for a migration from elsewhere",
                            "-incoming defer")

    def test_a_qemu_that_has_loaded_is_refused(self):
        vm = self.warm().connect()
        self.attach(vm)
        self.assert_refused(vm, str(snapshot(TESTED)), "loads only once")
        self.assert_right(vm, TESTED, "SUM")

    def test_another_machine_is_refused_and_goes_on_waiting(self):
        vm = self.warm().connect()
        self.assert_refused(vm, "start QEMU with -m 128M", tested=POOL)
        self.assert_warm(vm)

    def test_a_torn_snapshot_is_refused_and_qemu_goes_on_waiting(self):
        torn = self.tmp / "torn.snap"
        with open(snapshot(TESTED), "rb") as whole:
            torn.write_bytes(whole.read(10 << 20))
        vm = self.warm().connect()
        self.assert_refused(vm, str(torn), path=torn)
        self.assert_warm(vm)

    def test_a_human_monitor_is_told_as_such(self):
        path = self.tmp / "hmp"
        vm = self.warm(extra=["-incoming", "defer", "-monitor",
                              f"unix:{path},server=on,wait=off"]).connect()
        process = self.run_preheat("loadvm", snapshot(TESTED), "--qmp", path,
                                   status=1)
        self.assertIn("human monitor", process.stderr)
        self.assert_warm(vm)

    # ---- reads that fail ----

    def faulty(self):
        """The snapshot, without a page that SUM needs and GET 1 does not."""
        file = faulty_snapshot(self)
        # Cleanups run in reverse: first QEMU must have ended.
        self.addCleanup(self._end_processes)
        page, = unneeded_pages(1)
        file.fail(page, page + PAGE_BYTES)
        return file

    def mend(self, vm, file):
        file.mend()
        self.run_preheat("control", "--pid", vm.qemu_pid, "retry")

    def test_a_guest_that_is_left_alone_waits_for_a_missing_page(self):
        file = self.faulty()
        vm = self.warm().connect()
        self.attach(vm, path=file.path)
        self.assert_right(vm, TESTED, "GET 1")
        client = vm.start_request("SUM", TESTED.store_mib)
        vm.process.wait_for_text(
            f"preheat control --pid {vm.qemu_pid} retry")
        self.assertIn("Input/output error", vm.process.stderr)
        self.mend(vm, file)
        self.assert_answers(client)

    def test_one_who_stays_stops_a_guest_that_misses_a_page(self):
        file = self.faulty()
        vm = self.warm().connect()
        process = self.preheat("loadvm", file.path, "--qmp", vm.qmp_path,
                               "--stay")
        process.wait_for_text("The guest runs on until it needs that page")
        client = vm.start_request("SUM", TESTED.store_mib)
        process.wait_for_text("The guest needs that page and is stopped")
        self.mend(vm, file)
        self.assertEqual(process.wait(), 0)
        self.assert_answers(client)

    def test_one_who_leaves_a_blocked_qemu_tells_how_it_goes_on(self):
        file = self.faulty()
        vm = self.warm().connect()
        process = self.preheat("loadvm", file.path, "--qmp", vm.qmp_path,
                               "--stay")
        process.wait_for_text("The guest runs on until it needs that page")
        client = vm.start_request("SUM", TESTED.store_mib)
        process.wait_for_text("The guest needs that page and is stopped")
        process.kill(signal.SIGTERM)
        self.assertEqual(process.wait(), 128 + signal.SIGTERM)
        self.assertIn("resume it with QMP cont", process.stderr)
        self.mend(vm, file)
        vm.qmp.execute("cont")
        self.assert_answers(client)

    def test_one_who_stays_and_is_interrupted_leaves_the_guest_running(self):
        file = self.faulty()
        vm = self.warm().connect()
        process = self.preheat("loadvm", file.path, "--qmp", vm.qmp_path,
                               "--stay")
        process.wait_for_text("The guest runs on until it needs that page")
        process.kill(signal.SIGINT)
        self.assertEqual(process.wait(), 128 + signal.SIGINT)
        self.assert_right(vm, TESTED, "GET 1")
        self.mend(vm, file)
        self.assert_right(vm, TESTED, "SUM")

    # ---- half a load ----

    def waiting(self, vm):
        """A load that waits for a page that cannot be read."""
        process = self.preheat("loadvm", self.faulty().path, "--qmp",
                               vm.qmp_path, "--wait", "all")
        process.wait_for_text("with --wait all, the guest runs")
        return process

    def test_a_load_that_fails_half_way_ends_qemu(self):
        # The same RAM, but one processor less.
        vm = self.warm().connect()
        pid = vm.qemu_pid
        self.assert_refused(vm, f"process {pid}", "was ended",
                            "device state", tested=machine.TWO_CPUS)
        wait_for_end(pid, "QEMU")

    def test_a_load_that_is_killed_half_way_ends_qemu(self):
        vm = self.warm().connect()
        process = self.waiting(vm)
        process.kill(signal.SIGKILL)
        process.wait()
        wait_for_end(vm.qemu_pid, "QEMU")
        self.assertIn("preheat has ended before the guest was resumed",
                      vm.process.stderr)

    def test_a_load_that_is_interrupted_half_way_ends_qemu(self):
        vm = self.warm().connect()
        process = self.waiting(vm)
        process.kill(signal.SIGTERM)
        self.assertEqual(process.wait(), 128 + signal.SIGTERM)
        wait_for_end(vm.qemu_pid, "QEMU")
