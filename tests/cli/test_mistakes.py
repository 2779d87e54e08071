"""What users get wrong with any command: one of our errors or exit code 2, and nothing written."""

import resource
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vpdata.cli.app import app
from vpdata.errors import VpdataError
from vpdata.shards import hub_url


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def assert_told(result: Result, *messages: str) -> None:
    assert isinstance(result.exception, VpdataError), result.exception
    for message in messages:
        assert message in str(result.exception)


@contextmanager
def file_size_limit(num_bytes: int) -> Iterator[None]:
    """Fails a write for real, as a full disk or quota would."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


FILES = [["mix", "DIR"], ["split", "DIR"], ["stats", "DIR", "--windows", "0"]]
FOLDERS = [
    ["merge", "DIR", "OTHER"],
    ["reshard", "DIR"],
    ["preview", "DIR"],
    ["ingest", "teleop", "RECORDINGS/aloha_raw"],
    ["repair", "DAMAGED"],
]


@pytest.fixture
def places(datasets: Mapping[str, Path], recordings: Path, tmp_path: Path) -> Mapping[str, str]:
    """What the words in capitals above stand for."""
    damaged = Path(shutil.copytree(datasets["teleop"], tmp_path / "damaged"))
    with (damaged / "shard-00000.tar").open("r+b") as shard:
        shard.truncate(shard.seek(0, 2) - 20_000)
    return {
        "DIR": str(datasets["robocasa"]),
        "OTHER": str(datasets["teleop"]),
        "DAMAGED": str(damaged),
        "RECORDINGS/aloha_raw": str(recordings / "aloha_raw"),
    }


@pytest.mark.parametrize("command", FILES, ids=lambda command: command[0])
def test_an_out_that_is_a_folder_or_too_large_for_the_disk(
    places: Mapping[str, str], tmp_path: Path, command: list[str]
) -> None:
    arguments = [places.get(word, word) for word in command]
    folder = tmp_path / "folder"
    folder.mkdir()
    assert_told(run(*arguments, "--out", folder), "this is a folder", str(folder), "--out")
    with file_size_limit(10):
        assert_told(run(*arguments, "--out", folder / "file"), "cannot write (File too large)", "Make room")
    assert list(folder.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged", "folder"]


@pytest.mark.parametrize("command", FOLDERS, ids=lambda command: command[0])
def test_an_out_that_can_be_no_folder(places: Mapping[str, str], tmp_path: Path, command: list[str]) -> None:
    arguments = [places.get(word, word) for word in command]
    link = tmp_path / "link"
    link.symlink_to("nowhere")
    assert_told(run(*arguments, "--out", link), "cannot write (File exists)", str(link))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged", "link"]


def test_an_export_into_what_is_no_folder(places: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    export = ["export", "lerobot", places["OTHER"], "--out"]
    assert_told(run(*export, tmp_path / "link"), "something is there already", str(tmp_path / "link"))
    (tmp_path / "file").touch()
    assert_told(run(*export, tmp_path / "file" / "out"), "cannot write (Not a directory)")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged", "file", "link"]


def test_a_merge_on_a_full_disk_leaves_nothing(places: Mapping[str, str], tmp_path: Path) -> None:
    with file_size_limit(10_000):
        result = run("merge", places["DIR"], places["OTHER"], "--out", tmp_path / "out")
    assert_told(result, "cannot write (File too large)", "Make room")
    assert not (tmp_path / "out").exists()


def test_damage_names_the_repair(places: Mapping[str, str], tmp_path: Path) -> None:
    damaged = Path(places["DAMAGED"])
    assert_told(run("preview", damaged, "--out", tmp_path / "out"), "the shard has", "`vpdata repair`")
    assert not (tmp_path / "out").exists()
    (damaged / "manifest.json").write_bytes(b"[]")
    assert_told(run("info", damaged), "the manifest is damaged", "`vpdata repair`")
    repaired = run("repair", damaged, "--out", tmp_path / "out", "--json")
    assert repaired.exit_code == 0, repaired.output
    assert run("validate", tmp_path / "out").exit_code == 0


def test_recordings_go_into_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_told(run("collect", "metaworld", "--episodes", 1, "--out", tmp_path / "file"), "this is a file")
    nobody = run("collect", "metaworld", "--episodes", 1, "--out", tmp_path / "out", "--simulator-python", "nobody")
    assert_told(nobody, "this interpreter does not start")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [["mix", "--show"], ["split", "DIR", "--show"], ["mix", "DIR", "--split"]])
def test_a_folder_is_no_mixture_and_no_split(places: Mapping[str, str], tmp_path: Path, command: list[str]) -> None:
    arguments = [places.get(word, word) for word in command]
    out = ["--out", tmp_path / "out"] if "--split" in command else []
    assert_told(run(*arguments, tmp_path, *out), str(tmp_path), "cannot be read (Is a directory)")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fps", "inf"], "less than or equal to 1000"),
        (["--fps", "1e9"], "less than or equal to 1000"),
        (["--tolerance-seconds", "inf"], "less than or equal to 1000"),
        (["--simulator-python", "python3"], "goes with --render"),
    ],
)
def test_values_that_an_ingest_cannot_mean(recordings: Path, tmp_path: Path, options: list[str], message: str) -> None:
    result = run("ingest", "folder", recordings / "folder", *options, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def test_a_plan_shows_the_size_that_is_stored(recordings: Path, tmp_path: Path) -> None:
    result = run(
        "ingest", "teleop", recordings / "aloha_raw", "--size", "48x64", "--out", tmp_path / "out", "--dry-run"
    )
    assert ":48x64" in result.stdout


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["pull", "drawers", "--out", "OUT"], "drawers: this is no URL"),
        (["info", "ftp://host/drawers"], "ftp:// servers are not read"),
        (["spaces", "action:pan,tilt,pan"], "two columns of the space 'action:pan,tilt,pan' have one name"),
        (["mix", "DIR", "--action-free", "0.7", "--out", "OUT"], "--withhold-actions NAME:TASK"),
        (["mix", "DIR", "--action-free", "0:0.9,10", "--out", "OUT"], "'10' is no step"),
        (["mix", "DIR", "--weight", "robocasa=-1", "--out", "OUT"], "weight -1 is not above 0"),
    ],
)
def test_words_that_mean_nothing(places: Mapping[str, str], tmp_path: Path, command: list[str], message: str) -> None:
    words = {**places, "OUT": str(tmp_path / "out")}
    assert_told(run(*(words.get(word, word) for word in command)), message)
    assert not (tmp_path / "out").exists()


def test_a_hub_that_is_out_of_reach_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(VpdataError, match=r"cannot be looked up .*Check its name and the network"):
        hub_url.pinned("hf://datasets/user/drawers")
