"""One sound recording, and what is known of the file of it that is damaged.

Enters: its bytes and its suffix. Leaves: where its structures begin, and which bytes checksums in it cover; a checksum
that its writer left out covers nothing.
"""

import io
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath

import h5py
import pyarrow.parquet as pq

from vpdata.sources import SourceOptions

Ranges = tuple[tuple[int, int], ...]

DEFAULTS = SourceOptions()
WITHOUT_END = (".csv",)

MCAP_MAGIC = b"\x89MCAP0\r\n"
CHUNK, CHUNK_HEAD = 6, 9 + 8 + 8 + 8 + 4 + 4 + 4 + 8  # opcode of a chunk; bytes before its records, of "zstd"
TAR_BLOCK = 512
FOOTER_STEP = 64  # a place at least this often in the footer of Parquet, which is one structure of many fields
HDF5 = rb"\x89HDF|TREE|SNOD|HEAP|GCOL|OHDR|FRHP|BTHD"
MP4 = rb"....(?:ftyp|moov|mvhd|trak|tkhd|edts|mdia|mdhd|minf|st(?:bl|sd|ts|ss|sc|sz|co)|mdat|moof|traf|trun)"
MATROSKA = rb"\x1a\x45\xdf\xa3|\x18\x53\x80\x67|\x16\x54\xae\x6b|\x1f\x43\xb6\x75|\x1c\x53\xbb\x6b|\xa3[\x40-\x7f]"
PNG = rb"....(?:IHDR|IDAT|IEND)"
TEXT = rb"\n"
SIGNATURES = {
    ".hdf5": HDF5,
    ".h5": HDF5,
    ".mp4": MP4,
    ".tar": MP4,
    ".mkv": MATROSKA,
    ".webm": MATROSKA,
    ".png": PNG,
    ".jpg": rb"\xff[\xc0-\xfe]",
    ".json": TEXT,
    ".jsonl": TEXT,
    ".csv": TEXT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A sound recording.

    Attributes:
        name: for tables.
        source: the plugin that reads it.
        files: all of its files by their path in it.
        file: the one that is damaged.
        given: the path in it that is given to the ingest.
        options: what the user must say about it.
        summed: bytes of the file, where they lie whole in it, that a checksum of its own covers beside those of
            `checked_in`.
    """

    name: str
    source: str
    files: Mapping[str, bytes]
    file: str
    given: str = "."
    options: SourceOptions = DEFAULTS
    summed: Sequence[bytes] = ()

    @property
    def data(self) -> bytes:
        """The sound bytes of the file that is damaged."""
        return self.files[self.file]

    @property
    def places(self) -> tuple[int, ...]:
        """Where structures begin in it, in order."""
        return places_in(self.data, PurePath(self.file).suffix)

    @property
    def checked(self) -> Ranges:
        """Ranges [start, stop) of it that its own checksums cover."""
        starts = [(self.data.index(part), len(part)) for part in self.summed]
        return (
            *checked_in(self.data, PurePath(self.file).suffix),
            *((start, start + length) for start, length in starts),
        )

    @property
    def tells_its_end(self) -> bool:
        """Whether a file of its format that was cut off differs from one that was written so."""
        return PurePath(self.file).suffix not in WITHOUT_END


@cache
def places_in(data: bytes, suffix: str) -> tuple[int, ...]:
    """Where structures begin in a file of that suffix, in order; its beginning and its last 8 bytes among them."""
    places = {0, max(0, len(data) - 8)}
    if suffix in SIGNATURES:
        places |= {match.start() for match in re.finditer(SIGNATURES[suffix], data, re.DOTALL)}
    if suffix == ".tar":
        places |= {start for start, _ in _tar_headers(data)}
    if suffix == ".parquet":
        places |= set(_parquet_places(data))
    if suffix == ".mcap":
        places |= {start for _, start, _ in _mcap_records(data)}
    return tuple(sorted(places | {edge for piece in checked_in(data, suffix) for edge in piece}))


@cache
def checked_in(data: bytes, suffix: str) -> Ranges:
    """Ranges [start, stop) of a file of that suffix that its own checksums cover."""
    if suffix in (".hdf5", ".h5"):
        return tuple(_deflated_chunks(data))
    if suffix in (".png", ".parquet"):
        return tuple(_png_chunks(data))
    if suffix == ".tar":
        return tuple(_tar_headers(data))
    if suffix == ".mcap":
        return tuple((start + CHUNK_HEAD, stop) for opcode, start, stop in _mcap_records(data) if opcode == CHUNK)
    return ()


def datasets_of(group: h5py.Group) -> list[tuple[str, h5py.Dataset]]:
    """All data sets at or below a group of HDF5, with their names in it."""
    found: list[tuple[str, h5py.Dataset]] = []
    group.visititems(lambda name, item: found.append((name, item)) if isinstance(item, h5py.Dataset) else None)
    return found


def _deflated_chunks(data: bytes) -> list[tuple[int, int]]:
    """Chunks of HDF5 that are deflated, and so end in a checksum of what they inflate to."""
    found: list[tuple[int, int]] = []
    with h5py.File(io.BytesIO(data)) as h5:
        for _, values in datasets_of(h5):
            if values.compression == "gzip":
                values.id.chunk_iter(lambda c: found.append((c.byte_offset, c.byte_offset + c.size)))
    return found


def _png_chunks(data: bytes) -> Iterator[tuple[int, int]]:
    """Every chunk of PNG, from its length to its CRC-32, that lies whole in these bytes, which may hold many files."""
    for match in re.finditer(rb"IHDR|IDAT|IEND", data):
        start = match.start()
        stop = start + 4 + int.from_bytes(data[start - 4 : start], "big")
        if zlib.crc32(data[start:stop]) == int.from_bytes(data[stop : stop + 4], "big"):
            yield start - 4, stop + 4


def _tar_headers(data: bytes) -> Iterator[tuple[int, int]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            yield member.offset, member.offset + TAR_BLOCK


def _parquet_places(data: bytes) -> Iterator[int]:
    metadata = pq.ParquetFile(io.BytesIO(data)).metadata
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            yield metadata.row_group(group).column(column).data_page_offset
    yield from range(len(data) - 8 - metadata.serialized_size, len(data), FOOTER_STEP)


def _mcap_records(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Opcode, first byte and the byte after each record."""
    start = len(MCAP_MAGIC)
    while start < len(data) - len(MCAP_MAGIC):
        stop = start + 9 + int.from_bytes(data[start + 1 : start + 9], "little")
        yield data[start], start, stop
        start = stop
