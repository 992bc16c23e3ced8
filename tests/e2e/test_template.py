# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Many machines from one snapshot: preheat template."""

import concurrent.futures
import json
import pathlib
import re
import shutil
import signal
import subprocess

from harness import config, machine
from harness.case import Case, recorded_order
from harness.exact import assert_exact
from harness.faultysnapshot import (FAILED, PAGE_BYTES, STOPPED, TESTED,
                                    FaultyCase, unneeded_pages)
from harness.mappedram import MappedRam
from harness.processes import Deadline
from harness.snapshots import digest, snapshot

ENDED = "the template that its pages come from has ended"


def pss_kib(pid):
    """What of memory falls to the process's share."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE).group(1))


class TemplateCase(Case):

    def template(self, *options, path=None, tested=TESTED, before=()):
        """Start a template; its socket can be connected to."""
        self.socket = self.tmp / "template.sock"
        process = self.preheat("template", "start", path or snapshot(tested),
                               "--socket", self.socket, *options,
                               before=before)
        deadline = Deadline()
        while not self.socket.exists():
            deadline.left(f"the template's socket: {process.describe()}")
        return process

    def status(self):
        return json.loads(
            self.run_preheat("template", "status", self.socket).stdout)

    def full_template(self, *options, **template):
        process = self.template(*options, **template)
        process.wait_for_text("every page is there")
        return process

    def clone(self, *options, tested=TESTED, **virtual):
        return self.loadvm(tested, "--template", self.socket, *options,
                           **virtual)

    def running_clone(self, *options, **virtual):
        return self.clone(*options, **virtual).connect().wait_running()

    def assert_refused(self, *words, options=(), extra=(), tested=TESTED):
        vm = self.clone(*options, tested=tested, extra=extra)
        self.assertEqual(vm.process.wait(), 1, vm.process.describe())
        for word in words:
            self.assertIn(word, vm.process.stderr)


class Template(TemplateCase):

    def test_ram_read_while_the_template_fills_is_exact(self):
        self.template()
        vm = self.clone(extra=["-S"]).connect().wait_prepared()
        assert_exact(self, vm, TESTED)

    def test_ram_mapped_from_a_full_template_is_exact(self):
        self.full_template()
        vm = self.clone(extra=["-S"]).connect().wait_prepared()
        assert_exact(self, vm, TESTED)

    def write_and_check(self, vm, key):
        """The guest writes scattered pages of its store, and reads it all."""
        for times in range(1, 4):
            self.assert_right(vm, TESTED, f"PUT {key}")
            self.assert_right(vm, TESTED, "SUM", puts=[key] * times)

    def write_at_once(self, count):
        vms = [self.clone() for _ in range(count)]
        for vm in vms:
            vm.connect().wait_running()
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            list(pool.map(self.write_and_check, vms, range(count)))
        return vms

    def test_two_clones_of_a_template_that_fills_write_at_the_same_time(self):
        self.template()
        for vm in self.write_at_once(2):
            self.assertEqual(vm.quit(), 0)

    def test_eight_clones_that_write_share_what_they_have_not_written(self):
        before = digest(snapshot(TESTED))
        self.full_template()
        vms = self.write_at_once(8)
        status = self.status()
        self.assertEqual(status["state"], "full")
        self.assertEqual(status["pages"]["in"], status["pages"]["in-file"])
        self.assertEqual({vm.qemu_pid for vm in vms},
                         {clone["pid"] for clone in status["clones"]})
        pss = sum(pss_kib(vm.qemu_pid) for vm in vms) << 10
        own = sum(vm.anonymous_bytes() for vm in vms)
        # All private memory there is, one image, and QEMU's program text.
        self.assertLess(pss, status["shared-bytes"] + own + (64 << 20))
        # Each has touched all of its store, and changed a part.
        self.assertGreater(status["saved-bytes"], status["shared-bytes"])
        # One more has all that the others have not changed.
        vm = self.clone(extra=["-S"]).connect().wait_prepared()
        assert_exact(self, vm, TESTED)
        self.assertEqual(digest(snapshot(TESTED)), before)

    def test_pages_come_in_the_order_that_the_template_was_given(self):
        self.full_template("--order", recorded_order(self, TESTED))
        load = self.status()["load"]
        self.assertGreater(load["pages"]["by-order"], 1000)
        self.running_clone()

    def test_a_clone_waits_for_all_pages_where_that_is_asked_for(self):
        self.template()
        vm = self.running_clone("--wait", "all")
        self.assertEqual(vm.statistics()["state"], "loaded")
        self.assert_right(vm, TESTED, "SUM")

    def test_ram_of_two_blocks_above_four_gib_is_exact(self):
        tested = machine.EIGHT_GIB
        self.template(tested=tested)
        vm = self.clone(tested=tested, extra=["-S"])
        vm.connect().wait_prepared()
        assert_exact(self, vm, tested, n_samples=200)

    def test_a_clone_goes_on_when_it_has_its_pages_and_the_template_ends(self):
        template = self.full_template()
        vm = self.running_clone()
        vm.wait_loaded()
        template.kill()
        template.wait()
        self.assert_right(vm, TESTED, "SUM")
        self.write_and_check(vm, 1)
        self.assertEqual(vm.quit(), 0)

    def test_a_template_that_is_stopped_takes_its_socket_with_it(self):
        template = self.full_template()
        vm = self.running_clone()
        self.run_preheat("template", "stop", self.socket)
        self.assertEqual(template.wait(), 0)
        self.assertFalse(self.socket.exists())
        self.assert_right(vm, TESTED, "SUM")

    def test_a_template_ends_by_a_signal(self):
        template = self.template()
        template.kill(signal.SIGTERM)
        self.assertEqual(template.wait(), 0)
        self.assertFalse(self.socket.exists())

    def test_only_its_user_may_connect_to_a_template(self):
        self.template()
        self.assertEqual(self.socket.stat().st_mode & 0o777, 0o600)

    def test_a_socket_that_a_killed_template_left_is_taken_over(self):
        template = self.template()
        template.kill()
        template.wait()
        self.assertTrue(self.socket.exists())
        again = self.template()
        again.wait_for_text("every page is there")
        self.running_clone()

    def test_a_socket_that_is_in_use_stays_its_owners(self):
        self.full_template()
        other = self.run_preheat("template", "start", snapshot(TESTED),
                                 "--socket", self.socket, status=1)
        self.assertIn("Address already in use", other.stderr)
        self.running_clone()

    def test_a_qemu_that_waits_becomes_a_clone(self):
        self.template()
        vm = self.qemu([*TESTED.arguments(self.tmp), "-incoming", "defer"],
                       launcher=[config.PREHEAT, "run", "--"]).connect()
        self.run_preheat("loadvm", snapshot(TESTED), "--template",
                         self.socket, "--qmp", vm.qmp_path)
        vm.wait_running()
        self.write_and_check(vm, 4)
        self.assertEqual(self.status()["clones"][0]["pid"], vm.qemu_pid)

    def test_what_a_template_cannot_do_is_told_before_qemu_starts(self):
        self.socket = self.tmp / "template.sock"
        for option in (["--policy", "demand"], ["--order", "x"], ["--learn"],
                       ["--record", "x"], ["--tag", "x"]):
            vm = self.clone(*option)
            self.assertEqual(vm.process.wait(), 2)
            self.assertIn(f"{option[0]} does not go with --template: ",
                          vm.process.stderr)

    def test_a_disk_with_snapshots_makes_no_template(self):
        disk = self.tmp / "disk.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "1M"],
                       check=True)
        start = self.run_preheat("template", "start", disk, "--socket",
                                 self.tmp / "template.sock", status=1)
        self.assertIn("save the machine with preheat savevm", start.stderr)

    def test_a_clone_can_be_saved(self):
        self.template()
        vm = self.running_clone()
        self.assert_right(vm, TESTED, "PUT 5")
        path = self.tmp / "clone.snap"
        self.run_preheat("savevm", "--qmp", vm.qmp_path, "--output", path)
        self.assert_right(vm, TESTED, "SUM", puts=[5])
        self.assertEqual(vm.quit(), 0)
        saved = self.loadvm(TESTED, path=path).connect().wait_running()
        self.assert_right(saved, TESTED, "SUM", puts=[5])

    def test_a_clone_cannot_be_profiled_and_is_told_so(self):
        self.full_template()
        vm = self.running_clone()
        path = self.tmp / "clone.snap"
        save = self.run_preheat("savevm", "--qmp", vm.qmp_path, "--output",
                                path, "--profile", status=1)
        self.assertIn("this machine is a clone", save.stderr)
        self.assert_right(vm, TESTED, "SUM")

    def test_a_clone_can_be_migrated_while_the_template_fills(self):
        self.template()
        vm = self.running_clone()
        self.assert_right(vm, TESTED, "PUT 2")
        path = self.tmp / "socket"
        other = self.qemu([*TESTED.arguments(self.tmp),
                           "-incoming", f"unix:{path}"]).connect()
        vm.qmp.execute("migrate", uri=f"unix:{path}")
        other.wait_running()
        self.assert_right(other, TESTED, "SUM", puts=[2])

    def test_a_plain_balloon_may_take_and_give_back(self):
        tested = machine.PLAIN_BALLOON
        self.template(tested=tested)
        vm = self.running_clone(tested=tested)
        vm.balloon(160)
        vm.wait_loaded()
        vm.balloon(256)
        self.assert_right(vm, tested, "USE 96")
        self.assert_right(vm, tested, "SUM")
        self.assertEqual(vm.quit(), 0)

    def test_free_page_reporting_is_refused(self):
        tested = machine.BALLOON
        self.template(tested=tested)
        self.assert_refused("virtio-balloon", "without --template",
                            tested=tested)

    def test_another_snapshot_than_the_templates_is_refused(self):
        copy = self.tmp / "copy.snap"
        shutil.copyfile(snapshot(TESTED), copy)
        self.template(path=copy)
        self.assert_refused("not the file that this template was made from")

    def test_shared_ram_is_refused(self):
        tested = machine.MEMFD
        self.template(tested=tested)
        self.assert_refused("share=on", "without --template", tested=tested)

    def test_where_no_template_listens_no_qemu_is_started(self):
        self.socket = self.tmp / "nothing.sock"
        self.assert_refused("nothing.sock")


class Failing(FaultyCase, TemplateCase):
    """A snapshot some of whose pages cannot be read at first."""

    def setUp(self):
        super().setUp()
        self.page, = unneeded_pages(1)

    def clone(self, *options, **virtual):
        return super().clone(*options, path=self.file.path, **virtual)

    def needs_the_page(self, vm):
        """A client whose request needs the page that is not there."""
        self.assert_right(vm, TESTED, "GET 1")
        return vm.start_request("SUM", TESTED.store_mib)

    def test_clones_that_need_a_page_stop_until_a_retry(self):
        self.fail_pages(self.page)
        template = self.template(path=self.file.path)
        template.wait_for_text(FAILED)
        self.assertEqual(self.status()["state"], "failed")
        vms = [self.running_clone() for _ in range(2)]
        clients = [self.needs_the_page(vm) for vm in vms]
        for vm in vms:
            vm.process.wait_for_text(STOPPED)
        self.file.mend()
        self.run_preheat("control", "--pid", vms[0].qemu_pid, "retry")
        self.assert_answers(clients[0])
        # The page is there now, for all; and it was the last one.
        template.wait_for_text("every page is there")
        self.assert_answers(clients[1])
        for vm in vms:
            vm.wait_loaded()
            self.assertEqual(vm.quit(), 0)

    def test_what_a_template_could_not_read_it_reads_when_told_to(self):
        self.fail_pages(self.page)
        template = self.template(path=self.file.path)
        template.wait_for_text(FAILED)
        self.file.mend()
        self.run_preheat("template", "retry", self.socket)
        template.wait_for_text("every page is there")

    def test_a_read_that_hangs_is_told(self):
        self.file.hang(self.page, self.page + PAGE_BYTES)
        template = self.template(path=self.file.path)
        vm = self.running_clone()
        client = self.needs_the_page(vm)
        for process in template, vm.process:
            process.wait_for_text("s so far, and ")
        self.assertIn(", and clones wait for it", template.stderr)
        self.assertGreater(self.status()["load"]["slow-reads"], 0)
        self.file.mend()
        self.assert_answers(client)

    def test_clones_that_miss_pages_stop_when_the_template_is_killed(self):
        self.file.hang(self.page, self.page + PAGE_BYTES)
        template = self.template(path=self.file.path)
        vms = [self.running_clone() for _ in range(2)]
        client = self.needs_the_page(vms[0])
        template.kill()
        template.wait()
        for vm in vms:
            vm.process.wait_for_text(ENDED)
        # This one does not wait for the page yet, and its monitor answers.
        deadline = Deadline()
        while vms[1].qmp.execute("query-status")["running"]:
            deadline.left("the guest to be stopped")
        for vm in vms:
            self.run_preheat("control", "--pid", vm.qemu_pid, "quit")
            self.assertEqual(vm.process.wait(), 128 + signal.SIGKILL)
        # It may not have heard that its guest has gone.
        client.kill()
        client.communicate()

    def test_a_load_whose_template_is_killed_fails_whatever_qemu_waits_for(
            self):
        with MappedRam(snapshot(TESTED)) as ram:
            block = ram.blocks["pc.ram"]
        self.file.hang(block.pages_offset, block.pages_offset + block.length)
        template = self.template(path=self.file.path)
        vm = self.clone().connect()
        deadline = Deadline()
        # QEMU loads its devices, and needs a page for that.
        while vm.statistics().get("demand-faults", 0) == 0:
            deadline.left("a page that QEMU needs")
        template.kill()
        self.file.mend()
        template.wait()
        self.assertEqual(vm.process.wait(), 1, vm.process.describe())
        self.assertIn(ENDED, vm.process.stderr)
