"""WebDataset tars of videos: `KEY.mp4` with `KEY.txt` or `KEY.json` beside it.

Enters: the path of a plain tar. Leaves: a `Shot` for every key, whose video is read where it lies in the tar; nothing
is unpacked. Only headers are read to find them.
"""

import tarfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from vpdata.errors import SourceError
from vpdata.sources import about
from vpdata.sources.about import About
from vpdata.sources.place import FilePart
from vpdata.sources.shot import Shot

_TEXTS = ("txt", "json")
_BLOCK = 512
_COPY_HINT = "Copy or download it again."

Members = Mapping[str, Mapping[str, FilePart]]


def tar_shots(
    path: Path, *, file: str, recorded: str, main: str, extensions: frozenset[str]
) -> list[Shot | SourceError]:
    """The videos of a tar in its order; a key that cannot be used comes as the error that says why.

    Args:
        path: the tar.
        file: by which it is known.
        recorded: the video of a key that is wanted (`front.mp4`), or `main` for the only one.
        main: the name for the only one.
        extensions: of videos, dotted and in lower case.

    Raises:
        SourceError: this is no plain tar, it is cut off or damaged, or has no videos.
    """
    found: list[Shot | SourceError] = []
    samples = read_members(path)
    if not any(_videos(parts, extensions) for parts in samples.values()):
        raise SourceError("there are no videos in this tar.", path=path, hint="Choose another file.")
    for key, parts in samples.items():
        try:
            place = _chosen(parts, key, recorded=recorded, main=main, extensions=extensions, path=path)
            found.append(Shot(place=place, file=file, name=key, about=_about(parts, path)))
        except SourceError as error:
            found.append(error)
    return found


def tar_place(path: Path, key: str, *, recorded: str, main: str, extensions: frozenset[str]) -> FilePart:
    """Where the video of a key lies. Raises SourceError as `tar_shots` does."""
    return _chosen(read_members(path)[key], key, recorded=recorded, main=main, extensions=extensions, path=path)


def read_members(path: Path) -> Members:
    """Where the files of each key lie, by what follows the key's dot; read again only when the tar has changed.

    Raises:
        SourceError: this is no plain tar, it is cut off or damaged, or a name comes twice.
    """
    status = path.stat()
    return _read(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _read(path: Path, _changed_ns: int, size: int) -> Members:
    samples: dict[str, dict[str, FilePart]] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.issym() or member.islnk():
                    what = "the member is a link to a file."
                    raise SourceError(
                        what, path=path, episode=member.name, hint="Write the tar again, with files only."
                    )
                folder, _, name = member.name.removeprefix("./").rpartition("/")
                stem, _, ending = name.partition(".")
                if not member.isfile() or not stem:
                    continue
                key = f"{folder}/{stem}" if folder else stem
                part = FilePart(path=path, offset=member.offset_data, size=member.size, name=member.name)
                if part.offset + part.size > size or member.issparse():
                    raise SourceError("the member is cut off.", path=path, episode=member.name, hint=_COPY_HINT)
                if samples.setdefault(key, {}).setdefault(ending.lower(), part) is not part:
                    what = "two members have this name, so that one would be lost."
                    raise SourceError(what, path=path, episode=member.name, hint="Write the tar again.")
            stopped = tar.offset
    except (tarfile.TarError, OSError) as error:
        what = f"this is no plain tar, or one that is cut off or damaged ({error})."
        raise SourceError(what, path=path, hint=f"{_COPY_HINT} Decompress a .tar.gz first.") from error
    _check_end(path, stopped)
    return MappingProxyType(samples)


def _check_end(path: Path, stopped: int) -> None:
    """Python's reader takes a header that is cut off or damaged for the end, which is two blocks of zeros."""
    with path.open("rb") as file:
        file.seek(stopped)
        end = file.read(2 * _BLOCK)
    if end != bytes(2 * _BLOCK):
        what = f"after byte {stopped} there is neither a member nor the end of a tar: it is cut off or damaged."
        raise SourceError(what, path=path, hint=_COPY_HINT)


def _videos(parts: Mapping[str, FilePart], extensions: frozenset[str]) -> list[str]:
    return [ending for ending in parts if "." + ending.rpartition(".")[2] in extensions]


def _chosen(
    parts: Mapping[str, FilePart], key: str, *, recorded: str, main: str, extensions: frozenset[str], path: Path
) -> FilePart:
    videos = _videos(parts, extensions)
    wanted = videos if recorded == main else [ending for ending in videos if ending == recorded]
    if len(wanted) != 1:
        there = ", ".join(videos) or "none"
        name = "one video" if recorded == main else f"video {recorded!r}"
        hint = "Choose one with --camera NAME=ENDING." if videos else "Give the key a video, or leave it out."
        raise SourceError(f"the key has not {name}; its videos: {there}.", path=path, episode=key, hint=hint)
    return parts[wanted[0]]


def _about(parts: Mapping[str, FilePart], path: Path) -> About:
    said = About()
    with path.open("rb") as file:
        for ending in _TEXTS:
            if ending in parts:
                file.seek(parts[ending].offset)
                said |= about.from_file(file.read(parts[ending].size), name=parts[ending].name, path=path)
    return said
