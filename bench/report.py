"""What was measured, as tables in Markdown, plots in SVG and raw data."""

import dataclasses
import html
import math
import statistics

COLOURS = ["#c0392b", "#2874a6", "#239b56", "#b9770e", "#7d3c98", "#117a65", "#5d6d7e", "#a04000", "#1a5276", "#641e16",
           "#7b7d7d", "#0e6655"]
# Of more points than these, only the line is drawn.
FEW = 12
FONT = 'font-family="sans-serif" font-size="12"'


def short(value):
    """A number with three digits that count, in full."""
    if value == 0 or not math.isfinite(value):
        return str(value)
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def spread(values):
    return f"{short(statistics.median(values))} ({short(min(values))} to {short(max(values))})"


def ratio(values, others):
    """The ratio of the medians, and the least and the most that it was in a round."""
    each = [value / other for value, other in zip(values, others)]
    return statistics.median(values) / statistics.median(others), min(each), max(each)


def table(header, rows):
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    return "\n".join(lines + [f"| {' | '.join(map(str, row))} |" for row in rows])


@dataclasses.dataclass
class Table:
    """A table as it stands, with its raw data and perhaps plots by name."""

    title: str
    header: list
    rows: list
    note: str = ""
    faults: list = dataclasses.field(default_factory=list)
    raw: object = None
    plots: dict = dataclasses.field(default_factory=dict)

    def markdown(self):
        return table(self.header, self.rows)


@dataclasses.dataclass
class Grid:
    """What some variants cost each proxy: the figures of all rounds by name, by variant. In the table the first of
    them, the subject, has its figures; the others have theirs, and what the subject's are of these."""

    title: str
    unit: str
    costs: dict
    subject: str
    note: str = ""
    faults: list = dataclasses.field(default_factory=list)
    # Whether variants are numbers that something grows with, so that there is a plot.
    growth: bool = False

    @property
    def raw(self):
        return {"unit": self.unit, "costs": {str(variant): costs for variant, costs in self.costs.items()}}

    def names(self):
        return list(dict.fromkeys(name for costs in self.costs.values() for name in costs))

    def cell(self, variant, name):
        costs = self.costs[variant]
        if name not in costs:
            return "-"
        first = next(iter(self.costs))
        grown = ""
        if self.growth and variant != first and name in self.costs[first]:
            grown = f", x{statistics.median(costs[name]) / statistics.median(self.costs[first][name]):.2f}"
        if name == self.subject or self.subject not in costs:
            return f"{spread(costs[name])}{grown}"
        return f"{short(statistics.median(costs[name]))}{grown}; {of(costs[self.subject], costs[name])}"

    def markdown(self):
        rows = [[variant, *(self.cell(variant, name) for name in self.names())] for variant in self.costs]
        return f"In {self.unit}.\n\n" + table(["", *self.names()], rows)

    @property
    def plots(self):
        if not self.growth:
            return {}
        series = {
            name: [(at, statistics.median(costs[name])) for at, costs in self.costs.items() if name in costs]
            for name in self.names()
        }
        return {self.title: lines(self.title, self.unit, series)}


def of(values, others):
    """A ratio with its spread, as a cell has it."""
    middle, least, most = ratio(values, others)
    return f"**{middle:.2f}** ({least:.2f} to {most:.2f})"


def picture(width, height, parts):
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def words(x, y, value, anchor="start", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {FONT} {more}>{html.escape(str(value))}</text>'


def bars(title, unit, values):
    """Horizontal bars of medians, each with its least and most."""
    width, left, step = 760, 230, 26
    most = max(max(each) for each in values.values())
    scale = (width - left - 90) / most
    parts = [words(12, 22, f"{title}, {unit}", more='font-weight="bold"')]
    for place, (name, each) in enumerate(values.items()):
        y, middle = 38 + place * step, statistics.median(each)
        low, high = left + min(each) * scale, left + max(each) * scale
        colour = COLOURS[0] if name.startswith("linkspan") else COLOURS[1]
        parts += [
            words(left - 8, y + 14, name, "end"),
            f'<rect x="{left}" y="{y}" width="{middle * scale:.1f}" height="{step - 7}" fill="{colour}"/>',
            f'<path d="M{low:.1f} {y + 9.5}H{high:.1f}" stroke="black"/>',
            words(high + 6, y + 14, short(middle)),
        ]
    return picture(width, 50 + len(values) * step, parts)


def lines(title, unit, series):
    """Lines through points; an axis is logarithmic where what is on it grows to its thirtyfold, and else begins at 0."""
    width, height, left, right, top, bottom = 760, 380, 60, 210, 40, 40
    points = [point for each in series.values() for point in each]
    across, up = Axis([x for x, _ in points], left, width - right), Axis([y for _, y in points], height - bottom, top)
    parts = [
        words(12, 22, f"{title}, {unit}", more='font-weight="bold"'),
        f'<path d="M{left} {top}V{height - bottom}H{width - right}" fill="none" stroke="black"/>',
    ]
    parts += [words(across.place(x), height - bottom + 18, f"{x:g}", "middle") for x in across.ticks()]
    parts += [words(left - 6, up.place(y) + 4, f"{y:g}", "end") for y in up.ticks()]
    for number, (name, each) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = "L".join(f"{across.place(x):.1f} {up.place(y):.1f}" for x, y in each)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(each) <= FEW:
            parts += [
                f'<circle cx="{across.place(x):.1f}" cy="{up.place(y):.1f}" r="3" fill="{colour}"/>' for x, y in each
            ]
        y = top + 16 * number
        parts.append(f'<rect x="{width - right + 12}" y="{y}" width="10" height="10" fill="{colour}"/>')
        parts.append(words(width - right + 28, y + 10, name))
    return picture(width, height, parts)


class Axis:
    """Where values stand between two places."""

    def __init__(self, values, begin, end):
        self.values, self.begin, self.end = sorted(set(values)), begin, end
        least, most = self.values[0], self.values[-1]
        self.far = least > 0 and most / least >= 30
        self.shape = math.log if self.far else float
        # From a power of ten to a power of ten, or from 0.
        self.low = 10.0 ** math.floor(math.log10(least)) if self.far else 0
        self.high = 10.0 ** math.ceil(math.log10(most)) if self.far else most or 1

    def place(self, value):
        low, high = self.shape(self.low), self.shape(self.high)
        return self.begin + (self.end - self.begin) * (self.shape(value) - low) / (high - low)

    def ticks(self):
        if self.far:
            powers = range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)
            return [10.0 ** power for power in powers]
        size = 10.0 ** math.floor(math.log10(self.high))
        step = next(size * part for part in (0.2, 0.5, 1, 2) if self.high / (size * part) <= 5.5)
        return [step * number for number in range(int(self.high / step + 0.001) + 1)]
