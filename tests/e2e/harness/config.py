# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the programs under test are.

PREHEAT_BUILD_DIR   meson's build directory (default: build in the tree)
PREHEAT_QEMU        QEMU's system emulator (default: qemu-system-x86_64)
PREHEAT_CACHE_DIR   the built guest and the saved snapshots are kept there
                    (default: e2e-cache in the build directory)
PREHEAT_DEADLINE    seconds that anything may take at most (default: 120)
"""

import hashlib
import os
import pathlib
import re
import subprocess
import sys

SOURCE_DIR = pathlib.Path(__file__).resolve().parents[3]
BUILD_DIR = pathlib.Path(
    os.environ.get("PREHEAT_BUILD_DIR", SOURCE_DIR / "build")).resolve()
CACHE_DIR = pathlib.Path(
    os.environ.get("PREHEAT_CACHE_DIR", BUILD_DIR / "e2e-cache")).resolve()
QEMU = os.environ.get("PREHEAT_QEMU", "qemu-system-x86_64")
DEADLINE_S = float(os.environ.get("PREHEAT_DEADLINE", 120))

PREHEAT = BUILD_DIR / "cli" / "preheat"
GUEST_CLIENT = BUILD_DIR / "tests" / "guest" / "preheat-guest-client"
GUEST_DIR = CACHE_DIR / "guest"


def require_preheat():
    """End this program where there is no preheat to run."""
    if not PREHEAT.exists():
        sys.exit(f"{PREHEAT} is missing: build first, or set "
                 "PREHEAT_BUILD_DIR")


def build_guest():
    """Make GUEST_DIR up to date; quick if it is."""
    subprocess.run([SOURCE_DIR / "scripts" / "build-guest", GUEST_DIR],
                   check=True)


def qemu_version():
    """The first line of `qemu --version`."""
    run = subprocess.run([QEMU, "--version"], check=True,
                         stdout=subprocess.PIPE, text=True)
    return run.stdout.splitlines()[0]


def guest_fingerprint():
    """Changes with anything that a saved guest depends on."""
    made_from = (GUEST_DIR / "made-from").read_text()
    return hashlib.sha256((made_from + qemu_version()).encode()).hexdigest()


def qemu_is_since(major, minor):
    """Whether the tested QEMU is of that version or a later one."""
    match = re.search(r"version (\d+)\.(\d+)", qemu_version())
    return tuple(map(int, match.groups())) >= (major, minor)
