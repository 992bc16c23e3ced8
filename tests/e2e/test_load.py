# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""preheat loadvm: every policy gives the guest that was saved."""

import contextlib

from harness import machine
from harness.case import Case, recorded_order
from harness.mappedram import MappedRam
from harness.snapshots import snapshot

POLICIES = ("full", "sequential", "demand", "order")

NUMBERS = ("demand-faults", "other-demand-faults", "blocktime-ms",
           "bytes-read", "qemu-ready-ms", "resumed-ms")


class Load(Case):

    def check_policy(self, policy, tested):
        stats = self.tmp / "stats.json"
        options = ["--policy", policy, "--stats", stats]
        if policy == "order":
            options += ["--order", recorded_order(self, tested)]
        vm = self.loadvm(tested, *options)
        vm.connect().wait_running()
        self.assert_right(vm, tested, "GET 1")
        self.assert_right(vm, tested, "GET 2")
        self.assert_right(vm, tested, "SUM")
        self.assertEqual(vm.quit(), 0)
        self.check_statistics(self.read_json(stats), policy, tested)

    def check_statistics(self, stats, policy, tested):
        self.assertEqual(stats["policy"], policy)
        self.assertIn("state", stats)
        for name in NUMBERS:
            self.assertIsInstance(stats[name], (int, float), name)
        for name in ("vcpu-demand-faults", "vcpu-blocktime-ms"):
            self.assertIsInstance(stats[name], list, name)
        self.assertLessEqual({"p50", "p99", "max"},
                             set(stats["latency-us"]))
        self.assertIsInstance(stats["latency-dist"], list)
        self.assertGreaterEqual(stats["resumed-ms"], stats["qemu-ready-ms"])
        if policy != "full":
            self.check_pages(stats, policy, tested)

    def check_pages(self, stats, policy, tested):
        pages = stats["pages"]
        with MappedRam(snapshot(tested)) as ram:
            in_file = {name: ram.n_in_file(block)
                       for name, block in ram.blocks.items()}
        self.assertLessEqual(pages["in-file"], sum(in_file.values()))
        self.assertGreaterEqual(pages["in-file"], in_file["pc.ram"])
        placed = (pages["by-fault"] + pages["by-order"] + pages["by-rest"]
                  + pages["given-back"])
        self.assertLessEqual(placed, pages["in-file"])
        if stats.get("loaded-ms") is not None:
            self.assertEqual(placed, pages["in-file"])
        self.assertEqual(
            stats["demand-faults"],
            sum(stats["vcpu-demand-faults"]) + stats["other-demand-faults"])
        self.assertEqual(len(stats["vcpu-demand-faults"]), tested.smp)
        self.assertEqual(sum(stats["latency-dist"]), stats["demand-faults"])
        if policy == "demand":
            self.assertEqual(pages["by-order"] + pages["by-rest"], 0)
            self.assertGreater(stats["demand-faults"], 0)
        if policy == "order":
            self.assertGreater(pages["by-order"], 0)
        else:
            self.assertEqual(pages["by-order"], 0)

    def test_full_gives_the_guest_that_was_saved(self):
        self.check_policy("full", machine.SMALL)

    def test_sequential_gives_the_guest_that_was_saved(self):
        self.check_policy("sequential", machine.SMALL)

    def test_demand_gives_the_guest_that_was_saved(self):
        self.check_policy("demand", machine.SMALL)

    def test_order_gives_the_guest_that_was_saved(self):
        self.check_policy("order", machine.SMALL)

    def test_two_vcpus_are_right_by_full(self):
        self.check_policy("full", machine.TWO_CPUS)

    def test_two_vcpus_are_right_by_sequential(self):
        self.check_policy("sequential", machine.TWO_CPUS)

    def test_two_vcpus_are_right_by_demand(self):
        self.check_policy("demand", machine.TWO_CPUS)

    def test_two_vcpus_are_right_by_order(self):
        self.check_policy("order", machine.TWO_CPUS)

    def test_a_load_that_succeeds_says_nothing(self):
        vm = self.assert_loads(machine.SMALL)
        # So QEMU finds nothing deprecated in the arguments added to the
        # user's.
        self.assertEqual(vm.process.stderr, "")

    def test_many_clients_at_once_get_right_answers(self):
        tested = machine.TWO_CPUS
        vm = self.loadvm(tested, "--policy", "sequential")
        vm.connect().wait_running()
        clients = [vm.start_request(f"GET {key}", tested.store_mib)
                   for key in range(8)]
        for client in clients:
            out, err = client.communicate()
            self.assertEqual(client.returncode, 0, out + err)

    def test_loading_ends_by_itself_and_the_guest_stays_right(self):
        stats = self.tmp / "stats.json"
        vm = self.loadvm(machine.SMALL, "--policy", "sequential",
                         "--stats", stats)
        with contextlib.closing(vm.connect().control()) as control:
            if control.execute("query-preheat")["state"] != "loaded":
                # It comes after the statistics have been written.
                control.wait_event("PREHEAT_LOADED")
        counted = vm.statistics()
        self.assertGreater(counted["loaded-ms"], 0)
        self.check_pages(counted, "sequential", machine.SMALL)
        self.assertGreater(self.read_json(stats)["loaded-ms"], 0)
        self.assert_right(vm, machine.SMALL, "SUM")

    def test_pages_written_while_loading_keep_what_was_written(self):
        vm = self.loadvm(machine.SMALL, "--policy", "sequential")
        vm.connect().wait_running()
        self.assert_right(vm, machine.SMALL, "PUT 5")
        vm.wait_loaded()
        self.assert_right(vm, machine.SMALL, "SUM", puts=[5])

    def test_memory_given_back_while_loading_is_had_again(self):
        vm = self.loadvm(machine.BALLOON, "--policy", "demand")
        vm.connect().wait_running()
        self.assert_right(vm, machine.BALLOON, "USE 64")
        vm.balloon(160)
        self.assert_right(vm, machine.BALLOON, "SUM")
        vm.balloon(256)
        self.assert_right(vm, machine.BALLOON, "USE 96")
        self.assert_right(vm, machine.BALLOON, "PUT 1")
        self.assert_right(vm, machine.BALLOON, "SUM", puts=[1])
        self.assertEqual(vm.quit(), 0)

    def test_a_guest_can_be_reset_while_it_loads(self):
        vm = self.loadvm(machine.SMALL, "--policy", "demand")
        vm.connect().wait_running()
        vm.qmp.execute("system_reset")
        vm.serial.wait_for("preheat-guest: ready")
        self.assert_right(vm, machine.SMALL, "SUM")

    def test_a_guest_can_migrate_to_another_qemu_while_it_loads(self):
        vm = self.loadvm(machine.SMALL, "--policy", "demand")
        vm.connect().wait_running()
        target = self.qemu([*machine.SMALL.arguments(self.tmp),
                            "-incoming", f"unix:{self.tmp}/migration"])
        target.connect()
        vm.qmp.execute("migrate", uri=f"unix:{self.tmp}/migration")
        target.wait_running()
        self.assert_right(target, machine.SMALL, "SUM")

    def test_wait_all_resumes_a_guest_that_faults_no_more(self):
        stats = self.tmp / "stats.json"
        vm = self.loadvm(machine.SMALL, "--wait", "all", "--stats", stats)
        vm.connect().wait_running()
        self.assertGreater(vm.statistics()["loaded-ms"], 0)
        self.assertEqual(sum(vm.statistics()["vcpu-demand-faults"]), 0)
        self.assert_right(vm, machine.SMALL, "SUM")

    def test_with_S_the_guest_stays_stopped_until_told(self):
        vm = self.loadvm(machine.SMALL, "--wait", "all", extra=["-S"])
        vm.connect().wait_prepared()
        self.assertFalse(vm.qmp.execute("query-status")["running"])
        vm.qmp.execute("cont")
        self.assert_right(vm, machine.SMALL, "GET 1")

    def test_a_guest_of_eight_gib_is_right(self):
        vm = self.loadvm(machine.EIGHT_GIB)
        vm.connect().wait_running()
        self.assert_right(vm, machine.EIGHT_GIB, "GET 1")
        vm.wait_loaded()
        self.assert_right(vm, machine.EIGHT_GIB, "SUM")
