# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""What to make of measured loads: medians, spreads, ratios, tables.

A load is a dict with `peer`, `round` and what was measured of it; a key that
is not there was not measured, or never came.
"""

import statistics

# The end of a key is its unit.
UNITS = {"-ms": ("{:.0f} ms", 1), "-s": ("{:.2f} s", 1),
         "-mib": ("{:.0f} MiB", 1), "-bytes": ("{:.0f} MiB", 1 << 20)}
NOTHING = "–"


def values(loads, peer, key):
    return [load[key] for load in loads
            if load["peer"] == peer and load.get(key) is not None]


def median(loads, peer, key):
    """The median of key over the loads by peer; None if one has none."""
    found = values(loads, peer, key)
    if not found or len(found) < sum(load["peer"] == peer for load in loads):
        return None
    return statistics.median(found)


def ratios(loads, peer, other, key):
    """key of peer over key of other, round by round, sorted."""
    by_round = {(load["round"], load["peer"]): load.get(key)
                for load in loads}
    return sorted(by_round[i, peer] / by_round[i, other]
                  for i, name in by_round
                  if name == peer and by_round[i, peer]
                  and by_round.get((i, other)))


def peers_of(loads):
    """In the sequence in which they were measured."""
    return list(dict.fromkeys(load["peer"] for load in loads))


def fastest(loads, peers, key):
    """The one of peers with the least median of key, or None."""
    medians = {peer: median(loads, peer, key) for peer in peers}
    return min((peer for peer in peers if medians[peer] is not None),
               default=None, key=medians.get)


def say(key, value):
    """A value in the unit that its key tells."""
    if value is None:
        return NOTHING
    for ending, (form, divisor) in UNITS.items():
        if key.endswith(ending):
            return form.format(value / divisor)
    return f"{value:.0f}"


def say_spread(loads, peer, key):
    """The least and the greatest value."""
    found = values(loads, peer, key)
    if not found:
        return NOTHING
    return f"{min(found):.0f}–{max(found):.0f}"


def say_ratio(loads, peer, other, key):
    """The median of the ratios, round by round."""
    found = ratios(loads, peer, other, key)
    return f"{statistics.median(found):.2f}" if found else NOTHING


def table(titles, rows):
    """Markdown that can be read as it is; all but the first column are
    numbers."""
    lines = [titles, *rows]
    widths = [max(len(line[i]) for line in lines)
              for i in range(len(titles))]

    def row(cells):
        return "| " + " | ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths))) + " |"

    rule = "| " + " | ".join("-" * width if i == 0 else
                             "-" * (width - 1) + ":"
                             for i, width in enumerate(widths)) + " |"
    return "\n".join([row(titles), rule, *map(row, rows)])
