"""A plan that gives no new labels, and where the members of its clips lie now, in; the bytes of the new index out.

Rows are taken from the inputs' indexes as columns: no record is built of any clip.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from vpdata.schema import Member
from vpdata.sets.plan import SetPlan
from vpdata.shards.columns import SCHEMA, TEXT, table_to_parquet
from vpdata.shards.records import as_numpy

_PLACES = ("shard", "member_offsets", "member_sizes", "member_crc32s")
"""The columns that say where a clip lies."""


def index_of(plan: SetPlan, shards: Iterable[Sequence[tuple[Member, ...]]]) -> bytes:
    """The bytes of `index.parquet`, those that `to_parquet` makes of the clips.

    Args:
        plan: with `labels` None.
        shards: of each shard of the plan, the members of its clips as they were written.
    """
    names = [name for name in SCHEMA.names if name not in _PLACES]
    firsts = np.cumsum([0, *(len(dataset.index) for dataset in plan.datasets)])
    tables = [dataset.index.table(names) for dataset in plan.datasets]
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks().take(firsts[plan.inputs] + plan.rows)
    columns = {name: table.column(name).combine_chunks() for name in names}
    columns |= {name: _by_occurrence(columns[name]) for name in names if name in TEXT}
    columns |= _places(plan, shards)
    schema = pa.schema([field.with_type(columns[field.name].type) for field in SCHEMA])
    return table_to_parquet(pa.table([columns[name] for name in SCHEMA.names], schema=schema))


def _by_occurrence(column: pa.DictionaryArray) -> pa.DictionaryArray:
    """The same texts, the dictionary in the order in which they occur and without those that do not."""
    codes = as_numpy(column.indices)
    used, firsts, places = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(firsts)
    renumbered = np.empty(len(order), np.int32)
    renumbered[order] = np.arange(len(order), dtype=np.int32)
    return pa.DictionaryArray.from_arrays(renumbered[places], column.dictionary.take(pa.array(used[order])))


def _places(plan: SetPlan, shards: Iterable[Sequence[tuple[Member, ...]]]) -> dict[str, pa.Array]:
    lengths, parts = list[int](), []
    for clips in shards:
        lengths += [len(members) for members in clips]
        parts.append(np.array([(m.offset, m.size, m.crc32) for members in clips for m in members], np.int64))
    ends = pa.array(np.cumsum([0, *lengths]), pa.int32())
    places: dict[str, pa.Array] = {}
    for name, numbers in zip(_PLACES[1:], np.concatenate(parts).T, strict=True):
        type_ = SCHEMA.field(name).type
        places[name] = pa.ListArray.from_arrays(ends, pa.array(numbers, type_.value_type), type=type_)
    owners = np.repeat(np.arange(len(plan.shards), dtype=np.int32), [shard.stop - shard.start for shard in plan.shards])
    return {"shard": pa.DictionaryArray.from_arrays(owners, [shard.name for shard in plan.shards]), **places}
