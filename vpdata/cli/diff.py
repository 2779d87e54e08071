"""`vpdata diff`: what differs between two data sets, or two revisions of one."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated

import typer

from vpdata.cli import output
from vpdata.shards.dataset import Dataset

EPILOG = """
Examples:

`vpdata diff data/kitchen data/kitchen-repaired`

`vpdata diff hf://datasets/user/kitchen@v1.0 hf://datasets/user/kitchen --json`
"""


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="Data set: a folder or URL.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another, or the same at another revision.")],
    as_json: output.JsonFlag = False,
) -> None:
    """Show which clips were added, removed and changed from A to B. Only manifests and indexes are read."""
    from vpdata.hub.diff import difference

    found = difference(Dataset.open(a), Dataset.open(b))
    if as_json:
        output.print_json(asdict(found))
        return
    labels = [change.task for change in found.changed if change.only_labels]
    contents = [change.task for change in found.changed if not change.only_labels]
    rows = [
        *_rows("added", found.added.values()),
        *_rows("removed", found.removed.values()),
        *_rows("changed", contents),
        *_rows("changed only in its labels", labels),
    ]
    output.print_table([*rows, {"clips": found.num_equal, "task": "", "are": "equal"}])
    if found.reordered:
        output.say("the clips that both have stand in another order.")
    if found.manifest:
        output.say(f"the manifests differ in {', '.join(found.manifest)}.")


def _rows(what: str, tasks: Iterable[str]) -> list[dict[str, object]]:
    return [{"clips": count, "task": task, "are": what} for task, count in sorted(Counter(tasks).items())]
