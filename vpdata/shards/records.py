"""All columns of an index in, the record of one clip or the layout of one shard out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vpdata.schema import Camera, Clip, Episode, Member, Span
from vpdata.shards.columns import NUMBERS, TEXT
from vpdata.shards.store import ShardLayout
from vpdata.shards.tar import BLOCK

_KEPT_TEXTS, _KEPT_EPISODES = 4096, 1024
_OF_EPISODE = (
    *("source", "file", "episode_id", "content_digest", "cameras", "action_space", "state_space"),
    *("instructions", "task", "attributes"),
)


class Places(NamedTuple):
    """Where the members of a clip lie: their names, the first byte, size and CRC-32 of each, in the shard's order."""

    shard: str
    names: tuple[str, ...]
    offsets: list[int]
    sizes: list[int]
    crc32s: list[int]


@dataclass(frozen=True, slots=True, eq=False)
class _Text:
    """A text column as Arrow holds it: clip i has `values[codes[i]]`."""

    codes: NDArray[np.int32]
    values: pa.StringArray


class Records:
    """The columns of an index in a form from which one row is quick to take."""

    def __init__(self, columns: Mapping[str, Any]) -> None:
        """Takes every column of `SCHEMA`, each a single Arrow array, those of `TEXT` as dictionaries."""
        self._keys = columns["key"]
        self._text = {name: _Text(as_numpy(columns[name].indices), columns[name].dictionary) for name in TEXT}
        self._numbers = {name: as_numpy(columns[name]) for name in (*NUMBERS, "fps")}
        self._member_ends = as_numpy(columns["member_offsets"].offsets)
        self._offsets = as_numpy(columns["member_offsets"].values)
        self._sizes = as_numpy(columns["member_sizes"].values)
        self._crc32s = as_numpy(columns["member_crc32s"].values)
        self._first_rows = self._first_rows_of_episodes()
        self._value = lru_cache(maxsize=_KEPT_TEXTS)(self._read_value)
        self._episode = lru_cache(maxsize=_KEPT_EPISODES)(self._read_episode)

    def clip(self, i: int) -> Clip:
        """The record of row i, 0 <= i < N."""
        number = self._number
        shard, names, offsets, sizes, crc32s = self.places(i)
        return Clip(
            key=self._keys[i].as_py(),
            shard=shard,
            episode=self._episode(int(self._first_rows[self._first_rows.searchsorted(i, "right") - 1])),
            span=Span(start=number("start_frame", i), stop=number("stop_frame", i), num_starts=number("num_starts", i)),
            num_actions=number("num_actions", i),
            codec=self._at("codec", i),
            members=tuple(
                Member(name=name, offset=offset, size=size, crc32=crc32)
                for name, offset, size, crc32 in zip(names, offsets, sizes, crc32s, strict=True)
            ),
        )

    def places(self, i: int) -> Places:
        """Where the members of row i lie, 0 <= i < N: what reading them takes, in a fraction of `clip`'s time."""
        inside = slice(self._member_ends[i], self._member_ends[i + 1])
        return Places(
            self._at("shard", i),
            _strings(self._at("member_names", i)),
            self._offsets[inside].tolist(),
            self._sizes[inside].tolist(),
            self._crc32s[inside].tolist(),
        )

    def layout(self, rows: range) -> ShardLayout:
        """Where the members of consecutive rows of one shard lie."""
        if not rows:
            empty = np.empty(0, np.int64)
            return ShardLayout(offsets=empty, sizes=empty, crc32=np.empty(0, np.uint32), clip_ends=empty)
        ends = self._member_ends[rows.start : rows.stop + 1]
        inside = slice(int(ends[0]), int(ends[-1]))
        offsets, sizes = self._offsets[inside], self._sizes[inside]
        lasts = ends[1:] - ends[0] - 1
        padded = -(-sizes[lasts] // BLOCK) * BLOCK
        return ShardLayout(offsets=offsets, sizes=sizes, crc32=self._crc32s[inside], clip_ends=offsets[lasts] + padded)

    def _first_rows_of_episodes(self) -> NDArray[np.intp]:
        """The rows that say something else of their episode than the row before; the first one with them."""
        columns = [self._text[name].codes for name in _OF_EPISODE]
        columns += [self._numbers[name] for name in ("episode_num_frames", "episode_num_actions", "fps")]
        differs = np.ones(len(self._keys), bool)
        differs[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
        return np.flatnonzero(differs)

    def _read_episode(self, i: int) -> Episode:
        return Episode(
            source=self._at("source", i),
            file=self._at("file", i),
            episode_id=self._at("episode_id", i),
            content_digest=self._at("content_digest", i),
            num_frames=self._number("episode_num_frames", i),
            num_actions=self._number("episode_num_actions", i),
            fps=float(self._numbers["fps"][i]),
            cameras=_cameras(self._at("cameras", i)),
            action_space=self._at("action_space", i) or None,
            state_space=self._at("state_space", i) or None,
            instructions=_strings(self._at("instructions", i)),
            task=self._at("task", i),
            attributes=json.loads(self._at("attributes", i)),
        )

    def _number(self, name: str, i: int) -> int:
        return int(self._numbers[name][i])

    def _at(self, name: str, i: int) -> str:
        return self._value(name, int(self._text[name].codes[i]))

    def _read_value(self, name: str, code: int) -> str:
        text: str = self._text[name].values[code].as_py()
        return text


def as_numpy(column: Any) -> NDArray[Any]:
    """The numbers of an Arrow array without nulls, not copied and not to be written to."""
    numbers: NDArray[Any] = np.from_dlpack(column)  # Arrow's own to_numpy() would import pandas
    return numbers


@lru_cache(maxsize=1024)
def _strings(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


@lru_cache(maxsize=1024)
def _cameras(text: str) -> tuple[Camera, ...]:
    return tuple(Camera(**camera) for camera in json.loads(text))
