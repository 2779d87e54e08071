import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vpdata.cli.app import app
from vpdata.errors import ExportError
from vpdata.shards.dataset import Dataset
from vpdata.shards.files import locked_file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_both_formats(small: Dataset, tmp_path: Path) -> None:
    lerobot, hdf5 = tmp_path / "lerobot", tmp_path / "small.hdf5"
    options = ("--repo-id", "me/small", "--robot-type", "panda", "--format-version", "2.1")
    result = run("lerobot", small.place, "--out", lerobot, *options, "--json")
    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)
    assert (row["path"], row["num_episodes"]) == (str(lerobot), 3)
    assert row["num_camera_frames"] == 2 * row["num_frames"]
    assert 0 < row["num_encoded"] < row["num_camera_frames"]
    assert 'LeRobotDataset("me/small"' in (lerobot / "README.md").read_text()
    info = json.loads((lerobot / "meta/info.json").read_text())
    assert (info["codebase_version"], info["robot_type"]) == ("v2.1", "panda")
    result = run("hdf5", small.place, "--out", hdf5)
    assert result.exit_code == 0, result.output
    assert str(row["num_frames"]) in result.stdout
    assert hdf5.is_file()


@pytest.mark.parametrize("option", ["--format-version", "--dtype", "--repo-id", "--robot-type"])
def test_options_of_the_other_format_are_refused(small: Dataset, tmp_path: Path, option: str) -> None:
    value = {"--format-version": "3.0", "--dtype": "float32"}.get(option, "x")
    result = run("hdf5", small.place, "--out", tmp_path / "out.hdf5", option, value)
    assert result.exit_code == 2
    assert "is for lerobot only" in result.output


def test_two_exports_to_one_place(small: Dataset, tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    with locked_file(tmp_path / "out.partial/lock", busy=ExportError("not free.")):
        result = run("lerobot", small.place, "--out", tmp_path / "out")
    assert "another command is exporting there" in str(result.exception)
    assert run("lerobot", small.place, "--out", tmp_path / "out").exit_code == 0
