"""The folder `OUT.partial` beside OUT, where an export is made: who works on it, and how it gets its name at last.

Enters: the place of an export, and the digest of all that decides it. Leaves: a folder that the same export, stopped
before, may have left pieces in.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av

from vpdata import __version__
from vpdata.errors import ExportError
from vpdata.shards.dataset import Dataset
from vpdata.shards.files import PARTIAL, full_disk_as_error, locked_file, sync, write_whole

LOCK = "lock"
DIGEST = "digest"


def digest_of(datasets: Sequence[Dataset], options: Mapping[str, Any]) -> str:
    """Hex SHA-256 over the data sets, the options, and the versions of what writes."""
    versions = {"vpdata": __version__, "av": av.__version__, "ffmpeg": av.library_versions}
    value = [[dataset.digest for dataset in datasets], dict(options), versions]
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def refuse_existing(out: Path, *, empty_folder: bool) -> None:
    """Raises ExportError unless OUT is new, or an empty folder where that may be."""
    if (out.exists() or out.is_symlink()) and not (empty_folder and out.is_dir() and not any(out.iterdir())):
        raise ExportError("something is there already.", path=out, hint="Choose a new place with --out.")


@contextmanager
def unfinished(out: Path, *, digest: str) -> Iterator[Path]:
    """The working folder of this process alone; it is kept where an exception leaves, and removed otherwise.

    What another export left there is removed first; what the same one left is not.

    Raises:
        ExportError: another command works there, or it holds what no export left.
        VpdataError: the disk is full, or nothing may be written there.
    """
    folder = out.absolute().with_name(out.absolute().name + PARTIAL)
    with full_disk_as_error(folder.parent):
        folder.mkdir(parents=True, exist_ok=True)
    hint = "Wait for it, or choose another place with --out."
    busy = ExportError("another command is exporting there.", path=out, hint=hint)
    with locked_file(folder / LOCK, busy=busy):
        with full_disk_as_error(folder.parent):
            _make_ready(folder, digest)
            yield folder
        shutil.rmtree(folder)


def publish(made: Path, out: Path) -> None:
    """Gives a finished file or folder its name, durably."""
    for path in [made, *made.rglob("*")]:
        sync(path)
    made.rename(out)
    sync(out.parent)


def _make_ready(folder: Path, digest: str) -> None:
    noted = folder / DIGEST
    if noted.exists() and noted.read_text() == digest:
        return
    others = [path for path in folder.iterdir() if path.name not in (LOCK, DIGEST, DIGEST + PARTIAL)]
    if others and not noted.exists():
        what = f"the folder holds what no export left ({others[0].name}), and would be removed."
        raise ExportError(what, path=folder, hint="Choose another place with --out.")
    for path in others:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_whole(noted, digest.encode())
