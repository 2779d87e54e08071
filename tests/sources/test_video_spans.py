"""Spans of a video as episodes: the same frames as in the whole one, wherever the container lets a reader in."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from reading import assert_same_frames

from vpdata import sources
from vpdata.errors import SourceError
from vpdata.schema import Episode
from vpdata.sources import SourceFile, SourceOptions
from vpdata.sources.files import file_digest

VIDEO = sources.load("video")


def episodes(path: Path, spans: Sequence[tuple[int, int]], *, fps: float | None = None) -> list[Episode]:
    options = SourceOptions(spans={(path.name, file_digest(path)): spans}, fps=fps)
    found = list(VIDEO.episodes(SourceFile(path=path, name=path.name), options))
    assert all(isinstance(episode, Episode) for episode in found)
    return found  # type: ignore[return-value]


def frames(path: Path, episode: Episode, *, fps: float | None = None) -> NDArray[np.uint8]:
    file, options = SourceFile(path=path, name=path.name), SourceOptions(fps=fps)
    with VIDEO.open(file, episode, options) as reader:
        return np.stack(list(reader.frames("main", 0, episode.num_frames)))


def whole(path: Path, *, fps: float | None = None) -> NDArray[np.uint8]:
    (episode,) = VIDEO.episodes(SourceFile(path=path, name=path.name), SourceOptions(fps=fps))
    assert isinstance(episode, Episode)
    return frames(path, episode, fps=fps)


def test_spans_of_every_recording(recordings: Path) -> None:
    for path in sorted((recordings / "video").iterdir()):
        expected = whole(path)
        if len(expected) == 1 or "_vfr" in path.name:
            continue
        spans = [(0, 11), (11, 30), (37, 50)]
        found = episodes(path, spans)
        assert [episode.num_frames for episode in found] == [11, 19, 13]
        assert len({episode.content_digest for episode in found}) == 3
        for episode, (start, stop) in zip(found, spans, strict=True):
            assert episode.episode_id == f"{path.stem}:{start}-{stop}"
            assert_same_frames(frames(path, episode), expected[start:stop])


def with_gaps(path: Path, *, options: dict[str, str]) -> Path:
    """Frames of four levels, 30 each, with B frames and key frames that are not at the cuts."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20, options=options)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for i in range(120):
            frame = np.full((64, 96, 3), 40 + 50 * (i // 30), np.uint8)
            frame[:, i % 90 : i % 90 + 6] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize(
    "options", [{"g": "12", "bf": "3"}, {"g": "25", "bf": "3", "x264-params": "open-gop=1:b-adapt=0"}, {"g": "250"}]
)
def test_a_reader_enters_in_the_middle(tmp_path: Path, suffix: str, options: dict[str, str]) -> None:
    path = with_gaps(tmp_path / f"a{suffix}", options=options)
    expected = whole(path)
    for start in range(1, 118, 9):
        (episode,) = episodes(path, [(start, start + 3)])
        np.testing.assert_array_equal(frames(path, episode), expected[start : start + 3])


@pytest.mark.parametrize("fps", [7.0, 20.0, 33.0])
def test_at_another_rate_no_span_shows_frames_of_another(tmp_path: Path, fps: float) -> None:
    path = with_gaps(tmp_path / "a.mp4", options={"g": "12"})
    expected = whole(path, fps=fps)
    found = episodes(path, [(0, 30), (30, 60), (60, 90), (90, 120)], fps=fps)
    parts = [frames(path, episode, fps=fps) for episode in found]
    np.testing.assert_array_equal(np.concatenate(parts), expected)
    for number, part in enumerate(parts):
        assert np.all(np.abs(np.median(part, axis=(1, 2, 3)) - (40 + 50 * number)) <= 3)


def test_a_span_shorter_than_a_frame_is_an_error(tmp_path: Path) -> None:
    path = with_gaps(tmp_path / "a.mp4", options={"g": "12"})
    options = SourceOptions(spans={(path.name, file_digest(path)): [(31, 32)]}, fps=1.0)
    (error,) = VIDEO.episodes(SourceFile(path=path, name=path.name), options)
    assert isinstance(error, SourceError)
    assert "nothing is left of frames [31, 32)" in str(error)


def test_a_video_without_spans_is_refused_and_one_with_none_has_no_episode(tmp_path: Path) -> None:
    path = with_gaps(tmp_path / "a.mp4", options={"g": "12"})
    assert episodes(path, []) == []
    with pytest.raises(SourceError, match="not in the curation"):
        list(VIDEO.episodes(SourceFile(path=path, name="b.mp4"), SourceOptions(spans={})))
