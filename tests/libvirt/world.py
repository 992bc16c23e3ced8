# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian with stock libvirt and QEMU, and with preheat's package.

What runs here is root of a system of its own, with a /dev of its own
(tests/libvirt/enter); whatever it starts ends with it.
"""

import grp
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

TEST = pathlib.Path("/test")
LIBVIRT_CONF = pathlib.Path("/etc/libvirt/qemu.conf")
HOOK = pathlib.Path("/usr/share/preheat/libvirt/qemu-hook")
INSTALLED_HOOK = pathlib.Path("/etc/libvirt/hooks/qemu.d/preheat")
LISTED = pathlib.Path("/etc/preheat/libvirt-domains")
RULES = pathlib.Path("/usr/lib/udev/rules.d/60-preheat.rules")
DEVICE = pathlib.Path("/dev/userfaultfd")
ORDERS = pathlib.Path("/var/lib/preheat/libvirt")
SERIAL = pathlib.Path("/var/log/vm.serial")
LOG = pathlib.Path("/var/log/libvirt/qemu/vm.log")
STORE_MIB = 64
DEADLINE_S = 120

# A container has neither cgroups nor a security driver to give away.
SETTINGS = """
save_image_format = "sparse"
cgroup_controllers = []
namespaces = []
security_driver = "none"
stdio_handler = "file"
"""

DOMAIN = """
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>vm</name>
  <metadata>
    <preheat:load xmlns:preheat='urn:preheat:libvirt:1'/>
  </metadata>
  <memory unit='MiB'>256</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>/test/vmlinuz</kernel>
    <initrd>/test/initrd.gz</initrd>
    <cmdline>console=ttyS0 quiet store_mib=64</cmdline>
  </os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <serial type='file'><source path='/var/log/vm.serial'/></serial>
    <memballoon model='virtio'/>
  </devices>
  <qemu:commandline>
    <qemu:arg value='-netdev'/>
    <qemu:arg value='user,id=net,hostfwd=tcp:127.0.0.1:0-:7'/>
    <qemu:arg value='-device'/>
    <qemu:arg value='virtio-net-pci,netdev=net,romfile=,addr=0x10'/>
  </qemu:commandline>
