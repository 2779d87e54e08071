"""One span of an open episode in, the clip's key and members as bytes out."""

import io
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from vpdata import codecs
from vpdata.clips.resize import Fit, resize
from vpdata.errors import SourceError
from vpdata.schema import Camera, Clip, Episode, Span
from vpdata.sources import EpisodeReader

ACTIONS = "actions.npy"
STATE = "state.npy"
PROVENANCE = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipOptions:
    """How clips are stored: the codec, and the size in pixels (both None for the recorded one) with its fit."""

    codec: str = "h264"
    height: int | None = None
    width: int | None = None
    fit: Fit = "crop"

    def __post_init__(self) -> None:
        if (self.height is None) != (self.width is None) or (self.height is not None and self.height < 1):
            raise ValueError(f"size {self.height}x{self.width}")

    def stored(self, episode: Episode) -> Episode:
        """The episode with its cameras at the size that will be stored."""
        if self.height is None or self.width is None:
            return episode
        cameras = (replace(camera, height=self.height, width=self.width) for camera in episode.cameras)
        return replace(episode, cameras=tuple(cameras))


def clip_key(episode: Episode, span: Span) -> str:
    """`<task or file>-<episode>-<8 hex digits of the content>-<first frame>`, in [a-z0-9_-]."""
    stem = _slug(PurePosixPath(episode.file).stem)
    names = dict.fromkeys(name for name in (_slug(episode.task) or stem, _slug(episode.episode_id)) if name)
    return "-".join([*names, episode.content_digest[:8], f"{span.start:05d}"])


def _slug(text: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_]+", "_", ascii_text)[:32].strip("_")


def num_actions_in(episode: Episode, span: Span) -> int:
    """Rows of the episode's actions that lie in the span."""
    return max(0, min(span.stop, episode.num_actions) - span.start)


def encode_clip(
    reader: EpisodeReader, episode: Episode, span: Span, options: ClipOptions, *, tool_version: str
) -> dict[str, bytes]:
    """The members of one clip by name: `<camera>.<ext>` each, `actions.npy`, `state.npy`, and `json` with provenance.

    Frames stream through the encoder one by one. `episode` is as the source described it.

    Raises:
        SourceError: the recording is not what its description said, or holds actions or states that are no float32.
    """
    codec = codecs.load(options.codec)
    stored = options.stored(episode)
    members: dict[str, bytes] = {}
    for camera in episode.cameras:
        frames = _checked_frames(reader, episode, span, camera)
        if options.height is not None and options.width is not None:
            frames = _resized(frames, height=options.height, width=options.width, fit=options.fit)
        members[f"{camera.name}.{codec.extension}"] = codec.encode(frames, fps=episode.fps)
    num_actions = num_actions_in(episode, span)
    if num_actions:
        rows = _checked_rows(reader.actions, episode, what="actions", num_rows=episode.num_actions)
        members[ACTIONS] = _npy(rows[span.start : span.start + num_actions])
    if episode.state_space is not None:
        rows = _checked_rows(reader.state, episode, what="state", num_rows=episode.num_frames)
        members[STATE] = _npy(rows[span.start : span.stop])
    members[PROVENANCE] = provenance(stored, span, codec=options.codec, tool_version=tool_version)
    return members


def provenance(episode: Episode, span: Span, *, codec: str, tool_version: str) -> bytes:
    """The clip's `json` member: where it comes from and what it shows, for readers that know nothing of the index."""
    record = {
        "source": episode.source,
        "file": episode.file,
        "episode_id": episode.episode_id,
        "content_digest": episode.content_digest,
        "episode_num_frames": episode.num_frames,
        "start_frame": span.start,
        "stop_frame": span.stop,
        "num_starts": span.num_starts,
        "num_actions": num_actions_in(episode, span),
        "fps": float(episode.fps),
        "cameras": [
            {"name": c.name, "recorded_name": c.recorded_name, "height": c.height, "width": c.width}
            for c in episode.cameras
        ],
        "action_space": episode.action_space,
        "state_space": episode.state_space,
        "instructions": list(episode.instructions),
        "task": episode.task,
        "attributes": dict(sorted(episode.attributes.items())),
        "codec": codec,
        "tool_version": tool_version,
    }
    return json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def provenance_of(clip: Clip, *, tool_version: str) -> bytes:
    """What the `json` member of an indexed clip must hold."""
    return provenance(clip.episode, clip.span, codec=clip.codec, tool_version=tool_version)


def _checked_frames(reader: EpisodeReader, episode: Episode, span: Span, camera: Camera) -> Iterator[NDArray[np.uint8]]:
    expected = (camera.height, camera.width, 3)
    number = span.start
    for frame in reader.frames(camera.name, span.start, span.stop):
        if frame.shape != expected or frame.dtype != np.uint8:
            what = f"camera {camera.name}: frame {number} is {frame.dtype} {frame.shape}, expected uint8 {expected}."
            raise SourceError(what, path=episode.file, episode=episode.episode_id)
        yield frame
        number += 1
    if number != span.stop:
        what = f"camera {camera.name}: ends at frame {number}, expected {episode.num_frames} frames."
        raise SourceError(what, path=episode.file, episode=episode.episode_id)


def _resized(frames: Iterator[NDArray[np.uint8]], *, height: int, width: int, fit: Fit) -> Iterator[NDArray[np.uint8]]:
    for frame in frames:
        yield resize(frame[None], height=height, width=width, fit=fit)[0]


def _checked_rows(
    rows: NDArray[np.generic] | None, episode: Episode, *, what: str, num_rows: int
) -> NDArray[np.generic]:
    where = {"path": episode.file, "episode": episode.episode_id}
    if rows is None or rows.ndim != 2 or len(rows) != num_rows:
        found = "none" if rows is None else f"shape {rows.shape}"
        raise SourceError(f"{what}: expected {num_rows} rows, found {found}.", **where)
    with np.errstate(over="ignore"):
        finite = np.isfinite(rows.astype(np.float32)).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise SourceError(f"{what}: row {row} holds NaN, infinity or a number beyond float32.", **where)
    return rows


def _npy(rows: NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(rows), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()
