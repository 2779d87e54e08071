"""Whether the elements of a Matroska or WebM file fit each other to its end.

Enters: the place of a video. Leaves: nothing, or a SourceError that says from where on they do not. FFmpeg looks for
the next element that it knows instead, and gives the frames that are left without a word.

An element is an identifier, a size, and that many bytes (RFC 8794; the identifiers are those of RFC 9559). A size of
ones only is unknown: the file was written while it was recorded. Where such a segment is cut off cannot be told.
"""

import io
from contextlib import AbstractContextManager
from typing import BinaryIO

from vpdata.sources.place import FilePart, Held, Place, first_bytes, problem, size_of

HEADER, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
VOID, CRC = 0xEC, 0xBF
IN_SEGMENT = {
    *(CLUSTER, VOID, CRC),
    *(0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B),  # seek head, info, tracks, cues
    *(0x1043A770, 0x1254C367, 0x1941A469),  # chapters, tags, attachments
}
IN_CLUSTER = {VOID, CRC, 0xE7, 0xA3, 0xA0, 0xA7, 0xAB, 0x5854}  # time, blocks, groups, position, size, silent tracks
MAX_ID_BYTES, MAX_SIZE_BYTES = 4, 8
HINT = "Copy or download it again."


def check_elements(place: Place) -> None:
    """Walks over the elements of a Matroska file, and does nothing with another.

    Raises:
        SourceError: the file is cut off, or bytes in it belong to no element.
    """
    if int.from_bytes(first_bytes(place, MAX_ID_BYTES), "big") != HEADER:
        return
    begin = place.offset if isinstance(place, FilePart) else 0
    with _opened(place) as file:
        try:
            _walk_file(file, begin, begin + size_of(place))
        except _DamageError as error:
            where = int(str(error)) - begin
            what = f"the file is damaged or cut off: at byte {where} of {size_of(place)} its elements stop to fit."
            raise problem(place, what, hint=HINT) from error


class _DamageError(Exception):
    """At this byte."""


def _opened(place: Place) -> AbstractContextManager[BinaryIO]:
    if isinstance(place, Held):
        return io.BytesIO(place.data)
    return (place.path if isinstance(place, FilePart) else place).open("rb")


def _walk_file(file: BinaryIO, begin: int, end: int) -> None:
    _, _, stop = _element(file, begin, end)
    if stop is None:
        raise _DamageError(begin)
    name, start, stop = _element(file, stop, end)
    if name != SEGMENT:
        raise _DamageError(start)
    _walk(file, start, end if stop is None else stop, IN_SEGMENT)


def _walk(file: BinaryIO, start: int, end: int, known: set[int]) -> None:
    """Over the children in [start, end), and those of clusters; of a cluster of unknown size they follow it."""
    while start < end:
        name, data, stop = _element(file, start, end)
        if name not in known:
            raise _DamageError(start)
        if name == CLUSTER and stop is None:
            known, start = known | IN_CLUSTER, data
            continue
        if stop is None:
            raise _DamageError(start)
        if name == CLUSTER:
            _walk(file, data, stop, IN_CLUSTER)
        start = stop


def _element(file: BinaryIO, start: int, end: int) -> tuple[int, int, int | None]:
    """Identifier, first byte of the data, and the byte after them, None where that is not known."""
    file.seek(start)
    head = file.read(min(MAX_ID_BYTES + MAX_SIZE_BYTES, end - start))
    id_bytes = 9 - head[0].bit_length() if head else MAX_ID_BYTES + 1
    if id_bytes > MAX_ID_BYTES or len(head) <= id_bytes or not head[id_bytes]:
        raise _DamageError(start)
    size_bytes = 9 - head[id_bytes].bit_length()
    data = start + id_bytes + size_bytes
    field = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big")
    ones = (1 << 7 * size_bytes) - 1
    stop = None if field & ones == ones else data + (field & ones)
    if len(head) < id_bytes + size_bytes or data > end or (stop is not None and stop > end):
        raise _DamageError(start)
    return int.from_bytes(head[:id_bytes], "big"), data, stop
