"""Videos: the frames of an independent decode, at the times a player shows them, and every broken file named."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from reading import assert_same_frames, describe, episodes, read

from vpdata import sources
from vpdata.errors import SourceError
from vpdata.sources import SourceOptions, decoder

VARIABLE = "libero_object_soup_003_vfr.mp4"
ROTATED = "libero_object_soup_004_rotated90.mp4"
PLAIN = "libero_object_soup_000.mp4"
FRAGMENTED = "libero_object_soup_006_fragmented.mp4"
WEBM = "libero_spatial_bowl_004_vp9.webm"
INDEX_FIRST = "index_first.mp4"


def decoded(path: Path) -> tuple[list[float], list[NDArray[np.uint8]]]:
    """Seconds and pixels of every frame, as PyAV alone gives them: not turned, not resampled."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        seconds = [float((frame.pts - frames[0].pts) * stream.time_base) for frame in frames]
        return seconds, [frame.to_ndarray(format="rgb24") for frame in frames]


def remux(
    source: Path,
    target: Path,
    *,
    kind: Literal["video", "audio"] = "video",
    degrees: int = 0,
    mirrored: bool = False,
    first_frame: int = 0,
    options: Mapping[str, str] | None = None,
) -> Path:
    """Copies the packets of one stream into another file, with a display matrix, to be shown from `first_frame` on."""
    with av.open(str(source)) as container, av.open(str(target), "w", options=dict(options or {})) as output:
        stream = container.streams.best(kind)
        copy = output.add_stream_from_template(stream)
        if degrees or mirrored:
            copy.set_display_rotation(degrees, hflip=mirrored)
        for packet in container.demux(stream):
            if packet.dts is not None and packet.pts is not None:
                packet.stream = copy
                packet.pts, packet.dts = (ticks - first_frame * packet.duration for ticks in (packet.pts, packet.dts))
                output.mux(packet)
    return target


def test_a_folder_is_searched_by_extension_in_natural_order(recordings: Path, tmp_path: Path) -> None:
    for name in ("take10.mp4", "take2.MP4", "deeper/take1.webm", ".hidden/take0.mp4", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(recordings / "video" / PLAIN, tmp_path / name)
    names = [file.name for file in sources.load("video").find(tmp_path)]
    assert names == ["deeper/take1.webm", "take2.MP4", "take10.mp4"]


def test_constant_rate_videos_give_every_frame_once(recordings: Path) -> None:
    files = [file for file in sources.load("video").find(recordings / "video") if file.name not in (VARIABLE, ROTATED)]
    assert len(files) > 10
    for file in files:
        (episode,) = episodes("video", file.path)
        _, expected = decoded(file.path)
        frames, actions, state = read("video", file.path, episode)
        assert (actions, state, episode.num_actions, episode.action_space) == (None, None, 0, None)
        assert episode.num_frames == len(expected)
        assert_same_frames(frames["main"], np.stack(expected))


def test_nominal_rate_is_that_of_the_file(recordings: Path) -> None:
    rates = {
        file.name: next(iter(episodes("video", file.path))).fps
        for file in sources.load("video").find(recordings / "video")
    }
    assert rates["aloha_transfer_cube_left_wrist_50fps.MP4"] == 50.0
    assert rates["libero10_basket_002_5fps.mp4"] == 5.0
    assert rates[WEBM] == 20.0
    assert rates[VARIABLE] == 22.0  # 139 frames in 6.31 s


@pytest.mark.parametrize("fps", [None, 5.0, 20.0, 29.97, 60.0])
def test_variable_rate_shows_what_a_player_shows(recordings: Path, fps: float | None) -> None:
    path = recordings / "video" / VARIABLE
    options = SourceOptions(fps=fps)
    (episode,) = episodes("video", path, options)
    seconds, expected = decoded(path)
    frames, _, _ = read("video", path, episode, options)
    end = seconds[-1] * len(seconds) / (len(seconds) - 1)
    assert abs(episode.num_frames / episode.fps - end) <= 1 / episode.fps
    for k, frame in enumerate(frames["main"]):
        shown = max(i for i, second in enumerate(seconds) if second <= k / episode.fps + 1e-6)
        np.testing.assert_array_equal(frame, expected[shown])


@pytest.mark.parametrize(("fps", "shown"), [(10.0, [0, 2, 4, 6]), (40.0, [0, 0, 1, 1]), (20.0, [0, 1, 2, 3])])
def test_resampling(recordings: Path, fps: float, shown: list[int]) -> None:
    path = recordings / "video" / PLAIN
    options = SourceOptions(fps=fps)
    (episode,) = episodes("video", path, options)
    _, expected = decoded(path)
    frames, _, _ = read("video", path, episode, options)
    assert episode.num_frames == round(len(expected) * fps / 20 + 0.25)
    np.testing.assert_array_equal(frames["main"][:4], np.stack([expected[index] for index in shown]))


def test_a_dropped_frame_is_bridged_in_time(recordings: Path, tmp_path: Path) -> None:
    """Without frames 50 and 51 the scene afterwards must not come earlier."""
    _, expected = decoded(recordings / "video" / PLAIN)
    path = tmp_path / "dropped.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264rgb", rate=20, options={"crf": "0"})
        stream.width = stream.height = 128
        stream.pix_fmt = "rgb24"
        for index, pixels in enumerate(expected[:100]):
            if index not in (50, 51):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts = index
                output.mux(stream.encode(frame))
        output.mux(stream.encode())
    (episode,) = episodes("video", path)
    frames, _, _ = read("video", path, episode)
    assert episode.fps == 20.0
    order = [*range(50), 49, 49, *range(52, 100)]
    np.testing.assert_array_equal(frames["main"][:100], np.stack([expected[index] for index in order]))


