# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest RAM is bit for bit what the snapshot has."""

from harness import machine
from harness.case import Case, recorded_order
from harness.exact import assert_exact
from harness.jsonsocket import Listener
from harness.mappedram import MappedRam
from harness.snapshots import snapshot


class Exact(Case):

    def stopped(self, tested, *options, extra=()):
        return self.loadvm(tested, *options, extra=["-S", *extra]
                           ).connect().wait_prepared()

    def check(self, *options):
        vm = self.stopped(machine.SMALL, *options)
        assert_exact(self, vm, machine.SMALL)

    def test_ram_read_while_it_loads_by_demand_is_exact(self):
        self.check("--policy", "demand")

    def test_ram_read_while_it_loads_by_sequential_is_exact(self):
        self.check("--policy", "sequential")

    def test_ram_read_while_it_loads_by_order_is_exact(self):
        self.check("--order", recorded_order(self, machine.SMALL))

    def test_ram_read_after_everything_is_loaded_is_exact(self):
        self.check("--wait", "all")

    def test_ram_above_four_gib_is_exact(self):
        vm = self.stopped(machine.EIGHT_GIB, "--policy", "demand")
        assert_exact(self, vm, machine.EIGHT_GIB, n_samples=200)


class Verify(Case):

    def loaded(self):
        """A stopped, loaded guest and the qtest connection to its QEMU."""
        listener = Listener(self.tmp / "qtest")
        self.addCleanup(listener.close)
        vm = self.loadvm(machine.SMALL, "--wait", "all", extra=[
            "-S", "-qtest", f"unix:{listener.path}", "-qtest-log", "none"])
        qtest = listener.accept(vm.process)
        self.addCleanup(qtest.close)
        vm.connect().wait_prepared().wait_loaded()
        return vm, qtest

    def verify(self, vm, status):
        return self.run_preheat("snapshot", "verify", "--qmp", vm.qmp_path,
                                snapshot(machine.SMALL), status=status)

    def test_an_untouched_guest_is_equal(self):
        vm, _ = self.loaded()
        self.assertIn("equal", self.verify(vm, 0).stdout)

    def flip(self, qtest, address, old):
        """Change the byte at a guest-physical address."""
        qtest.sendall(b"write %#x 0x1 %#x\n" % (address, old ^ 0xFF))
        self.assertEqual(qtest.recv(64), b"OK\n")

    def check_flipped(self, wanted_in_file):
        vm, qtest = self.loaded()
        with MappedRam(snapshot(machine.SMALL)) as ram:
            block = ram.blocks["pc.ram"]
            page = next(page for page in range(0x8000, 0, -1)
                        if ram.in_file(block, page) == wanted_in_file)
            old = ram.page(block, page)[0x123]
        self.flip(qtest, page * block.page_bytes + 0x123, old)
        output = self.verify(vm, 1)
        said = output.stdout + output.stderr
        self.assertIn("pc.ram", said)
        self.assertRegex(said, rf"\b({page}|{page:#x})\b")

    def test_a_changed_byte_is_named_by_its_page(self):
        self.check_flipped(wanted_in_file=True)

    def test_a_zero_page_written_to_is_named(self):
        self.check_flipped(wanted_in_file=False)
