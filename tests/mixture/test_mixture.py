import math
import pickle
import shutil
from collections import Counter, defaultdict
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vpdata.errors import EndOfStream, MixtureError, ShardError
from vpdata.mixture.curriculum import Curriculum, Step
from vpdata.mixture.holdout import episode_key, hold_out
from vpdata.mixture.make import make_mixture
from vpdata.mixture.mixture import Mixture, WindowRef
from vpdata.mixture.report import describe
from vpdata.shards.dataset import Dataset
from vpdata.shards.index import Index, to_parquet

FILE = Path("mix.toml")


@pytest.fixture
def file(tmp_path: Path, both: dict[str, Dataset]) -> Path:
    """A mixture file beside copies of its data sets, which a test may damage."""
    copies = {}
    for name, dataset in both.items():
        shutil.copytree(dataset.path, tmp_path / "data" / name)
        copies[name] = Dataset.open(tmp_path / "data" / name)
    path = tmp_path / "manifests" / "mix.toml"
    make_mixture(copies, file=path, action_free=Fraction(7, 10), holdout=Fraction(1, 10)).spec.write(path)
    return path


def place(ref: WindowRef) -> tuple[int, int, int]:
    return ref.dataset, ref.clip, ref.start


def test_an_epoch_shows_every_window_once(both: dict[str, Dataset]) -> None:
    mixture = make_mixture(both, file=FILE, withhold={"robocasa": ["OpenDrawer"]}, holdout=Fraction(1, 10))
    expected: defaultdict[str, set[tuple[int, int, int]]] = defaultdict(set)
    for i, entry in enumerate(mixture.spec.sources):
        for j, clip in enumerate(mixture.datasets[i].clips):
            if episode_key(clip.episode) in entry.held_out:
                continue
            labelled = clip.num_actions > 0 and clip.episode.task != "OpenDrawer"
            num_starts = min(clip.span.num_starts, clip.num_actions) if labelled else clip.span.num_starts
            name = f"{entry.name}/{'labelled' if labelled else 'action-free'}"
            expected[name] |= {(i, j, start) for start in range(num_starts)}
    assert set(expected) == {"robocasa/labelled", "robocasa/action-free", "video/action-free"}

    seen: defaultdict[tuple[str, int], list[tuple[int, int, int]]] = defaultdict(list)
    t = 0
    while any(len(seen[name, 1]) < len(windows) for name, windows in expected.items()):
        ref = mixture.locate(t)
        seen[ref.component, ref.epoch].append(place(ref))
        t += 1
    for name, windows in expected.items():
        for epoch in (0, 1):
            assert len(seen[name, epoch]) == len(windows)
            assert set(seen[name, epoch]) == windows
        assert seen[name, 0] != seen[name, 1]


@pytest.mark.parametrize("start", [0, 10**15 + 3])
def test_action_free_share_is_exact_over_every_span(both: dict[str, Dataset], start: int) -> None:
    mixture = make_mixture(both, file=FILE, action_free=Fraction(7, 10), seed=5)
    totals = [0]
    for t in range(start, start + 1000):
        totals.append(totals[-1] + (not mixture.locate(t).labelled))
    for length in (1, 3, 10, 64, 1000):
        for i in range(1001 - length):
            assert abs(totals[i + length] - totals[i] - 0.7 * length) <= 1


def test_natural_ratio_is_that_of_the_windows(both: dict[str, Dataset]) -> None:
    mixture = make_mixture(both, file=FILE)
    windows = {component.name: component.num_windows for component in mixture.components}
    total = sum(windows.values())
    assert mixture.expected(total) == tuple(windows.values())
    epoch = Counter(mixture.locate(t).component for t in range(total))
    assert all(abs(epoch[name] - count) <= 1 for name, count in windows.items())


def test_weights_share_a_pool(robocasa: Dataset, libero: Dataset) -> None:
    pool = {"robocasa": robocasa, "libero": libero}
    mixture = make_mixture(pool, file=FILE, weights={"robocasa": Fraction(3), "libero": Fraction(1)})
    assert mixture.expected(400) == (300, 100)
    got = Counter(mixture.locate(t).component for t in range(7, 407))
    assert abs(got["robocasa/labelled"] - 300) <= 1


