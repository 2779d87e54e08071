"""RoboCasa HDF5 (v0.1, v0.2): rendered demos of the PandaOmron.

Enters: `demo_gentex_im128_randcams.hdf5` and the like. Leaves: one episode a demo, upright as stored, `obs[t]` recorded
before `actions[t]`, language from the demo's `ep_meta`.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py

from vpdata.errors import SourceError, VpdataError
from vpdata.schema import Episode, Scalar
from vpdata.sources import EpisodeReader, SourceFile, SourceOptions, checks, demo_hdf5, hdf5
from vpdata.sources.files import content_digest, file_digest, find_files, refuse_resampling

ACTION_SPACE = "robocasa_panda_omron_action"
STATE_SPACE = "robocasa_panda_omron_state"
STATE = (
    "robot0_base_pos",
    "robot0_base_quat",
    "robot0_base_to_eef_pos",
    "robot0_base_to_eef_quat",
    "robot0_gripper_qpos",
)
CAMERAS = {
    "wrist": "robot0_eye_in_hand_image",
    "left": "robot0_agentview_left_image",
    "right": "robot0_agentview_right_image",
}
IMAGE_SUFFIX = "_image"
DEFAULT_FPS = 20.0
_NO_TASK = re.compile(r"\d{4}-\d\d-\d\d[\d-]*|mg")
RENDER_HINT = (
    "Render it with --render DIR (docs/SIMULATORS.md), or with RoboCasa: python "
    "robocasa/scripts/dataset_states_to_obs.py --dataset FILE, and give the file that this writes beside it."
)


class RoboCasa:
    """The `robocasa` source."""

    name = "robocasa"

    def find(self, path: Path) -> Sequence[SourceFile]:
        """The rendered files at `path`; in a folder of its own, a `demo.hdf5` without images is given too.

        Raises:
            SourceError: nothing is there, or one folder holds one task rendered more than once, so that the same demos
                would come twice.
        """
        files = find_files(path, extensions=hdf5.EXTENSIONS, kind="RoboCasa HDF5 file")
        if path.is_file():
            return files
        rendered: dict[tuple[Path, str], list[str]] = {}
        states_only: set[Path] = set()
        for file in files:
            try:
                task = _rendered_task(file.path)
            except SourceError:
                continue  # not left out: `episodes` raises it again, for this file alone
            if task is None:
                states_only.add(file.path)
            else:
                rendered.setdefault((file.path.parent, task), []).append(file.path.name)
        for (folder, task), names in rendered.items():
            if len(names) > 1:
                raise SourceError(
                    f"{len(names)} files hold rendered demos of {task}: {', '.join(names)}. They usually show the same "
                    "demos, which would be taken more than once.",
                    path=folder,
                    hint="Give the one file that you want as SRC, or a pattern: 'FOLDER/**/demo_gentex_im128*.hdf5'.",
                )
        folders = {folder for folder, _ in rendered}
        return tuple(file for file in files if not (file.path in states_only and file.path.parent in folders))

    def episodes(self, file: SourceFile, options: SourceOptions) -> Iterator[Episode | VpdataError]:
        """The demos in natural order; a demo that cannot be used comes as the error that says why.

        Raises:
            SourceError: the file cannot be read, has no images, or lacks the filter key.
        """
        refuse_resampling(options, path=file.path)
        with hdf5.open_file(file.path) as h5:
            with hdf5.reading(file.path):
                data = demo_hdf5.data_group(h5, path=file.path)
                demos = demo_hdf5.demo_names(h5, options.filter_key, path=file.path)
                if not demo_hdf5.has_images(data):
                    raise SourceError("the demos have no images, only states.", path=file.path, hint=RENDER_HINT)
            digest = file_digest(file.path)
            for demo in demos:
                try:
                    described: Episode | VpdataError = _describe(data, demo, file, options, digest)
                except SourceError as error:
                    described = error
                yield described

    @contextmanager
    def open(self, file: SourceFile, episode: Episode, options: SourceOptions) -> Iterator[EpisodeReader]:  # noqa: ARG002
        """Opens one demo that `episodes` described."""
        with hdf5.open_file(file.path) as h5:
            yield _reader(h5, episode, file.path)


SOURCE = RoboCasa()


def _rendered_task(path: Path) -> str | None:
    """The task of a file with images, None for one without. Raises SourceError where it cannot be read."""
    with hdf5.open_file(path) as h5, hdf5.reading(path):
        data = demo_hdf5.data_group(h5, path=path)
        return _task(data, path) if demo_hdf5.has_images(data, suffix=IMAGE_SUFFIX) else None


def _task(data: h5py.Group, path: Path) -> str:
    """As the file says it, or else the nearest folder that is no date (`2024-04-30`) and not `mg`."""
    named = hdf5.json_attribute(data, "env_args").get("env_name")
    return str(named or next(folder.name for folder in path.absolute().parents if not _NO_TASK.fullmatch(folder.name)))


def _actions(group: h5py.Group, *, path: Path, episode: str) -> hdf5.Array:
    actions = hdf5.dataset(group, "actions", path=path, episode=episode)[:]
    return checks.in_space(actions, name="actions", space=ACTION_SPACE, path=path, episode=episode)


def _state(group: h5py.Group, *, path: Path, episode: str) -> hdf5.Array:
    state = demo_hdf5.observed(group, STATE, path=path, episode=episode)
    return checks.in_space(state, name="state", space=STATE_SPACE, path=path, episode=episode)


def _with_suffix(recorded: str) -> str:
    return recorded if recorded.endswith(IMAGE_SUFFIX) else recorded + IMAGE_SUFFIX


def _describe(data: h5py.Group, demo: str, file: SourceFile, options: SourceOptions, file_sha256: str) -> Episode:
    path = file.path
    with hdf5.reading(path, episode=demo):
        group = demo_hdf5.demo_group(data, demo, path=path)
        wanted = {name: _with_suffix(recorded) for name, recorded in (options.cameras or CAMERAS).items()}
        cameras = demo_hdf5.cameras_of(group, wanted, path=path, episode=demo)
        actions = _actions(group, path=path, episode=demo)
        state = _state(group, path=path, episode=demo)
        steps = demo_hdf5.num_steps(group, cameras, actions=actions, state=state, path=path, episode=demo)
        meta = hdf5.json_attribute(group, "ep_meta")
        environment = hdf5.json_attribute(data, "env_args").get("env_kwargs", {})
        fps = checks.frame_rate(environment.get("control_freq"), options, default=DEFAULT_FPS, path=path)
        attributes: dict[str, Scalar] = {
            key: meta[key] for key in ("layout_id", "style_id") if isinstance(meta.get(key), int)
        }
        language = options.instruction or meta.get("lang")
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
            instructions=(language,) if language else (),
            task=_task(data, path),
            attributes=attributes | demo_hdf5.success(group),
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
