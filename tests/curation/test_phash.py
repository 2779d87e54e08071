from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.curation.copies_made import cropped, grey, read_video, write_video
from vpdata.curation.phash import FLAT, mirrored, phash, phash_many


@pytest.fixture(scope="module")
def rgb(recordings: Path) -> NDArray[np.uint8]:
    return read_video(recordings / "video" / "libero_object_soup_000.mp4")


def distances(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.bitwise_count(phash_many(grey(first)) ^ phash_many(grey(second)))


def test_one_frame_and_many_agree(rgb: NDArray[np.uint8]) -> None:
    frames = grey(rgb[:5])
    assert [phash(frame) for frame in frames] == phash_many(frames).tolist()
    assert all(0 < phash(frame) < 2**64 for frame in frames)


def test_the_hash_is_the_same_in_every_release() -> None:
    """Unless VERSION changes."""
    blocks = np.random.default_rng(2).integers(0, 256, (12, 12)).astype(np.uint8)
    assert phash(np.kron(blocks, np.ones((4, 6), np.uint8))) == 0x0DA7B6D16E7A4DAE


@pytest.mark.parametrize(("crf", "size", "median"), [(28, (128, 128), 2), (28, (64, 64), 3), (23, (256, 192), 2)])
def test_encoding_and_scaling_change_few_bits(
    rgb: NDArray[np.uint8], tmp_path: Path, crf: int, size: tuple[int, int], median: int
) -> None:
    copy = read_video(write_video(tmp_path / "copy.mp4", rgb, size=size, crf=crf))
    assert np.median(distances(rgb, copy)) <= median


def test_a_small_crop_changes_some_bits_and_another_scene_half(rgb: NDArray[np.uint8], recordings: Path) -> None:
    assert np.median(distances(rgb, cropped(rgb, 0.05))) <= 8
    other = read_video(recordings / "video" / "robocasa_CloseDrawer_001_agentview_right.mp4")
    assert 20 <= np.median(distances(rgb[:100], other[:100])) <= 44


def test_the_hash_of_a_mirror_image_follows_from_the_hash(rgb: NDArray[np.uint8]) -> None:
    frames = grey(rgb)
    changed = np.bitwise_count(mirrored(phash_many(frames)) ^ phash_many(frames[:, :, ::-1]))
    assert changed.max() <= 1  # a frequency that is not there may have either sign
    assert np.median(np.bitwise_count(phash_many(frames) ^ phash_many(frames[:, :, ::-1]))) > 8
    assert np.array_equal(mirrored(mirrored(phash_many(frames))), phash_many(frames))


def test_brightness_and_contrast_do_not_matter(rgb: NDArray[np.uint8]) -> None:
    assert np.median(distances(rgb, (rgb * 0.6 + 50).astype(np.uint8))) <= 1


def test_a_frame_that_shows_nothing_has_the_flat_hash() -> None:
    noise = np.random.default_rng(0).integers(126, 130, (1, 96, 128)).astype(np.uint8)
    flat = np.concatenate([np.zeros_like(noise), np.full_like(noise, 255), noise])
    assert phash_many(flat).tolist() == [FLAT] * 3
    assert mirrored(phash_many(flat)).tolist() == [FLAT] * 3
