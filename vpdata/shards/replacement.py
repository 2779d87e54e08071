"""New files of a data set in; the data set that was there replaced by them, at one moment, out.

Files are made in `DIR/.repair/`. Once all are there, `journal.json` says what moves up and what goes; then the files
move, the manifest last, and those that only the old data set had go. Until the manifest moves, the old data set is
there. After a kill at any moment, the next run clears the folder where there is no journal, and else carries it out.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vpdata.errors import VpdataError
from vpdata.shards.files import locked_file, sync, write_whole
from vpdata.shards.manifest import MANIFEST_NAME

FOLDER = ".repair"
LOCK = "lock"
JOURNAL = "journal.json"
NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP)


class Replacement:
    """The folder in which the new files of a data set are made."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.folder = target / FOLDER

    def take(self, path: Path) -> None:
        """Puts a file of another data set among the new ones, as a hard link where the file system can."""
        new = self.folder / path.name
        try:
            os.link(path, new)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            shutil.copyfile(path, new)
            sync(new)

    def publish(self, *, add: Sequence[str], remove: Sequence[str], manifest: bytes) -> None:
        """Moves the files `add` up, then the manifest; then the files `remove` of the old data set go."""
        write_whole(self.folder / MANIFEST_NAME, manifest)
        sync(self.folder)
        write_whole(self.folder / JOURNAL, json.dumps({"add": list(add), "remove": list(remove)}).encode())
        self._carry_out()

    def _resume(self) -> None:
        """Finishes what an interrupted `publish` began, or clears what was left of work before it."""
        if self._is_ready():
            self._carry_out()
        for path in self.folder.iterdir():
            if path.name != LOCK:
                path.unlink()

    def close(self) -> None:
        """Removes the folder unless its files are still to be moved, and a target that stayed empty."""
        if self._is_ready():
            return
        shutil.rmtree(self.folder)
        if not any(self.target.iterdir()):
            self.target.rmdir()

    def _is_ready(self) -> bool:
        return (self.folder / JOURNAL).exists()

    def _carry_out(self) -> None:
        journal = json.loads((self.folder / JOURNAL).read_bytes())
        for name in (*journal["add"], MANIFEST_NAME):
            if name == MANIFEST_NAME:
                sync(self.target)
            if (self.folder / name).exists():
                (self.folder / name).rename(self.target / name)
        sync(self.target)
        for name in journal["remove"]:
            (self.target / name).unlink(missing_ok=True)
        (self.folder / JOURNAL).unlink()


@contextmanager
def replacing(target: Path) -> Iterator[Replacement]:
    """The replacement of the data set at `target`, new or not, for this process alone; its folder goes at the end.

    Raises:
        VpdataError: another repair works there. The lock of a dead process does not count.
    """
    replacement = Replacement(target)
    replacement.folder.mkdir(parents=True, exist_ok=True)
    busy = VpdataError("another repair is at work here.", path=target, hint="Wait for it.")
    with locked_file(replacement.folder / LOCK, busy=busy):
        try:
            replacement._resume()
            yield replacement
        finally:
            replacement.close()


def finish_interrupted(target: Path) -> bool:
    """Clears up after a repair that was killed; had it made all new files, they move now. False if there was none."""
    if not (target / FOLDER).is_dir():
        return False
    with replacing(target):
        return True
