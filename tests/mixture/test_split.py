"""Splits by hash: what decides a side, what does not, and what mixtures make of it."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from benchmarks.data import synthetic
from vpdata.errors import MixtureError
from vpdata.ingest import IngestOptions, ingest
from vpdata.mixture.holdout import episode_key
from vpdata.mixture.make import make_mixture
from vpdata.mixture.mixture import Mixture
from vpdata.mixture.split import Split
from vpdata.shards.dataset import Dataset
from vpdata.shards.index import Index, to_parquet

HALF = Fraction(1, 2)


@pytest.fixture(scope="module")
def robocasa(datasets: Mapping[str, Path]) -> Dataset:
    return Dataset.open(datasets["robocasa"])


def synthetic_index(num_clips: int, *, first: int = 0) -> Index:
    return Index(to_parquet(list(synthetic.clips(num_clips))[first:]))


@pytest.mark.parametrize("by", ["episode", "task", "scene", "layout_id", "style_id"])
def test_growth_moves_nothing(by: str) -> None:
    """The first clips alone, all of them, and the last alone agree on every clip that they share."""
    split = Split(by=by, share=Fraction(3, 10), seed=2)
    whole = split.held_out(synthetic_index(4000))
    assert 0 < whole.sum() < len(whole)
    assert np.array_equal(split.held_out(synthetic_index(1200)), whole[:1200])
    assert np.array_equal(split.held_out(synthetic_index(4000, first=2400)), whole[2400:])


@pytest.mark.parametrize("by", ["episode", "task", "scene"])
def test_a_group_is_never_divided(by: str) -> None:
    index = synthetic_index(2000)
    split = Split(by=by, share=Fraction(1, 5))
    groups, held_out = split.groups(index), split.held_out(index)
    for code in range(len(groups.values)):
        assert len(set(held_out[groups.codes == code].tolist())) == 1


def test_the_share_is_met_and_a_larger_one_holds_out_more() -> None:
    index = synthetic_index(8000)
    small, large = (Split(by="episode", share=Fraction(n, 10)).held_out(index) for n in (1, 3))
    assert abs(small.mean() - 0.1) < 4 * (0.1 * 0.9 / 2000) ** 0.5
    assert not (small & ~large).any()
    other = Split(by="episode", share=Fraction(1, 10), seed=1).held_out(index)
    assert (other & small).sum() < small.sum() / 2


def test_files_added_before_and_after_move_no_recorded_episode(
    robocasa: Dataset, recordings: Path, tmp_path: Path
) -> None:
    """Real recordings: half of the tasks ingested alone, with another source folder above, and all together."""
    one = next((recordings / "robocasa").rglob("OpenDrawer"))
    ingest("robocasa", [one], tmp_path / "one", IngestOptions(clip_starts=40, window_span=32), workers=1)
    small = Dataset.open(tmp_path / "one")
    for by in ("episode", "task", "scene"):
        for seed in range(8):
            split = Split(by=by, share=HALF, seed=seed)
            sides = {
                clip.episode.content_digest: bool(side)
                for clip, side in zip(robocasa.clips, split.held_out(robocasa.index), strict=True)
            }
            for clip, side in zip(small.clips, split.held_out(small.index), strict=True):
                assert sides[clip.episode.content_digest] == side


def test_what_is_of_no_group_is_never_held_out(robocasa: Dataset, datasets: Mapping[str, Path]) -> None:
    video = Dataset.open(datasets["video"])
    assert Split(by="scene", share=HALF).groups(robocasa.index).values[0] == "layout_id=0,style_id=11"
    for by in ("scene", "task", "object"):
        for seed in range(8):
            split = Split(by=by, share=Fraction(9, 10), seed=seed)
            assert not split.held_out(video.index).any()
            assert split.groups(video.index).values == ("",)


def test_a_file_is_read_as_written(tmp_path: Path) -> None:
    for share in (Fraction(1, 10), Fraction(1, 3)):
        split = Split(by="scene", share=share, seed=4)
        path = tmp_path / "splits" / f"{share.denominator}.toml"
        split.write(path)
        split.write(path)
        assert Split.read(path) == split
        with pytest.raises(MixtureError, match="a different split is already there"):
            Split(by="task", share=share).write(path)
        Split(by="task", share=share).write(path, replace=True)
        assert Split.read(path).by == "task"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version = 1\nby = 'task'\nshare = 0.1\n", "its keys must be version, by, share and seed"),
        ("version = 2\nby = 'task'\nshare = 0.1\nseed = 0\n", "not a split file of version 1"),
        ("version = 1\nby = 'task'\nshare = 1.5\nseed = 0\n", "is not between 0 and 1"),
        ("version = 1\nby = 'task'\nshare = 'x'\nseed = 0\n", "'x' is not a number"),
        ("version = 1\nby = 7\nshare = 0.1\nseed = 0\n", "by = 7 must be a text"),
        ("version = 1\nby = 'a b'\nshare = 0.1\nseed = 0\n", "cannot split by 'a b'"),
        ("version = 1\nby = 'task'\nshare = 0.1\nseed = -1\n", "seed -1 is negative"),
        ("version =", "not a TOML file"),
    ],
)
def test_a_wrong_file_is_an_error_that_names_it(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "split.toml"
    path.write_text(text)
    with pytest.raises(MixtureError, match=message) as caught:
        Split.read(path)
    assert caught.value.path == str(path)


def test_a_mixture_never_shows_the_held_out_side(robocasa: Dataset, tmp_path: Path) -> None:
    split = Split(by="scene", share=HALF)
    mixture = make_mixture({"kitchen": robocasa}, file=tmp_path / "mix.toml", holdout=split)
    mixture.spec.write(tmp_path / "mix.toml")
    held_out = split.held_out(robocasa.index)
    assert 0 < held_out.sum() < len(held_out)
    expected = {episode_key(clip.episode) for clip, side in zip(robocasa.clips, held_out, strict=True) if side}
    opened = Mixture.open(tmp_path / "mix.toml")
    assert set(opened.spec.sources[0].held_out) == expected
    assert not {episode_key(placed.clip.episode) for placed in opened.training_clips()} & expected
    with pytest.raises(MixtureError, match="holds out no episode"):
        make_mixture({"kitchen": robocasa}, file=tmp_path / "b.toml", holdout=Split(by="object", share=HALF))


def test_a_share_of_the_actions_is_withheld_whatever_else_is_there(
    datasets: Mapping[str, Path], tmp_path: Path
) -> None:
    libero = Dataset.open(datasets["libero"])

    def labelled(share: Fraction, **options: object) -> set[str]:
        mixture = make_mixture(
            {"libero": libero},
            file=tmp_path / "mix.toml",
            withhold_shares={"libero": share},
            **options,  # type: ignore[arg-type]
        )
        mixture.spec.write(tmp_path / "mix.toml", replace=True)
        opened = Mixture.open(tmp_path / "mix.toml")
        assert opened.digest == mixture.digest
        return {placed.clip.key for placed in opened.training_clips() if placed.labelled}

    none, some, more = (labelled(Fraction(n, 10)) for n in (0, 4, 7))
    assert more < some < none
    only = labelled(Fraction(4, 10), queries={"libero": "task.str.startswith('pick')"})
    assert only == {key for key in some if key.startswith("pick")}
    assert only
    assert labelled(Fraction(1), action_free=Fraction(1)) == set()
    with pytest.raises(MixtureError, match=r"withhold_share = 11/10 is not in \[0, 1\]"):
        labelled(Fraction(11, 10))
