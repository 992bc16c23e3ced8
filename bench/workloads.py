# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests, and what they are asked when they have been loaded."""

import dataclasses

import apps
from answers import WrongAnswer
from harness import machine

MIB_A_KEY = 22  # tests/guest/store.h


@dataclasses.dataclass(frozen=True)
class Store:
    """The test guest's store: n_keys requests, each for scattered pages."""
    name: str
    title: str
    machine: machine.Machine
    n_keys: int = 1

    @property
    def record_s(self):
        """For how long its first touches are recorded: several times what it
        takes."""
        return 5 + 3 * self.n_keys

    def lacks(self):
        """Why the guest cannot be made here, or None."""
        return None

    def prepare(self, vm):
        """Called once, before the guest is saved."""

    def ask(self, vm):
        """When the last right answer came, in microseconds."""
        first, *then = (f"GET {key}" for key in range(1, self.n_keys + 1))
        answer = vm.ask(first, self.machine.store_mib, then=then)
        if not answer["right"]:
            raise WrongAnswer(f"wrong answer from the guest: {answer}")
        return answer["answered-us"]


def store(gib, store_mib=256, n_keys=1, name=None):
    """A guest of that much RAM with a store in it."""
    name = name or f"store-{gib}g-{store_mib}m-{n_keys}"
    title = (f"{gib} GiB of RAM, {store_mib} MiB of data, "
             f"{n_keys * MIB_A_KEY} MiB asked for")
    return Store(name, title, dataclasses.replace(
        machine.ONE_GIB, name=name, memory=("-m", f"{gib}G"),
        store_mib=store_mib), n_keys)


DEMO = store(1, name="demo")
SCATTERED = store(4, store_mib=2560, n_keys=8, name="scattered")
# For a look at whether everything works.
TINY = store(1, store_mib=32, name="tiny")

WORKLOADS = {workload.name: workload
             for workload in (DEMO, SCATTERED, apps.REDIS, apps.WEB,
                              apps.SQLITE, TINY)}
