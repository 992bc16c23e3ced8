# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests with programs from Debian's packages (bench/guest): redis, a web
service in Python, and one with a database of sqlite behind it."""

import contextlib
import dataclasses
import functools
import select
import socket
import subprocess

from answers import WrongAnswer
from attempt import now_us
from guest import items
from harness import config, machine
from harness.processes import Deadline

INITRD = config.CACHE_DIR / "apps.gz"
KEY = 1
SETS_AT_ONCE = 256
PROBE_S = 0.1


@functools.cache
def lacks_initrd():
    """Makes the guest's programs; why they cannot be had, or None."""
    run = subprocess.run(
        [config.SOURCE_DIR / "bench" / "guest" / "build", config.GUEST_DIR,
         INITRD], stderr=subprocess.PIPE, text=True)
    if run.returncode != 0:
        return f"its packages are not available: {run.stderr.strip()}"
    return None


def greeted(port, hello):
    """A connection on which the answer to hello can be read.

    QEMU accepts connections also while the guest cannot answer, and may leave
    them without one: so further ones are opened meanwhile.
    """
    deadline = Deadline()
    with contextlib.ExitStack() as probes:
        waiting = []
        while True:
            deadline.left("an answer from the guest")
            probe = probes.enter_context(
                socket.create_connection(("127.0.0.1", port)))
            probe.sendall(hello)
            waiting.append(probe)
            for ready in select.select(waiting, [], [], PROBE_S)[0]:
                waiting.remove(ready)
                with contextlib.suppress(ConnectionError):
                    if ready.recv(1, socket.MSG_PEEK):
                        return ready.dup()


@dataclasses.dataclass(frozen=True)
class App:
    """What all of them have."""
    name: str
    title: str
    record_s = 8  # of Store

    @property
    def machine(self):
        return dataclasses.replace(
            machine.ONE_GIB, name=self.name, extra=("-initrd", str(INITRD)),
            kernel_arguments=(f"app={self.name}",))

    def lacks(self):
        return lacks_initrd()

    def prepare(self, vm):
        """The service has filled its memory itself."""

    def ask(self, vm):
        """When the right answer came, in microseconds."""
        with greeted(vm.port(), self.HELLO) as connection, \
                connection.makefile("rwb") as stream:
            self._read(stream)
            answer = self._ask(stream)
            answered_us = now_us()
        right = items.digest(map(items.item, items.items_of(KEY)))
        if self._digest(answer) != right:
            raise WrongAnswer(f"wrong answer from {self.name}")
        return answered_us


class Redis(App):
    """All items of a key, asked for without waiting in between."""

    HELLO = b"PING\r\n"

    def prepare(self, vm):
        with socket.create_connection(("127.0.0.1", vm.port())) as \
                connection, connection.makefile("rwb") as stream:
            for first in range(0, items.N_ITEMS, SETS_AT_ONCE):
                numbers = range(first, first + SETS_AT_ONCE)
                for number in numbers:
                    self._command(stream, b"SET", b"%d" % number,
                                  items.item(number))
                stream.flush()
                for _ in numbers:
                    if stream.readline() != b"+OK\r\n":
                        raise WrongAnswer("redis did not take an item")

    def _command(self, stream, *words):
        stream.write(b"*%d\r\n" % len(words))
        for word in words:
            stream.write(b"$%d\r\n%b\r\n" % (len(word), word))

    def _read(self, stream):
        """A simple string, or a bulk string."""
        line = stream.readline()
        if line.startswith(b"$"):
            return stream.read(int(line[1:]) + 2)[:-2]
        return line

    def _ask(self, stream):
        numbers = items.items_of(KEY)
        for number in numbers:
            self._command(stream, b"GET", b"%d" % number)
        stream.flush()
        return [self._read(stream) for _ in numbers]

    def _digest(self, answer):
        return items.digest(answer)


class Web(App):
    """One request; the guest computes the digest."""

    HELLO = b"GET /hello HTTP/1.1\r\nHost: guest\r\n\r\n"

    def _read(self, stream):
        length = 0
        while (line := stream.readline().rstrip()) != b"":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return stream.read(length)

    def _ask(self, stream):
        stream.write(b"GET /%d HTTP/1.1\r\nHost: guest\r\n\r\n" % KEY)
        stream.flush()
        return self._read(stream)

    def _digest(self, answer):
        return answer.decode()


HELD = f"{items.N_ITEMS * items.ITEM_BYTES >> 20} MiB of data"

REDIS = Redis("redis", f"redis, {HELD}, {items.N_OF_A_KEY} GETs")
WEB = Web("web", f"a web service in Python, {HELD}, one request")
SQLITE = Web("sqlite", f"a web service with sqlite, {HELD}, one request")
