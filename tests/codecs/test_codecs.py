"""Codecs against real camera frames: fidelity, frame identity, colour order, determinism, damage."""

import io
import math
from pathlib import Path

import av
import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from vpdata import codecs
from vpdata.clips.resize import resize
from vpdata.errors import ShardError, VpdataError

Frames = NDArray[np.uint8]
CLOSE = "robocasa/v0.1/single_stage/kitchen_drawer/CloseDrawer/demo_gentex_im128_randcams.hdf5"
SOUP = "libero/pick_up_the_alphabet_soup_and_place_it_in_the_basket_demo.hdf5"


def psnr_db(a: Frames, b: Frames) -> NDArray[np.float64]:
    """PSNR of each frame of a against that of b."""
    error = np.square(a.astype(np.float64) - b).mean(axis=(1, 2, 3))
    return 10 * np.log10(255**2 / np.maximum(error, 1e-12))


def read(path: Path, demo: str, camera: str) -> Frames:
    with h5py.File(path) as file:
        frames: Frames = file["data"][demo]["obs"][camera][:60]
        return frames


@pytest.fixture(scope="module")
def wrist(recordings: Path) -> Frames:
    """60 frames of a moving camera."""
    return read(recordings / CLOSE, "demo_0", "robot0_eye_in_hand_image")


@pytest.mark.parametrize("size", [64, 96, 128])
@pytest.mark.parametrize("camera", ["robot0_eye_in_hand_image", "robot0_agentview_left_image"])
@pytest.mark.parametrize("demo", ["demo_0", "demo_1"])
def test_h264_keeps_its_promise_on_robocasa(recordings: Path, demo: str, camera: str, size: int) -> None:
    frames = resize(read(recordings / CLOSE, demo, camera), height=size, width=size, fit="crop")
    codec = codecs.load("h264")
    decoded = codec.decode(codec.encode(frames, fps=20), range(len(frames)), height=size, width=size)
    assert psnr_db(decoded, frames).min() >= codec.min_psnr_db
    assert abs(decoded.astype(np.float64) - frames).mean() < 5
    assert abs((decoded.astype(np.float64) - frames).mean()) < 0.5  # no drift in brightness


@pytest.mark.parametrize("camera", ["agentview_rgb", "eye_in_hand_rgb"])
def test_h264_keeps_its_promise_on_libero(recordings: Path, camera: str) -> None:
    frames = read(recordings / SOUP, "demo_0", camera)
    codec = codecs.load("h264")
    decoded = codec.decode(codec.encode(frames, fps=20), range(len(frames)), height=64, width=64)
    assert psnr_db(decoded, frames).min() >= codec.min_psnr_db


def test_ffv1_is_exact(wrist: Frames) -> None:
    codec = codecs.load("ffv1")
    assert codec.min_psnr_db == math.inf
    noise = np.random.default_rng(0).integers(0, 256, (5, 33, 17, 3), dtype=np.uint8)
    for frames in (wrist, noise):
        height, width = frames.shape[1:3]
        decoded = codec.decode(codec.encode(frames, fps=20), range(len(frames)), height=height, width=width)
        np.testing.assert_array_equal(decoded, frames)


@pytest.mark.parametrize("name", codecs.NAMES)
def test_each_frame_is_itself_and_not_its_neighbour_nor_its_mirror_in_colour(name: str, recordings: Path) -> None:
    frames = read(recordings / CLOSE, "demo_1", "robot0_eye_in_hand_image")
    codec = codecs.load(name)
    decoded = codec.decode(codec.encode(frames, fps=20), range(len(frames)), height=128, width=128)
    right = psnr_db(decoded, frames)
    assert (right > psnr_db(decoded, frames[..., ::-1]) + 3).all()
    moving = np.abs(np.diff(frames.astype(np.float64), axis=0)).mean(axis=(1, 2, 3)) > 2
    assert moving.sum() > 10
    assert (right[1:] > psnr_db(decoded[1:], frames[:-1]))[moving].all()
    assert (right[:-1] > psnr_db(decoded[:-1], frames[1:]))[moving].all()


@pytest.mark.parametrize("name", codecs.NAMES)
def test_any_selection_of_frames_equals_decoding_them_all(name: str, wrist: Frames) -> None:
    codec = codecs.load(name)
    data = codec.encode(wrist, fps=20)
    every = codec.decode(data, range(len(wrist)), height=128, width=128)
    for indices in ([0], [59], [7, 8], [59, 0, 31, 31, 8], list(range(3, 60, 4)), list(range(59, -1, -1))):
        np.testing.assert_array_equal(codec.decode(data, indices, height=128, width=128), every[indices])
    assert codec.decode(data, [], height=128, width=128).shape == (0, 128, 128, 3)
    assert codec.count(data) == len(wrist)


@pytest.mark.parametrize("name", codecs.NAMES)
@pytest.mark.parametrize("fps", [5, 20, 30000 / 1001, 23.976, 60])
def test_single_frames_odd_sizes_and_rates(name: str, fps: float, wrist: Frames) -> None:
    codec = codecs.load(name)
    odd = wrist[:, :95, :127]
    for count in (1, 2, 9):
        data = codec.encode(iter(odd[:count]), fps=fps)
        assert codec.count(data) == count
        decoded = codec.decode(data, range(count), height=95, width=127)
        assert psnr_db(decoded, odd[:count]).min() >= min(codec.min_psnr_db, 100)
        with av.open(io.BytesIO(data)) as container:
            assert float(container.streams.video[0].average_rate) == pytest.approx(fps, rel=1e-3) or count == 1


@pytest.mark.parametrize("name", codecs.NAMES)
def test_equal_frames_give_equal_bytes(name: str, wrist: Frames) -> None:
    codec = codecs.load(name)
    assert codec.encode(wrist, fps=20) == codec.encode(iter(wrist.copy()), fps=20)


def test_h264_is_tagged_and_has_a_key_frame_every_eight(wrist: Frames) -> None:
    with av.open(io.BytesIO(codecs.load("h264").encode(wrist, fps=20))) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.pix_fmt, context.colorspace, context.color_range) == ("yuv420p", 6, 1)
        keys = [number for number, packet in enumerate(container.demux(stream)) if packet.is_keyframe]
    assert keys == list(range(0, 60, 8))


@pytest.mark.parametrize("name", codecs.NAMES)
def test_what_does_not_decode_is_a_shard_error(name: str, wrist: Frames) -> None:
    codec = codecs.load(name)
    data = codec.encode(wrist, fps=20)
    for damaged in (b"", b"not a video", data[: len(data) // 2]):
        with pytest.raises(ShardError):
            codec.decode(damaged, range(60), height=128, width=128)
    for index in (60, -1):
        with pytest.raises(ShardError, match="60 frames"):
            codec.decode(data, [0, index], height=128, width=128)
    with pytest.raises(ShardError, match="expected 64x64"):
        codec.decode(data, [0], height=64, width=64)


def test_an_unknown_codec_names_those_there_are() -> None:
    with pytest.raises(VpdataError, match="h264, ffv1"):
        codecs.load("mpeg2")
