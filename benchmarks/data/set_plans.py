"""What set operations cost at many clips beside their shards: `python -m benchmarks.data.set_plans --work DIR`.

Indexes of `synthetic` data sets, without shards, of a quarter, half and all of --clips. Each operation is planned, and
its index made as from the journals of written shards, in a process of its own. Leaves processor seconds of either, and
the peak memory of the process.
"""

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.data import synthetic
from vpdata.schema import Member
from vpdata.sets import operations
from vpdata.sets.index import index_of
from vpdata.sets.plan import SetPlan
from vpdata.shards.dataset import Dataset

SHARD_FRAMES = synthetic.CLIPS_A_SHARD * synthetic.NUM_FRAMES * len(synthetic.CAMERAS)


def merge(dataset: Dataset) -> SetPlan:
    """With itself, of which nothing is left the second time."""
    return operations.merge([dataset, dataset], keep_first=True, shard_frames=SHARD_FRAMES)


def keep(dataset: Dataset) -> SetPlan:
    return operations.keep(dataset, "attribute_layout_id < 5 and start_frame > 0", shard_frames=SHARD_FRAMES)


def delete(dataset: Dataset) -> SetPlan:
    return operations.delete(dataset, tasks=synthetic.TASKS[:12], shard_frames=SHARD_FRAMES)


def shuffle(dataset: Dataset) -> SetPlan:
    return operations.reshard(dataset, shuffle=0, shard_frames=SHARD_FRAMES)


OPERATIONS: dict[str, Callable[[Dataset], SetPlan]] = {
    "merge with itself, `--keep-first`": merge,
    "filter, some clips of half of the episodes": keep,
    "delete half of the tasks": delete,
    "reshard, shuffled": shuffle,
}


def members_of(plan: SetPlan) -> Iterator[list[tuple[Member, ...]]]:
    """As the journals of the new shards would say it, shard by shard; each clip at its old place."""
    for shard in plan.shards:
        yield [
            tuple(
                Member(name=name, offset=offset, size=size, crc32=crc32)
                for name, offset, size, crc32 in zip(names, offsets, sizes, crc32s, strict=True)
            )
            for i in range(shard.start, shard.stop)
            for _, names, offsets, sizes, crc32s in (
                plan.datasets[int(plan.inputs[i])].index.places(int(plan.rows[i])),
            )
        ]


def measure(name: str, folder: Path) -> tuple[int, float, float, float]:
    """Clips that are left, processor seconds of planning and of the index, and the peak in GB."""
    dataset = Dataset.open(folder)
    len(dataset.index)
    begin = time.process_time()
    plan = OPERATIONS[name](dataset)
    planned = time.process_time()
    index_of(plan, members_of(plan))
    written = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return len(plan.rows), planned - begin, written - planned, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="where the indexes are made and kept")
    parser.add_argument("--clips", type=int, default=1_000_000)
    arguments = parser.parse_args()
    print("| operation | clips | left | planning, CPU s | index, CPU s | peak GB |\n|---|---|---|---|---|---|")
    for name in OPERATIONS:
        for num_clips in (arguments.clips // 4, arguments.clips // 2, arguments.clips):
            folder = arguments.work / f"clips-{num_clips}"
            synthetic.make(folder, num_clips=num_clips)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                left, plan, index, peak = pool.apply(measure, (name, folder))
            print(f"| {name} | {num_clips:,} | {left:,} | {plan:.1f} | {index:.1f} | {peak:.2f} |", flush=True)


if __name__ == "__main__":
    main()
