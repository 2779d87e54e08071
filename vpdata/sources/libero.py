"""LIBERO HDF5: rendered demos of the Panda.

Enters: `*_demo.hdf5` as LIBERO's `create_dataset.py` writes them. Leaves: one episode a demo, turned upright, language
from `problem_info`. LIBERO records `obs[t]` *after* `actions[t]`, so frame t pairs with `actions[t + 1]`:

    recorded   a0 o0 a1 o1 a2 o2        o0 is seen after a0
    episode       f0 a0 f1 a1 f2        f0 = o0, a0 = recorded a1; the last frame has no action
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from vpdata.errors import SourceError, VpdataError
from vpdata.schema import Episode
from vpdata.sources import EpisodeReader, SourceFile, SourceOptions, checks, demo_hdf5, hdf5
from vpdata.sources.files import content_digest, file_digest, find_files, refuse_resampling

ACTION_SPACE = "osc_pose_action"
STATE_SPACE = "libero_panda_state"
STATE = ("ee_pos", "ee_ori", "gripper_states")
CAMERAS = {"wrist": "eye_in_hand_rgb", "front": "agentview_rgb"}
DEFAULT_FPS = 20.0
ROW_ORDERS = {"opengl": slice(None, None, -1), "opencv": slice(None)}  # robosuite's image conventions, to upright
RENDER_HINT = (
    "Render it with --render DIR (docs/SIMULATORS.md), or with LIBERO: python scripts/create_dataset.py --demo-file "
    "FILE --use-camera-obs, and give the file that it writes."
)


class Libero:
    """The `libero` source."""

    name = "libero"

    def find(self, path: Path) -> Sequence[SourceFile]:
        """The HDF5 files at `path` in natural order. Raises SourceError where there is none."""
        return find_files(path, extensions=hdf5.EXTENSIONS, kind="LIBERO HDF5 file")

    def episodes(self, file: SourceFile, options: SourceOptions) -> Iterator[Episode | VpdataError]:
        """The demos in natural order; a demo that cannot be used comes as the error that says why.

        Raises:
            SourceError: the file cannot be read, has no images, does not say which way up they are, or lacks the filter
                key.
        """
        refuse_resampling(options, path=file.path)
        with hdf5.open_file(file.path) as h5:
            with hdf5.reading(file.path):
                data = demo_hdf5.data_group(h5, path=file.path)
                demos = demo_hdf5.demo_names(h5, options.filter_key, path=file.path)
                if not demo_hdf5.has_images(data):
                    raise SourceError("the demos have no images, only states.", path=file.path, hint=RENDER_HINT)
                _rows_to_upright(data, path=file.path)
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


SOURCE = Libero()


def _rows_to_upright(data: h5py.Group, *, path: Path) -> slice:
    convention = data.attrs.get("macros_image_convention")
    if convention not in ROW_ORDERS:
        raise SourceError(
            f"the attribute macros_image_convention of 'data' is {convention!r}, so it is not known whether the images "
            "are upside down. LIBERO's own files say 'opengl'; files derived from them may also pair images and "
            "actions differently.",
            path=path,
            hint="Use LIBERO's original files, or set the attribute to 'opengl' (upside down) or 'opencv' (upright).",
        )
    return ROW_ORDERS[convention]


def _recorded_actions(group: h5py.Group, *, path: Path, episode: str) -> hdf5.Array:
    actions = hdf5.dataset(group, "actions", path=path, episode=episode)[:]
    return checks.in_space(actions, name="actions", space=ACTION_SPACE, path=path, episode=episode)


def _state(group: h5py.Group, *, path: Path, episode: str) -> hdf5.Array:
    state = demo_hdf5.observed(group, STATE, path=path, episode=episode)
    return checks.in_space(state, name="state", space=STATE_SPACE, path=path, episode=episode)


def _language(data: h5py.Group) -> str:
    words = hdf5.json_attribute(data, "problem_info").get("language_instruction", "")
    return "".join(words).strip('" ')  # some writers store the sentence as a list of characters, or quoted


def _describe(data: h5py.Group, demo: str, file: SourceFile, options: SourceOptions, file_sha256: str) -> Episode:
    path = file.path
    with hdf5.reading(path, episode=demo):
        group = demo_hdf5.demo_group(data, demo, path=path)
        cameras = demo_hdf5.cameras_of(group, options.cameras or CAMERAS, path=path, episode=demo)
        actions = _recorded_actions(group, path=path, episode=demo)
        state = _state(group, path=path, episode=demo)
        steps = demo_hdf5.num_steps(group, cameras, actions=actions, state=state, path=path, episode=demo)
        if steps < 2:
            raise SourceError("one step makes no pair of a frame and the action after it.", path=path, episode=demo)
        environment = hdf5.json_attribute(data, "env_args").get("env_kwargs", {})
        fps = checks.frame_rate(environment.get("control_freq"), options, default=DEFAULT_FPS, path=path)
        language = options.instruction or _language(data)
        return Episode(
            source=SOURCE.name,
            file=file.name,
            episode_id=demo,
            content_digest=content_digest(
                file_sha256, source=SOURCE.name, episode_id=demo, cameras=cameras, fps=fps, options=options
            ),
            num_frames=steps,
            num_actions=steps - 1,
            fps=fps,
            cameras=cameras,
            action_space=ACTION_SPACE,
            state_space=STATE_SPACE,
            instructions=(language,) if language else (),
            task=path.stem.removesuffix("_demo"),
            attributes=demo_hdf5.success(group),
        )


def _reader(h5: h5py.File, episode: Episode, path: Path) -> hdf5.Hdf5Reader:
    demo = episode.episode_id
    with hdf5.reading(path, episode=demo):
        data = demo_hdf5.data_group(h5, path=path)
        rows = _rows_to_upright(data, path=path)
        group = demo_hdf5.demo_group(data, demo, path=path)
        return hdf5.Hdf5Reader(
            path=path,
            episode=demo,
            images={camera.name: group["obs"][camera.recorded_name] for camera in episode.cameras},
            to_rgb=lambda _camera, _index, row: np.ascontiguousarray(row[rows]),
            actions=_recorded_actions(group, path=path, episode=demo)[1:],
            state=_state(group, path=path, episode=demo),
        )
