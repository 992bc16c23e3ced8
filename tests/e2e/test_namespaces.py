# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMUs in containers that share a network namespace."""

import json
import pathlib

from harness import config, host, machine
from harness.case import Case
from harness.virtual import Virtual

# The program that it starts has the process ID 1 there.
CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc"]


def inner_pid(pid):
    """The process ID that pid has in its own namespace."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("\nNSpid:")[2].split("\n")[0].split()[-1])


class Namespaces(Case):

    def contained(self):
        launcher = [*CONTAINER, config.PREHEAT, "run", "--"]
        arguments = [*machine.SMALL.arguments(self.tmp), "-S"]
        return self._watch(Virtual(self.tmp, arguments,
                                   launcher=launcher)).connect()

    def assert_answers(self, *which):
        answer = self.run_preheat("control", *which, "query-preheat").stdout
        self.assertEqual(json.loads(answer), {"state": "idle"})

    def test_two_qemus_with_one_process_id_both_answer(self):
        self.skip_if(host.lacks_root())
        self.skip_if(host.lacks_pid_namespaces())
        vms = [self.contained() for _ in range(2)]
        for vm in vms:
            self.assertEqual(inner_pid(vm.qemu_pid), 1)
            self.assert_answers("--qmp", vm.qmp_path)
            self.assert_answers("--pid", str(vm.qemu_pid))
            self.assertEqual(vm.process.stderr, "")

    def test_a_qemu_that_a_wrapper_puts_into_a_container_is_loaded(self):
        self.skip_if(host.lacks_root())
        self.skip_if(host.lacks_pid_namespaces())
        script = self.tmp / "contained-qemu"
        script.write_text(f"#!/bin/sh\nexec {' '.join(CONTAINER)} "
                          f"{config.QEMU} \"$@\"\n")
        script.chmod(0o755)
        vm = self.loadvm(machine.SMALL, qemu=script).connect().wait_running()
        self.assertEqual(inner_pid(vm.qemu_pid), 1)
        self.assert_right(vm, machine.SMALL, "GET 1")
        self.assertEqual(vm.quit(), 0)
        self.assert_says_no_more(vm.process)
