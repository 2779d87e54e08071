"""What is held out of training must not be shown under another name; what is found is refused unless named."""

import json
import shutil
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.curation.copies_made import recorded, write_video
from vpdata.cli.app import app
from vpdata.errors import MixtureError
from vpdata.ingest import IngestOptions, ingest
from vpdata.mixture.leaks import equal_footage, equal_recordings, refuse, sides_of
from vpdata.mixture.make import make_mixture
from vpdata.shards.cache import FOLDER_VARIABLE
from vpdata.shards.dataset import Dataset

TASK = "pick_up_the_alphabet_soup_and_place_it_in_the_basket_demo.hdf5"
OPTIONS = IngestOptions(clip_starts=40, window_span=32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def filmed(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of one action-free video: what the fixed camera saw in the first soup demonstration."""
    folder = tmp_path_factory.mktemp("filmed")
    (demo,) = recorded(recordings / "libero" / TASK, "front", num_episodes=1)
    write_video(folder / "raw" / "filmed.mp4", demo, size=demo.shape[1:3])
    ingest("video", [folder / "raw"], folder / "filmed", OPTIONS, workers=1)
    return folder / "filmed"


@pytest.fixture(scope="module")
def both(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two data sets of two videos; b of the first is c of the second."""
    folder = tmp_path_factory.mktemp("both")
    for place, copied in (
        ("first/a.mp4", "libero_spatial_bowl_002_av1.mp4"),
        ("first/b.mp4", "libero_spatial_bowl_003_hevc.mp4"),
        ("second/c.mp4", "libero_spatial_bowl_003_hevc.mp4"),
        ("second/d.mp4", "robocasa_CloseDrawer_001_agentview_right.mp4"),
    ):
        (folder / "raw" / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(recordings / "video" / copied, folder / "raw" / place)
    for name in ("first", "second"):
        ingest("video", [folder / "raw" / name], folder / name, OPTIONS, workers=1)
    return [folder / "first", folder / "second"]


def mix(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["mix", *map(str, arguments), "--json", "--samples", "10"])


def test_a_mixture_of_recordings_that_are_all_different_has_no_leaks(
    datasets: Mapping[str, Path], tmp_path: Path
) -> None:
    sets = {name: Dataset.open(datasets[name]) for name in ("libero", "robocasa")}
    mixture = make_mixture(sets, file=tmp_path / "mix.toml", holdout=Fraction(1, 10))
    sides = sides_of(mixture, {})
    held_out = sum(int(chosen.clips.sum()) for chosen in sides.evaluation if chosen.clips is not None)
    shown = sum(int(chosen.clips.sum()) for chosen in sides.training if chosen.clips is not None)
    assert held_out > 0
    assert held_out + shown == sum(map(len, (dataset.index for dataset in sets.values())))
    assert equal_recordings(sides) == []
    assert equal_footage(sides) == []


def test_a_recording_to_evaluate_on_is_refused_unless_named(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "mix.toml"
    arguments = [datasets["libero"], "--holdout", 0, "--out", out]
    refused = mix(*arguments, "--evaluate-on", datasets["libero"])
    assert isinstance(refused.exception, MixtureError)
    assert f"libero:{TASK}::demo_0 is shown as libero:{TASK}::demo_0" in refused.exception.what
    assert not out.exists()
    allowed = mix(*arguments, "--evaluate-on", datasets["libero"], "--allow-leak", "libero")
    assert allowed.exit_code == 0, allowed.output
    assert out.exists()


def test_other_data_to_evaluate_on_are_fine(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    arguments = [datasets["libero"], "--holdout", 0, "--out", tmp_path / "mix.toml"]
    result = mix(*arguments, "--evaluate-on", datasets["robocasa"])
    assert result.exit_code == 0, result.output


def test_a_held_out_recording_under_another_name_is_refused(both: list[Path], tmp_path: Path) -> None:
    """Of some seeds one of b and c is held out and the other shown, of others both are held out or shown."""
    refused = []
    for seed in range(12):
        result = mix(*both, "--holdout", "1/2", "--seed", seed, "--out", tmp_path / f"{seed}.toml")
        if result.exit_code:
            assert isinstance(result.exception, MixtureError)
            assert "first:b.mp4::b" in result.exception.what
            assert "second:c.mp4::c" in result.exception.what
            refused.append(seed)
    assert 0 < len(refused) < 12
    arguments = [*both, "--holdout", "1/2", "--seed", refused[0], "--out", tmp_path / "mix.toml"]
    assert mix(*arguments, "--allow-leak", "first:a.mp4::a").exit_code == 1
    for name in ("first:b.mp4::b", "second:c.mp4::c", "first"):
        assert mix(*arguments, "--allow-leak", name).exit_code == 0


def test_a_labelled_recording_filmed_as_video_is_refused_when_asked(
    datasets: Mapping[str, Path], filmed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mix.toml"
    arguments = [filmed, "--holdout", 0, "--evaluate-on", datasets["libero"], "--out", out]
    refused = mix(*arguments, "--check-leaks")
    assert isinstance(refused.exception, MixtureError)
    assert f"libero:{TASK}::demo_0 is shown as filmed:filmed.mp4::filmed (likeness 0.9" in refused.exception.what
    assert "more" not in refused.exception.what
    assert not out.exists()
    assert mix(*arguments, "--check-leaks", "--allow-leak", f"libero:{TASK}::demo_0").exit_code == 0
    assert json.loads(mix(*arguments).stdout)["digest"], "equal recordings are all that is looked for by default"


def test_a_long_list_of_leaks_is_cut(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    libero = Dataset.open(datasets["libero"])
    mixture = make_mixture({"libero": libero}, file=tmp_path / "mix.toml")
    leaks = equal_recordings(sides_of(mixture, {"exam": libero}))
    assert len(leaks) == libero.manifest.num_episodes
    with pytest.raises(MixtureError, match=f"and {len(leaks) - 5} more"):
        refuse(leaks, allowed=())
    refuse(leaks, allowed=[leak.training for leak in leaks])
    refuse(leaks, allowed=["exam"])
