# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measured loads: one alone, several at once, and in interleaved rounds.

Stands on the end-to-end tests' harness: the same guests, the same way of
starting them, every answer checked.
"""

import concurrent.futures
import pathlib
import statistics
import tempfile
import threading

import caches
from attempt import Attempt
from harness.processes import memfd_bytes
from peers import PEERS


def _prepare_caches(saved, cold):
    """Returns the part of the snapshot that is in memory then."""
    if cold:
        caches.drop(saved.files())
    else:
        caches.fill(saved.files())
    return caches.cached_share(saved.snapshot, saved.stored_bytes())


def _run(peer, attempt, when_loaded=lambda: None):
    """One load with its question; returns what is known of it."""
    try:
        peer.load(attempt)
        if peer.has_guest:
            attempt.note("answer-ms", attempt.saved.workload.ask(attempt.vm))
            peer.finish(attempt)
        when_loaded()
        used = attempt.usage() if peer.has_usage else {}
        when_loaded()
    finally:
        attempt.end()
    return {**attempt.noted, **used, **peer.statistics(attempt)}


def _run_alone(peer, saved, cold):
    with tempfile.TemporaryDirectory(dir=saved.scratch) as tmp:
        caches.allow_huge_pages(peer.huge_pages)
        try:
            return _run(peer, Attempt(saved, pathlib.Path(tmp), cold))
        finally:
            caches.allow_huge_pages(True)


def load(name, saved, cold):
    """What one load by the peer of that name came to."""
    with PEERS[name].hold(saved):
        cached = _prepare_caches(saved, cold)
        return {"peer": name, "cold": cold, "cached": cached,
                **_run_alone(PEERS[name], saved, cold)}


def _run_clone(peer, saved, cold, barrier):
    with tempfile.TemporaryDirectory(dir=saved.scratch) as tmp:
        try:
            # All are there while one's share of the memory is looked at.
            return _run(peer, Attempt(saved, pathlib.Path(tmp), cold,
                                      barrier.wait), barrier.wait)
        except BaseException:
            barrier.abort()
            raise


def memory_together_mib(loads, holders):
    """What several guests take together: where they map memory that others
    hold for them, the whole of that once, whoever has touched it.  None where
    theirs says nothing."""
    if any("pss-mib" not in load for load in loads):
        return None
    held_bytes = sum(map(memfd_bytes, holders))
    return held_bytes / (1 << 20) + sum(
        load["pss-mib"] - (load["shared-mib"] if holders else 0)
        for load in loads)


def load_clones(name, saved, cold, n_clones):
    """The same of several begun at once: the middle and the last answer,
    and what all have taken together."""
    peer = PEERS[name]
    with peer.hold(saved) as holders, \
            concurrent.futures.ThreadPoolExecutor(n_clones) as threads:
        cached = _prepare_caches(saved, cold)
        barrier = threading.Barrier(n_clones)
        loads = list(threads.map(
            lambda _: _run_clone(peer, saved, cold, barrier),
            range(n_clones)))
        memory_mib = memory_together_mib(loads, holders)
    answers = [load["answer-ms"] for load in loads]
    return {"peer": name, "cold": cold, "cached": cached,
            "answer-ms": statistics.median(answers),
            "last-answer-ms": max(answers),
            "processor-s": sum(load["processor-s"] for load in loads),
            "memory-mib": memory_mib}


def rounds(names, n_rounds, measure_one):
    """Loads by all peers, interleaved; yields each as it is done."""
    for i in range(n_rounds):
        for name in names:
            yield {"round": i, **measure_one(name)}
