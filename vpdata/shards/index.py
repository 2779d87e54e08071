"""The bytes of `index.parquet` in, its columns and single clips out: one row a clip, in the order of the shards.

Columns are read when first asked for, as whole arrays; nothing here keeps an object a clip.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vpdata.schema import Clip
from vpdata.shards.columns import NUMBERS, SCHEMA, TEXT, to_parquet
from vpdata.shards.records import Places, Records, as_numpy
from vpdata.shards.store import ShardLayout

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Clips", "Codes", "Index", "to_parquet"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Codes:
    """A text column: clip i has the text `values[codes[i]]`, "" where it has none.

    Attributes:
        codes: (N,) int32, not to be written to.
        values: distinct texts.
    """

    codes: NDArray[np.int32]
    values: tuple[str, ...]


class Index:
    """The columns of an index. It may be shared between threads, and with forked processes."""

    def __init__(self, data: bytes) -> None:
        """Reads the footer only.

        Args:
            data: the whole parquet file.

        Raises:
            pyarrow.ArrowException, ValueError: these are not the bytes of an index.
        """
        self._data = pa.py_buffer(data)
        file = pq.ParquetFile(pa.BufferReader(self._data))
        if file.schema_arrow != SCHEMA:
            raise ValueError(f"its columns are {', '.join(file.schema_arrow.names)}")
        self._metadata = file.metadata
        self._numbers: dict[str, NDArray[np.int64]] = {}
        self._codes: dict[str, Codes] = {}

    def __len__(self) -> int:
        return int(self._metadata.num_rows)

    def numbers(self, name: str) -> NDArray[np.int64]:
        """(N,) int64, not to be written to: a column of integers (`start_frame`, `num_starts`, `num_actions`, …)."""
        if name not in self._numbers:
            if name not in NUMBERS:
                raise KeyError(name)
            (column,) = self._read([name])
            values: NDArray[np.int64] = as_numpy(column).astype(np.int64)
            values.flags.writeable = False
            self._numbers[name] = values
        return self._numbers[name]

    def fps(self) -> NDArray[np.float64]:
        """(N,) float64, not to be written to: frames a second."""
        return self._fps

    def codes(self, name: str) -> Codes:
        """A column of text (`shard`, `file`, `task`, …) as distinct values and their places.

        `cameras`, `instructions`, `attributes` and `member_names` are JSON, as `docs/FORMAT.md` says.
        """
        if name not in self._codes:
            if name not in ("key", *TEXT):
                raise KeyError(name)
            (column,) = self._read([name])
            coded = column.dictionary_encode() if name == "key" else column
            self._codes[name] = Codes(codes=as_numpy(coded.indices), values=tuple(coded.dictionary.to_pylist()))
        return self._codes[name]

    def clip(self, i: int) -> Clip:
        """The record of clip i, 0 <= i < N, built anew. Raises IndexError for any other i."""
        self._check(i)
        return self._records.clip(i)

    def places(self, i: int) -> Places:
        """Where the members of clip i lie, 0 <= i < N. Raises IndexError for any other i."""
        self._check(i)
        return self._records.places(i)

    def rows_of(self, shard: str) -> range:
        """The clips of one shard, in its order; empty for a shard without."""
        return self._shard_rows.get(shard, range(0))

    def layout(self, shard: str) -> ShardLayout:
        """Where the members of a shard lie."""
        return self._records.layout(self.rows_of(shard))

    def frame(self) -> "pd.DataFrame":
        """One row a clip, for queries: text, numbers, and each attribute as a column `attribute_<name>`.

        `num_frames` and `labelled` are added, `instruction` is the first one, `cameras` are the names joined by `+`,
        `height` and `width` those of the first camera. Missing text is "".
        """
        import pandas as pd  # only queries pay for it

        texts = ("key", "shard", "source", "file", "episode_id", "action_space", "state_space", "task")
        columns: dict[str, Any] = {
            name: (column if name == "key" else column.dictionary_decode()).to_pandas()
            for name, column in zip(texts, self._read(texts), strict=True)
        }
        columns |= {name: self.numbers(name) for name in NUMBERS}
        columns["num_frames"] = columns["stop_frame"] - columns["start_frame"]
        columns["labelled"] = columns["num_actions"] > 0
        columns["fps"] = self.fps()
        for name, parsed in (("cameras", _of_cameras), ("instructions", _of_instructions), ("attributes", _named)):
            codes = self.codes(name)
            found = pd.DataFrame([parsed(json.loads(text)) for text in codes.values])
            for column, values in found.items():
                only_text = values.map(lambda value: isinstance(value, str) or pd.isna(value)).all()
                columns[str(column)] = (values.fillna("") if only_text else values).take(codes.codes).array
        return pd.DataFrame(columns, copy=False)

    def table(self, names: Sequence[str]) -> pa.Table:
        """Columns as Arrow has them, text but `key` as dictionaries; read anew every time."""
        return pa.table(dict(zip(names, self._read(names), strict=True)))

    @cached_property
    def _fps(self) -> NDArray[np.float64]:
        return as_numpy(self._read(["fps"])[0])

    @cached_property
    def _records(self) -> Records:
        records = Records(dict(zip(SCHEMA.names, self._read(SCHEMA.names), strict=True)))
        pa.default_memory_pool().release_unused()  # what decoding needed is as much again
        return records

    @cached_property
    def _shard_rows(self) -> dict[str, range]:
        shards = self.codes("shard")
        firsts = np.flatnonzero(np.diff(shards.codes, prepend=-1))
        lasts = np.append(firsts[1:], len(self))
        rows = zip(shards.codes[firsts].tolist(), firsts.tolist(), lasts.tolist(), strict=True)
        return {shards.values[code]: range(first, last) for code, first, last in rows}

    def _check(self, i: int) -> None:
        if not 0 <= i < len(self):
            raise IndexError(f"clip {i} of {len(self)}")

    def _read(self, names: Sequence[str]) -> list[Any]:
        """Columns as single arrays, text as dictionaries. Every call reads through a file of its own: threads may."""
        file = pq.ParquetFile(pa.BufferReader(self._data), metadata=self._metadata, read_dictionary=TEXT)
        table = file.read(columns=list(names)).unify_dictionaries().combine_chunks()
        return [table.column(name).chunk(0) for name in names]


class Clips(Sequence[Clip]):
    """The clips of an index as a sequence; each is built when asked for."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def __len__(self) -> int:
        return len(self._index)

    @overload
    def __getitem__(self, i: int) -> Clip: ...
    @overload
    def __getitem__(self, i: slice) -> tuple[Clip, ...]: ...
    def __getitem__(self, i: int | slice) -> Clip | tuple[Clip, ...]:
        if isinstance(i, slice):
            return tuple(self._index.clip(j) for j in range(len(self))[i])
        return self._index.clip(range(len(self))[i])

    def __iter__(self) -> Iterator[Clip]:
        return map(self._index.clip, range(len(self)))


def _of_cameras(cameras: list[dict[str, Any]]) -> dict[str, Any]:
    first = cameras[0]
    names = "+".join(camera["name"] for camera in cameras)
    return {"cameras": names, "num_cameras": len(cameras), "height": first["height"], "width": first["width"]}


def _of_instructions(instructions: list[str]) -> dict[str, Any]:
    return {"instruction": instructions[0] if instructions else ""}


def _named(attributes: dict[str, Any]) -> dict[str, Any]:
    return {f"attribute_{name}": value for name, value in attributes.items()}
