"""The index of a data set made from others, by columns, against the one that an ingest's code makes of its clips."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from benchmarks.data import synthetic
from vpdata.schema import Clip, Member
from vpdata.sets import operations
from vpdata.sets.index import index_of
from vpdata.sets.plan import SetPlan
from vpdata.shards.dataset import Dataset
from vpdata.shards.index import to_parquet

SHARD_FRAMES = 30 * synthetic.NUM_FRAMES * len(synthetic.CAMERAS)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[Dataset]:
    """The first is the beginning of the second, which is longer than what the index is written in at once."""
    folder = tmp_path_factory.mktemp("inputs")
    for num_clips in (5_000, 12_000):
        synthetic.make(folder / f"{num_clips}", num_clips=num_clips)
    return [Dataset.open(folder / "5000"), Dataset.open(folder / "12000")]


def members_of(plan: SetPlan) -> list[list[tuple[Member, ...]]]:
    """As if every member had moved by its shard's number of bytes."""
    return [
        [
            tuple(replace(member, offset=member.offset + number) for member in plan.clip(i).members)
            for i in range(shard.start, shard.stop)
        ]
        for number, shard in enumerate(plan.shards)
    ]


def by_clips(plan: SetPlan, members: list[list[tuple[Member, ...]]]) -> bytes:
    def clips() -> Iterator[Clip]:
        for shard, found in zip(plan.shards, members, strict=True):
            for i, one in zip(range(shard.start, shard.stop), found, strict=True):
                yield replace(plan.clip(i), shard=shard.name, members=one)

    return to_parquet(clips())


def test_columns_give_the_bytes_that_clips_give(inputs: list[Dataset]) -> None:
    for plan in (
        operations.merge(inputs, keep_first=True, shard_frames=SHARD_FRAMES),
        operations.keep(inputs[1], "attribute_layout_id < 3 and start_frame > 0", shard_frames=SHARD_FRAMES),
        operations.reshard(inputs[0], shuffle=1, shard_frames=SHARD_FRAMES),
    ):
        members = members_of(plan)
        assert index_of(plan, members) == by_clips(plan, members)
