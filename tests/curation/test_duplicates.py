import numpy as np
import pytest
from numpy.typing import NDArray

from vpdata.curation.duplicates import (
    MAX_DISTANCE,
    NEAR_DISTANCE,
    QUERY_EVERY,
    HashSequences,
    closest_offset,
    find_candidates,
)
from vpdata.curation.phash import FLAT, mirrored

LENGTH = 12


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def some(random: np.random.Generator, *shape: int) -> NDArray[np.uint64]:
    return random.integers(1, 2**64 - 1, shape, dtype=np.uint64)


def flipped(random: np.random.Generator, hashes: NDArray[np.uint64], count: int) -> NDArray[np.uint64]:
    """Each with exactly `count` bits changed."""
    bits = np.argsort(random.random((*hashes.shape, 64)), axis=-1)[..., :count].astype(np.uint64)
    return hashes ^ np.bitwise_or.reduce(np.uint64(1) << bits, axis=-1)


def found(*sequences: NDArray[np.uint64], **options: int) -> list[tuple[int, int, int, bool]]:
    pairs = find_candidates(HashSequences.of(sequences), **options)
    columns = (pairs.first, pairs.second, pairs.offset, pairs.is_mirrored)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("max_distance", range(12))
def test_every_pair_within_the_distance_is_found(random: np.random.Generator, max_distance: int) -> None:
    num = 60
    base = some(random, num, LENGTH)
    copies = [flipped(random, sequence, max_distance) for sequence in base]
    pairs = find_candidates(
        HashSequences.of(list(base)), against=HashSequences.of(copies[::-1]), max_distance=max_distance
    )
    assert pairs.first.tolist() == list(range(num))
    assert pairs.second.tolist() == list(range(num))[::-1]
    assert pairs.num_matches.tolist() == pairs.num_compared.tolist() == [LENGTH] * num
    assert pairs.distance.tolist() == [max_distance] * num


def test_a_distance_beyond_twice_the_limit_is_no_match(random: np.random.Generator) -> None:
    base = some(random, LENGTH)
    assert found(base, flipped(random, base, 2 * MAX_DISTANCE + 1)) == []


def test_candidates_are_those_of_comparing_every_pair(random: np.random.Generator) -> None:
    """Hashes of many scenes that all look alike within a scene: crowded bands, many offsets."""
    scenes = some(random, 6, 1)
    sequences = [flipped(random, np.repeat(scene, LENGTH), 3) for scene in scenes for _ in range(8)]
    want = {(i, j) for i in range(48) for j in range(i + 1, 48) if i // 8 == j // 8}
    assert {(first, second) for first, second, _, _ in found(*sequences)} == want


def test_one_near_hash_is_enough_where_the_rest_is_farther_off(random: np.random.Generator) -> None:
    """As in a picture that was cropped at one corner; the near one need not be among every fourth."""
    base = some(random, LENGTH)
    copy = flipped(random, base, MAX_DISTANCE + 3)
    assert found(base, copy) == []
    for near in range(LENGTH):
        nearer = copy.copy()
        nearer[near] = flipped(random, base[near], NEAR_DISTANCE)
        assert found(base, nearer) == [(0, 1, 0, False)]


def test_offsets_are_found_and_excerpts(random: np.random.Generator) -> None:
    long = some(random, 40)
    assert found(long, long[17:30]) == [(0, 1, -17, False)]
    assert found(long[17:30], long) == [(0, 1, 17, False)]
    overlapping = np.concatenate([some(random, 5), long[:15]])
    assert found(overlapping, long) == [(0, 1, -5, False)]


def test_mirror_images_are_found(random: np.random.Generator) -> None:
    base = some(random, LENGTH)
    assert found(base, mirrored(flipped(random, base, 4))) == [(0, 1, 0, True)]


def test_recordings_are_no_candidates_of_themselves_and_too_short_ones_of_none(random: np.random.Generator) -> None:
    base = some(random, LENGTH)
    assert found(base) == []
    assert found(base, base[:3]) == []
    assert found(np.repeat(base[:1], LENGTH)) == []


def test_flat_frames_match_nothing(random: np.random.Generator) -> None:
    black = np.full(LENGTH, FLAT, np.uint64)
    assert found(black, black.copy()) == []
    fading = np.concatenate([black, some(random, 3)])
    assert found(fading, np.concatenate([black, some(random, 3)])) == []


def test_a_few_equal_frames_are_not_enough(random: np.random.Generator) -> None:
    """A logo or a common first frame: below half of what is compared."""
    first, second = some(random, LENGTH), some(random, LENGTH)
    second[QUERY_EVERY : QUERY_EVERY + 5] = first[QUERY_EVERY : QUERY_EVERY + 5]
    assert found(first, second) == []


def test_the_distance_has_its_range() -> None:
    for wrong in (-1, 12):
        with pytest.raises(ValueError, match="max_distance"):
            find_candidates(HashSequences.of([]), max_distance=wrong)
    assert len(find_candidates(HashSequences.of([]))) == 0


def test_the_closest_offset_is_that_of_the_copy(random: np.random.Generator) -> None:
    """Also where every frame of the scene looks like every other."""
    scene = flipped(random, np.repeat(some(random, 1), 30), 6)
    for start, stop in ((0, 30), (0, 20), (9, 30), (4, 19)):
        copy = flipped(random, scene[start:stop], 5)
        assert closest_offset(scene, copy) == -start
        assert closest_offset(copy, scene) == start
