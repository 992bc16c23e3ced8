# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""What is loaded is the file that was opened, whatever has its name later."""

import shutil

from harness import config, machine
from harness.case import Case
from harness.exact import assert_exact
from harness.snapshots import snapshot

# Of a page that is in the file, and of the state of the guest's devices.
GARBAGE = b"\xa5" * 4096


class Opened(Case):

    def swapping_qemu(self, other, path):
        """A QEMU that moves other over path before it starts."""
        script = self.tmp / "swapping-qemu"
        script.write_text(f"#!/bin/sh\nmv '{other}' '{path}' || exit 99\n"
                          f"exec {config.QEMU} \"$@\"\n")
        script.chmod(0o755)
        return script

    def check(self, *options):
        path = self.tmp / "vm.snap"
        other = self.tmp / "other.snap"
        shutil.copy(snapshot(machine.SMALL), path)
        # As a save does: a new file takes the name.
        other.write_bytes(GARBAGE * 1024)
        vm = self.loadvm(machine.SMALL, *options, path=path, extra=["-S"],
                         qemu=self.swapping_qemu(other, path))
        vm.connect().wait_prepared()
        self.assertEqual(path.stat().st_size, len(GARBAGE) * 1024)
        assert_exact(self, vm, machine.SMALL)

    def test_a_snapshot_replaced_before_qemu_starts_is_still_loaded(self):
        self.check()

    def test_a_snapshot_replaced_before_a_full_load_is_still_loaded(self):
        self.check("--policy", "full")
