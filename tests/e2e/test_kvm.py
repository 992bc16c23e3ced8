# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Under KVM: faults that the kernel raises on the guest's behalf.

The guest is a boot sector, since some hosts' /dev/kvm runs nothing larger.
"""

import os
import subprocess
import unittest

from harness import config, host, machine
from harness.case import Case
from harness.exact import assert_exact
from harness.processes import Deadline
from harness.virtual import Virtual

READY = "ready\n"
PASS = "good\n"
WRONG = "BAD"

PROFILED_SAVES = 5
# What the guest touches between two PASSes, and more.
TOUCHES = 50


def build_boot_sector(directory):
    source = config.SOURCE_DIR / "tests" / "e2e" / "boot-sector.S"
    image = directory / "boot.img"
    subprocess.run(["gcc", "-m16", "-c", "-o", directory / "boot.o", source],
                   check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat",
                    "binary", "-o", image, directory / "boot.o"], check=True)
    return image


@unittest.skipUnless(os.access("/dev/kvm", os.R_OK | os.W_OK),
                     "no /dev/kvm here")
class Kvm(Case):

    ram = machine.Machine("kvm", ("-m", "128M"),
                          machine.pc_ram(128 * machine.MIB))

    def setUp(self):
        super().setUp()
        image = build_boot_sector(self.tmp)
        self.arguments = [
            "-accel", "kvm", "-cpu", "host,-arch-capabilities", "-m", "128M",
            "-no-user-config", "-nodefaults", "-display", "none", "-drive",
            f"file={image},format=raw,if=ide,snapshot=on"]
        self.path = self.tmp / "kvm.snap"
        vm = self.qemu(self.arguments).connect()
        vm.serial.wait_for(READY)
        vm.serial.wait_for(PASS)
        vm.save(self.path)
        vm.quit()

    def load(self, *options, extra=(), path=None):
        self.skip_if(host.lacks_userfaultfd())
        launcher = [config.PREHEAT, "loadvm", "--snapshot",
                    path or self.path, *options, "--"]
        return self._watch(Virtual(self.tmp, [*self.arguments, *extra],
                                   launcher=launcher)).connect()

    def check_runs(self, *options, path=None):
        vm = self.load(*options, path=path)
        vm.serial.wait_for(PASS, times=3)
        self.assertNotIn(WRONG, vm.serial.text)
        faults = vm.statistics()["vcpu-demand-faults"]
        self.assertEqual(vm.quit(), 0)
        return faults

    def test_a_guest_loaded_by_demand_faults_and_is_right(self):
        self.assertGreater(sum(self.check_runs("--policy", "demand")), 50)

    def test_a_guest_loaded_by_sequential_is_right(self):
        self.check_runs("--policy", "sequential")

    def test_a_guest_in_reserved_huge_pages_is_right(self):
        pool = host.HugetlbPool()
        self.addCleanup(pool.close)
        self.skip_if(pool.lacks(64))
        self.arguments += [
            "-machine", "memory-backend=pc.ram", "-object",
            "memory-backend-memfd,id=pc.ram,size=128M,hugetlb=on,"
            "hugetlbsize=2M,share=off"]
        for policy in "demand", "sequential":
            self.check_runs("--policy", policy)

    def test_a_guest_that_was_recorded_is_right_by_its_order(self):
        order = self.tmp / "kvm.order"
        vm = self.load("--record", order, "--record-for", "3")
        vm.wait_loaded("recording")
        vm.quit()
        self.check_runs("--order", order)

    def test_clones_are_right(self):
        socket = self.tmp / "template.sock"
        template = self.preheat("template", "start", self.path, "--socket",
                                socket)
        deadline = Deadline()
        while not socket.exists():
            deadline.left(f"the template's socket: {template.describe()}")
        vms = [self.load("--template", socket) for _ in range(2)]
        for vm in vms:
            vm.serial.wait_for(PASS, times=3)
            self.assertNotIn(WRONG, vm.serial.text)
            vm.wait_loaded()
        for vm in vms:
            vm.serial.wait_for(PASS, times=6)
            self.assertNotIn(WRONG, vm.serial.text)
            self.assertEqual(vm.quit(), 0)

    def profiled_saves(self, *memory):
        """Profiled saves of a guest that checks its memory meanwhile."""
        self.skip_if(host.lacks_userfaultfd())
        vm = self.qemu([*self.arguments, *memory],
                       launcher=[config.PREHEAT, "run", "--"]).connect()
        path = self.tmp / "profiled.snap"
        for i in range(PROFILED_SAVES):
            vm.serial.wait_for(PASS, times=2 * i + 1)
            self.profiled_save(vm, path, TOUCHES)
        vm.serial.wait_for(PASS, times=2 * PROFILED_SAVES + 1)
        self.assertNotIn(WRONG, vm.serial.text)
        vm.quit()
        return path

    def test_profiled_saves_leave_memory_right(self):
        path = self.profiled_saves()
        self.check_runs("--order", f"{path}.order", path=path)

    def test_profiled_saves_leave_shared_memory_right(self):
        self.profiled_saves(
            "-machine", "memory-backend=mem", "-object",
            "memory-backend-memfd,id=mem,size=128M,share=on")

    def test_ram_is_exact_while_it_loads(self):
        vm = self.load("--policy", "demand", extra=["-S"]).wait_prepared()
        assert_exact(self, vm, self.ram, path=self.path)
