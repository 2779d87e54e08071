import json

from typer.testing import CliRunner

from vpdata import spaces
from vpdata.cli.app import app


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["spaces", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_all_spaces_are_listed() -> None:
    listed = json.loads(run("--json"))
    assert [row["name"] for row in listed] == list(spaces.names())
    assert all(row["size"] == spaces.load(row["name"]).size and row["description"] for row in listed)
    assert all(name in run() for name in spaces.names())


def test_one_space_says_what_its_numbers_are_and_what_they_convert_to() -> None:
    shown = json.loads(run("osc_pose_action", "--json"))
    assert [column["name"] for column in shown["columns"]] == list(spaces.load("osc_pose_action").names)
    assert shown["columns"][3] == {
        "name": "delta_axis_angle_x",
        "part": "eef",
        "is": "change of rotation, axis-angle",
        "frame": "base",
        "unit": "0.5 rad",
        "low": -1,
        "high": 1,
    }
    ways = {row["to"]: row for row in shown["conversions"]}
    assert set(ways) == {n for n in spaces.names() if spaces.load(n).kind == "action"} - {"osc_pose_action"}
    assert ways["robocasa_panda_omron_action"]["converts"] == "yes"
    assert ways["eef_pose_base_action"]["with state"] == ["droid_state", "robocasa_panda_omron_state"]
    assert "would be lost" in ways["aloha_action"]["because"]
    text = run("osc_pose_action")
    assert "0.05 m" in text
    assert "with the state" in text


def test_columns_of_a_recording_and_unknown_names() -> None:
    shown = json.loads(run("state:pan,tilt", "--json"))
    assert [column["name"] for column in shown["columns"]] == ["pan", "tilt"]
    assert {row["converts"] for row in shown["conversions"]} == {"no"}
    assert CliRunner().invoke(app, ["spaces", "nothing"]).exit_code == 1
