"""Codecs against real camera frames: fidelity, frame identity, colour order, determinism, concurrency, damage."""

import io
import math
import multiprocessing
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from vpdata import codecs
from vpdata.clips.resize import resize
from vpdata.codecs import Codec
from vpdata.errors import ShardError, VpdataError

Frames = NDArray[np.uint8]
CLOSE = "robocasa/v0.1/single_stage/kitchen_drawer/CloseDrawer/demo_gentex_im128_randcams.hdf5"
SOUP = "libero/pick_up_the_alphabet_soup_and_place_it_in_the_basket_demo.hdf5"
PUDDING = "libero/pick_up_the_chocolate_pudding_and_place_it_in_the_basket_demo.hdf5"
CAMERAS = ("robot0_eye_in_hand_image", "robot0_agentview_left_image")
LIBERO_CAMERAS = ("agentview_rgb", "eye_in_hand_rgb")


def psnr_db(a: Frames, b: Frames) -> NDArray[np.float64]:
    """PSNR of each frame of a against that of b."""
    error = np.square(a.astype(np.float64) - b).mean(axis=(1, 2, 3))
    return 10 * np.log10(255**2 / np.maximum(error, 1e-12))


def read(path: Path, demo: str, camera: str) -> Frames:
    with h5py.File(path) as file:
        frames: Frames = file["data"][demo]["obs"][camera][:60]
        return frames


def there_and_back(codec: Codec, frames: Frames, *, fps: float = 20) -> Frames:
    height, width = frames.shape[1:3]
    return codec.decode(codec.encode(frames, fps=fps), range(len(frames)), height=height, width=width)


@pytest.fixture(scope="module")
def wrist(recordings: Path) -> Frames:
    """60 frames of a moving camera."""
    return read(recordings / CLOSE, "demo_0", "robot0_eye_in_hand_image")


@pytest.fixture(scope="module")
def clips(recordings: Path) -> list[Frames]:
    """Clips of two simulators, several cameras, 64 to 128 pixels."""
    robocasa = [read(recordings / CLOSE, demo, camera) for demo in ("demo_0", "demo_1") for camera in CAMERAS]
    small = [resize(frames, height=size, width=size, fit="crop") for frames in robocasa for size in (64, 96)]
    libero = [read(recordings / file, "demo_0", camera) for file in (SOUP, PUDDING) for camera in LIBERO_CAMERAS]
    return [*robocasa, *small, *libero]


@pytest.mark.parametrize("name", codecs.NAMES)
def test_a_codec_keeps_its_promise(name: str, clips: list[Frames]) -> None:
    codec = codecs.load(name)
    for frames in clips:
        decoded = there_and_back(codec, frames)
        assert psnr_db(decoded, frames).min() >= min(codec.min_psnr_db, 120)
        assert abs((decoded.astype(np.float64) - frames).mean()) < 0.75  # no drift in brightness


@pytest.mark.parametrize("name", ["ffv1", "raw"])
def test_lossless_codecs_are_exact(name: str, wrist: Frames) -> None:
    codec = codecs.load(name)
    assert codec.min_psnr_db == math.inf
    noise = np.random.default_rng(0).integers(0, 256, (5, 33, 17, 3), dtype=np.uint8)
    for frames in (wrist, noise):
        np.testing.assert_array_equal(there_and_back(codec, frames), frames)


@pytest.mark.parametrize("name", codecs.NAMES)
def test_each_frame_is_itself_and_not_its_neighbour_nor_its_mirror_in_colour(name: str, recordings: Path) -> None:
    frames = read(recordings / CLOSE, "demo_1", "robot0_eye_in_hand_image")
    decoded = there_and_back(codecs.load(name), frames)
    right = psnr_db(decoded, frames)
    assert (right > psnr_db(decoded, frames[..., ::-1]) + 3).all()
    moving = np.abs(np.diff(frames.astype(np.float64), axis=0)).mean(axis=(1, 2, 3)) > 2
    assert moving.sum() > 10
    assert (right[1:] > psnr_db(decoded[1:], frames[:-1]))[moving].all()
    assert (right[:-1] > psnr_db(decoded[:-1], frames[1:]))[moving].all()


