"""Data sets of latents: what they hold, and that they are data sets like any other."""

import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from making import QUIET, encoder_of, make, recipe_of
from micro import MICRO

from vpdata.errors import DamageError, ShardError, VpdataError
from vpdata.loader.device import resize_batch
from vpdata.schema import Clip
from vpdata.shards.dataset import Dataset
from vpdata.shards.npy import array_from
from vpdata.shards.staging import STAGING
from vpdata.shards.validate import validate
from vptrain.errors import VptrainError
from vptrain.latents.recipe import DTYPES
from vptrain.latents.write import LatentPlan, write
from vptrain.models.autoencoder import posteriors
from vptrain.models.pretrained import initial_policy
from vptrain.normalize import images_to_unit

SHAPE = (3, 4, 8, 8)


def pair(mixture_file: Path, latents: Path, name: str) -> tuple[Dataset, Dataset]:
    return Dataset.open(mixture_file.parent / name), Dataset.open(latents / name)


def stored(dataset: Dataset, clip: Clip, camera: str, variant: int) -> torch.Tensor:
    return torch.from_numpy(array_from(dataset.read(clip, f"{camera}.{variant}.npy")))


def pictures(dataset: Dataset, clip: Clip, camera: str) -> torch.Tensor:
    """(T, 3, 64, 64) in [-1, 1]."""
    frames = torch.from_numpy(dataset.frames(clip, camera, range(clip.num_frames)))
    return images_to_unit(resize_batch(frames, height=64, width=64, fit="crop"))


@pytest.mark.parametrize("name", ["drawer", "soup"])
def test_they_are_data_sets_of_the_same_clips(small_mixture: Path, quiet_latents: Path, name: str) -> None:
    source, latents = pair(small_mixture, quiet_latents, name)
    report = validate(latents.path, decode=True)
    assert report.problems == ()
    assert report.num_shards == len(source.manifest.shards) > 1
    for old, new in zip(source.clips, latents.clips, strict=True):
        assert replace(new, codec=old.codec, members=old.members) == old
        expected = {f"{camera.name}.0.npy" for camera in old.episode.cameras}
        assert {member.name for member in new.members} == {
            *expected,
            *(member.name for member in old.members if member.name in ("actions.npy", "state.npy", "json")),
        }
        if name == "drawer":
            np.testing.assert_array_equal(latents.actions(new), source.actions(old))
            np.testing.assert_array_equal(latents.state(new), source.state(old))
    assert latents.manifest.statistics == source.manifest.statistics


def test_the_manifest_says_how_they_were_made(small_mixture: Path, jittered_latents: Path) -> None:
    source, latents = pair(small_mixture, jittered_latents, "drawer")
    operation = latents.manifest.operation
    assert operation is not None
    assert operation.verb == "latents"
    assert [one.digest for one in operation.inputs] == [source.digest]
    assert operation.arguments == {
        "autoencoder": recipe_of().autoencoder,
        "cameras": ["wrist", "left", "right"],
        "image_size": 64,
        "latent_shape": [4, 8, 8],
        "condition_noise": 0.02,
        "color_jitter": [0.2, 0.2, 0.2, 0.05],
        "num_variants": 2,
        "seed": 0,
        "dtype": "fp16",
        "precision": "fp32",
    }


