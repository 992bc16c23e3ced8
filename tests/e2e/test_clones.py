# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Many clones that all write, of a template that comes and goes."""

import concurrent.futures
import os
import pathlib
import signal
import threading

from harness.exact import assert_memory_exact, assert_unwritten_exact
from harness.faultysnapshot import (PAGE_BYTES, TESTED, FaultyCase,
                                    unneeded_pages)
from harness.processes import Deadline
from harness.snapshots import digest, snapshot
from test_template import TemplateCase

N_CLONES = 16

WAITS = "has taken"

# plugin/pager: of one read ahead.
MAX_READ_PAGES = 256

# Of its 65536 pages a guest has written what it was told to, and not most.
MIN_WRITTEN = 5000
MAX_WRITTEN = 30000


def open_memory(pid, length):
    """The memory of that length that the template with that process ID
    holds, whether it goes on or not."""
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        if (os.readlink(fd).startswith("/memfd:preheat-template") and
                fd.stat().st_size == length):
            return open(fd, "rb")
    raise FileNotFoundError(f"no memory of {length} bytes in process {pid}")


class ManyClones(FaultyCase, TemplateCase):

    def setUp(self):
        super().setUp()
        # No key's request needs the page that holds the template up.
        self.keys = range(N_CLONES)
        self.page, = unneeded_pages(1, self.keys)
        self.puts = {key: [] for key in self.keys}

    def clone(self, *options, **virtual):
        return super().clone(*options, path=self.file.path, **virtual)

    def put(self, vm, key):
        self.assert_right(vm, TESTED, f"PUT {key}")
        self.puts[key].append(key)

    def write(self, vm, key):
        """Pages that were read before, and others that were not."""
        self.put(vm, key)
        self.assert_right(vm, TESTED, f"GET {key}", puts=self.puts[key])
        self.put(vm, key)

    def check(self, vm, key):
        self.assert_right(vm, TESTED, "SUM", puts=self.puts[key])

    def for_all(self, do, vms):
        """Do it with all clones at the same time."""
        with concurrent.futures.ThreadPoolExecutor(len(vms)) as pool:
            list(pool.map(do, vms.values(), vms.keys()))

    def filling_template(self):
        """A template that lacks a page until the file is mended."""
        self.file.hang(self.page, self.page + PAGE_BYTES)
        return self.template(path=self.file.path)

    def wait_nearly_full(self):
        """Wait until the template lacks no more than what is read at once with
        the missing page."""
        deadline = Deadline()
        pages = self.status()["pages"]
        while pages["in-file"] - pages["in"] > MAX_READ_PAGES:
            deadline.left(f"a template that is nearly full: {pages}")
            pages = self.status()["pages"]

    def kill_one(self, vm):
        """Kill a clone that needs the missing page."""
        client = vm.start_request("SUM", TESTED.store_mib)
        os.kill(vm.qemu_pid, signal.SIGKILL)
        client.kill()
        client.communicate()

    def start(self, count):
        """That many clones, which run; by their keys."""
        vms = {key: self.clone() for key in self.keys[:count]}
        self.for_all(lambda vm, _: vm.connect().wait_running(), vms)
        return vms

    def write_while(self, vms, disturb):
        """All clones write; something happens once the first has written."""
        begun = threading.Event()

        def write(vm, key):
            try:
                self.put(vm, key)
            finally:
                begun.set()
            self.write(vm, key)

        with concurrent.futures.ThreadPoolExecutor(len(vms)) as pool:
            writing = [pool.submit(write, vm, key) for key, vm in vms.items()]
            begun.wait()
            disturb()
            for one in writing:
                one.result()

    def test_sixteen_that_write_have_their_own_and_the_snapshots_pages(self):
        before = digest(snapshot(TESTED))
        template = self.filling_template()
        memory = open_memory(template.pid, 256 << 20)
        self.addCleanup(memory.close)
        vms = self.start(N_CLONES)
        killed = vms.pop(self.keys[-1])
        self.write_while(vms, lambda: self.kill_one(killed))
        self.assertEqual(self.status()["state"], "filling")
        self.file.mend()
        template.wait_for_text("every page is there")
        self.for_all(self.check, vms)

        def kill_template():
            template.kill()
            template.wait()

        self.write_while(vms, kill_template)
        self.for_all(self.check, vms)
        for vm in vms.values():
            vm.qmp.execute("stop")
            n_written = assert_unwritten_exact(self, vm, TESTED)
            self.assertIn(n_written, range(MIN_WRITTEN, MAX_WRITTEN))
        assert_memory_exact(self, memory, TESTED)
        self.assertEqual(digest(snapshot(TESTED)), before)

    def test_clones_that_wait_for_a_stopped_template_go_on_when_it_does(self):
        template = self.filling_template()
        vms = self.start(4)
        # Then their monitors need no page that is not there.
        self.for_all(self.put, vms)
        self.wait_nearly_full()
        template.kill(signal.SIGSTOP)
        clients = [vm.start_request("SUM", TESTED.store_mib, self.puts[key])
                   for key, vm in vms.items()]
        for vm in vms.values():
            vm.process.wait_for_text(WAITS)
        # One that would be a clone can be ended, and one that is one killed.
        gone = self.clone()
        gone.process.kill(signal.SIGTERM)
        gone.process.wait()
        os.kill(vms[self.keys[0]].qemu_pid, signal.SIGKILL)
        self.file.mend()
        template.kill(signal.SIGCONT)
        template.wait_for_text("every page is there")
        for client in clients[1:]:
            self.assert_answers(client)
        clients[0].kill()
        clients[0].communicate()
