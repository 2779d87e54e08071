"""`vpdata info`: what data sets hold."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from vpdata.cli import output
from vpdata.shards.dataset import Dataset

EPILOG = """
Examples:

`vpdata info drawer libero`

`vpdata info drawer --json`
"""


def info(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Data set folders.")],
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
    manifest, clips = dataset.manifest, dataset.clips
    episodes = {clip.episode.content_digest: clip.episode for clip in clips}.values()
    return {
        "path": str(dataset.path),
        "digest": dataset.digest,
        "source": manifest.source,
        "episodes": manifest.num_episodes,
        "clips": manifest.num_clips,
        "frames": manifest.num_frames,
        "hours": manifest.duration_seconds / 3600,
        "fps": sorted({episode.fps for episode in episodes}),
        "cameras": _distinct(f"{c.name} {c.height}x{c.width}" for episode in episodes for c in episode.cameras),
        "codecs": _distinct(clip.codec for clip in clips),
        "action_spaces": _distinct(episode.action_space for episode in episodes),
        "state_spaces": _distinct(episode.state_space for episode in episodes),
        "tasks": _distinct(episode.task for episode in episodes),
        "instructions": _distinct(text for episode in episodes for text in episode.instructions),
        "labelled_share": manifest.num_labelled_clips / manifest.num_clips,
        "shards": len(manifest.shards),
        "bytes": sum(shard.size for shard in manifest.shards),
        "skipped": [{"file": s.file, "episode": s.episode, "reason": s.reason} for s in manifest.skipped],
    }


def _distinct(values: Iterable[str | None]) -> list[str]:
    return list(dict.fromkeys(value for value in values if value))


def _shown(value: object) -> str:
    if isinstance(value, list):
        lines = [", ".join(filter(None, one.values())) if isinstance(one, dict) else str(one) for one in value]
        return "\n".join(lines)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
