"""A run on the Hub as a model: what arrives, what stays here, what stops it, and what the card says."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Vptrain
from huggingface_hub import ModelCard
from kitchens import DATA, KEY, MODEL, STAGE1, STAGE2, write_mixture
from micro import MICRO, silent
from safetensors.torch import load, load_file

from tests.hub.server import Fault, Hub, Request
from vpdata.errors import HubError
from vpdata.hub.block import BEGIN, END
from vpdata.hub.publish import publish as publish_dataset
from vpdata.hub.pull import pull
from vpdata.mixture.mixture import Mixture
from vpdata.shards.dataset import Dataset
from vptrain.checkpoint import Checkpoint, sealed
from vptrain.config import ModelConfig
from vptrain.errors import VptrainError
from vptrain.hub.licence import BASE, SVD
from vptrain.hub.publish import publish
from vptrain.training.start import start_stage1, start_stage2

LICENCE = "apache-2.0"


def card_of(hub: Hub) -> str:
    return hub.files(KEY)["README.md"].decode()


def front_matter(card: str) -> dict[str, Any]:
    value: dict[str, Any] = ModelCard(card).data.to_dict()
    return value


def changed(run: Path, out: Path, **sections: dict[str, Any]) -> Path:
    """A copy of a run whose checkpoints say something else: values by section of `checkpoint.json`."""
    shutil.copytree(run, out)
    for file in out.glob("checkpoints/*/checkpoint.json"):
        values = json.loads(file.read_text())
        for section, said in sections.items():
            values[section].update(said)
        file.write_text(sealed(values))
    return out


def test_one_commit_with_what_predicts(hub: Hub, policy_run: Path) -> None:
    done = publish(policy_run, MODEL, licence=LICENCE, private=True)
    assert hub.repos[KEY].private
    first, only = hub.history(KEY)
    assert set(only.tree) - set(first.tree) == {"model.safetensors", "checkpoint.json", "mixture.toml", "README.md"}
    checkpoint = Checkpoint.open(policy_run)
    files = hub.files(KEY)
    assert files["model.safetensors"] == (checkpoint.path / "model.safetensors").read_bytes()
    assert (done.url, done.step, done.num_commits, done.num_files) == (f"hf://{MODEL}@{only.oid}", 2, 1, 4)
    assert done.num_bytes == sum(len(files[path]) for path in set(only.tree) - set(first.tree))


def test_nothing_of_this_machine_leaves(hub: Hub, policy_run: Path, kitchen: Path) -> None:
    assert str(policy_run.parent) in (Checkpoint.open(policy_run).path / "checkpoint.json").read_text()
    publish(policy_run, MODEL, licence=LICENCE)
    for path, data in hub.files(KEY).items():
        for place in (policy_run.parent, kitchen.parent):
            assert str(place).encode() not in data, path
        assert hub.token.encode() not in data
    assert 'path = "kitchen"' in hub.files(KEY)["mixture.toml"].decode()
    assert json.loads(hub.files(KEY)["checkpoint.json"])["data"]["mixture"] == "mixture.toml"


def test_again_sends_nothing_and_more_steps_send_what_changed(hub: Hub, policy_run: Path, video_run: Path) -> None:
    publish(video_run, MODEL, licence=LICENCE)
    hub.requests.clear()
    assert publish(video_run, MODEL, licence=LICENCE).num_commits == 0
    assert not hub.asked("PUT", "")
    assert not hub.asked("POST", "/commit/")
    assert publish(policy_run, MODEL, licence=LICENCE).num_files == 3  # the mixture is the same
    assert publish(policy_run, MODEL, licence="mit").num_files == 1  # the card


def test_a_named_checkpoint_and_a_branch(hub: Hub, video_run: Path) -> None:
    first = video_run / "checkpoints" / "step-00000001"
    assert publish(first, MODEL, licence=LICENCE, branch="early").step == 1
    files = hub.files(KEY, "early")
    assert files["model.safetensors"] == (first / "model.safetensors").read_bytes()
    assert re.search(r"\| loss \| [\d.]+ \| 1 \|", files["README.md"].decode())
    assert "model.safetensors" not in hub.files(KEY)
    assert not list((video_run / "checkpoints").glob(".publish-*"))


@pytest.mark.parametrize("changes", [{"ema_decay": 0.5}, {"lora_rank": 2}], ids=str)
def test_averages_and_adapters_are_in_their_places(
    hub: Hub, local_mixture: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    run = replace(STAGE1, steps=1, batch_size=1, **changes)
    start_stage1(local_mixture, tmp_path / "run", model=MICRO, run=run, device="cpu").train(silent)
    publish(tmp_path / "run", MODEL, licence=LICENCE)
    sent = load(hub.files(KEY)["model.safetensors"])
    trained = load_file(Checkpoint.open(tmp_path / "run").path / "model.safetensors")
    assert any(name not in trained or not torch.equal(sent[name], trained[name]) for name in sent)
    here, there = (Checkpoint.open(place).load_policy().state_dict() for place in (tmp_path / "run", f"hf://{MODEL}"))
    assert sent.keys() == here.keys() == there.keys()
    assert all(torch.equal(sent[name], here[name]) and torch.equal(there[name], here[name]) for name in here)
    assert publish(tmp_path / "run", MODEL, licence=LICENCE).num_commits == 0


def test_the_card(hub: Hub, kitchen: Path, video_run: Path, tmp_path: Path) -> None:
    publish_dataset(Dataset.open(kitchen), DATA)
    pulled = pull(f"hf://datasets/{DATA}", tmp_path / "pulled")
    mixture = write_mixture(str(tmp_path / "pulled"), tmp_path / "pulled.toml")
    start_stage2(mixture, tmp_path / "run", stage1=video_run, run=STAGE2, device="cpu").train(silent)
    publish(tmp_path / "run", MODEL, licence=LICENCE)
    card = card_of(hub)
    front = front_matter(card)
    assert (front["license"], front["datasets"], front["pipeline_tag"]) == (LICENCE, [DATA], "robotics")
    assert {"robotics", "video-policy", "vptrain"} <= set(front["tags"])
    assert "base_model" not in front
    for text in (
        f'vptrain.load_policy("hf://{MODEL}")',
        "prediction.actions  # float64 (8, 7)",
        "| cameras | wrist, left, right |",
        "### Actions: `osc_pose_action`",
        "| 0 | delta_x | 0.05 m |",
        "### stage1, 2 steps",
        "### stage2, 2 steps",
        f"| kitchen | [{pulled}](https://huggingface.co/datasets/{DATA}) | 4 | CC BY 4.0 |",
        f"not public; digest `{Dataset.open(kitchen).digest}`",
        "| loss | ",
        "eprint = {2508.00795}",
        '"learning_rate": 0.001',
    ):
        assert text in card
    assert f'path = "{pulled}"' in hub.files(KEY)["mixture.toml"].decode()


def test_the_card_of_a_model_of_video_alone(hub: Hub, video_run: Path) -> None:
    publish(video_run, MODEL, licence=LICENCE)
    assert "predicts video." in card_of(hub)
    assert "prediction.actions" not in card_of(hub)
    assert f"vptrain stage2 --mixture mix.toml --from hf://{MODEL}" in card_of(hub)


def test_what_people_wrote_survives(hub: Hub, video_run: Path, policy_run: Path) -> None:
    hub.create(KEY)
    theirs = "---\nlanguage:\n- de\ntags:\n- drawers\nlicense: mit\nlicense_name: x\n---\n# Drawers\n\nBy hand.\n"
    hub.commit(KEY, {"README.md": theirs.encode(), "video.mp4": b"ours"})
    publish(video_run, MODEL, licence=LICENCE)
    hub.commit(KEY, {"README.md": (card_of(hub) + "\n## Thanks\n").encode()})
    publish(policy_run, MODEL, licence=LICENCE)
    above, _, rest = card_of(hub).partition(BEGIN)
    assert "# Drawers\n\nBy hand." in above
    assert rest.partition(END)[2].endswith("\n## Thanks\n")
    front = front_matter(card_of(hub))
    assert (front["language"], front["license"], front["tags"][0]) == (["de"], LICENCE, "drawers")
    assert "license_name" not in front
    assert hub.files(KEY)["video.mp4"] == b"ours"


def test_licences(hub: Hub, video_run: Path, unlicensed: Path, tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r"a model that began with random weights. Say with --license"):
        publish(video_run, MODEL)
    with pytest.raises(HubError, match="the Hub knows no licence 'mine'"):
        publish(video_run, MODEL, licence="mine")
    with pytest.raises(HubError, match="a model that began with '/weights/svd'"):
        publish(changed(video_run, tmp_path / "folder", model={"pretrained": "/weights/svd"}), MODEL)
    mixture = write_mixture(str(unlicensed), tmp_path / "mix.toml")
    data = {"mixture": str(mixture), "digest": Mixture.open(mixture).digest}
    with pytest.raises(HubError, match="stage1: episodes of kitchen carry no licence"):
        publish(changed(video_run, tmp_path / "unlicensed", model={"pretrained": BASE}, data=data), MODEL)
    assert hub.repos == {}
    svd = changed(video_run, tmp_path / "svd", model={"pretrained": BASE})
    assert publish(svd, MODEL).licence == SVD
    front = front_matter(card_of(hub))
    assert (front["license"], front["license_name"], front["base_model"]) == ("other", SVD, [BASE])
    assert front["license_link"].startswith(f"https://huggingface.co/{BASE}/")
    named = changed(video_run, tmp_path / "named", model={"pretrained": "/weights/svd"})
    assert publish(named, MODEL, licence=SVD).licence == SVD
    assert "/weights" not in hub.files(KEY)["checkpoint.json"].decode()


@pytest.mark.parametrize(
    ("data", "said"),
    [({"mixture": "gone.toml"}, "is not at hand any more"), ({"digest": "0" * 64}, "has changed since")],
)
def test_data_that_cannot_be_told(hub: Hub, video_run: Path, tmp_path: Path, data: dict[str, str], said: str) -> None:
    run = changed(video_run, tmp_path / "run", model={"pretrained": BASE}, data=data)
    with pytest.raises(HubError, match=f"what stage1 was trained on are unknown. Its mixture, .*{said}"):
        publish(run, MODEL)
    publish(run, MODEL, licence=SVD)
    assert said in card_of(hub)
    assert "mixture.toml" not in hub.files(KEY)


def test_what_should_not_leave(hub: Hub, video_run: Path, tmp_path: Path) -> None:
    named = changed(video_run, tmp_path / "email", model={"name": "by jo.doe@example.org"})
    with pytest.raises(HubError, match=r"email: 'jo.doe@example.org' .*--allow email"):
        publish(named, MODEL, licence=LICENCE)
    with pytest.raises(HubError, match=r"secret: 'hf_a…'"):
        publish(changed(video_run, tmp_path / "secret", model={"name": "hf_" + "a1" * 15}), MODEL, licence=LICENCE)
    assert hub.repos == {}
    assert publish(named, MODEL, licence=LICENCE, allow=["email"]).num_commits == 1


FAULTS = [
    ("/commit/", Fault(lost=True)),
    ("/commit/", Fault(status=429, retry_after="1")),
    ("/storage/", Fault(cut=1000)),
    ("/repos/create", Fault(status=503)),
]


@pytest.mark.parametrize(("kind", "fault"), FAULTS, ids=str)
def test_faults_pass(hub: Hub, video_run: Path, kind: str, fault: Fault) -> None:
    struck: list[Request] = []

    def strike(request: Request, before: int) -> Fault | None:
        if kind not in request.path or before or struck:
            return None
        struck.append(request)
        return fault

    hub.fault = strike
    publish(video_run, MODEL, licence=LICENCE)
    assert struck
    assert len(hub.history(KEY)) == 2
    assert Checkpoint.open(f"hf://{MODEL}").step == 2


def test_a_hub_that_keeps_other_bytes_is_found_out(hub: Hub, video_run: Path) -> None:
    hub.careless = "model.safetensors"
    with pytest.raises(HubError, match=r"model.safetensors: what was published has other hashes there"):
        publish(video_run, MODEL, licence=LICENCE)


def test_damage_here_is_not_published(hub: Hub, video_run: Path, tmp_path: Path) -> None:
    shutil.copytree(video_run, tmp_path / "run")
    file = Checkpoint.open(tmp_path / "run").path / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)
    with pytest.raises(VptrainError, match=r"model.safetensors is missing or damaged"):
        publish(tmp_path / "run", MODEL, licence=LICENCE)
    assert hub.repos == {}


def test_the_command(hub: Hub, vptrain: Vptrain, policy_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("publish", policy_run, "--repo-id", MODEL, "--license", LICENCE)
    would = json.loads(vptrain(*arguments, "--dry-run", "--json").stdout)
    assert hub.repos == {}
    done = json.loads(vptrain(*arguments, "--json").stdout)
    assert {**would, "url": "", "dry_run": ""} == {**done, "url": "", "dry_run": ""}
    shown = vptrain(*arguments)
    assert "holds all of it already" in shown.stderr
    assert hub.token not in shown.stdout + shown.stderr
    assert "no licence follows" in vptrain(*arguments[:4]).message
    assert vptrain(*arguments, "--allow", "everything").exit_code == 2
    monkeypatch.setenv("HF_TOKEN", "hf_" + "wrong" * 6)
    assert (
        "Invalid username or password. Log in with `hf auth login`"
        in vptrain(*arguments[:3], "user/other", *arguments[4:]).message
    )


@pytest.mark.usefixtures("hub")
def test_a_model_of_the_hub_is_not_published_again(video_run: Path) -> None:
    publish(video_run, MODEL, licence=LICENCE)
    with pytest.raises(VptrainError, match="this model is published already"):
        publish(Checkpoint.open(f"hf://{MODEL}").path, "user/other", licence=LICENCE)


@pytest.mark.usefixtures("hub")
def test_the_configuration_comes_back_as_it_was(video_run: Path) -> None:
    publish(video_run, MODEL, licence=LICENCE)
    there, here = Checkpoint.open(f"hf://{MODEL}"), Checkpoint.open(video_run)
    assert (there.model, there.run, there.normalizer) == (here.model, here.run, here.normalizer)
    assert isinstance(there.model, ModelConfig)
    with pytest.raises(VptrainError, match="a published model cannot be resumed"):
        there.optimizer_state()
