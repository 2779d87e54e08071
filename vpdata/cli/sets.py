"""`vpdata merge`, `filter`, `subset`, `delete`, `relabel`, `reshard`: new data sets of finished ones."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from vpdata.cli import output
from vpdata.mixture.split import Split
from vpdata.schema import Scalar
from vpdata.sets import operations
from vpdata.sets.labels import Labels
from vpdata.sets.plan import SetPlan
from vpdata.sets.write import up_to_date, write
from vpdata.shards.dataset import Dataset
from vpdata.shards.manifest import Manifest

MERGE_EPILOG = """
Examples:

`vpdata merge data/kitchen data/lab --out data/both`

`vpdata merge data/kitchen data/more --keep-first --out data/all`
"""
FILTER_EPILOG = """
Examples:

`vpdata filter data/kitchen "fps >= 20 and task != 'OpenDrawer'" --out data/close`

`vpdata filter data/kitchen --split splits/scenes.toml --side held-out --out data/kitchen-held-out`
"""
SUBSET_EPILOG = """
Of the same data set and seed, the first 100 episodes are among the 200.

Examples:

`vpdata subset data/kitchen --episodes 100 --out data/kitchen-100`

`vpdata subset data/kitchen --episodes 100 --seed 1 --out data/kitchen-other-100`
"""
DELETE_EPILOG = """
Examples:

`vpdata delete data/kitchen --episode drawer/demo.hdf5::demo_7 --task OpenDrawer --out data/rest`

`vpdata delete data/kitchen --where "attribute_success == False" --out data/successes`
"""
RELABEL_EPILOG = """
Examples:

`vpdata relabel data/kitchen --where "task == 'CloseDrawer'" --instruction "close the drawer" --out data/new`

`vpdata relabel data/lab --task pour --camera wrist=cam_0 --attribute scene=lab_2 --out data/named`
"""
RESHARD_EPILOG = """
Examples:

`vpdata reshard data/kitchen --shard-frames 100000 --out data/large-shards`

`vpdata reshard data/kitchen --shuffle 7 --out data/shuffled`
"""

Place = Annotated[str, typer.Argument(metavar="DIR", help="Data set: a folder or URL. It stays as it is.")]
Out = Annotated[Path, typer.Option(help="The folder to make.")]
ShardFrames = Annotated[
    int | None,
    typer.Option(min=1, help="Frames of all cameras in a shard. Default: as DIR was made, of several the most."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be made and write nothing.")]


def merge(
    places: Annotated[list[str], typer.Argument(metavar="DIR...", help="Data sets: folders or URLs.")],
    out: Out,
    keep_first: Annotated[
        bool, typer.Option("--keep-first", help="Of a recording in several data sets, keep the first one's clips.")
    ] = False,
    shard_frames: ShardFrames = None,
    dry_run: DryRun = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Make one data set of several. A recording that is in two of them is refused unless --keep-first is given."""
    if len(places) < 2:
        raise typer.BadParameter("give two data sets or more", param_hint="DIR...")
    datasets = [Dataset.open(place) for place in places]
    plan = operations.merge(datasets, keep_first=keep_first, shard_frames=shard_frames)
    _carry_out(plan, out, dry_run=dry_run, as_json=as_json)


