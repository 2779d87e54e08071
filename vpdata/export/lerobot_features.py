"""The layout of an export in; what LeRobot's `info.json` says of its features, and the columns of its tables, out."""

from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vpdata import spaces
from vpdata.errors import ExportError
from vpdata.export.layout import Layout
from vpdata.export.runs import Run

Dtype = Literal["float32", "float64"]
ACTION, STATE = "action", "observation.state"
COUNTERS = {
    "timestamp": pa.float32(),
    "frame_index": pa.int64(),
    "episode_index": pa.int64(),
    "index": pa.int64(),
    "task_index": pa.int64(),
}
"""The columns that every LeRobot data set has."""


def video_key(camera: str) -> str:
    """The feature's name."""
    return f"observation.images.{camera}"


def integer_fps(layout: Layout) -> int:
    """The rate. Raises ExportError where it is no whole number, which LeRobot's clock cannot keep."""
    if not float(layout.fps).is_integer():
        what = f"the episodes have {layout.fps:g} frames a second, and LeRobot knows whole numbers only."
        raise ExportError(what, hint=f"Ingest the videos again with --fps {round(layout.fps)}, and export that.")
    return int(layout.fps)


def spaces_of(layout: Layout) -> dict[str, str]:
    """The space of each feature that has rows of numbers, in the order of the columns."""
    named = {STATE: layout.state_space, ACTION: layout.action_space}
    return {feature: space for feature, space in named.items() if space is not None}


def features(layout: Layout, *, codec: str, dtype: Dtype) -> dict[str, Any]:
    """The `features` of `info.json`; sizes are those of the videos, which are even. `space` is for our own reader."""
    found: dict[str, Any] = {}
    for camera in layout.cameras:
        height, width = camera.height + camera.height % 2, camera.width + camera.width % 2
        found[video_key(camera.name)] = {
            "dtype": "video",
            "shape": [height, width, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": height,
                "video.width": width,
                "video.codec": codec,
                "video.pix_fmt": "yuv420p",
                "video.is_depth_map": False,
                "video.fps": integer_fps(layout),
                "video.channels": 3,
                "has_audio": False,
            },
        }
    for feature, space in spaces_of(layout).items():
        names = [dimension.name for dimension in spaces.load(space).dimensions]
        found[feature] = {"dtype": dtype, "shape": [len(names)], "names": names, "space": space}
    for column, kind in COUNTERS.items():
        found[column] = {"dtype": "float32" if kind == pa.float32() else "int64", "shape": [1], "names": None}
    return found


def schema(layout: Layout, *, dtype: Dtype) -> pa.Schema:
    """The columns of the frames. A feature of one dimension is a plain number, as LeRobot has it."""
    number = pa.float32() if dtype == "float32" else pa.float64()
    columns = []
    for feature, space in spaces_of(layout).items():
        size = spaces.load(space).size
        columns.append((feature, number if size == 1 else pa.list_(number, size)))
    return pa.schema([*columns, *COUNTERS.items()])


def columns_of(
    run: Run, layout: Layout, *, dtype: Dtype, episode: int, first: int, task: int
) -> dict[str, NDArray[Any]]:
    """The frames of a run by column: (N, D) of `dtype`, and (N,) of the counters.

    Args:
        run: the episode.
        layout: of the export.
        dtype: of actions and states.
        episode: its number.
        first: number of its first frame in the whole data set.
        task: number of its task.
    """
    frames = np.arange(run.num_frames)
    rows = {STATE: run.state, ACTION: run.actions}
    return {
        **{feature: rows[feature]().astype(dtype) for feature in spaces_of(layout)},
        "timestamp": (frames / layout.fps).astype(np.float32),
        "frame_index": frames,
        "episode_index": np.full(run.num_frames, episode),
        "index": first + frames,
        "task_index": np.full(run.num_frames, task),
    }


def table(columns: dict[str, NDArray[Any]], schema: pa.Schema) -> pa.Table:
    """The columns as Arrow has them."""
    arrays = [pa.array(columns[field.name].ravel()) for field in schema]
    return pa.table(
        [
            pa.FixedSizeListArray.from_arrays(array, field.type.list_size)
            if pa.types.is_fixed_size_list(field.type)
            else array
            for array, field in zip(arrays, schema, strict=True)
        ],
        schema=schema,
    )