</domain>
"""


def run(*argv, check=True, **options):
    """What a program says; AssertionError where it fails."""
    ran = subprocess.run([str(arg) for arg in argv], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, **options)
    if check and ran.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, argv))}: status "
                             f"{ran.returncode}\n{ran.stdout}")
    return ran.stdout


def virsh(*argv, **options):
    return run("virsh", *argv, **options)


def until(what, condition):
    """Wait until condition() is true; returns what it says."""
    end = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {DEADLINE_S} s")
        time.sleep(0.05)
    return value


class Daemon:
    """libvirt's daemon, without an init system."""

    def __init__(self):
        self._process = None

    def start(self):
        self._process = subprocess.Popen(
            ["libvirtd"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("libvirtd answers",
              lambda: "Running hypervisor" in virsh("version", check=False))

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(DEADLINE_S)

    def restart(self):
        self.stop()
        self.start()


DAEMON = Daemon()


def install_package():
    package, = TEST.glob("preheat_*.deb")
    run("apt-get", "-qq", "update")
    run("apt-get", "-qq", "-y", "--no-install-recommends", "install", package)


def allow_userfaultfd(allowed=True):
    """As udev does by the package's rule; or as the kernel makes it."""
    rule = re.search(r'KERNEL=="userfaultfd".*GROUP="(\w+)", MODE="(\d+)"',
                     RULES.read_text())
    group, mode = (rule[1], int(rule[2], 8)) if allowed else ("root", 0o600)
    os.chown(DEVICE, 0, grp.getgrnam(group).gr_gid)
    DEVICE.chmod(mode)


def set_up():
    """Install, configure, and save a domain that has preheat restore it."""
    install_package()
    allow_userfaultfd()
    with LIBVIRT_CONF.open("a") as conf:
        conf.write(SETTINGS)
    INSTALLED_HOOK.parent.mkdir(parents=True)
    shutil.copy(HOOK, INSTALLED_HOOK)
    DAEMON.start()
    (TEST / "vm.xml").write_text(DOMAIN)
    virsh("define", TEST / "vm.xml")
    virsh("start", "vm")
    until("the guest is up", lambda: "preheat-guest: ready" in serial())
    virsh("save", "vm", TEST / "vm.save")


def serial():
    return SERIAL.read_text(errors="replace") if SERIAL.exists() else ""


def image(name):
    """A copy of the saved domain, without an order."""
    path = TEST / name
    run("cp", "--sparse=always", TEST / "vm.save", path)
    for order in (pathlib.Path(f"{path}.order"), order_of(path)):
        order.unlink(missing_ok=True)
    return path


def order_of(path):
    """Where the order of an image is that QEMU may not write beside."""
    return ORDERS / (str(path)[1:].replace("/", "%") + ".order")


class Guest:
    """The domain, restored."""

    def __init__(self, restore):
        before = LOG.stat().st_size if LOG.exists() else 0
        restore()
        self.log_start = before
        self.pid = int(pathlib.Path("/run/libvirt/qemu/vm.pid").read_text())
        self._puts = []

    @property
    def log(self):
        """What its QEMU has said."""
        with LOG.open() as log:
            log.seek(self.log_start)
            return log.read()

    def start_asking(self, request):
        """A client that puts request to the guest, and checks the answer."""
        match = re.search(
            r"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)",
            virsh("qemu-monitor-command", "vm", "--hmp", "info usernet"))
        return subprocess.Popen(
            [TEST / "preheat-guest-client", f"--port={match[1]}",
             f"--timeout={DEADLINE_S}", f"--store-mib={STORE_MIB}",
             *(f"--put={key}" for key in self._puts), request],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def ask(self, request):
        """Have the guest answer, and see that it is right."""
        answer = self.start_asking(request).communicate()[0]
        assert '"right": true' in answer, f"{request}: {answer}"
        if request.startswith("PUT "):
            self._puts.append(request.removeprefix("PUT "))

    def has_put(self, other):
        """What was changed in the guest that this one was saved from."""
        self._puts = list(other._puts)

    def control(self, *command):
        return json.loads(run("preheat", "control", f"--pid={self.pid}",
                              *command))

    def statistics(self):
        return self.control("query-preheat")

    def load_rest(self):
        """Have all loaded, and its order written."""
        self.control("load-rest")
        self.control("wait", '{"for": "recording"}')
        self.control("wait", '{"for": "all"}')

    def threads(self):
        return {comm.read_text().strip() for comm in
                pathlib.Path(f"/proc/{self.pid}/task").glob("*/comm")}

    def files(self):
        found = []
        for fd in pathlib.Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                found.append(os.readlink(fd))
            except FileNotFoundError:
                pass  # closed since it was listed
        return found


def restore(path, *options):
    return Guest(lambda: virsh("restore", path, *options))


def end_domain():
    if "vm" in virsh("list", "--name"):
        virsh("destroy", "vm")
    if "vm" in virsh("list", "--name", "--with-managed-save"):
        virsh("managedsave-remove", "vm")


def as_nobody(*argv, **options):
    """run() for a user who may do nothing in particular."""
    return run("setpriv", "--reuid=nobody", "--regid=nogroup",
               "--clear-groups", *argv, **options)


class Session:
    """The libvirt of an ordinary user, who may open what KVM's users may."""

    def __init__(self):
        run("useradd", "--create-home", "--groups", "kvm", "tester")
        self.home = pathlib.Path("/home/tester")
        self._env = {"HOME": str(self.home), "PATH": os.environ["PATH"],
                     "XDG_RUNTIME_DIR": str(self.home / "run")}
        self.serial = self.home / "serial"
        config = self.home / ".config"
        hooks = config / "libvirt" / "hooks" / "qemu.d"
        hooks.mkdir(parents=True)
        (self.home / "run").mkdir()
        shutil.copy(HOOK, hooks / "preheat")
        (config / "libvirt" / "qemu.conf").write_text(SETTINGS)
        (config / "preheat").mkdir()
        (config / "preheat" / "libvirt-domains").write_text("*\n")
        (self.home / "vm.xml").write_text(
            DOMAIN.replace(str(SERIAL), str(self.serial)))
        run("chown", "-R", "tester:", self.home)
        self._daemon = subprocess.Popen(
            [*self._become(), "libvirtd"], env=self._env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _become(self):
        return ["setpriv", "--reuid=tester", "--regid=tester",
                "--init-groups"]

    def virsh(self, *argv, **options):
        return run(*self._become(), "virsh", "-c", "qemu:///session", *argv,
                   env=self._env, **options)

    def log(self):
        return (self.home / ".cache/libvirt/qemu/log/vm.log").read_text()

    def pid(self):
        return int((self.home / "run/libvirt/qemu/run/vm.pid").read_text())

    def end(self):
        self.virsh("destroy", "vm", check=False)
        self._daemon.terminate()
        self._daemon.wait(DEADLINE_S)
        run("userdel", "tester")
        shutil.rmtree(self.home)


def forget_orders():
    shutil.rmtree(ORDERS, ignore_errors=True)
