# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Domains restored by stock libvirt and QEMU, with preheat's package.

    cases.py [WORD...]   only the tests whose name has a WORD
"""

import json
import os
import pathlib
import subprocess
import sys
import time
import unittest

import world
from world import Guest, TEST, image, restore, run, virsh

IN_FULL = "QEMU loads the image in full"
REQUEST = "GET 1"


class Result(unittest.TestResult):
    """Prints each test as it ends."""

    def __init__(self):
        super().__init__()
        self.n_passed = 0
        self._started = time.monotonic()

    def startTest(self, test):
        super().startTest(test)
        self._started = time.monotonic()

    def _print(self, verdict, test, text=""):
        name = test.id().split(".")[-1].removeprefix("test_").replace("_", " ")
        seconds = time.monotonic() - self._started
        print(f"{verdict}  libvirt: {name} ({seconds:.1f} s)", flush=True)
        for line in text.rstrip().splitlines():
            print(f"      {line}", flush=True)

    def addSuccess(self, test):
        self.n_passed += 1
        self._print("ok  ", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._print("skip", test, reason)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        log = [line for line in world.LOG.read_text().splitlines(True)
               if not line.endswith("\\\n")]
        self._print("FAIL", test, self._exc_info_to_string(err, test) +
                    "".join(log[-8:]))

    addError = addFailure


class Restore(unittest.TestCase):
    def setUp(self):
        self.addCleanup(world.end_domain)
        self.addCleanup(world.allow_userfaultfd)
        world.forget_orders()

    def assert_lazy(self, guest):
        self.assertNotIn("preheat:", guest.log)
        self.assertNotEqual(guest.statistics()["state"], "idle")

    def assert_in_full(self, guest, why):
        """… and nothing of preheat's attempt is left."""
        self.assertIn(why, guest.log)
        self.assertIn(IN_FULL, guest.log)
        self.assertFalse(
            [name for name in guest.threads() if name.startswith("preheat-")
             and name != "preheat-control"])

    def assert_out_of_the_way(self, guest, path):
        """Nothing of a load that is over is left but the control socket."""
        world.until("the loading threads have ended", lambda: not [
            name for name in guest.threads() if name.startswith("preheat-")
            and name != "preheat-control"])
        self.assertFalse([name for name in guest.files()
                          if str(path) in name or "userfaultfd" in name])

    def restore_with(self, path, request):
        """Restore, and have all loaded; returns the number of faults."""
        guest = restore(path)
        self.assert_lazy(guest)
        guest.ask(request)
        guest.load_rest()
        faults = guest.statistics()["demand-faults"]
        guest.ask("SUM")
        virsh("destroy", "vm")
        return faults

    def first_restore(self, path, request=REQUEST):
        """The same of an image that has no order yet."""
        self.assertFalse(world.order_of(path).exists())
        return self.restore_with(path, request)

    def test_the_first_restore_records_an_order(self):
        path = image("first.save")
        guest = restore(path)
        self.assert_lazy(guest)
        self.assertEqual(guest.statistics()["state"], "recording")
        guest.ask(REQUEST)
        guest.load_rest()
        guest.ask("SUM")
        self.assertIn("pc.ram",
                      run("preheat", "order", "show", world.order_of(path)))
        self.assert_out_of_the_way(guest, path)

    def test_the_second_restore_follows_it(self):
        path = image("second.save")
        recorded = self.first_restore(path)
        self.assertGreater(recorded, 100)
        self.assertLessEqual(self.restore_with(path, REQUEST), recorded / 10)

    def test_an_order_that_is_old_is_improved(self):
        path = image("old.save")
        self.first_restore(path)
        order = world.order_of(path)
        self.assertNotIn("learned", run("preheat", "order", "stat", order))
        os.utime(order, (0, 0))
        self.restore_with(path, "GET 2")
        self.assertIn("learned", run("preheat", "order", "stat", order))

    def test_an_order_serves_the_next_image_of_that_name(self):
        path = image("next.save")
        recorded = self.first_restore(path)
        guest = restore(path)
        guest.ask("PUT 7")
        guest.load_rest()
        virsh("save", "vm", path)
        again = restore(path)
        again.has_put(guest)
        self.assertIn("recorded for another snapshot", again.log)
        again.ask(REQUEST)
        again.load_rest()
        self.assertLess(again.statistics()["demand-faults"], recorded / 2)
        again.ask("SUM")

    def test_an_order_lies_beside_an_image_where_qemu_may_write(self):
        folder = TEST / "writable"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        path = image("writable/vm.save")
        self.first_restore(path)
        self.assertTrue(pathlib.Path(f"{path}.order").exists())

    def test_without_permission_it_is_restored_in_full(self):
        world.allow_userfaultfd(False)
        path = image("full.save")
        guest = restore(path)
        self.assert_in_full(guest, "userfaultfd is not permitted")
        guest.ask("SUM")
        virsh("save", "vm", TEST / "again.save")

    def test_libvirtd_may_restart_while_it_loads(self):
        guest = restore(image("restart.save"))
        world.DAEMON.restart()
        self.assertEqual(guest.statistics()["state"], "recording")
        self.assertIn("running", virsh("domstate", "vm"))
        virsh("suspend", "vm")
        virsh("domstats", "vm")
        virsh("resume", "vm")
        guest.ask("SUM")

    def test_it_is_saved_again_while_it_loads(self):
        guest = restore(image("twice.save"))
        guest.ask("PUT 3")
        self.assertEqual(guest.statistics()["state"], "recording")
        virsh("save", "vm", TEST / "again.save")
        again = restore(TEST / "again.save")
        again.has_put(guest)
        again.ask("SUM")

    def test_it_is_saved_onto_the_image_that_it_loads_from(self):
        path = image("onto.save")
        guest = restore(path)
        guest.ask("PUT 3")
        self.assertEqual(guest.statistics()["state"], "recording")
        virsh("save", "vm", path)
        again = restore(path)
        again.has_put(guest)
        again.ask("SUM")

    def test_it_is_saved_again_when_all_is_loaded(self):
        guest = restore(image("later.save"))
        guest.ask("PUT 3")
        guest.load_rest()
        virsh("save", "vm", TEST / "again.save")
        again = restore(TEST / "again.save")
        again.has_put(guest)
        again.ask("SUM")

    def test_a_managed_save_starts_lazily(self):
        restore(image("managed.save"))
        virsh("managedsave", "vm")
        guest = Guest(lambda: virsh("start", "vm"))
        self.assert_lazy(guest)
        guest.ask("SUM")

    def test_past_the_page_cache_it_loads_lazily(self):
        guest = restore(image("direct.save"), "--bypass-cache")
        self.assert_lazy(guest)
        guest.ask("SUM")

    def test_with_parallel_channels_it_loads_lazily(self):
        guest = restore(image("parallel.save"), "--parallel-channels", "4")
        self.assert_lazy(guest)
        guest.ask("SUM")

    def test_it_is_restored_paused_and_resumed(self):
        path = image("paused.save")
        guest = restore(path, "--paused")
        self.assertIn("paused", virsh("domstate", "vm"))
        guest.load_rest()
        virsh("resume", "vm")
        guest.ask("SUM")
        self.assert_out_of_the_way(guest, path)

    def test_ten_times_in_a_row(self):
        path = image("ten.save")
        self.first_restore(path)
        for _ in range(10):
            guest = restore(path)
            self.assert_lazy(guest)
            guest.ask(REQUEST)
            virsh("destroy", "vm")

    def test_what_is_written_to_its_image_never_reaches_the_guest(self):
        path = image("cut.save")
        with path.open("r+b") as file:
            # Opened before somebody has a lease on it.
            guest = restore(path)
            file.truncate(1 << 20)
        client = guest.start_asking("SUM")
        world.until("the log tells of it",
                    lambda: "was written to" in guest.log)
        self.assertEqual(guest.statistics()["state"], "failed")
        client.kill()
        self.assertEqual(client.communicate()[0], "")

    def with_xml(self, change):
        """Restore a copy whose XML was changed; returns the guest."""
        path = image("changed.save")
        xml = change(virsh("save-image-dumpxml", path))
        (TEST / "changed.xml").write_text(xml)
        return restore(path, "--xml", TEST / "changed.xml")

    def test_a_device_that_shares_guest_ram_is_restored_in_full(self):
        # What counts is that QEMU has a file of that name open.
        device = pathlib.Path("/dev/udmabuf")
        device.touch()
        device.chmod(0o666)
        self.addCleanup(device.unlink)
        guest = self.with_xml(lambda xml: xml.replace(
            "</qemu:commandline>",
            "<qemu:arg value='-chardev'/>"
            "<qemu:arg value='file,id=open,path=/dev/udmabuf'/>"
            "</qemu:commandline>"))
        self.assert_in_full(guest, "QEMU's open file /dev/udmabuf")
        guest.ask("SUM")

    def test_a_domain_that_does_not_ask_is_left_alone(self):
        def forget(xml):
            start = xml.index("<metadata>")
            end = xml.index("</metadata>") + len("</metadata>")
            return xml[:start] + xml[end:]

        guest = self.with_xml(forget)
        self.assertNotIn("libpreheat-plugin.so", guest.log)
        guest.ask("SUM")
        virsh("destroy", "vm")
        world.LISTED.parent.mkdir(exist_ok=True)
        world.LISTED.write_text("other\nvm\n")
        self.addCleanup(world.LISTED.unlink)
        guest = self.with_xml(forget)
        self.assert_lazy(guest)
        guest.ask("SUM")

    def test_it_is_restored_when_the_package_is_gone(self):
        guest = restore(image("gone.save"))
        self.assert_lazy(guest)
        path = TEST / "again.save"
        virsh("save", "vm", path)
        plugin, = pathlib.Path("/usr/lib").glob(
            "*/preheat/libpreheat-plugin.so")
        away = plugin.rename(TEST / "plugin")
        self.addCleanup(away.rename, plugin)
        guest = restore(path)
        self.assertNotIn("-plugin", guest.log)
        guest.ask("SUM")

    def test_an_image_that_is_not_sparse_is_restored_as_ever(self):
        restore(image("sparse.save"))
        virsh("save", "vm", TEST / "raw.save", "--image-format", "raw")
        guest = restore(TEST / "raw.save")
        self.assert_in_full(guest, "no sparse image")
        guest.ask("SUM")

    def test_a_users_own_libvirt_restores_lazily(self):
        session = world.Session()
        self.addCleanup(session.end)
        world.until("libvirtd answers", lambda: "Running hypervisor" in
                    session.virsh("version", check=False))
        session.virsh("define", session.home / "vm.xml")
        session.virsh("start", "vm")
        world.until("the guest is up", lambda: "preheat-guest: ready" in
                    session.serial.read_text(errors="replace"))
        path = session.home / "vm.save"
        session.virsh("save", "vm", path)
        session.virsh("restore", path)
        self.assertNotIn("preheat:", session.log())
        control = ("preheat", "control", f"--pid={session.pid()}")
        self.assertEqual(json.loads(run(*control, "query-preheat"))["state"],
                         "recording")
        run(*control, "load-rest")
        run(*control, "wait", '{"for": "all"}')
        self.assertTrue(pathlib.Path(f"{path}.order").exists())

    def test_without_preloading_it_is_restored_in_full(self):
        plugin, = pathlib.Path("/usr/lib").glob(
            "*/preheat/libpreheat-plugin.so")
        arguments = "".join(f"<qemu:arg value='{value}'/>" for value in (
            "-plugin", plugin, "-chardev", "null,id=preheat-monitor", "-qmp",
            "chardev:preheat-monitor"))
        away = world.INSTALLED_HOOK.rename(TEST / "hook")
        self.addCleanup(away.rename, world.INSTALLED_HOOK)
        guest = self.with_xml(lambda xml: xml.replace(
            "</qemu:commandline>", f"{arguments}<qemu:env "
            "name='PREHEAT_LIBVIRT' value='1'/></qemu:commandline>"))
        self.assert_in_full(guest, "was not preloaded")
        guest.ask("SUM")


