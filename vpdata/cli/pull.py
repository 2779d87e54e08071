"""`vpdata pull`: a data set from the Hugging Face Hub, or from any other URL, into a folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from vpdata.cli import output
from vpdata.mixture.split import Split
from vpdata.shards.dataset import Dataset
from vpdata.shards.manifest import Manifest, read_manifest

EPILOG = """
Examples:

`vpdata pull hf://datasets/user/kitchen@v1.0 --out data/kitchen`

`vpdata pull hf://datasets/user/kitchen --task CloseDrawer --camera wrist --out data/close`

`vpdata pull hf://datasets/user/kitchen --split splits/scenes.toml --side held-out --out data/held-out`
"""


def pull(
    url: Annotated[str, typer.Argument(metavar="URL", help="Of the data set's folder.")],
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    task: Annotated[list[str] | None, typer.Option(help="Only clips of this task; repeat it.")] = None,
    camera: Annotated[list[str] | None, typer.Option(help="Only videos of this camera; repeat it.")] = None,
    split: Annotated[Path | None, typer.Option(metavar="FILE", help="Only one side of a split.")] = None,
    side: Annotated[Literal["train", "held-out"], typer.Option(help="Of the split: which episodes.")] = "train",
    as_json: output.JsonFlag = False,
) -> None:
    """Download a data set, or some of its tasks and cameras. The result is a data set; what has arrived is kept."""
    try:
        if task or camera or split:
            chosen = None if split is None else Split.read(split)
            pulled, manifest = _part(url, out, task or (), camera or (), chosen, held_out=side == "held-out")
        else:
            pulled, manifest = _whole(url, out)
    except KeyboardInterrupt:
        output.say("interrupted; the same command goes on from what has arrived.")
        raise typer.Exit(130) from None
    row = {
        "path": str(out),
        "from": pulled,
        "episodes": manifest.num_episodes,
        "clips": manifest.num_clips,
        "bytes": sum(shard.size for shard in manifest.shards),
    }
    if as_json:
        output.print_json(row)
    else:
        output.print_table([row])


def _whole(url: str, out: Path) -> tuple[str, Manifest]:
    from vpdata.hub.pull import pull as pull_all

    with output.progress_bar("downloading", None) as advance:
        pulled = pull_all(url, out, progress=advance)
    return pulled, read_manifest(out)[0]


def _part(
    url: str, out: Path, tasks: Sequence[str], cameras: Sequence[str], split: Split | None, *, held_out: bool
) -> tuple[str, Manifest]:
    from vpdata.hub.pull import choose, pull_part

    dataset = Dataset.open(url)
    plan = choose(dataset, tasks=tasks, cameras=cameras, split=split, held_out=held_out)
    with output.progress_bar("downloading", len(plan.rows)) as advance:
        return dataset.place, pull_part(plan, out, progress=advance)
