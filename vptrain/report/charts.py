"""Numbers in, inline SVG out. Colours come from CSS classes, so that a chart follows the page's light or dark theme."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

LEFT, RIGHT, TOP, BOTTOM = 46, 14, 10, 34
"""Pixels around a line chart's plot, for its scales."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line through (x, y) points, drawn with a CSS class."""

    css: str
    points: Sequence[tuple[float, float]]
    dots: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Maps a range of values to pixels, linearly or logarithmically."""

    low: float
    high: float
    begin: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value; the middle where the range is empty."""
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        share = (value - low) / (high - low) if high > low else 0.5
        return self.begin + share * (self.end - self.begin)

    def ticks(self, count: int) -> list[float]:
        """About `count` round values inside the range."""
        if self.high <= self.low:
            return [self.low]
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            fine = [digit * 10.0**decade for decade in decades for digit in (1, 1.5, 2, 3, 5, 7)]
            inside = [value for value in fine if self.low <= value <= self.high]
            return inside[:: max(1, math.ceil(len(inside) / (count + 1)))]
        rough = (self.high - self.low) / count
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(digit * power for digit in (1, 2, 2.5, 5, 10) if digit * power >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def line_chart(
    lines: Sequence[Line], *, x_label: str, label: str, log: bool = False, width: int = 520, height: int = 250
) -> Markup:
    """A chart with scales and a grid.

    Args:
        lines: at least one point among them; for a logarithmic scale all y > 0.
        label: what the chart shows, for those who cannot see it.
        log: whether the y scale is logarithmic.
        width, height: in pixels.
    """
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    low, high = (min(ys) / 1.05, max(ys) * 1.05) if log else (min(0.0, *ys), max(ys) * 1.05)
    x_scale = Scale(low=min(0.0, *xs), high=max(xs), begin=LEFT, end=width - RIGHT)
    y_scale = Scale(low=low, high=high, begin=height - BOTTOM, end=TOP, log=log)
    parts = []
    for value in y_scale.ticks(5):
        y = y_scale(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(LEFT - 8, y + 4, f"{value:.3g}", anchor="end"))
    for value in x_scale.ticks(5):
        parts.append(_text(x_scale(value), height - BOTTOM + 17, f"{value:g}", anchor="middle"))
    parts.append(_text(width - RIGHT, height - 2, x_label, anchor="end"))
    parts += [_line(line, x_scale, y_scale) for line in lines]
    return _svg(parts, width=width, height=height, label=label)


def sparkline(
    lines: Sequence[Line], *, low: float, high: float, label: str, width: int = 150, height: int = 84
) -> Markup:
    """A small chart without scales: a frame from `low` to `high` and a line at zero."""
    xs = [x for line in lines for x, _ in line.points]
    x_scale = Scale(low=min(xs), high=max(xs), begin=5, end=width - 5)
    y_scale = Scale(low=low, high=high, begin=height - 5, end=5)
    zero = y_scale(0.0)
    parts = [
        f'<rect class="frame" x="1" y="1" width="{width - 2}" height="{height - 2}" rx="5"/>',
        f'<line class="grid" x1="1" x2="{width - 1}" y1="{zero:.1f}" y2="{zero:.1f}"/>',
        *(_line(line, x_scale, y_scale) for line in lines),
    ]
    return _svg(parts, width=width, height=height, label=label)


def paired_bars(rows: Sequence[tuple[str, float, float]], *, label: str, width: int = 720) -> Markup:
    """One group a row of (name, value, baseline): two horizontal bars with their numbers behind them."""
    row_height, names = 40, 150
    longest = max((max(value, baseline) for _, value, baseline in rows), default=0.0)
    scale = Scale(low=0.0, high=longest or 1.0, begin=0, end=width - names - 60)
    parts = []
    for i, (name, value, baseline) in enumerate(rows):
        top = i * row_height + 4
        parts.append(_text(names - 12, top + 20, name, anchor="end", css="name"))
        for offset, css, length in ((0, "bar-model", value), (15, "bar-baseline", baseline)):
            bar = max(scale(length), 1.0)
            parts.append(f'<rect class="{css}" x="{names}" y="{top + offset}" width="{bar:.1f}" height="13" rx="2"/>')
            parts.append(_text(names + bar + 6, top + offset + 11, f"{length:.3f}", anchor="start"))
    return _svg(parts, width=width, height=len(rows) * row_height, label=label)


def _line(line: Line, x_scale: Scale, y_scale: Scale) -> str:
    points = [(x_scale(x), y_scale(y)) for x, y in line.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle class="{line.css}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points)
    return f'<polyline class="{line.css}" points="{path}"/>' + (dots if line.dots or len(points) == 1 else "")


def _text(x: float, y: float, text: str, *, anchor: str, css: str = "tick") -> str:
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(parts: Sequence[str], *, width: int, height: int, label: str) -> Markup:
    body = "".join(parts)
    return Markup(  # every text in it has been escaped
        f'<svg role="img" aria-label="{escape(label)}" width="{width}" viewBox="0 0 {width} {height}">{body}</svg>'
    )
