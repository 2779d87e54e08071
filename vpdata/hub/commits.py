"""What a branch shall hold in, the commits on the Hugging Face Hub until it holds just that out.

Everything is derived from what is here and what the branch holds at its head: whatever interrupts it, the same call
goes on from there. In the end the Hub's own hashes are held against ours.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from vpdata import __version__
from vpdata.errors import HubError, ShardError
from vpdata.hub.api import File, Head, PassingFault, Repository
from vpdata.hub.plan import CARD_NAME, Step
from vpdata.shards.files import sha256_of

TRIES = 6
"""Times in a row that a commit may fail without any progress."""
FIRST_WAIT_SECONDS = 1.0
MAX_WAIT_SECONDS = 310.0
"""What the Hub may ask to wait: its limits are over windows of 5 minutes."""
_HASHING_THREADS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where a branch is (None: nowhere yet), what it shall hold by path, and what is to be done."""

    head: Head | None
    files: Mapping[str, File]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What was done, or would be: of which commit, files and bytes that were new, files that went, commits."""

    commit: str
    num_files: int
    num_bytes: int
    num_deleted: int
    num_commits: int


def card_at(repository: Repository, head: Head | None) -> str:
    """The card that the branch has, "" where it has none."""
    if head is None or CARD_NAME not in head.files:
        return ""
    return repository.read(CARD_NAME, commit=head.commit).decode()


def planned(state: State) -> Sent:
    """What `carry_out` would do at this state."""
    return _sent("", state.files, state.steps)


def carry_out(
    repository: Repository,
    state: Callable[[], State],
    *,
    private: bool,
    what: str,
    progress: Callable[[int], object] = lambda _: None,
) -> Sent:
    """Makes commits until there is nothing to do: until the Hub's hashes of all files are those of the files here.

    Args:
        repository: made where it does not exist.
        state: looks at the branch.
        private: whether a new repository is private; an existing one stays as it is.
        what: is published, for the last commit's title.
        progress: called with the number of bytes that were published since the last call.

    Raises:
        HubError: the Hub refuses, keeps other bytes, or does not answer for long.
        ShardError: a file here is damaged.
    """
    done: list[Step] = []
    made, failures = "", 0
    while True:
        try:
            now = state()
            if now.head is None:
                repository.make(private=private)
                now = state()
            if now.head is None:
                raise PassingFault("the repository was made, and is not there yet.", path=repository.url)
            if not now.steps:
                return _sent(now.head.commit, now.files, done)
            if now.head.commit == made:
                path = next(path for step in now.steps for path in (*step.add, *step.delete))
                raise HubError("what was published has other hashes there.", path=f"{repository.url}/{path}")
            made = now.head.commit
            for step in now.steps:
                made = _make(repository, step, now.files, parent=made, what=what)
                done.append(step)
                failures = 0
                progress(sum(now.files[path].size for path in step.add))
        except PassingFault as fault:
            failures += 1
            made = ""
            if failures == TRIES:
                raise
            time.sleep(max(FIRST_WAIT_SECONDS * 2 ** (failures - 1), min(fault.wait_seconds, MAX_WAIT_SECONDS)))


def _make(repository: Repository, step: Step, files: Mapping[str, File], *, parent: str, what: str) -> str:
    """One commit on top of `parent`, after checking the files here; returns it."""
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        for path, sha256 in zip(step.add, pool.map(lambda path: _sha256(files[path]), step.add), strict=True):
            if sha256 != files[path].sha256:
                raise _damaged(files[path])
    operations = repository.upload({path: files[path] for path in step.add})
    done = f"Publish {what}" if step.is_last else f"Add {len(step.add)} files" if step.add else "Remove files"
    return repository.commit(operations, delete=step.delete, title=f"{done} (vpdata {__version__})", parent=parent)


def _sha256(file: File) -> str:
    return hashlib.sha256(file.source).hexdigest() if isinstance(file.source, bytes) else sha256_of(file.source)


def _damaged(file: File) -> ShardError:
    hint = (
        "Nothing wrong is published. A data set's damage is listed by `vpdata validate` and mended by `vpdata repair`."
    )
    return ShardError("is damaged (its SHA-256 is another one).", path=str(file.source), hint=hint)


def _sent(commit: str, files: Mapping[str, File], done: Sequence[Step]) -> Sent:
    added = [files[path] for step in done for path in step.add]
    return Sent(
        commit=commit,
        num_files=len(added),
        num_bytes=sum(file.size for file in added),
        num_deleted=sum(len(step.delete) for step in done),
        num_commits=len(done),
    )
