"""Models from the Hub: the same predictions, the next stages begun from them, one commit for all of it, and errors."""

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Vptrain
from kitchens import KEY, MODEL, STAGE2
from micro import MICRO, silent
from numpy.typing import NDArray

import vptrain as package
from tests.hub.server import Fault, Hub
from vpdata.errors import HubError
from vpdata.mixture.make import make_mixture
from vpdata.shards.dataset import Dataset
from vptrain.checkpoint import Checkpoint
from vptrain.errors import VptrainError
from vptrain.hub.publish import publish
from vptrain.rollout.load import load_policy
from vptrain.training.start import start_stage2

URL = f"hf://{MODEL}"


@pytest.fixture
def online(hub: Hub, policy_run: Path, video_run: Path) -> Hub:
    """The policy at the tag `v1`; the video model, published later, at the head of the branch."""
    publish(policy_run, MODEL, licence="mit")
    hub.repos[KEY].tags["v1"] = hub.head(KEY)
    publish(video_run, MODEL, licence="mit")
    hub.requests.clear()
    return hub


@pytest.fixture
def pictures() -> dict[str, NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return {camera: rng.integers(0, 256, (80, 96, 3), np.uint8) for camera in MICRO.cameras}


def test_a_revision_and_the_head(online: Hub, policy_run: Path, video_run: Path) -> None:
    for url, run, commit in ((f"{URL}@v1", policy_run, online.head(KEY, "v1")), (URL, video_run, online.head(KEY))):
        there, here = Checkpoint.open(url), Checkpoint.open(run)
        assert (there.place, there.step, there.run.stage) == (f"{URL}@{commit}", here.step, here.run.stage)
        ours, theirs = here.load_policy().state_dict(), there.load_policy().state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not online.asked("GET", "optimizer")


def test_a_commit_that_is_here_needs_no_network(online: Hub) -> None:
    place = Checkpoint.open(URL).place
    online.fault = lambda *_: Fault(status=503)
    online.requests.clear()
    assert Checkpoint.open(place).place == place
    assert Checkpoint.open(Path(place)).place == place  # as a command line passes it
    assert not online.requests


def test_load_policy_is_the_same_here_and_there(
    online: Hub, policy_run: Path, pictures: Mapping[str, NDArray[np.uint8]]
) -> None:
    assert online
    here, there = package.load_policy(policy_run), package.load_policy(f"{URL}@v1", device="cpu")
    ours, theirs = (one.predict(pictures, "open the drawer", seed=3, with_video=True) for one in (here, there))
    assert ours.actions is not None
    assert ours.video is not None
    assert theirs.video is not None
    assert (ours.actions.shape, ours.actions.dtype, ours.action_space) == ((8, 7), np.float64, "osc_pose_action")
    np.testing.assert_array_equal(ours.actions, theirs.actions)
    assert tuple(ours.video) == MICRO.cameras
    for camera, frames in ours.video.items():
        assert (frames.shape, frames.dtype) == ((3, 64, 64, 3), np.uint8)
        np.testing.assert_array_equal(frames, theirs.video[camera])
    statistics = here.normalizer.statistics if here.normalizer else None
    assert statistics is not None
    assert (ours.actions >= np.array(statistics.min)).all()
    assert (ours.actions <= np.array(statistics.max)).all()


def test_what_predict_follows_from(policy_run: Path, pictures: Mapping[str, NDArray[np.uint8]]) -> None:
    policy = load_policy(policy_run, device="cpu")

    def actions(shown: Mapping[str, NDArray[np.uint8]], instruction: str = "go", seed: int = 0) -> NDArray[np.float64]:
        found = policy.predict(shown, instruction, seed=seed).actions
        assert found is not None
        return found

    base = actions(pictures)
    np.testing.assert_array_equal(base, actions({"unknown": pictures["wrist"], **pictures}))
    assert policy.predict(pictures, "go").video is None
    for other in (actions(pictures, "stop"), actions(pictures, seed=1), actions({"wrist": pictures["wrist"]})):
        assert not np.array_equal(base, other)
    commands = policy.predict(pictures, "go", action_space="robocasa_panda_omron_action")
    assert commands.actions is not None
    assert (commands.actions.shape, commands.action_space) == ((8, 12), "robocasa_panda_omron_action")


def test_a_model_of_video_alone(video_run: Path, pictures: Mapping[str, NDArray[np.uint8]]) -> None:
    predicted = load_policy(video_run, device="cpu").predict(pictures, "go")
    assert (predicted.actions, predicted.action_space) == (None, None)
    assert predicted.video is not None


def test_pictures_that_do_not_fit(policy_run: Path, pictures: Mapping[str, NDArray[np.uint8]]) -> None:
    policy = load_policy(policy_run, device="cpu")
    with pytest.raises(VptrainError, match="there are pictures of tail; the model knows wrist, left, right"):
        policy.predict({"tail": pictures["wrist"]}, "go")
    with pytest.raises(VptrainError, match=r"the picture of wrist is float64 \(80, 96, 3\), not uint8"):
        policy.predict({"wrist": pictures["wrist"] / 255}, "go")


def test_the_next_stage_from_the_hub(online: Hub, local_mixture: Path, policy_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    start_stage2(local_mixture, out, stage1=URL, run=STAGE2, device="cpu").train(silent)
    here, there = Checkpoint.open(policy_run), Checkpoint.open(out)
    assert there.files == here.files  # the SHA-256 of all weights
    commit = f"{URL}@{online.head(KEY)}"
    assert [(one.stage, one.place) for one in there.before] == [("stage1", commit)]
    assert json.loads((out / "run.json").read_text())["before"][0]["place"] == commit
    publish(out, "user/next", licence="mit")
    card = online.files("models/user/next")["README.md"].decode()
    assert f"base_model:\n- {MODEL}\n" in card
    assert f"### stage1, 2 steps, [{commit}]" in card
    place = Checkpoint.open("hf://user/next").before[0].place
    assert place == commit


@pytest.mark.parametrize("verb", ["stage2", "joint"])
def test_the_commands_begin_from_the_hub(
    online: Hub, vptrain: Vptrain, local_mixture: Path, tmp_path: Path, verb: str
) -> None:
    arguments = ("--mixture", local_mixture, "--from", URL, "--steps", 1, "--batch-size", 1, "--num-workers", 0)
    settings = ("--set", "reuse=1", "--set", "reuse_block=1")
    ended = vptrain(verb, *arguments, *settings, "--out", tmp_path / "run")
    assert ended.exit_code == 0, ended.stderr
    resumed = vptrain(verb, "--mixture", local_mixture, "--out", tmp_path / "run", "--resume")
    assert "this run is complete at step 1" in resumed.message
    assert Checkpoint.open(tmp_path / "run").before[0].place == f"{URL}@{online.head(KEY)}"


@pytest.mark.usefixtures("online")
def test_predict_from_the_hub(vptrain: Vptrain, kitchen: Path, policy_run: Path, tmp_path: Path) -> None:
    mixture = tmp_path / "held-out.toml"
    make_mixture({"kitchen": Dataset.open(kitchen)}, file=mixture, holdout=Fraction(1, 10)).spec.write(mixture)
    found = {}
    for name, place in (("here", policy_run), ("there", f"{URL}@v1")):
        arguments = ("--mixture", mixture, "--videos", 1, "--windows", 2, "--out", tmp_path / name, "--json")
        ended = vptrain("predict", place, *arguments)
        assert ended.exit_code == 0, ended.stderr
        found[name] = json.loads(ended.stdout)
    assert found["here"]["actions"] == found["there"]["actions"]
    assert found["here"]["video"]["psnr"] == found["there"]["video"]["psnr"]


def test_what_is_no_model(online: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VptrainError, match=r"no model of the Hub. Write hf://USER/NAME"):
        Checkpoint.open("hf://datasets/user/kitchen")
    with pytest.raises(HubError, match=r"hf://user/missing: the repository cannot be read: the Hub answered 40\d"):
        Checkpoint.open("hf://user/missing")
    with pytest.raises(HubError, match="cannot be read: the Hub answered 404"):
        Checkpoint.open(f"{URL}@v9")
    online.create("models/user/empty")
    with pytest.raises(VptrainError, match="this is neither a checkpoint nor a run with one"):
        Checkpoint.open("hf://user/empty")
    online.repos[KEY].private = True
    monkeypatch.setenv("HF_TOKEN", "hf_" + "wrong" * 6)
    with pytest.raises(HubError, match=r"401 .*for a private one log in with `hf auth login`") as caught:
        Checkpoint.open(URL)
    assert "hf_wrong" not in str(caught.value)


def test_a_download_with_other_bytes(online: Hub) -> None:
    online.fault = lambda request, _: Fault(flip=2000) if request.kind == "cdn" else None
    with pytest.raises(
        VptrainError, match=r"model.safetensors is missing or damaged. Remove it with `hf cache rm model/"
    ):
        Checkpoint.open(URL)


@pytest.mark.parametrize("fault", [Fault(status=429, retry_after="1"), Fault(short=50_000), Fault(reset=0)], ids=str)
def test_faults_of_a_download_pass(online: Hub, fault: Fault) -> None:
    online.fault = lambda request, before: fault if request.kind == "cdn" and before == 0 else None
    assert Checkpoint.open(URL).step == 2
