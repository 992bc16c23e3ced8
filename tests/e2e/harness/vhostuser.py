# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""A vhost-user backend that does nothing, so that QEMU has such a device.

The protocol: QEMU, docs/interop/vhost-user.rst.
"""

import socket
import struct
import threading

HEADER = struct.Struct("<III")  # request, flags, size of the payload
GET_FEATURES = 1
GET_PROTOCOL_FEATURES = 15
REPLY = 1 | 1 << 2  # version 1, is a reply
VIRTIO_F_VERSION_1 = 1 << 32
VHOST_USER_F_PROTOCOL_FEATURES = 1 << 30

# What is answered to which request; all others need no answer.
ANSWERS = {
    # Without protocol features QEMU plugs none in while it runs.
    GET_FEATURES: VIRTIO_F_VERSION_1 | VHOST_USER_F_PROTOCOL_FEATURES,
    GET_PROTOCOL_FEATURES: 0,
}


class VhostUserBackend:
    """Serves one connection on a UNIX socket until QEMU ends."""

    def __init__(self, path):
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        with connection:
            try:
                while self._answer(connection):
                    pass
            except ConnectionResetError:
                pass

    @staticmethod
    def _answer(connection):
        # A plain recv() also closes the file descriptors sent along.
        header = connection.recv(HEADER.size, socket.MSG_WAITALL)
        if len(header) < HEADER.size:
            return False
        request, _, size = HEADER.unpack(header)
        if size > 0:
            connection.recv(size, socket.MSG_WAITALL)
        if request in ANSWERS:
            connection.sendall(HEADER.pack(request, REPLY, 8) +
                               struct.pack("<Q", ANSWERS[request]))
        return True

    def close(self):
        """To be called once QEMU has ended."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
