"""Parquet files, opened so that damage shows: pages are checked wherever their writer gave them a checksum.

Enters: the path of a file. Leaves: an open file, or a SourceError that names it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vpdata.errors import SourceError

COPY_HINT = "Copy or download it again; if it was recorded here, the recorder ended before it closed the file."
DAMAGED = (pa.ArrowException, OSError, ValueError, OverflowError)  # ValueError: texts that are not UTF-8, among others


@contextmanager
def open_parquet(path: Path, *, episode: str | None = None) -> Iterator[Any]:
    """An open `pyarrow.parquet.ParquetFile`; what pyarrow raises on damaged bytes while it is open is told too.

    Raises:
        SourceError: the file is missing, or cannot be read.
    """
    if not path.is_file():
        what, hint = "is missing.", "It may have been downloaded in part; download it again."
        raise SourceError(what, path=path, episode=episode, hint=hint)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except DAMAGED as error:
        what = f"the Parquet file is damaged, cut off or was never closed ({error})."
        raise SourceError(what, path=path, episode=episode, hint=COPY_HINT) from error