@pytest.mark.parametrize("name", codecs.NAMES)
def test_any_selection_of_frames_equals_decoding_them_all(name: str, wrist: Frames) -> None:
    codec = codecs.load(name)
    frames = wrist[:47, :64]
    data = codec.encode(frames, fps=20)
    every = codec.decode(data, range(47), height=64, width=128)
    strided = [list(range(start, 47, stride))[:8] for stride in range(1, 6) for start in range(40)]
    for indices in ([46], [7, 8], [46, 0, 31, 31, 8], list(range(46, -1, -1)), *strided):
        np.testing.assert_array_equal(codec.decode(data, indices, height=64, width=128), every[indices])
    assert codec.decode(data, [], height=64, width=128).shape == (0, 64, 128, 3)
    assert codec.count(data) == 47


@pytest.mark.parametrize("name", codecs.NAMES)
def test_decoding_writes_where_it_is_told_and_nowhere_else(name: str, wrist: Frames) -> None:
    codec = codecs.load(name)
    data = codec.encode(wrist[:, :95, :127], fps=20)
    block = np.full((5, 95, 127, 3), 7, np.uint8)
    codec.decode_into(data, [3, 59, 3], block[1:4])
    np.testing.assert_array_equal(block[1:4], codec.decode(data, [3, 59, 3], height=95, width=127))
    assert (block[[0, 4]] == 7).all()


@pytest.mark.parametrize("name", codecs.NAMES)
@pytest.mark.parametrize("fps", [5, 30000 / 1001, 23.976, 60])
def test_single_frames_odd_sizes_and_rates(name: str, fps: float, wrist: Frames) -> None:
    codec = codecs.load(name)
    odd = wrist[:, :95, :127]
    for count in (1, 2, 9):
        data = codec.encode(iter(odd[:count]), fps=fps)
        assert codec.count(data) == count
        decoded = codec.decode(data, range(count), height=95, width=127)
        assert psnr_db(decoded, odd[:count]).min() >= min(codec.min_psnr_db, 100)
        if codec.extension in ("mp4", "mkv") and count > 1:
            with av.open(io.BytesIO(data)) as container:
                assert float(container.streams.video[0].average_rate) == pytest.approx(fps, rel=1e-3)


@pytest.mark.parametrize("name", codecs.NAMES)
@pytest.mark.parametrize("size", [(4, 4), (16, 24), (33, 17), (480, 640)])
def test_unusual_sizes(name: str, size: tuple[int, int], wrist: Frames) -> None:
    codec = codecs.load(name)
    frames = resize(wrist[:3], height=size[0], width=size[1], fit="stretch")
    assert psnr_db(there_and_back(codec, frames), frames).min() >= min(codec.min_psnr_db, 120) - 6


@pytest.mark.parametrize("name", codecs.NAMES)
@pytest.mark.parametrize("size", [(64, 64), (96, 96), (95, 127), (240, 320)])
def test_equal_frames_give_equal_bytes(name: str, size: tuple[int, int], wrist: Frames) -> None:
    codec = codecs.load(name)
    frames = resize(wrist[:40], height=size[0], width=size[1], fit="stretch")
    expected = codec.encode(frames, fps=20)
    rng = np.random.default_rng(0)
    for _ in range(4):
        for num_bytes in rng.integers(1_000, 400_000, 30):  # leaves other bytes where the encoder may forget to clear
            rng.integers(0, 256, num_bytes, dtype=np.uint8)
        assert codec.encode(iter(frames.copy()), fps=20) == expected


@pytest.mark.parametrize("name", codecs.NAMES)
def test_threads_decode_at_once(name: str, wrist: Frames) -> None:
    codec = codecs.load(name)
    clips = [wrist[:24], wrist[24:48, :96], wrist[30:54, :, :64]]
    stored = [(codec.encode(clip, fps=20), *clip.shape[1:3]) for clip in clips]
    jobs = [(data, [k, 23 - k], height, width) for data, height, width in stored for k in range(24)] * 2
    alone = [codec.decode(data, indices, height=h, width=w) for data, indices, h, w in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda job: codec.decode(job[0], job[1], height=job[2], width=job[3]), jobs)
        for expected, found in zip(alone, together, strict=True):
            np.testing.assert_array_equal(found, expected)


