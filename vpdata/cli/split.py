"""`vpdata split`: a rule by which some episodes are held out, and which side everything is on."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from vpdata.cli import output
from vpdata.errors import MixtureError
from vpdata.mixture.exact import fraction
from vpdata.mixture.holdout import episode_numbers
from vpdata.mixture.split import Split
from vpdata.shards.dataset import Dataset

MAX_LISTED = 40
"""Groups that a table lists; `--json` lists all."""

EPILOG = """
Examples:

`vpdata split data/kitchen data/lab --by scene --share 0.1 --out splits/scenes.toml`

`vpdata split data/kitchen --by object --share 1/5 --seed 3 --out splits/objects.toml --json`

`vpdata split data/kitchen data/new --show splits/scenes.toml`
"""


def split(
    places: Annotated[list[str], typer.Argument(metavar="DIR...", help="Data sets to show: folders or URLs.")],
    by: Annotated[
        str, typer.Option(help="What stays together: episode, task, scene, object, or any other attribute's name.")
    ] = "episode",
    share: Annotated[str, typer.Option(metavar="SHARE", help="Share to hold out, 0.1 or 1/5.")] = "0.1",
    seed: Annotated[int, typer.Option(min=0, help="Another one holds out others.")] = 0,
    out: Annotated[Path | None, typer.Option(help="The split file to write (TOML).")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a different split file.")] = False,
    show: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Show which side everything is on; write nothing.")
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Hold out a share of all episodes, tasks, scenes or objects, so that adding recordings moves none.

    The file goes to `vpdata mix --split` and `vpdata filter --split`.
    """
    if (out is None) == (show is None):
        raise typer.BadParameter("give --out to make a split, or --show FILE to see one")
    chosen = Split(by=by, share=fraction(share), seed=seed) if show is None else Split.read(show)
    datasets = [Dataset.open(place) for place in places]
    groups = _groups(chosen, datasets)
    sides = {group["held_out"] for group in groups if group["group"]}
    if out is not None:
        if not sides:
            what = f"nothing here says which {chosen.by} it is of."
            texts = {text for dataset in datasets for text in dataset.index.codes("attributes").values}
            names = ", ".join(sorted({name for text in texts for name in json.loads(text)})) or "there is none"
            raise MixtureError(what, path=datasets[0].place, hint=f"Split by episode, or by an attribute: {names}.")
        chosen.write(out, replace=force)
        output.say(f"{out}: written.")
    if sides and len(sides) == 1:
        which = "held out" if sides.pop() else "on the training side"
        output.say(f"Every {chosen.by} here is {which}. With few of them that happens; another --seed draws again.")
    if as_json:
        value = {"by": chosen.by, "share": str(chosen.share), "seed": chosen.seed, "groups": groups}
        output.print_json(value)
    else:
        _render(chosen, groups)


def _groups(chosen: Split, datasets: Sequence[Dataset]) -> list[dict[str, Any]]:
    """Every group with its side and its episodes, held-out ones first; "" is what is of none."""
    episodes: dict[str, int] = {}
    clips: dict[str, int] = {}
    for dataset in datasets:
        found = chosen.groups(dataset.index)
        _, firsts = np.unique(episode_numbers(dataset.index), return_index=True)
        for counts, codes in ((episodes, found.codes[firsts]), (clips, found.codes)):
            for code, count in enumerate(np.bincount(codes, minlength=len(found.values)).tolist()):
                counts[found.values[code]] = counts.get(found.values[code], 0) + count
    groups = [
        {"group": name, "held_out": chosen.holds_out(name), "episodes": episodes[name], "clips": clips[name]}
        for name in sorted(episodes)
    ]
    return sorted(groups, key=lambda group: not group["held_out"])


def _render(chosen: Split, groups: Sequence[dict[str, Any]]) -> None:
    rows = [
        {
            chosen.by: group["group"] or f"(no {chosen.by})",
            "side": "held out" if group["held_out"] else "train",
            "episodes": group["episodes"],
            "clips": group["clips"],
        }
        for group in groups
    ]
    held_out = [group for group in groups if group["held_out"]]
    title = f"{len(held_out)} of {len(groups)} held out, {sum(group['episodes'] for group in held_out)} episodes"
    output.print_table(rows[:MAX_LISTED], title=title)
    if len(rows) > MAX_LISTED:
        output.say(f"… and {len(rows) - MAX_LISTED} more; `--json` lists all.")
