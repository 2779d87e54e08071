"""SRC paths of demos without images in, paths of the same demos with images out; what has images stays as it is."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vpdata import sources
from vpdata.errors import VpdataError
from vpdata.simulators.demos import RenderOptions, holds_only_states, render
from vpdata.simulators.layouts import LAYOUTS
from vpdata.sources import SourceOptions

RENDER_SIZE = 128  # pixels, as LIBERO's and RoboCasa's own scripts have it


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderTo:
    """Where and by what to render.

    Attributes:
        folder: for the rendered files, which stay there for the next run.
        size: height and width of the frames in pixels.
        workers: processes that simulate; None for one a processor.
        python: the interpreter that has the simulator; None for this one.
    """

    folder: Path
    size: int
    workers: int | None = None
    python: Path | None = None


def rendered(
    source_name: str,
    paths: Sequence[Path],
    to: RenderTo,
    options: SourceOptions,
    *,
    progress: Callable[[int], object] = lambda _: None,
) -> list[Path]:
    """What to ingest in place of `paths`.

    Args:
        source_name: the source plugin, `libero` or `robocasa`.
        paths: files and folders of recordings.
        to: where and by what to render.
        options: of these, the cameras and the filter key.
        progress: called with 1 for each demo.

    Raises:
        VpdataError: nothing is there, or it cannot be rendered; see `vpdata.simulators.demos.render`.
    """
    if source_name not in LAYOUTS:
        what = f"recordings of the source {source_name} are not rendered."
        raise VpdataError(what, hint=f"Only those of {' and '.join(LAYOUTS)} are; leave --render out.")
    files = [file.path for path in paths for file in sources.load(source_name).find(path)]
    states_only = [path for path in files if holds_only_states(path)]
    if not states_only:
        return list(paths)
    how = RenderOptions(layout=source_name, size=to.size, cameras=options.cameras, filter_key=options.filter_key)
    workers = to.workers or os.cpu_count() or 1
    made = render(states_only, to.folder, how, workers=workers, python=to.python, progress=progress)
    instead = dict(zip(states_only, made, strict=True))
    return [instead.get(path, path) for path in files]
