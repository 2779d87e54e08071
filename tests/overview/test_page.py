"""The page: well-formed, self-contained, and all that was found on it."""

import base64
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from tests.overview.conftest import CuratedSet
from vpdata.errors import VpdataError
from vpdata.overview.charts import histogram, ticks
from vpdata.overview.facts import Distribution, Overview, Tally
from vpdata.overview.gather import gather
from vpdata.overview.page import MAX_PICTURES, MAX_ROWS, render, write_page
from vpdata.shards.dataset import Dataset
from vpdata.shards.manifest import Skipped

VOID = {"meta", "link", "br", "img", "rect", "line"}


class Page(HTMLParser):
    """Checks nesting and collects text, pictures, and all that names a resource."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.resources: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.resources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def pictures(self) -> list[bytes]:
        found = [one.partition("base64,")[2] for one in self.resources if one.startswith("data:image/jpeg")]
        return [base64.b64decode(one) for one in found]


@pytest.fixture(scope="module")
def overview(curated_set: CuratedSet, datasets: Mapping[str, Path]) -> Overview:
    places = [curated_set.dataset, datasets["robocasa"], datasets["video"]]
    return gather([Dataset.open(p) for p in places], curations=[curated_set.curation], num_windows=3, seed=0)


def test_the_page_shows_what_was_found(overview: Overview) -> None:
    html = render(overview)
    page = Page(html)
    assert all(one.startswith("data:") for one in page.resources)
    assert "http" not in re.sub(r"data:[^\"]*|http-equiv", "", html)
    text = " ".join(page.text.split())
    for facts in overview.datasets:
        assert facts.place in text
        assert all(task.name in text for task in facts.tasks)
        assert all(space.name in text for space in facts.spaces)
    (curation,) = overview.curations
    assert all(f"Dropped: {one.reason}" in text for one in curation.reasons)
    assert all(f"{name} = {getattr(curation.thresholds, name):g}" in text for name in ("black_share", "cut_ratio"))
    (action,) = (space for space in overview.datasets[1].spaces if space.kind == "action")
    constant = sum(d.constant for facts in overview.datasets for space in facts.spaces for d in space.dimensions)
    assert page.text.count("constant") == constant > sum(d.constant for d in action.dimensions) > 0


def test_dropped_spans_and_extremes_have_pictures(overview: Overview) -> None:
    (curation,) = overview.curations
    shown = sum(min(one.num_spans, MAX_PICTURES) for one in curation.reasons if one.reason != "unreadable")
    examples = sum(len(facts.footage.examples) for facts in overview.datasets if facts.footage)
    pictures = Page(render(overview)).pictures
    assert len(pictures) == shown + examples
    for picture in pictures:
        assert max(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).shape) <= 128


def test_names_and_texts_are_escaped(overview: Overview) -> None:
    facts = overview.datasets[1]
    evil = replace(facts.language, instructions=(Tally(text="<script>alert(1)</script>", count=1),))
    html = render(replace(overview, datasets=(replace(facts, language=evil),)))
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "reel &lt;0&gt;.mp4" in html


def test_long_lists_are_cut_and_counted(overview: Overview) -> None:
    facts = overview.datasets[1]
    skipped = tuple(Skipped(file=f"demo{i}.hdf5", episode="", reason="empty") for i in range(MAX_ROWS + 7))
    text = Page(render(replace(overview, datasets=(replace(facts, skipped=skipped),), curations=()))).text
    assert f"demo{MAX_ROWS - 1}.hdf5" in text
    assert f"demo{MAX_ROWS}.hdf5" not in text
    assert "And 7 more" in text


def test_a_curation_alone_has_a_page(overview: Overview, tmp_path: Path) -> None:
    path = tmp_path / "new" / "dropped.html"
    size = write_page(replace(overview, datasets=()), path)
    assert path.stat().st_size == size
    assert "What curation kept and dropped" in Page(path.read_text()).text


def test_a_missing_picture_is_told(curated_set: CuratedSet, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(curated_set.curation, tmp_path / "copy"))
    shutil.rmtree(copy / "thumbnails")
    found = gather([], curations=[copy], num_windows=0, seed=0)
    with pytest.raises(VpdataError, match=r"vpdata curate"):
        render(found)


def test_bars_stand_for_counts() -> None:
    edges = (0.0, 1.0, 2.0)
    parts = [Distribution.of(np.array(values), limits=(0.0, 2.0)) for values in ([0.5, 0.5, 1.5], [1.5])]
    cut = [replace(part, edges=edges, counts=(sum(part.counts[:12]), sum(part.counts[12:]))) for part in parts]
    svg = ElementTree.fromstring(histogram([("kept", cut[0]), ("dropped", cut[1])], label="<lengths>"))
    bars = [(bar.get("class"), float(bar.get("y", "")), float(bar.get("height", ""))) for bar in svg.iter("rect")]
    (first, tall), (second, low), (third, top) = [(css, height) for css, _, height in bars]
    assert (first, second, third) == ("kept", "kept", "dropped")
    assert tall == pytest.approx(2 * low, abs=0.1) == pytest.approx(2 * top, abs=0.1)
    assert bars[2][1] + bars[2][2] == pytest.approx(bars[1][1], abs=0.2)
    assert svg.get("aria-label") == "<lengths>"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0, 0.5, 1.0]),
        (46.0, 151.0, [50, 100, 150]),
        (2.0, 2.0, [2.0]),
        (0.001, 0.0042, [0.001, 0.002, 0.003, 0.004]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)
