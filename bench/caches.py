# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""What is in memory before a load: the page cache, and huge pages."""

import ctypes
import mmap
import os
import subprocess

from harness import config

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
PR_SET_THP_DISABLE = 41
READ_BYTES = 1 << 20


def drop(files):
    """Empty the page cache, or at least drop these files from it; programs
    stay warm, as on a host that runs more than one guest."""
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w") as knob:
            knob.write("1\n")
    except OSError:  # not root, or a read-only /proc
        for path in files:
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0,
                                 os.POSIX_FADV_DONTNEED)
        return
    for program in (config.QEMU, config.PREHEAT):
        subprocess.run([program, "--version"], check=True,
                       stdout=subprocess.DEVNULL)
    for name in ("vmlinuz", "initrd.gz"):
        (config.GUEST_DIR / name).read_bytes()


def fill(files):
    """Have all of these files in the page cache."""
    for path in files:
        with open(path, "rb", buffering=0) as file:
            for offset, length in data_pieces(file.fileno(), READ_BYTES):
                while length > 0:
                    n_read = len(os.pread(file.fileno(), length, offset))
                    offset, length = offset + n_read, length - n_read


def data_pieces(fd, max_bytes):
    """(offset, length) of a file's contents, without its holes."""
    position, end = 0, os.fstat(fd).st_size
    while position < end:
        try:
            position = os.lseek(fd, position, os.SEEK_DATA)
        except OSError:  # nothing but a hole from here on
            return
        hole = os.lseek(fd, position, os.SEEK_HOLE)
        while position < hole:
            length = min(hole - position, max_bytes)
            yield position, length
            position += length


def lacks_direct(path):
    """Why the file cannot be read past the page cache, or None."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    except OSError as error:
        return f"no direct I/O where the snapshot lies: {error.strerror}"
    return None


def cached_share(path, stored_bytes):
    """The part of stored_bytes, a file's contents, that is in the page
    cache, 0 to 1."""
    with open(path, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        in_core = bytearray(-(-length // mmap.PAGESIZE))
        start = LIBC.mmap(None, ctypes.c_size_t(length), mmap.PROT_READ,
                          mmap.MAP_SHARED, file.fileno(), ctypes.c_long(0))
        rc = LIBC.mincore(ctypes.c_void_p(start), ctypes.c_size_t(length),
                          (ctypes.c_char * len(in_core)).from_buffer(in_core))
        error = ctypes.get_errno()
        LIBC.munmap(ctypes.c_void_p(start), ctypes.c_size_t(length))
    if rc != 0:
        raise OSError(error, f"mincore of {path}: {os.strerror(error)}")
    cached = sum(byte & 1 for byte in in_core) * mmap.PAGESIZE
    return min(cached / stored_bytes, 1)


def allow_huge_pages(allowed):
    """Whether programs started from now on may have huge pages."""
    LIBC.prctl(PR_SET_THP_DISABLE, int(not allowed), 0, 0, 0)
