# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""QMP and preheat's control protocol: JSON, one object a line."""

import json
import os
import socket
import struct

from .processes import Deadline, wait_readable


class CommandError(Exception):
    """The peer answered a command with an error."""


class ConnectionLost(Exception):
    """The peer closed the connection, or ended before it made one."""


class Listener:
    """A UNIX socket that a started program is to connect to."""

    def __init__(self, path):
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen(1)

    def accept(self, process, deadline=None):
        """The connection; ConnectionLost if process ends before it."""
        pidfd = os.pidfd_open(process.pid)
        try:
            ready = wait_readable([self._socket, pidfd], f"connection to "
                                  f"{self.path}", deadline or Deadline())
        finally:
            os.close(pidfd)
        if self._socket not in ready:
            raise ConnectionLost(process.describe())
        return self._socket.accept()[0]

    def close(self):
        self._socket.close()


class JsonSocket:
    """Commands, answers and events of one connection."""

    def __init__(self, connection):
        self._socket = connection
        self._buffer = b""
        self.events = []
        self.greeting = self._read(Deadline())

    @classmethod
    def connect(cls, address):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(address)
        except OSError:
            connection.close()
            raise
        return cls(connection)

    @property
    def peer_pid(self):
        """The process at the other end."""
        credentials = self._socket.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return struct.unpack("3i", credentials)[0]

    def _read(self, deadline):
        while b"\n" not in self._buffer:
            wait_readable([self._socket], "a line of JSON", deadline)
            try:
                received = self._socket.recv(65536)
            except ConnectionResetError:
                received = b""
            if not received:
                raise ConnectionLost("end of the connection")
            self._buffer += received
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def execute(self, command, deadline=None, **arguments):
        """Run a command; in argument names, `_` stands for `-`."""
        message = {"execute": command}
        if arguments:
            message["arguments"] = {name.replace("_", "-"): value
                                    for name, value in arguments.items()}
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except BrokenPipeError as error:
            raise ConnectionLost(f"sending {command}") from error
        deadline = deadline or Deadline()
        while True:
            answer = self._read(deadline)
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise CommandError(f"{command}: {answer['error']['desc']}")
            elif "return" in answer:
                return answer["return"]

    def wait_event(self, name, deadline=None):
        """The first event of that name; it is taken off the list."""
        deadline = deadline or Deadline()
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            answer = self._read(deadline)
            if "event" in answer:
                self.events.append(answer)

    def close(self):
        self._socket.close()


class Qmp(JsonSocket):
    """A QMP monitor of which we are the only client."""

    def __init__(self, connection):
        super().__init__(connection)
        self.execute("qmp_capabilities")

    def hmp(self, line):
        return self.execute("human-monitor-command", command_line=line)

    def wait_migration(self, deadline=None):
        """Wait for the end of a save or a load; needs the capability
        `events`, which it must have been given before."""
        while True:
            event = self.wait_event("MIGRATION", deadline)
            if event["data"]["status"] in ("completed", "failed"):
                return event["data"]["status"]


def control(pid):
    """The control socket of the plugin in the QEMU of process pid."""
    namespace = os.stat(f"/proc/{pid}/ns/pid").st_ino
    return JsonSocket.connect(f"\0preheat-{namespace}-{pid}")
