"""`vpdata ingest`: recordings to a data set."""

import re
from collections.abc import Sequence
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
from vpdata.errors import VpdataError
from vpdata.ingest.plan import SHARD_FRAMES, IngestOptions, OnError, Plan
from vpdata.shards.manifest import Manifest, Skipped
from vpdata.sources import SourceOptions

EPILOG = """
Examples:

`vpdata ingest robocasa v0.1/single_stage/kitchen_drawer --out drawer --size 128`

`vpdata ingest libero libero_object --out libero --camera wrist=eye_in_hand_rgb --camera front=agentview_rgb`

`vpdata ingest video recordings/ --out clips --fps 20 --size 96x128 --fit pad --on-error skip`

`vpdata ingest video footage/ --curation curation --out curated`

`vpdata ingest video captions.csv 'cams/**/*.mp4' hf://datasets/user/name/train --out footage`

`vpdata ingest images frames/ --fps 10 --out frames_data`

`vpdata ingest libero recorded/demo.hdf5 --render rendered --out libero --simulator-python libero_venv/bin/python`

`vpdata ingest folder takes/ --out takes_data --resample --tolerance-seconds 0.05`

`vpdata ingest ros bags/ --out bags_data --topics topics.toml --fps 20 --resample`

`vpdata ingest droid droid_raw/1.0.1/IRIS/success --out iris --size 180x320`

`vpdata ingest lerobot hf://datasets/user/name@v3.0 --out name --camera wrist=observation.images.hand`

`vpdata ingest robocasa365 pretrain/atomic --out pretrain_atomic --size 128`

Run the same command again after an interruption: finished shards are kept.
"""


def _parse_camera(text: str) -> tuple[str, str]:
    name, _, recorded = text.partition("=")
    if not name or not recorded:
        raise typer.BadParameter(f"{text!r} is not NAME=RECORDED, for example wrist=robot0_eye_in_hand_image")
    return name, recorded


def _parse_cameras(texts: Sequence[str]) -> dict[str, str]:
    pairs = [_parse_camera(text) for text in texts]
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise typer.BadParameter(f"--camera {name}=… is given {names.count(name)} times; a camera has one source")
    return dict(pairs)


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a size in pixels, for example 128 or 96x128 (height x width)")
    height = int(match[1])
    return height, int(match[2] or height)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise VpdataError(f"the file does not read as text ({error}).", path=path, hint="Check the path.") from error


def ingest(
    source: Annotated[str, typer.Argument(help=f"What made the recordings: {', '.join(sources.NAMES)}.")],
    src: Annotated[
        list[Path], typer.Argument(help="Files, folders or 'patterns' of recordings, here or at hf://datasets/….")
    ],
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    camera: Annotated[
        list[str] | None,
        typer.Option(help="Camera to keep, as NAME=RECORDED; repeat it. The source's own cameras otherwise."),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(min=0.1, max=1000.0, help="Video: resample to this rate. Recordings without a rate: their rate."),
    ] = None,
    size: Annotated[str | None, typer.Option(help="Store frames at N or HxW pixels; as recorded otherwise.")] = None,
    fit: Annotated[Fit, typer.Option(help=f"Where the aspect ratio differs: {', '.join(FITS)}.")] = "crop",
    codec: Annotated[str, typer.Option(help=f"One of {', '.join(codecs.NAMES)}; ffv1 is lossless.")] = "h264",
    filter_key: Annotated[str | None, typer.Option(help="Only the demos listed under mask/KEY.")] = None,
    instruction: Annotated[str | None, typer.Option(help="Replaces the recordings' language.")] = None,
    resample: Annotated[
        bool, typer.Option("--resample", help="folder, ros: bring cameras and rows that are not in step to one clock.")
    ] = False,
    tolerance_seconds: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1000.0,
            help="folder, ros: how far a frame or row may be from its tick; half a period otherwise.",
        ),
    ] = None,
    action_space: Annotated[
        str | None, typer.Option(metavar="NAME", help="droid: which of its actions; droid_cartesian_velocity_action.")
    ] = None,
    topics: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="ros: which topics are cameras, state and action.")
    ] = None,
    mixed_cameras: Annotated[
        bool, typer.Option("--mixed-cameras", help="Accept that some episodes have other cameras than the rest.")
    ] = False,
    curation: Annotated[
        Path | None, typer.Option(metavar="DIR", help="video: only the spans that `vpdata curate` kept there.")
    ] = None,
    render: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="libero, robocasa: render demos that hold only states into DIR, and use those."
        ),
    ] = None,
    simulator_python: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The interpreter that has the simulator; this one otherwise.")
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
    for only, option, value in (("ros", "--topics", topics), ("droid", "--action-space", action_space)):
        if value is not None and source != only:
            raise VpdataError(f"only the source {only} reads {option}, not {source}.", hint=f"Leave {option} out.")
    height, width = _parse_size(size) if size else (None, None)
    options = IngestOptions(
        source=SourceOptions(
            cameras=_parse_cameras(camera or ()),
            fps=fps,
            filter_key=filter_key,
            instruction=instruction,
            resample=resample,
            tolerance_seconds=tolerance_seconds,
            action_space=action_space,
            topics=None if topics is None else _read_text(topics),
        ),
        clip=ClipOptions(codec=codec, height=height, width=width, fit=fit),
        clip_starts=clip_starts,
        window_span=window_span,
        shard_frames=shard_frames,
        mixed_cameras=mixed_cameras,
    )
    if simulator_python is not None and render is None:
        raise typer.BadParameter("goes with --render", param_hint="--simulator-python")
    ingesting.existing(out)
    if render is not None:
        from vpdata.ingest.render import RENDER_SIZE, RenderTo, rendered  # loads h5py

        if dry_run or height != width:
            raise typer.BadParameter("--render goes with a square --size, and without --dry-run")
        rendering = RenderTo(folder=render, size=height or RENDER_SIZE, workers=workers, python=simulator_python)
        with output.progress_bar("rendering demos", None) as advance:
            src = rendered(source, src, rendering, options.source, progress=advance)
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
            "cameras": " ".join(
                f"{c.name}:{c.height}x{c.width}" for c in plan.options.clip.stored(clip.episode).cameras
            ),
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
