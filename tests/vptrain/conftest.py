"""A micro model, a mixture of real recordings, and short runs of both stages. What is of the session is read only."""

import sys
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from commands import Ended, Vptrain
from micro import MICRO, train_stage1, train_stage2

from vpdata.cli import output
from vpdata.loader.dataset import WindowDataset
from vpdata.loader.window import Window
from vpdata.mixture.make import make_mixture
from vpdata.mixture.mixture import Mixture
from vpdata.shards.dataset import Dataset
from vptrain.batch import window_spec
from vptrain.cli.app import app
from vptrain.config import ModelConfig
from vptrain.models.policy import VideoPolicy
from vptrain.models.pretrained import initial_policy
from vptrain.models.text import CachedText, load_text_encoder
from vptrain.normalize import ActionNormalizer

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def micro() -> ModelConfig:
    return MICRO


@pytest.fixture(scope="session")
def mixture_file(datasets: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RoboCasa with its actions, ALOHA without them, and videos; one demo of CloseDrawer is held out."""
    file = tmp_path_factory.mktemp("manifests") / "mix.toml"
    pool = {name: Dataset.open(datasets[name]) for name in ("robocasa", "teleop", "video")}
    make_mixture(pool, file=file, withhold={"teleop": ["*"]}, holdout=Fraction(1, 10)).spec.write(file)
    return file


@pytest.fixture(scope="session")
def mixture(mixture_file: Path) -> Mixture:
    return Mixture.open(mixture_file)


@pytest.fixture(scope="session")
def policy() -> VideoPolicy:
    return initial_policy(MICRO, seed=0)


@pytest.fixture(scope="session")
def text() -> CachedText:
    return load_text_encoder(MICRO.text)


@pytest.fixture(scope="session")
def normalizer(mixture: Mixture) -> ActionNormalizer:
    fitted = ActionNormalizer.fit(mixture.training_clips(), space=MICRO.action_space)
    assert fitted is not None
    return fitted


@pytest.fixture(scope="session")
def labelled_windows(mixture: Mixture) -> list[Window]:
    """Six of RoboCasa: three cameras and actions."""
    stream = WindowDataset(mixture.labelled_only(), window_spec(MICRO))
    return [stream[position] for position in range(6)]


@pytest.fixture(scope="session")
def any_windows(mixture: Mixture) -> list[Window]:
    """Twelve as stage 1 sees them: with several camera layouts, some with actions."""
    stream = WindowDataset(mixture, window_spec(MICRO))
    windows = [stream[position] for position in range(12)]
    assert len({tuple(window.frames) for window in windows}) > 1
    return windows


@pytest.fixture(scope="session")
def stage1_run(mixture_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished stage-1 run of three steps."""
    return train_stage1(mixture_file, tmp_path_factory.mktemp("runs") / "video")


@pytest.fixture(scope="session")
def stage2_run(mixture_file: Path, stage1_run: Path) -> Path:
    """A finished stage-2 run of three steps on top of it."""
    return train_stage2(mixture_file, stage1_run.parent / "policy", stage1_run)


@pytest.fixture
def vptrain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Vptrain:
    """The `vptrain` command, in this process."""

    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["vptrain", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            output.run(app, prog_name="vptrain")
        captured = capsys.readouterr()
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return Ended(exit_code=code or 0, stdout=captured.out, stderr=captured.err)

    return call
