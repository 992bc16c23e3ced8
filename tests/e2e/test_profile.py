# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""preheat savevm --profile: profiling a guest in place, at no risk to it."""

import dataclasses
import json
import sys
import threading

from harness import machine
from harness.case import Case
from harness.jsonsocket import CommandError
from harness.processes import Deadline

ROUNDS = 10
# What the guest under load touches in each round, and more.
TOUCHES = 300

PLAIN_BALLOON = dataclasses.replace(
    machine.SMALL, name="plain-balloon", extra=("-device", "virtio-balloon"))

MEMFD_BALLOON = dataclasses.replace(
    machine.MEMFD, name="memfd-balloon", extra=("-device", "virtio-balloon"))

ROOM_FOR_DIMM = dataclasses.replace(
    machine.SMALL, name="room-for-dimm",
    memory=("-m", "256M,slots=2,maxmem=1G"))

MEMFD_TWO_CPUS = dataclasses.replace(machine.MEMFD, name="memfd-two-cpus",
                                     smp=2)


def announcements(pcap):
    """How many ARP packets of a capture tell their sender's own address."""
    count = 0
    offset = 24
    while offset + 16 <= len(pcap):
        length = int.from_bytes(pcap[offset + 8:offset + 12], sys.byteorder)
        frame = pcap[offset + 16:offset + 16 + length]
        is_arp = frame[12:14] == b"\x08\x06"
        count += is_arp and frame[28:32] == frame[38:42]
        offset += 16 + length
    return count


class Load:
    """Requests to a guest, one after the other, until it is ended.

    Each GET has its answer checked; each PUT changes what later ones must
    answer.
    """

    def __init__(self, case, vm, of):
        self._case = case
        self._vm = vm
        self._machine = of
        self._end = threading.Event()
        self.puts = []
        self.wrong = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        number = 0
        while not self._end.is_set():
            number += 1
            key = number % 5
            request = f"{'PUT' if number % 3 == 0 else 'GET'} {key}"
            answer = self._vm.ask(request, self._machine.store_mib, self.puts)
            if not answer["right"]:
                self.wrong.append((request, answer))
                return
            if request.startswith("PUT"):
                self.puts.append(key)

    def finish(self):
        self._end.set()
        self._thread.join()
        self._case.assertEqual(self.wrong, [])
        return self.puts


