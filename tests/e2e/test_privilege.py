# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU that gives up its user or its root, and what one keeps open."""

import os
import pathlib
import re

from harness import host, machine
from harness.case import Case, recorded_order
from harness.processes import Deadline

TESTED = machine.SMALL


def user_of(pid):
    """The effective user ID of a process."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("\nUid:")[2].split()[1])


class Privilege(Case):

    def setUp(self):
        super().setUp()
        self.skip_if(host.lacks_root())

    def check(self, run_with, *options):
        vm = self.loadvm(TESTED, *options, extra=["-run-with", run_with])
        vm.connect().wait_running()
        self.assert_right(vm, TESTED, "SUM")
        vm.wait_loaded()
        return vm

    def test_a_qemu_that_changes_its_user_is_loaded(self):
        vm = self.check("user=nobody")
        self.assertNotEqual(user_of(vm.qemu_pid), 0)
        self.assertEqual(vm.quit(), 0)

    def test_a_qemu_that_changes_its_user_replays_an_order(self):
        self.check("user=nobody", "--order", recorded_order(self, TESTED))

    def test_a_qemu_that_changes_its_root_is_loaded(self):
        root = self.tmp / "root"
        root.mkdir()
        vm = self.check(f"chroot={root}")
        self.assertEqual(os.readlink(f"/proc/{vm.qemu_pid}/root"), str(root))
        self.assertEqual(vm.quit(), 0)

    def test_statistics_go_where_they_would_have_without_a_new_root(self):
        root = self.tmp / "root"
        root.mkdir()
        stats = self.tmp / "stats.json"
        vm = self.check(f"chroot={root}", "--stats", stats)
        self.assertEqual(vm.quit(), 0)
        self.assertEqual(self.read_json(stats)["state"], "loaded")

    def test_a_full_load_into_a_new_root_works(self):
        root = self.tmp / "root"
        root.mkdir()
        vm = self.loadvm(TESTED, "--policy", "full",
                         extra=["-run-with", f"chroot={root}", "-S"])
        vm.connect().wait_prepared()
        vm.qmp.execute("cont")
        self.assert_right(vm, TESTED, "GET 1")


class Afterwards(Case):

    def opened(self, vm):
        """What QEMU has open, as /proc tells it, without numbers."""
        found = []
        for fd in pathlib.Path(f"/proc/{vm.qemu_pid}/fd").iterdir():
            try:
                target = os.readlink(fd)
            except FileNotFoundError:
                continue  # closed meanwhile
            target = target.replace(vm.name, "vm")
            found.append(re.sub(r":\[\d+\]", "", target))
        return sorted(found)

    def opened_in_the_end(self, vm):
        """The same, once nothing of the load is open any more: QEMU closes the
        snapshot a moment after it says that it has read it."""
        deadline = Deadline()
        while True:
            opened = self.opened(vm)
            if not any(kind in " ".join(opened) for kind in
                       ("userfaultfd", "memfd", ".snap", "small-")):
                return opened
            deadline.left(f"the load's files to be closed: {opened}")

    def test_a_loaded_qemu_has_open_what_one_that_loads_in_full_has(self):
        full = self.loadvm(TESTED, "--policy", "full", extra=["-S"])
        full.connect().wait_prepared()
        lazy = self.loadvm(TESTED, "--wait", "all", extra=["-S"])
        lazy.connect().wait_prepared().wait_loaded()
        expected = self.opened_in_the_end(full)
        # Closed a moment after everything is loaded.
        deadline = Deadline()
        while self.opened(lazy) != expected:
            try:
                deadline.left("files to be closed")
            except TimeoutError:
                self.assertEqual(self.opened(lazy), expected)
