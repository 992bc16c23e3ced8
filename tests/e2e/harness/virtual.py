# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""A running virtual machine, started by QEMU alone or by preheat."""

import json
import pathlib
import re
import subprocess
import threading

from . import config
from .jsonsocket import ConnectionLost, Listener, Qmp, control
from .processes import Deadline, Process, memfd_bytes, wait_for_end

READY = "preheat-guest: ready"

# Without `events` QEMU does not tell when a save or a load has ended.
MAPPED_RAM = [{"capability": "mapped-ram", "state": True},
              {"capability": "events", "state": True}]


class Serial:
    """The guest's console: collected, and waited on line by line."""

    def __init__(self, connection):
        self._connection = connection
        self._changed = threading.Condition()
        self._text = ""
        self._ended = False
        self._thread = threading.Thread(target=self._collect)
        self._thread.start()

    def _collect(self):
        received = True
        while received:
            try:
                received = self._connection.recv(4096)
            except OSError:
                received = b""
            with self._changed:
                self._text += received.decode(errors="replace")
                self._ended = not received
                self._changed.notify_all()

    def wait_for(self, marker, times=1, deadline=None):
        """Wait until marker has been printed at least that many times."""
        deadline = deadline or Deadline()
        with self._changed:
            while self._text.count(marker) < times:
                if self._ended:
                    raise ConnectionLost(f"console ended: {self._text}")
                self._changed.wait(deadline.left(f"'{marker}'"))

    @property
    def text(self):
        with self._changed:
            return self._text

    def close(self):
        """To be called once QEMU has ended."""
        self._thread.join()
        self._connection.close()


