"""`vpdata info`: what data sets hold."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
import typer

from vpdata.cli import output
from vpdata.shards.dataset import Dataset

MAX_SHOWN = 20

EPILOG = """
Examples:

`vpdata info drawer libero`

`vpdata info drawer --json`
"""


def info(
    folders: Annotated[list[str], typer.Argument(metavar="DIR...", help="Data set folders or URLs.")],
    as_json: output.JsonFlag = False,
) -> None:
    """Show what data sets hold: clips, hours, cameras, sizes, spaces, language, and what was left out."""
    rows = [_describe(Dataset.open(folder)) for folder in folders]
    if as_json:
        output.print_json(rows)
        return
    for row in rows:
        shown = ({"of": name, "is": _shown(value)} for name, value in row.items())
        output.print_table(list(shown), title=row["path"])


def _describe(dataset: Dataset) -> dict[str, Any]:
    manifest, index = dataset.manifest, dataset.index

    def distinct(name: str) -> list[str]:
        return [value for value in index.codes(name).values if value]

    def parsed(name: str) -> Iterable[Any]:
        return (item for text in distinct(name) for item in json.loads(text))

    cameras = dict.fromkeys(f"{c['name']} {c['height']}x{c['width']}" for c in parsed("cameras"))
    return {
        "path": dataset.place,
        "digest": dataset.digest,
        "source": manifest.source,
        "episodes": manifest.num_episodes,
        "clips": manifest.num_clips,
        "frames": manifest.num_frames,
        "hours": manifest.duration_seconds / 3600,
        "fps": np.unique(index.fps()).tolist(),
        "cameras": list(cameras),
        "codecs": distinct("codec"),
        "action_spaces": distinct("action_space"),
        "state_spaces": distinct("state_space"),
        "tasks": distinct("task"),
        "instructions": list(dict.fromkeys(parsed("instructions"))),
        "labelled_share": manifest.num_labelled_clips / manifest.num_clips,
        "shards": len(manifest.shards),
        "bytes": sum(shard.size for shard in manifest.shards),
        "skipped": [asdict(skipped) for skipped in manifest.skipped],
        "dropped": [asdict(dropped) for dropped in manifest.dropped],
    }


def _shown(value: object) -> str:
    if isinstance(value, list):
        lines = [
            ", ".join(str(v) for v in one.values() if v != "") if isinstance(one, dict) else str(one) for one in value
        ]
        more = [f"… and {len(lines) - MAX_SHOWN} more; `--json` lists all"] if len(lines) > MAX_SHOWN else []
        return "\n".join(lines[:MAX_SHOWN] + more)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
