# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Two kinds of pictures, as the text of an SVG file."""

import math
from xml.sax.saxutils import escape

FONT = 'font-family="sans-serif" font-size="13"'
COLOURS = ("#1f5fa8", "#c8561b", "#2a8a4a", "#8a3fa0", "#7a6a1a", "#555555",
           "#b02a4a", "#1a8a8a")
PALE = "#a9c6e8"
GRID = "#dddddd"
TEXT = "#222222"
MAX_STEPS = 6


def axis_step(highest):
    """The distance of the marks on an axis that goes up to highest: 1, 2 or 5
    times a power of ten, for six marks at the most."""
    if highest <= 0:
        return 1
    least = highest / MAX_STEPS
    power = 10 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 5, 10)
                if step * power >= least * (1 - 1e-9))


def marks(highest):
    """Where the marks are, from 0 to the first that is not below highest."""
    step = axis_step(highest)
    return [i * step for i in range(math.ceil(highest / step - 1e-9) + 1)]


class Svg:
    """The elements of a picture."""

    def __init__(self, width, height, title):
        self._width, self._height = width, height
        self._elements = [
            f'<title>{escape(title)}</title>',
            f'<rect width="{width}" height="{height}" fill="white"/>']
        self.text(10, 22, title, size=15)

    def line(self, x1, y1, x2, y2, colour, width=1.0):
        self._elements.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{colour}" stroke-width="{width:g}"/>')

    def rect(self, x, y, width, height, colour):
        self._elements.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}" fill="{colour}"/>')

    def dot(self, x, y, colour):
        self._elements.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')

    def text(self, x, y, text, anchor="start", colour=TEXT, size=13):
        self._elements.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
            f'fill="{colour}" font-size="{size}">{escape(text)}</text>')

    def __str__(self):
        return (f'<svg xmlns="http://www.w3.org/2000/svg" '
                f'width="{self._width}" height="{self._height}" '
                f'viewBox="0 0 {self._width} {self._height}" {FONT}>\n'
                + "\n".join(self._elements) + "\n</svg>\n")


def bars(title, unit, legend, rows):
    """A bar a row.

    legend  what the bar's dark beginning, its whole and the mark are
    rows    (label, beginning, whole, mark); None: not there
    """
    left, right, top, pitch = 330, 60, 70, 24
    width, height = 900, top + pitch * len(rows) + 34
    highest = max((value for row in rows for value in row[1:]
                   if value is not None), default=0)
    ticks = marks(highest)
    scale = (width - left - right) / (ticks[-1] or 1)
    svg = Svg(width, height, title)
    bottom = top + pitch * len(rows)
    for tick in ticks:
        x = left + tick * scale
        svg.line(x, top - 4, x, bottom, GRID)
        svg.text(x, bottom + 18, f"{tick:g} {unit}", "middle")
    _bar_legend(svg, left, legend)
    for i, row in enumerate(rows):
        _bar(svg, left, top + i * pitch, scale, row)
    return str(svg)


def _bar_legend(svg, left, legend):
    for i, (text, colour) in enumerate(zip(legend, (COLOURS[0], PALE,
                                                    COLOURS[1]))):
        x = left + 190 * i
        svg.rect(x, 40, 12, 12, colour)
        svg.text(x + 18, 51, text)


def _bar(svg, left, y, scale, row):
    label, beginning, whole, mark = row
    svg.text(left - 8, y + 14, label, "end")
    if whole is not None:
        svg.rect(left, y + 3, whole * scale, 15, PALE)
    if beginning is not None:
        svg.rect(left, y + 3, beginning * scale, 15, COLOURS[0])
    if mark is not None:
        svg.line(left + mark * scale, y, left + mark * scale, y + 21,
                 COLOURS[1], 2.5)


def lines(title, x_title, unit, series):
    """A line a name; series: name -> [(x, y)], whose x stand at equal
    distances, as for values that double."""
    left, right, top, bottom = 80, 300, 50, 330
    width, height = 900, 385
    xs = sorted({x for points in series.values() for x, _ in points})
    ticks = marks(max((y for points in series.values() for _, y in points),
                      default=0))
    svg = Svg(width, height, title)
    places = {x: left + (width - left - right) * (i + 0.5) / len(xs)
              for i, x in enumerate(xs)}

    def height_of(y):
        return bottom - (bottom - top) * y / (ticks[-1] or 1)

    for tick in ticks:
        svg.line(left, height_of(tick), width - right, height_of(tick), GRID)
        svg.text(left - 8, height_of(tick) + 4, f"{tick:g} {unit}", "end")
    for x, place in places.items():
        svg.text(place, bottom + 20, f"{x:g}", "middle")
    svg.text((left + width - right) / 2, bottom + 42, x_title, "middle")
    for i, (name, points) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        at = [(places[x], height_of(y)) for x, y in sorted(points)]
        for (x1, y1), (x2, y2) in zip(at, at[1:]):
            svg.line(x1, y1, x2, y2, colour, 2)
        for x, y in at:
            svg.dot(x, y, colour)
        svg.rect(width - right + 20, top + 22 * i, 12, 12, colour)
        svg.text(width - right + 38, top + 11 + 22 * i, name)
    return str(svg)
