"""Videos of whole episodes: packets are copied where that gives the same pictures, and encoded again only where not."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from seen import decoded, frames_of, psnr

from vpdata.clips.encode import ClipOptions
from vpdata.codecs import h264
from vpdata.export.runs import Run, assemble
from vpdata.export.video import JoinedVideo, OpenVideo, codec_for, write_run
from vpdata.ingest import IngestOptions, ingest
from vpdata.shards.dataset import Dataset
from vpdata.sources import SourceOptions


def stored(recordings: Path, tmp_path: Path, *, codec: str, clip_starts: int, window_span: int, fps: float = 20) -> Run:
    """A video of 111 frames at 20 a second and 32x32 pixels, cut into clips of this length."""
    options = IngestOptions(
        source=SourceOptions(fps=fps),
        clip=ClipOptions(codec=codec, height=32, width=32),
        clip_starts=clip_starts,
        window_span=window_span,
    )
    ingest("video", [recordings / "video/libero_spatial_bowl_003_hevc.mp4"], tmp_path / "data", options, workers=1)
    (run,) = assemble([Dataset.open(tmp_path / "data")])
    return run


def timing(path: Path) -> tuple[int, float, float]:
    """Number of frames, frames a second and seconds, as the container says."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert [packet.pts for packet in container.demux(stream) if packet.size and packet.pts < 0] == []
        return stream.frames, float(stream.average_rate), float(stream.duration * stream.time_base)


# In H.264 frames 0, 33, 66, … of a clip are key frames, and every eighth behind one is a reference. So a clip may be
# cut before frame 33 or 25. Before frame 20 all 20 frames of five clips are encoded, before frame 40 the last 7 of two.
@pytest.mark.parametrize(
    ("codec", "clip_starts", "window_span", "fps", "num_encoded"),
    [
        ("h264", 33, 32, 20, 0),
        ("h264", 25, 9, 20, 0),
        ("h264", 256, 64, 100, 0),  # the lengths that an ingest has
        ("h264", 20, 9, 20, 100),
        ("h264", 40, 9, 20, 14),
        ("h264", 1, 1, 2, 0),  # clips of one frame
        ("av1", 30, 20, 20, 0),
    ],
)
def test_copied_frames_are_the_stored_ones(
    recordings: Path, tmp_path: Path, codec: str, clip_starts: int, window_span: int, fps: float, num_encoded: int
) -> None:
    run = stored(recordings, tmp_path, codec=codec, clip_starts=clip_starts, window_span=window_span, fps=fps)
    path = tmp_path / "main.mp4"
    assert write_run(run, "main", path, codec=codec) == num_encoded
    assert timing(path) == (run.num_frames, fps, run.num_frames / fps)
    quality = psnr(decoded(path), frames_of(run, "main"))
    assert np.isinf(quality).sum() == run.num_frames - num_encoded
    assert quality.min() > 32


def test_other_codecs_become_h264(recordings: Path, tmp_path: Path) -> None:
    run = stored(recordings, tmp_path, codec="ffv1", clip_starts=40, window_span=20)
    assert write_run(run, "main", tmp_path / "main.mp4", codec=codec_for(["ffv1"])) == run.num_frames
    assert psnr(decoded(tmp_path / "main.mp4"), frames_of(run, "main")).min() > 32


def test_streams_of_different_encoders_are_not_joined(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stored(recordings, tmp_path, codec="h264", clip_starts=40, window_span=9)
    changed = {**h264.FORMAT.options, "x264-params": "keyint=20:bframes=0"}
    monkeypatch.setattr(h264.H264, "form", replace(h264.FORMAT, options=changed))
    assert write_run(run, "main", tmp_path / "main.mp4", codec="h264") == run.num_frames
    assert psnr(decoded(tmp_path / "main.mp4"), frames_of(run, "main")).min() > 32


def test_one_codec_for_all_videos() -> None:
    assert [codec_for(names) for names in (["av1"], ["h264"], ["h264", "av1"], ["jpeg"])] == [
        "av1", "h264", "h264", "h264",
    ]  # fmt: skip


def test_videos_of_episodes_are_joined_frame_by_frame(tmp_path: Path, small: Dataset) -> None:
    runs = assemble([small])
    paths = [tmp_path / f"{number}.mp4" for number in range(len(runs))]
    for run, path in zip(runs, paths, strict=True):
        write_run(run, "front", path, codec="h264")
    with OpenVideo(paths[0]) as first, JoinedVideo(tmp_path / "all.mp4", like=first, fps=20) as joined:
        for path in paths:
            with OpenVideo(path) as video:
                joined.append(video.packets())
    total = sum(run.num_frames for run in runs)
    assert timing(tmp_path / "all.mp4") == (total, 20.0, total / 20)
    np.testing.assert_array_equal(decoded(tmp_path / "all.mp4"), np.concatenate([decoded(path) for path in paths]))