def test_frames_that_an_edit_list_cuts_away_are_left_out(recordings: Path, tmp_path: Path) -> None:
    stored = recordings / "video" / PLAIN
    path = remux(stored, tmp_path / "trimmed.mp4", first_frame=9, options={"avoid_negative_ts": "disabled"})
    (episode,) = episodes("video", path)
    frames, _, _ = read("video", path, episode)
    np.testing.assert_array_equal(frames["main"], np.stack(decoded(stored)[1][9:]))


def test_rotation_is_applied(recordings: Path) -> None:
    path = recordings / "video" / ROTATED
    (episode,) = episodes("video", path)
    assert (episode.cameras[0].height, episode.cameras[0].width) == (320, 240)
    frames, _, _ = read("video", path, episode)
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0))
        turned = np.rot90(stored.to_ndarray(format="rgb24"), k=stored.rotation // 90)  # both anticlockwise
    assert stored.rotation == 90
    np.testing.assert_array_equal(frames["main"][0], turned)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_all_upright_and_mirrored_orientations(recordings: Path, tmp_path: Path, degrees: int, mirrored: bool) -> None:
    stored = recordings / "video" / "libero_object_soup_005_with_audio.mp4"
    path = remux(stored, tmp_path / "turned.mp4", degrees=degrees, mirrored=mirrored)
    (episode,) = episodes("video", path)
    frames, _, _ = read("video", path, episode)
    expected = np.rot90(decoded(stored)[1][0], k=degrees // 90)
    np.testing.assert_array_equal(frames["main"][0], expected[:, ::-1] if mirrored else expected)


def test_other_angles_are_refused(recordings: Path, tmp_path: Path) -> None:
    path = remux(recordings / "video" / PLAIN, tmp_path / "tilted.mp4", degrees=30)
    with pytest.raises(SourceError, match="not a multiple of 90"):
        describe("video", path)


def test_camera_and_instruction_can_be_named(recordings: Path) -> None:
    path = recordings / "video" / PLAIN
    options = SourceOptions(cameras={"front": "main"}, instruction="pick up the soup")
    (episode,) = episodes("video", path, options)
    assert ([c.name for c in episode.cameras], episode.instructions) == (["front"], ("pick up the soup",))
    assert list(read("video", path, episode, options)[0]) == ["front"]
    with pytest.raises(SourceError, match="--camera NAME=main"):
        describe("video", path, SourceOptions(cameras={"front": "main", "left": "other"}))


def test_digest_names_content_and_rate(recordings: Path, tmp_path: Path) -> None:
    path = recordings / "video" / PLAIN
    renamed = Path(shutil.copy(path, tmp_path / "renamed.mp4"))
    digest = episodes("video", path)[0].content_digest
    assert episodes("video", renamed)[0].content_digest == digest
    assert episodes("video", path, SourceOptions(fps=20))[0].content_digest == digest
    assert episodes("video", path, SourceOptions(fps=10))[0].content_digest != digest


@pytest.mark.parametrize("kept_bytes", [decoder.MAX_KEPT_BYTES, 200_000])
def test_overlapping_ranges(recordings: Path, monkeypatch: pytest.MonkeyPatch, kept_bytes: int) -> None:
    """Also where the overlap (some 25 kB a frame) is more than what is kept, so that decoding starts again."""
    monkeypatch.setattr(decoder, "MAX_KEPT_BYTES", kept_bytes)
    path = recordings / "video" / PLAIN
    plugin = sources.load("video")
    (episode,) = episodes("video", path)
    _, expected = decoded(path)
    with plugin.open(plugin.find(path)[0], episode, SourceOptions()) as reader:
        for start, stop in ((0, 60), (40, 100), (95, 95), (96, 147), (0, 5)):
            frames = list(reader.frames("main", start, stop))
            assert len(frames) == stop - start
            assert all(np.array_equal(a, b) for a, b in zip(frames, expected[start:stop], strict=True))
        with pytest.raises(IndexError):
            next(reader.frames("main", 140, 148))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken_zero_byte.mp4", "the file is empty"),
        ("broken_text_renamed.mp4", "does not recognise this as a video"),
        ("broken_truncated_no_moov.mp4", "cut off before its index"),
    ],
)
def test_files_that_are_no_videos(recordings: Path, name: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        describe("video", recordings / "video_broken" / name)
    assert caught.value.path is not None
    assert caught.value.path.endswith(name)


def test_flipped_bits_are_found_by_decoding(recordings: Path) -> None:
    path = recordings / "video_broken" / "broken_bitflips.mp4"
    (episode,) = episodes("video", path)
    with pytest.raises(SourceError, match=r"broken_bitflips.mp4: the video does not decode at frame \d+ of 129"):
        read("video", path, episode)


@pytest.mark.parametrize("name", [FRAGMENTED, WEBM, INDEX_FIRST])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_cut_files_are_found(recordings: Path, tmp_path: Path, name: str, part: float) -> None:
    """Files that still open when they are cut, as their index lies in front or in pieces."""
    if name == INDEX_FIRST:
        whole = remux(recordings / "video" / PLAIN, tmp_path / name, options={"movflags": "faststart"})
    else:
        whole = recordings / "video" / name
    data = whole.read_bytes()
    cut = tmp_path / f"cut_{name}"
    cut.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(SourceError, match=f"cut_{name}"):
        read("video", cut, episodes("video", cut)[0])


def test_a_video_without_timestamps_is_refused(recordings: Path, tmp_path: Path) -> None:
    path = remux(recordings / "video" / PLAIN, tmp_path / "elementary.h264")
    with pytest.raises(SourceError, match=r"have no timestamps.*ffmpeg -i"):
        describe("video", path)


def test_a_file_with_sound_only_is_refused(recordings: Path, tmp_path: Path) -> None:
    recorded = recordings / "video" / "libero_object_soup_005_with_audio.mp4"
    path = remux(recorded, tmp_path / "sound.mp4", kind="audio")
    with pytest.raises(SourceError, match="no video stream"):
        describe("video", path)


def test_lists_of_demos_are_refused(recordings: Path) -> None:
    with pytest.raises(SourceError, match="no filter key 'train'"):
        describe("video", recordings / "video" / PLAIN, SourceOptions(filter_key="train"))
