"""What is said of a curation, against `curation.json` and the data set made with it."""

import shutil
from pathlib import Path

import pytest

from tests.overview.conftest import CuratedSet
from vpdata.curation.record import read_curation
from vpdata.errors import VpdataError
from vpdata.overview.curated import Curated, recorded_reasons
from vpdata.overview.footage import sample
from vpdata.overview.gather import gather
from vpdata.sets.operations import keep, merge
from vpdata.sets.write import write
from vpdata.shards.dataset import Dataset


def test_kept_and_dropped_are_all_that_came_in(curated_set: CuratedSet) -> None:
    facts = Curated(curated_set.curation).describe()
    curation = read_curation(curated_set.curation)
    assert facts.num_files == 2
    assert facts.kept_seconds + sum(one.seconds for one in facts.reasons) == pytest.approx(facts.seconds)
    assert {"black", "frozen", "blurry", "unreadable"} <= {one.reason for one in facts.reasons}
    assert [one.span for one in facts.dropped] == [span for file in curation.files for span in file.dropped]
    assert facts.num_kept == sum(len(file.kept) for file in curation.files)
    for one in facts.reasons:
        assert one.num_spans == sum(dropped.span.reason == one.reason for dropped in facts.dropped)
    assert facts.thresholds == curation.thresholds


def test_dropped_footage_is_darker_stiller_and_less_sharp(curated_set: CuratedSet) -> None:
    facts = Curated(curated_set.curation).describe()
    kept, dropped = facts.kept_looks, facts.dropped_looks
    assert kept is not None
    assert dropped is not None
    assert kept.motion is not None
    assert dropped.motion is not None
    assert dropped.luma.min < 20 < kept.luma.min
    assert dropped.motion.median < 0.75 < kept.motion.median
    assert dropped.sharpness.median < kept.sharpness.median
    assert (kept.luma.edges, kept.motion.edges) == (dropped.luma.edges, dropped.motion.edges)


def test_a_data_set_takes_what_curation_measured(curated_set: CuratedSet) -> None:
    """It says the same as decoding the data set would, up to what encoding it again changed."""
    dataset = Dataset.open(curated_set.dataset)
    measured = Curated(curated_set.curation).footage(dataset)
    assert measured is not None
    decoded = sample(dataset, num_windows=10_000, seed=0, advance=lambda _: None)
    (ours,), (theirs,) = measured.cameras, decoded.cameras
    assert (measured.method, measured.seed, ours.camera) == ("measured", None, theirs.camera)
    assert ours.looks.luma.median == pytest.approx(theirs.looks.luma.median, rel=0.1)
    assert ours.looks.luma.max == pytest.approx(theirs.looks.luma.max, abs=2)
    assert ours.looks.motion is not None
    assert theirs.looks.motion is not None
    assert ours.looks.motion.mean == pytest.approx(theirs.looks.motion.mean, rel=0.2)
    assert all(example.picture for example in measured.examples)


def test_the_manifest_alone_says_what_was_dropped(curated_set: CuratedSet, datasets: dict[str, Path]) -> None:
    facts = Curated(curated_set.curation).describe()
    assert recorded_reasons(Dataset.open(curated_set.dataset)) == facts.reasons
    assert recorded_reasons(Dataset.open(datasets["video"])) == ()


def test_other_data_sets_are_sampled(curated_set: CuratedSet, datasets: dict[str, Path]) -> None:
    overview = gather(
        [Dataset.open(curated_set.dataset), Dataset.open(datasets["video"])],
        curations=[curated_set.curation],
        num_windows=2,
        seed=0,
    )
    methods = [facts.footage and facts.footage.method for facts in overview.datasets]
    assert methods == ["measured", "sampled"]
    without = gather([Dataset.open(curated_set.dataset)], curations=[], num_windows=0, seed=0)
    assert without.datasets[0].footage is None
    assert without.datasets[0].curation == overview.datasets[0].curation


def test_set_operations_keep_what_is_known(curated_set: CuratedSet, datasets: dict[str, Path], tmp_path: Path) -> None:
    """A part of a curated data set is as measured; together with other footage it is sampled."""
    curated, other = Dataset.open(curated_set.dataset), Dataset.open(datasets["video"])
    write(keep(curated, "num_frames >= 25"), tmp_path / "part")
    write(merge([curated, other]), tmp_path / "both")
    part, both = Dataset.open(tmp_path / "part"), Dataset.open(tmp_path / "both")
    found = Curated(curated_set.curation)
    whole, less = found.footage(curated), found.footage(part)
    assert whole is not None
    assert less is not None
    assert 0 < less.num_windows < whole.num_windows
    assert found.footage(both) is None
    assert recorded_reasons(part) == recorded_reasons(both) == recorded_reasons(curated)


def test_missing_measurements_are_told(curated_set: CuratedSet, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(curated_set.curation, tmp_path / "copy"))
    for path in (copy / "measurements").glob("*.parquet"):
        path.unlink()
    with pytest.raises(VpdataError, match=r"curate again"):
        Curated(copy).describe()
