# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""preheat loadvm: every policy gives the guest that was saved."""

import contextlib

from harness import config, host, machine
from harness.case import Case, recorded_order
from harness.mappedram import MappedRam
from harness.snapshots import snapshot

POLICIES = ("full", "sequential", "demand", "order")

NUMBERS = ("demand-faults", "other-demand-faults", "blocktime-ms",
           "bytes-read", "qemu-ready-ms", "resumed-ms")


# Puts the machine to sleep (S3), by the register that SeaBIOS sets up, and
# halts: mov $0x604, %dx; mov $0x2400, %ax; out %ax, %dx; hlt.
SLEEPER = bytes.fromhex("ba0406b80024eff4ebfd")


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

    def load_rest_by(self, rest):
        stats = self.tmp / "stats.json"
        tested = machine.ONE_GIB
        vm = self.loadvm(tested, "--order", recorded_order(self, tested),
                         "--rest", rest, "--stats", stats)
        vm.connect().wait_running()
        self.assert_right(vm, tested, "GET 1")
        return vm, stats

    def test_a_rest_on_demand_is_what_the_guest_touches(self):
        vm, stats = self.load_rest_by("demand")
        self.assert_right(vm, machine.ONE_GIB, "GET 2")
        self.assertEqual(vm.quit(), 0)
        pages = self.read_json(stats)["pages"]
        self.assertEqual(pages["by-rest"], 0)
        self.assertLess(pages["by-order"] + pages["by-fault"],
                        pages["in-file"])

    def test_a_rest_on_demand_can_be_asked_for(self):
        vm, stats = self.load_rest_by("demand")
        self.run_preheat("control", "--qmp", vm.qmp_path, "load-rest")
        vm.wait_loaded()
        self.assert_right(vm, machine.ONE_GIB, "SUM")
        self.assertEqual(vm.quit(), 0)
        self.assertGreater(self.read_json(stats)["pages"]["by-rest"], 0)

    def test_an_eager_rest_is_loaded(self):
        vm, _ = self.load_rest_by("eager")
        vm.wait_loaded()
        self.assert_right(vm, machine.ONE_GIB, "SUM")

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

    def test_a_load_that_succeeds_says_only_that(self):
        vm = self.assert_loads(machine.SMALL)
        # So QEMU finds nothing deprecated in the arguments added to the
        # user's.
        self.assert_says_no_more(vm.process)

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

    def test_a_file_name_that_looks_like_an_offset_is_a_file_name(self):
        path = self.tmp / "vm,offset=4096.snap"
        path.symlink_to(snapshot(machine.SMALL))
        for policy in ("full", "sequential"):
            with self.subTest(policy):
                vm = self.loadvm(machine.SMALL, "--policy", policy, path=path)
                vm.connect().wait_running()
                self.assert_right(vm, machine.SMALL, "GET 1")
                self.assertEqual(vm.quit(), 0)

    def test_what_was_set_for_another_kind_of_migration_is_set_aside(self):
        for policy in ("full", "sequential"):
            with self.subTest(policy):
                vm = self.loadvm(machine.SMALL, "--policy", policy, extra=[
                    "-global", "migration.x-postcopy-ram=on"])
                vm.connect().wait_running()
                self.assert_right(vm, machine.SMALL, "GET 1")
                on = {item["capability"] for item
                      in vm.qmp.execute("query-migrate-capabilities")
                      if item["state"]}
                self.assertEqual(on, {"postcopy-ram"})
                self.assertEqual(vm.quit(), 0)

    def test_qemu_keeps_no_descriptor_of_what_it_loaded(self):
        vm = self.loadvm(machine.SMALL, "--wait", "all")
        vm.connect().wait_running()
        self.assertEqual(vm.qmp.execute("query-fdsets"), [])


class RunState(Case):
    """The guest is at what its user had it at."""

    def paused(self):
        """The path of a snapshot of a guest that was paused."""
        path = self.tmp / "paused.snap"
        vm = self.running(machine.SMALL)
        vm.qmp.execute("stop")
        vm.save(path)
        vm.quit()
        return path

    def test_a_guest_that_was_paused_stays_paused(self):
        path = self.paused()
        for policy in ("full", "sequential"):
            with self.subTest(policy):
                vm = self.loadvm(machine.SMALL, "--policy", policy, path=path)
                vm.connect().wait_prepared()
                self.assertEqual(vm.qmp.execute("query-status")["status"],
                                 "paused")
                vm.process.wait_for_text("(paused), and is not running now")
                vm.qmp.execute("cont")
                self.assert_right(vm, machine.SMALL, "GET 1")
                self.assertEqual(vm.quit(), 0)

    def test_a_guest_that_was_paused_runs_if_that_is_asked_for(self):
        vm = self.loadvm(machine.SMALL, "--resume", path=self.paused())
        vm.connect().wait_running()
        self.assert_right(vm, machine.SMALL, "GET 1")
        self.assertEqual(vm.quit(), 0)
        self.assert_says_no_more(vm.process)

    def test_a_guest_that_savevm_had_stopped_runs(self):
        vm = self.running(machine.SMALL)
        path = self.tmp / "vm.snap"
        self.run_preheat("savevm", "--qmp", vm.qmp_path, "--output", path)
        self.assert_loads(machine.SMALL, path=path)

    def test_a_guest_that_sleeps_goes_on_sleeping_and_wakes_up(self):
        image = self.tmp / "sleeper"
        image.write_bytes(SLEEPER.ljust(510, b"\0") + b"\x55\xaa" +
                          bytes(1 << 20))
        arguments = ["-accel", "tcg", "-m", "64M", "-no-user-config",
                     "-nodefaults", "-display", "none", "-drive",
                     f"file={image},format=raw,if=ide,snapshot=on"]
        path = self.tmp / "sleeper.snap"
        vm = self.qemu(arguments).connect()
        vm.qmp.wait_event("SUSPEND")
        vm.save(path)
        vm.quit()
        self.skip_if(host.lacks_userfaultfd())
        for policy in ("full", "sequential"):
            with self.subTest(policy):
                launcher = [config.PREHEAT, "loadvm", "--snapshot", path,
                            "--policy", policy, "--"]
                vm = self.qemu(arguments, launcher=launcher).connect()
                vm.qmp.wait_event("RESUME")
                self.assertEqual(vm.qmp.execute("query-status")["status"],
                                 "suspended")
                vm.qmp.execute("system_wakeup")
                vm.qmp.wait_event("WAKEUP")
                self.assertEqual(vm.quit(), 0)
