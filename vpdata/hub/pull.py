"""The URL of a data set in, the same data set in a folder out; or a part of it, which is a data set as well.

All of it comes file by file and ends as the very same bytes. Whole files wait in `OUT/.pull/` under their SHA-256,
those under way beside them; at the end they get their names, the manifest last. A part is made by the set operations:
only the blocks with its clips are fetched, through the cache of remote data sets.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from vpdata.errors import DamageError, HubError
from vpdata.mixture.split import Split
from vpdata.sets.labels import Labels
from vpdata.sets.plan import SetPlan, make_plan
from vpdata.sets.write import write
from vpdata.shards.dataset import Dataset
from vpdata.shards.files import PARTIAL, full_disk_as_error, locked_file, publish, sha256_of, sync, write_whole
from vpdata.shards.manifest import (
    MANIFEST_NAME,
    ORIGIN_NAME,
    FileInfo,
    Manifest,
    ShardInfo,
    parse_manifest,
    read_manifest,
)
from vpdata.shards.transfer import Patience, RemoteFolder

STAGING = ".pull"
CHUNK_BYTES = 16 * 1024 * 1024
LOCK = "lock"
PATIENCE = Patience(total_seconds=310.0)
"""The Hub's limits are over windows of 5 minutes, and nobody waits for a worker here."""
DOWNLOADS = 3
"""Times that a file with wrong bytes is fetched."""
THREADS = 4


def pull(
    url: str, out: Path, *, patience: Patience = PATIENCE, progress: Callable[[int], object] = lambda _: None
) -> str:
    """Downloads a data set, or what is missing of it.

    Args:
        url: of its folder. A revision of the Hub is looked up once.
        out: the folder to make; new, empty, or what an interrupted run left.
        patience: with faults of the network.
        progress: called with the number of bytes that arrived since the last call.

    Returns:
        The URL, of the Hub with the commit; it is in `OUT/origin.json` as well.

    Raises:
        ShardError: there is no data set, or the network's faults did not pass; what has arrived is kept.
        HubError: OUT holds something else.
        VpdataError: the disk is full, or another command works at OUT.
    """
    folder = RemoteFolder(url, patience=patience)
    folder.pin()
    data = folder.read(MANIFEST_NAME)
    manifest = parse_manifest(data, place=folder.url)
    digest = hashlib.sha256(data).hexdigest()
    if _is_finished(out, digest):
        return folder.url
    with _staging(out) as staging, full_disk_as_error(out):
        files: tuple[ShardInfo | FileInfo, ...] = (*manifest.shards, manifest.index)
        _remove_strays(staging, out, files)
        with ThreadPoolExecutor(THREADS) as pool:
            fetched = [pool.submit(_fetch, folder, file, staging, out, progress) for file in files]
            try:
                for one in fetched:
                    one.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        for file in files:
            if (staging / file.sha256).exists():
                (staging / file.sha256).rename(out / file.name)
        _write_origin(out, url=folder.url, digest=digest)
        sync(out)
        write_whole(out / MANIFEST_NAME, data)
    return folder.url


def choose(
    dataset: Dataset,
    *,
    tasks: Sequence[str] = (),
    split: Split | None = None,
    held_out: bool = False,
    cameras: Sequence[str] = (),
) -> SetPlan:
    """The plan of a data set with a part of another: `pull_part` carries it out.

    Args:
        dataset: to take from, anywhere.
        tasks: only their clips; empty: all.
        split: only the episodes of one side, `held_out` or not.
        cameras: only these; clips with none of them are left out. Empty: all.

    Raises:
        HubError: there is no such task or camera.
        SetError: nothing is left.
    """
    index = dataset.index
    kept = np.ones(len(index), np.bool_)
    if tasks:
        known = index.codes("task").values
        for task in tasks:
            if not task or task not in known:
                raise HubError(f"there is no task {task!r}.", path=dataset.place, hint=f"Tasks: {_listed(known)}.")
        kept &= np.isin(index.codes("task").codes, [known.index(task) for task in tasks])
    if split is not None:
        kept &= split.held_out(index) == held_out
    if cameras:
        layouts = [[camera["name"] for camera in json.loads(text)] for text in index.codes("cameras").values]
        named = {name for layout in layouts for name in layout}
        for camera in cameras:
            if camera not in named:
                raise HubError(
                    f"there is no camera {camera!r}.", path=dataset.place, hint=f"Cameras: {_listed(named)}."
                )
        with_any = [i for i, layout in enumerate(layouts) if set(layout) & set(cameras)]
        kept &= np.isin(index.codes("cameras").codes, with_any)
    rows = np.flatnonzero(kept)
    arguments = {"tasks": list(tasks), "split": _described(split, held_out=held_out), "cameras": list(cameras)}
    return make_plan(
        "pull",
        arguments,
        [dataset],
        np.zeros_like(rows),
        rows,
        labels=Labels(only_cameras=tuple(cameras)) if cameras else None,
        relabelled=np.ones(len(rows), np.bool_) if cameras else None,
        reason="not pulled.",
    )