class Profile(Case):

    def with_plugin(self, of):
        """A running guest whose QEMU has the plugin, and is not loading."""
        vm = self.loadvm(of, "--policy", "full")
        return vm.connect().wait_running()

    def save(self, vm, path, *options, status=0):
        process = self.run_preheat("savevm", "--qmp", vm.qmp_path, "--output",
                                   path, "--json", *options, status=status)
        return json.loads(process.stdout) if status == 0 else process

    def check_order(self, path):
        self.run_preheat("order", "check", f"{path}.order", "--snapshot",
                         path)

    def profiled_under_load(self, of):
        vm = self.with_plugin(of)
        path = self.tmp / "vm.snap"
        load = Load(self, vm, of)
        for _ in range(ROUNDS):
            profile = self.profiled_save(vm, path, TOUCHES)
            self.assertEqual(profile["dropped-touches"], 0)
            self.check_order(path)
        puts = load.finish()
        self.assert_right(vm, of, "SUM", puts=puts)
        self.assertEqual(vm.quit(), 0)
        self.assertEqual(sorted(p.name for p in self.tmp.glob("vm.snap*")),
                         ["vm.snap", "vm.snap.json", "vm.snap.order"])

    def test_ten_profiled_saves_under_load_leave_memory_right(self):
        self.profiled_under_load(machine.SMALL)

    def test_ten_profiled_saves_under_load_with_two_vcpus(self):
        self.profiled_under_load(machine.TWO_CPUS)

    def test_ten_profiled_saves_under_load_with_memfd(self):
        self.profiled_under_load(machine.MEMFD)

    def test_ten_profiled_saves_under_load_with_memfd_and_two_vcpus(self):
        self.profiled_under_load(MEMFD_TWO_CPUS)

    def profile_of_one_request(self, vm, path):
        """Save, and have the guest answer GET 1 in the profiling window."""
        process = self.preheat("savevm", "--qmp", vm.qmp_path, "--output",
                               path, "--profile=3600")
        self.await_window(vm)
        self.assert_right(vm, machine.SMALL, "GET 1")
        self.run_preheat("profile", "stop", "--qmp", vm.qmp_path)
        self.assertEqual(process.wait(), 0, process.describe())

    def await_window(self, vm):
        """Wait until a profiling window is open and the guest runs on."""
        control = vm.control()
        try:
            while (control.execute("query-profile")["state"] != "profiling"
                   or not vm.qmp.execute("query-status")["running"]):
                pass
        finally:
            control.close()

    def test_an_order_of_the_window_spares_nearly_all_demand_faults(self):
        vm = self.with_plugin(machine.SMALL)
        path = self.tmp / "vm.snap"
        self.profile_of_one_request(vm, path)
        self.assertEqual(vm.quit(), 0)
        faults = {}
        for policy, options in (("demand", ()),
                                ("order", ("--order", f"{path}.order"))):
            loaded = self.loadvm(machine.SMALL, "--policy", policy, *options,
                                 path=path)
            loaded.connect().wait_running()
            self.assert_right(loaded, machine.SMALL, "GET 1")
            faults[policy] = loaded.statistics()["demand-faults"]
            self.assertEqual(loaded.quit(), 0)
        self.assertLess(faults["order"] * 10, faults["demand"])

    def pages(self, order):
        """All pages of an order, each as block and number."""
        exported = json.loads(self.run_preheat("order", "export",
                                               order).stdout)
        return {(extent["block"], extent["page"] + i)
                for extent in exported["extents"]
                for i in range(extent["count"])}

    def touched_at_load(self, path):
        """The pages that are recorded at a load, with one request."""
        order = self.tmp / "load.order"
        loaded = self.loadvm(machine.SMALL, "--record", order,
                             "--record-for", "3", path=path)
        loaded.connect().wait_running()
        self.assert_right(loaded, machine.SMALL, "GET 1")
        loaded.wait_loaded("recording")
        self.assertEqual(loaded.quit(), 0)
        return self.pages(order)

    def test_the_window_has_code_that_was_translated_before_it(self):
        vm = self.with_plugin(machine.SMALL)
        self.assert_right(vm, machine.SMALL, "GET 1")
        path = self.tmp / "vm.snap"
        self.profile_of_one_request(vm, path)
        self.assertEqual(vm.quit(), 0)
        at_save = self.pages(f"{path}.order")
        # What only one load touches has to do with how busy this host is.
        at_loads = self.touched_at_load(path) & self.touched_at_load(path)
        self.assertLess(len(at_loads - at_save) * 20, len(at_loads))

    def await_announcement(self, vm, dump):
        """Wait until the guest has told its network its own address."""
        deadline = Deadline()
        while not announcements(dump.read_bytes()):
            vm.qmp.execute("query-status")
            deadline.left("a gratuitous ARP")

    def test_the_window_has_what_only_a_loaded_guest_touches(self):
        vm = self.with_plugin(machine.SMALL)
        dump = self.tmp / "packets"
        vm.qmp.execute("object-add", qom_type="filter-dump", id="dump",
                       netdev="net", file=str(dump))
        path = self.tmp / "vm.snap"
        process = self.preheat("savevm", "--qmp", vm.qmp_path, "--output",
                               path, "--profile=3600")
        self.await_window(vm)
        self.await_announcement(vm, dump)
        self.run_preheat("profile", "stop", "--qmp", vm.qmp_path)
        self.assertEqual(process.wait(), 0, process.describe())
        exported = json.loads(self.run_preheat(
            "order", "export", f"{path}.order").stdout)
        self.assertIn(machine.OPTION_ROMS // 4096,
                      [extent["page"] for extent in exported["extents"]])

    def test_a_second_save_closes_the_window_of_the_first(self):
        vm = self.with_plugin(machine.SMALL)
        path = self.tmp / "vm.snap"
        first = self.preheat("savevm", "--qmp", vm.qmp_path, "--output", path,
                             "--profile=3600")
        self.await_window(vm)
        # That one has let go of the monitor once its window is closed.
        self.run_preheat("profile", "stop", "--qmp", vm.qmp_path)
        self.assertEqual(first.wait(), 0, first.describe())
        self.save(vm, self.tmp / "second.snap", "--profile=0.2")
        self.assert_right(vm, machine.SMALL, "SUM")

    def test_a_window_opens_where_background_snapshot_is_switched_on(self):
        vm = self.with_plugin(machine.SMALL)
        on = {"capability": "background-snapshot", "state": True}
        try:
            vm.qmp.execute("migrate-set-capabilities", capabilities=[on])
        except CommandError as error:
            self.skipTest(str(error))
        path = self.tmp / "vm.snap"
        self.save(vm, path, "--profile=0.2")
        self.check_order(path)
        self.assertIn(on, vm.qmp.execute("query-migrate-capabilities"))

    def test_somebody_elses_migration_in_the_window_is_whole(self):
        vm = self.with_plugin(machine.SMALL)
        path = self.tmp / "vm.snap"
        process = self.preheat("savevm", "--qmp", vm.qmp_path, "--output",
                               path, "--profile=3600")
        self.await_window(vm)
        vm.save(self.tmp / "other.snap")
        self.run_preheat("profile", "stop", "--qmp", vm.qmp_path)
        self.assertEqual(process.wait(), 0, process.describe())
        self.assertEqual(vm.quit(), 0)
        loaded = self.loadvm(machine.SMALL, path=self.tmp / "other.snap")
        loaded.connect().wait_running()
        self.assert_right(loaded, machine.SMALL, "SUM")

    def test_a_stop_in_the_window_does_no_harm(self):
        vm = self.with_plugin(machine.SMALL)
        process = self.preheat("savevm", "--qmp", vm.qmp_path, "--output",
                               self.tmp / "vm.snap", "--profile=3600")
        self.await_window(vm)
        vm.qmp.execute("stop")
        self.run_preheat("profile", "stop", "--qmp", vm.qmp_path)
        self.assertEqual(process.wait(), 0, process.describe())
        vm.qmp.execute("cont")
        self.assert_right(vm, machine.SMALL, "SUM")

    def test_a_balloon_in_the_window_does_no_harm(self):
        vm = self.with_plugin(machine.BALLOON)
        path = self.tmp / "vm.snap"
        process = self.preheat("savevm", "--qmp", vm.qmp_path, "--output",
                               path, "--profile=3600")
        self.await_window(vm)
        self.assert_right(vm, machine.BALLOON, "USE 64")
        vm.balloon(160)
        self.assert_right(vm, machine.BALLOON, "SUM")
        vm.balloon(256)
        self.assert_right(vm, machine.BALLOON, "USE 96")
        self.assert_right(vm, machine.BALLOON, "PUT 1")
        self.run_preheat("profile", "stop", "--qmp", vm.qmp_path)
        self.assertEqual(process.wait(), 0, process.describe())
        self.check_order(path)
        self.assert_right(vm, machine.BALLOON, "SUM", puts=[1])

    def assert_given_back(self, of):
        """What a guest gives its balloon in the window is free, and the guest
        right, in the window and after it."""
        vm = self.with_plugin(of)
        path = self.tmp / "vm.snap"
        # All that is free has been used once, and so is there.
        self.assert_right(vm, of, "USE 96")
        process = self.preheat("savevm", "--qmp", vm.qmp_path, "--output",
                               path, "--profile=3600")
        self.await_window(vm)
        before = vm.ram_bytes()
        vm.balloon(160)
        self.assertLess(vm.ram_bytes(), before - 48 * machine.MIB)
        self.assert_right(vm, of, "SUM")
        self.run_preheat("profile", "stop", "--qmp", vm.qmp_path)
        self.assertEqual(process.wait(), 0, process.describe())
        self.assertLess(vm.ram_bytes(), before - 48 * machine.MIB)
        vm.balloon(256)
        self.assert_right(vm, of, "USE 96")
        self.assert_right(vm, of, "SUM")
        self.check_order(path)

    def test_memory_given_to_a_balloon_in_the_window_is_free(self):
        self.assert_given_back(PLAIN_BALLOON)

    def test_memfd_memory_given_to_a_balloon_in_the_window_is_free(self):
        self.assert_given_back(MEMFD_BALLOON)

    def test_memory_plugged_in_the_window_does_no_harm(self):
        vm = self.with_plugin(ROOM_FOR_DIMM)
        path = self.tmp / "vm.snap"
        process = self.preheat("savevm", "--qmp", vm.qmp_path, "--output",
                               path, "--profile=3600")
        self.await_window(vm)
        vm.qmp.execute("object-add", qom_type="memory-backend-ram",
                       id="plugged", size=128 * machine.MIB)
        vm.qmp.execute("device_add", driver="pc-dimm", memdev="plugged")
        self.assert_right(vm, ROOM_FOR_DIMM, "GET 1")
        self.run_preheat("profile", "stop", "--qmp", vm.qmp_path)
        self.assertEqual(process.wait(), 0, process.describe())
        self.assert_right(vm, ROOM_FOR_DIMM, "SUM")
        self.check_order(path)

    def test_a_reset_in_the_window_boots_the_guest_anew(self):
        vm = self.with_plugin(machine.SMALL)
        process = self.preheat("savevm", "--qmp", vm.qmp_path, "--output",
                               self.tmp / "vm.snap", "--profile=3600")
        self.await_window(vm)
        vm.qmp.execute("system_reset")
        self.assert_right(vm, machine.SMALL, "SUM")
        self.run_preheat("profile", "stop", "--qmp", vm.qmp_path)
        self.assertEqual(process.wait(), 0, process.describe())
        self.assert_right(vm, machine.SMALL, "SUM")

    def test_a_quit_in_the_window_ends_qemu_and_keeps_the_snapshot(self):
        vm = self.with_plugin(machine.SMALL)
        path = self.tmp / "vm.snap"
        process = self.preheat("savevm", "--qmp", vm.qmp_path, "--output",
                               path, "--profile=3600")
        self.await_window(vm)
        self.assertEqual(vm.quit(), 0)
        self.assertEqual(process.wait(), 0, process.describe())
        self.run_preheat("snapshot", "info", path)
        self.check_order(path)

    def test_a_save_that_is_killed_in_the_window_leaves_the_guest_well(self):
        vm = self.with_plugin(machine.SMALL)
        path = self.tmp / "vm.snap"
        process = self.preheat("savevm", "--qmp", vm.qmp_path, "--output",
                               path, "--profile=3600")
        self.await_window(vm)
        process.kill()
        process.wait()
        self.assert_right(vm, machine.SMALL, "SUM")
        self.save(vm, path, "--profile=0.2")
        self.check_order(path)
        self.assert_right(vm, machine.SMALL, "SUM")

    def test_a_guest_that_still_loads_is_loaded_first(self):
        vm = self.loadvm(machine.SMALL, "--policy", "demand")
        vm.connect().wait_running()
        path = self.tmp / "vm.snap"
        self.save(vm, path, "--profile=0.2")
        self.assertEqual(vm.statistics()["state"], "loaded")
        self.check_order(path)
        self.assert_right(vm, machine.SMALL, "SUM")

    def test_a_qemu_without_the_plugin_is_told_what_it_lacks(self):
        vm = self.running(machine.SMALL)
        path = self.tmp / "vm.snap"
        process = self.save(vm, path, "--profile", status=1)
        self.assertIn("preheat run", process.stderr)
        self.assertFalse(path.exists())
        self.assertTrue(vm.qmp.execute("query-status")["running"])


