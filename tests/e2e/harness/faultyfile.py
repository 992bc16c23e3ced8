# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""A file that can be read but where it cannot, or slowly: a disk that fails, a
server that hangs, or is far away.

It is the one file of a FUSE file system that a thread of this process serves.
Source of the protocol: Linux, include/uapi/linux/fuse.h.
"""

import ctypes
import errno
import os
import pathlib
import stat
import struct
import threading
import time

# Request header, and those parts of requests and answers that are used.
IN_HEADER = struct.Struct("<IIQQIIII")
OUT_HEADER = struct.Struct("<IiQ")
READ_IN = struct.Struct("<QQI")
INTERRUPT_IN = struct.Struct("<Q")
ATTR = struct.Struct("<6Q10I")
ENTRY_OUT = struct.Struct("<4Q2I")
ATTR_OUT = struct.Struct("<Q2I")
INIT_OUT = struct.Struct("<4I2H2I2HI28x")
OPEN_OUT = struct.Struct("<Q2I")

LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE = 1, 2, 3, 14, 15, 18
FLUSH, INIT, INTERRUPT, BATCH_FORGET = 25, 26, 36, 42
UNANSWERED = (FORGET, BATCH_FORGET)

FOPEN_DIRECT_IO = 1
ROOT_ID, FILE_ID = 1, 2
MAX_REQUEST = 1 << 20
MS_NOSUID_NODEV = 2 | 4
MNT_DETACH = 2


def lacks_fuse():
    """Why no such file can be had here, or None."""
    if os.geteuid() != 0:
        return "only root may mount a FUSE file system here"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "no /dev/fuse here"
    return None


def _call(function, *arguments):
    if function(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function.__name__}: {os.strerror(number)}")


class FaultyFile:
    """The file at source, to be read at self.path; close() in the end."""

    def __init__(self, source, directory):
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._directory = pathlib.Path(directory)
        self._directory.mkdir()
        self.path = self._directory / "vm.snap"
        self._source = os.open(source, os.O_RDONLY)
        self._status = os.fstat(self._source)
        self._lock = threading.Lock()  # guards the next two
        self._bad = {}  # (begin, end) -> errno, or None: hangs
        self._hanging = []  # requests
        self.read_s = 0  # how long each read takes
        self._fuse = os.open("/dev/fuse", os.O_RDWR)
        _call(self._libc.mount, b"preheat-e2e", bytes(self._directory),
              b"fuse", MS_NOSUID_NODEV,
              f"fd={self._fuse},rootmode=40000,user_id=0,group_id=0".encode())
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def fail(self, begin, end, error=errno.EIO):
        """Reading any byte from begin to end fails from now on."""
        with self._lock:
            self._bad[begin, end] = error

    def hang(self, begin, end):
        """Reading any byte from begin to end is not answered from now on."""
        self.fail(begin, end, None)

    def mend(self, begin=None, end=None):
        """Everything can be read again, or just from begin to end."""
        with self._lock:
            if begin is None:
                self._bad.clear()
            else:
                del self._bad[begin, end]
            hanging, self._hanging = self._hanging, []
        for request in hanging:
            self._answer(*request)

    def close(self):
        """To be called once nobody uses it any more."""
        self.mend()
        _call(self._libc.umount2, bytes(self._directory), MNT_DETACH)
        self._thread.join()
        os.close(self._fuse)
        os.close(self._source)

    def _serve(self):
        while True:
            try:
                request = os.read(self._fuse, MAX_REQUEST + 4096)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return  # unmounted
                if error.errno in (errno.ENOENT, errno.EINTR):
                    continue  # that request was given up
                raise
            _, opcode, unique, node, *_ = IN_HEADER.unpack_from(request)
            if opcode == INTERRUPT:
                self._give_up(INTERRUPT_IN.unpack_from(
                    request, IN_HEADER.size)[0])
            elif opcode not in UNANSWERED:
                self._answer(opcode, unique, node, request[IN_HEADER.size:])

    def _give_up(self, unique):
        """Whoever waits for that request is being killed."""
        with self._lock:
            given_up = [request for request in self._hanging
                        if request[1] == unique]
            self._hanging = [request for request in self._hanging
                             if request[1] != unique]
        for _ in given_up:
            self._send(unique, errno.EINTR, b"")

    def _answer(self, opcode, unique, node, body):
        error, data = self._carry_out(opcode, node, body)
        if error is None:
            with self._lock:
                self._hanging.append((opcode, unique, node, body))
            return
        self._send(unique, error, data)

    def _send(self, unique, error, data):
        header = OUT_HEADER.pack(OUT_HEADER.size + len(data), -error, unique)
        try:
            os.write(self._fuse, header + data)
        except FileNotFoundError:
            pass  # whoever asked has ended

    def _carry_out(self, opcode, node, body):
        """An errno, 0 or None (later), and what is answered."""
        if opcode == INIT:
            return 0, INIT_OUT.pack(7, 31, MAX_REQUEST, 0, 64, 48, MAX_REQUEST,
                                    1, 0, 0, 0)
        if opcode == LOOKUP and body == self.path.name.encode() + b"\0":
            return 0, ENTRY_OUT.pack(FILE_ID, 0, 3600, 3600, 0, 0) + \
                self._attributes(FILE_ID)
        if opcode == LOOKUP:
            return errno.ENOENT, b""
        if opcode == GETATTR:
            return 0, ATTR_OUT.pack(3600, 0, 0) + self._attributes(node)
        if opcode == OPEN:
            return 0, OPEN_OUT.pack(0, FOPEN_DIRECT_IO, 0)
        if opcode == READ:
            return self._read(*READ_IN.unpack_from(body)[1:])
        if opcode in (RELEASE, FLUSH):
            return 0, b""
        return errno.ENOSYS, b""

    def _attributes(self, node):
        if node == ROOT_ID:
            return ATTR.pack(node, 0, 0, 0, 0, 0, 0, 0, 0,
                             stat.S_IFDIR | 0o755, 2, 0, 0, 0, 4096, 0)
        seconds = int(self._status.st_mtime)
        return ATTR.pack(node, self._status.st_size, self._status.st_blocks,
                         seconds, seconds, seconds, 0, 0, 0,
                         stat.S_IFREG | 0o644, 1, 0, 0, 0, 4096, 0)

    def _read(self, offset, size):
        time.sleep(self.read_s)
        with self._lock:
            for (begin, end), error in self._bad.items():
                if offset < end and begin < offset + size:
                    return error, b""
        return 0, os.pread(self._source, size, offset)
