from collections.abc import Mapping
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from vpdata.cli.app import app
from vpdata.errors import ShardError, VpdataError
from vpdata.preview import PLOT_LEFT, PLOT_RIGHT, VIDEO_WIDTH, preview
from vpdata.shards.dataset import Dataset

CURSOR = (255, 159, 28)


def frames_of(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def cursor_at(frame: av.VideoFrame) -> int:
    """The column in which the cursor's colour stands, in pixels."""
    image = frame.to_ndarray(format="rgb24").astype(int)
    near = np.abs(image - CURSOR).max(axis=2) < 60
    columns = near.sum(axis=0)
    assert columns.max() > 100
    return int(columns.argmax())


@pytest.mark.parametrize("name", ["robocasa", "teleop", "video"])
def test_shows_every_frame_of_the_chosen_clips(datasets: Mapping[str, Path], tmp_path: Path, name: str) -> None:
    shown = preview(datasets[name], tmp_path, num_clips=2, seed=0)
    clips = [clip for clip in Dataset.open(datasets[name]).clips if clip.key in shown.keys]
    assert len(clips) == 2
    with av.open(str(shown.video)) as container:
        stream = container.streams.video[0]
        assert (stream.codec.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert stream.width == VIDEO_WIDTH
        assert stream.height % 2 == 0
    frames = frames_of(shown.video)
    assert len(frames) == sum(clip.num_frames for clip in clips)
    assert shown.seconds == pytest.approx(sum(clip.num_frames / clip.episode.fps for clip in clips))
    assert frames[1].time == pytest.approx(1 / clips[0].episode.fps, abs=1e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["contact.png", "preview.mp4"]


def test_the_cursor_moves_over_the_actions(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    shown = preview(datasets["robocasa"], tmp_path, num_clips=1, seed=0)
    frames = frames_of(shown.video)
    assert cursor_at(frames[0]) == pytest.approx(PLOT_LEFT, abs=3)
    assert cursor_at(frames[-1]) == pytest.approx(VIDEO_WIDTH - PLOT_RIGHT, abs=3)


def test_the_sheet_holds_the_decoded_frames(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    shown = preview(datasets["robocasa"], tmp_path, num_clips=1, seed=0)
    dataset = Dataset.open(datasets["robocasa"])
    clip = next(clip for clip in dataset.clips if clip.key == shown.keys[0])
    sheet = np.asarray(Image.open(shown.contact)).astype(int)
    first = Image.fromarray(dataset.frames(clip, "wrist", [0])[0])
    width = (310 - 4) // 3  # of one of three square tiles, 2 pixels apart, in a fifth of the sheet
    tile = np.asarray(first.resize((width, width), Image.Resampling.BICUBIC)).astype(int)
    windows = np.lib.stride_tricks.sliding_window_view(sheet[:120, :40, 0], (40, 20))
    assert np.abs(windows - tile[:40, :20, 0]).max(axis=(2, 3)).min() == 0


def test_another_seed_shows_other_clips(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    keys = {preview(datasets["libero"], tmp_path, num_clips=1, seed=seed).keys for seed in range(3)}
    assert len(keys) > 1


def test_more_clips_than_there_are_shows_all(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    clips = Dataset.open(datasets["teleop"]).clips
    assert preview(datasets["teleop"], tmp_path, num_clips=1000, seed=3).keys == tuple(clip.key for clip in clips)


def test_nothing_to_show_is_an_error(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    with pytest.raises(VpdataError, match="nothing to show"):
        preview(datasets["robocasa"], tmp_path, num_clips=0, seed=0)
    with pytest.raises(ShardError, match="no data set here"):
        preview(tmp_path, tmp_path, num_clips=1, seed=0)


def test_the_command_names_what_it_wrote(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["preview", str(datasets["video"]), "--out", str(tmp_path / "p"), "--clips", "1", "--json"]
    )
    assert result.exit_code == 0, result.output
    assert str(tmp_path / "p" / "preview.mp4") in result.stdout
    assert (tmp_path / "p" / "contact.png").is_file()
