# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's huge pages after a load."""

from harness import host, machine
from harness.case import Case
from harness.mappedram import MappedRam
from harness.processes import Deadline
from harness.snapshots import snapshot

HUGE_PAGES = 512  # pages in a huge page


class Huge(Case):

    def n_dense(self, tested, block):
        """Stretches of a huge page that are wholly in the snapshot."""
        with MappedRam(snapshot(tested)) as ram:
            found = ram.blocks[block]
            n_pages = found.length // found.page_bytes
            return sum(
                all(ram.in_file(found, page)
                    for page in range(first, first + HUGE_PAGES))
                for first in range(0, n_pages - HUGE_PAGES + 1, HUGE_PAGES))

    def test_dense_ram_has_huge_pages_after_a_load(self):
        self.skip_if(host.lacks_huge_pages())
        tested = machine.SMALL
        n_dense = self.n_dense(tested, "pc.ram")
        self.assertGreater(n_dense, 16)
        vm = self.loadvm(tested, "--policy", "sequential")
        vm.connect().wait_running()
        vm.wait_loaded()
        deadline = Deadline()
        while vm.statistics()["huge-pages"] == 0:
            deadline.left("huge pages")
        self.assertGreaterEqual(
            vm.memory_kib("pc.ram", "AnonHugePages"),
            n_dense * HUGE_PAGES * 4 * 0.9)
        self.assert_right(vm, tested, "SUM")
        self.assertEqual(vm.quit(), 0)
