"""Distributions in, inline SVG histograms out. Colours come from CSS classes, so that they follow the page's theme."""

import math
from collections.abc import Sequence
from html import escape

from markupsafe import Markup

from vpdata.overview.facts import Distribution

WIDTH, HEIGHT, SIDE, BELOW = 300, 132, 6, 20
"""Pixels of a histogram, on its left and right, and below the bars for the scale."""

SINGLE = 24
"""Pixels of the one bar of equal values."""

NUM_TICKS = 4
"""Steps of the scale at most."""


def histogram(parts: Sequence[tuple[str, Distribution]], *, label: str) -> Markup:
    """Bars, stacked where there are several distributions, and a scale below.

    Args:
        parts: CSS class and distribution, from the bottom up; all with the same edges.
        label: what the chart shows, for those who cannot see it.
    """
    edges = parts[0][1].edges
    heights = [part.counts for _, part in parts]
    highest = max(map(sum, zip(*heights, strict=True)))
    span = edges[-1] - edges[0]
    base, half = HEIGHT - BELOW, WIDTH / 2 - SIDE if span else SINGLE / 2
    left, right = WIDTH / 2 - half, WIDTH / 2 + half

    def x_of(value: float) -> float:
        return left + (value - edges[0]) / span * (right - left) if span else (left + right) / 2

    drawn = [f'<line class="grid" x1="{SIDE}" x2="{WIDTH - SIDE}" y1="{base}" y2="{base}"/>']
    step = (right - left) / (len(edges) - 1)
    for i in range(len(edges) - 1):
        top = float(base)
        for (css, _), counts in zip(parts, heights, strict=True):
            height = counts[i] / highest * (base - 4)
            if height:
                top -= height
                box = f'x="{left + i * step + 0.5:.1f}" y="{top:.1f}" width="{step - 1:.1f}" height="{height:.1f}"'
                drawn.append(f'<rect class="{css}" {box}/>')
    for value in ticks(edges[0], edges[-1]):
        x = x_of(value)
        anchor = "start" if x < SIDE + 12 else "end" if x > WIDTH - SIDE - 12 else "middle"
        drawn.append(f'<text x="{x:.1f}" y="{HEIGHT - 5}" text-anchor="{anchor}">{value:.4g}</text>')
    return Markup(  # every text in it has been escaped
        f'<svg role="img" aria-label="{escape(label)}" width="{WIDTH}" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f"{''.join(drawn)}</svg>"
    )


def ticks(low: float, high: float) -> list[float]:
    """Round values in a range; the value itself where the range is empty."""
    if low >= high:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / NUM_TICKS))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power * NUM_TICKS >= (high - low) * 0.999)
    return [number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