def test_order_depends_on_nothing_but_the_file(file: Path) -> None:
    mixture = Mixture.open(file)
    forward = [mixture.locate(t) for t in range(300)]
    assert [mixture.locate(t) for t in reversed(range(300))] == forward[::-1]
    again = pickle.loads(pickle.dumps(Mixture.open(file)))
    assert [again.locate(t) for t in range(300)] == forward
    assert again.digest == mixture.digest


def test_order_survives_a_move(file: Path, tmp_path: Path) -> None:
    before = Mixture.open(file)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for folder in ("data", "manifests"):
        shutil.move(tmp_path / folder, moved / folder)
    after = Mixture.open(moved / "manifests" / file.name)
    assert after.digest == before.digest
    assert [after.locate(t) for t in range(100)] == [before.locate(t) for t in range(100)]


def test_labelled_only_keeps_the_relative_order(both: dict[str, Dataset], libero: Dataset) -> None:
    pool = {**both, "libero": libero}
    mixture = make_mixture(pool, file=FILE, action_free=Fraction(2, 3), withhold={"robocasa": ["OpenDrawer"]}, seed=2)
    labelled = [ref for ref in map(mixture.locate, range(3000)) if ref.labelled]
    alone = mixture.labelled_only()
    assert [alone.locate(t) for t in range(len(labelled))] == labelled
    assert alone.digest != mixture.digest
    assert all(clip.labelled for clip in alone.training_clips())


def test_training_and_held_out_clips_are_disjoint_and_complete(both: dict[str, Dataset]) -> None:
    mixture = make_mixture(both, file=FILE, action_free=Fraction(1, 2), holdout=Fraction(1, 10))
    shown, held = mixture.training_clips(), mixture.held_out_clips()
    digests = {True: set(), False: set()}  # type: dict[bool, set[str]]
    for kept, clips in ((True, shown), (False, held)):
        digests[kept] = {clip.episode.content_digest for _, clip, _, _ in clips}
    assert digests[False]
    assert not digests[True] & digests[False]
    assert len(shown) + len(held) == sum(len(dataset.clips) for dataset in both.values())
    assert {source for _, _, source, labelled in held if labelled} == {"robocasa"}


def test_unused_windows_are_no_training_clips(both: dict[str, Dataset]) -> None:
    mixture = make_mixture(both, file=FILE, action_free=Fraction(0))
    assert {clip.source for clip in mixture.training_clips()} == {"robocasa"}
    assert all(mixture.locate(t).labelled for t in range(200))


def test_withholding_moves_windows_between_pools(robocasa: Dataset) -> None:
    mixture = make_mixture({"r": robocasa}, file=FILE, withhold={"r": ["OpenDrawer"]}, action_free=Fraction(1, 2))
    tasks = {
        labelled: {c.episode.task for _, c, _, is_labelled in mixture.training_clips() if is_labelled == labelled}
        for labelled in (True, False)
    }
    assert tasks == {True: {"CloseDrawer"}, False: {"OpenDrawer"}}
    everything = make_mixture({"r": robocasa}, file=FILE, withhold={"r": ["*"]})
    assert not any(everything.locate(t).labelled for t in range(100))


def test_held_out_episodes_follow_the_content(robocasa: Dataset) -> None:
    chosen = hold_out(robocasa.index, Fraction(1, 10), seed=0)
    backwards = Index(to_parquet(robocasa.clips[::-1]))
    assert set(hold_out(backwards, Fraction(1, 10), seed=0)) == set(chosen)
    assert len({hold_out(robocasa.index, Fraction(1, 10), seed=seed) for seed in range(20)}) > 1


@pytest.mark.parametrize("share", [Fraction(0), Fraction(1, 10), Fraction(1, 2), Fraction(9, 10)])
def test_held_out_counts_are_exact_for_each_task(robocasa: Dataset, share: Fraction) -> None:
    chosen = hold_out(robocasa.index, share, seed=1)
    episodes = {episode_key(clip.episode): clip.episode for clip in robocasa.clips}
    num_episodes = Counter(episode.task for episode in episodes.values())
    num_chosen = Counter(episodes[key].task for key in chosen)
    assert len(num_episodes) == 2
    assert max(num_episodes.values()) >= 2
    for task, count in num_episodes.items():
        assert num_chosen[task] == (min(max(round(share * count), 1), count - 1) if share else 0)


