# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""A template that runs for long, and serves many."""

import os
import signal
import socket
import struct

from harness import config
from test_template import TemplateCase

# formats/template-protocol.h: STATUS, as TemplateMessage.
STATUS = struct.pack("=IIQQ", 7, 0, 0, 0)


class Service(TemplateCase):

    def listen(self):
        """A service manager's socket."""
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.settimeout(config.DEADLINE_S)
        manager.bind(os.fspath(self.tmp / "notify"))
        return manager

    def test_a_service_manager_is_told_how_it_goes(self):
        manager = self.listen()
        template = self.template(
            before=["env", f"NOTIFY_SOCKET={manager.getsockname()}"])
        ready, _, status = manager.recv(4096).decode().partition("\n")
        self.assertEqual(ready, "READY=1")
        self.assertTrue(status.startswith("STATUS="), status)
        self.running_clone()
        full = manager.recv(4096).decode()
        self.assertRegex(full, "^STATUS=.*: every page is there$")
        template.kill(signal.SIGTERM)
        self.assertEqual(manager.recv(4096).decode(), "STOPPING=1")
        self.assertEqual(template.wait(), 0)

    def connect(self):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(client.close)
        client.settimeout(config.DEADLINE_S)
        client.connect(os.fspath(self.socket))
        return client

    def test_more_clients_connect_than_its_soft_limit_would_let(self):
        self.template(before=["prlimit", "--nofile=40:1000"])
        clients = [self.connect() for _ in range(100)]
        for client in clients:
            client.send(STATUS)
            self.assertIn(b'"state"', client.recv(65536))
