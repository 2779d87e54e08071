"""RoboCasa365: LeRobot data sets of the PandaOmron with `meta/modality.json` and `extras/`.

Enters: an unpacked `lerobot/` folder, or one above several. Leaves: what the source `lerobot` gives, with the language
of `ep_meta.json`, and the columns of actions and state in the order of RoboCasa's HDF5 files. Where each part of a row
lies, `modality.json` says.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import SourceError, VpdataError
from vpdata.schema import Episode, Scalar
from vpdata.sources import EpisodeReader, SourceFile, SourceOptions
from vpdata.sources.files import file_digest
from vpdata.sources.lerobot import describe_dataset, find_datasets, open_episode
from vpdata.sources.lerobot_meta import FETCH_HINT, INFO, read_json, read_layout

MODALITY = "meta/modality.json"
ABOUT = "extras/dataset_meta.json"
ACTION_SPACE, STATE_SPACE = "robocasa_panda_omron_action", "robocasa_panda_omron_state"
KEYS = {"action": "action", "state": "observation.state"}
PARTS: Mapping[str, Mapping[str, int]] = {  # their names in modality.json and their sizes, in the order of the spaces
    "action": {
        "end_effector_position": 3,
        "end_effector_rotation": 3,
        "gripper_close": 1,
        "base_motion": 4,
        "control_mode": 1,
    },
    "state": {
        "base_position": 3,
        "base_rotation": 4,
        "end_effector_position_relative": 3,
        "end_effector_rotation_relative": 4,
        "gripper_qpos": 2,
    },
}
CAMERAS = {
    "wrist": "observation.images.robot0_eye_in_hand",
    "left": "observation.images.robot0_agentview_left",
    "right": "observation.images.robot0_agentview_right",
}


class RoboCasa365:
    """The `robocasa365` source."""

    name = "robocasa365"

    def find(self, path: Path) -> Sequence[SourceFile]:
        """The data sets at or below `path`, in natural order. Raises SourceError where there is none."""
        return find_datasets(path, kind="RoboCasa365 data set", mark=MODALITY)

    def episodes(self, file: SourceFile, options: SourceOptions) -> Iterator[Episode | VpdataError]:
        """The episodes in order; one that cannot be used comes as the error that says why.

        Raises:
            SourceError: as the source `lerobot`, or the rows are not those of a PandaOmron.
        """
        columns = [_columns(file.path, kind).tolist() for kind in KEYS]
        _check_features(file.path)
        task = _task(file.path)
        for described in describe_dataset(file, options, source=self.name, cameras=options.cameras or CAMERAS):
            if isinstance(described, Episode):
                try:
                    yield _completed(described, columns, task, file, options)
                except SourceError as error:
                    yield error
            else:
                yield described

    @contextmanager
    def open(self, file: SourceFile, episode: Episode, options: SourceOptions) -> Iterator[EpisodeReader]:  # noqa: ARG002
        """Opens an episode that `episodes` described."""
        with open_episode(file, episode) as reader:
            yield replace(
                reader,
                actions=_ordered(reader.actions, _columns(file.path, "action")),
                state=_ordered(reader.state, _columns(file.path, "state")),
            )


SOURCE = RoboCasa365()


def _ordered(values: NDArray[np.generic] | None, columns: NDArray[np.int64]) -> NDArray[np.generic] | None:
    return None if values is None else values[:, columns]


def _columns(root: Path, kind: str) -> NDArray[np.int64]:
    """Which column of a stored row each column of the space is.

    Raises:
        SourceError: `modality.json` does not place each part of that kind once, at its size, in the row of that kind.
    """
    path, key, parts = root / MODALITY, KEYS[kind], PARTS[kind]
    said = read_json(path).get(kind, {})
    try:
        bounds = [(int(said[name]["start"]), int(said[name]["end"])) for name in parts]
        fits = len(said) == len(parts) and all(said[name]["original_key"] == key for name in parts)
    except (KeyError, TypeError, ValueError, OverflowError):
        bounds, fits = [], False
    fits = fits and [end - start for start, end in bounds] == list(parts.values())
    columns = [column for start, end in bounds for column in range(start, end)] if fits else []
    if not fits or sorted(columns) != list(range(sum(parts.values()))):
        listed = ", ".join(f"{name} ({size})" for name, size in parts.items())
        what = f"{kind} is not made of {listed} of a PandaOmron, each once, out of {key!r}; it is {json.dumps(said)}."
        raise SourceError(what, path=path, hint="Read the data of another robot with `vpdata ingest lerobot`.")
    return np.array(columns)


def _check_features(root: Path) -> None:
    features = read_layout(root).features
    for kind, key in KEYS.items():
        size = sum(PARTS[kind].values())
        if key not in features or features[key].shape != (size,):
            what = f"{key!r} is {features[key].shape if key in features else 'missing'}, not ({size},)."
            raise SourceError(
                what, path=root / INFO, hint="Read the data of another robot with `vpdata ingest lerobot`."
            )


def _task(root: Path) -> str:
    """The name of the environment (`CloseDrawer`). Raises SourceError where the data set does not say it."""
    environment = read_json(root / ABOUT).get("env_args")
    name = environment.get("env_name") if isinstance(environment, dict) else None
    if not name or not isinstance(name, str):
        raise SourceError("there is no env_args.env_name.", path=root / ABOUT, hint=FETCH_HINT)
    return name


def _completed(
    described: Episode, columns: Sequence[Sequence[int]], task: str, file: SourceFile, options: SourceOptions
) -> Episode:
    """The episode with what `extras/` says about it. Raises SourceError where that is missing."""
    path = file.path / "extras" / described.episode_id / "ep_meta.json"
    meta = read_json(path)
    attributes: dict[str, Scalar] = {
        key: meta[key] for key in ("layout_id", "style_id", "success") if isinstance(meta.get(key), int)
    }
    said = options.instruction or meta.get("lang")
    read = [described.content_digest, file_digest(path), columns, task]
    return replace(
        described,
        content_digest=hashlib.sha256(json.dumps(read).encode()).hexdigest(),
        action_space=ACTION_SPACE,
        state_space=STATE_SPACE,
        instructions=(said,) if said else described.instructions,
        task=task,
        attributes={**described.attributes, **attributes},
    )
