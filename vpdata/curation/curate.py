"""Videos in, a curation folder out: measures what is not measured yet, decides about all, and writes down both.

OUT/measurements/<sha256>.parquet   of every video, by its content; kept for the next run
OUT/thumbnails/…jpg                 one of every dropped span
OUT/curation.json                   written last
"""

import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

from vpdata import __version__
from vpdata.curation.decide import decide
from vpdata.curation.kept import drop_duplicates, drop_leaks, kept_recordings
from vpdata.curation.measure import measure
from vpdata.curation.measurements import VERSIONS, Measurements, is_measured
from vpdata.curation.record import CURATION_NAME, CURATION_VERSION, CuratedFile, Curation
from vpdata.curation.spans import DroppedSpan, Reason
from vpdata.curation.stored import StoredRecordings
from vpdata.curation.thresholds import Thresholds
from vpdata.errors import SourceError, VpdataError
from vpdata.shards.files import full_disk_as_error, locked_file, sha256_of, write_whole
from vpdata.sources import SourceFile
from vpdata.sources.video import video_files

MEASUREMENTS: Final = "measurements"
THUMBNAILS: Final = "thumbnails"
LOCK: Final = ".lock"

Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A curation, and how many videos were decoded for it and how many were measured before."""

    curation: Curation
    num_measured: int
    num_reused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A video and the SHA-256 of its bytes."""

    file: SourceFile
    sha256: str


def curate(
    paths: Sequence[Path],
    out: Path,
    thresholds: Thresholds,
    *,
    duplicates: bool = False,
    against: StoredRecordings | None = None,
    workers: int | None = None,
    progress: Progress = lambda _: None,
) -> Outcome:
    """Measures videos and decides what to keep of them.

    Equal videos and thresholds give equal files, after any number of interruptions. Measurements that OUT holds already
    are used again, whatever the thresholds were.

    Args:
        paths: videos, folders and patterns of videos, and lists of them.
        out: the folder to make or to go on with.
        thresholds: what decides.
        duplicates: drop spans that show what another one shows.
        against: drop spans that show what one of these recordings shows.
        workers: processes that decode; None for one a processor.
        progress: called with 1 after each video that is measured.

    Raises:
        VpdataError: a path without videos, a full disk, another run in OUT, a killed worker. What was measured stays.
    """
    files = [file for path in paths for file in video_files(path)]
    with full_disk_as_error(out), _locked(out):
        with ThreadPoolExecutor() as pool:
            digests = list(pool.map(lambda file: sha256_of(file.path), files))
        found = [_Found(file=file, sha256=sha256) for file, sha256 in zip(files, digests, strict=True)]
        unique = {one.sha256: one for one in found}
        todo = [one for one in unique.values() if not _is_done(out, one.sha256)]
        _measure_all(todo, out, workers=workers or os.cpu_count() or 1, progress=progress)
        files_decided = _decided(found, out, thresholds)
        if duplicates or against is not None:
            places = {one.sha256: one.file.path for one in found}
            measured = {sha256: measurements_path(out, sha256) for sha256 in places}
            if against is not None:
                files_decided = drop_leaks(files_decided, kept_recordings(files_decided, places, measured), against)
            if duplicates:
                files_decided = drop_duplicates(files_decided, kept_recordings(files_decided, places, measured))
        curation = Curation(
            version=CURATION_VERSION,
            tool_versions={**VERSIONS, "vpdata": __version__, "scenedetect": version("scenedetect-headless")},
            thresholds=thresholds,
            duplicates=duplicates,
            against=tuple(sorted({one.dataset.digest for one in against.recordings})) if against else (),
            files=tuple(_with_thumbnails(file, out) for file in files_decided),
        )
        write_whole(out / CURATION_NAME, curation.to_bytes())
        named = {span.thumbnail for file in curation.files for span in file.dropped}
        for path in (out / THUMBNAILS).iterdir():
            if f"{THUMBNAILS}/{path.name}" not in named:
                path.unlink()
    return Outcome(curation=curation, num_measured=len(todo), num_reused=len(unique) - len(todo))


def measurements_path(out: Path, sha256: str) -> Path:
    """Where the measurements of the video with that content lie in a curation folder."""
    return out / MEASUREMENTS / f"{sha256}.parquet"


def _unreadable_path(out: Path, sha256: str) -> Path:
    return out / MEASUREMENTS / f"{sha256}.unreadable.json"