class Learn(Case):

    def test_what_a_load_missed_is_in_its_order_afterwards(self):
        order = self.tmp / "vm.order"
        for _ in range(2):
            vm = self.loadvm(machine.SMALL, "--order", order, "--learn",
                             "--record-for", "5")
            vm.connect().wait_running()
            self.assert_right(vm, machine.SMALL, "GET 1")
            vm.wait_loaded("recording")
            statistics = vm.statistics()
            self.assertEqual(vm.quit(), 0)
        self.assertGreater(statistics["pages"]["by-order"], 0)
        shown = self.run_preheat("order", "show", "--json", order).stdout
        self.assertEqual(json.loads(shown)["origin"], "learned")

    def test_an_order_of_another_snapshot_is_left_as_it_is(self):
        other = self.tmp / "other.order"
        vm = self.loadvm(machine.TWO_CPUS, "--order", other, "--learn",
                         "--record-for", "1")
        vm.connect().wait_running()
        vm.wait_loaded("recording")
        self.assertEqual(vm.quit(), 0)
        before = other.read_bytes()
        vm = self.loadvm(machine.SMALL, "--order", other, "--learn",
                         "--record-for", "1")
        vm.connect().wait_running()
        vm.wait_loaded("recording")
        self.assertEqual(vm.quit(), 0)
        self.assertEqual(other.read_bytes(), before)