class Package(unittest.TestCase):
    def test_has_all_its_parts(self):
        files = run("dpkg", "-L", "preheat")
        for part in ("/usr/bin/preheat", "/libpreheat-plugin.so",
                     "/man1/preheat.1", "/man1/preheat-loadvm.1",
                     "/bash-completion/completions/preheat",
                     "/60-preheat.rules", "/libvirt-qemu.d/preheat",
                     "/qemu-hook", "/libvirt.md"):
            self.assertIn(part, files)
        self.assertIn("preheat", run("preheat", "--version"))

    def test_what_draws_is_a_package_of_its_own(self):
        self.assertNotIn("cairo", run("dpkg", "-s", "preheat"))
        self.assertNotIn("/preheat/preheat-plot", run("dpkg", "-L", "preheat"))
        package, = TEST.glob("preheat-plot_*.deb")
        self.assertIn("/preheat/preheat-plot", run("dpkg", "-c", package))
        ran = subprocess.run(["preheat", "order", "plot", "a", "-o", "a.svg"],
                             stderr=subprocess.PIPE, text=True)
        self.assertEqual(ran.returncode, 1)
        self.assertIn("install the package preheat-plot", ran.stderr)

    def test_the_hook_says_nothing_where_it_fails(self):
        for xml in ("", "<domain>", "no XML"):
            ran = subprocess.run([world.HOOK, "vm", "restore", "begin", "-"],
                                 input=xml, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
            self.assertEqual((ran.returncode, ran.stdout), (0, ""))
            self.assertIn("preheat's hook", ran.stderr)

    def test_apparmor_takes_what_is_to_be_granted(self):
        profile = TEST / "profile"
        profile.write_text("abi <abi/4.0>,\n#include <tunables/global>\n"
                           "profile preheat-test {\n"
                           "  #include <abstractions/libvirt-qemu>\n}\n")
        rules = run("apparmor_parser", "--skip-kernel-load", "--skip-cache",
                    "--preprocess", profile)
        self.assertIn("/dev/userfaultfd rw,", rules)
        run("apparmor_parser", "--skip-kernel-load", "--skip-cache",
            "--debug", profile)

    def findings(self, text):
        return {finding["name"]: finding for finding in json.loads(text)}

    def test_doctor_tells_root_the_truth(self):
        found = self.findings(run("preheat", "doctor", "--json", check=False))
        for name in ("userfaultfd", "qemu", "qemu-plugin",
                     "libvirt-save-format", "libvirt-userfaultfd",
                     "libvirt-hook"):
            self.assertEqual(found[name]["status"], "ok", found[name])

    def test_doctor_tells_an_ordinary_user_the_truth(self):
        found = self.findings(world.as_nobody("preheat", "doctor", "--json",
                                              check=False))
        self.assertNotEqual(found["userfaultfd"]["status"], "ok")
        self.assertEqual(found["libvirt-userfaultfd"]["status"], "ok")


def main():
    world.set_up()
    suite = unittest.TestSuite(
        test for case in (Package, Restore)
        for test in unittest.defaultTestLoader.loadTestsFromTestCase(case)
        if not sys.argv[1:] or any(word in test.id()
                                   for word in sys.argv[1:]))
    result = Result()
    suite.run(result)
    print(f"{result.n_passed} passed, "
          f"{len(result.failures) + len(result.errors)} failed, "
          f"{len(result.skipped)} skipped", flush=True)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
