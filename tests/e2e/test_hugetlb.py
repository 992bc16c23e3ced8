# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest RAM of reserved huge pages (hugetlb)."""

import dataclasses
import subprocess

from harness import host, machine
from harness.case import Case, record
from harness.exact import assert_exact
from harness.mappedram import MappedRam
from harness.snapshots import snapshot

# Of 2 MiB, in the guests' 256 MiB; a test has one more.
N_PAGES = 128


class Hugetlb(Case):

    def setUp(self):
        super().setUp()
        self.pool = host.HugetlbPool()
        self.addCleanup(self.pool.close)
        self.skip_if(self.pool.lacks(N_PAGES + 1))

    def mount(self):
        path = self.tmp / "huge"
        path.mkdir()
        subprocess.run(["mount", "-t", "hugetlbfs", "-o", "pagesize=2M",
                        "none", path], check=True)
        self.addCleanup(subprocess.run, ["umount", "--lazy", path])
        return path

    def check(self, tested, saved_of):
        """What other memory has saved is exact while it loads, by order with
        faults, and right when it runs."""
        path = snapshot(saved_of)
        vm = self.loadvm(tested, "--policy", "demand", path=path,
                         extra=["-S"])
        vm.connect().wait_prepared()
        assert_exact(self, vm, tested, path)
        self.assertEqual(vm.quit(), 0)
        order = self.tmp / "order"
        record(self, saved_of, order)
        vm = self.loadvm(tested, "--order", order, path=path)
        vm.connect().wait_running()
        self.assert_right(vm, tested, "GET 1")
        vm.wait_loaded()
        pages = vm.statistics()["pages"]
        self.assertGreater(pages["by-order"], 0)
        self.assertEqual(
            pages["in-file"],
            sum(pages[by] for by in ("by-fault", "by-order", "by-rest",
                                     "given-back")))
        self.assert_right(vm, tested, "SUM")
        self.assertEqual(vm.quit(), 0)

    def test_private_memory_is_loaded(self):
        self.check(machine.HUGETLB, machine.MEMFD)

    def test_shared_memory_is_loaded(self):
        self.check(machine.SHARED_HUGETLB, machine.MEMFD)

    def test_memory_by_mem_path_is_loaded(self):
        self.mount()
        self.check(machine.HUGETLB_PATH, machine.SMALL)

    def test_a_shared_file_is_loaded(self):
        self.mount()
        self.check(machine.HUGETLB_FILE, machine.MEMFD)

    def test_what_it_saved_is_loaded_by_it_and_by_small_pages(self):
        """Its pages in the file are the guest's."""
        tested = machine.HUGETLB
        path = self.tmp / "vm.snap"
        vm = self.loadvm(tested, path=snapshot(machine.MEMFD))
        vm.connect().wait_running()
        self.assert_right(vm, tested, "PUT 1")
        self.run_preheat("savevm", "--qmp", vm.qmp_path, "--output", path)
        self.assertEqual(vm.quit(), 0)
        with MappedRam(path) as ram:
            self.assertEqual({block.page_bytes
                              for block in ram.blocks.values()}, {4096})
        for other in tested, machine.MEMFD:
            vm = self.loadvm(other, path=path)
            vm.connect().wait_running()
            self.assert_right(vm, tested, "SUM", puts=[1])
            vm.wait_loaded()
            self.assertEqual(vm.quit(), 0)

    def test_a_load_is_recorded_and_its_order_prefetches(self):
        tested = machine.HUGETLB
        path = snapshot(machine.MEMFD)
        order = self.tmp / "vm.order"
        vm = self.loadvm(tested, "--record", order, "--record-for", "5",
                         path=path)
        vm.connect().wait_running()
        self.assert_right(vm, tested, "GET 1")
        vm.wait_loaded("recording")
        vm.wait_loaded()
        recorded = vm.statistics()
        self.assertEqual(vm.quit(), 0)
        vm = self.loadvm(tested, "--order", order, "--wait", "hot",
                         path=path)
        vm.connect().wait_running()
        self.assert_right(vm, tested, "GET 1")
        loaded = vm.statistics()
        self.assertLess(loaded["demand-faults"],
                        recorded["demand-faults"] / 4)
        self.assertEqual(vm.quit(), 0)

    def test_pages_of_1_gib_are_loaded_before_the_guest_runs(self):
        pool = host.HugetlbPool(1 << 20)
        self.addCleanup(pool.close)
        self.skip_if(pool.lacks(1))
        path = snapshot(machine.ONE_GIB)
        tested = machine.HUGETLB_1_GIB
        vm = self.loadvm(tested, "--policy", "demand", path=path,
                         extra=["-S"])
        vm.connect().wait_prepared()
        pages = vm.statistics()["pages"]
        self.assertEqual(pages["by-rest"], pages["in-file"])
        assert_exact(self, vm, tested, path)
        vm.qmp.execute("cont")
        self.assert_right(vm, tested, "SUM")
        self.assertEqual(vm.quit(), 0)

    def test_balloons_are_served(self):
        tested = dataclasses.replace(
            machine.HUGETLB, name="hugetlb-balloon",
            extra=machine.PLAIN_BALLOON.extra,
            kernel_arguments=machine.PLAIN_BALLOON.kernel_arguments)
        path = snapshot(tested)
        vm = self.loadvm(tested, "--policy", "sequential", path=path)
        vm.connect().wait_running()
        vm.balloon(160)
        vm.wait_loaded()
        self.assert_right(vm, tested, "SUM")
        vm.balloon(256)
        self.assert_right(vm, tested, "USE 64")
        self.assert_right(vm, tested, "SUM")
        self.assertEqual(vm.quit(), 0)

    def test_a_file_with_contents_is_refused_where_they_would_show(self):
        directory = self.mount()
        with open(directory / "ram", "w+b") as file:
            file.truncate(256 << 20)
            # No write() on hugetlbfs.
            subprocess.run(["fallocate", "-l", "2M", directory / "ram"],
                           check=True)
        tested = dataclasses.replace(
            machine.HUGETLB_FILE,
            memory=tuple(arg.replace("share=on", "share=off")
                         for arg in machine.HUGETLB_FILE.memory))
        vm = self.loadvm(tested, path=snapshot(machine.MEMFD))
        self.assertEqual(vm.process.wait(), 1)
        self.assertIn("hugetlbfs that has contents", vm.process.stderr)
        self.assertIn("share=on", vm.process.stderr)

    def test_a_profile_is_refused_and_a_save_works(self):
        tested = machine.HUGETLB
        vm = self.loadvm(tested, path=snapshot(machine.MEMFD))
        vm.connect().wait_running()
        vm.wait_loaded()
        path = self.tmp / "vm.snap"
        save = self.run_preheat("savevm", "--qmp", vm.qmp_path, "--output",
                                path, "--profile=1", status=1)
        self.assertIn("the snapshot is complete", save.stderr)
        self.assertIn("reserved huge pages (hugetlb)", save.stderr)
        self.assertIn("preheat loadvm --record", save.stderr)
        self.assert_right(vm, tested, "SUM")
        self.assertEqual(vm.quit(), 0)

    def test_a_clone_of_a_template_is_refused(self):
        path = snapshot(machine.MEMFD)
        socket = self.tmp / "template.sock"
        template = self.preheat("template", "start", path, "--socket", socket)
        template.wait_for_text("every page is there")
        vm = self.loadvm(machine.HUGETLB, "--template", socket, path=path)
        self.assertEqual(vm.process.wait(), 1)
        self.assertIn("reserved huge pages (hugetlb)", vm.process.stderr)
        self.assertIn("without --template", vm.process.stderr)
