# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory that the guest gives back while it is loaded."""

import contextlib

from harness import machine
from harness.case import Case

MIB = 256  # pages


class Removal(Case):

    def used_snapshot(self, tested):
        """A snapshot with 96 MiB of free memory that is not zero."""
        path = self.tmp / "used.snap"
        vm = self.running(tested)
        self.assert_right(vm, tested, "USE 96")
        vm.save(path)
        vm.quit()
        return path

    def test_what_a_balloon_took_while_loading_stays_with_the_host(self):
        tested = machine.PLAIN_BALLOON
        vm = self.loadvm(tested, "--policy", "demand",
                         path=self.used_snapshot(tested))
        vm.connect().wait_running()
        self.assert_right(vm, tested, "GET 1")
        vm.balloon(160)
        with contextlib.closing(vm.control()) as control:
            control.execute("load-rest")
        vm.wait_loaded()
        pages = vm.statistics()["pages"]
        # It takes what was free, most of which had been used.
        self.assertGreater(pages["given-back"], 48 * MIB)
        # 4 KiB a page; the guest has used some of its zero pages since.
        wanted = (pages["in-file"] - pages["given-back"]
                  + pages["zero-on-fault"]) * 4
        self.assertLess(vm.memory_kib("pc.ram"), wanted + (8 << 10))
        self.assert_right(vm, tested, "SUM")
        vm.balloon(256)
        self.assert_right(vm, tested, "USE 96")
        self.assert_right(vm, tested, "PUT 1")
        self.assert_right(vm, tested, "SUM", puts=[1])
        self.assertEqual(vm.quit(), 0)

    def test_a_balloon_that_inflates_while_everything_loads_is_served(self):
        tested = machine.PLAIN_BALLOON
        vm = self.loadvm(tested, "--policy", "sequential",
                         path=self.used_snapshot(tested))
        vm.connect().wait_running()
        vm.balloon(160)
        vm.wait_loaded()
        self.assert_right(vm, tested, "SUM")
        vm.balloon(256)
        self.assert_right(vm, tested, "USE 96")
        self.assertEqual(vm.quit(), 0)
