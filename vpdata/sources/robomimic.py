"""robomimic and MimicGen HDF5: image datasets of one Panda under OSC_POSE.

Enters: files as robomimic's `dataset_states_to_obs.py` (v0.2 and later) writes them with cameras. Leaves: one episode a
demo. `obs[t]` is observed in `states[t]`, before `actions[t]`; `next_obs` repeats it one step later and is not read.
Images are stored upright: `EnvRobosuite.get_observation` turns robosuite's before they are written.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from vpdata.errors import SourceError, VpdataError
from vpdata.schema import Episode
from vpdata.sources import EpisodeReader, SourceFile, SourceOptions, checks, demo_hdf5, hdf5
from vpdata.sources.files import content_digest, file_digest, find_files, refuse_resampling

ACTION_SPACE = "osc_pose_action"
STATE_SPACE = "robomimic_panda_state"
STATE = ("robot0_eef_pos", "robot0_eef_quat", "robot0_gripper_qpos")
CAMERAS = {"wrist": "robot0_eye_in_hand_image", "front": "agentview_image"}
DEFAULT_FPS = 20.0
ROBOTS = ["Panda"]
CONTROLLER = {"type": "OSC_POSE", "changes": True, "output_max": [0.05, 0.05, 0.05, 0.5, 0.5, 0.5]}
FRAMES = (None, "base", "world")  # of the changes; the base of one Panda at a table has the world's axes
RENDER_HINT = (
    "Render it with robomimic: python dataset_states_to_obs.py --dataset FILE --camera_names agentview "
    "robot0_eye_in_hand, and give the file that it writes."
)


class Robomimic:
    """The `robomimic` source."""

    name = "robomimic"

    def find(self, path: Path) -> Sequence[SourceFile]:
        """The HDF5 files at `path` in natural order. Raises SourceError where there is none."""
        return find_files(path, extensions=hdf5.EXTENSIONS, kind="robomimic HDF5 file")

    def episodes(self, file: SourceFile, options: SourceOptions) -> Iterator[Episode | VpdataError]:
        """The demos in natural order; a demo that cannot be used comes as the error that says why.

        Raises:
            SourceError: the file cannot be read, has no images, is of another robot or controller, or lacks the filter
                key.
        """
        refuse_resampling(options, path=file.path)
        with hdf5.open_file(file.path) as h5:
            with hdf5.reading(file.path):
                data = demo_hdf5.data_group(h5, path=file.path)
                names = demo_hdf5.demo_names(h5, options.filter_key, path=file.path)
                if not demo_hdf5.has_images(data):
                    raise SourceError("the demos have no images, only states.", path=file.path, hint=RENDER_HINT)
            environment = hdf5.json_attribute(data, "env_args")
            _check_robot(environment, path=file.path)
            digest = file_digest(file.path)
            for demo in names:
                try:
                    described: Episode | VpdataError = _describe(data, demo, environment, file, options, digest)
                except SourceError as error:
                    described = error
                yield described

    @contextmanager
    def open(self, file: SourceFile, episode: Episode, options: SourceOptions) -> Iterator[EpisodeReader]:  # noqa: ARG002
        """Opens one demo that `episodes` described."""
        with hdf5.open_file(file.path) as h5:
            yield _reader(h5, episode, file.path)


SOURCE = Robomimic()


def _check_robot(environment: dict[str, Any], *, path: Path) -> None:
    """Raises SourceError unless actions are changes of one Panda's pose, in the units of `osc_pose_action`."""
    settings = environment.get("env_kwargs", {})
    robots, arm = settings.get("robots"), _arm(settings.get("controller_configs"))
    found = {
        "type": arm.get("type"),
        "changes": arm.get("control_delta", arm.get("input_type") == "delta"),
        "output_max": arm.get("output_max"),
    }
    if robots not in (ROBOTS, ROBOTS[0]) or found != CONTROLLER or arm.get("input_ref_frame") not in FRAMES:
        raise SourceError(
            f"the actions are of robots {robots} under {arm}, not of {ROBOTS} under a controller with {CONTROLLER}.",
            path=path,
            hint="What such actions mean is not known here; a source or a plain folder can say it (docs/SOURCES.md).",
        )


def _arm(controller: Any) -> dict[str, Any]:
    """The settings of the arm's controller: all of them before robosuite 1.5, since then a part of a composite one."""
    if isinstance(controller, dict) and controller.get("type") == "BASIC":
        controller = controller.get("body_parts", {}).get("right")
    return controller if isinstance(controller, dict) else {}


def _actions(group: h5py.Group, *, path: Path, episode: str) -> hdf5.Array:
    actions = hdf5.dataset(group, "actions", path=path, episode=episode)[:]
    return checks.in_space(actions, name="actions", space=ACTION_SPACE, path=path, episode=episode)


def _state(group: h5py.Group, *, path: Path, episode: str) -> hdf5.Array:
    state = demo_hdf5.observed(group, STATE, path=path, episode=episode)
    return checks.in_space(state, name="state", space=STATE_SPACE, path=path, episode=episode)


def _instructions(meta: dict[str, Any]) -> tuple[str, ...]:
    """Those of `ep_meta`: `lang`, or all `instructions` where `vpdata export` wrote the file."""
    said = meta.get("instructions") or meta.get("lang") or ()
    return (said,) if isinstance(said, str) else tuple(said)


def _describe(
    data: h5py.Group,
    demo: str,
    environment: dict[str, Any],
    file: SourceFile,
    options: SourceOptions,
    file_sha256: str,
) -> Episode:
    path = file.path
    with hdf5.reading(path, episode=demo):
        group = demo_hdf5.demo_group(data, demo, path=path)
        cameras = demo_hdf5.cameras_of(group, options.cameras or CAMERAS, path=path, episode=demo)
        actions, state = _actions(group, path=path, episode=demo), _state(group, path=path, episode=demo)
        steps = demo_hdf5.num_steps(group, cameras, actions=actions, state=state, path=path, episode=demo)
        recorded = environment["env_kwargs"].get("control_freq")
        meta = hdf5.json_attribute(group, "ep_meta")
        fps = checks.frame_rate(recorded, options, default=DEFAULT_FPS, path=path)
        return Episode(
            source=SOURCE.name,
            file=file.name,
            episode_id=demo,
            content_digest=content_digest(
                file_sha256, source=SOURCE.name, episode_id=demo, cameras=cameras, fps=fps, options=options
            ),
            num_frames=steps,
            num_actions=steps,
            fps=fps,
            cameras=cameras,
            action_space=ACTION_SPACE,
            state_space=STATE_SPACE,
            instructions=(options.instruction,) if options.instruction else _instructions(meta),
            task=environment.get("env_name") or meta.get("task") or "",
        )


def _reader(h5: h5py.File, episode: Episode, path: Path) -> hdf5.Hdf5Reader:
    demo = episode.episode_id
    with hdf5.reading(path, episode=demo):
        group = demo_hdf5.demo_group(demo_hdf5.data_group(h5, path=path), demo, path=path)
        return hdf5.Hdf5Reader(
            path=path,
            episode=demo,
            images={camera.name: group["obs"][camera.recorded_name] for camera in episode.cameras},
            to_rgb=lambda _camera, _index, row: row,
            actions=_actions(group, path=path, episode=demo),
            state=_state(group, path=path, episode=demo),
        )
