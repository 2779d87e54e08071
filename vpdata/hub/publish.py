"""A data set folder in, the same data set in a repository of the Hugging Face Hub out, resumably and all at once.

Everything is derived from what is here and what the branch holds at its head: whatever interrupts it, the same call
goes on from there. In the end the Hub's own hashes are held against the manifest's.
"""

import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from vpdata import __version__
from vpdata.errors import HubError, ShardError
from vpdata.hub.api import BRANCH, File, Head, PassingFault, Repository
from vpdata.hub.card import write_card
from vpdata.hub.licences import licence_of
from vpdata.hub.pictures import draw_pictures
from vpdata.hub.plan import CARD_NAME, Step, steps
from vpdata.hub.scan import Finding, scan
from vpdata.shards.dataset import Dataset
from vpdata.shards.files import sha256_of
from vpdata.shards.manifest import MANIFEST_NAME, parse_manifest

MAX_FOLDER_FILES = 10_000
"""Entries that the Hub permits in a folder."""
OTHER_ENTRIES = 5
"""Beside the shards: manifest, index, card, the folder of its pictures, `.gitattributes`."""
TRIES = 6
"""Times in a row that a commit may fail without any progress."""
FIRST_WAIT_SECONDS = 1.0
MAX_WAIT_SECONDS = 310.0
"""What the Hub may ask to wait: its limits are over windows of 5 minutes."""
SHOWN = 8
"""Findings that a message lists."""
_HASHING_THREADS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What was done, or would be.

    Attributes:
        url: of the data set at its commit; of the branch for a dry run.
        digest: of the data set.
        licence: under which it is published.
        num_files, num_bytes: that were new to the branch.
        num_deleted: files that went.
        num_commits: that were made; 0 where the branch held all of it already.
    """

    url: str
    digest: str
    licence: str
    num_files: int
    num_bytes: int
    num_deleted: int
    num_commits: int


def publish(
    dataset: Dataset,
    repo_id: str,
    *,
    private: bool = False,
    branch: str = BRANCH,
    licence: str | None = None,
    allow: Collection[str] = (),
    dry_run: bool = False,
    progress: Callable[[int], object] = lambda _: None,
) -> Published:
    """Makes a branch of a repository hold a data set; what it holds already stays.

    Args:
        dataset: in a folder.
        repo_id: `USER/NAME`. It is made where it does not exist.
        private: whether a new repository is private; an existing one stays as it is.
        branch: made from `main` where it does not exist.
        licence: see `licence_of`.
        allow: kinds of findings (`vpdata.hub.scan.KINDS`) that may be published.
        dry_run: only look.
        progress: called with the number of bytes that were published since the last call.

    Raises:
        HubError: the licence is unknown, something in the data set should perhaps not leave, there are too many shards,
            the Hub refuses, or does not answer for long.
        ShardError: a file here is missing or damaged.
    """
    _refuse_missing(dataset)
    _refuse_too_many(dataset)
    licences = licence_of(dataset, named=licence)
    _refuse_findings(dataset, scan(dataset), allow)
    repository = Repository(repo_id, branch=branch)
    pictures = draw_pictures(dataset)

    def state() -> _State:
        head = repository.head()
        old = b"" if head is None or CARD_NAME not in head.files else repository.read(CARD_NAME, commit=head.commit)
        text = write_card(dataset, repo_id=repo_id, licences=licences, pictures=tuple(pictures), old=old.decode())
        files = _files(dataset, {CARD_NAME: text.encode(), **pictures})
        there = {} if head is None else head.files
        return _State(head=head, files=files, steps=steps(files, there, visible=_visible(repository, head)))

    if dry_run:
        first = state()
        return _published(dataset, repository.url, licences.name, first.files, first.steps)
    url, files, done = _carry_out(repository, state, private=private, progress=progress)
    return _published(dataset, url, licences.name, files, done)


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """Where the branch is, what it shall hold, and what is to be done."""

    head: Head | None
    files: Mapping[str, File]
    steps: tuple[Step, ...]


def _carry_out(
    repository: Repository, state: Callable[[], _State], *, private: bool, progress: Callable[[int], object]
) -> tuple[str, Mapping[str, File], list[Step]]:
    """Makes commits until there is nothing to do: until the Hub's hashes of all files are those of the files here.

    Returns the URL with the commit, the files, and what was done.
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
                return f"hf://datasets/{repository.repo_id}@{now.head.commit}", now.files, done
            if now.head.commit == made:
                path = next(path for step in now.steps for path in (*step.add, *step.delete))
                raise HubError("what was published has other hashes there.", path=f"{repository.url}/{path}")
            made = now.head.commit
            for step in now.steps:
                made = _make(repository, step, now.files, parent=made)
                done.append(step)
                failures = 0
                progress(sum(now.files[path].size for path in step.add))
        except PassingFault as fault:
            failures += 1
            made = ""
            if failures == TRIES:
                raise
            time.sleep(max(FIRST_WAIT_SECONDS * 2 ** (failures - 1), min(fault.wait_seconds, MAX_WAIT_SECONDS)))


