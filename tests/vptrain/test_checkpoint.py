import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from micro import MICRO, STAGE2
from safetensors.torch import load_file

from vpdata.mixture.mixture import Mixture
from vptrain.checkpoint import Checkpoint, DataPosition, save_checkpoint, sealed
from vptrain.config import RunConfig
from vptrain.errors import VptrainError
from vptrain.models.policy import VideoPolicy
from vptrain.normalize import ActionNormalizer

DATA = DataPosition(mixture="mix.toml", digest="ab" * 32, position=12)


def save(
    folder: Path, policy: VideoPolicy, normalizer: ActionNormalizer | None, *, step: int = 4, run: RunConfig = STAGE2
) -> Path:
    optimizer = torch.optim.Adam(policy.head.parameters())
    return save_checkpoint(
        folder,
        step=step,
        weights=policy.state_dict(),
        average=None,
        model=MICRO,
        run=run,
        normalizer=normalizer,
        data=DATA,
        optimizer_state=optimizer.state_dict(),
    )


def copy_of(run: Path, target: Path) -> Path:
    shutil.copytree(run, target)
    return target


def edit(checkpoint: Path, **changes: object) -> None:
    file = checkpoint / "checkpoint.json"
    file.write_text(sealed(json.loads(file.read_text()) | changes))


def test_everything_comes_back(policy: VideoPolicy, normalizer: ActionNormalizer, tmp_path: Path) -> None:
    folder = save(tmp_path / "run", policy, normalizer)
    for path in (tmp_path / "run", folder):
        checkpoint = Checkpoint.open(path)
        assert checkpoint.path == folder
        assert (checkpoint.step, checkpoint.model, checkpoint.run) == (4, MICRO, STAGE2)
        assert checkpoint.normalizer == normalizer
        assert checkpoint.normalizer is not None
        assert checkpoint.normalizer.space == "osc_pose_action"
        assert checkpoint.data == DATA
    restored = checkpoint.load_policy().state_dict()
    assert restored.keys() == policy.state_dict().keys()
    assert all(torch.equal(restored[name], tensor) for name, tensor in policy.state_dict().items())
    assert checkpoint.optimizer_state()["param_groups"][0]["lr"] == 1e-3


def test_without_labelled_clips_there_is_no_normaliser(policy: VideoPolicy, tmp_path: Path) -> None:
    assert Checkpoint.open(save(tmp_path, policy, None)).normalizer is None


def test_a_runs_checkpoints_say_where_the_data_stopped(stage1_run: Path, stage2_run: Path, mixture: Mixture) -> None:
    for run, stream in ((stage1_run, mixture), (stage2_run, mixture.labelled_only())):
        checkpoint = Checkpoint.open(run)
        assert checkpoint.data.position == checkpoint.step * checkpoint.run.batch_size == 9
        assert checkpoint.data.digest == stream.digest


def test_only_the_newest_are_kept(policy: VideoPolicy, tmp_path: Path) -> None:
    for step in (2, 4, 10):
        save(tmp_path, policy, None, step=step)
    names = sorted(folder.name for folder in (tmp_path / "checkpoints").glob("step-*"))
    assert names == ["step-00000004", "step-00000010"]
    assert Checkpoint.open(tmp_path).step == 10


def test_every_so_many_steps_one_is_kept_for_good(policy: VideoPolicy, tmp_path: Path) -> None:
    run = replace(STAGE2, keep_checkpoints=1, keep_every=4)
    for step in (2, 4, 6, 8, 10):
        save(tmp_path, policy, None, step=step, run=run)
    names = sorted(folder.name for folder in (tmp_path / "checkpoints").glob("step-*"))
    assert names == ["step-00000004", "step-00000008", "step-00000010"]


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt"])
@pytest.mark.parametrize("how", ["truncated", "one bit", "missing"])
def test_a_damaged_file_is_refused(stage1_run: Path, tmp_path: Path, name: str, how: str) -> None:
    file = Checkpoint.open(copy_of(stage1_run, tmp_path / "run")).path / name
    data = bytearray(file.read_bytes())
    if how == "truncated":
        file.write_bytes(data[:-100])
    elif how == "one bit":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    else:
        file.unlink()
    with pytest.raises(VptrainError, match=f"{name} is missing or damaged") as caught:
        Checkpoint.open(tmp_path / "run")
    assert caught.value.hint is not None


def test_a_key_of_another_version_is_refused(policy: VideoPolicy, tmp_path: Path) -> None:
    folder = save(tmp_path, policy, None)
    values = json.loads((folder / "checkpoint.json").read_text())
    edit(folder, model=values["model"] | {"diffusion": "ddpm"})
    with pytest.raises(VptrainError, match="ModelConfig has no diffusion") as caught:
        Checkpoint.open(tmp_path)
    assert caught.value.path == str(folder)


def test_another_format_is_refused(policy: VideoPolicy, tmp_path: Path) -> None:
    edit(save(tmp_path, policy, None), format_version=99)
    with pytest.raises(VptrainError, match="checkpoint format 99 where 3 is expected"):
        Checkpoint.open(tmp_path)


