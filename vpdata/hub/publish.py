"""A data set folder in, the same data set in a repository of the Hugging Face Hub out, resumably and all at once."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from vpdata.errors import HubError, ShardError
from vpdata.hub.api import BRANCH, File, Head, Repository
from vpdata.hub.card import write_card
from vpdata.hub.commits import Sent, State, card_at, carry_out, planned
from vpdata.hub.licences import licence_of
from vpdata.hub.pictures import draw_pictures
from vpdata.hub.plan import CARD_NAME, steps
from vpdata.hub.scan import refuse, scan
from vpdata.shards.dataset import Dataset
from vpdata.shards.manifest import MANIFEST_NAME, parse_manifest

MAX_FOLDER_FILES = 10_000
"""Entries that the Hub permits in a folder."""
OTHER_ENTRIES = 5
"""Beside the shards: manifest, index, card, the folder of its pictures, `.gitattributes`."""


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
    refuse(scan(dataset), allow=allow, path=dataset.place, remedy="Change them with `vpdata relabel`")
    repository = Repository(repo_id, branch=branch)
    pictures = draw_pictures(dataset)

    def state() -> State:
        head = repository.head()
        old = card_at(repository, head)
        text = write_card(dataset, repo_id=repo_id, licences=licences, pictures=tuple(pictures), old=old)
        files = _files(dataset, {CARD_NAME: text.encode(), **pictures})
        there = {} if head is None else head.files
        return State(head=head, files=files, steps=steps(files, there, visible=_visible(repository, head)))

    if dry_run:
        return _published(dataset, repository.url, licences.name, planned(state()))
    sent = carry_out(repository, state, private=private, what="data set", progress=progress)
    return _published(dataset, f"hf://datasets/{repo_id}@{sent.commit}", licences.name, sent)


def _files(dataset: Dataset, others: Mapping[str, bytes]) -> dict[str, File]:
    """All that the repository shall hold, the manifest last."""
    manifest, folder = dataset.manifest, dataset.path
    index = manifest.index
    files = {s.name: File(source=folder / s.name, size=s.size, sha256=s.sha256) for s in manifest.shards}
    files[index.name] = File(source=folder / index.name, size=index.size, sha256=index.sha256)
    for path, data in {**others, MANIFEST_NAME: (folder / MANIFEST_NAME).read_bytes()}.items():
        files[path] = File.of(data)
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
    return frozenset(manifest.sizes)


def _published(dataset: Dataset, url: str, licence: str, sent: Sent) -> Published:
    return Published(
        url=url,
        digest=dataset.digest,
        licence=licence,
        num_files=sent.num_files,
        num_bytes=sent.num_bytes,
        num_deleted=sent.num_deleted,
        num_commits=sent.num_commits,
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