def test_changed_data_are_an_error_with_a_named_override(file: Path) -> None:
    before = Mixture.open(file)
    manifest = file.parents[1] / "data" / "video" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    with pytest.raises(MixtureError, match="data set of source video has changed") as caught:
        Mixture.open(file)
    assert caught.value.hint is not None
    assert "--allow-changed-data" in caught.value.hint
    assert "vpdata mix /" in caught.value.hint
    assert Mixture.open(file, allow_changed=True).digest != before.digest


def test_the_override_takes_data_that_lack_what_the_file_names(file: Path) -> None:
    text = file.read_text()
    changed = text.replace("held_out = [", 'held_out = [\n    "gone::gone",', 1)
    changed = changed.replace('[[sources]]\nname = "video"', 'withhold = ["Gone"]\n\n[[sources]]\nname = "video"')
    file.write_text(changed)
    with pytest.raises(MixtureError, match="gone::gone: source robocasa: the held-out episode is not"):
        Mixture.open(file)
    taken = Mixture.open(file, allow_changed=True)
    file.write_text(text)
    assert taken.digest == Mixture.open(file).digest


def test_a_missing_data_set_is_named(file: Path) -> None:
    shutil.rmtree(file.parents[1] / "data" / "video")
    with pytest.raises(ShardError, match="data/video: there is no data set here"):
        Mixture.open(file)


def test_an_empty_pool_says_what_to_do(robocasa: Dataset, video: Dataset) -> None:
    with pytest.raises(MixtureError, match=r"every window has actions.*--withhold"):
        make_mixture({"r": robocasa}, file=FILE, action_free=Fraction(7, 10))
    with pytest.raises(MixtureError, match="no window has actions"):
        make_mixture({"v": video}, file=FILE, action_free=Fraction(7, 10))
    with pytest.raises(MixtureError, match="no window has actions"):
        make_mixture({"v": video}, file=FILE).labelled_only()


def test_unknown_names_are_refused(robocasa: Dataset, video: Dataset) -> None:
    with pytest.raises(MixtureError, match=r"task 'OpenDraw'.*CloseDrawer, OpenDrawer"):
        make_mixture({"r": robocasa}, file=FILE, withhold={"r": ["OpenDraw"]})
    with pytest.raises(MixtureError, match="no actions at all"):
        make_mixture({"v": video}, file=FILE, withhold={"v": ["*"]})
    with pytest.raises(MixtureError, match="withhold: there is no source 'x'"):
        make_mixture({"v": video}, file=FILE, withhold={"x": ["*"]})
    with pytest.raises(MixtureError, match="v have a weight, r have none"):
        make_mixture({"v": video, "r": robocasa}, file=FILE, weights={"v": Fraction(1)})
    spec = make_mixture({"r": robocasa}, file=FILE).spec
    gone = replace(spec, sources=(replace(spec.sources[0], held_out=("a.hdf5::demo_9",)),))
    with pytest.raises(MixtureError, match="demo_9: source r: the held-out episode is not"):
        Mixture.of(gone, (robocasa,))


def test_the_report_counts_what_the_stream_shows(both: dict[str, Dataset]) -> None:
    mixture = make_mixture(both, file=FILE, action_free=Fraction(7, 10), holdout=Fraction(1, 10))
    report = describe(mixture, num_samples=1000)
    assert report.action_free_realised == 700
    assert sum(component.realised for component in report.components) == 1000
    for component in report.components:
        assert abs(component.realised - 1000 * component.expected_share) <= 2
    labelled = report.components[0]
    assert labelled.name == "robocasa/labelled"
    assert labelled.action_spaces == ("robocasa_panda_omron_action",)
    assert labelled.tasks == ("CloseDrawer", "OpenDrawer")
    assert math.isclose(labelled.seconds_per_epoch, labelled.num_windows / 20)
    assert report.sources[0].held_out == mixture.spec.sources[0].held_out


