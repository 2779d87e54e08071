"""The layout that robomimic, RoboCasa and LIBERO share: `data/demo_*` with `obs`, and lists of demos under `mask`.

Enters: an open HDF5 file. Leaves: its `data` group, the names of the demos to read, and what these sources check alike.
"""

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from vpdata.errors import SourceError
from vpdata.schema import Camera
from vpdata.sources import checks, hdf5
from vpdata.sources.cameras import wrist_first
from vpdata.sources.files import natural_key


def data_group(file: h5py.File, *, path: Path) -> h5py.Group:
    """The group with the demos. Raises SourceError where the file has another layout or no demo."""
    data = file.get("data")
    if not isinstance(data, h5py.Group) or not len(data):
        raise SourceError(
            "the file has no demos under 'data'.", path=path, hint="Choose another source, or another file."
        )
    return data


def demo_names(file: h5py.File, filter_key: str | None, *, path: Path) -> list[str]:
    """Demos in natural order, all or those listed under `mask/<filter_key>`. Raises SourceError for an unknown list."""
    if filter_key is None:
        return sorted(data_group(file, path=path), key=natural_key)
    masks = file.get("mask", {})
    if filter_key not in masks:
        there = ", ".join(sorted(masks, key=natural_key)) or "none"
        raise SourceError(f"there is no filter key {filter_key!r}; those in the file: {there}.", path=path)
    return sorted((name.decode() for name in masks[filter_key][:]), key=natural_key)


def has_images(data: h5py.Group, *, suffix: str = "") -> bool:
    """Whether any demo observes with a camera, of those whose recorded names end in `suffix`."""
    return any(
        isinstance(images, h5py.Dataset) and images.ndim == 4 and name.endswith(suffix)
        for _, demo in hdf5.children(data)
        if isinstance(demo, h5py.Group) and isinstance(demo.get("obs"), h5py.Group)
        for name, images in hdf5.children(demo["obs"])
    )


def demo_group(data: h5py.Group, demo: str, *, path: Path) -> h5py.Group:
    """One demo. Raises SourceError where a list names one that the file does not hold, or it has no observations."""
    group = data.get(demo)
    if not isinstance(group, h5py.Group) or not isinstance(group.get("obs"), h5py.Group):
        raise SourceError("the file has no such demo, or it has no observations.", path=path, episode=demo)
    return group


def cameras_of(group: h5py.Group, wanted: Mapping[str, str], *, path: Path, episode: str) -> tuple[Camera, ...]:
    """Describes the wanted cameras (canonical -> dataset under `obs`), wrist first.

    Raises:
        SourceError: one is not there, is no images, or is asked for under two names.
    """
    for recorded in wanted.values():
        names = [name for name, other in wanted.items() if other == recorded]
        if len(names) > 1:
            what = f"cameras {', '.join(names)} are all to come from {recorded!r}: one view would count as several."
            hint = "Give each recorded camera one name with --camera."
            raise SourceError(what, path=path, episode=episode, hint=hint)
    return tuple(
        hdf5.raw_camera(
            hdf5.camera_dataset(group["obs"], recorded, camera=name, path=path, episode=episode),
            name=name,
            recorded_name=recorded,
            path=path,
            episode=episode,
        )
        for name, recorded in wrist_first(wanted)
    )


def observed(group: h5py.Group, names: tuple[str, ...], *, path: Path, episode: str) -> hdf5.Array:
    """The observations of these names side by side, (N, sum of their sizes), in the widest of their dtypes."""
    columns = [hdf5.dataset(group["obs"], name, path=path, episode=episode) for name in names]
    checks.equal_length(
        {name: len(column) for name, column in zip(names, columns, strict=True)}, path=path, episode=episode
    )
    return np.concatenate([column[:] for column in columns], axis=1)


def num_steps(
    group: h5py.Group, cameras: tuple[Camera, ...], *, actions: hdf5.Array, state: hdf5.Array, path: Path, episode: str
) -> int:
    """Recorded steps; cameras, actions, state and the demo's own `num_samples` must agree. Raises SourceError."""
    lengths = {camera.recorded_name: len(group["obs"][camera.recorded_name]) for camera in cameras}
    lengths |= {"actions": len(actions), "state": len(state)}
    if "num_samples" in group.attrs:
        lengths["num_samples"] = int(group.attrs["num_samples"])
    return checks.equal_length(lengths, path=path, episode=episode)


def success(group: h5py.Group) -> dict[str, bool]:
    """The demo's success flag (the last of `dones`) as an attribute, nothing where it is not recorded."""
    dones = group.get("dones")
    return {"success": bool(dones[-1])} if dones is not None and len(dones) else {}
