"""`vpdata ingest`: recordings to a data set."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from vpdata import codecs, sources
from vpdata import ingest as ingesting
from vpdata.cli import output
from vpdata.clips.encode import ClipOptions
from vpdata.clips.resize import FITS, Fit
from vpdata.clips.span import CLIP_STARTS, WINDOW_SPAN
from vpdata.curation.record import read_curation
from vpdata.ingest.plan import SHARD_FRAMES, IngestOptions, OnError, Plan
from vpdata.shards.manifest import Manifest, Skipped
from vpdata.sources import SourceOptions

EPILOG = """
Examples:

`vpdata ingest robocasa v0.1/single_stage/kitchen_drawer --out drawer --size 128`

`vpdata ingest libero libero_object --out libero --camera wrist=eye_in_hand_rgb --camera front=agentview_rgb`

`vpdata ingest video recordings/ --out clips --fps 20 --size 96x128 --fit pad --on-error skip`

`vpdata ingest video footage/ --curation curation --out curated`

`vpdata ingest folder takes/ --out takes_data --resample --tolerance-seconds 0.05`

Run the same command again after an interruption: finished shards are kept.
"""


def _parse_camera(text: str) -> tuple[str, str]:
    name, _, recorded = text.partition("=")
    if not name or not recorded:
        raise typer.BadParameter(f"{text!r} is not NAME=RECORDED, for example wrist=robot0_eye_in_hand_image")
    return name, recorded


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a size in pixels, for example 128 or 96x128 (height x width)")
    height = int(match[1])
    return height, int(match[2] or height)


def ingest(
    source: Annotated[str, typer.Argument(help=f"What made the recordings: {', '.join(sources.NAMES)}.")],
    src: Annotated[list[Path], typer.Argument(help="Files or folders of recordings.")],
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    camera: Annotated[
        list[str] | None,
        typer.Option(help="Camera to keep, as NAME=RECORDED; repeat it. The source's own cameras otherwise."),
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=0.1, help="Video: resample to this rate. Recordings without a rate: their rate.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="Store frames at N or HxW pixels; as recorded otherwise.")] = None,
    fit: Annotated[Fit, typer.Option(help=f"Where the aspect ratio differs: {', '.join(FITS)}.")] = "crop",
    codec: Annotated[str, typer.Option(help=f"One of {', '.join(codecs.NAMES)}; ffv1 is lossless.")] = "h264",
    filter_key: Annotated[str | None, typer.Option(help="Only the demos listed under mask/KEY.")] = None,
    instruction: Annotated[str | None, typer.Option(help="Replaces the recordings' language.")] = None,
    resample: Annotated[
        bool, typer.Option("--resample", help="folder: bring cameras and rows that are not in step to one clock.")
    ] = False,
    tolerance_seconds: Annotated[
        float | None,
        typer.Option(min=0.0, help="folder: how far a frame or row may be from its tick; half a period otherwise."),
    ] = None,
    curation: Annotated[
        Path | None, typer.Option(metavar="DIR", help="video: only the spans that `vpdata curate` kept there.")
    ] = None,
    on_error: Annotated[
        OnError, typer.Option(help="At an unusable episode: fail, or skip it and list it in the manifest.")
    ] = "fail",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that encode; one a processor otherwise.")
    ] = None,
    clip_starts: Annotated[int, typer.Option(min=1, help="Window starts of a clip.")] = CLIP_STARTS,
    window_span: Annotated[
        int, typer.Option(min=1, help="The longest window, in frames, that clips hold.")
    ] = WINDOW_SPAN,
    shard_frames: Annotated[int, typer.Option(min=1, help="Frames of all cameras in a shard.")] = SHARD_FRAMES,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and write nothing.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Turn recordings into a data set: sharded, checksummed clips with an index and a manifest."""
    codecs.load(codec)
    height, width = _parse_size(size) if size else (None, None)
    options = IngestOptions(
        source=SourceOptions(
            cameras=dict(_parse_camera(text) for text in camera or ()),
            fps=fps,
            filter_key=filter_key,
            instruction=instruction,
            resample=resample,
            tolerance_seconds=tolerance_seconds,
        ),
        clip=ClipOptions(codec=codec, height=height, width=width, fit=fit),
        clip_starts=clip_starts,
        window_span=window_span,
        shard_frames=shard_frames,
    )
    ingesting.existing(out)
    with output.progress_bar("reading", None) as advance:
        curated = None if curation is None else read_curation(curation)
        plan = ingesting.make_plan(source, src, options, curation=curated, on_error=on_error, progress=advance)
    if dry_run:
        _print_plan(plan, as_json=as_json)
        return
    manifest = ingesting.up_to_date(plan, out)
    if manifest is not None:
        output.say(f"{out} is up to date.")
    try:
        with output.progress_bar("encoding", plan.camera_frames) as advance:
            manifest = ingesting.execute(plan, out, workers=workers, progress=advance)
    except KeyboardInterrupt:
        output.say("interrupted; the same command goes on from the finished shards.")
        raise typer.Exit(130) from None
    _print_result(out, manifest, as_json=as_json)
    _say_skipped(manifest.skipped)


def _print_plan(plan: Plan, *, as_json: bool) -> None:
    rows: list[dict[str, Any]] = [
        {
            "shard": shard.name,
            "key": clip.key,
            "file": clip.episode.file,
            "episode": clip.episode.episode_id,
            "start": clip.span.start,
            "stop": clip.span.stop,
            "starts": clip.span.num_starts,
            "actions": clip.episode.num_actions,
            "cameras": " ".join(f"{c.name}:{c.height}x{c.width}" for c in clip.episode.cameras),
            "fps": clip.episode.fps,
        }
        for shard in plan.shards
        for clip in shard.clips
    ]
    if as_json:
        skipped = [{"file": s.file, "episode": s.episode, "reason": s.reason} for s in plan.skipped]
        output.print_json({"plan_digest": plan.digest(), "clips": rows, "skipped": skipped})
        return
    title = f"{len(plan.episodes)} episodes, {plan.num_clips} clips, {len(plan.shards)} shards"
    columns = ("shard", "file", "episode", "start", "stop", "actions", "cameras")
    output.print_table([{name: row[name] for name in columns} for row in rows], title=title)
    _say_skipped(plan.skipped)


def _print_result(out: Path, manifest: Manifest, *, as_json: bool) -> None:
    row = {
        "path": str(out),
        "episodes": manifest.num_episodes,
        "clips": manifest.num_clips,
        "frames": manifest.num_frames,
        "shards": len(manifest.shards),
        "bytes": sum(shard.size for shard in manifest.shards),
        "skipped": len(manifest.skipped),
    }
    if as_json:
        output.print_json(row)
    else:
        output.print_table([row])


def _say_skipped(skipped: tuple[Skipped, ...]) -> None:
    for one in skipped:
        where = ", ".join(part for part in (one.file, one.episode) if part)
        output.say(f"skipped {where}: {one.reason}")
