"""SRC paths and options in, a `Plan` out: every clip of every episode, and the shard that it will lie in.

The plan is a pure function of the recordings and the options. Nothing is decoded and nothing is written.
"""

import hashlib
import json
import tomllib
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from vpdata import sources
from vpdata.clips.encode import ClipOptions, clip_key, provenance
from vpdata.clips.span import CLIP_STARTS, WINDOW_SPAN, plan_spans
from vpdata.curation.record import Curation
from vpdata.errors import SourceError, VpdataError
from vpdata.ingest.cameras import refuse_mixed_cameras
from vpdata.schema import Episode, Span
from vpdata.shards.manifest import FORMAT_VERSION, Skipped
from vpdata.sources import Source, SourceFile, SourceOptions

OnError = Literal["fail", "skip"]
SHARD_FRAMES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions:
    """Everything that decides what a data set made from some recordings holds.

    `shard_frames` is the number of frames, of all cameras together, after which a shard is full; `curation` the SHA-256
    of the curation that says which spans are ingested, set by `make_plan`; `mixed_cameras` accepts episodes that have
    different cameras, and decides no bytes.
    """

    source: SourceOptions = field(default_factory=SourceOptions)
    clip: ClipOptions = field(default_factory=ClipOptions)
    clip_starts: int = CLIP_STARTS
    window_span: int = WINDOW_SPAN
    shard_frames: int = SHARD_FRAMES
    curation: str | None = None
    mixed_cameras: bool = False

    def to_json(self) -> dict[str, Any]:
        """As it stands in the manifest."""
        tolerance = self.source.tolerance_seconds
        return {
            "cameras": dict(sorted(self.source.cameras.items())),
            "fps": self.source.fps,
            "filter_key": self.source.filter_key,
            "instruction": self.source.instruction,
            **({"resample": True} if self.source.resample else {}),
            **({} if tolerance is None else {"tolerance_seconds": tolerance}),
            **({} if self.source.action_space is None else {"action_space": self.source.action_space}),
            **({} if self.source.topics is None else {"topics": tomllib.loads(self.source.topics)}),
            "codec": self.clip.codec,
            "height": self.clip.height,
            "width": self.clip.width,
            "fit": self.clip.fit,
            "clip_starts": self.clip_starts,
            "window_span": self.window_span,
            "shard_frames": self.shard_frames,
            **({} if self.curation is None else {"curation": self.curation}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedClip:
    """A clip to be: `episode` as the source described it, and the file to read it from."""

    file: SourceFile
    episode: Episode
    span: Span

    @property
    def key(self) -> str:
        """The clip's key in the shard."""
        return clip_key(self.episode, self.span)

    @property
    def camera_frames(self) -> int:
        """Frames to encode, of all cameras together."""
        return (self.span.stop - self.span.start) * len(self.episode.cameras)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedShard:
    """A shard to be: its file name and its clips in order."""

    name: str
    clips: tuple[PlannedClip, ...]

    @property
    def camera_frames(self) -> int:
        """Frames to encode, of all cameras together."""
        return sum(clip.camera_frames for clip in self.clips)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an ingest will do. `skipped` are the recordings that could not even be described.

    `curation` is what decided about the spans of the recordings, None where they are ingested whole.
    """

    source: str
    options: IngestOptions
    on_error: OnError
    shards: tuple[PlannedShard, ...]
    skipped: tuple[Skipped, ...]
    curation: Curation | None = None

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """The episodes in order."""
        clips = (clip for shard in self.shards for clip in shard.clips)
        return tuple({clip.episode.content_digest: clip.episode for clip in clips}.values())

    @property
    def num_clips(self) -> int:
        """Clips of all shards."""
        return sum(len(shard.clips) for shard in self.shards)

    @property
    def camera_frames(self) -> int:
        """Frames to encode, of all cameras together."""
        return sum(shard.camera_frames for shard in self.shards)

    def digest(self) -> str:
        """Hex SHA-256 by which a finished data set is known to be this plan's."""
        left_out = [[skipped.file, skipped.episode] for skipped in self.skipped]
        return content_key(self.options, [clip for shard in self.shards for clip in shard.clips], extra=left_out)

    def without(self, episodes: Collection[str]) -> "Plan":
        """The plan less the episodes with those content digests. The other clips stay in their shards."""
        kept = (
            replace(shard, clips=tuple(c for c in shard.clips if c.episode.content_digest not in episodes))
            for shard in self.shards
        )
        return replace(self, shards=tuple(shard for shard in kept if shard.clips))


def content_key(options: IngestOptions, clips: Sequence[PlannedClip], *, extra: object) -> str:
    """Hex SHA-256 of what decides the bytes of these clips; where the recordings lie is no part of it."""
    digest = hashlib.sha256(json.dumps([FORMAT_VERSION, options.to_json(), extra], sort_keys=True).encode())
    for clip in clips:
        stored = options.clip.stored(clip.episode)
        digest.update(provenance(stored, clip.span, codec=options.clip.codec, tool_version=""))
    return digest.hexdigest()


def make_plan(
    source_name: str,
    paths: Sequence[Path],
    options: IngestOptions,
    *,
    curation: Curation | None = None,
    on_error: OnError = "fail",
    progress: Callable[[int], object] = lambda _: None,
) -> Plan:
    """Finds and describes all episodes, and lays their clips out in shards.

    Args:
        source_name: the source plugin.
        paths: files and folders of recordings.
        options: what to make of them.
        curation: of videos, says which spans are episodes; None: each recording is whole.
        on_error: `fail` raises the first error; `skip` lists the episode in `Plan.skipped` and goes on.
        progress: called with 1 after each file.

    Raises:
        VpdataError: a path that is missing or has no recordings, an unusable recording, or nothing left.
    """
    skipped: list[Skipped] = []
    planned: list[PlannedClip] = []
    described = options.source
    if curation is not None:
        if source_name != "video":
            raise VpdataError(f"only the source video is curated, not {source_name}.", hint="Leave --curation out.")
        described = replace(options.source, spans=curation.kept_spans())
        options = replace(options, curation=curation.sha256)
    for file, episode in _describe(source_name, paths, described, on_error, skipped, progress):
        spans = plan_spans(episode.num_frames, clip_starts=options.clip_starts, window_span=options.window_span)
        planned.extend(PlannedClip(file=file, episode=episode, span=span) for span in spans)
    if not planned:
        raise nothing_left(skipped)
    if not options.mixed_cameras:
        refuse_mixed_cameras(clip.episode for clip in planned if clip.span.start == 0)
    return Plan(
        source=source_name,
        options=options,
        on_error=on_error,
        shards=tuple(_fill_shards(planned, shard_frames=options.shard_frames)),
        skipped=tuple(skipped),
        curation=curation,
    )


def nothing_left(skipped: Sequence[Skipped]) -> SourceError:
    """The error for an ingest that skipped everything."""
    if not skipped:
        return SourceError("the recordings hold no episodes.")
    first = skipped[0]
    where = {"path": first.file, "episode": first.episode or None}
    return SourceError(f"{first.reason} Nothing is left to ingest: {len(skipped)} skipped, this is the first.", **where)


def as_skipped(error: VpdataError, file: SourceFile, *, episode: str = "") -> Skipped:
    """An error as the manifest lists it, without the paths of this machine; `episode` where it is known better."""
    reason = error.what.replace(str(file.path), file.name)
    if episode and error.episode and error.episode != episode:  # "demo_1, camera left"
        reason = f"{error.episode}: {reason}"
    return Skipped(file=file.name, episode=episode or error.episode or "", reason=reason)


def _describe(
    source_name: str,
    paths: Sequence[Path],
    options: SourceOptions,
    on_error: OnError,
    skipped: list[Skipped],
    progress: Callable[[int], object],
) -> Iterator[tuple[SourceFile, Episode]]:
    source = sources.load(source_name)
    files: list[SourceFile] = []
    for path in paths:
        with _unreadable_as_error(path):
            files.extend(source.find(path))
    seen: dict[str, Episode] = {}
    for file, found in _read_all(source, files, options):
        problems: list[VpdataError] = []
        for item in found:
            problem = item if isinstance(item, VpdataError) else _unwritable(file, item) or _duplicate(file, item, seen)
            if problem is None:
                assert isinstance(item, Episode)
                seen[item.content_digest] = item
                yield file, item
            else:
                problems.append(problem)
        if problems and on_error == "fail":
            raise _together(problems)
        skipped.extend(as_skipped(problem, file) for problem in problems)
        progress(1)


def _read_all(
    source: Source, files: Sequence[SourceFile], options: SourceOptions
) -> Iterator[tuple[SourceFile, list[Episode | VpdataError]]]:
    """What each file holds, in order. Files are read by several threads: most of the time goes into their SHA-256."""

    def read(file: SourceFile) -> list[Episode | VpdataError]:
        try:
            with _unreadable_as_error(file.path):
                return list(source.episodes(file, options))
        except SourceError as error:
            return [error]

    pool = ThreadPoolExecutor()
    try:
        yield from zip(files, pool.map(read, files), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _unreadable_as_error(path: Path) -> Iterator[None]:
    """Turns a failure of the system to read a recording into a SourceError."""
    try:
        yield
    except OSError as error:
        what = f"cannot be read ({error.strerror or error})."
        raise SourceError(what, path=error.filename or path, hint="Who may read it? Is the disk whole?") from error


def _together(problems: Sequence[VpdataError]) -> VpdataError:
    """One error that says all that is wrong with a file."""
    first, *others = problems
    if not others:
        return first
    listed = " ".join(f"{other.episode}: {other.what}" if other.episode else other.what for other in others)
    what = f"{first.what} And {len(others)} more cannot be used. {listed}"
    return SourceError(what, path=first.path, episode=first.episode, hint=first.hint)


def _unwritable(file: SourceFile, episode: Episode) -> SourceError | None:
    """The error for an episode that JSON in UTF-8 cannot say: a text that is none, a number that is not finite."""
    texts = (*episode.instructions, episode.task)
    what = next((f"{text!r} is no text" for text in texts if not isinstance(text, str)), None)
    try:
        provenance(episode, Span(start=0, stop=1, num_starts=1), codec="", tool_version="")
    except ValueError as error:
        what = str(error)
    if what is None:
        return None
    what = f"the instructions, the task or an attribute cannot be written: {what}."
    return SourceError(what, path=file.path, episode=ascii(episode.episode_id), hint="Correct the recording.")


def _duplicate(file: SourceFile, episode: Episode, seen: dict[str, Episode]) -> SourceError | None:
    first = seen.get(episode.content_digest)
    if first is None:
        return None
    return SourceError(
        f"duplicate of {first.file}, {first.episode_id}: the recordings are byte for byte the same.",
        path=file.path,
        episode=episode.episode_id,
        hint="Remove one of them, or leave it out with `--on-error skip`.",
    )


def _fill_shards(clips: Sequence[PlannedClip], *, shard_frames: int) -> Iterator[PlannedShard]:
    number, filled, batch = 0, 0, list[PlannedClip]()
    for clip in clips:
        if batch and filled + clip.camera_frames > shard_frames:
            yield PlannedShard(name=f"shard-{number:05d}.tar", clips=tuple(batch))
            number, filled, batch = number + 1, 0, []
        batch.append(clip)
        filled += clip.camera_frames
    yield PlannedShard(name=f"shard-{number:05d}.tar", clips=tuple(batch))
