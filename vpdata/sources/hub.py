"""Recordings on the Hugging Face Hub: `hf://datasets/USER/NAME[@REVISION][/INSIDE]` enters, a local path leaves.

INSIDE is a file, a folder or a pattern (`data/*.tar`). Only the files that are wanted are downloaded, into the Hub
client's own cache, at the commit that the revision (or else `main`) is at.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vpdata.errors import SourceError

_URL = re.compile(r"hf:/+datasets/(?P<repo>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?(/(?P<inside>.+))?")
_SNAPSHOT = re.compile(r".*/datasets--(?P<user>.+?)--(?P<name>[^/]+)/snapshots/(?P<commit>[0-9a-f]{40})/(?P<inside>.+)")
MAGIC = re.compile(r"[*?[]")
"""What makes a path a pattern."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubPath:
    """A place in a data set of the Hub; `inside` is empty for all of it, `revision` for `main`."""

    repo: str
    revision: str
    inside: str

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf://datasets/{self.repo}{revision}" + (f"/{self.inside}" if self.inside else "")


def is_hub(path: Path) -> bool:
    """Whether a SRC is one of the Hub; as a `Path` the URL has lost a slash."""
    return path.parts[:1] == ("hf:",)


def hub_path(path: Path) -> HubPath:
    """The parts of such a SRC. Raises SourceError where it names no data set."""
    found = _URL.fullmatch(path.as_posix())
    if found is None:
        what = "this is no data set of the Hub."
        url = path.as_posix().replace("hf:/", "hf://", 1)
        raise SourceError(what, path=url, hint="Write hf://datasets/USER/NAME[@REVISION][/INSIDE].")
    return HubPath(repo=found["repo"], revision=found["revision"] or "", inside=found["inside"] or "")


def download(path: Path, *, suffixes: Collection[str], beside: Collection[str] = ()) -> Path:
    """Where the files of a SRC of the Hub lie on this machine, downloaded if they were not.

    Args:
        path: as `hub_path` reads it.
        suffixes: lower-case and dotted; of a folder only files with one of these are downloaded, with all its folders.
            Empty: all files.
        beside: suffixes of files that are wanted beside each of the others, under its name.

    Returns:
        INSIDE within the snapshot: a file, a folder, or a path with the pattern.

    Raises:
        SourceError: this is no data set, there is none of that name, revision or content, or it cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    wanted = hub_path(path)
    try:
        folder = snapshot_download(
            wanted.repo,
            repo_type="dataset",
            revision=wanted.revision.replace("%2F", "/") or None,
            allow_patterns=_patterns(wanted.inside, suffixes, beside),
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        hint = "Check its name and the network; for a private one log in with `hf auth login`, or set HF_TOKEN."
        raise SourceError(f"it cannot be downloaded ({reason}).", path=str(wanted), hint=hint) from error
    local = Path(folder, wanted.inside)
    if not MAGIC.search(wanted.inside) and not local.exists():
        listed = f" with {', '.join(sorted(suffixes))}" if suffixes else ""
        what = f"the data set has no such file, and no folder of that name that holds files{listed}."
        raise SourceError(what, path=str(wanted), hint="Look at its files on the Hub.")
    return local


def origin(path: Path) -> str | None:
    """The URL, with the commit, of a file that `download` fetched; None for any other."""
    found = _SNAPSHOT.fullmatch(path.absolute().as_posix())
    if found is None:
        return None
    return str(HubPath(repo=f"{found['user']}/{found['name']}", revision=found["commit"], inside=found["inside"]))


def _patterns(inside: str, suffixes: Collection[str], beside: Collection[str]) -> list[str] | None:
    """Patterns of the Hub's client, whose `*` also matches slashes, and so none as well as some folders."""
    folder = f"{inside}/" if inside else ""
    if PurePosixPath(inside).suffix.lower() in suffixes:
        wanted = [inside]
    elif suffixes:
        spelled = sorted({suffix for lower in suffixes for suffix in (lower, lower.upper())})
        wanted = [*([inside] if inside else []), *(f"{folder}*{suffix}" for suffix in spelled)]
    elif inside:
        wanted = [inside, f"{folder}*"]
    else:
        return None
    wanted = [pattern.replace("**/", "") for pattern in wanted]
    return [*wanted, *(str(PurePosixPath(pattern).with_suffix(suffix)) for pattern in wanted for suffix in beside)]
