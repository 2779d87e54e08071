"""What is said of duplicates, against what `vpdata duplicates` printed."""

import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.overview.test_page import Page
from vpdata.cli.app import app
from vpdata.errors import VpdataError
from vpdata.overview.duplicates import MAX_PAIRS, describe_duplicates
from vpdata.overview.facts import Overview, to_json
from vpdata.overview.page import render
from vpdata.shards.cache import FOLDER_VARIABLE


@pytest.fixture(scope="module")
def found(datasets: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What a search within the videos, and one of them against themselves, printed."""
    folder = tmp_path_factory.mktemp("found")
    video = str(datasets["video"])
    searches = {"within": [video], "against": [video, "--against", video]}
    for name, arguments in searches.items():
        environment = {FOLDER_VARIABLE: str(folder / "cache")}
        result = CliRunner().invoke(app, ["duplicates", *arguments, "--json"], env=environment)
        assert result.exit_code == 1, result.output
        (folder / f"{name}.json").write_text(result.stdout)
    return {name: folder / f"{name}.json" for name in searches}


def page_of(*files: Path) -> tuple[Overview, Page]:
    searches = tuple(describe_duplicates(file) for file in files)
    overview = Overview(tool_version="1", datasets=(), curations=(), duplicates=searches)
    return overview, Page(render(overview))


def test_pairs_their_data_sets_and_pictures(found: dict[str, Path], datasets: Mapping[str, Path]) -> None:
    overview, page = page_of(found["within"])
    printed = json.loads(found["within"].read_text())
    (facts,) = to_json(overview)["duplicates"]
    assert [one["pair"] for one in facts["pairs"]] == printed["pairs"]
    assert len(printed["pairs"]) == 1
    expected = {"name": str(datasets["video"]), "is_evaluation": False, "num_pairs": 1, "num_episodes": 2}
    assert list(facts["sets"]) == [expected]
    for side in ("first", "second"):
        assert printed["pairs"][0][side]["file"] in page.text
    assert "1 pair of recordings show the same moments" in page.text
    first, second = (cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR) for one in page.pictures)
    assert max(first.shape) <= 128
    assert np.abs(first.astype(int) - second).mean() < 3  # one moment of two files with the same pictures


def test_leaks_are_told_apart_and_long_lists_cut(found: dict[str, Path]) -> None:
    overview, page = page_of(found["against"])
    (facts,) = overview.duplicates
    assert len(facts.pairs) > MAX_PAIRS
    assert [(one.is_evaluation, one.num_pairs) for one in facts.sets] == [
        (False, len(facts.pairs)),
        (True, len(facts.pairs)),
    ]
    scores = [one.pair.score for one in facts.pairs]
    assert scores == sorted(scores, reverse=True)
    assert "Leaks" in page.text
    assert len(page.pictures) == 2 * MAX_PAIRS
    assert f"The {MAX_PAIRS} most alike of {len(facts.pairs)} pairs" in page.text


def test_the_command_shows_them(found: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "twice.html"
    arguments = ["stats", "--duplicates", str(found["within"]), "--duplicates", str(found["against"])]
    result = CliRunner().invoke(app, [*arguments, "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    assert [len(one["pairs"]) for one in json.loads(result.stdout)["duplicates"]] == [
        len(json.loads(found[name].read_text())["pairs"]) for name in ("within", "against")
    ]
    assert "What is there twice" in out.read_text()


def test_what_does_not_fit_is_refused(found: dict[str, Path], tmp_path: Path) -> None:
    value = json.loads(found["within"].read_text())
    value["sets"][0]["digest"] = "0" * 64
    (tmp_path / "old.json").write_text(json.dumps(value))
    with pytest.raises(VpdataError, match=r"has changed since it was searched.*vpdata duplicates"):
        describe_duplicates(tmp_path / "old.json")
    for text in ("", "[]", '{"pairs": []}', json.dumps({**value, "pairs": [{"first": {}}]})):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(VpdataError, match="not what a search for duplicates found"):
            describe_duplicates(tmp_path / "other.json")
    with pytest.raises(VpdataError, match="cannot be read"):
        describe_duplicates(tmp_path / "none.json")
