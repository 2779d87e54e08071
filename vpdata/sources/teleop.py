"""ALOHA and ACT HDF5: one teleoperated episode a file.

Enters: `episode_*.hdf5` with `action`, `observations/qpos` and `observations/images/*`, raw or JPEG-compressed. Leaves:
one episode a file; `obs[t]` was recorded before `action[t]`.

Compressed files hold JPEGs that ACT wrote with `cv2.imencode` from RGB arrays. OpenCV takes its input for BGR, so that
red and blue are swapped inside the JPEG; every decoder but OpenCV's gives them swapped, and they are swapped back here.

Rows are padded with zeros. How long they were is read from the JPEG's own end and not from `compress_len`, which has a
row a camera and does not say whose: ACT writes them in the order of its configuration, HDF5 lists cameras by name.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from vpdata.errors import SourceError, VpdataError
from vpdata.schema import Camera, Episode, Scalar
from vpdata.sources import EpisodeReader, SourceFile, SourceOptions, checks, hdf5
from vpdata.sources.cameras import default_cameras, wrist_first
from vpdata.sources.files import content_digest, file_digest, find_files, refuse_filter_key, refuse_resampling

ACTION_SPACE = "aloha_action"
STATE_SPACE = "aloha_state"
SPACES = {"action": ACTION_SPACE, "observations/qpos": STATE_SPACE}
DEFAULT_FPS = 50.0
CANONICAL_NAMES = {"cam_high": "top", "cam_left_wrist": "left_wrist", "cam_right_wrist": "right_wrist"}
JPEG_END = b"\xff\xd9"


class Teleop:
    """The `teleop` source."""

    name = "teleop"

    def find(self, path: Path) -> Sequence[SourceFile]:
        """The HDF5 files at `path` in natural order. Raises SourceError where there is none."""
        return find_files(path, extensions=hdf5.EXTENSIONS, kind="ALOHA HDF5 file")

    def episodes(self, file: SourceFile, options: SourceOptions) -> Iterator[Episode | VpdataError]:
        """The one episode of the file, or the error that says why it cannot be used.

        Raises:
            SourceError: the file cannot be read.
        """
        refuse_filter_key(options, path=file.path)
        refuse_resampling(options, path=file.path)
        with hdf5.open_file(file.path) as h5:
            try:
                with hdf5.reading(file.path, episode=file.path.stem):
                    described: Episode | VpdataError = _describe(h5, file, options)
            except SourceError as error:
                described = error
            yield described

    @contextmanager
    def open(self, file: SourceFile, episode: Episode, options: SourceOptions) -> Iterator[EpisodeReader]:  # noqa: ARG002
        """Opens the episode that `episodes` described."""
        with hdf5.open_file(file.path) as h5:
            yield _reader(h5, episode, file.path)


SOURCE = Teleop()


def _is_compressed(h5: h5py.File) -> bool:
    return bool(h5.attrs.get("compress", False))


def _joints(h5: h5py.File, name: str, *, path: Path) -> hdf5.Array:
    values = hdf5.dataset(h5, name, path=path, episode=path.stem)[:]
    return checks.in_space(values, name=name, space=SPACES[name], path=path, episode=path.stem)


def _decode_jpeg(row: hdf5.Images, *, size: tuple[int, int] | None, path: Path, where: str) -> hdf5.Images:
    """One zero-padded row of JPEG bytes to an RGB frame of that (height, width), any size where None."""
    data = row.tobytes().rstrip(b"\0")
    if not data.endswith(JPEG_END):
        raise SourceError("the JPEG is cut off.", path=path, episode=where, hint="Record or copy this file again.")
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            swapped = np.asarray(image.convert("RGB"))
    except OSError as error:
        raise SourceError(f"the JPEG does not decode ({error}).", path=path, episode=where) from error
    if size is not None and swapped.shape[:2] != size:
        raise SourceError(f"the frame is {swapped.shape[:2]}, the first was {size}.", path=path, episode=where)
    return np.ascontiguousarray(swapped[..., ::-1])


def _camera(images: h5py.Group, name: str, recorded: str, *, compressed: bool, path: Path) -> Camera:
    episode = path.stem
    stored = hdf5.camera_dataset(images, recorded, camera=name, path=path, episode=episode)
    if not compressed:
        return hdf5.raw_camera(stored, name=name, recorded_name=recorded, path=path, episode=episode)
    if stored.dtype != np.uint8 or stored.ndim != 2 or not len(stored):
        raise SourceError(
            f"camera {recorded!r} is {stored.dtype} {stored.shape}, not uint8 (frames, JPEG bytes), although the file "
            "says that it is compressed.",
            path=path,
            episode=episode,
        )
    first = _decode_jpeg(stored[0], size=None, path=path, where=f"{episode}, camera {recorded}, frame 0")
    return Camera(name=name, recorded_name=recorded, height=first.shape[0], width=first.shape[1])


def _describe(h5: h5py.File, file: SourceFile, options: SourceOptions) -> Episode:
    path, episode_id = file.path, file.path.stem
    images = h5.get("observations/images")
    if not isinstance(images, h5py.Group) or not len(images):
        raise SourceError(
            "there are no cameras under observations/images.",
            path=path,
            episode=episode_id,
            hint="Choose another source.",
        )
    wanted = options.cameras or default_cameras({name: CANONICAL_NAMES.get(name, name) for name in images}, path=path)
    cameras = tuple(
        _camera(images, name, recorded, compressed=_is_compressed(h5), path=path)
        for name, recorded in wrist_first(wanted)
    )
    lengths = {camera.recorded_name: len(images[camera.recorded_name]) for camera in cameras}
    lengths |= {name: len(_joints(h5, name, path=path)) for name in SPACES}
    steps = checks.equal_length(lengths, path=path, episode=episode_id)
    fps = checks.frame_rate(None, options, default=DEFAULT_FPS, path=path)
    attributes: dict[str, Scalar] = {"simulated": bool(h5.attrs["sim"])} if "sim" in h5.attrs else {}
    if "base_action" in h5:
        attributes["base_action_left_out"] = bool(np.any(h5["base_action"][:]))
    return Episode(
        source=SOURCE.name,
        file=file.name,
        episode_id=episode_id,
        content_digest=content_digest(
            file_digest(path), source=SOURCE.name, episode_id="", cameras=cameras, fps=fps, options=options
        ),
        num_frames=steps,
        num_actions=steps,
        fps=fps,
        cameras=cameras,
        action_space=ACTION_SPACE,
        state_space=STATE_SPACE,
        instructions=(options.instruction,) if options.instruction else (),
        task=path.absolute().parent.name,
        attributes=attributes,
    )


def _reader(h5: h5py.File, episode: Episode, path: Path) -> hdf5.Hdf5Reader:
    sizes = {camera.name: (camera.height, camera.width) for camera in episode.cameras}

    def decode(camera: str, index: int, row: hdf5.Images) -> hdf5.Images:
        where = f"{episode.episode_id}, camera {camera}, frame {index}"
        return _decode_jpeg(row, size=sizes[camera], path=path, where=where)

    with hdf5.reading(path, episode=episode.episode_id):
        images = h5["observations/images"]
        return hdf5.Hdf5Reader(
            path=path,
            episode=episode.episode_id,
            images={camera.name: images[camera.recorded_name] for camera in episode.cameras},
            to_rgb=decode if _is_compressed(h5) else lambda _camera, _index, row: row,
            actions=_joints(h5, "action", path=path),
            state=_joints(h5, "observations/qpos", path=path),
        )