def test_without_jitter_they_are_what_the_autoencoder_makes_of_the_frames(
    small_mixture: Path, quiet_latents: Path
) -> None:
    autoencoder = initial_policy(MICRO, seed=0).autoencoder
    for name in ("drawer", "soup"):
        source, latents = pair(small_mixture, quiet_latents, name)
        for camera in source.clips[0].episode.cameras:
            shown = pictures(source, source.clips[0], camera.name)
            mean, log_variance = posteriors(autoencoder, shown, chunk=7)
            found = stored(latents, latents.clips[0], camera.name, 0)
            assert found.shape == (len(shown), *SHAPE)
            torch.testing.assert_close(found[:, 0], mean, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(found[:, 1], log_variance, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(found[:, 2], mean, atol=1e-5, rtol=1e-5)


def test_a_variant_has_one_jitter_a_camera_and_noise_a_frame(small_mixture: Path) -> None:
    """With the identity for an autoencoder, what is stored are jittered pixels."""
    source = Dataset.open(small_mixture.parent / "drawer")
    clip = source.clips[0]
    frames = source.frames(clip, "wrist", range(6))
    recipe = recipe_of(color_jitter=True, num_variants=2)
    pixels = encoder_of(recipe)
    pixels._autoencoder = _Identity()
    jittered, other = (torch.from_numpy(one) for one in pixels.encode(frames, key=clip.key, camera="wrist"))
    assert not torch.equal(jittered, other)
    shown = images_to_unit(resize_batch(torch.from_numpy(frames), height=64, width=64, fit="crop"))
    change = jittered[:, 0] - shown
    assert change.abs().mean() > 0.005
    # one affine map of colours for all frames: what fits the first frame fits the last
    first, last = (_affine(shown[i], jittered[i, 0]) for i in (0, 5))
    torch.testing.assert_close(first, last, atol=0.02, rtol=0)
    noise = (jittered[:, 2] - jittered[:, 0]) / MICRO.condition_noise
    assert abs(noise.std().item() - 1) < 0.02
    assert not torch.equal(noise[0], noise[1])


class _Identity(torch.nn.Module):
    """Whose posterior mean is the picture."""

    class Posterior:
        def __init__(self, images: torch.Tensor) -> None:
            self.mean, self.logvar = images, torch.zeros_like(images)
            self.latent_dist = self

    def encode(self, images: torch.Tensor) -> "_Identity.Posterior":
        return _Identity.Posterior(images)


def _affine(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """The least-squares affine map of colours, over pixels that the jitter did not clip."""
    x, y = before.flatten(1), after.flatten(1)
    kept = (y.abs() < 0.999).all(dim=0)
    ones = torch.ones(1, int(kept.sum()))
    return torch.linalg.lstsq(torch.cat([x[:, kept], ones]).T, y[:, kept].T).solution


def test_variants_and_cameras_have_draws_of_their_own(small_mixture: Path, jittered_latents: Path) -> None:
    _, latents = pair(small_mixture, jittered_latents, "drawer")
    clip = latents.clips[0]
    first, second = (stored(latents, clip, "wrist", k).float() for k in range(2))
    for plane in range(3):
        assert not torch.equal(first[:, plane], second[:, plane])
    noises = [stored(latents, clip, camera, 0).float().diff(dim=1)[:, 1] for camera in ("wrist", "left")]
    assert not torch.equal(*noises)


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_half_precision_is_the_rounded_whole(small_mixture: Path, dtype: str) -> None:
    dataset = Dataset.open(small_mixture.parent / "soup")
    frames = dataset.frames(dataset.clips[0], "main", range(4))
    whole, half = (
        encoder_of(recipe_of(dtype=one)).encode(frames, key="k", camera="main")[0] for one in ("fp32", dtype)
    )
    assert half.nbytes * 2 == whole.nbytes
    numbers = torch.from_numpy(half.view(np.uint8)).view(DTYPES[dtype])
    assert torch.equal(numbers, torch.from_numpy(whole).to(DTYPES[dtype]))


def test_numbers_that_are_too_large_are_refused() -> None:
    encoder = encoder_of(recipe_of(dtype="fp16"))
    with torch.no_grad():
        encoder._autoencoder.quant_conv.bias.fill_(1e5)
    with pytest.raises(VptrainError, match=r"a-key: latents of camera main are not finite as fp16.*--dtype"):
        encoder.encode(np.zeros((1, 64, 64, 3), np.uint8), key="a-key", camera="main")


def test_only_cameras_that_the_model_shows_are_encoded(small_mixture: Path, tmp_path: Path) -> None:
    source = Dataset.open(small_mixture.parent / "drawer")
    recipe = recipe_of(replace(MICRO, cameras=("right", "wrist")))
    write(LatentPlan(source=source, recipe=recipe), tmp_path / "out", encoder_of(recipe), num_workers=1)
    latents = Dataset.open(tmp_path / "out")
    assert [camera.name for camera in latents.clips[0].episode.cameras] == ["wrist", "right"]
    assert validate(tmp_path / "out").problems == ()


def test_a_killed_command_goes_on_and_ends_with_the_same_bytes(
    small_mixture: Path, quiet_latents: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    program = [sys.executable, str(Path(__file__).parent / "making.py"), str(small_mixture), str(out)]
    process = subprocess.Popen(program, env={"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"})
    first = out / "drawer" / STAGING / "shard-00000.tar"
    deadline = time.monotonic() + 120
    while not first.with_name(first.name + ".json").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "drawer" / "manifest.json").exists()
    inode = first.stat().st_ino
    with pytest.raises(ShardError, match="no data set here"):
        Dataset.open(out / "drawer")
    make(small_mixture, out, QUIET)
    assert (out / "drawer" / first.name).stat().st_ino == inode  # moved, not made again
    assert contents(out) == contents(quiet_latents)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_finished_is_found_and_other_data_are_left_alone(
    small_mixture: Path, quiet_latents: Path, tmp_path: Path
) -> None:
    shutil.copytree(quiet_latents, tmp_path / "out")
    before = contents(tmp_path / "out")
    assert make(small_mixture, tmp_path / "out", QUIET) == tmp_path / "out"
    assert contents(tmp_path / "out") == before
    with pytest.raises(VpdataError, match="holds other data, or latents made otherwise"):
        make(small_mixture, tmp_path / "out", QUIET, dtype="fp16")
    (tmp_path / "out" / "drawer" / "shard-00001.tar").unlink()
    with pytest.raises(VpdataError, match=r"shard-00001.tar: is missing or cut off"):
        make(small_mixture, tmp_path / "out", QUIET)


def test_damage_to_the_pictures_ends_the_command(small_mixture: Path, tmp_path: Path) -> None:
    shutil.copytree(small_mixture.parent / "drawer", tmp_path / "drawer")
    dataset = Dataset.open(tmp_path / "drawer")
    flip(dataset, dataset.clips[0], "wrist.mp4")
    recipe = recipe_of()
    plan = LatentPlan(source=Dataset.open(tmp_path / "drawer"), recipe=recipe)
    with pytest.raises(DamageError, match=r"wrist.mp4 is damaged"):
        write(plan, tmp_path / "out", encoder_of(recipe), num_workers=1)
    assert not (tmp_path / "out" / "manifest.json").exists()


def flip(dataset: Dataset, clip: Clip, member_name: str) -> None:
    """Flips a bit in the middle of a member."""
    member = next(member for member in clip.members if member.name == member_name)
    shard = dataset.path / clip.shard
    data = bytearray(shard.read_bytes())
    data[member.offset + member.size // 2] ^= 1
    shard.write_bytes(data)


def test_every_flipped_bit_of_latents_is_found(quiet_latents: Path, tmp_path: Path) -> None:
    shutil.copytree(quiet_latents / "soup", tmp_path / "soup")
    dataset = Dataset.open(tmp_path / "soup")
    clip = dataset.clips[0]
    flip(dataset, clip, "main.0.npy")
    with pytest.raises(DamageError, match=r"main.0.npy is damaged \(its CRC-32 is not the index's\)"):
        Dataset.open(tmp_path / "soup").read(clip, "main.0.npy")
    report = validate(tmp_path / "soup")
    assert {problem.key for problem in report.problems} == {"", clip.key}


def test_the_loader_is_told_where_frames_and_shapes_do_not_fit(small_mixture: Path, quiet_latents: Path) -> None:
    source, latents = pair(small_mixture, quiet_latents, "soup")
    clip, out = latents.clips[0], np.empty((1, 3, 4, 8, 16), np.uint8)
    with pytest.raises(ShardError, match=r"latents take \(3, 4, 8, 32\) bytes, expected \(3, 4, 8, 16\)"):
        latents.latents_into(clip, "main", [0], out, variant=0)
    with pytest.raises(ShardError, match=r"no member main.1.npy"):
        latents.latents_into(clip, "main", [0], out, variant=1)
    with pytest.raises(ShardError, match=r"no member main.0.npy"):
        source.latents_into(source.clips[0], "main", [0], out, variant=0)
    with pytest.raises(VpdataError, match="no codec 'latents'"):
        latents.frames(clip, "main", [0])