class Virtual:
    """QEMU with a monitor, a console and, for preheat, a second monitor.

    launcher   what comes before QEMU's own command line, e.g. a preheat
               command that ends in "--"
    saved      a Virtual that was saved: launcher takes QEMU's command line
               from there, and is told of this one's sockets
    """

    _count = 0

    def __init__(self, tmp, arguments, launcher=(), qemu=None, serial=True,
                 saved=None):
        Virtual._count += 1
        self.name = f"vm{Virtual._count}"
        self._listeners = {"qmp": Listener(tmp / f"{self.name}.qmp")}
        # For preheat's own use; harness commands go over the other one.
        self.qmp_path = tmp / f"{self.name}.mon"
        if serial:
            self._listeners["serial"] = Listener(tmp / f"{self.name}.con")
        argv = [*launcher, *(self._sets(saved) if saved else
                             [qemu or config.QEMU, *arguments,
                              *self._own_arguments()])]
        self.process = Process(argv, tmp, self.name)
        self.qmp = None
        self.serial = None
        self.qemu_pid = None
        self._port = None

    def _own_arguments(self):
        serial = self._listeners.get("serial")
        return ["-qmp", f"unix:{self._listeners['qmp'].path}",
                "-qmp", f"unix:{self.qmp_path},server=on,wait=off",
                # The device must be there: snapshots have its state.
                "-serial", f"unix:{serial.path}" if serial else "null"]

    def _sets(self, saved):
        """Options that give the sockets of the saved machine this one's
        names."""
        names = [(saved.qmp_path, self.qmp_path)]
        names += [(saved._listeners[key].path, self._listeners[key].path)
                  for key in saved._listeners]
        return [word for old, new in names
                for word in ("--set", f"{old}={new}")]

    def connect(self, deadline=None):
        """Wait until QEMU is up; returns self."""
        deadline = deadline or Deadline()
        if "serial" in self._listeners:
            self.serial = Serial(
                self._listeners["serial"].accept(self.process, deadline))
        self.qmp = Qmp(self._listeners["qmp"].accept(self.process, deadline))
        self.qemu_pid = self.qmp.peer_pid
        return self

    def wait_running(self, deadline=None):
        """Wait until the guest runs; returns self."""
        if not self.qmp.execute("query-status")["running"]:
            self.qmp.wait_event("RESUME", deadline)
        return self

    def wait_prepared(self, deadline=None):
        """Wait until a guest loaded with -S could run; returns self.

        QEMU has no event for that, but each command waits for its main
        loop, which is what loads.
        """
        deadline = deadline or Deadline()
        while self.qmp.execute("query-status")["status"] == "inmigrate":
            deadline.left("the end of the incoming load")
        return self

    def control(self):
        return control(self.qemu_pid)

    def wait_loaded(self, what="all"):
        """Wait until the plugin has "hot" or "all", or the "recording"."""
        connection = self.control()
        try:
            # `for` is a word of Python's own.
            connection.execute("wait", **{"for": what})
        finally:
            connection.close()

    def wait_touches(self, count):
        """Wait until a profiling window has seen that many first touches."""
        deadline = Deadline()
        connection = self.control()
        try:
            while True:
                profile = connection.execute("query-profile")
                if (profile["state"] == "profiling"
                        and profile["first-touches"] >= count):
                    return
                deadline.left(f"{count} first touches")
        finally:
            connection.close()

    def statistics(self):
        """What the plugin counts at this moment."""
        connection = self.control()
        try:
            return connection.execute("query-preheat")
        finally:
            connection.close()

    def port(self):
        """The host's port that leads to the guest's service."""
        if self._port is None:
            match = re.search(r"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)",
                              self.qmp.hmp("info usernet"))
            self._port = int(match.group(1))
        return self._port

    def start_request(self, request, store_mib, puts=(), then=()):
        """A client process that puts request to the running guest, then
        others on the same connection."""
        return subprocess.Popen(
            [config.GUEST_CLIENT, f"--port={self.port()}",
             f"--timeout={config.DEADLINE_S:.0f}",
             f"--store-mib={store_mib}", *(f"--put={key}" for key in puts),
             request, *then],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ask(self, request, store_mib, puts=(), then=()):
        """The client's verdict on the answer (see tests/guest/client.c)."""
        client = self.start_request(request, store_mib, puts, then)
        out, err = client.communicate()
        if not out:
            raise ConnectionLost(f"{request}: {err}{self.process.describe()}")
        return json.loads(out)

    def balloon(self, mib):
        """Leave the guest that much memory, and wait until it is so."""
        self.qmp.execute("balloon", value=mib << 20)
        deadline = Deadline()
        while self.qmp.execute("query-balloon")["actual"] != mib << 20:
            deadline.left(f"a balloon that leaves {mib} MiB")

    def ram_blocks(self):
        """Name -> (host address, used length) of each RAM block."""
        blocks = {}
        for line in self.qmp.hmp("info ramblock").splitlines()[1:]:
            # Name, page size with its unit, offset, used, total, address.
            words = line.split()
            blocks[words[0]] = int(words[6], 16), int(words[4], 16)
        return blocks

    def memory_kib(self, block, field="Rss"):
        """What /proc/PID/smaps says of a RAM block's memory."""
        host, used = self.ram_blocks()[block]
        total = 0
        inside = False
        for line in pathlib.Path(
                f"/proc/{self.qemu_pid}/smaps").read_text().splitlines():
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
            if match:
                start, end = (int(word, 16) for word in match.groups())
                inside = start < host + used and end > host
            elif inside and line.startswith(f"{field}:"):
                total += int(line.split()[1])
        return total

    def anonymous_bytes(self):
        """What QEMU's private memory takes at this moment."""
        rollup = pathlib.Path(f"/proc/{self.qemu_pid}/smaps_rollup")
        kib = int(re.search(r"^Anonymous:\s+(\d+)", rollup.read_text(),
                            re.MULTILINE).group(1))
        return kib << 10

    def ram_bytes(self):
        """What QEMU's private memory and its memfds take at this moment."""
        return self.anonymous_bytes() + memfd_bytes(self.qemu_pid)

    def wait_without_fdsets(self):
        """Wait until QEMU has no descriptors that it was handed.

        It gives up a migration's a moment after the migration has ended.
        """
        deadline = Deadline()
        while sets := self.qmp.execute("query-fdsets"):
            deadline.left(f"the end of {sets}")

    def save(self, path):
        """Save the guest, by QEMU's own means.

        Not stopped before: the snapshot of a guest that ran says so, and
        QEMU stops it itself.
        """
        self.qmp.execute("migrate-set-capabilities", capabilities=MAPPED_RAM)
        # At once, as a guest that stands still would be saved.
        self.qmp.execute("migrate-set-parameters", **{
            "max-bandwidth": 0, "downtime-limit": 2000000})
        # None of them is of this migration.
        self.qmp.events.clear()
        self.qmp.execute("migrate", uri=f"file:{path}")
        if self.qmp.wait_migration() != "completed":
            raise RuntimeError(f"saving: {self.qmp.execute('query-migrate')}")

    def begin_load(self, path, capabilities=(), **parameters):
        """Have a QEMU that was started with `-incoming defer` begin to load,
        with further capabilities and parameters of its migration."""
        self.qmp.execute("migrate-set-capabilities", capabilities=[
            *MAPPED_RAM, *({"capability": name, "state": True}
                           for name in capabilities)])
        if parameters:
            self.qmp.execute("migrate-set-parameters", **parameters)
        self.qmp.execute("migrate-incoming", uri=f"file:{path}")

    def load(self, path, capabilities=(), **parameters):
        """The same to its end."""
        self.begin_load(path, capabilities, **parameters)
        if self.qmp.wait_migration() != "completed":
            raise RuntimeError(f"loading: {self.qmp.execute('query-migrate')}")

    def quit(self):
        """End QEMU; the status of what was started."""
        try:
            self.qmp.execute("quit")
        except ConnectionLost:
            pass
        return self.process.wait()

    def close(self):
        """Release everything; the processes must have ended."""
        if self.qemu_pid is not None:
            wait_for_end(self.qemu_pid, "QEMU")
        if self.serial is not None:
            self.serial.close()
        if self.qmp is not None:
            self.qmp.close()
        for listener in self._listeners.values():
            listener.close()