def _is_done(out: Path, sha256: str) -> bool:
    unreadable = _unreadable_path(out, sha256)
    if unreadable.is_file() and json.loads(unreadable.read_bytes())["versions"] == VERSIONS:
        return True
    return is_measured(measurements_path(out, sha256))


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """OUT with its folders, for this process alone. Raises VpdataError where it holds something else or is in use."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MEASUREMENTS).is_dir())):
        raise VpdataError("holds something else.", path=out, hint="Choose a new or empty folder with --out.")
    for name in (MEASUREMENTS, THUMBNAILS):
        (out / name).mkdir(parents=True, exist_ok=True)
    hint = "Wait for it, or choose another folder with --out."
    busy = VpdataError("another curation is writing to this folder.", path=out, hint=hint)
    with locked_file(out / LOCK, busy=busy):
        yield


def _measure_all(todo: Sequence[_Found], out: Path, *, workers: int, progress: Progress) -> None:
    """Measures in processes of their own, the largest videos first, so that none is waited for at the end."""
    if not todo:
        return
    largest_first = sorted(todo, key=lambda one: -one.file.path.stat().st_size)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(todo)), mp_context=context, initializer=_end_with_parent) as pool:
        try:
            for future in as_completed([pool.submit(_measure_one, one, out) for one in largest_first]):
                future.result()
                progress(1)
        except BrokenProcessPool as error:
            what = "a worker process was killed, most likely because memory ran out."
            raise VpdataError(what, path=out, hint="Use fewer --workers; what was measured stays.") from error
        finally:
            pool.shutdown(cancel_futures=True)


def _measure_one(found: _Found, out: Path) -> None:
    try:
        measure(found.file.path).write(measurements_path(out, found.sha256))
    except SourceError as error:
        reason = error.what.replace(str(found.file.path), found.file.name)
        record = json.dumps({"versions": VERSIONS, "unreadable": reason}, ensure_ascii=False)
        write_whole(_unreadable_path(out, found.sha256), record.encode())


def _end_with_parent() -> None:
    """Ends this worker as soon as the process that started it is gone, even killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _decided(found: Sequence[_Found], out: Path, thresholds: Thresholds) -> tuple[CuratedFile, ...]:
    """What is decided about each video alone, and about equal ones."""
    first_names: dict[str, str] = {}
    files = []
    for one in found:
        first = first_names.get(one.sha256)
        first_names.setdefault(one.sha256, one.file.name)
        known = CuratedFile(file=one.file.name, sha256=one.sha256)
        path = measurements_path(out, one.sha256)
        if not path.is_file():
            detail = json.loads(_unreadable_path(out, one.sha256).read_bytes())["unreadable"]
            files.append(replace(known, dropped=(_whole("unreadable", detail),)))
            continue
        measurements = Measurements.read(path)
        end = float(measurements.boundaries[-1])
        known = replace(
            known,
            height=measurements.height,
            width=measurements.width,
            num_frames=len(measurements),
            fps=measurements.fps,
            duration_seconds=end,
        )
        if first is not None:
            whole = _whole("duplicate", f"byte for byte {first}", stop=len(measurements), stop_seconds=end)
            files.append(replace(known, dropped=(whole,)))
            continue
        decisions = decide(measurements, thresholds)
        files.append(replace(known, cuts=decisions.cuts, kept=decisions.kept, dropped=decisions.dropped))
    return tuple(files)


def _whole(reason: Reason, detail: str, *, stop: int = 0, stop_seconds: float = 0.0) -> DroppedSpan:
    return DroppedSpan(start=0, stop=stop, start_seconds=0.0, stop_seconds=stop_seconds, reason=reason, detail=detail)


def _with_thumbnails(file: CuratedFile, out: Path) -> CuratedFile:
    """Writes for each dropped span the picture inside it that is nearest to its middle, or else the last one before."""
    if not file.num_frames or not file.dropped:
        return file
    thumbnails = Measurements.read(measurements_path(out, file.sha256)).thumbnails
    dropped = []
    for span in file.dropped:
        middle = (span.start + span.stop) / 2
        inside = [thumbnail for thumbnail in thumbnails if span.start <= thumbnail.frame < span.stop]
        before = [thumbnail for thumbnail in thumbnails if thumbnail.frame < span.start]
        chosen = min(inside, key=lambda thumbnail: abs(thumbnail.frame - middle)) if inside else before[-1]
        name = f"{THUMBNAILS}/{file.sha256[:16]}-{chosen.frame:06d}.jpg"
        (out / name).write_bytes(chosen.jpeg)
        dropped.append(replace(span, thumbnail=name))
    return replace(file, dropped=tuple(dropped))