def _make(repository: Repository, step: Step, files: Mapping[str, File], *, parent: str) -> str:
    """One commit on top of `parent`, after checking the files here; returns it."""
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        for path, sha256 in zip(step.add, pool.map(lambda path: _sha256(files[path]), step.add), strict=True):
            if sha256 != files[path].sha256:
                raise _damaged(files[path])
    operations = repository.upload({path: files[path] for path in step.add})
    what = "Publish" if step.is_last else f"Add {len(step.add)}" if step.add else f"Remove {len(step.delete)}"
    title = f"{what} {'data set' if step.is_last else 'files'} (vpdata {__version__})"
    return repository.commit(operations, delete=step.delete, title=title, parent=parent)


def _sha256(file: File) -> str:
    return hashlib.sha256(file.source).hexdigest() if isinstance(file.source, bytes) else sha256_of(file.source)


def _damaged(file: File) -> ShardError:
    hint = "`vpdata validate` lists all damage; mend it with `vpdata repair`, and nothing wrong is published."
    return ShardError("is damaged (its SHA-256 is not the manifest's).", path=str(file.source), hint=hint)


def _files(dataset: Dataset, others: Mapping[str, bytes]) -> dict[str, File]:
    """All that the repository shall hold, the manifest last."""
    manifest, folder = dataset.manifest, dataset.path
    index = manifest.index
    files = {s.name: File(source=folder / s.name, size=s.size, sha256=s.sha256) for s in manifest.shards}
    files[index.name] = File(source=folder / index.name, size=index.size, sha256=index.sha256)
    for path, data in {**others, MANIFEST_NAME: (folder / MANIFEST_NAME).read_bytes()}.items():
        files[path] = File(source=data, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    if files[MANIFEST_NAME].sha256 != dataset.digest:
        raise ShardError("the data set was replaced while it was read.", path=folder, hint="Publish it again.")
    return files


def _visible(repository: Repository, head: Head | None) -> frozenset[str]:
    """What the manifest at the head names; all of it where that manifest is none that this vpdata reads."""
    if head is None or MANIFEST_NAME not in head.files:
        return frozenset()
    try:
        manifest = parse_manifest(repository.read(MANIFEST_NAME, commit=head.commit), place=repository.url)
    except ShardError:
        return frozenset(head.files)
    return frozenset({manifest.index.name, *(shard.name for shard in manifest.shards)})


def _published(dataset: Dataset, url: str, licence: str, files: Mapping[str, File], done: Sequence[Step]) -> Published:
    added = [files[path] for step in done for path in step.add]
    return Published(
        url=url,
        digest=dataset.digest,
        licence=licence,
        num_files=len(added),
        num_bytes=sum(file.size for file in added),
        num_deleted=sum(len(step.delete) for step in done),
        num_commits=len(done),
    )


def _refuse_missing(dataset: Dataset) -> None:
    for shard in dataset.manifest.shards:
        path = dataset.path / shard.name
        if not path.is_file():
            hint = f"`vpdata validate {dataset.place}` lists all damage."
            raise ShardError("the shard is missing.", path=path, hint=hint)


def _refuse_too_many(dataset: Dataset) -> None:
    num_shards = len(dataset.manifest.shards)
    if num_shards + OTHER_ENTRIES > MAX_FOLDER_FILES:
        what = f"{num_shards} shards are too many for the Hub: a folder holds {MAX_FOLDER_FILES} entries."
        hint = "Lay the clips out in larger shards: vpdata reshard DIR --shard-frames N --out NEW."
        raise HubError(what, path=dataset.place, hint=hint)


def _refuse_findings(dataset: Dataset, findings: Sequence[Finding], allow: Collection[str]) -> None:
    stopping = [finding for finding in findings if finding.kind not in allow]
    if not stopping:
        return
    shown = "; ".join(f"{one.kind}: {one.text!r} ({one.where})" for one in stopping[:SHOWN])
    more = f"; {len(stopping) - SHOWN} more" if len(stopping) > SHOWN else ""
    kinds = " ".join(f"--allow {kind}" for kind in dict.fromkeys(finding.kind for finding in stopping))
    what = f"some things in it should perhaps not be published: {shown}{more}."
    raise HubError(what, path=dataset.place, hint=f"Change them with `vpdata relabel`, or publish them: {kinds}.")
