"""Videos: anything that FFmpeg reads, action-free.

Enters: files, folders and patterns of videos of constant or variable frame rate; lists of them (`video_list`), tars
(`video_tar`) and Parquet files (`video_parquet`) that hold them; any of these on the Hugging Face Hub (`hub`). Leaves:
one episode a video, or one a row of a list, at a constant rate, upright. Frame k of the episode is what a player shows
k / fps seconds after the first frame: the last one whose timestamp is not later. Audio is ignored; of several video
streams FFmpeg's best one is read. With `SourceOptions.spans` every span of a video is an episode of its own.

The timestamps of all packets are read first (`timeline`), so that the number of frames is known without decoding;
decoding must then give exactly these frames.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from vpdata.errors import SourceError, VpdataError
from vpdata.schema import Episode
from vpdata.sources import EpisodeReader, SourceFile, SourceOptions, about, hub
from vpdata.sources.decoder import Decoder, VideoReader
from vpdata.sources.files import find_files, refuse_filter_key, refuse_resampling
from vpdata.sources.place import Place
from vpdata.sources.shot import Shot
from vpdata.sources.timeline import read_timeline
from vpdata.sources.video_episodes import FIRST_FRAME, video_episodes
from vpdata.sources.video_episodes import SOURCE as NAME
from vpdata.sources.video_list import is_list, read_list
from vpdata.sources.video_parquet import parquet_place, parquet_shots
from vpdata.sources.video_tar import tar_place, tar_shots

EXTENSIONS = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv"}
    | {".ts", ".webm", ".wmv"}
)
LIST, TAR, PARQUET = ".csv", ".tar", ".parquet"
RECORDED_NAME = "main"


class Video:
    """The `video` source."""

    name = NAME

    def find(self, path: Path) -> Sequence[SourceFile]:
        """The videos, or files that hold or list them, at `path`, in natural order.

        In a folder these are videos and tars, or, where there are none, Parquet files. Raises SourceError where there
        is nothing.
        """
        suffixes = EXTENSIONS | {TAR, PARQUET}
        if hub.is_hub(path):
            path = hub.download(path, suffixes=suffixes, beside=about.SUFFIXES)
            if path.is_file() and _kind(path) == LIST:
                hub.download(Path(str(hub.origin(path))).parent, suffixes=EXTENSIONS)
        files = find_files(path, extensions=suffixes, kind="video")
        others = tuple(file for file in files if file.path.suffix.lower() != PARQUET)
        return others or files

    def episodes(self, file: SourceFile, options: SourceOptions) -> Iterator[Episode | VpdataError]:
        """The one episode of a video, or one for each of its spans; those of a list, tar or table in order.

        Raises:
            SourceError: the file is no video, is broken in a way that shows without decoding all of it, or is not among
                those that have spans; or it is no list, tar or table of videos.
        """
        path = file.path
        refuse_filter_key(options, path=path)
        refuse_resampling(options, path=path)
        kind = _kind(path)
        camera, recorded = _camera_names(options, kind, path)
        if kind is None:
            shot = Shot(place=path, file=file.name, name=path.stem, about=about.beside(path))
            yield from video_episodes([shot], camera=camera, recorded=recorded, options=options)
            return

        def described(shots: Sequence[Shot] | SourceError) -> list[Episode | SourceError]:
            if isinstance(shots, SourceError):
                return [shots]
            try:
                return list(video_episodes(shots, camera=camera, recorded=recorded, options=options))
            except SourceError as error:
                return [shot.blamed(error) for shot in shots]

        shots = _shots(file, kind, recorded)
        if kind == PARQUET:  # one after the other, as each holds the bytes of its video
            for one in shots:
                yield from described(one if isinstance(one, SourceError) else [one])
            return
        with ThreadPoolExecutor() as pool:
            for found in pool.map(described, _by_video(shots)):
                yield from found

    @contextmanager
    def open(self, file: SourceFile, episode: Episode, options: SourceOptions) -> Iterator[EpisodeReader]:
        """Opens the episode that `episodes` described."""
        place = _place(file, episode)
        timeline = read_timeline(place, fps=options.fps)
        first = int(episode.attributes.get(FIRST_FRAME, 0))
        timeline = replace(timeline, shown=timeline.shown[first : first + episode.num_frames])
        with Decoder(place, timeline, begin=timeline.shown[0]) as decoder:
            yield VideoReader(decoder, timeline, episode.cameras[0])


SOURCE = Video()


def video_files(path: Path) -> tuple[SourceFile, ...]:
    """The videos at `path` that are files of their own, also those that a list names; stretches of them do not count.

    Raises:
        SourceError: nothing is there, a row of a list cannot be used, or a tar or table holds videos.
    """
    found: dict[tuple[Path, str], SourceFile] = {}
    for file in SOURCE.find(path):
        kind = _kind(file.path)
        if kind in (TAR, PARQUET):
            what = "videos inside a tar or table are not files."
            raise SourceError(what, path=file.path, hint="Unpack them, or ingest them as they are.")
        if kind is None:
            found[file.path, file.name] = file
            continue
        listed = read_list(file.path)
        wrong = [f"{error.episode}: {error.what}" for error in listed.errors]
        wrong += [f"there is no file {name}." for name, video in listed.videos.items() if not video.is_file()]
        if wrong:
            raise SourceError(" ".join(wrong), path=file.path, hint="Correct the list.")
        for name, video in listed.videos.items():
            found[video, name] = SourceFile(path=video, name=name)
    return tuple(found.values())


def _kind(path: Path) -> str | None:
    """LIST, TAR or PARQUET, None for a video; a Parquet file of paths is a list."""
    suffix = path.suffix.lower()
    if suffix == PARQUET and is_list(path):
        return LIST
    return suffix if suffix in (LIST, TAR, PARQUET) else None


def _shots(file: SourceFile, kind: str, recorded: str) -> Iterable[Shot | SourceError]:
    if kind == LIST:
        listed = read_list(file.path)
        return (*listed.shots, *listed.errors)
    if kind == TAR:
        return tar_shots(file.path, file=file.name, recorded=recorded, main=RECORDED_NAME, extensions=EXTENSIONS)
    return parquet_shots(file.path, file=file.name, recorded=recorded, main=RECORDED_NAME)


def _by_video(shots: Iterable[Shot | SourceError]) -> list[list[Shot] | SourceError]:
    """The shots of each video together, so that it is looked at once; every error alone."""
    together: dict[Place, list[Shot]] = {}
    errors: list[list[Shot] | SourceError] = []
    for shot in shots:
        if isinstance(shot, SourceError):
            errors.append(shot)
        else:
            together.setdefault(shot.place, []).append(shot)
    return [*together.values(), *errors]


def _place(file: SourceFile, episode: Episode) -> Place:
    """Where the video of an episode lies."""
    path, kind, recorded = file.path, _kind(file.path), episode.cameras[0].recorded_name
    name = episode.episode_id.rpartition(":")[0] if FIRST_FRAME in episode.attributes else episode.episode_id
    if kind == LIST:
        return read_list(path).videos[episode.file]
    if kind == TAR:
        return tar_place(path, name, recorded=recorded, main=RECORDED_NAME, extensions=EXTENSIONS)
    return path if kind is None else parquet_place(path, name, recorded=recorded, main=RECORDED_NAME)


def _camera_names(options: SourceOptions, kind: str | None, path: Path) -> tuple[str, str]:
    """Canonical and recorded name of the one camera: `main`, or a video of each key of a tar, a column of a table."""
    recorded = list(options.cameras.values())
    if not recorded:
        return RECORDED_NAME, RECORDED_NAME
    if len(recorded) > 1 or (kind in (None, LIST) and recorded != [RECORDED_NAME]):
        asked = ", ".join(f"{name}={recorded}" for name, recorded in options.cameras.items())
        raise SourceError(
            f"a video has one camera, {RECORDED_NAME!r}, not {asked}.",
            path=path,
            hint=f"Rename it with --camera NAME={RECORDED_NAME}.",
        )
    return next(iter(options.cameras.items()))
