"""Decoders: which one is chosen, that all agree, and that none decodes more than it must.

torchcodec and decord are not dependencies. Where one is missing its tests are skipped, and the summary says so.
"""

from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from vpdata import codecs
from vpdata.codecs.decoders import NAMES, available, select
from vpdata.codecs.decoders.pyav import MAX_CONTEXTS, _own, needed_samples
from vpdata.codecs.mp4 import is_reference, read_samples
from vpdata.errors import ShardError, VpdataError

MAX_DIFFERENCE = 2  # grey levels
REPORTS = {report.name: report for report in available()}
OPEN = "robocasa/v0.1/single_stage/kitchen_drawer/OpenDrawer/demo_gentex_im128_randcams.hdf5"
RECORDINGS = {
    "robocasa wrist": (OPEN, "data/demo_2/obs/robot0_eye_in_hand_image"),
    "robocasa left": (OPEN, "data/demo_2/obs/robot0_agentview_left_image"),
    "libero 64": (
        "libero/pick_up_the_chocolate_pudding_and_place_it_in_the_basket_demo.hdf5",
        "data/demo_0/obs/eye_in_hand_rgb",
    ),
    "libero 128": ("libero/open_the_middle_drawer_of_the_cabinet_demo.hdf5", "data/demo_0/obs/agentview_rgb"),
}
others = pytest.mark.parametrize("name", [name for name in NAMES if name != "pyav"])


def need(name: str, codec: str) -> None:
    """Skips the test where that decoder cannot be used, and says so."""
    if not REPORTS[name].available:
        pytest.skip(f"NOT TESTED, the decoder {name} is not available: {REPORTS[name].reason}")
    if codec not in REPORTS[name].codecs:
        pytest.skip(f"{name} does not decode {codec}")


@pytest.fixture(scope="module")
def clips(recordings: Path) -> dict[str, NDArray[np.uint8]]:
    """Real frames by name: 70 each, 64 and 128 pixels, and one of odd size."""
    found = {}
    for name, (file_name, dataset) in RECORDINGS.items():
        with h5py.File(recordings / file_name) as file:
            found[name] = file[dataset][:70]
    return {**found, "odd": found["robocasa wrist"][:, :95, :127]}


@others
@pytest.mark.parametrize("codec", ["h264", "av1"])
def test_decoders_agree_within_two_grey_levels(name: str, codec: str, clips: dict[str, NDArray[np.uint8]]) -> None:
    need(name, codec)
    windows = [range(70), [69, 0, 5, 5, 40], *([start + 4 * k for k in range(8)] for start in range(0, 40, 3))]
    for frames in clips.values():
        data = codecs.load(codec).encode(frames, fps=20)
        for indices in windows:
            ours, theirs = np.zeros((2, len(indices), *frames.shape[1:]), np.uint8)
            select("pyav").decode_into(data, indices, ours, codec=codec)
            select(name).decode_into(data, indices, theirs, codec=codec)
            assert np.abs(ours.astype(np.int16) - theirs).max() <= MAX_DIFFERENCE


@others
def test_the_other_decoders_refuse_what_is_not_there(name: str, clips: dict[str, NDArray[np.uint8]]) -> None:
    need(name, "h264")
    data = codecs.load("h264").encode(clips["libero 64"], fps=20)
    decoder = select(name)
    decoder.decode_into(data, [], np.empty((0, 64, 64, 3), np.uint8), codec="h264")
    with pytest.raises(ShardError, match="70 frames"):
        decoder.decode_into(data, [70], np.empty((1, 64, 64, 3), np.uint8), codec="h264")
    with pytest.raises(ShardError, match="expected 32x32"):
        decoder.decode_into(data, [0], np.empty((1, 32, 32, 3), np.uint8), codec="h264")
    with pytest.raises(ShardError):
        decoder.decode_into(b"not a video", [0], np.empty((1, 64, 64, 3), np.uint8), codec="h264")


@others
def test_the_environment_chooses_for_the_codecs(
    name: str, clips: dict[str, NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VPDATA_DECODER", name)
    codec = codecs.load("h264")
    data = codec.encode(clips["libero 64"][:9], fps=20)
    if REPORTS[name].available:
        assert select(codec="h264").name == name
        assert codec.decode(data, [3], height=64, width=64).any()
    else:
        with pytest.raises(VpdataError, match=f"the decoder '{name}' cannot be used: "):
            codec.decode(data, [3], height=64, width=64)


def test_without_a_wish_the_fastest_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VPDATA_DECODER", raising=False)
    assert {select(codec=codec).name for codec in ("h264", "av1")} == {"pyav"}
    assert REPORTS["pyav"].available
    assert REPORTS["pyav"].version


def test_a_decoder_that_is_not_there_or_does_not_know_the_codec_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VpdataError, match="no decoder 'vlc'"):
        select("vlc")
    monkeypatch.setenv("VPDATA_DECODER", "vlc")
    with pytest.raises(VpdataError, match="pyav, torchcodec, decord"):
        select()
    with pytest.raises(VpdataError, match="does not decode mpeg2"):
        select("pyav", codec="mpeg2")
    for report in available():
        assert bool(report.version) == report.available == (not report.reason)


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5, 8])
def test_h264_frames_that_nobody_needs_are_not_decoded(stride: int, clips: dict[str, NDArray[np.uint8]]) -> None:
    data = codecs.load("h264").encode(clips["robocasa wrist"], fps=20)
    samples = read_samples(data)
    for start in range(70 - 7 * stride):
        wanted = {start + stride * k for k in range(8)}
        sent = needed_samples(data, samples, wanted, codec="h264")
        frames = {samples.frames[sample] for sample in sent}
        assert sent == sorted(set(sent))
        assert wanted <= frames
        for sample in sent:
            assert samples.frames[sample] in wanted or is_reference(data, samples.starts[sample], samples.stops[sample])
        first, last = min(wanted) // 33 * 33, max(wanted)
        spanned = (last - first) // 8 + 2 + (last // 33 - first // 33)
        assert len(sent) <= 8 + spanned  # the frames themselves, and the references that they span


def test_the_packets_that_are_not_needed_never_reach_the_decoder(clips: dict[str, NDArray[np.uint8]]) -> None:
    data = codecs.load("h264").encode(clips["robocasa wrist"], fps=20)
    samples = read_samples(data)
    needed = needed_samples(data, samples, {33, 37, 41, 45}, codec="h264")
    expected = codecs.load("h264").decode(data, [33, 37, 41, 45], height=128, width=128)
    spoilt = bytearray(data)
    for sample in set(range(70)) - set(needed):
        start, stop = samples.starts[sample] + 8, samples.stops[sample]
        spoilt[start:stop] = bytes(stop - start)
    assert len(needed) < 10
    np.testing.assert_array_equal(
        codecs.load("h264").decode(bytes(spoilt), [33, 37, 41, 45], height=128, width=128), expected
    )


def test_a_thread_keeps_a_bounded_number_of_decoders(clips: dict[str, NDArray[np.uint8]]) -> None:
    codec = codecs.load("h264")
    for width in range(16, 16 + 4 * (MAX_CONTEXTS + 4), 4):
        frames = clips["libero 64"][:3, :16, :width] if width <= 64 else clips["libero 128"][:3, :16, :width]
        codec.decode(codec.encode(frames, fps=20), [2], height=16, width=width)
    assert len(_own.contexts) == MAX_CONTEXTS
