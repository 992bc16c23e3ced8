# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Recording an order at a load, and loading by it."""

import json

from harness import machine
from harness.case import Case, record, recorded_order
from harness.faultysnapshot import PAGE_BYTES, FaultyCase
from harness.mappedram import MappedRam
from harness.snapshots import snapshot


def n_pages(order):
    return sum(extent["count"] for extent in order["extents"])


class OrderCase(Case):

    def exported(self, path):
        return json.loads(self.run_preheat("order", "export", path).stdout)


class Order(OrderCase):

    def test_a_recorded_order_fits_its_snapshot(self):
        order = recorded_order(self, machine.SMALL)
        self.run_preheat("order", "check", order)
        self.run_preheat("order", "check", order,
                         "--snapshot", snapshot(machine.SMALL))

    def test_a_recorded_order_does_not_fit_another_snapshot(self):
        order = recorded_order(self, machine.SMALL)
        self.run_preheat("order", "check", order,
                         "--snapshot", snapshot(machine.TWO_CPUS), status=1)

    def test_a_recording_has_the_working_set_but_not_the_store(self):
        order = self.exported(recorded_order(self, machine.SMALL))
        recorded = n_pages(order) * PAGE_BYTES
        self.assertGreater(recorded, 16 * machine.MIB)
        self.assertLess(recorded, machine.SMALL.store_mib * machine.MIB)

    def test_export_and_import_lose_nothing(self):
        order = recorded_order(self, machine.SMALL)
        text = self.tmp / "order.json"
        text.write_text(self.run_preheat("order", "export", order).stdout)
        again = self.tmp / "again.order"
        self.run_preheat("order", "import", text, "-o", again)
        self.assertEqual(again.read_bytes(), order.read_bytes())

    def test_show_lists_blocks_by_name(self):
        order = recorded_order(self, machine.SMALL)
        self.assertIn("pc.ram", self.run_preheat("order", "show",
                                                 order).stdout)

    def test_the_order_saves_nine_of_ten_demand_faults(self):
        order = recorded_order(self, machine.SMALL)
        stats = {}
        for name, options in (("demand", ["--policy", "demand"]),
                              ("order", ["--order", order,
                                         "--wait", "hot"])):
            vm = self.loadvm(machine.SMALL, *options)
            vm.connect().wait_running()
            self.assert_right(vm, machine.SMALL, "GET 1")
            stats[name] = vm.statistics()
            vm.quit()
        self.assertLessEqual(stats["order"]["demand-faults"] * 10,
                             stats["demand"]["demand-faults"], stats)
        self.assertGreater(stats["order"]["pages"]["by-order"] * PAGE_BYTES,
                           16 * machine.MIB)

    def test_two_recordings_of_one_snapshot_have_its_identity(self):
        path = self.tmp / "second.order"
        record(self, machine.SMALL, path, "GET 2")
        info = json.loads(self.run_preheat(
            "snapshot", "info", "--json", snapshot(machine.SMALL)).stdout)
        for order in (path, recorded_order(self, machine.SMALL)):
            self.assertEqual(self.exported(order)["identity"],
                             info["identity"])

    def test_a_recording_is_written_when_qemu_ends_early(self):
        path = self.tmp / "vm.order"
        vm = self.loadvm(machine.SMALL, "--record", path,
                         "--record-for", "600")
        vm.connect().wait_running()
        self.assert_right(vm, machine.SMALL, "GET 1")
        vm.quit()
        self.run_preheat("order", "check", path)

    def test_another_snapshots_order_is_spoken_of_and_costs_no_correctness(
            self):
        other = recorded_order(self, machine.TWO_CPUS)
        vm = self.loadvm(machine.SMALL, "--order", other)
        vm.connect().wait_running()
        self.assert_right(vm, machine.SMALL, "SUM")
        self.assertIn(f"{other} was recorded for another snapshot",
                      vm.process.stderr)

    def test_a_torn_order_is_spoken_of_and_costs_no_correctness(self):
        torn = self.tmp / "torn.order"
        whole = recorded_order(self, machine.SMALL).read_bytes()
        torn.write_bytes(whole[:len(whole) // 2])
        vm = self.loadvm(machine.SMALL, "--order", torn)
        vm.connect().wait_running()
        self.assert_right(vm, machine.SMALL, "SUM")
        self.assertIn(str(torn), vm.process.stderr)


class SlowStorage(FaultyCase, OrderCase):
    """Loads from a storage where a page takes as long as many."""

    def setUp(self):
        super().setUp()
        self.file.read_s = 0.001

    def useless_order(self):
        """Every tenth page that is in the snapshot, whoever needs it."""
        order = self.exported(recorded_order(self, machine.SMALL))
        with MappedRam(snapshot(machine.SMALL)) as ram:
            block = ram.blocks["pc.ram"]
            pages = [page for page in range(block.length // PAGE_BYTES)
                     if ram.in_file(block, page)]
        order["blocks"] = [known for known in order["blocks"]
                           if known["name"] == "pc.ram"]
        order["extents"] = [{"block": "pc.ram", "page": page, "count": 1,
                             "time-us": i}
                            for i, page in enumerate(pages[::10])]
        text = self.tmp / "useless.json"
        text.write_text(json.dumps(order))
        path = self.tmp / "useless.order"
        self.run_preheat("order", "import", text, "-o", path)
        return path

    def load(self, order):
        """Returns the statistics once a question was answered, and all was
        loaded and compared."""
        vm = self.loadvm(machine.SMALL, "--order", order, path=self.file.path)
        vm.connect().wait_running()
        self.assert_right(vm, machine.SMALL, "GET 1")
        self.assert_right(vm, machine.SMALL, "SUM")
        vm.wait_loaded()
        stats = vm.statistics()
        self.assertEqual(vm.quit(), 0)
        return stats

    def test_a_useless_order_is_abandoned(self):
        stats = self.load(self.useless_order())
        self.assertTrue(stats["order-abandoned"], stats)
        self.assertGreaterEqual(stats["order-misses"], 64)
        self.assertIsNone(stats["order-done-ms"])
        self.assertEqual(stats["state"], "loaded")

    def test_an_order_that_fits_is_followed_to_its_end(self):
        stats = self.load(recorded_order(self, machine.SMALL))
        self.assertFalse(stats["order-abandoned"], stats)
        self.assertIsNotNone(stats["order-done-ms"])
