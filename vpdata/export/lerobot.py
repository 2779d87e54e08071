"""Finished data sets in, a LeRobot data set of v3.0 or v2.1 out.

First every camera of every episode becomes a video of its own, by several threads, in `OUT.partial`; then all is laid
out there as LeRobot has it; at last that folder gets its name. An export that was stopped goes on with the videos that
are whole.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from vpdata import __version__
from vpdata.errors import ExportError
from vpdata.export import lerobot_v21, lerobot_v30
from vpdata.export.layout import common_layout
from vpdata.export.lerobot_card import card
from vpdata.export.lerobot_features import Dtype, integer_fps
from vpdata.export.lerobot_plan import LeRobotPlan
from vpdata.export.pieces import make_pieces
from vpdata.export.result import Exported
from vpdata.export.runs import Only, assemble
from vpdata.export.unfinished import digest_of, publish, refuse_existing, unfinished
from vpdata.export.video import codec_for
from vpdata.shards.dataset import Dataset

FormatVersion = Literal["3.0", "2.1"]
PROVENANCE = "meta/vpdata.json"
PIECES, TREE = "pieces", "tree"
"""Folders in the working folder."""
WRITERS = {"3.0": lerobot_v30.write, "2.1": lerobot_v21.write}


@dataclass(frozen=True, slots=True, kw_only=True)
class LeRobotOptions:
    """What to make.

    Attributes:
        format_version: of LeRobot's format.
        dtype: of actions and states; LeRobot's policies take float32.
        robot_type: for `info.json`.
        repo_id: `user/name` on the Hub, for the card's example.
        only, split_at_gaps: see `assemble`.
        max_video_bytes, max_data_bytes: of a file of v3.0 that holds more than one episode.
    """

    format_version: FormatVersion = "3.0"
    dtype: Dtype = "float32"
    robot_type: str | None = None
    repo_id: str | None = None
    only: Only | None = None
    split_at_gaps: bool = False
    max_video_bytes: int = 200 * 2**20
    max_data_bytes: int = 100 * 2**20


def export_lerobot(
    datasets: Sequence[Dataset],
    out: Path,
    options: LeRobotOptions,
    *,
    workers: int | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> Exported:
    """Makes the folder OUT, or finds that this very export is there.

    Args:
        datasets: their episodes follow each other.
        out: a new or empty folder, or one that this export left unfinished or finished.
        options: what to make.
        workers: threads; None for one a processor.
        progress: called with the number of frames of a camera that are done since the last call.

    Raises:
        ExportError: the episodes do not fit one LeRobot data set, or OUT holds something else.
        ShardError: a data set is damaged.
        VpdataError: the disk is full.
    """
    digest = digest_of(datasets, asdict(options))
    finished = _finished(out, digest)
    if finished is not None:
        return finished
    refuse_existing(out, empty_folder=True)
    plan = make_plan(datasets, options)
    with unfinished(out, digest=digest) as folder:
        pieces, tree = folder / PIECES, folder / TREE
        shutil.rmtree(tree, ignore_errors=True)
        cameras = [camera.name for camera in plan.layout.cameras]
        make_pieces(plan.runs, cameras, pieces, codec=plan.codec, workers=workers, progress=progress)
        num_encoded = WRITERS[options.format_version](plan, pieces, tree)
        exported = Exported(
            path=out,
            num_episodes=len(plan.runs),
            num_frames=plan.num_frames,
            num_camera_frames=plan.num_frames * len(cameras),
            num_encoded=num_encoded,
        )
        (tree / "README.md").write_text(card(plan, out, repo_id=options.repo_id))
        _write_provenance(tree / PROVENANCE, exported, datasets, options, digest)
        publish(tree, out)
    return exported


def make_plan(datasets: Sequence[Dataset], options: LeRobotOptions) -> LeRobotPlan:
    """What will be made. Raises ExportError where the episodes do not fit one LeRobot data set."""
    runs = assemble(datasets, only=options.only, split_at_gaps=options.split_at_gaps)
    layout = common_layout(runs)
    integer_fps(layout)
    return LeRobotPlan(
        runs=tuple(runs),
        layout=layout,
        codec=codec_for(name for dataset in datasets for name in dataset.index.codes("codec").values),
        format_version=options.format_version,
        dtype=options.dtype,
        robot_type=options.robot_type,
        max_video_bytes=options.max_video_bytes,
        max_data_bytes=options.max_data_bytes,
    )


def _write_provenance(
    path: Path, exported: Exported, datasets: Sequence[Dataset], options: LeRobotOptions, digest: str
) -> None:
    value = {
        "export_digest": digest,
        "tool_version": __version__,
        "data_sets": [dataset.digest for dataset in datasets],
        "options": asdict(options),
        **exported.counts(),
    }
    path.write_text(json.dumps(value, indent=4) + "\n")


def _finished(out: Path, digest: str) -> Exported | None:
    """What is at OUT if it is this export; None where there is nothing of the kind."""
    path = out / PROVENANCE
    if not path.is_file():
        return None
    value: dict[str, Any] = json.loads(path.read_text())
    if value["export_digest"] != digest:
        what = "the folder holds an export of other data or options."
        raise ExportError(what, path=out, hint="Choose a new folder with --out.")
    return Exported.from_counts(out, value)
