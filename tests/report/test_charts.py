import re
from xml.etree import ElementTree

import pytest

from vpdata.pages.units import as_bytes, as_count, as_duration
from vptrain.report.charts import Line, Scale, line_chart, paired_bars, sparkline


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (0.0, 900.0, [0, 200, 400, 600, 800]), (2.0, 2.0, [2.0])],
)
def test_linear_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert Scale(low=low, high=high, begin=0, end=100).ticks(5) == pytest.approx(expected)


def test_logarithmic_ticks_lie_inside() -> None:
    scale = Scale(low=0.009, high=1.2, begin=0, end=100, log=True)
    ticks = scale.ticks(5)
    assert 3 <= len(ticks) <= 6
    assert all(0.009 <= tick <= 1.2 for tick in ticks)
    assert scale(0.009) == 0
    assert scale(1.2) == pytest.approx(100)
    assert scale((0.009 * 1.2) ** 0.5) == pytest.approx(50)


def test_a_line_goes_through_its_points() -> None:
    line = Line(css="line-training", points=[(0, 2.0), (10, 1.0), (20, 0.0)])
    svg = ElementTree.fromstring(line_chart([line], x_label="steps", label="losses", width=520, height=250))
    points = [tuple(map(float, pair.split(","))) for pair in svg.find("polyline").attrib["points"].split()]  # type: ignore[union-attr]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert (x0, x2) == (46, 506)  # the whole width between the margins
    assert x1 == pytest.approx((x0 + x2) / 2)
    assert y2 == 216  # zero lies on the bottom, and up is smaller
    assert y2 - y0 == pytest.approx(2 * (y2 - y1), abs=0.2)


def test_an_empty_line_and_a_single_point_can_be_drawn() -> None:
    lines = [Line(css="a", points=[]), Line(css="b", points=[(4, 1.0)])]
    svg = ElementTree.fromstring(line_chart(lines, x_label="steps", label="losses"))
    assert len(svg.findall("circle")) == 1


def test_bars_are_as_long_as_their_values() -> None:
    svg = ElementTree.fromstring(paired_bars([("a<b", 1.0, 0.5), ("still", 0.0, 0.0)], label="errors"))
    widths = [float(bar.attrib["width"]) for bar in svg.findall("rect")]
    assert widths[0] == 2 * widths[1]
    assert widths[2] == widths[3] == 1  # to be seen at all
    assert next(text.text for text in svg.findall("text")) == "a<b"


def test_a_sparkline_spans_the_given_range() -> None:
    svg = sparkline([Line(css="line", points=[(0, -1.0), (1, 1.0)])], low=-1, high=1, label="x", height=84)
    assert re.search(r'points="5\.0,79\.0 145\.0,5\.0"', svg)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.96, "10.0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (7620, "2 h 07 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert as_duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (999_600, "1 MB"), (1_387_008, "1.39 MB"), (2e12, "2 TB")]
)
def test_bytes(count: float, text: str) -> None:
    assert as_bytes(count) == text


def test_counts_are_grouped() -> None:
    assert as_count(1234567) == "1\u202f234\u202f567"
