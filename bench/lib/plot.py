"""Small line plots as SVG, readable on a light and on a dark ground."""

import math
from html import escape

WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 64, 250, 40, 46
COLOURS = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf", "#7f7f7f"]


def lines(title, x_label, series, log_x=False, log_y=False):
    """`series`: {name: [(x, y)]}. The name stands at the end of its line."""
    points = [point for line in series.values() for point in line]
    x_ticks = sorted({x for x, _ in points})
    x_axis = Axis(x_ticks[0], x_ticks[-1], LEFT, WIDTH - RIGHT, log_x)
    low = min(y for _, y in points) if log_y else 0
    y_ticks = decades(low, max(y for _, y in points)) if log_y else steps(max(y for _, y in points))
    y_axis = Axis(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP, log_y)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12" fill="#808080">',
        f'<text x="{LEFT}" y="20" font-size="14">{escape(title)}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>',
    ]
    for tick in y_ticks:
        y = y_axis.place(tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#808080" stroke-opacity="0.3"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:,.0f}</text>')
    for tick in x_ticks:
        parts.append(f'<text x="{x_axis.place(tick):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick:,.0f}</text>')
    labels = []
    for (name, line), colour in zip(series.items(), COLOURS):
        places = [(x_axis.place(x), y_axis.place(y)) for x, y in sorted(line)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        labels.append((places[-1][1], name, colour))
    for y, name, colour in apart(labels):
        parts.append(f'<text x="{WIDTH - RIGHT + 10}" y="{y + 4:.1f}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


class Axis:
    """From values to places."""

    def __init__(self, low, high, start, end, is_log):
        self.scale = math.log10 if is_log else float
        self.low, self.high = self.scale(low), self.scale(high)
        self.start, self.end = start, end

    def place(self, value):
        part = (self.scale(value) - self.low) / ((self.high - self.low) or 1)
        return self.start + part * (self.end - self.start)


def decades(low, high):
    return [10**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


def steps(high):
    """Five or so round numbers from 0 to `high` or a little more."""
    rough = high / 5
    unit = 10 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough)
    return [step * number for number in range(math.ceil(high / step) + 1)]


def apart(labels, least=15):
    """Moves labels down where they would cover each other."""
    last = -math.inf
    for y, name, colour in sorted(labels):
        last = max(y, last + least)
        yield last, name, colour