def test_the_report_follows_a_curriculum(both: dict[str, Dataset]) -> None:
    steps = Step(at=0, share=Fraction(9, 10)), Step(at=600, share=Fraction(1, 2))
    mixture = make_mixture(both, file=FILE, action_free=Curriculum(steps=steps))
    report = describe(mixture, num_samples=1000)
    assert report.action_free_expected == 0.74
    assert report.action_free_realised == 740
    assert [component.expected for component in report.components] == [260, 740]
    assert report.action_free_steps == ((0, 0.9, False), (600, 0.5, False))
    early = [not mixture.locate(t).labelled for t in range(600)]
    assert sum(early) == 540


@pytest.mark.parametrize("exhaustion", ["stop", "renormalise"])
def test_a_stream_that_ends(both: dict[str, Dataset], libero: Dataset, exhaustion: str) -> None:
    pool = {**both, "libero": libero}
    mixture = make_mixture(pool, file=FILE, action_free=Fraction(1, 2), exhaustion=exhaustion, holdout=Fraction(1, 10))
    num_windows = sum(component.num_windows for component in mixture.components)
    length = mixture.num_positions
    assert length is not None
    seen = [place(mixture.locate(t)) for t in range(length)]
    assert len(set(seen)) == length
    assert (length == num_windows) == (exhaustion == "renormalise")
    with pytest.raises(EndOfStream, match=f"ends after {length} windows"):
        mixture.locate(length)
    report = describe(mixture, num_samples=10**9)
    assert (report.num_samples, report.num_positions) == (length, length)
    assert sum(component.realised for component in report.components) == length
    labelled = mixture.labelled_only()
    assert labelled.num_positions is not None
    shown = [ref for ref in map(mixture.locate, range(length)) if ref.labelled]
    assert [labelled.locate(t) for t in range(len(shown))] == shown


def test_replacements_are_the_next_windows_of_the_epoch(both: dict[str, Dataset]) -> None:
    mixture = make_mixture(both, file=FILE, action_free=Fraction(1, 2))
    sizes = {component.name: component.num_windows for component in mixture.components}
    positions: defaultdict[str, list[WindowRef]] = defaultdict(list)
    for t in range(100):
        ref = mixture.locate(t)
        positions[ref.component].append(ref)
        size = sizes[ref.component]
        attempts = [mixture.locate(t, attempt=k) for k in range(size)]
        assert attempts[0] == ref
        assert {(again.component, again.epoch, again.labelled) for again in attempts} == {
            (ref.component, ref.epoch, ref.labelled)
        }
        assert len({place(again) for again in attempts}) == size
        assert mixture.locate(t, attempt=size) == ref
    for refs in positions.values():
        same_epoch = [ref for ref in refs if ref.epoch == refs[0].epoch]
        first = next(t for t in range(100) if mixture.locate(t) == refs[0])
        assert [mixture.locate(first, attempt=k) for k in range(len(same_epoch))] == same_epoch
    with pytest.raises(ValueError, match="attempt -1"):
        mixture.locate(0, attempt=-1)


def test_a_component_of_one_window(robocasa: Dataset) -> None:
    (component,) = make_mixture({"r": robocasa}, file=FILE).components
    one = replace(component, clips=component.clips[:1], window_ends=np.ones(1, dtype=np.int64), num_windows=1)
    assert [one.window(one.order(epoch, seed=0)[0]) for epoch in range(5)] == [(0, 0)] * 5


def test_blocks_stay_in_few_shards(sharded: Dataset) -> None:
    mixture = make_mixture({"r": sharded}, file=FILE, block_shards=3)
    (component,) = mixture.components
    shard_of = sharded.index.codes("shard").codes
    num_shards = len(set(shard_of.tolist()))
    assert num_shards > 6
    for epoch in (0, 1):
        first = epoch * component.num_windows
        refs = [mixture.locate(t) for t in range(first, first + component.num_windows)]
        assert len({place(ref) for ref in refs}) == component.num_windows
        left = Counter(int(shard_of[ref.clip]) for ref in refs)
        at_hand: set[int] = set()
        for ref in refs:
            if not any(left[shard] for shard in at_hand):
                at_hand = set()
            at_hand.add(int(shard_of[ref.clip]))
            left[int(shard_of[ref.clip])] -= 1
            assert len(at_hand) <= 3
    whole = make_mixture({"r": sharded}, file=FILE, block_shards=num_shards)
    assert whole.digest == make_mixture({"r": sharded}, file=FILE).digest
    assert whole.digest != mixture.digest
