"""The sample tables of an mp4, against FFmpeg's demuxer; and what is read of H.264 without decoding it."""

import io
from pathlib import Path

import av
import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from vpdata import codecs
from vpdata.codecs.mp4 import is_reference, read_samples
from vpdata.errors import ShardError

OPEN = "robocasa/v0.1/single_stage/kitchen_drawer/OpenDrawer/demo_gentex_im128_randcams.hdf5"


@pytest.fixture(scope="module")
def frames(recordings: Path) -> NDArray[np.uint8]:
    """80 frames of a moving camera."""
    with h5py.File(recordings / OPEN) as file:
        found: NDArray[np.uint8] = file["data/demo_2/obs/robot0_eye_in_hand_image"][:80]
        return found


@pytest.mark.parametrize("name", ["h264", "av1"])
@pytest.mark.parametrize("count", [1, 2, 33, 34, 80])
def test_the_tables_say_what_ffmpeg_says(name: str, count: int, frames: NDArray[np.uint8]) -> None:
    data = codecs.load(name).encode(frames[:count], fps=30000 / 1001)
    samples = read_samples(data)
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert samples.configuration == stream.codec_context.extradata
        assert (samples.height, samples.width) == (stream.height, stream.width) == (128, 128)
        assert [data[a:b] for a, b in zip(samples.starts, samples.stops, strict=True)] == [bytes(p) for p in packets]
        shown = sorted(packet.pts for packet in packets)
        assert samples.frames == [shown.index(packet.pts) for packet in packets]
        assert samples.keys == [number for number, packet in enumerate(packets) if packet.is_keyframe]


def test_every_eighth_frame_of_h264_is_a_reference_and_every_33rd_a_key(frames: NDArray[np.uint8]) -> None:
    data = codecs.load("h264").encode(frames, fps=20)
    samples = read_samples(data)
    references = {
        frame
        for frame, start, stop in zip(samples.frames, samples.starts, samples.stops, strict=True)
        if is_reference(data, start, stop)
    }
    assert sorted(references) == [0, 8, 16, 24, 32, 33, 41, 49, 57, 65, 66, 74, 79]
    assert [samples.frames[key] for key in samples.keys] == [0, 33, 66]


def test_what_is_no_mp4_of_ours_is_refused(frames: NDArray[np.uint8], recordings: Path) -> None:
    data = codecs.load("h264").encode(frames[:10], fps=20)
    fragmented = (recordings / "video" / "libero_object_soup_006_fragmented.mp4").read_bytes()
    hevc = (recordings / "video" / "libero_spatial_bowl_003_hevc.mp4").read_bytes()
    moved = data.replace(b"stco", b"stc0")
    for other in (b"", data[:-1], fragmented, hevc, moved, data + b"1234567"):
        with pytest.raises(ShardError, match="does not decode"):
            read_samples(other)
    samples = read_samples(data)
    with pytest.raises(ShardError, match="without a slice"):
        is_reference(bytes(len(data)), samples.starts[0], samples.stops[0])
