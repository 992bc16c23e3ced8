# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Packing an order, and loading with its pack."""

import json
import os
import shutil
import sys

from harness import config, machine
from harness.case import Case, recorded_order
from harness.snapshots import snapshot

HEAD_BYTES = 28
NOBODY = 65534

# Start the program whose standard error is a pipe that is full, and that nobody
# reads.
UNREAD = """
import os, sys
reading, writing = os.pipe()
os.set_inheritable(reading, True)
os.set_blocking(writing, False)
try:
    while True:
        os.write(writing, b"x")
except BlockingIOError:
    os.set_blocking(writing, True)
os.dup2(writing, 2)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Pack(Case):

    def packed(self, of=machine.SMALL):
        """An order with a pack beside it; returns both paths."""
        order = self.tmp / "vm.order"
        shutil.copy(recorded_order(self, of), order)
        self.run_preheat("order", "pack", order, "--snapshot", snapshot(of))
        return order, self.tmp / "vm.order.pack"

    def load(self, order, *options):
        """A load of the small machine, right by its checksums; returns what
        it said, and its statistics."""
        vm = self.loadvm(machine.SMALL, "--order", order, "--wait", "all",
                         *options)
        vm.connect().wait_running()
        self.assert_right(vm, machine.SMALL, "SUM")
        stats = vm.statistics()
        self.assertEqual(stats["state"], "loaded")
        self.assertEqual(vm.quit(), 0)
        return vm.process.stderr, stats

    def test_a_pack_has_the_orders_pages_in_less_space(self):
        order, pack = self.packed()
        result = json.loads(self.run_preheat(
            "order", "pack", order, "--json",
            "--snapshot", snapshot(machine.SMALL)).stdout)
        self.assertEqual(result["pack"], str(pack))
        self.assertEqual(result["bytes"], result["pages"] * 4096)
        self.assertGreater(result["bytes"], 16 * machine.MIB)
        self.assertLess(pack.stat().st_size, result["bytes"])
        self.assertEqual(pack.stat().st_mode & 0o777, 0o600)

    def test_the_orders_pages_come_from_the_pack(self):
        order, _ = self.packed()
        _, stats = self.load(order, "--pack", "always")
        self.assertTrue(stats["pack"]["used"])
        # All but those that QEMU touched before.
        self.assertGreater(stats["pack"]["pages"] * 10,
                           stats["pages"]["by-order"] * 9)

    def test_a_pack_is_measured_and_costs_no_correctness(self):
        order, _ = self.packed()
        said, stats = self.load(order)
        self.assertIsNotNone(stats["pack"])
        self.assertNotIn("the pack", said)

    def test_a_pack_can_be_left_alone(self):
        order, _ = self.packed()
        _, stats = self.load(order, "--pack", "never")
        self.assertIsNone(stats["pack"])

    def test_a_load_without_a_pack_says_nothing_of_it(self):
        said, stats = self.load(recorded_order(self, machine.SMALL))
        self.assertIsNone(stats["pack"])
        self.assertNotIn("the pack", said)

    def damage(self, pack):
        damaged = bytearray(pack.read_bytes())
        for at in range(HEAD_BYTES + 1000, len(damaged) // 2, 100_000):
            damaged[at] ^= 0x55
        pack.write_bytes(damaged)

    def test_a_load_does_not_wait_for_who_reads_warnings(self):
        order, pack = self.packed()
        self.damage(pack)
        vm = self.qemu([*machine.SMALL.arguments(self.tmp),
                        "-incoming", "defer"],
                       launcher=[sys.executable, "-c", UNREAD, config.PREHEAT,
                                 "run", "--"]).connect()
        self.run_preheat("loadvm", snapshot(machine.SMALL), "--order", order,
                         "--pack", "always", "--qmp", vm.qmp_path)
        vm.wait_loaded()
        self.assertFalse(vm.statistics()["pack"]["used"])
        self.assert_right(vm, machine.SMALL, "SUM")
        self.assertEqual(vm.quit(), 0)

    def test_a_damaged_chunk_is_spoken_of_and_never_believed(self):
        order, pack = self.packed()
        self.damage(pack)
        said, stats = self.load(order, "--pack", "always")
        self.assertIn(f"{pack}: ", said)
        self.assertIn("loading on without the pack", said)
        self.assertFalse(stats["pack"]["used"])

    def test_a_torn_pack_is_spoken_of_and_ignored(self):
        order, pack = self.packed()
        pack.write_bytes(pack.read_bytes()[:-1000])
        said, stats = self.load(order, "--pack", "always")
        self.assertIn(f"{pack}: at offset", said)
        self.assertIn("loading without the pack", said)
        self.assertIsNone(stats["pack"])

    def test_another_snapshots_pack_is_spoken_of_and_ignored(self):
        order, pack = self.packed()
        self.run_preheat("order", "pack", order, "-o", pack,
                         "--snapshot", snapshot(machine.TWO_CPUS))
        said, stats = self.load(order, "--pack", "always")
        self.assertIn("packed for another snapshot", said)
        self.assertIsNone(stats["pack"])

    def test_a_strangers_pack_is_spoken_of_and_ignored(self):
        self.skip_if("only root can give a file away"
                     if os.geteuid() != 0 else None)
        order, pack = self.packed()
        os.chown(pack, NOBODY, NOBODY)
        said, stats = self.load(order, "--pack", "always")
        self.assertIn(f"{pack} belongs neither to you", said)
        self.assertIsNone(stats["pack"])

    def test_nothing_is_packed_over_a_snapshot(self):
        order, _ = self.packed()
        path = self.tmp / "vm.snap"
        path.write_bytes(b"QEVM and more")
        process = self.run_preheat("order", "pack", order, "-o", path,
                                   "--snapshot", snapshot(machine.SMALL),
                                   status=1)
        self.assertIn("this is a snapshot, which would be lost",
                      process.stderr)
        self.assertEqual(path.read_bytes(), b"QEVM and more")
