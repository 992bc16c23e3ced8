# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables and pictures of a run of bench/run, made from its JSON."""

import dataclasses
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
               ("answer-ms", "last-answer-ms", "processor-s", "memory-mib")),
}

KEY_TITLES = {
    "answer-ms": "First answer",
    "last-answer-ms": "First answer of the last guest",
    "loaded-ms": "All loaded",
    "processor-s": "Processor time",
    "memory-mib": "Memory of all",
    "resident-mib": "Resident memory",
}


def groups(loads, *keys):
    """(values of keys, the loads that have them), in sequence."""
    found = {}
    for load in loads:
        found.setdefault(tuple(load[key] for key in keys), []).append(load)
    return found.items()


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


def peers_chart(loads, names, heading):
    rows = [(names["peers"][peer], *(
        summary.median(loads, peer, moment)
        for moment in ("resumed-ms", "answer-ms", "loaded-ms")))
        for peer in summary.peers_of(loads)]
    return chart.bars(heading, "ms", ("guest resumed", "first answer",
                                      "all loaded"), rows)


def growth_chart(loads, key, names, heading, what):
    series = {}
    for peer, (size, of_size) in itertools.product(
            summary.peers_of(loads), groups(loads, "size")):
        value = summary.median(of_size, peer, key)
        if value is not None:
            series.setdefault(names["peers"][peer], []).append(
                (size[0], value))
    unit = key.rpartition("-")[2].replace("mib", "MiB")
    return chart.lines(heading, what, unit, series)


@dataclasses.dataclass(frozen=True)
class Section:
    """A table and the same as a picture, an SVG in a file of that name."""
    heading: str
    body: str
    picture_name: str
    picture: str


def peers_section(loads, names, workload, storage, cold):
    cache = "cold" if cold else "warm"
    heading = (f"{names['workloads'][workload]}; "
               f"{names['storages'][storage]}; {cache} cache")
    heading = heading[0].upper() + heading[1:]
    body = "\n\n".join(filter(None, (peers_table(loads, names),
                                     not_cold(loads))))
    return Section(heading, body, f"peers-{workload}-{storage}-{cache}.svg",
                   peers_chart(loads, names, heading))


def growth_section(loads, names, suite, key):
    what = GROWTH[suite][0]
    heading = f"{KEY_TITLES[key]}, by {what}"
    return Section(heading, growth_table(loads, key, names),
                   f"{suite}-{key}.svg",
                   growth_chart(loads, key, names, heading, what))


def sections(run):
    """Of all suites that were measured."""
    suites = dict(groups(run["loads"], "suite"))
    for key, loads in groups(suites.get(("peers",), ()), "workload",
                             "storage", "cold"):
        yield peers_section(loads, run["names"], *key)
    for suite, (_, keys) in GROWTH.items():
        loads = suites.get((suite,), ())
        for key in keys if loads else ():
            yield growth_section(loads, run["names"], suite, key)


def markdown(run, pictures=None):
    """All tables, as docs/performance.md has them, with links to what was
    drawn into the folder pictures, if anything was."""
    host = run["host"]
    rounds = 1 + max((load["round"] for load in run["loads"]), default=0)
    parts = [f"{host['qemu']}; Linux {host['kernel']}; {host['processors']} "
             f"processors, {host['memory-mib'] / 1024:.0f} GiB; medians of "
             f"{rounds} loads each, interleaved; every answer was right."]
    for section in sections(run):
        parts.append(f"### {section.heading}")
        if pictures:
            parts.append(f"![{section.heading}]"
                         f"({pictures}/{section.picture_name})")
        parts.append(section.body)
    if run["left-out"]:
        parts.append("Left out here:\n\n" + "\n".join(
            f"- {what}: {why}" for what, why in run["left-out"].items()))
    return "\n\n".join(parts) + "\n"
