# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""A load that nobody watches over, and a QEMU that only a kill can end."""

import os
import pathlib
import signal
import socket

from harness import config, host
from harness.faultysnapshot import TESTED, FaultyCase
from harness.processes import Deadline, wait_for_end, wait_readable

SYSTEM_LOG = pathlib.Path("/dev/log")


class SystemLog:
    """Takes the place of the system's log, where there is none."""

    @staticmethod
    def lacks():
        if SYSTEM_LOG.exists():
            return "the system has a log, which a test does not read"
        return host.lacks_root()

    def __init__(self):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(SYSTEM_LOG))
        self._text = ""

    def wait_for(self, text):
        deadline = Deadline()
        while text not in self._text:
            wait_readable([self._socket], f"'{text}' in the log", deadline)
            self._text += self._socket.recv(65536).decode() + "\n"
        return self._text

    def close(self):
        self._socket.close()
        SYSTEM_LOG.unlink()


class Alone(FaultyCase):

    def load(self, *options, **virtual):
        return self.loadvm(TESTED, "--policy", "demand", *options,
                           path=self.file.path, **virtual)

    def fail_everything(self):
        self.file.fail(0, self.file.path.stat().st_size)

    def miss_page(self, vm):
        """Have the guest wait for a page; who has asked it for that."""
        control = vm.control()
        # Asked for while QEMU still answers.
        vm.port()
        self.fail_everything()
        client = vm.start_request("SUM", TESTED.store_mib)
        control.wait_event("PREHEAT_READ_ERROR")
        control.close()
        return client

    def end(self, client):
        """The client waits for a guest that is gone."""
        client.kill()
        client.communicate()

    def control(self, vm, command):
        return self.run_preheat("control", "--pid", vm.qemu_pid, command)

    def daemon(self, *options):
        vm = self.load(*options, extra=["-daemonize"])
        vm.connect().wait_running()
        self.assertEqual(vm.process.wait(), 0)
        return vm

    def test_a_daemon_that_misses_a_page_tells_the_log_and_can_go_on(self):
        self.skip_if(SystemLog.lacks())
        log = SystemLog()
        self.addCleanup(log.close)
        vm = self.daemon()
        client = self.miss_page(vm)
        said = log.wait_for(f"preheat control --pid {vm.qemu_pid} retry")
        self.assertIn(f"preheat control --pid {vm.qemu_pid} quit", said)
        self.assertIn(str(self.file.path), said)
        self.assertIn("Input/output error", said)
        self.file.mend()
        self.control(vm, "retry")
        out, err = client.communicate()
        self.assertEqual(client.returncode, 0, out + err)

    def test_a_daemon_that_misses_a_page_can_be_ended(self):
        stats = self.tmp / "stats.json"
        vm = self.daemon("--stats", stats)
        client = self.miss_page(vm)
        self.control(vm, "quit")
        wait_for_end(vm.qemu_pid, "QEMU")
        self.assertEqual(self.read_json(stats)["state"], "failed")
        self.end(client)

    def test_quit_ends_a_qemu_that_can_be_ended_otherwise_too(self):
        vm = self.daemon()
        self.control(vm, "quit")
        wait_for_end(vm.qemu_pid, "QEMU")

    def test_a_qemu_whose_monitor_waits_is_ended_with_its_preheat(self):
        vm = self.load().connect().wait_running()
        client = self.miss_page(vm)
        vm.process.kill(signal.SIGKILL)
        vm.process.wait()
        wait_for_end(vm.qemu_pid, "QEMU")
        self.assertIn("cannot end with preheat by itself", vm.process.stderr)
        self.end(client)

    def test_a_qemu_ends_when_preheat_goes_before_it_has_begun(self):
        script = self.tmp / "stopping-qemu"
        script.write_text("#!/bin/sh\nkill -STOP $PPID\n"
                          f"exec {config.QEMU} \"$@\"\n")
        script.chmod(0o755)
        vm = self.load(extra=["-daemonize"], qemu=script).connect()
        self.assertTrue(os.path.exists(f"/proc/{vm.qemu_pid}"))
        vm.process.kill(signal.SIGKILL)
        vm.process.wait()
        wait_for_end(vm.qemu_pid, "QEMU")
