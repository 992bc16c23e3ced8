# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""What bench/compare and bench/run have around their measurements."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile

from harness import config, processes
from harness.jsonsocket import CommandError, ConnectionLost


def positive(text):
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def add_directory(parser):
    parser.add_argument("--directory", type=pathlib.Path,
                        default="/var/tmp",
                        help="where the snapshots are put (default: "
                        "%(default)s);\non a tmpfs no load is cold")


def check_writable(parser, path):
    """A usage error where path cannot be written when all is measured."""
    if path and not os.access(path.resolve().parent, os.W_OK):
        parser.error(f"{path} cannot be written")


def chosen(parser, option, text, known):
    """The words of a comma-separated option, all of which must be known."""
    words = text.split(",")
    for word in words:
        if word not in known:
            parser.error(f"{option}: no {word}; there are {', '.join(known)}")
    return words


def say(text):
    print(f"-- {text}", file=sys.stderr, flush=True)


def _in_directory(measure, directory):
    config.require_preheat()
    config.build_guest()
    processes.adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="preheat-bench.",
                                     dir=directory) as tmp:
        try:
            return measure(pathlib.Path(tmp))
        finally:
            processes.end_children()


def run(measure, directory):
    """What measure, called with a new directory below the given one, has
    returned.  Ends this program, leaving nothing behind, by an error or a
    signal."""
    # As an exception, so that what was begun is undone.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda caught, _: sys.exit(128 + caught))
    try:
        return _in_directory(measure, directory)
    except (CommandError, ConnectionLost, OSError, RuntimeError,
            subprocess.CalledProcessError) as error:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {error}")
