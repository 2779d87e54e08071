"""`vpdata curate` and `vpdata ingest video --curation` as a user runs them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from tests.curation import planted
from vpdata.cli.app import app
from vpdata.curation.record import read_curation
from vpdata.curation.thresholds import DEFAULTS
from vpdata.errors import SourceError, VpdataError
from vpdata.shards.dataset import Dataset


def vpdata(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def footage(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes with black between the last two, a real recording, and one that is broken."""
    folder = tmp_path_factory.mktemp("footage")
    aloha, _, soup, *_ = planted.scenes(recordings)
    reel = planted.Reel()
    reel.add(aloha[:40])
    reel.add(soup[20:60])
    reel.add(np.zeros_like(soup[:30]), reason="black")
    reel.add(aloha[60:100])
    reel.write(folder / "reel.mp4", {"crf": "18"})
    shutil.copy(recordings / "video/libero_spatial_bowl_004_vp9.webm", folder)
    shutil.copy(recordings / "video_broken/broken_bitflips.mp4", folder)
    return folder


@pytest.fixture(scope="module")
def curation(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("curation") / "out"
    result = vpdata("curate", footage, "--out", out, "--workers", 2, "--json")
    assert result.exit_code == 0, result.output
    totals = {row["what"]: row for row in json.loads(result.stdout)["totals"]}
    assert {what: row["spans"] for what, row in totals.items()} == {
        "came in": 3,
        "kept": 4,
        "unreadable": 1,
        "black": 1,
    }
    assert totals["black"]["seconds"] == 1.5
    return out


def test_thresholds_are_printed_and_read(footage: Path, curation: Path, tmp_path: Path) -> None:
    printed = vpdata("curate", "--print-thresholds").stdout
    assert printed == DEFAULTS
    (tmp_path / "strict.toml").write_text(printed.replace("short_seconds = 1.0", "short_seconds = 3.0"))
    shutil.copytree(curation, tmp_path / "out")
    result = vpdata("curate", footage, "--out", tmp_path / "out", "--thresholds", tmp_path / "strict.toml")
    assert result.exit_code == 0
    assert "3 videos: 0 measured, 3 were measured before." in result.stderr
    assert "unreadable broken_bitflips.mp4: the video does not decode at frame 23" in result.stderr
    assert [len(file.kept) for file in read_curation(tmp_path / "out").files] == [0, 1, 0]


def test_source_and_out_are_needed(tmp_path: Path) -> None:
    assert vpdata("curate", "--out", tmp_path).exit_code == 2
    assert vpdata("curate", tmp_path).exit_code == 2


@pytest.mark.parametrize("fps", [None, 12])
def test_ingest_takes_the_kept_spans(footage: Path, curation: Path, tmp_path: Path, fps: int | None) -> None:
    options = ["--codec", "ffv1", "--size", "48x64", "--clip-starts", 20, "--window-span", 8, "--workers", 1]
    options += ["--fps", fps] if fps else []
    result = vpdata("ingest", "video", footage, "--curation", curation, "--out", tmp_path / "set", *options)
    assert result.exit_code == 0, result.output
    assert vpdata("validate", tmp_path / "set").exit_code == 0
    result = vpdata("ingest", "video", footage, "--out", tmp_path / "whole", "--on-error", "skip", *options)
    dataset, whole = Dataset.open(tmp_path / "set"), Dataset.open(tmp_path / "whole")
    ids = list(dict.fromkeys(clip.episode.episode_id for clip in dataset.clips))
    assert ids == ["libero_spatial_bowl_004_vp9:0-116", "reel:0-40", "reel:40-80", "reel:110-150"]
    recorded: dict[tuple[str, int], NDArray[np.uint8]] = {}
    for clip in whole.clips:
        for i, frame in enumerate(whole.frames(clip, "main", range(clip.num_frames))):
            recorded[clip.episode.file, clip.span.start + i] = frame
    for clip in dataset.clips:
        first = int(clip.episode.attributes["video_first_frame"]) + clip.span.start
        for i, frame in enumerate(dataset.frames(clip, "main", range(clip.num_frames))):
            np.testing.assert_array_equal(frame, recorded[clip.episode.file, first + i])
    record = dataset.manifest.options["curation"]
    assert record["sha256"] == read_curation(curation).sha256
    assert record["thresholds"]["black_share"] == 0.98
    assert {"scenedetect", "opencv", "av"} <= set(record["tool_versions"])
    assert [(span["file"], span["reason"]) for span in record["dropped"]] == [
        ("broken_bitflips.mp4", "unreadable"),
        ("reel.mp4", "black"),
    ]
    assert (record["dropped"][1]["start"], record["dropped"][1]["stop"]) == (80, 110)


def test_ingest_refuses_what_was_not_curated(footage: Path, curation: Path, recordings: Path, tmp_path: Path) -> None:
    shutil.copytree(footage, tmp_path / "more")
    shutil.copy(recordings / "video/libero10_basket_002_5fps.mp4", tmp_path / "more")
    result = vpdata("ingest", "video", tmp_path / "more", "--curation", curation, "--out", tmp_path / "set")
    assert isinstance(result.exception, SourceError)
    assert "libero10_basket_002_5fps.mp4" in str(result.exception)
    result = vpdata("ingest", "teleop", recordings / "aloha", "--curation", curation, "--out", tmp_path / "set")
    assert isinstance(result.exception, VpdataError)
    assert "only the source video is curated" in str(result.exception)
    result = vpdata("ingest", "video", footage, "--curation", footage, "--out", tmp_path / "set")
    assert "no finished curation" in str(result.exception)