def filter_(
    place: Place,
    out: Out,
    query: Annotated[
        str | None, typer.Argument(metavar="EXPR", help="Condition on clips, as of `vpdata mix --query`.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Instead of EXPR: a file of `vpdata split`.")
    ] = None,
    side: Annotated[Literal["train", "held-out"], typer.Option(help="Of the split: which episodes to keep.")] = "train",
    shard_frames: ShardFrames = None,
    dry_run: DryRun = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Keep the clips for which a condition holds, or one side of a split."""
    dataset = Dataset.open(place)
    if query is not None and split is None:
        plan = operations.keep(dataset, query, shard_frames=shard_frames)
    elif split is not None and query is None:
        held_out = side == "held-out"
        plan = operations.keep_side(dataset, Split.read(split), held_out=held_out, shard_frames=shard_frames)
    else:
        raise typer.BadParameter("give either EXPR or --split", param_hint="EXPR")
    _carry_out(plan, out, dry_run=dry_run, as_json=as_json)


def subset(
    place: Place,
    out: Out,
    episodes: Annotated[int, typer.Option(min=1, help="How many to keep.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the choice.")] = 0,
    shard_frames: ShardFrames = None,
    dry_run: DryRun = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Keep some episodes, whole and chosen at random."""
    plan = operations.subset(Dataset.open(place), num_episodes=episodes, seed=seed, shard_frames=shard_frames)
    _carry_out(plan, out, dry_run=dry_run, as_json=as_json)


def delete(
    place: Place,
    out: Out,
    episode: Annotated[list[str] | None, typer.Option(metavar="FILE::EPISODE", help="Episode to leave out.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Task to leave out.")] = None,
    where: Annotated[str | None, typer.Option(metavar="EXPR", help="Leave out the clips for which this holds.")] = None,
    shard_frames: ShardFrames = None,
    dry_run: DryRun = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Make a data set without some episodes, tasks or clips. DIR itself still has them: remove it when you are sure."""
    plan = operations.delete(
        Dataset.open(place), episodes=episode or (), tasks=task or (), query=where or "", shard_frames=shard_frames
    )
    _carry_out(plan, out, dry_run=dry_run, as_json=as_json)


def relabel(
    place: Place,
    out: Out,
    where: Annotated[
        str | None, typer.Option(metavar="EXPR", help="Only the episodes for which this holds. Default: all.")
    ] = None,
    instruction: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Language instruction, instead of those there are.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Name of the task.")] = None,
    camera: Annotated[list[str] | None, typer.Option(metavar="NEW=OLD", help="New name of a camera.")] = None,
    attribute: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Number, true, false or text; added or replaced.")
    ] = None,
    shard_frames: ShardFrames = None,
    dry_run: DryRun = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Change what episodes say of themselves: instructions, task, camera names, attributes. Videos are copied."""
    labels = Labels(
        instructions=tuple(instruction or ()),
        task=task,
        cameras={old: new for new, old in _pairs(camera or (), "--camera", "NEW=OLD")},
        attributes={name: _scalar(text) for name, text in _pairs(attribute or (), "--attribute", "NAME=VALUE")},
    )
    plan = operations.relabel(Dataset.open(place), labels, query=where or "", shard_frames=shard_frames)
    _carry_out(plan, out, dry_run=dry_run, as_json=as_json)


def reshard(
    place: Place,
    out: Out,
    shard_frames: ShardFrames = None,
    shuffle: Annotated[
        int | None, typer.Option(min=0, metavar="SEED", help="Put the clips into a random order.")
    ] = None,
    dry_run: DryRun = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Lay the same clips out in shards of another size, or in another order."""
    plan = operations.reshard(Dataset.open(place), shard_frames=shard_frames, shuffle=shuffle)
    _carry_out(plan, out, dry_run=dry_run, as_json=as_json)


def _carry_out(plan: SetPlan, out: Path, *, dry_run: bool, as_json: bool) -> None:
    manifest: Manifest | None = None
    if not dry_run:
        if up_to_date(plan, out) is not None:
            output.say(f"{out} is up to date.")
        try:
            with output.progress_bar("copying", len(plan.rows)) as advance:
                manifest = write(plan, out, progress=advance)
        except KeyboardInterrupt:
            output.say("interrupted; the same command goes on from the finished shards.")
            raise typer.Exit(130) from None
    row = {
        "path": str(out),
        "clips": len(plan.rows),
        "of": sum(len(dataset.index) for dataset in plan.datasets),
        "shards": len(plan.shards),
        "dropped": len(plan.dropped),
        "written": manifest is not None,
    }
    if as_json:
        output.print_json(row)
    else:
        output.print_table([row])
    if plan.dropped:
        output.say(f"{len(plan.dropped)} clips are missing in episodes that are kept; the manifest lists them.")


def _pairs(texts: Sequence[str], option: str, form: str) -> list[tuple[str, str]]:
    pairs = [text.partition("=") for text in texts]
    for (key, _, value), text in zip(pairs, texts, strict=True):
        if not key or not value or [other for other, _, _ in pairs].count(key) > 1:
            raise typer.BadParameter(f"{text!r} is not {form}, or says it twice", param_hint=option)
    return [(key, value) for key, _, value in pairs]


def _scalar(text: str) -> Scalar:
    """What JSON reads as a finite number, true or false; else the text itself."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) and math.isfinite(value) else text