def _decode_in_child(name: str, data: bytes, connection: object) -> None:
    connection.send(codecs.load(name).decode(data, [1, 20, 39], height=128, width=128))  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", codecs.NAMES)
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_decode(name: str, method: str, wrist: Frames) -> None:
    codec = codecs.load(name)
    data = codec.encode(wrist[:40], fps=20)
    before = codec.decode(data, [1, 20, 39], height=128, width=128)  # so that a forked process has a used decoder
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    process = context.Process(target=_decode_in_child, args=(name, data, theirs))
    process.start()
    theirs.close()
    np.testing.assert_array_equal(ours.recv(), before)
    process.join()
    assert process.exitcode == 0
    np.testing.assert_array_equal(codec.decode(data, [1, 20, 39], height=128, width=128), before)


@pytest.mark.parametrize("name", codecs.NAMES)
def test_what_does_not_decode_is_a_shard_error(name: str, wrist: Frames) -> None:
    codec = codecs.load(name)
    data = codec.encode(wrist, fps=20)
    for damaged in (b"", b"not a video", data[:100], data[: len(data) // 2]):
        with pytest.raises(ShardError):
            codec.decode(damaged, range(60), height=128, width=128)
    for index in (60, -1):
        with pytest.raises(ShardError, match="60 frames"):
            codec.decode(data, [0, index], height=128, width=128)
    with pytest.raises(ShardError, match="expected 64x64"):
        codec.decode(data, [0], height=64, width=64)


def damaged_copies(data: bytes, *, count: int, seed: int) -> Iterator[bytes]:
    """Copies with a few bits flipped, half of them in the first or last 1,500 bytes, where the tables are."""
    rng = random.Random(seed)
    for number in range(count):
        copy = bytearray(data)
        ends = [*range(min(1500, len(data))), *range(max(0, len(data) - 1500), len(data))]
        for _ in range(rng.choice((1, 4))):
            position = rng.choice(ends) if number % 2 else rng.randrange(len(data))
            copy[position] ^= 1 << rng.randrange(8)
        yield bytes(copy)


@pytest.mark.parametrize("name", codecs.NAMES)
def test_flipped_bits_neither_crash_nor_spoil_the_next_window(name: str, wrist: Frames) -> None:
    codec = codecs.load(name)
    data = codec.encode(wrist[:40, :64, :96], fps=20)
    expected = codec.decode(data, [0, 5, 9, 39], height=64, width=96)
    refused = 0
    for damaged in damaged_copies(data, count=200, seed=5):
        try:
            codec.decode(damaged, [0, 5, 9, 39], height=64, width=96)
            codec.count(damaged)
        except ShardError:
            refused += 1
    assert refused > 5
    np.testing.assert_array_equal(codec.decode(data, [0, 5, 9, 39], height=64, width=96), expected)


def test_a_codec_is_tagged_with_its_colours(wrist: Frames) -> None:
    for name in ("h264", "av1"):
        with av.open(io.BytesIO(codecs.load(name).encode(wrist[:9], fps=20))) as container:
            context = container.streams.video[0].codec_context
            assert (context.pix_fmt, context.colorspace, context.color_range) == ("yuv420p", 6, 1)


def test_a_packed_jpeg_is_a_jpeg(wrist: Frames) -> None:
    data = codecs.load("jpeg").encode(wrist[:3], fps=20)
    assert data[:8] == b"VPJPEGS1"
    count, *bounds = np.frombuffer(data, "<u4", 5, 8).tolist()
    assert (count, bounds[0], bounds[-1]) == (3, 28, len(data))
    with av.open(io.BytesIO(data[bounds[1] : bounds[2]])) as container:
        (frame,) = container.decode(video=0)
    assert psnr_db(frame.to_ndarray(format="rgb24")[None], wrist[1:2]).min() > 35


def test_raw_is_a_numpy_array(wrist: Frames) -> None:
    np.testing.assert_array_equal(np.load(io.BytesIO(codecs.load("raw").encode(wrist, fps=20))), wrist)


def test_an_unknown_codec_names_those_there_are() -> None:
    with pytest.raises(VpdataError, match="h264, ffv1"):
        codecs.load("mpeg2")
