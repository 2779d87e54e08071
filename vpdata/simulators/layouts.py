"""Demos that hold only the simulator's states, and what their rendering has to look like to be read again.

Enters: the `data` group of such an HDF5 file. Leaves: the environment that shows its states, and how LIBERO's and
RoboCasa's own scripts would have stored what is seen there.
"""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from vpdata.errors import SimulatorError
from vpdata.simulators import robocasa


class Layout(Protocol):
    """A format of demos.

    Attributes:
        simulator: the one that made them.
        cameras: canonical name -> recorded name, by default.
        first_step: of a demo that is kept.
        is_seen_after: whether `obs[t]` is seen after `actions[t]`, not before it.
    """

    simulator: str
    cameras: Mapping[str, str]
    first_step: int
    is_seen_after: bool

    def task(self, data: h5py.Group) -> str:
        """The simulator's name of the task."""
        ...

    def settings(self, data: h5py.Group) -> dict[str, Any]:
        """`EnvironmentOptions.settings`."""
        ...

    def file_name(self, raw: Path, data: h5py.Group) -> str:
        """What the rendered file is called."""
        ...

    def camera(self, recorded: str) -> str:
        """The simulator's name of a camera."""
        ...

    def attributes(self, data: h5py.Group) -> dict[str, Any]:
        """Of the rendered `data`, beside those of the raw one."""
        ...

    def stored(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A frame (H, W, 3) as it lies in the file."""
        ...

    def split(self, state: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """A state (D,) as the datasets under `obs`."""
        ...


class _Libero:
    simulator = "libero"
    cameras: Mapping[str, str] = {"wrist": "eye_in_hand_rgb", "front": "agentview_rgb"}
    first_step = 5  # LIBERO's `create_dataset.py` drops those in which objects settle
    is_seen_after = True

    def task(self, data: h5py.Group) -> str:
        problem = PurePosixPath(_attribute(data, "bddl_file_name"))
        return f"{problem.parent.name}/{problem.stem}"

    def settings(self, data: h5py.Group) -> dict[str, Any]:  # noqa: ARG002
        return {}

    def file_name(self, raw: Path, data: h5py.Group) -> str:  # noqa: ARG002
        return f"{self.task(data)}_demo.hdf5"

    def camera(self, recorded: str) -> str:
        name = recorded.removesuffix("_rgb")
        return "robot0_eye_in_hand" if name == "eye_in_hand" else name

    def attributes(self, data: h5py.Group) -> dict[str, Any]:
        kwargs = {**json.loads(_attribute(data, "env_info")), "control_freq": 20}
        return {"macros_image_convention": "opengl", "env_args": json.dumps({"type": 1, "env_kwargs": kwargs})}

    def stored(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return frame[::-1]

    def split(self, state: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return {"ee_pos": state[:3], "ee_ori": state[3:6], "gripper_states": state[6:]}


class _RoboCasa:
    simulator = "robocasa"
    cameras: Mapping[str, str] = {
        "wrist": "robot0_eye_in_hand_image",
        "left": "robot0_agentview_left_image",
        "right": "robot0_agentview_right_image",
    }
    first_step = 0
    is_seen_after = False

    def task(self, data: h5py.Group) -> str:
        arguments = json.loads(data.attrs.get("env_args", "{}"))
        return str(arguments["env_name"]) if "env_name" in arguments else _attribute(data, "env")

    def settings(self, data: h5py.Group) -> dict[str, Any]:
        arguments = json.loads(data.attrs.get("env_args", "{}"))
        recorded = arguments.get("env_kwargs")
        return dict(recorded) if recorded else robocasa.settings_of(_attribute(data, "env_info"))

    def file_name(self, raw: Path, data: h5py.Group) -> str:
        return f"{self.task(data)}/{raw.stem}_rendered.hdf5"

    def camera(self, recorded: str) -> str:
        return recorded.removesuffix("_image")

    def attributes(self, data: h5py.Group) -> dict[str, Any]:
        arguments = {"env_name": self.task(data), "type": 1, "env_kwargs": self.settings(data)}
        return {"env_args": json.dumps(arguments)}

    def stored(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return frame

    def split(self, state: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        parts = np.split(state, np.cumsum(robocasa.STATE_SIZES)[:-1])
        return dict(zip(robocasa.STATE, parts, strict=True))


LAYOUTS: Mapping[str, Layout] = {"libero": _Libero(), "robocasa": _RoboCasa()}


def _attribute(data: h5py.Group, name: str) -> str:
    if name not in data.attrs:
        what = f"the attribute {name!r} of 'data' is missing, which the recorder writes."
        raise SimulatorError(what, path=data.file.filename, hint="Is this the file of another simulator?")
    return str(data.attrs[name])