def test_weights_of_another_model_are_refused(policy: VideoPolicy, tmp_path: Path) -> None:
    folder = save(tmp_path, policy, None)
    values = json.loads((folder / "checkpoint.json").read_text())
    edit(folder, model=values["model"] | {"cameras": ["wrist", "left"]})
    with pytest.raises(VptrainError, match="the weights do not fit the configuration") as caught:
        Checkpoint.open(tmp_path).load_policy()
    assert len(str(caught.value)) < 600


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(VptrainError, match="neither a checkpoint nor a run with one"):
            Checkpoint.open(path)
    (tmp_path / "checkpoint.json").write_text("{")
    with pytest.raises(VptrainError, match="cannot be read"):
        Checkpoint.open(tmp_path)


def test_leftovers_of_an_interrupted_write_do_not_matter(policy: VideoPolicy, tmp_path: Path) -> None:
    partial = tmp_path / "checkpoints" / ".partial-step-00000004"
    partial.mkdir(parents=True)
    (partial / "model.safetensors").write_bytes(b"half")
    with pytest.raises(VptrainError, match="neither a checkpoint nor a run"):
        Checkpoint.open(tmp_path)
    save(tmp_path, policy, None)
    assert Checkpoint.open(tmp_path).step == 4
    assert not partial.exists()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from vptrain.checkpoint import Checkpoint, save_checkpoint
checkpoint = Checkpoint.open(Path(sys.argv[1]))
weights, optimizer = checkpoint.load_policy().state_dict(), checkpoint.optimizer_state()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    save_checkpoint(Path(sys.argv[1]), step=9, weights=weights, average=None, model=checkpoint.model,
                    run=checkpoint.run, normalizer=None, data=checkpoint.data, optimizer_state=optimizer)
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("failing", ["model.safetensors", "optimizer.pt"])
def test_a_full_disk_is_said_and_leaves_the_last_checkpoint(stage1_run: Path, tmp_path: Path, failing: str) -> None:
    run = copy_of(stage1_run, tmp_path / "run")
    before = Checkpoint.open(run)
    sizes = {name: (before.path / name).stat().st_size for name in ("model.safetensors", "optimizer.pt")}
    assert sizes["model.safetensors"] < sizes["optimizer.pt"]
    limit = 100_000 if failing == "model.safetensors" else sizes["model.safetensors"] + 100_000
    printed = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(run), str(limit)], check=True, capture_output=True, text=True
    ).stdout
    assert printed.startswith("VptrainError")
    assert "the checkpoint of step 9 cannot be written" in printed
    assert "--resume" in printed
    after = Checkpoint.open(run)
    assert (after.step, after.files) == (before.step, before.files)
    assert [path.name for path in (run / "checkpoints").iterdir() if "9" in path.name] == []


def test_weights_can_be_read_without_us(stage1_run: Path) -> None:
    weights = load_file(Checkpoint.open(stage1_run).path / "model.safetensors")
    assert {name.split(".")[0] for name in weights} == {"autoencoder", "unet", "encoder", "head"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[1, 2]", "checkpoint.json is damaged"),
        ('{"format_version": 3}', "checkpoint.json is damaged"),
        (sealed({"format_version": 3}), "checkpoint.json is damaged"),
        ('{"format_version": 3, "fil', "cannot be read"),
        (None, "checkpoint.json is missing"),
    ],
)
def test_a_damaged_description_names_the_checkpoint_to_go_back_to(
    policy: VideoPolicy, tmp_path: Path, content: str | None, said: str
) -> None:
    save(tmp_path, policy, None, step=2)
    file = save(tmp_path, policy, None, step=4) / "checkpoint.json"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(VptrainError, match=said) as caught:
        Checkpoint.open(tmp_path)
    assert f"`echo step-00000002 > {tmp_path}/checkpoints/latest`" in str(caught.value.hint)
    (tmp_path / "checkpoints" / "latest").write_text("step-00000002\n")
    assert Checkpoint.open(tmp_path).step == 2


def test_a_digit_that_flipped_is_damage(policy: VideoPolicy, normalizer: ActionNormalizer, tmp_path: Path) -> None:
    file = save(tmp_path, policy, normalizer) / "checkpoint.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps(values, sort_keys=True))
    assert Checkpoint.open(tmp_path).normalizer is not None
    values["actions"]["statistics"]["mean"][0] += 1
    file.write_text(json.dumps(values))
    with pytest.raises(VptrainError, match=r"checkpoint\.json is damaged"):
        Checkpoint.open(tmp_path)


def test_a_latest_that_names_no_checkpoint(policy: VideoPolicy, tmp_path: Path) -> None:
    save(tmp_path, policy, None)
    (tmp_path / "checkpoints" / "latest").write_text("")
    with pytest.raises(VptrainError, match="latest: it names '', no checkpoint"):
        Checkpoint.open(tmp_path)


def test_a_run_that_was_put_back_keeps_what_it_writes(policy: VideoPolicy, tmp_path: Path) -> None:
    run = replace(STAGE2, keep_checkpoints=1)
    save(tmp_path, policy, None, step=9, run=run)
    assert save(tmp_path, policy, None, step=3, run=run).is_dir()
    assert Checkpoint.open(tmp_path).step == 3
