# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every kind of guest RAM that can be loaded lazily."""

from harness import machine
from harness.case import Case, recorded_order
from harness.exact import assert_exact


class Memory(Case):

    def check(self, tested):
        """Exact while it loads, by order with faults, right when it runs."""
        vm = self.loadvm(tested, "--policy", "demand", extra=["-S"])
        vm.connect().wait_prepared()
        assert_exact(self, vm, tested)
        vm.quit()
        vm = self.loadvm(tested, "--order", recorded_order(self, tested))
        vm.connect().wait_running()
        self.assert_right(vm, tested, "GET 1")
        vm.wait_loaded()
        self.assert_right(vm, tested, "SUM")
        self.assertEqual(vm.quit(), 0)

    def test_anonymous_ram_is_loaded(self):
        self.check(machine.SMALL)

    def test_a_shared_memfd_is_loaded(self):
        self.check(machine.MEMFD)

    def test_a_shared_file_on_tmpfs_is_loaded(self):
        self.check(machine.SHM_FILE)

    def test_two_numa_nodes_are_loaded(self):
        self.check(machine.TWO_NODES)

    def test_a_dimm_is_loaded(self):
        self.check(machine.DIMM)

    def test_ram_that_the_snapshot_lacks_is_left_alone(self):
        """As QEMU does: a device was added since."""
        vm = self.loadvm(machine.SMALL, extra=["-device", "VGA"])
        vm.connect().wait_running()
        vm.wait_loaded()
        self.assert_right(vm, machine.SMALL, "SUM")
        self.assertEqual(vm.quit(), 0)
