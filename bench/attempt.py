# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""One load under the clock, whoever does it."""

import time

import usage
from harness.processes import Process, wait_for_end
from harness.virtual import Virtual
from saved import end


def now_us():
    return time.monotonic_ns() // 1000


class Attempt:
    """The clock, the processes and what was noted, until end() is called.

    The clock starts when this is made.

    meet       waits until all loads that were begun at once have come so far
    """

    def __init__(self, saved, tmp, cold, meet=lambda: None):
        self.saved = saved
        self.tmp = tmp
        self.cold = cold
        self.meet = meet
        self.vm = None
        self.control = None  # to a peer inside QEMU
        self.noted = {}
        self._helpers = []
        self._helpers_s = 0
        self._left_out_s = 0
        self._start_us = now_us()

    def ms(self, at_us):
        return (at_us - self._start_us) / 1000

    def note(self, key, at_us=None):
        """Note a moment, by default this one, in milliseconds."""
        self.noted[key] = self.ms(at_us or now_us())

    def moment(self):
        """For leave_out()."""
        return now_us(), usage.processor_s(self.vm.qemu_pid)

    def leave_out(self, since):
        """What has been done since that moment does not count."""
        since_us, since_s = since
        self._start_us += now_us() - since_us
        self._left_out_s += usage.processor_s(self.vm.qemu_pid) - since_s

    def launch(self, launcher=(), extra=()):
        """QEMU, started by a launcher or alone; not yet connected."""
        machine = self.saved.workload.machine
        self.vm = Virtual(self.tmp, [*machine.arguments(self.tmp), *extra],
                          launcher=launcher, serial=False)
        return self.vm

    def help(self, argv):
        """A program that takes part in the load."""
        self._helpers.append(Process(argv, self.tmp,
                                     f"helper{len(self._helpers)}"))

    def wait_helpers(self):
        while self._helpers:
            helper = self._helpers.pop(0)
            wait_for_end(helper.pid, helper.name)
            self._helpers_s += usage.processor_s(helper.pid)
            if helper.wait() != 0:
                raise RuntimeError(helper.describe())

    def processor_s(self):
        """The time that preheat and QEMU have taken until now."""
        self.wait_helpers()
        pids = {self.vm.process.pid, self.vm.qemu_pid}
        return (self._helpers_s - self._left_out_s +
                sum(map(usage.processor_s, pids)))

    def usage(self):
        """What preheat and QEMU have taken until now."""
        return {"processor-s": self.processor_s(),
                **usage.memory(self.vm.qemu_pid)}

    def end(self):
        """End QEMU, if there is one."""
        if self.control is not None:
            self.control.close()
        if self.vm is not None and self.vm.qmp is not None:
            end(self.vm)
