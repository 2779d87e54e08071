"""Recordings on disk: a path enters; files in natural order, and digests that name content rather than place, leave."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from vpdata.errors import SourceError
from vpdata.schema import Camera
from vpdata.sources import SourceFile, SourceOptions
from vpdata.sources.hub import MAGIC, download, is_hub


def natural_key(text: str) -> tuple[tuple[int, str], ...]:
    """Sorts `demo_2` before `demo_10`: numbers by value, everything else as text."""
    parts = re.split(r"([0-9]+)", text)
    return tuple((int(part), part) if part.isdecimal() else (-1, part) for part in parts)


def find_files(path: Path, *, extensions: frozenset[str], kind: str) -> tuple[SourceFile, ...]:
    """A file itself, or all files with one of the (lower-case, dotted) extensions below folders, in natural order.

    Args:
        path: a file of any name; a folder that is searched with all its subfolders; a pattern of files and folders
            (`*`, `?`, `[…]`, and `**` for any folders); any of these on the Hub. Hidden entries are left out.
        kind: what the files are called in messages.

    Raises:
        SourceError: nothing is there.
    """
    if is_hub(path):
        path = download(path, suffixes=extensions)
    if path.is_file():
        return (SourceFile(path=path, name=path.name),)
    top, entries = path, [path]
    if not path.exists() and MAGIC.search(str(path)):
        top, entries = _matching(path)
    elif not path.is_dir():
        raise SourceError("there is no such file or folder.", path=path, hint="Check the path.")
    found = {}
    for candidate in (file for entry in entries for file in (entry, *entry.rglob("*"))):
        relative = candidate.relative_to(top)
        hidden = any(part.startswith(".") for part in relative.parts)
        if candidate.suffix.lower() in extensions and not hidden and candidate.is_file():
            found[candidate] = SourceFile(path=candidate, name=relative.as_posix())
    if not found:
        where = "in this folder" if top == path else f"among {len(entries)} matches of this pattern"
        wanted = ", ".join(sorted(extensions))
        raise SourceError(f"no {kind} {where}.", path=path, hint=f"Files ending in {wanted} were looked for.")
    return tuple(sorted(found.values(), key=lambda file: natural_key(file.name)))


def _matching(pattern: Path) -> tuple[Path, list[Path]]:
    """The folder above the first part with a wildcard, and what the pattern matches below it."""
    plain = next(count for count, part in enumerate(pattern.parts) if MAGIC.search(part))
    top = Path(*pattern.parts[:plain])
    return top, list(top.glob(Path(*pattern.parts[plain:]).as_posix()))


def file_digest(path: Path) -> str:
    """Hex SHA-256 of the file's bytes, read as a stream."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content_digest(
    file_sha256: str,
    *,
    source: str,
    episode_id: str,
    cameras: tuple[Camera, ...],
    fps: float,
    options: SourceOptions,
) -> str:
    """Hex SHA-256 that identifies an episode by what is read: file bytes, episode, and the options that count.

    Args:
        file_sha256: of the recording.
        source: name of the source plugin.
        episode_id: name of the episode in the file.
        cameras: as resolved, so that naming the defaults changes nothing.
        fps: as resolved.
        options: of these, `instruction` counts beside the two above.
    """
    read: Mapping[str, object] = {
        "file": file_sha256,
        "source": source,
        "episode": episode_id,
        "cameras": [[camera.name, camera.recorded_name] for camera in cameras],
        "fps": fps,
        "instruction": options.instruction,
    }
    return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()


def refuse_filter_key(options: SourceOptions, *, path: Path) -> None:
    """Raises SourceError where a list of demos is asked for from a format that has none."""
    if options.filter_key is not None:
        raise SourceError(
            f"this format has no lists of demos, so there is no filter key {options.filter_key!r}.",
            path=path,
            hint="Leave the filter key out.",
        )


def refuse_resampling(options: SourceOptions, *, path: Path) -> None:
    """Raises SourceError where a format that has one clock already is to be brought to one."""
    if options.resample or options.tolerance_seconds is not None:
        raise SourceError(
            "only the sources folder and ros are resampled to one clock.",
            path=path,
            hint="Leave --resample and --tolerance-seconds out.",
        )
