"""Corrupt windows enter: lines of a ledger leave, and an error where there are too many."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from vpdata.errors import DamageError, LoaderError
from vpdata.loader.jobs import Job

MAX_SHARE = 0.001
MIN_WINDOWS = 10_000
MAX_IN_A_ROW = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrupt:
    """A window that could not be shown because its clip is damaged.

    Attributes:
        position, attempt: attempt 0 is the window that the position should show, k > 0 its k-th replacement.
        source: the mixture's name of the data set.
        shard: file name.
        key: of the clip.
        what: is damaged: member or camera, and how.
    """

    position: int
    attempt: int
    source: str
    shard: str
    key: str
    what: str

    @classmethod
    def of(cls, job: Job, error: DamageError) -> "Corrupt":
        """What stands in the ledger about a job that met this error."""
        return cls(
            position=job.position,
            attempt=job.attempt,
            source=job.source,
            shard=job.clip.shard,
            key=job.clip.key,
            what=error.what,
        )


class Ledger:
    """A file with one JSON object a line, each a `Corrupt`; a run that goes on does not enter a window again."""

    def __init__(self, path: Path) -> None:
        """Opens or creates the file. A last line that a crash cut off is removed."""
        self._path = path
        data = path.read_bytes() if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(path, len(whole))
        self._known = {(line["position"], line["attempt"]) for line in map(json.loads, whole.splitlines())}

    def enter(self, corrupt: Corrupt) -> None:
        """Appends a line and syncs it to disk, if the window is not there yet."""
        place = (corrupt.position, corrupt.attempt)
        if place in self._known:
            return
        self._known.add(place)
        with self._path.open("a") as file:
            file.write(json.dumps(asdict(corrupt)) + "\n")
            file.flush()
            os.fsync(file.fileno())


class Tolerance:
    """Counts, and fails a run that has more corrupt windows than a data set may be expected to have.

    Corrupt windows may be 0.1 % of those that this process delivered since it began, or of 10 000 where it delivered
    fewer; and 99 in a row. Replacements that were corrupt themselves count.
    """

    def __init__(self) -> None:
        self.num_windows = 0
        self.num_corrupt = 0
        self._in_a_row = 0

    def good(self) -> None:
        """Counts a window that came as it should."""
        self.num_windows += 1
        self._in_a_row = 0

    def replaced(self) -> None:
        """Counts a window that came in place of corrupt ones."""
        self.num_windows += 1

    def corrupt(self, corrupt: Corrupt) -> None:
        """Counts a corrupt window.

        Raises:
            LoaderError: it is one too many.
        """
        self.num_corrupt += 1
        self._in_a_row += 1
        if self._in_a_row >= MAX_IN_A_ROW:
            self._fail(corrupt, f"{self._in_a_row} windows in a row are corrupt")
        if self.num_corrupt > MAX_SHARE * max(MIN_WINDOWS, self.num_windows):
            self._fail(corrupt, f"{self.num_corrupt} of {self.num_windows} windows are corrupt, over {MAX_SHARE:.1%}")

    def _fail(self, corrupt: Corrupt, what: str) -> None:
        raise LoaderError(
            f"{what}; the last one, at position {corrupt.position}, because {corrupt.what}",
            path=f"{corrupt.source}/{corrupt.shard}",
            episode=corrupt.key,
            hint="`vpdata validate` lists all damage of a data set, `vpdata repair` drops damaged clips.",
        )
