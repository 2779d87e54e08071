import json
from collections.abc import Mapping
from pathlib import Path

from typer.testing import CliRunner, Result

from vpdata.cli.app import app
from vpdata.mixture.mixture import Mixture
from vpdata.shards.dataset import Dataset


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_merge_filter_delete_relabel_reshard(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    both = tmp_path / "both"
    dry = run("merge", datasets["robocasa"], datasets["libero"], "--out", both, "--dry-run", "--json")
    assert json.loads(dry.stdout)["written"] is False
    assert not both.exists()
    result = run("merge", datasets["robocasa"], datasets["libero"], "--out", both, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "path": str(both), "clips": 74, "of": 74, "shards": 1, "dropped": 0, "written": True,
    }  # fmt: skip
    steps = (
        ["filter", both, "num_frames > 40", "--shard-frames", 4000],
        ["delete", "--task", "OpenDrawer", "--where", "fps < 1 or key == 'x' or start_frame == 0"],
        ["relabel", "--instruction", "do it", "--camera", "zoom=wrist", "--attribute", "scene=3", "--attribute", "a=b"],
        ["reshard", "--shuffle", 1],
    )
    place = both
    for step in steps:
        verb, *options = step
        out = tmp_path / str(verb)
        result = run(verb, *([] if both in options else [place]), *options, "--out", out)
        assert result.exit_code == 0, result.output
        assert run("validate", out, "--decode").exit_code == 0
        place = out
    again = run("reshard", tmp_path / "relabel", "--shuffle", 1, "--out", tmp_path / "reshard")
    assert "is up to date" in again.output
    clips = Dataset.open(place).clips
    assert {clip.episode.instructions for clip in clips} == {("do it",)}
    assert {clip.episode.attributes["scene"] for clip in clips} == {3}
    assert {clip.episode.attributes["a"] for clip in clips} == {"b"}
    assert "OpenDrawer" not in {clip.episode.task for clip in clips}
    assert (
        "clips are missing in episodes that are kept"
        in run("filter", both, "start_frame > 0", "--out", tmp_path / "f", "--dry-run").output
    )


def test_a_split_goes_to_mix_and_filter(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    kitchen, file = datasets["robocasa"], tmp_path / "splits" / "scenes.toml"
    result = run("split", kitchen, datasets["video"], "--by", "scene", "--share", "1/2", "--out", file, "--json")
    assert result.exit_code == 0, result.output
    groups = json.loads(result.stdout)["groups"]
    held_out = [group for group in groups if group["held_out"]]
    assert groups[: len(held_out)] == held_out
    assert 0 < len(held_out) < len(groups)
    assert "(no scene)" in run("split", kitchen, datasets["video"], "--show", file).stdout
    mixture = tmp_path / "mix.toml"
    arguments = ["mix", kitchen, "--split", file, "--withhold-actions", f"{kitchen.name}=0.3", "--out", mixture]
    result = run(*arguments, "--samples", 10, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["sources"][0]["withheld"] == ["0.3 of the episodes"]
    source = Mixture.open(mixture).spec.sources[0]
    assert len(source.held_out) == sum(group["episodes"] for group in held_out)
    for side, count in (("held-out", len(source.held_out)), ("train", 4 - len(source.held_out))):
        assert run("filter", kitchen, "--split", file, "--side", side, "--out", tmp_path / side).exit_code == 0
        assert Dataset.open(tmp_path / side).manifest.num_episodes == count


def test_wrong_arguments_exit_with_2(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    kitchen, out = datasets["robocasa"], tmp_path / "out"
    for arguments in (
        ["merge", kitchen, "--out", out],
        ["filter", kitchen, "--out", out],
        ["filter", kitchen, "fps > 1", "--split", "a.toml", "--out", out],
        ["relabel", kitchen, "--camera", "wrist", "--out", out],
        ["relabel", kitchen, "--attribute", "a=1", "--attribute", "a=2", "--out", out],
        ["split", kitchen],
        ["mix", kitchen, "--split", "a.toml", "--holdout", "0.1", "--out", out],
    ):
        assert run(*arguments).exit_code == 2, arguments
    result = run("split", datasets["video"], "--by", "scene", "--out", tmp_path / "s.toml")
    assert "nothing here says which scene it is of" in str(result.exception)
    assert not list(tmp_path.iterdir())
