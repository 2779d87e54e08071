"""Episodes in, one after the other; numbered files of many episodes each, as LeRobot v3.0 has them, out.

A file is followed by the next when it would grow beyond its limit; a chunk is a folder of so many files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vpdata.export.video import JoinedVideo, OpenVideo

CHUNK_FILES = 1000
EPISODES_AT_ONCE = 100
FILE_NAME = "chunk-{chunk_index:03d}/file-{file_index:03d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which file: its chunk, and its number there."""

    chunk: int = 0
    file: int = 0

    def path(self, root: Path, suffix: str) -> Path:
        """The file, in a folder that is made."""
        path = root / (FILE_NAME.format(chunk_index=self.chunk, file_index=self.file) + suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def following(self) -> "Place":
        """The next file's."""
        last = self.file == CHUNK_FILES - 1
        return Place(chunk=self.chunk + last, file=0 if last else self.file + 1)


class TableFiles:
    """Parquet files with the rows of episode after episode.

    Attributes:
        paths: of all files.
    """

    def __init__(self, root: Path, schema: pa.Schema, *, max_bytes: int) -> None:
        self.paths: list[Path] = []
        self._root, self._schema, self._max_bytes = root, schema, max_bytes
        self._place, self._num_bytes = Place(), 0
        self._writer: pq.ParquetWriter | None = None

    def place_for(self, num_bytes: int) -> Place:
        """Where the next rows will lie, which have that many bytes in memory."""
        if self._writer is not None and self._num_bytes + num_bytes > self._max_bytes:
            self.close()
            self._place, self._num_bytes = self._place.following(), 0
        return self._place

    def append(self, table: pa.Table) -> Place:
        """Writes rows where `place_for` says, as one row group."""
        place = self.place_for(table.nbytes)
        self.write(table)
        return place

    def write(self, table: pa.Table) -> None:
        """Writes rows where the last call of `place_for` said."""
        if self._writer is None:
            self.paths.append(self._place.path(self._root, ".parquet"))
            self._writer = pq.ParquetWriter(self.paths[-1], self._schema)
        self._writer.write_table(table)
        self._num_bytes += table.nbytes

    def close(self) -> None:
        """Finishes the file that is open."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class EpisodeFiles:
    """The parquet files under `meta/episodes`: a row an episode, written some at a time."""

    def __init__(self, root: Path, schema: pa.Schema, *, max_bytes: int) -> None:
        self._files = TableFiles(root, schema, max_bytes=max_bytes)
        self._schema = schema
        self._rows: list[Mapping[str, Any]] = []

    def append(self, row: Mapping[str, Any]) -> None:
        """Adds an episode; where its row lies is filled in here."""
        self._rows.append(row)
        if len(self._rows) == EPISODES_AT_ONCE:
            self._write()

    def close(self) -> None:
        """Writes what is left, and finishes."""
        if self._rows:
            self._write()
        self._files.close()

    def _write(self) -> None:
        place = self._files.place_for(pa.Table.from_pylist(self._rows).nbytes)
        lies = {"meta/episodes/chunk_index": place.chunk, "meta/episodes/file_index": place.file}
        self._files.write(pa.Table.from_pylist([{**row, **lies} for row in self._rows], schema=self._schema))
        self._rows.clear()


class VideoFiles:
    """The mp4s of one camera."""

    def __init__(self, root: Path, *, fps: float, max_bytes: int) -> None:
        self._root, self._fps, self._max_bytes = root, fps, max_bytes
        self._place, self._num_bytes = Place(), 0
        self._configuration = b""
        self._video: JoinedVideo | None = None

    def append(self, piece: Path) -> tuple[Place, int]:
        """Adds the video of an episode, which is removed; returns its file, and the number of its first frame there."""
        num_bytes = piece.stat().st_size
        with OpenVideo(piece) as video:
            full = self._num_bytes + num_bytes > self._max_bytes or video.configuration != self._configuration
            if self._video is not None and full:
                self.close()
                self._place, self._num_bytes = self._place.following(), 0
            if self._video is None:
                self._video = JoinedVideo(self._place.path(self._root, ".mp4"), like=video, fps=self._fps)
                self._configuration = video.configuration
            first = self._video.num_frames
            self._video.append(video.packets())
        self._num_bytes += num_bytes
        piece.unlink()
        return self._place, first

    def close(self) -> None:
        """Finishes the file that is open."""
        if self._video is not None:
            self._video.close()
            self._video = None
