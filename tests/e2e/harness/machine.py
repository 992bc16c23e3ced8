# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU command lines of the machines that are tested."""

import dataclasses
import hashlib

from . import config

MIB = 1 << 20
GIB = 1 << 30

# Between these addresses a PC has its VGA window and shadowed ROMs.
HOLE_START = 0xA0000
HOLE_END = 0x100000
OPTION_ROMS = 0xC0000


@dataclasses.dataclass(frozen=True)
class RamRange:
    """Guest-physical addresses that a part of a RAM block is seen at."""
    address: int
    length: int
    block: str
    offset: int = 0


def pc_ram(length, block="pc.ram"):
    """The ranges of a PC whose RAM is one block below 3 GiB."""
    return (RamRange(0, HOLE_START, block),
            RamRange(HOLE_END, length - HOLE_END, block, HOLE_END))


@dataclasses.dataclass(frozen=True)
class Machine:
    """A machine that runs the test guest under TCG.

    memory      QEMU's arguments for RAM; {tmp} is a directory of the test
    ram         where which block can be seen, for comparing
    """
    name: str
    memory: tuple
    ram: tuple
    smp: int = 1
    store_mib: int = 64
    extra: tuple = ()
    kernel_arguments: tuple = ()

    def arguments(self, tmp):
        """The command line, without QEMU itself and what a test adds."""
        memory = [arg.replace("{tmp}", str(tmp)) for arg in self.memory]
        return [
            "-accel", "tcg", "-no-user-config", "-nodefaults",
            "-display", "none", "-smp", str(self.smp), *memory,
            "-kernel", str(config.GUEST_DIR / "vmlinuz"),
            "-initrd", str(config.GUEST_DIR / "initrd.gz"),
            "-append",
            " ".join(["console=ttyS0", "quiet",
                      f"store_mib={self.store_mib}",
                      *self.kernel_arguments]),
            "-netdev", "user,id=net,hostfwd=tcp:127.0.0.1:0-:7",
            "-device", "virtio-net-pci,netdev=net,romfile=",
            *self.extra,
        ]

    def fingerprint(self):
        """Changes with anything that a snapshot of it depends on."""
        text = repr(self) + config.guest_fingerprint() + SAVED
        return hashlib.sha256(text.encode()).hexdigest()[:16]


# How a guest is saved, by harness/virtual.py: to be changed with that.
SAVED = "while it runs"

SMALL = Machine("small", ("-m", "256M"), pc_ram(256 * MIB))

TWO_CPUS = dataclasses.replace(SMALL, name="two-cpus", smp=2)

ONE_GIB = Machine("one-gib", ("-m", "1G"), pc_ram(GIB), store_mib=256)

EIGHT_GIB = Machine(
    "eight-gib", ("-m", "8G"),
    (*pc_ram(3 * GIB), RamRange(4 * GIB, 5 * GIB, "pc.ram", 3 * GIB)),
    store_mib=256)

BALLOON = dataclasses.replace(
    SMALL, name="balloon",
    extra=("-device", "virtio-balloon-pci,free-page-reporting=on"))

# What its guest frees stays its own until a balloon takes it, and the balloon
# takes it without looking at it.
PLAIN_BALLOON = dataclasses.replace(
    SMALL, name="plain-balloon", extra=("-device", "virtio-balloon-pci"),
    kernel_arguments=("init_on_alloc=0",))

MEMFD = Machine(
    "memfd",
    ("-m", "256M", "-machine", "memory-backend=mem", "-object",
     "memory-backend-memfd,id=mem,size=256M,share=on"),
    pc_ram(256 * MIB, "mem"))

SHM_FILE = Machine(
    "shm-file",
    ("-m", "256M", "-machine", "memory-backend=mem", "-object",
     "memory-backend-file,id=mem,size=256M,mem-path=/dev/shm,share=on"),
    pc_ram(256 * MIB, "mem"))

TWO_NODES = Machine(
    "two-nodes",
    ("-m", "256M",
     "-object", "memory-backend-ram,id=mem0,size=128M",
     "-object", "memory-backend-ram,id=mem1,size=128M",
     "-numa", "node,memdev=mem0", "-numa", "node,memdev=mem1"),
    (*pc_ram(128 * MIB, "mem0"), RamRange(128 * MIB, 128 * MIB, "mem1")))

DIMM = Machine(
    "dimm",
    ("-m", "256M,slots=2,maxmem=1G",
     "-object", "memory-backend-ram,id=mem1,size=256M",
     "-device", "pc-dimm,memdev=mem1,id=dimm1"),
    (*pc_ram(256 * MIB), RamRange(4 * GIB, 256 * MIB, "mem1")))

HUGETLB = Machine(
    "hugetlb",
    ("-m", "256M", "-machine", "memory-backend=mem", "-object",
     "memory-backend-memfd,id=mem,size=256M,hugetlb=on,hugetlbsize=2M,"
     "share=off"),
    pc_ram(256 * MIB, "mem"))

SHARED_HUGETLB = Machine(
    "shared-hugetlb",
    ("-m", "256M", "-machine", "memory-backend=mem", "-object",
     "memory-backend-memfd,id=mem,size=256M,hugetlb=on,hugetlbsize=2M,"
     "share=on,prealloc=on"),
    pc_ram(256 * MIB, "mem"))

# As ONE_GIB, but for its memory.
HUGETLB_1_GIB = Machine(
    "hugetlb-1-gib",
    ("-m", "1G", "-machine", "memory-backend=pc.ram", "-object",
     "memory-backend-memfd,id=pc.ram,size=1G,hugetlb=on,hugetlbsize=1G,"
     "share=off"),
    pc_ram(GIB), store_mib=256)

# hugetlbfs is to be mounted there.
HUGETLB_PATH = Machine(
    "hugetlb-path", ("-m", "256M", "-mem-path", "{tmp}/huge"),
    pc_ram(256 * MIB))

HUGETLB_FILE = Machine(
    "hugetlb-file",
    ("-m", "256M", "-machine", "memory-backend=mem", "-object",
     "memory-backend-file,id=mem,size=256M,mem-path={tmp}/huge/ram,share=on"),
    pc_ram(256 * MIB, "mem"))

ORDINARY_FILE = Machine(
    "ordinary-file",
    ("-m", "256M", "-machine", "memory-backend=mem", "-object",
     "memory-backend-file,id=mem,size=256M,mem-path={tmp}/ram,share=on"),
    pc_ram(256 * MIB, "mem"))