def pull_part(plan: SetPlan, out: Path, *, progress: Callable[[int], object] = lambda _: None) -> Manifest:
    """Makes the data set of a plan of `choose` and notes where it came from; see `vpdata.sets.write.write`."""
    (dataset,) = plan.datasets
    manifest = write(plan, out, progress=progress)
    _write_origin(out, url=dataset.place, digest=dataset.digest)
    return manifest


def _write_origin(out: Path, *, url: str, digest: str) -> None:
    """Notes in a folder where its data set was pulled from: the URL, and the digest of the data set there."""
    write_whole(out / ORIGIN_NAME, json.dumps({"url": url, "digest": digest}, indent=2).encode() + b"\n")


def _is_finished(out: Path, digest: str) -> bool:
    """Whether a folder holds this very data set, judged by its manifest and the sizes of its files.

    Raises:
        HubError: it holds another data set, other files, or this one with files missing or cut off.
    """
    if not out.exists() or (not (out / MANIFEST_NAME).exists() and (out / STAGING).is_dir()):
        return False
    if not out.is_dir() or not (out / MANIFEST_NAME).exists():
        if out.is_dir() and not any(out.iterdir()):
            return False
        raise HubError("the folder holds other files.", path=out, hint="Choose a new or empty folder with --out.")
    manifest, data = read_manifest(out)
    if hashlib.sha256(data).hexdigest() != digest:
        raise HubError("the folder holds another data set.", path=out, hint="Choose a new folder with --out.")
    for name, size in manifest.sizes.items():
        if not _has(out / name, size):
            hint = f"`vpdata validate {out}` lists all damage; remove the folder and pull again."
            raise HubError("is missing or cut off, though the data set is finished.", path=out / name, hint=hint)
    return True


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """The staging folder of OUT, for this process alone; it goes once OUT has its manifest."""
    staging = out / STAGING
    staging.mkdir(parents=True, exist_ok=True)
    hint = "Wait for it, or choose another folder with --out."
    busy = HubError("another command is writing to this folder.", path=out, hint=hint)
    with locked_file(staging / LOCK, busy=busy):
        yield staging
        shutil.rmtree(staging)


def _remove_strays(staging: Path, out: Path, files: Sequence[ShardInfo | FileInfo]) -> None:
    """Removes what an unfinished pull of another revision left."""
    digests, names = {file.sha256 for file in files}, {file.name for file in files}
    for path in staging.iterdir():
        if path.name != LOCK and path.name.removesuffix(PARTIAL) not in digests:
            path.unlink()
    for path in (*out.glob("shard-*.tar"), *out.glob("index*.parquet")):
        if path.name not in names:
            path.unlink()


def _fetch(
    folder: RemoteFolder,
    file: ShardInfo | FileInfo,
    staging: Path,
    out: Path,
    progress: Callable[[int], object],
) -> None:
    """Brings one file into the staging folder, unless it is there or has its name already."""
    whole, final = staging / file.sha256, out / file.name
    if whole.exists() or (_has(final, file.size) and sha256_of(final) == file.sha256):
        progress(file.size)
        return
    partial = whole.with_name(whole.name + PARTIAL)
    for _ in range(DOWNLOADS):
        with partial.open("ab") as data:
            if data.tell() > file.size:
                data.truncate(0)
            progress(data.tell())
            while data.tell() < file.size:
                start = data.tell()
                data.write(folder.read(file.name, start=start, stop=min(start + CHUNK_BYTES, file.size)))
                progress(data.tell() - start)
            data.flush()
            if sha256_of(partial) == file.sha256:
                publish(partial, whole, descriptor=data.fileno())
                return
        partial.unlink()
        progress(-file.size)
    what = f"has another SHA-256 than the manifest says, in {DOWNLOADS} downloads."
    hint = "Publish it again, or repair the data set where it lies."
    raise DamageError(what, path=f"{folder.url}/{file.name}", hint=hint)


def _has(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _described(split: Split | None, *, held_out: bool) -> Mapping[str, object] | None:
    if split is None:
        return None
    return {"by": split.by, "share": str(split.share), "seed": split.seed, "held_out": held_out}


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(name for name in names if name)) or "none"
