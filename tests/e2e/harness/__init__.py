# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the end-to-end tests and the bench stand on.

config      where the programs under test are (environment variables)
processes   started programs, their output, and that none is left behind
jsonsocket  QMP and the control protocol over UNIX sockets
host        what this host lacks, for skipping tests
machine     QEMU command lines of the machines that are tested
virtual     a running virtual machine, started by QEMU alone or by preheat
snapshots   snapshots of those machines, saved once and kept
mappedram   a second, independent reader of QEMU's mapped-ram files
case        the base class of the tests
"""
