"""`vpdata stats` as a user calls it."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vpdata.cli.app import app
from vpdata.errors import VpdataError
from vpdata.shards.dataset import Dataset


def test_json_page_and_table_come_from_one_look(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    page, folders = tmp_path / "stats.html", [str(datasets[name]) for name in ("robocasa", "video")]
    result = CliRunner().invoke(app, ["stats", *folders, "--windows", "2", "--out", str(page), "--json"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert [one["place"] for one in found["datasets"]] == folders
    assert [one["digest"] for one in found["datasets"]] == [Dataset.open(folder).digest for folder in folders]
    assert found["datasets"][0]["footage"]["num_windows"] == 2
    assert found["curations"] == []
    html = page.read_text()
    assert all(one["digest"] in html for one in found["datasets"])
    shown = CliRunner().invoke(app, ["stats", *folders, "--windows", "2"], env={"COLUMNS": "200"})
    assert "base_forward" in shown.stdout
    assert "wrist" in shown.stdout


def test_nothing_to_look_at_is_a_mistake() -> None:
    assert CliRunner().invoke(app, ["stats"]).exit_code == 2


def test_a_folder_without_a_curation_is_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["stats", "--curation", str(tmp_path)])
    assert isinstance(result.exception, VpdataError)
    with pytest.raises(VpdataError, match="vpdata curate"):
        raise result.exception
