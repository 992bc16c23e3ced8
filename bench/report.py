# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables and pictures of a run of bench/run, made from its JSON."""

import itertools

import chart
import summary

BASE = "order"  # what the others are compared with

COLUMNS = (
    ("resumed-ms", "resumed"),
    ("answer-ms", "first answer"),
    (None, "least–most"),
    (None, f"÷ {BASE}'s"),
    ("loaded-ms", "all loaded"),
    ("processor-s", "processor"),
    ("peak-mib", "peak memory"),
    ("resident-mib", "at the end"),
    ("huge-mib", "of it huge"),
    ("demand-faults", "demand faults"),
)

# Of the suites in which something grows: what it is, and what is told of it.
GROWTH = {
    "ram": ("GiB of guest RAM", ("answer-ms", "loaded-ms", "processor-s")),
    "working-set": ("MiB that the first answer takes",
                    ("answer-ms", "processor-s", "resident-mib")),
    "clones": ("guests loaded at once",
               ("answer-ms", "last-answer-ms", "processor-s", "pss-mib")),
}

KEY_TITLES = {
    "answer-ms": "First answer",
    "last-answer-ms": "First answer of the last guest",
    "loaded-ms": "All loaded",
    "processor-s": "Processor time",
    "pss-mib": "Memory of all (Pss)",
    "resident-mib": "Resident memory",
}


def groups(loads, *keys):
    """(values of keys, the loads that have them), in sequence."""
    found = {}
    for load in loads:
        found.setdefault(tuple(load[key] for key in keys), []).append(load)
    return found.items()


def title(names, workload, storage, cold):
    return (f"{names['workloads'][workload]}; {names['storages'][storage]}; "
            f"{'cold' if cold else 'warm'} cache")


def peers_table(loads, names):
    """One row a peer."""
    rows = []
    for peer in summary.peers_of(loads):
        cells = {key: summary.say(key, summary.median(loads, peer, key))
                 for key, _ in COLUMNS if key}
        texts = iter((summary.say_spread(loads, peer, "answer-ms"),
                      summary.say_ratio(loads, peer, BASE, "answer-ms")))
        rows.append([names["peers"][peer],
                     *(cells[key] if key else next(texts)
                       for key, _ in COLUMNS)])
    return summary.table(["", *(text for _, text in COLUMNS)], rows)


def growth_table(loads, key, names):
    """One row a peer, one column a size."""
    sizes = sorted({load["size"] for load in loads})
    rows = [[names["peers"][peer], *(
        summary.say(key, summary.median(
            [load for load in loads if load["size"] == size], peer, key))
        for size in sizes)] for peer in summary.peers_of(loads)]
    return summary.table(["", *(f"{size:g}" for size in sizes)], rows)


def not_cold(loads):
    """A line where loads that should have been cold were not, or None."""
    cached = max((load["cached"] for load in loads if load["cold"]),
                 default=0)
    if cached <= 0.1:
        return None
    return (f"NOT COLD: up to {cached:.0%} of the snapshot was in memory "
            "before a load; give a --directory\non a disk, and run as root, "
            "who may drop the page cache.")


def _sections(run):
    """(heading, body) of each table."""
    names = run["names"]
    suites = dict(groups(run["loads"], "suite"))
    for key, loads in groups(suites.get(("peers",), ()), "workload",
                             "storage", "cold"):
        yield title(names, *key), "\n\n".join(filter(None, (
            peers_table(loads, names), not_cold(loads))))
    for suite, (what, keys) in GROWTH.items():
        loads = suites.get((suite,), ())
        for key in keys if loads else ():
            yield (f"{KEY_TITLES[key]}, by {what}",
                   growth_table(loads, key, names))


def markdown(run):
    """All tables, as docs/performance.md has them."""
    host = run["host"]
    rounds = 1 + max(load["round"] for load in run["loads"])
    parts = [f"{host['qemu']}; Linux {host['kernel']}; {host['processors']} "
             f"processors, {host['memory-mib'] / 1024:.0f} GiB; medians of "
             f"{rounds} loads each, interleaved; every answer was right."]
    parts += [f"### {heading[0].upper()}{heading[1:]}\n\n{body}"
              for heading, body in _sections(run)]
    if run["left-out"]:
        parts.append("Left out here:\n\n" + "\n".join(
            f"- {what}: {why}" for what, why in run["left-out"].items()))
    return "\n\n".join(parts) + "\n"


def pictures(run):
    """File name -> SVG."""
    names = run["names"]
    found = {}
    suites = dict(groups(run["loads"], "suite"))
    for key, loads in groups(suites.get(("peers",), ()), "workload",
                             "storage", "cold"):
        workload, storage, cold = key
        rows = [(names["peers"][peer], *(
            summary.median(loads, peer, moment)
            for moment in ("resumed-ms", "answer-ms", "loaded-ms")))
            for peer in summary.peers_of(loads)]
        found[f"peers-{workload}-{storage}-{'cold' if cold else 'warm'}.svg"] \
            = chart.bars(title(names, *key), "ms",
                         ("guest resumed", "first answer", "all loaded"),
                         rows)
    for suite, (what, keys) in GROWTH.items():
        loads = suites.get((suite,), ())
        for key in keys if loads else ():
            found[f"{suite}-{key}.svg"] = chart.lines(
                f"{KEY_TITLES[key]}, by {what}", what,
                key.rpartition("-")[2].replace("mib", "MiB"),
                _series(loads, key, names))
    return found


def _series(loads, key, names):
    series = {}
    for peer, (size, of_size) in itertools.product(
            summary.peers_of(loads), groups(loads, "size")):
        value = summary.median(of_size, peer, key)
        if value is not None:
            series.setdefault(names["peers"][peer], []).append(
                (size[0], value))
    return series
